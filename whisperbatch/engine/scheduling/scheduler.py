"""Who runs next: the windows of clips that were admitted first. Policy only: no torch.

Comes in: windows, as clips come to them. Goes out: as many as there is room for.
Windows of clips admitted earlier go first, whether they are first windows, later ones, second looks or retries: a clip
that has begun is finished, and nobody starves, since only finitely many clips are older than any.
"""

import heapq
import itertools
from collections.abc import Callable
from typing import Any

from whisperbatch.engine.scheduling.request import Window
from whisperbatch.engine.scheduling.slots import Slots

EMPTY_SHARE = 16  # one in so many slots may be empty while windows wait for others to be encoded with


class Scheduler:
    """Windows that are ready, and those that wait for their file's language; owned by the engine's thread."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._ready: list[tuple[int, int, Window]] = []
        self._parked: dict[int, list[Window]] = {}
        self._order = itertools.count()

    @property
    def n_ready(self) -> int:
        """How many wait for a slot only."""
        return len(self._ready)

    @property
    def parked(self) -> list[int]:
        """The files whose windows wait for a language."""
        return list(self._parked)

    @property
    def n_parked(self) -> int:
        """How many wait for a language."""
        return sum(map(len, self._parked.values()))

    def add(self, *windows: Window) -> None:
        """Let windows run when their turn comes."""
        for window in windows:
            heapq.heappush(self._ready, (window.request.number, next(self._order), window))

    def park(self, window: Window) -> None:
        """Keep a window until its file's language is known."""
        self._parked.setdefault(window.request.clip.file_id, []).append(window)

    def unpark(self, file_id: int) -> list[Window]:
        """The windows that waited for a file's language."""
        return self._parked.pop(file_id, [])

    def waits(self, slots: Slots[Any], n_together: int) -> bool:
        """Whether the next windows should wait until more of ``slots`` are free; never while none is used.

        Args:
            slots: Where they would go.
            n_together: Windows that are encoded in hardly more time than one.
        """
        n_least = min(n_together, len(slots) // EMPTY_SHARE)
        return slots.n_free < n_least and slots.n_used > 0 and self.n_ready > slots.n_free

    def take(self, n: int, fits: Callable[[Window], bool]) -> list[Window]:
        """The next windows, at most ``n``, among those that ``fits`` picks."""
        taken: list[Window] = []
        passed: list[tuple[int, int, Window]] = []
        while self._ready and len(taken) < n:
            entry = heapq.heappop(self._ready)
            if fits(entry[2]):
                taken.append(entry[2])
            else:
                passed.append(entry)
        for entry in passed:
            heapq.heappush(self._ready, entry)
        return taken

    def discard(self, unwanted: Callable[[Window], bool]) -> None:
        """Forget the windows that ``unwanted`` picks."""
        self._ready = [entry for entry in self._ready if not unwanted(entry[2])]
        heapq.heapify(self._ready)
        kept = {file_id: [w for w in windows if not unwanted(w)] for file_id, windows in self._parked.items()}
        self._parked = {file_id: windows for file_id, windows in kept.items() if windows}
