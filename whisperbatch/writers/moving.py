"""A recording to another folder, whole or not at all, over nothing that lies there.

Within a file system it gets its new name before it loses the old one; across file systems it is copied, synced, named,
and then removed. Killed in between, it lies in both places, and moving it again removes the old one. Who calls: the
pipeline's mover.
"""

import filecmp
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from whisperbatch.errors import WriteError
from whisperbatch.writers.atomic import reason, sync, temporary_beside


def move_to(source: Path, target: Path) -> Path:
    """Where the file lies now: at ``target``, or beside it with a number when another file has the name.

    Raises:
        WriteError: It could not be moved, and lies where it lay.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for place in _numbered(target):
            if os.path.lexists(place) and not is_copy(place, source):
                continue
            with suppress(FileExistsError):  # somebody was quicker: the next name
                if not os.path.lexists(place):
                    _name(source, place)
                sync(place.parent)
                source.unlink()
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


def _equal(one: Path, other: Path) -> bool:
    filecmp.clear_cache()  # it would go by size and time
    return filecmp.cmp(one, other, shallow=False)


def _numbered(target: Path) -> Iterator[Path]:
    yield target
    yield from (target.with_name(f"{target.stem}-{n}{target.suffix}") for n in itertools.count(2))


def _name(source: Path, place: Path) -> None:
    """Have the file at ``place`` too; FileExistsError when there is one."""
    if source.is_symlink():  # what it leads to stays where it is
        place.symlink_to(source.parent.resolve() / source.readlink())
        return
    try:
        os.link(source, place)
    except FileExistsError:
        raise
    except OSError:  # another file system, or one without hard links
        _copy(source, place)


def _copy(source: Path, place: Path) -> None:
    temporary = temporary_beside(place)
    try:
        before = source.stat()
        with source.open("rb") as incoming, temporary.open("xb") as outgoing:
            shutil.copyfileobj(incoming, outgoing, 1 << 20)
            outgoing.flush()
            os.fsync(outgoing.fileno())
        with suppress(OSError):
            shutil.copystat(source, temporary)
        after = source.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
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
