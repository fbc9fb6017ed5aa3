"""A set of text files on disk, each whole or not there.

Temporary files lie in the target's own folder, are synced and renamed; those of dead runs are removed. Who calls:
the pipeline's writer thread and the CLI's ``convert``.
"""

import errno
import hashlib
import itertools
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

from whisperbatch.errors import WriteError

PREFIX = ".whisperbatch-"
_HOST = hashlib.sha256(platform.node().encode(errors="replace")).hexdigest()[:8]
_TEMPORARY = re.compile(re.escape(PREFIX) + r"([0-9a-f]{8})-(\d+)-\d+\.tmp")
_numbers = itertools.count()
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only; use --output-dir to write elsewhere",
    errno.EACCES: "no permission to write there; use --output-dir to write elsewhere",
    errno.EPERM: "no permission to write there; use --output-dir to write elsewhere",
    errno.ENAMETOOLONG: "the name is too long for the file system",
}


def write_all(texts: Mapping[Path, str]) -> tuple[Path, ...]:
    """The paths written, in UTF-8 with Unix line ends; WriteError when one could not be, none half written."""
    waiting: list[tuple[Path, Path]] = []
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.parent / f"{PREFIX}{_HOST}-{os.getpid()}-{next(_numbers)}.tmp"
            waiting.append((temporary, path))
            with temporary.open("xb") as stream:
                stream.write(text.encode(errors="replace"))
                stream.flush()
                os.fsync(stream.fileno())
        for temporary, path in waiting:
            temporary.replace(path)
        for folder in {path.parent for path in texts}:
            _sync(folder)
    except OSError as err:
        for temporary, _ in waiting:
            temporary.unlink(missing_ok=True)
        raise WriteError(reason(err), Path(err.filename2 or path)) from err
    return tuple(texts)


def reason(error: OSError) -> str:
    """Why the operating system refused, as a sentence."""
    told = _REASONS.get(error.errno or 0) or error.strerror or str(error)
    return f"the transcript cannot be written: {told}"


def remove_stale(folder: Path) -> None:
    """Remove temporary files that dead runs of this machine left in a folder."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return
    for name in names:
        match = _TEMPORARY.fullmatch(name)
        if match and match[1] == _HOST and not _is_alive(int(match[2])):
            (folder / name).unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    if os.name == "nt":  # there, os.kill would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync(folder: Path) -> None:
    """Make the renames last; Windows cannot open folders, and needs no such thing."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
