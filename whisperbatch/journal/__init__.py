"""The journal: which files are done, failed or in progress, and with which settings; SQLite, correct at every instant.

A file is identified by its path and the folder of its outputs. A run claims it before work, records the outputs that it
is about to write before the first rename, and marks the file as done when all of them are on disk. Commits survive the
death of the process; a loss of power may undo the latest, never half of one, and JSON files of ours are then recognized
again.

Modules: journal (the journal of a run), entries (what is known about a file), rows (entries as database rows), schema
(the database file: schema, migration, damage), fingerprint (same recording, same settings?), run_lock (which runs are
alive), due_hooks (hooks that are due).
"""

from whisperbatch.journal.due_hooks import MAX_TRIES, DueHook
from whisperbatch.journal.entries import Claim, Entry, Key, Output, Recording, State
from whisperbatch.journal.fingerprint import SAMPLED, TextRecipe, content, sample
from whisperbatch.journal.journal import Journal
from whisperbatch.journal.schema import default_path

__all__ = [
    "MAX_TRIES",
    "SAMPLED",
    "Claim",
    "DueHook",
    "Entry",
    "Journal",
    "Key",
    "Output",
    "Recording",
    "State",
    "TextRecipe",
    "content",
    "default_path",
    "sample",
]
