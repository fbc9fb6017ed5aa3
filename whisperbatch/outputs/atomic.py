"""Write several files so that each is complete or absent.

Each is written to a temporary file in the target's folder, synced and renamed. ``remove_stale`` deletes temporary files
of dead runs.
"""

import errno
import hashlib
import itertools
import os
import platform
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from whisperbatch.errors import TakenError, WriteError
from whisperbatch.processes import RUN, has_ended
from whisperbatch.writers.content import Content, encoded

PREFIX = ".whisperbatch-"

_HOST = hashlib.sha256(platform.node().encode(errors="replace")).hexdigest()[:8]
_TEMPORARY = re.compile(re.escape(PREFIX) + r"(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-(?P<run>[0-9a-f]{8})-\d+\.tmp")
_numbers = itertools.count()

_ELSEWHERE = "use --output-dir to write elsewhere"
_REASONS = {
    errno.ENOSPC: "the disk is full; make room and run again",
    errno.EDQUOT: "the disk quota is used up; make room and run again",
    errno.EROFS: f"the file system is read-only; {_ELSEWHERE}",
    errno.EACCES: f"no permission to write there; {_ELSEWHERE}",
    errno.EPERM: f"no permission to write there; {_ELSEWHERE}",
    errno.ENAMETOOLONG: "the path is too long for the file system; use --output-dir or --name for a shorter one",
    errno.ENOENT: f"its folder no longer exists; {_ELSEWHERE}",
    errno.EISDIR: f"a folder already has that name; {_ELSEWHERE}",
    errno.ENOTDIR: f"there is a file where its folder should be; {_ELSEWHERE}",
    errno.EEXIST: f"there is a file where its folder should be; {_ELSEWHERE}",
}


def write_all(
    texts: Mapping[Path, Content], *, makes_folders: bool = True, new: Collection[Path] = ()
) -> tuple[Path, ...]:
    r"""Write all files, text as UTF-8 with ``\n``; returns their paths.

    Nothing is renamed before every file is on disk. JSON is renamed first, since it shows what the others belong to:
    after a crash in between, the next run finds it and renders what is missing.

    Args:
        texts: Content by path.
        makes_folders: Create missing folders.
        new: Paths that must still be free.

    Raises:
        TakenError: Another file has appeared at a path in ``new``; it is not replaced, and nothing is written.
        WriteError: A file could not be written; no file is left half written.
    """
    waiting: list[tuple[Path, Path]] = []
    placed: list[Path] = []
    path = Path()
    try:
        for path in sorted(texts, key=lambda path: path.suffix != ".json"):
            if makes_folders:
                path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            temporary = temporary_beside(path)
            waiting.append((temporary, path))
            _write(temporary, texts[path])
        while waiting:
            temporary, path = waiting[0]
            if path not in new:
                temporary.replace(path)
            elif _take(temporary, path):
                placed.append(path)
            del waiting[0]
        for folder in {path.parent for path in texts}:
            sync(folder)
    except TakenError:
        for one in placed:
            one.unlink(missing_ok=True)
        raise
    except OSError as err:
        raise WriteError(f"the transcript cannot be written: {reason(err)}", path) from err
    finally:
        for temporary, _ in waiting:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    return tuple(texts)


def temporary_beside(path: Path) -> Path:
    """Return a hidden name in the same folder, unique across processes and calls."""
    return path.parent / f"{PREFIX}{_HOST}-{os.getpid()}-{RUN}-{next(_numbers)}.tmp"


def reason(error: OSError) -> str:
    """Describe why the operating system refused, and what to try."""
    return _REASONS.get(error.errno or 0) or error.strerror or str(error)


def remove_stale(folder: Path) -> None:
    """Remove temporary files that dead runs of this machine left in a folder; ignores those it cannot remove."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except OSError:
        return
    for name in names:
        match = _TEMPORARY.fullmatch(name)
        if match and match["host"] == _HOST and has_ended(int(match["pid"]), match["run"], unknown=False):
            with suppress(OSError):
                (folder / name).unlink(missing_ok=True)


def _write(path: Path, text: Content) -> None:
    with path.open("xb") as stream:
        stream.write(encoded(text))
        stream.flush()
        os.fsync(stream.fileno())


def _take(temporary: Path, path: Path) -> bool:
    """Rename a file into place; False if an identical file is already there, TakenError if another file is."""
    try:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # no hard links on this file system
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
            temporary.replace(path)
        temporary.unlink(missing_ok=True)
        return True
    except FileExistsError as err:
        if path.is_file() and not path.is_symlink() and path.read_bytes() == temporary.read_bytes():
            temporary.unlink()
            return False
        raise TakenError("the transcript cannot be written: another file has just taken its name", path) from err


def sync(folder: Path) -> None:
    """Sync a folder, so that renames in it are durable, where the system allows that."""
    if os.name == "nt":  # Windows cannot open folders, and need not
        return
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:  # the folder may be writable but not readable
        return
    try:
        os.fsync(number)
    except OSError as err:
        if err.errno == errno.EIO:  # network and user-space file systems refuse otherwise
            raise
    finally:
        os.close(number)
