"""Copies of one recording in one run: the first is transcribed, the others get its transcript.

A file is a copy when all of its bytes are the same as another's, and so is everything else that its text depends on.
All bytes are read only if size and sample agree. Nothing here uses the disk or the journal.
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

MAX_BYTES = 32 << 20  # of packed transcripts, kept for copies that come later
MIN_PACKED = 4_096  # bytes; setting up compression takes longer than writing a short transcript
MAX_DONE = 1_000  # remembered marks of groups that have ended; other threads look for them within moments

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mark:
    """What copies have in common and is cheap to compute; other recordings may share it.

    Attributes:
        size: Bytes of the file.
        suffix: Suffix of its name, in lower case: it may decide how the file is read.
        sample: Digest of a sample of its bytes.
        recipe: What the text depends on besides the recording.
    """

    size: int
    suffix: str
    sample: str
    recipe: str


@dataclass(eq=False, slots=True)
class Group(Generic[T]):
    """Copies of one recording; the first is being transcribed, or has been.

    Attributes:
        path: File of the first.
        content: Returns the digest of all of that file's bytes; None if it can no longer be read.
        waiting: Files that wait for the first.
    """

    mark: Mark
    path: Path
    content: Callable[[], str | None]
    waiting: list[T] = field(default_factory=list)
    packed: bytes | None = None  # the transcript, if it is done and kept


@dataclass(frozen=True, slots=True)
class Place(Generic[T]):
    """A file's place in a group.

    Attributes:
        group: The group of which it is the first, or in which it waits.
        waits: Whether it waits, to be returned by ``done`` or ``failed``.
        transcript: Its transcript if there is one already; None if it must be transcribed.
        is_late: Whether a file with its mark was just finished, and may be found in the journal.
    """

    group: Group[T]
    waits: bool = False
    transcript: Transcript | None = None
    is_late: bool = False


class Copies(Generic[T]):
    """The groups of one run; any thread may call it."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        """Start empty; keep at most ``max_bytes`` of transcripts for copies that come later."""
        self._max_bytes, self._n_bytes = max_bytes, 0
        self._groups: dict[Mark, list[Group[T]]] = {}
        self._kept: OrderedDict[int, Group[T]] = OrderedDict()  # by id, the most recently used last
        self._done: OrderedDict[Mark, None] = OrderedDict()  # the latest last
        self._lock = threading.Lock()

    def place(self, file: T, path: Path, mark: Mark, content: Callable[[], str | None]) -> Place[T]:
        """Return the place of the file at ``path``; ``content`` is called only if another file has its mark."""
        is_same: dict[Group[T], bool] = {}
        while True:  # other files may arrive while contents are read
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
        """Return the files that waited for the first; its transcript is kept for later copies unless it is None."""
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
        """Return the files that waited for the first, which has no transcript."""
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
