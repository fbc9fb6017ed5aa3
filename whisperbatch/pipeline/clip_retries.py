"""Retry clips that failed in the engine for a reason that may pass, after a pause.

Only the clip is retried: the rest of its file stays decoded, and the engine continues with other clips meanwhile.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from whisperbatch.pipeline.retry_policy import retry_of
from whisperbatch.records import Clip, ClipFailed

ClipKey = tuple[int, int]  # a clip's file and index


class ClipRetries:
    """The clips in the engine, and those that wait for a retry; owned by the engine's thread."""

    def __init__(self, retries: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Start empty; a clip is retried at most ``retries`` times."""
        self._retries, self._clock = retries, clock
        self._held: dict[ClipKey, Clip] = {}
        self._n_tries: dict[ClipKey, int] = {}
        self._waiting: list[tuple[float, Clip]] = []  # with the time from which each may be retried

    @property
    def is_waiting(self) -> bool:
        """Whether a clip waits for a retry."""
        return bool(self._waiting)

    def admitted(self, clips: Sequence[Clip]) -> None:
        """Remember clips that the engine has taken, until their result comes."""
        self._held.update({(clip.file_id, clip.index): clip for clip in clips})

    def ended(self, file_id: int, index: int) -> Clip | None:
        """Remove and return a clip whose result has come; None if it is unknown."""
        return self._held.pop((file_id, index), None)

    def schedule(self, failed: ClipFailed, path: Path) -> bool:
        """Schedule a retry of a clip that failed; return False if there is none."""
        key = failed.file_id, failed.index
        clip = self.ended(*key)
        n_tries = self._n_tries.get(key, 0) + 1
        retry = retry_of(failed.error, path, n_tries, self._retries)
        if clip is None or retry is None:
            return False
        self._n_tries[key] = n_tries
        # the engine no longer waits for its vote: the other voters have decided the language
        self._waiting.append((self._clock() + retry.pause_s, replace(clip, vote=None)))
        return True

    def due(self, limit: int, *, at_once: bool) -> list[Clip]:
        """Return at most ``limit`` clips whose pause is over; ``at_once`` ignores pauses."""
        now_s = self._clock()
        ready = [clip for due_s, clip in self._waiting if at_once or due_s <= now_s][:limit]
        self._waiting = [one for one in self._waiting if one[1] not in ready]
        return ready

    def forget(self, file_id: int) -> None:
        """Drop everything about a file that has ended."""
        for keyed in (self._held, self._n_tries):
            for key in [key for key in keyed if key[0] == file_id]:
                del keyed[key]
        self._waiting = [one for one in self._waiting if one[1].file_id != file_id]
