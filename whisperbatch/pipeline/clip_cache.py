"""Finished clips of long files, kept in the journal until the file is done: a kill then costs minutes, not hours.

A clip's text is taken up again only for the same samples at the same place with the same settings.
"""

import json
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol

from whisperbatch.journal import Journal
from whisperbatch.pipeline.open_files import Job
from whisperbatch.records import N_SAMPLES, Clip, ClipText, Segment, Transcript, Word

LONG_S = 30 * 60.0  # a file that is longer is worth it


class ClipStore(Protocol):
    """Where finished clips lie."""

    def has_room(self, job: Job) -> bool:
        """Whether a file's clips can be kept."""
        ...

    def kept(self, job: Job) -> dict[int, tuple[str, str]]:
        """The mark and text of each clip that was kept, by its index."""
        ...

    def keep(self, clips: Sequence[tuple[Job, int, str, str]]) -> None:
        """Keep finished clips: file, index, mark and text of each."""
        ...

    def reused(self, job: Job) -> Transcript | None:
        """The text of a file whose speakers alone are to be found, where another process decided so."""
        ...


class JournalClipStore:
    """A run's journal, for the files that it has claimed there; without one it keeps nothing."""

    def __init__(self, journal: Journal | None) -> None:
        """Keep clips there."""
        self._journal = journal

    def has_room(self, job: Job) -> bool:
        """Whether the file is claimed."""
        return self._journal is not None and job.entry is not None

    def kept(self, job: Job) -> dict[int, tuple[str, str]]:
        """The mark and text of each clip that was kept, by its index."""
        return self._journal.kept_clips(job.entry) if self._journal is not None and job.entry is not None else {}

    def keep(self, clips: Sequence[tuple[Job, int, str, str]]) -> None:
        """Commit finished clips."""
        if self._journal is not None:
            self._journal.keep_clips(
                [(job.entry, n, mark, text) for job, n, mark, text in clips if job.entry is not None]
            )

    def reused(self, job: Job) -> Transcript | None:
        """None: who decides is in this process."""
        return None


class ClipCache:
    """What is kept of the open files; any thread may call it."""

    def __init__(self, clip_store: ClipStore, recipe_of: Callable[[Job], str], long_s: float = LONG_S) -> None:
        """Keep clips on the clip_store; ``recipe_of`` tells what a file's text depends on beside its samples."""
        self._clip_store = clip_store
        self._making_of = recipe_of
        self._long_s = long_s
        self._marks: dict[int, dict[int, str]] = {}  # by file and clip
        self._waiting: dict[int, list[ClipText]] = {}  # finished while nobody knew that the file is long
        self._ready: list[tuple[Job, int, str, str]] = []
        self._kept: dict[int, dict[int, tuple[str, str]]] = {}
        self._lock = threading.Lock()

    def recall(self, job: Job, clip: Clip) -> ClipText | None:
        """What an earlier run heard in the clip; None when it is to be decoded.

        A clip that votes on the file's language is decoded again: the engine waits for its vote.
        """
        if len(clip.samples) > N_SAMPLES or not self._clip_store.has_room(job):
            return None
        mark = f"{clip.start_s} {len(clip.samples)} {zlib.crc32(clip.samples[:].tobytes())} {self._making_of(job)}"
        with self._lock:
            self._marks.setdefault(job.file_id, {})[clip.index] = mark
            if job.file_id not in self._kept:
                self._kept[job.file_id] = self._clip_store.kept(job)
            known = self._kept[job.file_id].get(clip.index)
        if known is None or known[0] != mark or clip.vote is not None:
            return None
        return replace(_read(known[1]), file_id=job.file_id)

    def note(self, job: Job, text: ClipText) -> None:
        """Take a finished clip; it is on disk after the next ``flush`` if its file is a long one."""
        with self._lock:
            if text.index not in self._marks.get(job.file_id, ()):
                return
            self._waiting.setdefault(job.file_id, []).append(text)
            if job.extent_s < self._long_s:
                return
            for one in self._waiting.pop(job.file_id):
                mark = self._marks[job.file_id][one.index]
                self._ready.append((job, one.index, mark, json.dumps(asdict(one))))

    def reused(self, job: Job) -> Transcript | None:
        """The text of a file whose speakers alone are to be found, where another process decided so."""
        return self._clip_store.reused(job)

    def flush(self) -> None:
        """Commit what was taken."""
        with self._lock:
            ready, self._ready = self._ready, []
        if ready:
            self._clip_store.keep(ready)

    def forget(self, job: Job) -> None:
        """Hold nothing of a file that has ended."""
        with self._lock:
            for held in (self._marks, self._waiting, self._kept):
                held.pop(job.file_id, None)
            self._ready = [one for one in self._ready if one[0] is not job]


def _read(data: str) -> ClipText:
    told: dict[str, Any] = json.loads(data)
    segments = tuple(_segment(**segment) for segment in told.pop("segments"))
    return ClipText(**{**told, "segments": segments, "suspects": tuple(told["suspects"])})


def _segment(tokens: list[int], words: list[dict[str, Any]] | None, **rest: Any) -> Segment:
    return Segment(tokens=tuple(tokens), words=None if words is None else tuple(Word(**w) for w in words), **rest)
