"""Hooks that are due: noted with the end of their recording, in one transaction, and cleared when they have run.

So each runs at least once, whatever ends the process in between. One that fails stays for the next run, ``MAX_TRIES``
times in all. A row belongs to a run from the moment it is noted or taken, and is free again when that run is gone.
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
    """A hook that is to run for a recording.

    Attributes:
        mark: Identifies it, and stays the same when it is repeated.
        kind: ``done`` or ``failed``.
        command: As the run that noted it had it, with its placeholders.
        told: What became of the recording, as plain values.
        tries: How often it has failed.
        path: Where the recording is now, as far as the journal knows.
    """

    mark: str
    kind: str
    command: tuple[str, ...]
    told: Mapping[str, Any]
    tries: int = 0
    path: Path | None = None


class DueHooks:
    """The journal's hooks that are due; any thread may call it. Every method raises RunError as the journal does."""

    def __init__(self, reading: _Database, writing: _Database, token: str) -> None:
        """Work on the journal's connection, for the run of that token."""
        self._reading, self._writing, self._token = reading, writing, token

    def note(self, database: sqlite3.Connection, file: int, due: DueHook | None) -> None:
        """Note a hook, within the transaction that marks its recording as done or failed."""
        if due is not None:
            database.execute(
                "INSERT OR REPLACE INTO hook VALUES (?, ?, ?, ?, ?, 0, ?)",
                (due.mark, file, due.kind, json.dumps(due.command), json.dumps(due.told), self._token),
            )

    def take(self, commands: Mapping[str, tuple[str, ...]]) -> DueHook | None:
        """One that an earlier run left, with the command that this run has for its kind; this run's from now on."""
        for kind, command in commands.items():
            found = self._take("kind = ? AND command = ? ORDER BY hook.rowid LIMIT 1", kind, json.dumps(command))
            if found:
                return found[0]
        return None

    def take_of(self, path: Path, folder: Path, kinds: Collection[str]) -> list[DueHook]:
        """Those of a recording, of these kinds, that earlier runs left; this run's from now on."""
        wanted = ", ".join("?" * len(kinds))
        where = f"kind IN ({wanted}) AND file.path = ? AND file.folder = ? ORDER BY hook.rowid"
        return self._take(where, *kinds, os.fsencode(path), os.fsencode(folder))

    def succeeded(self, mark: str) -> None:
        """Forget a hook: it has run."""
        with self._writing() as database:
            database.execute("DELETE FROM hook WHERE mark = ?", (mark,))

    def failed(self, mark: str) -> int:
        """How often the hook has failed by now, 0 when it isn't known; the last time it is forgotten.

        Until this run ends it stays this run's, so that a later one tries it again.
        """
        with self._writing() as database:
            database.execute("UPDATE hook SET tries = tries + 1 WHERE mark = ?", (mark,))
            row = database.execute("SELECT tries FROM hook WHERE mark = ?", (mark,)).fetchone()
            database.execute("DELETE FROM hook WHERE mark = ? AND tries >= ?", (mark, MAX_TRIES))
            return int(row[0]) if row is not None else 0

    def n_due(self) -> int:
        """How many are due."""
        with self._reading() as database:
            return int(database.execute("SELECT count(*) FROM hook").fetchone()[0])

    def _take(self, where: str, *values: object) -> list[DueHook]:
        """The free ones that a condition picks; nothing is written where there are none."""
        query = f"{_ROW} WHERE hook.run IS NULL AND {where}"
        with self._reading() as database:
            if database.execute(query, values).fetchone() is None:
                return []
        with self._writing() as database:
            found = [_made(row) for row in database.execute(query, values).fetchall()]
            for due in found:
                database.execute("UPDATE hook SET run = ? WHERE mark = ?", (self._token, due.mark))
            return found


def _made(row: tuple[Any, ...]) -> DueHook:
    mark, kind, command, told, tries, path = row
    return DueHook(mark, kind, tuple(json.loads(command)), json.loads(told), tries, Path(os.fsdecode(path)))
