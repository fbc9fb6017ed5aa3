"""What is known of files, in SQLite: one connection, shared by the threads of a process under a lock.

Who calls: the pipeline's planner, from any of its threads; the CLI's ``status`` and ``forget``.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from whisperbatch.errors import RunError, TakenError
from whisperbatch.journal.entries import Claim, Entry, Key, Output, Recording, State
from whisperbatch.journal.identity import Making
from whisperbatch.journal.runs import RunLock, forget, is_alive
from whisperbatch.journal.store import INSTEAD, connect, sentences

_ENTRY = (
    "SELECT id, path, folder, state, run, base, size, mtime_ns, sample, model, revision, settings, language,"
    " coalesce(audio_s, 0), coalesce(wall_s, 0), attempts, error, is_permanent, changed FROM file"
)


class Journal:
    """The journal of one run, or of one look at it; any thread may call it.

    Every method raises RunError when the file cannot be used. It has failed for good then: what is asked later is told
    the same at once, and does not wait for a lock again.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file, hold a lock for this run, and void the claims of dead runs."""
        self.path = path
        self._lock = threading.Lock()
        self._database = connect(path)
        self._run: RunLock | None = None
        self._failure: RunError | None = None
        self._identity = _identity(path)
        with ExitStack() as undo:
            undo.callback(self.close)
            with sentences(path):
                self._run = RunLock(path)
            with self._writing() as database:
                database.execute("INSERT INTO run VALUES (?, ?, ?)", (self._run.token, os.getpid(), time.time()))
                self._void_dead(database)
            undo.pop_all()

    def look(self, key: Key) -> Entry | None:
        """What is known of a file; None when nothing is."""
        with self._reading() as database:
            return _entry(database, key)

    def done_elsewhere(self, key: Key) -> list[Entry]:
        """What is done of the same recording with outputs in other folders, the latest first."""
        with self._reading() as database:
            rows = database.execute(
                f"{_ENTRY} WHERE path = ? AND folder != ? AND state = ? ORDER BY changed DESC",
                (_bytes(key.path), _bytes(key.folder), State.DONE),
            ).fetchall()
            return [_with_outputs(database, row) for row in rows]

    def owner(self, output: Path) -> Path | None:
        """The recording whose output a file is; None when the journal does not know it."""
        with self._reading() as database:
            row = database.execute(
                "SELECT file.path FROM output JOIN file ON file.id = output.file WHERE output.path = ?",
                (_bytes(output),),
            ).fetchone()
            return _path(row[0]) if row else None

    def claim(self, key: Key) -> Claim:
        """Take a file for this run, unless another that is alive has it."""
        assert self._run is not None
        with self._writing() as database:
            entry = _entry(database, key)
            if entry is None:
                database.execute(
                    "INSERT INTO file (path, folder, state, run, changed) VALUES (?, ?, ?, ?, ?)",
                    (_bytes(key.path), _bytes(key.folder), State.NEW, self._run.token, time.time()),
                )
                entry = _entry(database, key)
                assert entry is not None
                return Claim(True, entry)
            is_free = entry.run in (None, self._run.token) or not is_alive(self.path, entry.run)
            if is_free:
                database.execute("UPDATE file SET run = ? WHERE id = ?", (self._run.token, entry.id))
            return Claim(is_free, entry)

    def release(self, entry: Entry) -> None:
        """Give a claim back without an end: the run was stopped, or there was nothing to do."""
        with self._writing() as database:
            database.execute("UPDATE file SET run = NULL WHERE id = ?", (entry.id,))

    def intend(
        self,
        entry: Entry,
        recording: Recording,
        making: Making,
        base: str,
        language: str,
        outputs: Sequence[Output],
        new: Collection[Path] = (),
    ) -> None:
        """Note what is about to be written; committed before the first rename.

        Raises:
            TakenError: At a path in ``new`` lies a file by now that is another recording's output.
        """
        with self._writing() as database:
            for path in new:
                row = database.execute("SELECT file FROM output WHERE path = ?", (_bytes(path),)).fetchone()
                if row is not None and row[0] != entry.id and os.path.lexists(path):
                    raise TakenError("another recording's transcript has just taken the name", path)
            _put(database, entry, State.WRITING, recording, making)
            database.execute(
                "UPDATE file SET base = ?, language = ? WHERE id = ?", (os.fsencode(base), language, entry.id)
            )
            database.executemany(
                "INSERT INTO output (path, file, format, intended) VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE"
                " SET file = excluded.file, format = excluded.format, intended = excluded.intended",
                [(_bytes(output.path), entry.id, output.format, output.intended) for output in outputs],
            )

    def give_back(self, entry: Entry, paths: Sequence[Path]) -> None:
        """Note that what was about to be written at the paths will not be."""
        with self._writing() as database:
            database.executemany(
                "DELETE FROM output WHERE path = ? AND file = ? AND size IS NULL",
                [(_bytes(path), entry.id) for path in paths],
            )

    def done(self, entry: Entry, outputs: Sequence[Output], audio_s: float, wall_s: float) -> None:
        """Note that the file's outputs lie on disk; its claim ends with that."""
        with self._writing() as database:
            database.executemany(
                "INSERT OR REPLACE INTO output VALUES (?, ?, ?, ?, ?, NULL)",
                [(_bytes(o.path), entry.id, o.format, o.size, o.mtime_ns) for o in outputs],
            )
            database.execute(
                "UPDATE file SET state = ?, run = NULL, audio_s = ?, wall_s = ?, attempts = attempts + 1, error = NULL,"
                " is_permanent = 0, changed = ? WHERE id = ?",
                (State.DONE, audio_s, wall_s, time.time(), entry.id),
            )
            database.execute("DELETE FROM clip WHERE file = ?", (entry.id,))

    def failed(self, entry: Entry, recording: Recording, making: Making, error: str, *, is_permanent: bool) -> None:
        """Note why a file failed; its claim ends with that."""
        with self._writing() as database:
            _put(database, entry, State.FAILED, recording, making)
            database.execute(
                "UPDATE file SET run = NULL, error = ?, is_permanent = ?, attempts = attempts + 1 WHERE id = ?",
                (error, is_permanent, entry.id),
            )

    def touch(self, entry: Entry, recording: Recording) -> None:
        """Note the new mtime of a recording whose content is the same."""
        with self._writing() as database:
            database.execute("UPDATE file SET mtime_ns = ? WHERE id = ?", (recording.mtime_ns, entry.id))

    def moved(self, key: Key, new: Key) -> None:
        """Know a file by its new place; what was known of another file there is forgotten."""
        with self._writing() as database:
            entry, old = _entry(database, key), _entry(database, new)
            if entry is None or key == new:
                return
            if old is not None:
                _forget(database, old)
            database.execute(
                "UPDATE file SET path = ?, folder = ? WHERE id = ?", (_bytes(new.path), _bytes(new.folder), entry.id)
            )

    def keep_clips(self, clips: Iterable[tuple[Entry, int, str, str]]) -> None:
        """Keep finished clips of files that take long: entry, number, mark and text of each."""
        with self._writing() as database:
            database.executemany(
                "INSERT OR REPLACE INTO clip VALUES (?, ?, ?, ?)",
                [(entry.id, number, mark, text) for entry, number, mark, text in clips],
            )

    def kept_clips(self, entry: Entry) -> dict[int, tuple[str, str]]:
        """The mark and text of each clip that was kept, by its number."""
        with self._reading() as database:
            rows = database.execute("SELECT number, mark, text FROM clip WHERE file = ?", (entry.id,))
            return {number: (mark, text) for number, mark, text in rows}

    def redo_since(self, scope: str) -> float:
        """When the redo of that scope began: now, or when one that was not finished began."""
        with self._writing() as database:
            database.execute("INSERT OR IGNORE INTO redo VALUES (?, ?)", (scope, time.time()))
            return float(database.execute("SELECT began FROM redo WHERE scope = ?", (scope,)).fetchone()[0])

    def redo_over(self, scope: str) -> None:
        """Note that the redo of that scope is finished."""
        with self._writing() as database:
            database.execute("DELETE FROM redo WHERE scope = ?", (scope,))

    def entries(self, below: Sequence[Path] = ()) -> Iterator[Entry]:
        """All files, or those that are or lie below one of the paths, by path."""
        with self._reading() as database:
            rows = database.execute(f"{_ENTRY} ORDER BY path, folder").fetchall()
            outputs = _outputs_by_file(database)
        for row in rows:
            path = _path(row[1])
            if not below or any(path == place or place in path.parents for place in below):
                yield _made(row, outputs.get(row[0], ()))

    def is_in_hand(self, entry: Entry) -> bool:
        """Whether a run that is alive works on the file."""
        return entry.run is not None and is_alive(self.path, entry.run)

    def forget(self, entry: Entry) -> bool:
        """Know nothing of a file any more; False when another run has it in hand, or has ended it since that look."""
        assert self._run is not None
        with self._writing() as database:
            known = _entry(database, entry.key)
            if known is None:
                return True
            is_free = known.run in (None, self._run.token) or not is_alive(self.path, known.run)
            if is_free and known.changed == entry.changed:
                _forget(database, known)
                return True
            return False

    def close(self) -> None:
        """Give claims and lock back and close the file."""
        if self._run is not None:
            with suppress(RunError), self._writing() as database:
                database.execute("UPDATE file SET run = NULL WHERE run = ?", (self._run.token,))
                database.execute("DELETE FROM run WHERE token = ?", (self._run.token,))
                self._void_dead(database)
            self._run.release()
            self._run = None
        with self._lock, suppress(sqlite3.Error):
            self._database.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self.close()

    def _void_dead(self, database: sqlite3.Connection) -> None:
        for (token,) in database.execute("SELECT token FROM run").fetchall():
            if not is_alive(self.path, token):
                database.execute("UPDATE file SET run = NULL WHERE run = ?", (token,))
                database.execute("DELETE FROM run WHERE token = ?", (token,))
                forget(self.path, token)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Tell what goes wrong in a sentence, and the same ever after."""
        if self._failure is not None:
            raise RunError(self._failure.message, self.path) from self._failure
        try:
            with sentences(self.path):
                yield
        except RunError as err:
            self._failure = err
            raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._failing():
            yield self._database

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which no other thread or process comes between."""
        with self._lock, self._failing():
            if _identity(self.path) != self._identity:  # SQLite would go on with a file that nobody can find
                told = f"the journal was removed or replaced during the run; run again, or {INSTEAD}"
                raise RunError(told, self.path)
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")


