"""Finished clips of long files, kept in the journal until the file is done: a kill then costs minutes, not hours.

A clip's text is taken up again only for the same samples at the same place with the same settings. Who calls: the
stages.
"""

import json
import threading
import zlib
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from whisperbatch.journal import Entry, Journal
from whisperbatch.pipeline.board import Job
from whisperbatch.records import N_SAMPLES, Clip, ClipText, Segment, Word

LONG_S = 30 * 60.0  # a file that is longer is worth it


class ClipKeeper:
    """What is kept of the open files; any thread may call it."""

    def __init__(self, journal: Journal | None, making_of: Callable[[Job], str], long_s: float = LONG_S) -> None:
        """Keep nothing without a journal; ``making_of`` tells what a file's text depends on beside its samples."""
        self._journal = journal
        self._making_of = making_of
        self._long_s = long_s
        self._marks: dict[int, dict[int, str]] = {}  # by file and clip
        self._waiting: dict[int, list[ClipText]] = {}  # finished while nobody knew that the file is long
        self._ready: list[tuple[Entry, int, str, str]] = []
        self._kept: dict[int, dict[int, tuple[str, str]]] = {}
        self._lock = threading.Lock()

    def recall(self, job: Job, clip: Clip) -> ClipText | None:
        """What an earlier run heard in the clip; None when it is to be decoded.

        A clip that votes on the file's language is decoded again: the engine waits for its vote.
        """
        if self._journal is None or job.entry is None or len(clip.samples) > N_SAMPLES:
            return None
        mark = f"{clip.start_s} {len(clip.samples)} {zlib.crc32(clip.samples[:].tobytes())} {self._making_of(job)}"
        with self._lock:
            self._marks.setdefault(job.file_id, {})[clip.index] = mark
            if job.file_id not in self._kept:
                self._kept[job.file_id] = self._journal.kept_clips(job.entry)
            known = self._kept[job.file_id].get(clip.index)
        if known is None or known[0] != mark or clip.vote is not None:
            return None
        return replace(_read(known[1]), file_id=job.file_id)

    def note(self, job: Job, text: ClipText) -> None:
        """Take a finished clip; it is on disk after the next ``flush`` if its file is a long one."""
        if self._journal is None or job.entry is None or text.index not in self._marks.get(job.file_id, ()):
            return
        with self._lock:
            self._waiting.setdefault(job.file_id, []).append(text)
            if job.extent_s < self._long_s:
                return
            for one in self._waiting.pop(job.file_id):
                mark = self._marks[job.file_id][one.index]
                self._ready.append((job.entry, one.index, mark, json.dumps(asdict(one))))

    def flush(self) -> None:
        """Commit what was taken."""
        with self._lock:
            ready, self._ready = self._ready, []
        if ready and self._journal is not None:
            self._journal.keep_clips(ready)

    def forget(self, job: Job) -> None:
        """Hold nothing of a file that has ended."""
        with self._lock:
            for held in (self._marks, self._waiting, self._kept):
                held.pop(job.file_id, None)
            self._ready = [one for one in self._ready if one[0] is not job.entry]


def _read(data: str) -> ClipText:
    told: dict[str, Any] = json.loads(data)
    segments = tuple(_segment(**segment) for segment in told.pop("segments"))
    return ClipText(**{**told, "segments": segments, "suspects": tuple(told["suspects"])})


def _segment(tokens: list[int], words: list[dict[str, Any]] | None, **rest: Any) -> Segment:
    return Segment(tokens=tuple(tokens), words=None if words is None else tuple(Word(**w) for w in words), **rest)
