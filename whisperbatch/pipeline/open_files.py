"""The open jobs of a run, and their outcomes: the one place where a job becomes an Outcome."""

import itertools
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from whisperbatch.errors import WhisperbatchError
from whisperbatch.journal import DueHook, Entry
from whisperbatch.pipeline.assign_speakers import Voices
from whisperbatch.pipeline.copies import Group
from whisperbatch.pipeline.file_digest import FileDigest
from whisperbatch.records import AudioFile, Clip, Event, FileLoaded, Outcome, Status, Transcript
from whisperbatch.transcripts import Assembly

SIGNAL_LOOK_S = 0.2


@dataclass(eq=False)
class Job:
    """A file in progress; its loader, the engine and the writer use it in turn.

    Attributes:
        file_id: Number of the job in this run.
        audio: The file.
        assembly: Texts of its clips so far; used under ``lock`` only.
        started_s: When loading began, on the monotonic clock.
        duration_s: Length of its audio, 0 until known.
        decoded_s: Seconds decoded of each clip, by index.
        entry: Its journal entry when this run claimed it; None without a claim.
        sample: Digest of a sample of its bytes; None until computed.
        kept_outputs: Outputs that exist already, and stay.
        extent_s: End of the latest clip so far.
        is_to_load: Whether it must be loaded and transcribed.
        n_in_engine: Number of its clips that the engine has taken, or that need no engine.
        n_deaths: Number of pool workers that died while they had it.
        transcript: Its transcript from a worker pool.
        hook: The hook that its end makes due; None until then, or if there is none.
        is_failed_before: Whether it failed in an earlier run and was not tried again.
        content: Digest of all its bytes, or of those that its reused transcript was made from.
        twin: The recording with the same content whose transcript is used.
        group: Copies that wait for it.
        skips_dedupe: Whether it must not wait for a copy, since one has failed permanently.
        reuse: Its text, if only its speakers are missing.
        voices: The speakers of each channel; None until known.
        speakers_fault: Why its speakers could not be found.
    """

    file_id: int
    audio: AudioFile
    assembly: Assembly
    started_s: float = field(default_factory=time.monotonic)
    duration_s: float = 0.0
    decoded_s: dict[int, float] = field(default_factory=dict)
    entry: Entry | None = None
    sample: str | None = None
    kept_outputs: tuple[Path, ...] = ()
    extent_s: float = 0.0
    is_to_load: bool = False
    n_in_engine: int = 0
    n_deaths: int = 0
    transcript: Transcript | None = None
    hook: DueHook | None = None
    is_failed_before: bool = False
    content: FileDigest | None = None
    twin: Path | None = None
    group: Group["Job"] | None = None
    skips_dedupe: bool = False
    reuse: Transcript | None = None
    voices: tuple[Voices, ...] | None = None
    speakers_fault: str | None = None
    n_clips: int | None = None  # None until the loader is done
    starts: dict[int, float] = field(default_factory=dict)  # of its clips
    lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, clip: Clip) -> None:
        """Announce a clip that is on its way to the engine to the assembly."""
        with self.lock:
            self.starts[clip.index] = clip.start_s
            self.extent_s = max(self.extent_s, clip.start_s + clip.duration_s)
            self.assembly.expect(
                clip.index,
                clip.start_s,
                clip.duration_s,
                joins=clip.joins,
                speech=clip.speech,
                channel=clip.channel,
            )

    def progress(self, index: int, decoded_s: float) -> float:
        """Record progress of a clip; return the seconds decoded since the last call."""
        before_s = self.decoded_s.get(index, 0.0)
        self.decoded_s[index] = max(before_s, decoded_s)
        return max(0.0, decoded_s - before_s)

    def loaded(self, last: FileLoaded) -> bool:
        """Record that the loader is done; return whether the transcript is complete."""
        with self.lock:
            self.duration_s, self.n_clips = last.duration_s, last.n_clips
            self.assembly.loaded(last)
            return self.assembly.complete

    def count_in_engine(self) -> None:
        """Count a clip that the engine has taken, or that needs no engine."""
        with self.lock:
            self.n_in_engine += 1

    @property
    def is_in_engine(self) -> bool:
        """Whether the engine has all of its clips so far."""
        with self.lock:
            return 0 < self.n_in_engine == len(self.starts) or self.n_clips == 0

    @property
    def may_finish(self) -> bool:
        """Whether the file no longer needs the loader or room in the engine."""
        with self.lock:
            return self.n_clips is not None and self.n_in_engine == self.n_clips


