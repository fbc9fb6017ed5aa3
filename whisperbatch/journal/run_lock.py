"""Locks that show which runs are alive: each run locks a file of its own, so that no clock is needed.

A process loses its lock however it ends; a sleeping laptop keeps it.
"""

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path


class RunLock:
    """The lock of one run, beside the journal; held from creation until ``release``."""

    def __init__(self, journal: Path) -> None:
        """Create and lock a new file."""
        self.token = secrets.token_hex(8)
        self._path = _file(journal, self.token)
        self._number: int | None = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        is_ours = _try_lock(self._number)
        assert is_ours

    def release(self) -> None:
        """Release the lock and remove its file."""
        if self._number is not None:
            if os.name != "nt":
                with suppress(OSError):  # on a file system that became read-only the file stays, which does no harm
                    self._path.unlink(missing_ok=True)
            os.close(self._number)
            self._number = None
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def is_alive(journal: Path, token: str) -> bool:
    """Whether the run with that token still holds its lock."""
    try:
        number = os.open(_file(journal, token), os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:  # another user's, for example: better to wait for it than to do its work twice
        return True
    try:
        return not _try_lock(number)
    finally:
        os.close(number)


def forget(journal: Path, token: str) -> None:
    """Remove the lock file that a dead run left behind."""
    with suppress(OSError):
        _file(journal, token).unlink(missing_ok=True)


def _file(journal: Path, token: str) -> Path:
    return journal.with_name(f"{journal.name}.run-{token}")


if sys.platform == "win32":
    import msvcrt

    def _try_lock(number: int) -> bool:
        try:
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(number: int) -> bool:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
