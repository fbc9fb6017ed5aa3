"""The retry policy: what is retried after a failure, when and how; pure except for checks of the disk.

An error may pass or last. Errors that may pass (I/O, memory) are retried with growing pauses; a file on which a load
process died or hung is retried once, alone. Errors that last (the file is not audio) are recorded, and a later run does
not try again without --retry-failed. Others only a later run tries again: a full disk, a file that is gone.
"""

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from whisperbatch.errors import LoadError, RefusedError, RunError, WhisperbatchError, WorkerDiedError, WorkerStartError
from whisperbatch.files import IrregularFileError, open_regular
from whisperbatch.options import FailureOptions

PAUSES_S = (0.5, 2.0, 8.0, 30.0)  # before each retry; the last value repeats
PASSING = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "EAGAIN", "EBUSY", "ETIMEDOUT", "ESTALE", "ENOTCONN", "ENETDOWN", "ENETUNREACH", "EHOSTDOWN"),
        *("EHOSTUNREACH", "ECONNRESET", "ENOMEM", "EMFILE", "ENFILE", "EREMOTEIO"),
    )
    if hasattr(errno, name)
)


@dataclass(frozen=True, slots=True)
class Retry:
    """How a file is retried: after a pause, and, if ``alone``, while no other file is loaded."""

    pause_s: float
    alone: bool = False


def retry_of(error: WhisperbatchError, path: Path, n_tries: int, retries: int) -> Retry | None:
    """Return how to retry a file that failed for the ``n_tries``-th time; None if it is not retried."""
    if isinstance(error, WorkerDiedError):
        return Retry(0.0, alone=True) if n_tries == 1 and retries > 0 else None
    if n_tries > retries or not may_pass(error, path):
        return None
    return Retry(PAUSES_S[min(n_tries, len(PAUSES_S)) - 1])


def may_pass(error: WhisperbatchError, path: Path) -> bool:
    """Whether a retry in a moment may succeed."""
    if isinstance(error, WorkerStartError):
        return True
    if any(isinstance(e, MemoryError) or (isinstance(e, OSError) and e.errno in PASSING) for e in _chain(error)):
        return True
    number = read_errno(path)
    was_gone = any(isinstance(e, FileNotFoundError) for e in _chain(error))
    if was_gone and number is None:  # its folder was away for a moment
        return True
    return isinstance(error, LoadError) and number in PASSING  # the load process reports only a message


def lasts(error: WhisperbatchError, path: Path) -> bool:
    """Whether a later run would fail too: the file is readable, or the model cannot do what is requested."""
    if isinstance(error, WorkerDiedError | RefusedError):
        return True
    is_about_content = isinstance(error, LoadError) and not isinstance(error, WorkerStartError)
    return is_about_content and read_errno(path) is None and not any(isinstance(e, OSError) for e in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


class ExclusiveLoading:
    """Lets many files load, or one alone, which may have failed for lack of memory; any thread may call it."""

    def __init__(self) -> None:
        """Start with no file loading."""
        self._n_loading = self._n_waiting = 0
        self._is_alone = False
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, *, alone: bool) -> Iterator[None]:
        """Wait for permission to load, and hold it."""
        with self._changed:
            self._n_waiting += alone  # later callers wait behind it
            self._changed.wait_for(lambda: not self._is_alone and not (self._n_loading if alone else self._n_waiting))
            self._n_waiting -= alone
            self._n_loading += 1
            self._is_alone = alone
        try:
            yield
        finally:
            with self._changed:
                self._n_loading -= 1
                self._is_alone = False
                self._changed.notify_all()


class FailureLimit:
    """Counts failed files, and ends the run at the limit; any thread may call it."""

    def __init__(self, options: FailureOptions) -> None:
        """Start at 0."""
        self._options = options
        self._n_failed = 0
        self._lock = threading.Lock()

    def count(self) -> None:
        """Count one more; RunError at the limit."""
        limit = 1 if self._options.fail_fast else self._options.max_failures
        with self._lock:
            self._n_failed += 1
            n_failed = self._n_failed
        if limit is not None and n_failed >= limit:
            flag = "--fail-fast" if self._options.fail_fast else f"--max-failures {limit}"
            failed = "a file" if n_failed == 1 else f"{n_failed} files"
            raise RunError(f"{failed} failed, which ends the run ({flag}); run again to continue")


def unexpected(kind: type[WhisperbatchError], when: str, err: Exception) -> WhisperbatchError:
    """Return an error of ``kind`` that describes an unexpected exception, which is its cause."""
    reason = str(err).strip().partition("\n")[0]
    error = kind(f"unexpected {type(err).__name__} {when}" + (f": {reason}" if reason else ""))
    error.__cause__ = err
    return error


def read_errno(path: Path) -> int | None:
    """Return the errno with which reading the file fails; None if it can be read."""
    try:
        with open_regular(path) as stream:
            stream.read(1)
    except IrregularFileError:  # this will not change
        return None
    except OSError as err:
        return err.errno or errno.EIO
    except ValueError:
        return None
    return None
