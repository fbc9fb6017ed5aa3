"""The journal's database file: its path, schema and migration, and error messages when it cannot be used.

A file that is not a whisperbatch journal, or is a newer one, is left unchanged.
"""

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from whisperbatch.errors import RunError

APPLICATION_ID = 0x77686A6C  # "whjl"; marks the SQLite file as ours
BUSY_S = 60.0  # limit for another run's lock on the file; each holds it for a fraction of a millisecond
PAUSE_S = 0.01  # before another try, while another run is creating the file
INSTEAD = "name another with --journal, or go without with --no-journal"

_V1 = """
CREATE TABLE run (token TEXT PRIMARY KEY, pid INTEGER, began REAL) WITHOUT ROWID;
CREATE TABLE file (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL,     -- absolute, as the operating system has it
    folder BLOB NOT NULL,   -- of its outputs
    state TEXT NOT NULL,    -- new, writing, done, failed
    run TEXT,               -- who has claimed it
    base BLOB,              -- the stem of its outputs' names
    size INTEGER, mtime_ns INTEGER, sample TEXT,
    model TEXT, revision TEXT, settings TEXT, language TEXT,
    audio_s REAL, wall_s REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT, is_permanent INTEGER NOT NULL DEFAULT 0,
    changed REAL NOT NULL,  -- seconds since 1970
    UNIQUE (path, folder)
);
CREATE INDEX file_run ON file (run) WHERE run IS NOT NULL;
CREATE TABLE output (
    path BLOB PRIMARY KEY, file INTEGER NOT NULL, format TEXT NOT NULL,
    size INTEGER, mtime_ns INTEGER,  -- as we left it; NULL before it is done
    intended TEXT                    -- digest of what is about to be written; NULL when done
) WITHOUT ROWID;
CREATE INDEX output_file ON output (file);
CREATE TABLE clip (file INTEGER, number INTEGER, mark TEXT, text TEXT, PRIMARY KEY (file, number)) WITHOUT ROWID;
CREATE TABLE redo (scope TEXT PRIMARY KEY, began REAL) WITHOUT ROWID;
"""
_HOOKS = """
CREATE TABLE hook (
    mark TEXT PRIMARY KEY,   -- the hook's {id}
    file INTEGER NOT NULL,
    kind TEXT NOT NULL,      -- done, failed
    command TEXT NOT NULL,   -- its arguments, as JSON
    told TEXT NOT NULL,      -- what became of the recording, as JSON
    tries INTEGER NOT NULL,  -- how often it has failed
    run TEXT                 -- who runs it, or will
);
CREATE INDEX hook_file ON hook (file);
CREATE INDEX hook_free ON hook (kind, command) WHERE run IS NULL;
"""
_CONTENT = """
-- digest of the whole recording that the transcript was made of; empty when it can no more be known
ALTER TABLE file ADD COLUMN content TEXT;
-- the recording of the same content whose transcript was taken
ALTER TABLE file ADD COLUMN twin BLOB;
CREATE INDEX file_content ON file (size, sample);
"""
STEPS = (_V1, _HOOKS, _CONTENT)  # STEPS[n] leads from version n to n + 1; a released step is never changed


def default_path() -> Path:
    """Return the path of the journal in the user's state folder."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        given = os.environ.get("XDG_STATE_HOME", "")
        base = given if Path(given).is_absolute() else Path.home() / ".local" / "state"
    return Path(base) / "whisperbatch" / "journal.sqlite3"


@contextmanager
def readable_errors(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the operating system into RunError."""
    try:
        yield
    except (sqlite3.Error, OSError) as err:
        raise RunError(f"the journal cannot be used ({_reason(err)}); {INSTEAD}", path) from err


def connect(path: Path, steps: tuple[str, ...] = STEPS) -> sqlite3.Connection:
    """Open the journal, and create or migrate it if needed; several runs may do so at once.

    Trap: SQLite does not wait when one connection switches to a write-ahead log while another reads.

    Raises:
        RunError: It is damaged, of another program, newer, or not accessible; it is left unchanged.
    """
    with readable_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        last = time.monotonic() + BUSY_S
        while True:
            try:
                return _connected(path, steps)
            except sqlite3.OperationalError as err:
                if getattr(err, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= last:
                    raise
            threading.Event().wait(PAUSE_S)


def _connected(path: Path, steps: tuple[str, ...]) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    with ExitStack() as undo:
        undo.callback(connection.close)
        _check_owner(connection, path, len(steps))  # first, since what follows writes to the file
        is_wal = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal"
        # with a write-ahead log every commit survives the process; without one a power cut could do damage
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if is_wal else 'FULL'}")
        _migrate(connection, steps)
        undo.pop_all()
    return connection


def _check_owner(connection: sqlite3.Connection, path: Path, newest: int) -> None:
    connection.execute("BEGIN")  # one consistent view: another run may be creating the file
    (owner,), (version,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
    )
    (n_tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.execute("COMMIT")
    if owner != APPLICATION_ID and (owner or version or n_tables):
        raise RunError(f"this is a database of another program; {INSTEAD}", path)
    if version > newest:
        raise RunError(f"a newer whisperbatch made this journal; update whisperbatch, or {INSTEAD}", path)


def _migrate(connection: sqlite3.Connection, steps: tuple[str, ...]) -> None:
    if connection.execute("PRAGMA user_version").fetchone()[0] == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()  # another run may have been first
        for step in steps[version:]:
            for statement in filter(str.strip, step.split(";\n")):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _reason(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    text = str(error)
    if "not a database" in text:
        return "this file is not a journal"
    return "it is damaged: " + text if "malformed" in text else text
