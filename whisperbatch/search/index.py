"""The index: a database that knows each transcript by size and mtime, and reads again what has changed.

It holds nothing that the transcripts do not, so that one which is damaged or of another version is made anew. A file of
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

APPLICATION_ID = 0x77687378  # "whsx"; how SQLite files say whose they are
VERSION = 1
BUSY_S = 60.0  # how long another search may be writing
N_COMMIT = 200  # transcripts; an interruption loses no more than these
UNREADABLE = "cannot be read"
NO_FTS5 = "this Python's SQLite was built without FTS5, which search needs; use Python from python.org or your system"

_SCHEMA = f"""
CREATE TABLE file (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, size INTEGER, mtime_ns INTEGER,
    is_transcript INTEGER NOT NULL  -- else it is known not to be one, and not read again
);
CREATE TABLE segment (
    id INTEGER PRIMARY KEY,  -- the rowid in spoken
    file INTEGER NOT NULL, start_s REAL, end_s REAL, speaker TEXT, channel TEXT
);
CREATE INDEX segment_file ON segment (file);
CREATE VIRTUAL TABLE spoken USING fts5 (
    words,
    text UNINDEXED,  -- NULL where words are the text
    tokenize = "{TOKENIZER}"
);
"""

_FILES = "SELECT path, id, size, mtime_ns, is_transcript FROM file"
_NOT_ONE = Transcript("", (), 0.0)  # stands for a JSON file of another kind

Read = Callable[[Path], Transcript]


@dataclass(frozen=True, slots=True)
class Hit:
    """A segment that has what is looked for; times in seconds from the start of the recording."""

    path: Path
    start_s: float
    end_s: float
    text: str
    speaker: str | None = None
    channel: str | None = None


@dataclass(slots=True)
class Changes:
    """What an update did: transcripts there are, and read, dropped and not readable among all that were looked at."""

    n_files: int = 0
    n_read: int = 0
    n_gone: int = 0
    faults: list[tuple[Path, str]] = field(default_factory=list)


class Index:
    """The index in a file; owned by one thread. Every method raises RunError when the file cannot be used."""

    def __init__(self, path: Path, read: Read) -> None:
        """Open or make it; ``read`` gives a file's transcript, FileError when it is not one."""
        self._path, self._read = path, read
        with _sentences(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = _opened(path)
        self._is_whole = False  # whether all that it knows is searched

    def update(self, files: Iterable[tuple[str | Path, int, int]], on_read: Callable[[], None]) -> Changes:
        """Take in the files (path, size, mtime in nanoseconds) that are new or changed, and drop those that are gone.

        ``find`` looks in these files from then on. ``on_read`` is called before each that is read.
        """
        changes, scope = Changes(), set()
        with _sentences(self._path), self._writing():
            known = {path: row for path, *row in self._database.execute(_FILES)}
            for path, size, mtime_ns in files:
                row = known.pop(os.fsencode(path), None)
                if row is None or row[1:3] != [size, mtime_ns]:
                    on_read()
                    row = self._take_in(Path(path), size, mtime_ns, changes)
                if row is not None and row[3]:
                    scope.add(row[0])
            gone = [row[0] for path, row in known.items() if not os.path.lexists(path)]
            self._drop(gone)
            changes.n_gone += len(gone)
            self._is_whole = len(gone) == len(known)
        with _sentences(self._path):
            self._search_in(scope)
        changes.n_files = len(scope)
        return changes

    def find(self, query: Query, limit: int) -> list[Hit]:
        """At most ``limit`` hits, in the order in which their files were taken in, and of time."""
        within = "" if self._is_whole else "AND segment.file IN (SELECT file FROM scope)"
        with _sentences(self._path):
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
        """Itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self.close()

    def _take_in(self, path: Path, size: int, mtime_ns: int, changes: Changes) -> list[int] | None:
        """The file's new row: number, size, mtime, whether it is a transcript; None when it cannot be read."""
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
        made = self._database.execute(
            "INSERT INTO file (path, size, mtime_ns, is_transcript) VALUES (?, ?, ?, ?)", (place, *row)
        )
        assert made.lastrowid is not None
        self._put(made.lastrowid, transcript)
        changes.n_read += 1
        if changes.n_read % N_COMMIT == 0:
            self._database.execute("COMMIT")
        return [made.lastrowid, *row]

    def _put(self, file: int, transcript: Transcript) -> None:
        (last,) = self._database.execute("SELECT coalesce(max(id), 0) FROM segment").fetchone()
        segments, texts = [], []
        for segment in transcript.segments:
            text = segment.text.strip()
            if text:
                last += 1
                names = (_name(segment.speaker), _name(segment.channel))
                segments.append((last, file, segment.start_s, segment.end_s, *names))
                words = spaced(text)
                texts.append((last, words, None if words == text else text.encode("utf-8", "replace").decode()))
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
        """Have ``find`` look in these files; in all when the index knows no others."""
        self._database.execute("CREATE TEMP TABLE IF NOT EXISTS scope (file INTEGER PRIMARY KEY)")
        self._database.execute("BEGIN")
        self._database.execute("DELETE FROM scope")
        if not self._is_whole:
            self._database.executemany("INSERT INTO scope VALUES (?)", [(number,) for number in scope])
        self._database.execute("COMMIT")

    def _begin(self) -> None:
        """Begin to write, if that is not so already; a search that has nothing to write waits for no other."""
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Commit in the end what has been written, or nothing of the last transaction."""
        try:
            yield
            if self._database.in_transaction:
                self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")


def _opened(path: Path) -> sqlite3.Connection:
    """The database; one of ours that is damaged or of another version is made anew."""
    try:
        return _connected(path)
    except sqlite3.DatabaseError as err:
        if isinstance(err, sqlite3.OperationalError):  # locked, full, no FTS5: the file is not to blame
            raise
    _require_ours(path)
    for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        name.unlink(missing_ok=True)
    return _connected(path)


def _connected(path: Path) -> sqlite3.Connection:
    if path.name != ":memory:":
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # it holds what was said, so it is its owner's alone
    database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    with ExitStack() as undo:
        undo.callback(database.close)
        (owner,), (version,) = (
            database.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
        )
        (n_tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if owner != APPLICATION_ID and (owner or version or n_tables):
            raise RunError("this is a database of another program; name another journal with --journal", path)
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError("of another version")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")  # it can be made again
        if not n_tables:
            _make(database)
        undo.pop_all()
    return database


def _make(database: sqlite3.Connection) -> None:
    """Make the tables, unless another search has just made them."""
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


def _require_ours(path: Path) -> None:
    """Nothing, or RunError when the file does not begin as a database of ours."""
    with path.open("rb") as file:
        head = file.read(72)
    if head and (not head.startswith(b"SQLite format 3\0") or head[68:72] != APPLICATION_ID.to_bytes(4, "big")):
        raise RunError("this file is not a search index; name another journal with --journal", path)


def _name(given: str | None) -> str | None:
    return None if given is None else plain(given)


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turn what SQLite and the operating system say into RunError."""
    try:
        yield
    except sqlite3.Error as err:
        if "fts5" in str(err):
            raise RunError(NO_FTS5) from err
        raise RunError(f"the search index cannot be used ({err}); remove it, and it is made anew", path) from err
    except OSError as err:
        raise RunError(f"the search index cannot be used ({err.strerror or err})", path) from err
