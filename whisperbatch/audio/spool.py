"""Samples on disk: a recording too long for memory, written by a load worker and read slice by slice by the engine.

``Spooled``, the reader, satisfies ``records.Samples``. The file is unlinked once the reader has opened it, where the
system allows; leftovers of crashed processes are removed at the next start.
"""

import hashlib
import itertools
import os
import platform
import re
import threading
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np

from whisperbatch.errors import SpoolError
from whisperbatch.files import cache_folder
from whisperbatch.processes import RUN, has_ended

N_BYTES = 2  # per sample
N_BUFFER = 1 << 20  # bytes per write

_HOST = hashlib.sha256(platform.node().encode(errors="replace")).hexdigest()[:8]
_NAME = re.compile(r"\.whisperbatch-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-(?P<run>[0-9a-f]{8})-\d+\.pcm")
_numbers = itertools.count()
_cleaned: set[Path] = set()


def default_folder() -> Path:
    """Return a folder in the user's cache: that is on a disk, while a temporary folder may be in memory."""
    return cache_folder() / "spool"


class Spool:
    """Writes samples to a file, for one thread."""

    def __init__(self, folder: Path) -> None:
        """Create the file, and ``folder``; SpoolError when that fails."""
        self.path = folder / f".whisperbatch-{_HOST}-{os.getpid()}-{RUN}-{next(_numbers)}.pcm"
        self._n_samples = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _remove_stale(folder)
            self._file = self.path.open("xb", buffering=N_BUFFER)
        except OSError as err:
            raise _unwritable(folder, err) from err

    def write(self, samples: np.ndarray) -> None:
        """Append int16 (n_samples,)."""
        try:
            self._file.write(np.ascontiguousarray(samples).data)
        except OSError as err:
            raise _unwritable(self.path.parent, err) from err
        self._n_samples += len(samples)

    def close(self) -> None:
        """Flush and close the file."""
        try:
            self._file.close()
        except OSError as err:
            raise _unwritable(self.path.parent, err) from err

    def give_up(self) -> None:
        """Close the file and ignore errors."""
        with suppress(OSError):
            self._file.close()

    def __len__(self) -> int:
        """The number of samples written."""
        return self._n_samples


class Spooled:
    """The samples of a spool, read from any thread; the file is freed together with this object."""

    def __init__(self, path: Path) -> None:
        """Open and unlink the file; OSError when it does not exist. There are no samples before ``seal``."""
        self._n_samples = 0
        self._number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        self._lock = threading.Lock()
        remove(path)
        weakref.finalize(self, _free, self._number, path)

    def seal(self, n_samples: int) -> None:
        """Set the number of samples, once all are written."""
        self._n_samples = n_samples

    def __len__(self) -> int:
        """The number of samples."""
        return self._n_samples

    def __getitem__(self, span: slice, /) -> np.ndarray:
        """Return a copy of the samples ``[start, stop)``, int16 (n_samples,)."""
        start, stop, step = span.indices(self._n_samples)
        assert step == 1
        out = np.empty(max(0, stop - start), np.int16)
        view, at = out.data.cast("B"), 0
        while at < len(view):
            n_read = self._read_into(view[at:], start * N_BYTES + at)
            if n_read == 0:
                raise OSError("the spooled samples are gone")
            at += n_read
        return out

    def _read_into(self, view: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._number, [view[:N_BUFFER]], offset)
        with self._lock:  # macOS before 11, Windows
            os.lseek(self._number, offset, os.SEEK_SET)
            data = os.read(self._number, min(len(view), N_BUFFER))
        view[: len(data)] = data
        return len(data)


def remove(path: Path) -> None:
    """Unlink a file; it stays where it is open and the system then refuses."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _free(number: int, path: Path) -> None:
    os.close(number)
    remove(path)


def _unwritable(folder: Path, error: OSError) -> SpoolError:
    return SpoolError(f"cannot be spooled to {folder} ({error.strerror or error}); use --spool-dir for another folder")


def _remove_stale(folder: Path) -> None:
    """Remove leftovers of dead processes of this machine, once per process and folder."""
    if folder in _cleaned:
        return
    _cleaned.add(folder)
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)  # unknown=True is safe: Windows does not remove an open file
        if match and match["host"] == _HOST and has_ended(int(match["pid"]), match["run"], unknown=True):
            remove(path)
