"""Regular files, opened so that nothing else is: opening a pipe may wait for ever, and a device may act or never end.

Who calls: every room that opens what it did not make itself.
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO


class IrregularFileError(OSError):
    """A folder, pipe, socket or device lies where a file was looked for; its ``errno`` is None."""


def open_regular(path: Path) -> BinaryIO:
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
        return file.readall()  # type: ignore[attr-defined, no-any-return]


def _require_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IrregularFileError("is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise IrregularFileError("is not a regular file")
