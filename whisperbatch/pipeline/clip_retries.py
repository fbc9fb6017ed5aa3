"""Clips that failed in the engine for a reason that may pass, and are tried again after a pause.

Only the clip is tried again: what else of its file is decoded stays, and the engine goes on with others meanwhile. Who
calls: the stages.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from whisperbatch.pipeline.retry_policy import retry_of
from whisperbatch.records import Clip, ClipFailed

Mark = tuple[int, int]  # a clip's file and number


class ClipRetries:
    """The clips that the engine holds, and those that wait to go there again; owned by the engine's thread."""

    def __init__(self, retries: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Hold nothing; a clip is tried again at most ``retries`` times."""
        self._retries, self._clock = retries, clock
        self._held: dict[Mark, Clip] = {}
        self._n_tries: dict[Mark, int] = {}
        self._waiting: list[tuple[float, Clip]] = []  # from when on each may go

    @property
    def waits(self) -> bool:
        """Whether a clip waits for another try."""
        return bool(self._waiting)

    def admitted(self, clips: Sequence[Clip]) -> None:
        """Keep what the engine has taken until it is answered."""
        self._held.update({(clip.file_id, clip.index): clip for clip in clips})

    def ended(self, file_id: int, index: int) -> Clip | None:
        """Let go of a clip that was answered; it, if it was held."""
        return self._held.pop((file_id, index), None)

    def takes(self, failed: ClipFailed, path: Path) -> bool:
        """Whether a clip that failed will be tried again."""
        mark = failed.file_id, failed.index
        clip = self.ended(*mark)
        n_tries = self._n_tries.get(mark, 0) + 1
        retry = retry_of(failed.error, path, n_tries, self._retries)
        if clip is None or retry is None:
            return False
        self._n_tries[mark] = n_tries
        # the engine waits for its vote no more: it takes the language that the other voters found
        self._waiting.append((self._clock() + retry.pause_s, replace(clip, vote=None)))
        return True

    def due(self, limit: int, *, at_once: bool) -> list[Clip]:
        """At most ``limit`` clips whose pause is over; ``at_once`` cuts pauses short."""
        now_s = self._clock()
        ready = [clip for due_s, clip in self._waiting if at_once or due_s <= now_s][:limit]
        self._waiting = [one for one in self._waiting if one[1] not in ready]
        return ready

    def forget(self, file_id: int) -> None:
        """Hold nothing of a file that has ended."""
        for marks in (self._held, self._n_tries):
            for mark in [mark for mark in marks if mark[0] == file_id]:
                del marks[mark]
        self._waiting = [one for one in self._waiting if one[1].file_id != file_id]
