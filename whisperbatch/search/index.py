"""The search index: an SQLite database of segments, which reads transcripts again when size or mtime changes.

Everything in it comes from the transcripts, so a damaged index, or one of another version, is rebuilt. A file of
another program is left alone.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from whisperbatch.errors import FileError, RunError
from whisperbatch.records import Transcript
from whisperbatch.search.terms import TOKENIZER, Query, plain, spaced

APPLICATION_ID = 0x77687378  # "whsx"; SQLite's header field for the program that owns a file
VERSION = 1
BUSY_S = 60.0  # how long to wait for another search that is writing
N_COMMIT = 200  # transcripts per transaction; an interruption loses no more than these
UNREADABLE = "cannot be read"
NO_FTS5 = "this Python's SQLite was built without FTS5, which search needs; use Python from python.org or your system"

_SCHEMA = f"""
CREATE TABLE file (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, size INTEGER, mtime_ns INTEGER,
    is_transcript INTEGER NOT NULL  -- 0: known not to be one, and not read again
);
CREATE TABLE segment (
    id INTEGER PRIMARY KEY,  -- the rowid in spoken
    file INTEGER NOT NULL, start_s REAL, end_s REAL, speaker TEXT, channel TEXT
);
CREATE INDEX segment_file ON segment (file);
CREATE VIRTUAL TABLE spoken USING fts5 (
    words,
    text UNINDEXED,  -- NULL if the same as words
    tokenize = "{TOKENIZER}"
);
"""

_FILES = "SELECT path, id, size, mtime_ns, is_transcript FROM file"
_NOT_ONE = Transcript("", (), 0.0)  # marks a JSON file that is not a transcript

Read = Callable[[Path], Transcript]


@dataclass(frozen=True, slots=True)
class Hit:
    """A segment that matches the query; times in seconds from the start of the recording."""

    path: Path
    start_s: float
    end_s: float
    text: str
    speaker: str | None = None
    channel: str | None = None


@dataclass(slots=True)
class Changes:
    """Result of an update.

    Attributes:
        n_files: Transcripts that ``find`` now searches.
        n_read: Files that were read.
        n_gone: Files that no longer exist.
        faults: Files that could not be read, and why.
    """

    n_files: int = 0
    n_read: int = 0
    n_gone: int = 0
    faults: list[tuple[Path, str]] = field(default_factory=list)


class Index:
    """The index in a file; owned by one thread. Every method raises RunError if the file cannot be used."""

    def __init__(self, path: Path, read: Read) -> None:
        """Open or create the index; ``read`` returns a file's transcript, FileError if it is not one."""
        self._path, self._read = path, read
        with _as_run_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = _open(path)
        self._is_whole = False  # True if ``find`` searches all files in the index

    def update(self, files: Iterable[tuple[str | Path, int, int]], on_read: Callable[[], None]) -> Changes:
        """Index files (path, size, mtime in nanoseconds) that are new or changed, and drop those that no longer exist.

        From then on, ``find`` searches these files. ``on_read`` is called before each file that is read.
        """
        changes, scope = Changes(), set()
        with _as_run_errors(self._path), self._writing():
            known = {path: row for path, *row in self._database.execute(_FILES)}
            for path, size, mtime_ns in files:
                row = known.pop(os.fsencode(path), None)
                if row is None or row[1:3] != [size, mtime_ns]:
                    on_read()
                    row = self._read_in(Path(path), size, mtime_ns, changes)
                if row is not None and row[3]:
                    scope.add(row[0])
            gone = [row[0] for path, row in known.items() if not os.path.lexists(path)]
            self._drop(gone)
            changes.n_gone += len(gone)
            self._is_whole = len(gone) == len(known)
        with _as_run_errors(self._path):
            self._search_in(scope)
        changes.n_files = len(scope)
        return changes

    def find(self, query: Query, limit: int) -> list[Hit]:
        """Return at most ``limit`` hits, by file in the order they were indexed, then by time."""
        within = "" if self._is_whole else "AND segment.file IN (SELECT file FROM scope)"
        with _as_run_errors(self._path):
            rows = self._database.execute(
                "SELECT file.path, start_s, end_s, coalesce(text, words), speaker, channel FROM spoken"
                " CROSS JOIN segment ON segment.id = spoken.rowid CROSS JOIN file ON file.id = segment.file"
                f" WHERE spoken MATCH ? {within} ORDER BY spoken.rowid LIMIT ?",
                (query.expression, limit),
            )
            return [Hit(Path(os.fsdecode(path)), *rest) for path, *rest in rows]

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self._database.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        self.close()

    def _read_in(self, path: Path, size: int, mtime_ns: int, changes: Changes) -> list[int] | None:
        """Read and store a file; returns its row (id, size, mtime, is_transcript), None if it cannot be read."""
        try:
            transcript: Transcript | None = self._read(path)
        except FileNotFoundError:
            transcript = None
            changes.n_gone += 1
        except OSError as err:
            transcript = None
            changes.faults.append((path, f"{UNREADABLE}: {err.strerror or err}"))
        except FileError as err:
            transcript = _NOT_ONE
            changes.faults.append((path, err.message))
        self._begin()
        place = os.fsencode(path)
        self._drop([number for (number,) in self._database.execute("SELECT id FROM file WHERE path = ?", (place,))])
        if transcript is None:
            return None
        row = [size, mtime_ns, int(transcript is not _NOT_ONE)]
        cursor = self._database.execute(
            "INSERT INTO file (path, size, mtime_ns, is_transcript) VALUES (?, ?, ?, ?)", (place, *row)
        )
        assert cursor.lastrowid is not None
        self._put(cursor.lastrowid, transcript)
        changes.n_read += 1
        if changes.n_read % N_COMMIT == 0:
            self._database.execute("COMMIT")
        return [cursor.lastrowid, *row]

    def _put(self, file: int, transcript: Transcript) -> None:
        (last_id,) = self._database.execute("SELECT coalesce(max(id), 0) FROM segment").fetchone()
        segments, texts = [], []
        for segment in transcript.segments:
            text = segment.text.strip()
            if text:
                last_id += 1
                names = (_name(segment.speaker), _name(segment.channel))
                segments.append((last_id, file, segment.start_s, segment.end_s, *names))
                words = spaced(text)
                texts.append((last_id, words, None if words == text else text.encode("utf-8", "replace").decode()))
        self._database.executemany("INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?)", segments)
        self._database.executemany("INSERT INTO spoken (rowid, words, text) VALUES (?, ?, ?)", texts)

    def _drop(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._begin()
            of_file = "(SELECT id FROM segment WHERE file = ?)"
            self._database.execute(f"DELETE FROM spoken WHERE rowid IN {of_file}", (number,))
            self._database.execute("DELETE FROM segment WHERE file = ?", (number,))
            self._database.execute("DELETE FROM file WHERE id = ?", (number,))

    def _search_in(self, scope: set[int]) -> None:
        """Restrict ``find`` to these files, unless they are all that the index has."""
        self._database.execute("CREATE TEMP TABLE IF NOT EXISTS scope (file INTEGER PRIMARY KEY)")
        self._database.execute("BEGIN")
        self._database.execute("DELETE FROM scope")
        if not self._is_whole:
            self._database.executemany("INSERT INTO scope VALUES (?)", [(number,) for number in scope])
        self._database.execute("COMMIT")

    def _begin(self) -> None:
        """Begin a transaction on the first write, so that a search without changes never waits for another."""
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Commit at the end; on an exception, roll the last transaction back."""
        try:
            yield
            if self._database.in_transaction:
                self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")


def _open(path: Path) -> sqlite3.Connection:
    """Open the database; rebuild one of ours that is damaged or of another version."""
    try:
        return _connect(path)
    except sqlite3.DatabaseError as err:
        if isinstance(err, sqlite3.OperationalError):  # locked, full, no FTS5: the file is not to blame
            raise
    _check_owner(path)
    for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        name.unlink(missing_ok=True)
    return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    if path.name != ":memory:":
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # transcripts are private, so only the owner may read it
    database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    with ExitStack() as undo:
        undo.callback(database.close)
        (owner,), (version,) = (
            database.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
        )
        (n_tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if owner != APPLICATION_ID and (owner or version or n_tables):
            raise RunError("this is a database of another program; choose another journal with --journal", path)
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError("another version")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")  # a lost index can be rebuilt
        if not n_tables:
            _create(database)
        undo.pop_all()
    return database


def _create(database: sqlite3.Connection) -> None:
    """Create the tables, unless another search has just done so."""
    database.execute("BEGIN IMMEDIATE")
    try:
        if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            for statement in filter(str.strip, _SCHEMA.split(";\n")):
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


def _check_owner(path: Path) -> None:
    """Raise RunError if the file does not begin as a database of ours."""
    with path.open("rb") as file:
        head = file.read(72)
    if head and (not head.startswith(b"SQLite format 3\0") or head[68:72] != APPLICATION_ID.to_bytes(4, "big")):
        raise RunError("this file is not a search index; choose another journal with --journal", path)


def _name(name: str | None) -> str | None:
    return None if name is None else plain(name)


@contextmanager
def _as_run_errors(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the operating system into RunError."""
    try:
        yield
    except sqlite3.Error as err:
        if "fts5" in str(err):
            raise RunError(NO_FTS5) from err
        raise RunError(
            f"the search index cannot be used ({err}); delete the file, and the next search rebuilds it", path
        ) from err
    except OSError as err:
        raise RunError(f"the search index cannot be used ({err.strerror or err})", path) from err
