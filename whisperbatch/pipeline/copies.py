"""Copies of one recording in one run: the first is transcribed, the others get its transcript.

Comes in: files that are about to be transcribed, and how that went. Goes out: which of them wait for which, and
transcripts. A file is a copy when all of its bytes are the same, and what its text depends on beside them. All of them
are read only where size and sample agree. Nothing here knows the disk, the journal or a thread but its lock.
"""

import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from whisperbatch.records import Transcript
from whisperbatch.writers import read_json, render
from whisperbatch.writers.content import encoded

MAX_BYTES = 32 << 20  # of packed transcripts that are kept for copies that come later
MIN_PACKED = 4_096  # bytes; to set up the compression takes longer than to write a short transcript
MAX_DONE = 1_000  # marks that are remembered of groups that have ended; others look for them within moments

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mark:
    """What copies have in common and is cheap to tell; other recordings may have it too.

    Attributes:
        size: Bytes of the file.
        suffix: Of its name, in lower case: it may decide how the file is read.
        sample: Digest of a sample of its bytes.
        recipe: What the text depends on beside the recording.
    """

    size: int
    suffix: str
    sample: str
    recipe: str


@dataclass(eq=False, slots=True)
class Group(Generic[T]):
    """Copies of one recording; its first is being transcribed, or has been.

    Attributes:
        path: The first one's file.
        content: Gives the digest of all of that file's bytes; None when it cannot be had any more.
        waiting: Those that wait for the first.
    """

    mark: Mark
    path: Path
    content: Callable[[], str | None]
    waiting: list[T] = field(default_factory=list)
    packed: bytes | None = None  # the transcript, once there is one and it is kept


@dataclass(frozen=True, slots=True)
class Place(Generic[T]):
    """Where a file belongs.

    Attributes:
        group: The group that it is the first of, or waits in.
        waits: Whether it waits, and comes back through ``done`` or ``failed``.
        transcript: What is known of it already; None when it is to be transcribed.
        is_late: Whether one with its mark has just been done, and may be found where that is noted.
    """

    group: Group[T]
    waits: bool = False
    transcript: Transcript | None = None
    is_late: bool = False


class Copies(Generic[T]):
    """The groups of one run; any thread may call it."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        """Know no file; keep at most so many bytes of transcripts for copies that come later."""
        self._max_bytes, self._n_bytes = max_bytes, 0
        self._groups: dict[Mark, list[Group[T]]] = {}
        self._kept: OrderedDict[int, Group[T]] = OrderedDict()  # by id, the one used last at the end
        self._done: OrderedDict[Mark, None] = OrderedDict()  # the latest at the end
        self._lock = threading.Lock()

    def place(self, file: T, path: Path, mark: Mark, content: Callable[[], str | None]) -> Place[T]:
        """Where the file at ``path`` belongs; ``content`` is asked only when another has its mark."""
        is_same: dict[Group[T], bool] = {}
        while True:  # others may come while files are read
            with self._lock:
                groups = self._groups.get(mark, ())
                unread = [group for group in groups if group not in is_same]
                if not unread:
                    same = next((group for group in groups if is_same[group]), None)
                    place, packed = self._placed(file, same or Group(mark, path, content), is_new=same is None)
                    break
            mine = content()
            is_same |= {group: mine is not None and group.content() == mine for group in unread}
        return place if packed is None else replace(place, transcript=_unpacked(packed))

    def _placed(self, file: T, group: Group[T], *, is_new: bool) -> tuple[Place[T], bytes | None]:
        if is_new:
            self._groups.setdefault(group.mark, []).append(group)
        elif group.packed is None:
            group.waiting.append(file)
        else:
            self._kept.move_to_end(id(group))
        is_late = is_new and group.mark in self._done
        return Place(group, waits=not is_new and group.packed is None, is_late=is_late), group.packed

    def done(self, group: Group[T], transcript: Transcript | None) -> list[T]:
        """Those that waited for the first, which has its transcript; it is kept for later ones unless it is None."""
        packed = None if transcript is None else _packed(transcript)
        with self._lock:
            waiting, group.waiting = group.waiting, []
            if not self._is_known(group):
                return waiting
            if packed is None or len(packed) > self._max_bytes:
                self._drop(group)
                self._done[group.mark] = None
                while len(self._done) > MAX_DONE:
                    self._done.popitem(last=False)
                return waiting
            group.packed = packed
            self._kept[id(group)] = group
            self._n_bytes += len(packed)
            while self._n_bytes > self._max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._n_bytes -= len(oldest.packed or b"")
                self._drop(oldest)
            return waiting

    def failed(self, group: Group[T]) -> list[T]:
        """Those that waited for the first, of which nothing comes."""
        with self._lock:
            waiting, group.waiting = group.waiting, []
            if group.packed is None and self._is_known(group):
                self._drop(group)
            return waiting

    def _is_known(self, group: Group[T]) -> bool:
        return group in self._groups.get(group.mark, ())

    def _drop(self, group: Group[T]) -> None:
        groups = self._groups[group.mark]
        groups.remove(group)
        if not groups:
            del self._groups[group.mark]


def _packed(transcript: Transcript) -> bytes:
    data = encoded(render(transcript, "json"))
    return data if len(data) < MIN_PACKED else zlib.compress(data, 1)


def _unpacked(data: bytes) -> Transcript:
    return read_json(data if data.startswith(b"{") else zlib.decompress(data))
