"""Files: open regular ones only, and write one during a run that appears whole at its end.

Opening a pipe may block for ever, and a device may act when opened or never end; so neither is opened.
"""

import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from whisperbatch.errors import RunError


class IrregularFileError(OSError):
    """The path is a folder, pipe, socket or device, not a regular file; its ``errno`` is None."""


class TooLargeError(OSError):
    """The file is larger than the limit for its kind; its ``errno`` is None."""


def open_regular(path: Path) -> io.FileIO:
    """Open a file for reading, unbuffered; IrregularFileError when it is not a regular file."""
    _require_regular(os.stat(path))  # noqa: PTH116  (takes what Path.stat takes)
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _require_regular(os.fstat(number))  # it may have been replaced meanwhile
    except OSError:
        os.close(number)
        raise
    return os.fdopen(number, "rb", buffering=0)


def read_regular(path: Path) -> bytes:
    """Return a file's content; IrregularFileError when it is not a regular file."""
    with open_regular(path) as file:
        return file.readall()


def read_bounded(path: Path, most: int) -> bytes:
    """Return a file's content, at most ``most`` bytes; TooLargeError or IrregularFileError otherwise."""
    with open_regular(path) as file:
        data = b""
        while len(data) <= most and (part := file.read(most + 1 - len(data))):
            data += part
    if len(data) > most:
        raise TooLargeError(f"is larger than {most // 1000} kB")
    return data


def cache_folder() -> Path:
    """Return this program's folder in the user's cache; it need not exist."""
    try:
        home = Path.home()
    except RuntimeError:  # an account without a home folder
        home = Path("/var/tmp")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(base) / "whisperbatch"


class WholeFile:
    """A UTF-8 text file, written to a temporary file beside its path and then renamed; for one thread.

    Every method raises RunError when the file cannot be written; ``what`` is the file's name in that message.
    """

    def __init__(self, path: Path, what: str) -> None:
        """Open the temporary file beside ``path``."""
        self._path, self._what = path, what
        self._temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with self._run_errors():
            self._stream = self._temporary.open("w", encoding="utf-8", newline="\n")

    def write(self, text: str) -> None:
        """Append text."""
        with self._run_errors():
            self._stream.write(text)

    def place(self) -> None:
        """Flush the file to disk and rename it to its path."""
        with self._run_errors():
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._temporary.replace(self._path)

    def discard(self) -> None:
        """Remove the temporary file, unless it was renamed by ``place``."""
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    @contextmanager
    def _run_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            raise RunError(f"{self._what} cannot be written: {err.strerror}", self._path) from err


def _require_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IrregularFileError("is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise IrregularFileError("is not a regular file")
