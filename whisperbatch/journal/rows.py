"""Database rows of the journal: reads them as entries and writes them.

Every function takes the connection, inside a transaction that ``journal`` has begun.
"""

import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whisperbatch.journal.entries import Entry, Key, Output, Recording, State
from whisperbatch.journal.fingerprint import TextRecipe

ENTRY = (
    "SELECT id, path, folder, state, run, base, size, mtime_ns, sample, model, revision, settings, language,"
    " coalesce(audio_s, 0), coalesce(wall_s, 0), attempts, error, is_permanent, changed,"
    " content, twin FROM file"
)


def void(database: sqlite3.Connection, token: str) -> None:
    """Release all files and hooks of a run, and delete the run."""
    for table in ("file", "hook"):
        database.execute(f"UPDATE {table} SET run = NULL WHERE run = ?", (token,))
    database.execute("DELETE FROM run WHERE token = ?", (token,))


def forget_file(database: sqlite3.Connection, entry: Entry) -> None:
    """Delete all that is known about a file."""
    for table, column in (("clip", "file"), ("output", "file"), ("hook", "file"), ("file", "id")):
        database.execute(f"DELETE FROM {table} WHERE {column} = ?", (entry.id,))


def put(database: sqlite3.Connection, entry: Entry, state: State, recording: Recording, recipe: TextRecipe) -> None:
    """Write a file's new state, its recording and its settings."""
    database.execute(
        "UPDATE file SET state = ?, size = ?, mtime_ns = ?, sample = ?, model = ?, revision = ?, settings = ?,"
        " changed = ?, content = ?, twin = ? WHERE id = ?",
        (
            *(state, recording.size, recording.mtime_ns, recording.sample),
            *(recipe.model, recipe.revision, recipe.settings, time.time(), recording.content),
            *(None if recording.twin is None else as_bytes(recording.twin), entry.id),
        ),
    )


def entry_of(database: sqlite3.Connection, key: Key) -> Entry | None:
    """Return what is known about a file; None if nothing is."""
    row = database.execute(
        f"{ENTRY} WHERE path = ? AND folder = ?", (as_bytes(key.path), as_bytes(key.folder))
    ).fetchone()
    return None if row is None else with_outputs(database, row)


def with_outputs(database: sqlite3.Connection, row: Sequence[Any]) -> Entry:
    """Convert a row of ``ENTRY`` to an Entry, with its outputs."""
    outputs = database.execute(
        "SELECT path, format, size, mtime_ns, intended FROM output WHERE file = ? ORDER BY path", (row[0],)
    )
    return entry_from(row, tuple(Output(as_path(path), *rest) for path, *rest in outputs))


def outputs_by_file(database: sqlite3.Connection) -> Mapping[int, tuple[Output, ...]]:
    """All outputs, by the number of their file."""
    found: dict[int, tuple[Output, ...]] = {}
    for file, path, *rest in database.execute("SELECT file, path, format, size, mtime_ns, intended FROM output"):
        found[file] = (*found.get(file, ()), Output(as_path(path), *rest))
    return found


def entry_from(row: Sequence[Any], outputs: tuple[Output, ...]) -> Entry:
    """Convert a row of ``ENTRY`` and outputs to an Entry."""
    number, path, folder, state, run, base, size, mtime_ns, sample, model, revision, settings, *rest = row
    recipe = None if model is None else TextRecipe(model, revision, settings)
    language, audio_s, wall_s, attempts, error, is_permanent, changed, content, twin = rest
    key, name = Key(as_path(path), as_path(folder)), None if base is None else os.fsdecode(base)
    return Entry(
        *(number, key, State(state), run, name, size, mtime_ns, sample, recipe, language, audio_s, wall_s, attempts),
        error=error,
        is_permanent=bool(is_permanent),
        changed=changed,
        outputs=outputs,
        content=content,
        twin=None if twin is None else as_path(twin),
    )


def as_bytes(path: Path) -> bytes:
    """Convert a path to its stored form."""
    return os.fsencode(path)


def as_path(data: bytes) -> Path:
    """Convert a stored path back."""
    return Path(os.fsdecode(data))
