"""What is done, failed and in hand, and with which settings: SQLite, true at every instant, whatever ends the process.

Comes in: what happened to a file. Goes out: what is known of it.

A file is known by its path and the folder of its outputs. It is claimed before work, its outputs are intended before
the first rename, and it is done when all of them lie on disk. Commits outlive the death of the process; a loss of power
may take back the latest, never half of one, and what our JSON files prove is adopted again.

Leaves: identity (same recording, same settings), store (the database file: schema, migration, damage), runs (which
runs are alive), entries (what is known of a file), rows (its rows in the file), due (hooks that are
to run), book (all files).
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
