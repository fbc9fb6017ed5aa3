"""Find speakers: pass the speech of each clip to a diarizer, and collect a file's turns at its end.

This runs in threads of its own behind bounded queues, so that the engine does not wait for it. A failure here costs a
file its speakers and nothing else.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from whisperbatch.errors import FileError, ModelError, RunError, UsageError
from whisperbatch.pipeline.assign_speakers import Voices, attributed
from whisperbatch.pipeline.file_flow import FileFlow
from whisperbatch.pipeline.open_files import Job
from whisperbatch.pipeline.speaker_marks import settings_of_speakers
from whisperbatch.pipeline.text_settings import speakers_of
from whisperbatch.processes import n_cores
from whisperbatch.records import Clip, Event, Transcript
from whisperbatch.replacements import restored
from whisperbatch.speakers import Diarizer
from whisperbatch.speakers.stretches import stretches_of

MAX_CLIPS = 32  # waiting for a diarizer, at most 1 MB each
MAX_DIARIZERS = 8
NOT_FOUND = "speakers were not found: "  # start of the warning

Task = tuple[Job, Clip | None]  # None: the file's last clip has come


class _DiarizerQueue:
    """A diarizer and its queue, served by one thread; guarded by the condition of ``SpeakerFinder``."""

    def __init__(self) -> None:
        self.diarizer: Diarizer | None = None
        self.opening = threading.Lock()
        self.tasks: deque[Task] = deque()
        self.n_clips = 0


class SpeakerFinder:
    """The diarizers and their work; the functions of ``threads`` run in threads of their own, the rest in any.

    A file stays with one diarizer, so their number does not affect its result.
    """

    def __init__(self, flow: FileFlow, open_diarizer: Callable[[], Diarizer], n_queues: int | None = None) -> None:
        """Open nothing yet.

        Args:
            flow: Receives complete files.
            open_diarizer: Opens a diarizer; called for the first one before the first file is loaded.
            n_queues: Number of diarizers; None means as many as suit the machine.
        """
        self._flow, self._open_files, self._options = flow, flow.open_files, flow.options
        self._open_diarizer = open_diarizer
        self._queues = [
            _DiarizerQueue() for _ in range(n_queues or n_diarizers(n_cores(), self._options.engine.is_on_gpu))
        ]
        self._n_at_work = len(self._queues)
        self._numbers: dict[int, dict[int | None, int]] = {}  # by file and channel
        self._next_number = itertools.count()
        self._is_closed = self._is_aborted = False
        self._changed = threading.Condition()

    def threads(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield the functions to run in threads, with their names."""
        for index, queue in enumerate(self._queues):
            yield f"speakers-{index}", partial(self._work, queue)

    def open(self) -> None:
        """Open a diarizer before anything is decoded.

        Raises:
            UsageError: Its weights are missing, or a reference clip is invalid.
        """
        try:
            self._opened(self._queues[0])
        except ModelError as err:
            raise UsageError(err.message, err.path) from err

    def take(self, job: Job, clip: Clip) -> bool:
        """Wait for room and queue a clip; return False if the run takes no more."""
        queue = self._queue_of(job)
        with self._changed:
            self._changed.wait_for(lambda: queue.n_clips < MAX_CLIPS or self._is_aborted)
            self._add(queue, (job, clip))
            return not self._is_aborted

    def end(self, job: Job) -> None:
        """Queue the end of a file: all of its clips have come and its text is complete. Never waits."""
        with self._changed:
            self._add(self._queue_of(job), (job, None))

    def close(self) -> None:
        """Expect no more clips; the threads end when all are processed."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Drop the queues and end the threads."""
        with self._changed:
            self._is_closed = self._is_aborted = True
            for queue in self._queues:
                queue.tasks.clear()
            self._changed.notify_all()

    def forget(self, job: Job) -> None:
        """Drop everything about a file that has ended."""
        with self._changed:
            numbers = self._numbers.pop(job.file_id, {})
        diarizer = self._queue_of(job).diarizer
        if diarizer is not None:
            for number in numbers.values():
                diarizer.forget(number)

    def _work(self, queue: _DiarizerQueue) -> None:
        """Find speakers until no more files come; the last thread to end closes the queue of complete files."""
        while (task := self._take(queue)) is not None:
            job, clip = task
            if job.speakers_fault is None and self._is_open(job):
                self._try(job, self._finish if clip is None else partial(self._listen, clip))
            if not self._is_open(job):
                self.forget(job)
            elif clip is None and not self._flow.complete.put(job):
                self._flow.interrupt(job)
        with self._changed:
            self._n_at_work -= 1
            is_last = not self._n_at_work
        if is_last:
            self._flow.complete.close()

    def named(self, job: Job, transcript: Transcript) -> Transcript:
        """Return the transcript with its speakers, or with a warning why it has none."""
        settings = settings_of_speakers(speakers_of(self._options, job.audio))
        others = tuple(one for one in transcript.warnings if not one.startswith(NOT_FOUND))
        transcript = replace(transcript, warnings=others)
        if job.voices is not None:
            # segments may be cut: undo replacements, which are applied again when the transcript is written
            return attributed(restored(transcript), job.voices, settings)
        warnings = (*others, f"{NOT_FOUND}{job.speakers_fault}")
        return replace(transcript, warnings=warnings, speaker_settings=settings, speakers=None, turns=())

    def _queue_of(self, job: Job) -> _DiarizerQueue:
        return self._queues[job.file_id % len(self._queues)]

    def _opened(self, queue: _DiarizerQueue) -> Diarizer:
        with queue.opening:
            if queue.diarizer is None:
                queue.diarizer = self._open_diarizer()
            return queue.diarizer

    def _add(self, queue: _DiarizerQueue, task: Task) -> None:
        if not self._is_aborted:
            queue.tasks.append(task)
            queue.n_clips += task[1] is not None
            self._changed.notify_all()

    def _take(self, queue: _DiarizerQueue) -> Task | None:
        with self._changed:
            self._changed.wait_for(lambda: queue.tasks or self._is_closed)
            if not queue.tasks:
                return None
            task = queue.tasks.popleft()
            queue.n_clips -= task[1] is not None
            self._changed.notify_all()
            return task

    def _is_open(self, job: Job) -> bool:
        return self._open_files.find(job.file_id) is not None

    def _try(self, job: Job, work: Callable[[Job], None]) -> None:
        """Do a step; an error costs the file its speakers, not its text."""
        try:
            error = self._flow.error_of(job, work, FileError, "while finding its speakers")
        except RunError as err:
            error = err
        if error is not None:
            job.speakers_fault = error.message
            self._open_files.emit(Event("notice", job.audio.path, {"text": NOT_FOUND + error.message}))
            self.forget(job)

    def _listen(self, clip: Clip, job: Job) -> None:
        diarizer = self._opened(self._queue_of(job))
        with self._changed:
            numbers = self._numbers.setdefault(job.file_id, {})
            number = numbers.setdefault(clip.channel, next(self._next_number))
        for start_s, samples in stretches_of(clip):
            diarizer.add(number, start_s, samples)
        if not self._is_open(job):  # it ended meanwhile, and its number was dropped
            diarizer.forget(number)

    def _finish(self, job: Job) -> None:
        diarizer = self._opened(self._queue_of(job))
        with self._changed:
            numbers = self._numbers.pop(job.file_id, {})
        options, names = speakers_of(self._options, job.audio), self._options.load.channel_names
        voices = []
        for channel, number in sorted(numbers.items(), key=lambda one: one[0] or 0):
            found = diarizer.finish(number, options)
            voices.append(Voices(job.assembly.channel_name(channel, names), found.turns, found.names))
        job.voices = tuple(voices)


def n_diarizers(n_cores: int, is_beside_gpu: bool) -> int:
    """Return the number of diarizers: one on a CPU that the model needs too, one per four cores beside a GPU.

    One processes about twelve hours of audio per hour on one core, which is enough beside a model on a CPU.
    """
    return min(MAX_DIARIZERS, max(1, n_cores // 4)) if is_beside_gpu else 1
