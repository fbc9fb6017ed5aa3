"""Cache finished clips of long files in the journal until the file is done: a kill then costs minutes, not hours.

A clip's text is reused only for the same samples at the same position with the same settings.
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

LONG_S = 30 * 60.0  # shorter files are not worth it


class ClipStore(Protocol):
    """Storage of finished clips."""

    def has_room(self, job: Job) -> bool:
        """Whether a file's clips can be stored."""
        ...

    def stored(self, job: Job) -> dict[int, tuple[str, str]]:
        """Return the mark and text of each stored clip, by its index."""
        ...

    def store(self, clips: Sequence[tuple[Job, int, str, str]]) -> None:
        """Store finished clips: file, index, mark and text of each."""
        ...

    def reused(self, job: Job) -> Transcript | None:
        """Return the text of a file that only needs speakers, if another process decided so."""
        ...


class JournalClipStore:
    """Storage in the run's journal, for files that it has claimed; stores nothing without a journal."""

    def __init__(self, journal: Journal | None) -> None:
        """Store clips in ``journal``."""
        self._journal = journal

    def has_room(self, job: Job) -> bool:
        """Whether the file is claimed."""
        return self._journal is not None and job.entry is not None

    def stored(self, job: Job) -> dict[int, tuple[str, str]]:
        """Return the mark and text of each stored clip, by its index."""
        return self._journal.kept_clips(job.entry) if self._journal is not None and job.entry is not None else {}

    def store(self, clips: Sequence[tuple[Job, int, str, str]]) -> None:
        """Commit finished clips."""
        if self._journal is not None:
            self._journal.keep_clips(
                [(job.entry, n, mark, text) for job, n, mark, text in clips if job.entry is not None]
            )

    def reused(self, job: Job) -> Transcript | None:
        """Return None: this process decides."""
        return None


class ClipCache:
    """The finished clips of open files; any thread may call it."""

    def __init__(self, clip_store: ClipStore, recipe_of: Callable[[Job], str], long_s: float = LONG_S) -> None:
        """Use ``clip_store``; ``recipe_of`` returns what a file's text depends on besides its samples."""
        self._clip_store = clip_store
        self._making_of = recipe_of
        self._long_s = long_s
        self._marks: dict[int, dict[int, str]] = {}  # by file and clip
        self._waiting: dict[int, list[ClipText]] = {}  # finished before the file was known to be long
        self._ready: list[tuple[Job, int, str, str]] = []
        self._kept: dict[int, dict[int, tuple[str, str]]] = {}
        self._lock = threading.Lock()

    def recall(self, job: Job, clip: Clip) -> ClipText | None:
        """Return the clip's text from an earlier run; None if it must be decoded.

        A clip that votes on the file's language is decoded again, since the engine waits for its vote.
        """
        if len(clip.samples) > N_SAMPLES or not self._clip_store.has_room(job):
            return None
        mark = f"{clip.start_s} {len(clip.samples)} {zlib.crc32(clip.samples[:].tobytes())} {self._making_of(job)}"
        with self._lock:
            self._marks.setdefault(job.file_id, {})[clip.index] = mark
            if job.file_id not in self._kept:
                self._kept[job.file_id] = self._clip_store.stored(job)
            known = self._kept[job.file_id].get(clip.index)
        if known is None or known[0] != mark or clip.vote is not None:
            return None
        return replace(_read(known[1]), file_id=job.file_id)

    def add(self, job: Job, text: ClipText) -> None:
        """Add a finished clip; the next ``flush`` writes it to disk if its file is long."""
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
        """Return the text of a file that only needs speakers, if another process decided so."""
        return self._clip_store.reused(job)

    def flush(self) -> None:
        """Commit the clips added so far."""
        with self._lock:
            ready, self._ready = self._ready, []
        if ready:
            self._clip_store.store(ready)

    def forget(self, job: Job) -> None:
        """Drop everything about a file that has ended."""
        with self._lock:
            for held in (self._marks, self._waiting, self._kept):
                held.pop(job.file_id, None)
            self._ready = [one for one in self._ready if one[0] is not job]


def _read(data: str) -> ClipText:
    values: dict[str, Any] = json.loads(data)
    segments = tuple(_segment(**segment) for segment in values.pop("segments"))
    return ClipText(**{**values, "segments": segments, "suspects": tuple(values["suspects"])})


def _segment(tokens: list[int], words: list[dict[str, Any]] | None, **rest: Any) -> Segment:
    return Segment(tokens=tuple(tokens), words=None if words is None else tuple(Word(**w) for w in words), **rest)