def _forget(database: sqlite3.Connection, entry: Entry) -> None:
    for table, column in (("clip", "file"), ("output", "file"), ("file", "id")):
        database.execute(f"DELETE FROM {table} WHERE {column} = ?", (entry.id,))


def _put(database: sqlite3.Connection, entry: Entry, state: State, recording: Recording, making: Making) -> None:
    database.execute(
        "UPDATE file SET state = ?, size = ?, mtime_ns = ?, sample = ?, model = ?, revision = ?, settings = ?,"
        " changed = ? WHERE id = ?",
        (
            *(state, recording.size, recording.mtime_ns, recording.sample),
            *(making.model, making.revision, making.settings, time.time(), entry.id),
        ),
    )


def _entry(database: sqlite3.Connection, key: Key) -> Entry | None:
    row = database.execute(f"{_ENTRY} WHERE path = ? AND folder = ?", (_bytes(key.path), _bytes(key.folder))).fetchone()
    return None if row is None else _with_outputs(database, row)


def _with_outputs(database: sqlite3.Connection, row: Sequence[Any]) -> Entry:
    outputs = database.execute(
        "SELECT path, format, size, mtime_ns, intended FROM output WHERE file = ? ORDER BY path", (row[0],)
    )
    return _made(row, tuple(Output(_path(path), *rest) for path, *rest in outputs))


def _outputs_by_file(database: sqlite3.Connection) -> Mapping[int, tuple[Output, ...]]:
    found: dict[int, tuple[Output, ...]] = {}
    for file, path, *rest in database.execute("SELECT file, path, format, size, mtime_ns, intended FROM output"):
        found[file] = (*found.get(file, ()), Output(_path(path), *rest))
    return found


def _made(row: Sequence[Any], outputs: tuple[Output, ...]) -> Entry:
    number, path, folder, state, run, base, size, mtime_ns, sample, model, revision, settings, *rest = row
    making = None if model is None else Making(model, revision, settings)
    language, audio_s, wall_s, attempts, error, is_permanent, changed = rest
    key, name = Key(_path(path), _path(folder)), None if base is None else os.fsdecode(base)
    return Entry(
        *(number, key, State(state), run, name, size, mtime_ns, sample, making, language, audio_s, wall_s, attempts),
        error=error,
        is_permanent=bool(is_permanent),
        changed=changed,
        outputs=outputs,
    )


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file lies there; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _bytes(path: Path) -> bytes:
    return os.fsencode(path)


def _path(data: bytes) -> Path:
    return Path(os.fsdecode(data))
