"""Hooks that are due: recorded in the transaction that ends their recording, and deleted when they have run.

So each runs at least once, whatever ends the process in between. A hook that fails stays for the next run,
``MAX_TRIES`` tries in all. A row belongs to the run that recorded or took it, and is free again when that run is gone.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_TRIES = 3
_Database = Callable[[], AbstractContextManager[sqlite3.Connection]]
_ROW = "SELECT hook.mark, kind, command, told, tries, file.path FROM hook JOIN file ON file.id = hook.file"


@dataclass(frozen=True, slots=True)
class DueHook:
    """A hook that is due for a recording.

    Attributes:
        mark: Its id, which stays the same when the hook is repeated.
        kind: ``done`` or ``failed``.
        command: Its arguments, with placeholders, in the run that recorded it.
        payload: The outcome of the recording, as plain values.
        tries: How many times it has failed.
        path: The recording's current path, as far as the journal knows.
    """

    mark: str
    kind: str
    command: tuple[str, ...]
    payload: Mapping[str, Any]
    tries: int = 0
    path: Path | None = None


class DueHooks:
    """The due hooks of a journal; any thread may call it. Every method raises RunError as the journal does."""

    def __init__(self, reading: _Database, writing: _Database, token: str) -> None:
        """Use the journal's connection, for the run with that token."""
        self._reading, self._writing, self._token = reading, writing, token

    def note(self, database: sqlite3.Connection, file: int, due: DueHook | None) -> None:
        """Record a hook, in the transaction that marks its recording as done or failed."""
        if due is not None:
            database.execute(
                "INSERT OR REPLACE INTO hook VALUES (?, ?, ?, ?, ?, 0, ?)",
                (due.mark, file, due.kind, json.dumps(due.command), json.dumps(due.payload), self._token),
            )

    def take(self, commands: Mapping[str, tuple[str, ...]]) -> DueHook | None:
        """Take over a hook that an earlier run left and whose command this run has too; None when there is none."""
        for kind, command in commands.items():
            found = self._take("kind = ? AND command = ? ORDER BY hook.rowid LIMIT 1", kind, json.dumps(command))
            if found:
                return found[0]
        return None

    def take_of(self, path: Path, folder: Path, kinds: Collection[str]) -> list[DueHook]:
        """Take over the hooks of these kinds that earlier runs left for a recording."""
        wanted = ", ".join("?" * len(kinds))
        where = f"kind IN ({wanted}) AND file.path = ? AND file.folder = ? ORDER BY hook.rowid"
        return self._take(where, *kinds, os.fsencode(path), os.fsencode(folder))

    def succeeded(self, mark: str) -> None:
        """Delete a hook that has run."""
        with self._writing() as database:
            database.execute("DELETE FROM hook WHERE mark = ?", (mark,))

    def failed(self, mark: str) -> int:
        """Count a failure and return how many there are by now, 0 for an unknown hook; the last one deletes it.

        Until this run ends the hook stays this run's, so that a later run tries it again.
        """
        with self._writing() as database:
            database.execute("UPDATE hook SET tries = tries + 1 WHERE mark = ?", (mark,))
            row = database.execute("SELECT tries FROM hook WHERE mark = ?", (mark,)).fetchone()
            database.execute("DELETE FROM hook WHERE mark = ? AND tries >= ?", (mark, MAX_TRIES))
            return int(row[0]) if row is not None else 0

    def n_due(self) -> int:
        """The number of due hooks."""
        with self._reading() as database:
            return int(database.execute("SELECT count(*) FROM hook").fetchone()[0])

    def _take(self, where: str, *values: object) -> list[DueHook]:
        """Take the free hooks that match a condition; writes nothing when there are none."""
        query = f"{_ROW} WHERE hook.run IS NULL AND {where}"
        with self._reading() as database:
            if database.execute(query, values).fetchone() is None:
                return []
        with self._writing() as database:
            found = [_from_row(row) for row in database.execute(query, values).fetchall()]
            for due in found:
                database.execute("UPDATE hook SET run = ? WHERE mark = ?", (self._token, due.mark))
            return found


def _from_row(row: tuple[Any, ...]) -> DueHook:
    mark, kind, command, payload, tries, path = row
    return DueHook(mark, kind, tuple(json.loads(command)), json.loads(payload), tries, Path(os.fsdecode(path)))
