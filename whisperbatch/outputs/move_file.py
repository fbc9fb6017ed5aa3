"""A recording to another folder, whole or not at all, over nothing that lies there.

Within a file system it gets its new name before it loses the old one; across file systems it is copied, synced, named,
and then removed. Killed in between, it lies in both places, and moving it again removes the old one.
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
    """Where the file lies now: at ``target``, or beside it with a number when another file has the name.

    ``known`` is the source's ``lstat``, as it is now by default: a recorder may give the name to its next file at any
    moment, which then stays. A target that is the source itself, by another name of its folder, is where it lies.

    Raises:
        WriteError: It could not be moved, and lies where it lay.
    """
    try:
        known = source.lstat() if known is None else known
        target.parent.mkdir(parents=True, exist_ok=True)
        for place in _numbered(target):
            if os.path.lexists(place) and not is_copy(place, source):
                continue
            if _is_itself(place, source):
                return place
            with suppress(FileExistsError):  # somebody was quicker: the next name
                if not os.path.lexists(place):
                    _name(source, place, known)
                sync(place.parent)
                _take_away(source, place, known)
                sync(source.parent)
                return place
    except OSError as err:
        raise WriteError(f"the recording cannot be moved to {target.parent}: {reason(err)}", source) from err
    raise AssertionError("numbers do not end")


def is_copy(place: Path, source: Path) -> bool:
    """Whether a file is the same as another, byte for byte."""
    try:
        if place.is_symlink() or source.is_symlink():
            return place.resolve() == source.resolve()
        return place.samefile(source) or (
            place.is_file() and place.stat().st_size == source.stat().st_size and _equal(place, source)
        )
    except OSError:
        return False


def _is_itself(place: Path, source: Path) -> bool:
    """Whether both are one entry of one folder, which is mounted twice, say, or has two spellings."""
    try:
        one, other = place.lstat(), source.lstat()
        is_one_file = os.path.samestat(one, other)
        return is_one_file and (
            one.st_nlink == 1 or (place.name == source.name and place.parent.samefile(source.parent))
        )
    except OSError:
        return False


def _take_away(source: Path, place: Path, known: os.stat_result) -> None:
    """Take a name away from the file that ``place`` has too, and from no other.

    What has come under the name meanwhile keeps it. OSError when the file itself was changed; then ``place`` goes.
    """
    try:
        status = source.lstat()
        if _told_by(status) == _told_by(known) and status.st_ino == known.st_ino:
            aside = source.parent / f"{PREFIX}{os.getpid()}-{next(_numbers)}.moved"
            source.rename(aside)
            if _told_by(aside.lstat()) == _told_by(known):
                aside.unlink()
                return
            _put_back(aside, source)
    except FileNotFoundError:  # somebody else has taken it away
        return
    if os.path.samestat(place.lstat(), source.lstat()):
        place.unlink()
        raise OSError("it changed meanwhile")


def _put_back(aside: Path, source: Path) -> None:
    for place in _numbered(source):
        with suppress(FileExistsError):
            _name(aside, place, aside.lstat())
            aside.unlink()
            return


def _told_by(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _equal(one: Path, other: Path) -> bool:
    filecmp.clear_cache()  # it would go by size and time
    return filecmp.cmp(one, other, shallow=False)


def _numbered(target: Path) -> Iterator[Path]:
    yield target
    yield from (target.with_name(f"{target.stem}-{n}{target.suffix}") for n in itertools.count(2))


def _name(source: Path, place: Path, known: os.stat_result) -> None:
    """Have the file at ``place`` too; FileExistsError when there is one, OSError when it is no more the one known."""
    if source.is_symlink():  # what it leads to stays where it is
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
        if _told_by(source.stat()) != _told_by(known):
            raise OSError("it changed meanwhile")
        try:
            os.link(temporary, place)
        except FileExistsError:
            raise
        except OSError:  # no hard links: hold the name with an empty file of our own
            os.close(os.open(place, os.O_CREAT | os.O_EXCL))
            temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)
