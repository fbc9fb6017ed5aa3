"""Which files are open and how each ended: the one place where a file becomes an Outcome."""

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
    """A file on its way; its loader, the engine and the writer each hold it in turn.

    Attributes:
        file_id: The run's number for it.
        audio: The file.
        assembly: Its clips' texts so far; touched under ``lock`` only.
        started_s: When loading began, by the monotonic clock.
        duration_s: Length of its audio, 0 until known.
        decoded_s: How much of each clip has been decoded, by index.
        entry: What the journal knew when the file became this run's; None without a claim.
        sample: Tells its content from other files'; None until it was taken.
        kept: Outputs that lie there already, and stay.
        extent_s: How far the clips reach that have come so far.
        is_to_load: Whether it is to be transcribed, and so loaded.
        n_in_engine: How many of its clips the engine has taken, or need no engine.
        n_deaths: How many workers of a pool died that had it.
        transcript: What a worker pool heard in it.
        hook: What is to run when it has ended; None until then, or for nothing.
        is_failed_before: True when its failure is an earlier run's and was not tried again.
        content: The digest of all its bytes, or of those that a transcript which is taken was made of.
        twin: The recording of the same content whose transcript is taken.
        group: The copies that wait for it.
        is_alone: Whether it waits for no copy: one has failed for good.
        reuse: Its text, when only its speakers are to be found.
        voices: Who speaks on each of its channels; None until that is known.
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
    kept: tuple[Path, ...] = ()
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
    is_alone: bool = False
    reuse: Transcript | None = None
    voices: tuple[Voices, ...] | None = None
    speakers_fault: str | None = None
    n_clips: int | None = None  # None until the loader is done
    starts: dict[int, float] = field(default_factory=dict)  # of its clips
    lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, clip: Clip) -> None:
        """Tell the assembly of a clip that is on its way to the engine."""
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
        """Seconds of a clip that have been decoded since this was asked last."""
        before_s = self.decoded_s.get(index, 0.0)
        self.decoded_s[index] = max(before_s, decoded_s)
        return max(0.0, decoded_s - before_s)

    def loaded(self, last: FileLoaded) -> bool:
        """Whether the transcript is whole, now that the loader is done."""
        with self.lock:
            self.duration_s, self.n_clips = last.duration_s, last.n_clips
            self.assembly.loaded(last)
            return self.assembly.complete

    def in_engine(self) -> None:
        """Count a clip that the engine has taken, or that needs none."""
        with self.lock:
            self.n_in_engine += 1

    @property
    def is_in_engine(self) -> bool:
        """Whether all of its clips that have come so far are in the engine."""
        with self.lock:
            return 0 < self.n_in_engine == len(self.starts) or self.n_clips == 0

    @property
    def may_finish(self) -> bool:
        """Whether the file needs neither the loader nor a place in the engine any more."""
        with self.lock:
            return self.n_clips is not None and self.n_in_engine == self.n_clips


class OpenFiles:
    """Open files and outcomes; any thread may call it.

    A file is open from ``open`` until ``resolve``. ``claim`` keeps a file from being interrupted by other threads: what
    has begun to be written is written. A thread that interrupts the run has done with what it had claimed itself.
    """

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        """Hold nothing yet; ``on_event`` is never called by two threads at once."""
        self.fatal: WhisperbatchError | None = None
        self._numbers = itertools.count()
        self._open: dict[int, Job] = {}
        self._claimed: dict[int, int] = {}  # by file, the thread that has it
        self._of_path: dict[Path, list[int]] = {}  # open files of a path, the oldest first
        self._source_ended = False
        self._lock = threading.Lock()
        self._outcomes: queue.SimpleQueue[tuple[Job, Outcome] | None] = queue.SimpleQueue()
        self._on_event = on_event
        self._event_lock = threading.Lock()

    def emit(self, event: Event) -> None:
        """Hand an event to the run's listener."""
        with self._event_lock:
            self._on_event(event)

    def open(self, audio: AudioFile) -> Job | None:
        """A new open file; None when the run takes no more."""
        with self._lock:
            if self._source_ended:
                return None
            job = Job(next(self._numbers), audio, Assembly(audio))
            self._open[job.file_id] = job
            self._of_path.setdefault(audio.path, []).append(job.file_id)
            return job

    def older(self, job: Job) -> list[Job]:
        """Open files of the same path that came before: their contents are older, or the same."""
        with self._lock:
            numbers = self._of_path.get(job.audio.path, [])
            return [self._open[one] for one in numbers[: numbers.index(job.file_id) if job.file_id in numbers else 0]]

    def find(self, file_id: int) -> Job | None:
        """The open file of that number; None when it has ended."""
        with self._lock:
            return self._open.get(file_id)

    def has_unfinished(self) -> bool:
        """Whether an open file that is not claimed still needs its loader or a place in the engine."""
        with self._lock:
            return any(number not in self._claimed and not job.may_finish for number, job in self._open.items())

    def claim(self, job: Job) -> bool:
        """Whether the file is still open; it then can no more be interrupted."""
        with self._lock:
            if job.file_id not in self._open or job.file_id in self._claimed:
                return False
            self._claimed[job.file_id] = threading.get_ident()
            return True

    def seize(self, job: Job) -> bool:
        """Whether the file is still open and this thread's, from now on or since it claimed it."""
        with self._lock:
            is_mine = self._claimed.get(job.file_id) == threading.get_ident()
        return is_mine or self.claim(job)

    def resolve(self, job: Job, outcome: Outcome) -> bool:
        """Whether this outcome is the file's; False when it had ended before."""
        with self._lock:
            if not self._take(job):
                return False
            self._outcomes.put((job, outcome))
            self._end_when_all_ended()
            return True

    def fail(self, job: Job, error: WhisperbatchError) -> bool:
        """Resolve a file as failed."""
        return self.resolve(job, failure(job, error))

    def again(self, job: Job) -> Job | None:
        """The same file anew, under another number, for another try; None when it has ended meanwhile."""
        with self._lock:
            if not self._take(job):
                return None
            fresh = Job(next(self._numbers), job.audio, Assembly(job.audio), job.started_s)
            fresh.entry, fresh.sample, fresh.kept, fresh.reuse = job.entry, job.sample, job.kept, job.reuse
            fresh.content, fresh.group, fresh.is_alone, fresh.twin = job.content, job.group, job.is_alone, job.twin
            self._open[fresh.file_id] = fresh
            self._of_path.setdefault(job.audio.path, []).insert(0, fresh.file_id)
            return fresh

    def end_of_source(self) -> None:
        """No more files come."""
        with self._lock:
            if not self._source_ended:
                self._source_ended = True
                self._end_when_all_ended()

    def interrupt(self, reason: str, spare: Callable[[Job], bool] = lambda job: False) -> None:
        """Take no more files and resolve the open ones that are neither in another thread's claim nor to be spared."""
        with self._lock:
            free = (None, threading.get_ident())
            for file_id in [n for n, job in self._open.items() if self._claimed.get(n) in free and not spare(job)]:
                job = self._open[file_id]
                self._take(job)
                outcome = Outcome(job.audio.path, Status.INTERRUPTED, reason=reason, audio_s=job.duration_s)
                self._outcomes.put((job, outcome))
            if not self._source_ended:
                self._source_ended = True
                self._end_when_all_ended()
            elif not self._open:
                self._outcomes.put(None)

    def next_outcome(self) -> tuple[Job, Outcome] | None:
        """The next file that ended, and how; None when all have. Blocks.

        Trap: a signal that comes right before a wait without end is handled only when that wait is over.
        """
        while True:
            with suppress(queue.Empty):
                return self._outcomes.get(timeout=SIGNAL_LOOK_S)

    def _take(self, job: Job) -> bool:
        """Whether the file was open; it is no more. Under the lock."""
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
    """The outcome of a file that failed."""
    if error.path is None:
        error.path = job.audio.path
    wall_s = time.monotonic() - job.started_s
    return Outcome(
        job.audio.path, Status.FAILED, error=error, reason=error.message, audio_s=job.duration_s, wall_s=wall_s
    )


def batch_event(clips: Sequence[Clip], n_waiting: int) -> Event:
    """What is told of clips that go to the engine together, and of how many wait behind them."""
    data = {
        "n_clips": len(clips),
        "n_files": len({clip.file_id for clip in clips}),
        "audio_s": sum(clip.duration_s for clip in clips),
        "n_waiting": n_waiting,
    }
    return Event("batch", None, data)
