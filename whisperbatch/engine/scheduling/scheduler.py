"""Queue windows and pick the next ones to run, those of the clips admitted first. Policy only: no torch.

Windows of clips admitted earlier go first, whether they are first windows, later ones, second looks or retries. So a
clip that has begun is finished, and none starves, since only finitely many clips are older.
"""

import heapq
import itertools
from collections.abc import Callable
from typing import Any

from whisperbatch.engine.scheduling.request import Window
from whisperbatch.engine.scheduling.slots import Slots

EMPTY_SHARE = 16  # one slot in 16 may stay empty while windows wait to be encoded together


class Scheduler:
    """Windows that are ready, and windows parked until their file's language is known; owned by the engine's thread."""

    def __init__(self) -> None:
        """Start with no windows."""
        self._ready: list[tuple[int, int, Window]] = []
        self._parked: dict[int, list[Window]] = {}
        self._order = itertools.count()

    @property
    def n_ready(self) -> int:
        """The number of windows that wait only for a slot."""
        return len(self._ready)

    @property
    def parked(self) -> list[int]:
        """The files with windows that wait for a language."""
        return list(self._parked)

    @property
    def n_parked(self) -> int:
        """The number of windows that wait for a language."""
        return sum(map(len, self._parked.values()))

    def add(self, *windows: Window) -> None:
        """Queue windows."""
        for window in windows:
            heapq.heappush(self._ready, (window.request.number, next(self._order), window))

    def park(self, window: Window) -> None:
        """Keep a window until its file's language is known."""
        self._parked.setdefault(window.request.clip.file_id, []).append(window)

    def unpark(self, file_id: int) -> list[Window]:
        """Remove and return the windows that waited for a file's language."""
        return self._parked.pop(file_id, [])

    def waits(self, slots: Slots[Any], n_together: int) -> bool:
        """Return True if the next windows should wait until more of ``slots`` are free; never while none is used.

        Args:
            slots: The slots that they would take.
            n_together: How many windows take hardly more time to encode than one.
        """
        n_least = min(n_together, len(slots) // EMPTY_SHARE)
        return slots.n_free < n_least and slots.n_used > 0 and self.n_ready > slots.n_free

    def take(self, n: int, fits: Callable[[Window], bool]) -> list[Window]:
        """Remove and return the next windows, at most ``n``, among those that ``fits`` picks."""
        taken: list[Window] = []
        skipped: list[tuple[int, int, Window]] = []
        while self._ready and len(taken) < n:
            entry = heapq.heappop(self._ready)
            if fits(entry[2]):
                taken.append(entry[2])
            else:
                skipped.append(entry)
        for entry in skipped:
            heapq.heappush(self._ready, entry)
        return taken

    def discard(self, unwanted: Callable[[Window], bool]) -> None:
        """Drop the windows that ``unwanted`` picks."""
        self._ready = [entry for entry in self._ready if not unwanted(entry[2])]
        heapq.heapify(self._ready)
        left = {file_id: [w for w in windows if not unwanted(w)] for file_id, windows in self._parked.items()}
        self._parked = {file_id: windows for file_id, windows in left.items() if windows}