class OpenFiles:
    """Open jobs and outcomes; any thread may call it.

    A job is open from ``open`` until ``resolve``. ``claim`` protects it from interruption by other threads: a write
    that has begun is finished. The interrupting thread must have finished with every job it claimed.
    """

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        """Start empty; ``on_event`` is never called by two threads at once."""
        self.fatal: WhisperbatchError | None = None
        self._numbers = itertools.count()
        self._open: dict[int, Job] = {}
        self._claimed: dict[int, int] = {}  # by job, the thread that claimed it
        self._of_path: dict[Path, list[int]] = {}  # open jobs of a path, oldest first
        self._source_ended = False
        self._lock = threading.Lock()
        self._outcomes: queue.SimpleQueue[tuple[Job, Outcome] | None] = queue.SimpleQueue()
        self._on_event = on_event
        self._event_lock = threading.Lock()

    def emit(self, event: Event) -> None:
        """Pass an event to the run's listener."""
        with self._event_lock:
            self._on_event(event)

    def open(self, audio: AudioFile) -> Job | None:
        """Open a job for a file; None if the run takes no more files."""
        with self._lock:
            if self._source_ended:
                return None
            job = Job(next(self._numbers), audio, Assembly(audio))
            self._open[job.file_id] = job
            self._of_path.setdefault(audio.path, []).append(job.file_id)
            return job

    def older(self, job: Job) -> list[Job]:
        """Return open jobs of the same path that were opened before: their contents are older, or the same."""
        with self._lock:
            numbers = self._of_path.get(job.audio.path, [])
            return [self._open[one] for one in numbers[: numbers.index(job.file_id) if job.file_id in numbers else 0]]

    def find(self, file_id: int) -> Job | None:
        """Return the open job with that number; None if it has ended."""
        with self._lock:
            return self._open.get(file_id)

    def has_unfinished(self) -> bool:
        """Whether an unclaimed open job still needs its loader or room in the engine."""
        with self._lock:
            return any(number not in self._claimed and not job.may_finish for number, job in self._open.items())

    def claim(self, job: Job) -> bool:
        """Claim a job, so that it cannot be interrupted; return False if it has ended or is claimed."""
        with self._lock:
            if job.file_id not in self._open or job.file_id in self._claimed:
                return False
            self._claimed[job.file_id] = threading.get_ident()
            return True

    def seize(self, job: Job) -> bool:
        """Claim a job for this thread unless it already has; return False if it has ended or another thread has it."""
        with self._lock:
            is_mine = self._claimed.get(job.file_id) == threading.get_ident()
        return is_mine or self.claim(job)

    def resolve(self, job: Job, outcome: Outcome) -> bool:
        """End a job with an outcome; return False if it had ended before."""
        with self._lock:
            if not self._remove(job):
                return False
            self._outcomes.put((job, outcome))
            self._end_when_all_ended()
            return True

    def fail(self, job: Job, error: WhisperbatchError) -> bool:
        """Resolve a job as failed."""
        return self.resolve(job, failure(job, error))

    def reopen(self, job: Job) -> Job | None:
        """Reopen a job under a new number, for another try; None if it has ended meanwhile."""
        with self._lock:
            if not self._remove(job):
                return None
            fresh = Job(next(self._numbers), job.audio, Assembly(job.audio), job.started_s)
            fresh.entry, fresh.sample, fresh.kept_outputs, fresh.reuse = (
                job.entry,
                job.sample,
                job.kept_outputs,
                job.reuse,
            )
            fresh.content, fresh.group, fresh.twin = job.content, job.group, job.twin
            fresh.skips_dedupe = job.skips_dedupe
            self._open[fresh.file_id] = fresh
            self._of_path.setdefault(job.audio.path, []).insert(0, fresh.file_id)
            return fresh

    def end_of_source(self) -> None:
        """Note that no more files come."""
        with self._lock:
            if not self._source_ended:
                self._source_ended = True
                self._end_when_all_ended()

    def interrupt(self, reason: str, spare: Callable[[Job], bool] = lambda job: False) -> None:
        """Take no more files, and resolve open jobs that are neither claimed by another thread nor spared."""
        with self._lock:
            free = (None, threading.get_ident())
            for file_id in [n for n, job in self._open.items() if self._claimed.get(n) in free and not spare(job)]:
                job = self._open[file_id]
                self._remove(job)
                outcome = Outcome(job.audio.path, Status.INTERRUPTED, reason=reason, audio_s=job.duration_s)
                self._outcomes.put((job, outcome))
            if not self._source_ended:
                self._source_ended = True
                self._end_when_all_ended()
            elif not self._open:
                self._outcomes.put(None)

    def next_outcome(self) -> tuple[Job, Outcome] | None:
        """Wait for the next job that ended, and return it with its outcome; None when all have ended.

        Trap: a signal that arrives just before a wait without a timeout is handled only after that wait.
        """
        while True:
            with suppress(queue.Empty):
                return self._outcomes.get(timeout=SIGNAL_LOOK_S)

    def _remove(self, job: Job) -> bool:
        """Remove an open job; return False if it was not open. Call under the lock."""
        if self._open.pop(job.file_id, None) is None:
            return False
        self._claimed.pop(job.file_id, None)
        numbers = self._of_path[job.audio.path]
        numbers.remove(job.file_id)
        if not numbers:
            del self._of_path[job.audio.path]
        return True

    def _end_when_all_ended(self) -> None:
        if self._source_ended and not self._open:
            self._outcomes.put(None)


def failure(job: Job, error: WhisperbatchError) -> Outcome:
    """Return the outcome of a job that failed."""
    if error.path is None:
        error.path = job.audio.path
    wall_s = time.monotonic() - job.started_s
    return Outcome(
        job.audio.path, Status.FAILED, error=error, reason=error.message, audio_s=job.duration_s, wall_s=wall_s
    )


def batch_event(clips: Sequence[Clip], n_waiting: int) -> Event:
    """Return the event for clips that go to the engine together; ``n_waiting`` more wait."""
    data = {
        "n_clips": len(clips),
        "n_files": len({clip.file_id for clip in clips}),
        "audio_s": sum(clip.duration_s for clip in clips),
        "n_waiting": n_waiting,
    }
    return Event("batch", None, data)
