"""Regular files, opened so that nothing else is: opening a pipe may wait for ever, and a device may act or never end.

And a file that grows as a run goes on and appears whole at its end.
"""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from whisperbatch.errors import RunError


class IrregularFileError(OSError):
    """A folder, pipe, socket or device lies where a file was looked for; its ``errno`` is None."""


class TooLargeError(OSError):
    """A file holds more than is read of its kind; its ``errno`` is None."""


def open_regular(path: Path) -> io.FileIO:
    """The file, opened for reading without a buffer of its own; IrregularFileError when it is none."""
    _require_regular(os.stat(path))  # noqa: PTH116  (takes what Path.stat takes)
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _require_regular(os.fstat(number))  # another may lie there by now
    except OSError:
        os.close(number)
        raise
    return os.fdopen(number, "rb", buffering=0)


def read_regular(path: Path) -> bytes:
    """All that a file holds; IrregularFileError when it is none."""
    with open_regular(path) as file:
        return file.readall()


def read_bounded(path: Path, most: int) -> bytes:
    """All that a file holds, when that is at most ``most`` bytes; TooLargeError or IrregularFileError otherwise."""
    with open_regular(path) as file:
        data = b""
        while len(data) <= most and (part := file.read(most + 1 - len(data))):
            data += part
    if len(data) > most:
        raise TooLargeError(f"is larger than {most // 1000} kB")
    return data


class WholeFile:
    """A text file in UTF-8 that grows beside its place and gets there whole; owned by one thread.

    Every method raises RunError when it cannot be written, in a sentence that calls it ``what``.
    """

    def __init__(self, path: Path, what: str) -> None:
        """Open the temporary file beside it."""
        self._path, self._what = path, what
        self._temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with self._telling():
            self._stream = self._temporary.open("w", encoding="utf-8", newline="\n")

    def write(self, text: str) -> None:
        """Add to it."""
        with self._telling():
            self._stream.write(text)

    def place(self) -> None:
        """Put it on the disk and in its place."""
        with self._telling():
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._temporary.replace(self._path)

    def discard(self) -> None:
        """Leave nothing behind, unless it is in its place."""
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            raise RunError(f"{self._what} cannot be written: {err.strerror}", self._path) from err


def _require_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IrregularFileError("is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise IrregularFileError("is not a regular file")
