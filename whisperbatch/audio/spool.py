"""Samples on disk: a recording too long for memory, written by the load process and read slice by slice by the engine.

Comes in: samples as they are decoded. Goes out: ``Spooled``, which satisfies ``records.Samples``. The file loses its
name as soon as the reader has it open, where the system allows; of what a dead process leaves, the next start frees the
disk.
"""

import hashlib
import itertools
import os
import platform
import re
import sys
import threading
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np

from whisperbatch.errors import SpoolError
from whisperbatch.processes import RUN, has_ended

N_BYTES = 2  # a sample
N_BUFFER = 1 << 20  # bytes a write

_HOST = hashlib.sha256(platform.node().encode(errors="replace")).hexdigest()[:8]
_NAME = re.compile(r"\.whisperbatch-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-(?P<run>[0-9a-f]{8})-\d+\.pcm")
_numbers = itertools.count()
_cleaned: set[Path] = set()


def default_folder() -> Path:
    """The user's cache: on a disk, where a temporary folder may lie in memory."""
    try:
        home = Path.home()
    except RuntimeError:  # an account without one
        home = Path("/var/tmp")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(base) / "whisperbatch" / "spool"


class Spool:
    """A file that samples are written to, for one thread."""

    def __init__(self, folder: Path) -> None:
        """Make the file, and ``folder``; SpoolError when that can't be."""
        self.path = folder / f".whisperbatch-{_HOST}-{os.getpid()}-{RUN}-{next(_numbers)}.pcm"
        self._n_samples = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _remove_stale(folder)
            self._file = self.path.open("xb", buffering=N_BUFFER)
        except OSError as err:
            raise _unwritable(folder, err) from err

    def write(self, samples: np.ndarray) -> None:
        """Add int16 (n_samples,)."""
        try:
            self._file.write(np.ascontiguousarray(samples).data)
        except OSError as err:
            raise _unwritable(self.path.parent, err) from err
        self._n_samples += len(samples)

    def close(self) -> None:
        """Put the last of it where the reader sees it."""
        try:
            self._file.close()
        except OSError as err:
            raise _unwritable(self.path.parent, err) from err

    def give_up(self) -> None:
        """Close it, whatever becomes of its samples."""
        with suppress(OSError):
            self._file.close()

    def __len__(self) -> int:
        """How many samples were written."""
        return self._n_samples


class Spooled:
    """The samples of a spool, read from any thread; the file is freed with it."""

    def __init__(self, path: Path) -> None:
        """Open the file and take its name away; OSError when it is not there. It has no samples before ``seal``."""
        self._n_samples = 0
        self._number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        self._lock = threading.Lock()
        remove(path)
        weakref.finalize(self, _free, self._number, path)

    def seal(self, n_samples: int) -> None:
        """Say how many samples there are, once all are written."""
        self._n_samples = n_samples

    def __len__(self) -> int:
        """How many samples there are."""
        return self._n_samples

    def __getitem__(self, span: slice, /) -> np.ndarray:
        """int16 (n_samples,) of ``[start, stop)``, a copy."""
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
    """Take a file's name away; where it is open and the system then refuses, it stays."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _free(number: int, path: Path) -> None:
    os.close(number)
    remove(path)


def _unwritable(folder: Path, error: OSError) -> SpoolError:
    return SpoolError(f"cannot be spooled to {folder} ({error.strerror or error}); use --spool-dir for another place")


def _remove_stale(folder: Path) -> None:
    """Remove what dead processes of this machine left, once a process and folder."""
    if folder in _cleaned:
        return
    _cleaned.add(folder)
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)  # unknown: Windows removes no file that is open
        if match and match["host"] == _HOST and has_ended(int(match["pid"]), match["run"], unknown=True):
            remove(path)
