"""Move a recording to another folder, completely or not at all, without replacing anything.

Within a file system the file gets its new name before it loses the old one; across file systems it is copied, synced,
named, and then removed. After a crash in between it is in both places, and moving it again removes the old one.
"""

import filecmp
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from whisperbatch.errors import WriteError
from whisperbatch.outputs.atomic import PREFIX, reason, sync, temporary_beside

_numbers = itertools.count()


def move_to(source: Path, target: Path, known: os.stat_result | None = None) -> Path:
    """Move the file to ``target``, or to a numbered name beside it if another file has that name.

    If the target is the source itself, under another name of its folder, nothing is moved.

    Args:
        source: The recording.
        target: The new path.
        known: The ``lstat`` of the file to move, by default the source's now. A recorder may give the name to its next
            file at any moment; that file stays.

    Returns:
        The path where the file is now.

    Raises:
        WriteError: It could not be moved, and is still at ``source``.
    """
    try:
        known = source.lstat() if known is None else known
        target.parent.mkdir(parents=True, exist_ok=True)
        for place in _numbered(target):
            if os.path.lexists(place) and not is_copy(place, source):
                continue
            if _is_itself(place, source):
                return place
            with suppress(FileExistsError):  # another process was quicker: try the next name
                if not os.path.lexists(place):
                    _name(source, place, known)
                sync(place.parent)
                _remove_source(source, place, known)
                sync(source.parent)
                return place
    except OSError as err:
        raise WriteError(f"the recording cannot be moved to {target.parent}: {reason(err)}", source) from err
    raise AssertionError("unreachable: the names are endless")


def is_copy(place: Path, source: Path) -> bool:
    """Return whether two files are the same byte for byte."""
    try:
        if place.is_symlink() or source.is_symlink():
            return place.resolve() == source.resolve()
        return place.samefile(source) or (
            place.is_file() and place.stat().st_size == source.stat().st_size and _equal(place, source)
        )
    except OSError:
        return False


def _is_itself(place: Path, source: Path) -> bool:
    """True if both are one directory entry, reached through a second mount, say, or another spelling."""
    try:
        one, other = place.lstat(), source.lstat()
        is_one_file = os.path.samestat(one, other)
        return is_one_file and (
            one.st_nlink == 1 or (place.name == source.name and place.parent.samefile(source.parent))
        )
    except OSError:
        return False


def _remove_source(source: Path, place: Path, known: os.stat_result) -> None:
    """Remove the source's name from the file that is now also at ``place``.

    A different file that has since taken the name keeps it. OSError if the file itself was changed; then ``place`` is
    removed.
    """
    try:
        status = source.lstat()
        if _fingerprint(status) == _fingerprint(known) and status.st_ino == known.st_ino:
            aside = source.parent / f"{PREFIX}{os.getpid()}-{next(_numbers)}.moved"
            source.rename(aside)
            if _fingerprint(aside.lstat()) == _fingerprint(known):
                aside.unlink()
                return
            _put_back(aside, source)
    except FileNotFoundError:  # another process has removed it
        return
    if os.path.samestat(place.lstat(), source.lstat()):
        place.unlink()
        raise OSError("it changed during the move")


def _put_back(aside: Path, source: Path) -> None:
    for place in _numbered(source):
        with suppress(FileExistsError):
            _name(aside, place, aside.lstat())
            aside.unlink()
            return


def _fingerprint(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _equal(one: Path, other: Path) -> bool:
    filecmp.clear_cache()  # cached results go by size and time
    return filecmp.cmp(one, other, shallow=False)


def _numbered(target: Path) -> Iterator[Path]:
    yield target
    yield from (target.with_name(f"{target.stem}-{n}{target.suffix}") for n in itertools.count(2))


def _name(source: Path, place: Path, known: os.stat_result) -> None:
    """Put the file at ``place`` as well; FileExistsError if something is there, OSError if the file has changed."""
    if source.is_symlink():  # move the link, not its target
        place.symlink_to(source.parent.resolve() / source.readlink())
        return
    try:
        os.link(source, place)
    except FileExistsError:
        raise
    except OSError:  # another file system, or one without hard links
        _copy(source, place, known)


def _copy(source: Path, place: Path, known: os.stat_result) -> None:
    temporary = temporary_beside(place)
    try:
        with source.open("rb") as incoming, temporary.open("xb") as outgoing:
            shutil.copyfileobj(incoming, outgoing, 1 << 20)
            outgoing.flush()
            os.fsync(outgoing.fileno())
        with suppress(OSError):
            shutil.copystat(source, temporary)
        if _fingerprint(source.stat()) != _fingerprint(known):
            raise OSError("it changed during the move")
        try:
            os.link(temporary, place)
        except FileExistsError:
            raise
        except OSError:  # no hard links: reserve the name with an empty file
            os.close(os.open(place, os.O_CREAT | os.O_EXCL))
            temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)
