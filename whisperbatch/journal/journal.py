"""The journal of a run, in SQLite: one connection, shared by the threads of a process under a lock."""

import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from whisperbatch.errors import RunError, TakenError
from whisperbatch.journal.due_hooks import DueHook, DueHooks
from whisperbatch.journal.entries import Claim, Entry, Key, Output, Recording, State
from whisperbatch.journal.fingerprint import SAMPLED, TextRecipe
from whisperbatch.journal.rows import (
    ENTRY,
    as_bytes,
    as_path,
    entry_from,
    entry_of,
    forget_file,
    outputs_by_file,
    put,
    void,
    with_outputs,
)
from whisperbatch.journal.run_lock import RunLock, forget, is_alive
from whisperbatch.journal.schema import INSTEAD, connect, readable_errors

MAX_SAME = 200  # rows with one content that are checked, latest first: there may be any number of copies


class Journal:
    """The journal, opened by one run or one command; any thread may call it.

    Every method raises RunError when the file cannot be used. The journal has then failed for good: later calls raise
    the same error at once instead of waiting for a lock again.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file, take a lock for this run, and release the claims of dead runs."""
        self.path = path
        self._lock = threading.Lock()
        self._database = connect(path)
        self._run: RunLock | None = None
        self._failure: RunError | None = None
        self._identity = _identity(path)
        with ExitStack() as undo:
            undo.callback(self.close)
            with readable_errors(path):
                self._run = RunLock(path)
            self.hooks = DueHooks(self._reading, self._writing, self._run.token)
            with self._writing() as database:
                database.execute("INSERT INTO run VALUES (?, ?, ?)", (self._run.token, os.getpid(), time.time()))
                self._void_dead(database)
            undo.pop_all()

    def look(self, key: Key) -> Entry | None:
        """Return what is known about a file; None if nothing is."""
        with self._reading() as database:
            return entry_of(database, key)

    def done_in_other_folders(self, key: Key) -> list[Entry]:
        """Return entries of the same recording that are done in other output folders, latest first."""
        with self._reading() as database:
            rows = database.execute(
                f"{ENTRY} WHERE path = ? AND folder != ? AND state = ? ORDER BY changed DESC",
                (as_bytes(key.path), as_bytes(key.folder), State.DONE),
            ).fetchall()
            return [with_outputs(database, row) for row in rows]

    def knows_size(self, size: int) -> bool:
        """Whether any recording with ``size`` bytes is known."""
        with self._reading() as database:
            return database.execute("SELECT 1 FROM file WHERE size = ? LIMIT 1", (size,)).fetchone() is not None

    def done_alike(self, key: Key, recording: Recording, recipes: Collection[TextRecipe]) -> list[Entry]:
        """Return done entries of other files with the same size and sample, the settings of a recipe, and a JSON file.

        Different recordings may agree in these; see ``fingerprint``.
        """
        with self._reading() as database:
            rows = database.execute(
                f"SELECT * FROM ({ENTRY} WHERE size = ? AND sample = ? ORDER BY id DESC LIMIT {MAX_SAME}) AS known"
                f" WHERE NOT (path = ? AND folder = ?) AND state = ? AND settings IN ({', '.join('?' * len(recipes))})"
                " AND EXISTS (SELECT 1 FROM output WHERE output.file = known.id AND format GLOB 'json*')",
                (
                    *(recording.size, recording.sample, as_bytes(key.path), as_bytes(key.folder)),
                    *(State.DONE, *(recipe.settings for recipe in recipes)),
                ),
            ).fetchall()
            return [with_outputs(database, row) for row in rows]

    def owner(self, output: Path) -> Path | None:
        """Return the recording that an output file belongs to; None if the journal does not know it."""
        with self._reading() as database:
            row = database.execute(
                "SELECT file.path FROM output JOIN file ON file.id = output.file WHERE output.path = ?",
                (as_bytes(output),),
            ).fetchone()
            return as_path(row[0]) if row else None

    def claim(self, key: Key) -> Claim:
        """Claim a file for this run, unless another live run has it."""
        assert self._run is not None
        with self._writing() as database:
            entry = entry_of(database, key)
            if entry is None:
                database.execute(
                    "INSERT INTO file (path, folder, state, run, changed) VALUES (?, ?, ?, ?, ?)",
                    (as_bytes(key.path), as_bytes(key.folder), State.NEW, self._run.token, time.time()),
                )
                entry = entry_of(database, key)
                assert entry is not None
                return Claim(True, entry)
            is_free = entry.run in (None, self._run.token) or not is_alive(self.path, entry.run)
            if is_free:
                database.execute("UPDATE file SET run = ? WHERE id = ?", (self._run.token, entry.id))
            return Claim(is_free, entry)

    def release(self, entry: Entry) -> None:
        """Release a claim without an outcome: the run was stopped, or there was nothing to do."""
        with self._writing() as database:
            database.execute("UPDATE file SET run = NULL WHERE id = ?", (entry.id,))

    def intend(
        self,
        entry: Entry,
        recording: Recording,
        recipe: TextRecipe,
        base: str,
        language: str,
        outputs: Sequence[Output],
        new: Collection[Path] = (),
    ) -> None:
        """Record the outputs that are about to be written; committed before the first rename.

        Raises:
            TakenError: A path in ``new`` meanwhile holds another recording's output.
        """
        with self._writing() as database:
            for path in new:
                row = database.execute("SELECT file FROM output WHERE path = ?", (as_bytes(path),)).fetchone()
                if row is not None and row[0] != entry.id and os.path.lexists(path):
                    raise TakenError("another recording's transcript has just taken the name", path)
            put(database, entry, State.WRITING, recording, recipe)
            database.execute(
                "UPDATE file SET base = ?, language = ? WHERE id = ?", (os.fsencode(base), language, entry.id)
            )
            database.executemany(
                "INSERT INTO output (path, file, format, intended) VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE"
                " SET file = excluded.file, format = excluded.format, intended = excluded.intended",
                [(as_bytes(output.path), entry.id, output.format, output.intended) for output in outputs],
            )

    def give_back(self, entry: Entry, paths: Sequence[Path]) -> None:
        """Record that the intended outputs at the paths will not be written."""
        with self._writing() as database:
            database.executemany(
                "DELETE FROM output WHERE path = ? AND file = ? AND size IS NULL",
                [(as_bytes(path), entry.id) for path in paths],
            )

    def done(
        self, entry: Entry, outputs: Sequence[Output], audio_s: float, wall_s: float, hook: DueHook | None = None
    ) -> None:
        """Record that the file's outputs are on disk and that a hook is due; this ends the claim."""
        with self._writing() as database:
            database.executemany(
                "INSERT OR REPLACE INTO output VALUES (?, ?, ?, ?, ?, NULL)",
                [(as_bytes(o.path), entry.id, o.format, o.size, o.mtime_ns) for o in outputs],
            )
            database.execute(
                "UPDATE file SET state = ?, run = NULL, audio_s = ?, wall_s = ?, attempts = attempts + 1, error = NULL,"
                " is_permanent = 0, changed = ? WHERE id = ?",
                (State.DONE, audio_s, wall_s, time.time(), entry.id),
            )
            database.execute("DELETE FROM clip WHERE file = ?", (entry.id,))
            self.hooks.note(database, entry.id, hook)

    def failed(
        self,
        entry: Entry,
        recording: Recording,
        recipe: TextRecipe,
        error: str,
        *,
        is_permanent: bool,
        hook: DueHook | None = None,
    ) -> None:
        """Record why a file failed and that a hook is due; this ends the claim."""
        with self._writing() as database:
            put(database, entry, State.FAILED, recording, recipe)
            database.execute(
                "UPDATE file SET run = NULL, error = ?, is_permanent = ?, attempts = attempts + 1 WHERE id = ?",
                (error, is_permanent, entry.id),
            )
            self.hooks.note(database, entry.id, hook)

    def touch(self, entry: Entry, recording: Recording) -> None:
        """Record the new mtime of a recording whose sample is unchanged.

        Trap: the other bytes may have changed. If no digest of the transcribed content is known, the current file
        cannot supply it; an empty digest, which no file has, marks that.
        """
        with self._writing() as database:
            database.execute(
                "UPDATE file SET mtime_ns = ?, content = CASE WHEN content IS NULL AND sample LIKE ? THEN '' ELSE"
                " content END WHERE id = ?",
                (recording.mtime_ns, f"{SAMPLED}%", entry.id),
            )

    def moved(self, key: Key, new: Key) -> None:
        """Record a file's new path; an older entry for that path is deleted."""
        with self._writing() as database:
            entry, old = entry_of(database, key), entry_of(database, new)
            if entry is None or key == new:
                return
            if old is not None:
                forget_file(database, old)
            database.execute(
                "UPDATE file SET path = ?, folder = ? WHERE id = ?",
                (as_bytes(new.path), as_bytes(new.folder), entry.id),
            )

    def keep_clips(self, clips: Iterable[tuple[Entry, int, str, str]]) -> None:
        """Store finished clips of long files: entry, number, mark and text of each."""
        with self._writing() as database:
            database.executemany(
                "INSERT OR REPLACE INTO clip VALUES (?, ?, ?, ?)",
                [(entry.id, number, mark, text) for entry, number, mark, text in clips],
            )

    def kept_clips(self, entry: Entry) -> dict[int, tuple[str, str]]:
        """Return the mark and text of each stored clip, by its number."""
        with self._reading() as database:
            rows = database.execute("SELECT number, mark, text FROM clip WHERE file = ?", (entry.id,))
            return {number: (mark, text) for number, mark, text in rows}

    def redo_since(self, scope: str) -> float:
        """Return when the redo of that scope began: now, or when an unfinished one began."""
        with self._writing() as database:
            database.execute("INSERT OR IGNORE INTO redo VALUES (?, ?)", (scope, time.time()))
            return float(database.execute("SELECT began FROM redo WHERE scope = ?", (scope,)).fetchone()[0])

    def redo_over(self, scope: str) -> None:
        """Record that the redo of that scope is finished."""
        with self._writing() as database:
            database.execute("DELETE FROM redo WHERE scope = ?", (scope,))

    def entries(self, below: Sequence[Path] = ()) -> Iterator[Entry]:
        """Yield the entries of all files, or of those at or below one of the paths, ordered by path."""
        with self._reading() as database:
            rows = database.execute(f"{ENTRY} ORDER BY path, folder").fetchall()
            outputs = outputs_by_file(database)
        for row in rows:
            path = as_path(row[1])
            if not below or any(path == place or place in path.parents for place in below):
                yield entry_from(row, outputs.get(row[0], ()))

    def outputs_of(self, name: str) -> list[str]:
        """Return the paths of all outputs of a format, sorted; as text, since there may be very many."""
        with self._reading() as database:
            query = "SELECT path FROM output WHERE (format = ? OR format GLOB ?) AND size IS NOT NULL ORDER BY path"
            return [os.fsdecode(path) for (path,) in database.execute(query, (name, f"{name}#*"))]

    def is_claimed(self, entry: Entry) -> bool:
        """Whether a live run has claimed the file."""
        return entry.run is not None and is_alive(self.path, entry.run)

    def is_claimed_by_other_run(self, entry: Entry) -> bool:
        """Whether another live run has claimed the file."""
        assert self._run is not None
        return entry.run != self._run.token and self.is_claimed(entry)

    def forget(self, entry: Entry) -> bool:
        """Delete a file's entry; return False if another run claimed it, or changed it after ``entry`` was read."""
        assert self._run is not None
        with self._writing() as database:
            known = entry_of(database, entry.key)
            if known is None:
                return True
            is_free = known.run in (None, self._run.token) or not is_alive(self.path, known.run)
            if is_free and known.changed == entry.changed:
                forget_file(database, known)
                return True
            return False

    def close(self) -> None:
        """Release claims and lock, and close the file."""
        if self._run is not None:
            with suppress(RunError), self._writing() as database:
                void(database, self._run.token)
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
                void(database, token)
                forget(self.path, token)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn an error into a readable one, and raise it again on every later use."""
        if self._failure is not None:
            raise RunError(self._failure.message, self.path) from self._failure
        try:
            with readable_errors(self.path):
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
        """One transaction, exclusive among threads and processes."""
        with self._lock, self._failing():
            if _identity(self.path) != self._identity:  # SQLite would continue with a file that has no path any more
                reason = f"the journal was removed or replaced during the run; run again, or {INSTEAD}"
                raise RunError(reason, self.path)
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file at a path; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
