"""The speakers of files whose clips pass by: the speech of each clip to the diarizer, and at a file's end its turns.

Threads of their own do it, behind bounded queues, so that the engine does not wait for it. A failure here costs a file
its speakers and nothing else.
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

MAX_CLIPS = 32  # that wait for a diarizer, at most 1 MB each
MAX_LANES = 8
NOT_FOUND = "speakers were not found: "  # how the warning begins

Task = tuple[Job, Clip | None]  # None: the file's last clip has come


class _Lane:
    """The files of one thread: its diarizer and what waits for it; guarded by the condition of ``SpeakerFinder``."""

    def __init__(self) -> None:
        self.diarizer: Diarizer | None = None
        self.opening = threading.Lock()
        self.tasks: deque[Task] = deque()
        self.n_clips = 0


class SpeakerFinder:
    """What the diarizers have to do; the functions of ``threads`` run in threads of their own, the rest in any.

    A file stays with one diarizer, so how many there are changes nothing for it.
    """

    def __init__(self, flow: FileFlow, open_diarizer: Callable[[], Diarizer], n_lanes: int | None = None) -> None:
        """Open nothing yet.

        Args:
            flow: Where whole files go.
            open_diarizer: Gives a diarizer; called for the first one when the first file is to be loaded.
            n_lanes: How many work side by side; None is as many as suit the machine.
        """
        self._flow, self._open_files, self._options = flow, flow.open_files, flow.options
        self._open_diarizer = open_diarizer
        self._lanes = [_Lane() for _ in range(n_lanes or lanes_for(n_cores(), self._options.engine.is_on_gpu))]
        self._n_at_work = len(self._lanes)
        self._numbers: dict[int, dict[int | None, int]] = {}  # by file and channel
        self._next_number = itertools.count()
        self._is_closed = self._is_aborted = False
        self._changed = threading.Condition()

    def threads(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """What is to run side by side, with its name."""
        for index, lane in enumerate(self._lanes):
            yield f"speakers-{index}", partial(self._work, lane)

    def open(self) -> None:
        """Have a diarizer, before anything is decoded.

        Raises:
            UsageError: Its weights are missing, or a reference clip makes no sense.
        """
        try:
            self._opened(self._lanes[0])
        except ModelError as err:
            raise UsageError(err.message, err.path) from err

    def take(self, job: Job, clip: Clip) -> bool:
        """Wait for room, and take a clip; False when the run takes no more."""
        lane = self._lane_of(job)
        with self._changed:
            self._changed.wait_for(lambda: lane.n_clips < MAX_CLIPS or self._is_aborted)
            self._add(lane, (job, clip))
            return not self._is_aborted

    def end(self, job: Job) -> None:
        """Take note that all of a file's clips have come and its text is whole; never waits."""
        with self._changed:
            self._add(self._lane_of(job), (job, None))

    def close(self) -> None:
        """No more comes; the threads end when all is done."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Drop what waits, and end the threads."""
        with self._changed:
            self._is_closed = self._is_aborted = True
            for lane in self._lanes:
                lane.tasks.clear()
            self._changed.notify_all()

    def forget(self, job: Job) -> None:
        """Hold nothing of a file that has ended."""
        with self._changed:
            numbers = self._numbers.pop(job.file_id, {})
        diarizer = self._lane_of(job).diarizer
        if diarizer is not None:
            for number in numbers.values():
                diarizer.forget(number)

    def _work(self, lane: _Lane) -> None:
        """Find speakers until no more files come; behind the last lane no more transcripts come either."""
        while (task := self._take(lane)) is not None:
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
        """The transcript with its speakers, or a warning why it has none."""
        settings = settings_of_speakers(speakers_of(self._options, job.audio))
        kept = tuple(one for one in transcript.warnings if not one.startswith(NOT_FOUND))
        transcript = replace(transcript, warnings=kept)
        if job.voices is not None:
            # segments may be cut: replacements are undone, and applied anew where the transcript is written
            return attributed(restored(transcript), job.voices, settings)
        warnings = (*kept, f"{NOT_FOUND}{job.speakers_fault}")
        return replace(transcript, warnings=warnings, speaker_settings=settings, speakers=None, turns=())

    def _lane_of(self, job: Job) -> _Lane:
        return self._lanes[job.file_id % len(self._lanes)]

    def _opened(self, lane: _Lane) -> Diarizer:
        with lane.opening:
            if lane.diarizer is None:
                lane.diarizer = self._open_diarizer()
            return lane.diarizer

    def _add(self, lane: _Lane, task: Task) -> None:
        if not self._is_aborted:
            lane.tasks.append(task)
            lane.n_clips += task[1] is not None
            self._changed.notify_all()

    def _take(self, lane: _Lane) -> Task | None:
        with self._changed:
            self._changed.wait_for(lambda: lane.tasks or self._is_closed)
            if not lane.tasks:
                return None
            task = lane.tasks.popleft()
            lane.n_clips -= task[1] is not None
            self._changed.notify_all()
            return task

    def _is_open(self, job: Job) -> bool:
        return self._open_files.find(job.file_id) is not None

    def _try(self, job: Job, work: Callable[[Job], None]) -> None:
        """Do a step; what goes wrong is the end of the file's speakers, not of its text."""
        try:
            error = self._flow.error_of(job, work, FileError, "while finding its speakers")
        except RunError as err:
            error = err
        if error is not None:
            job.speakers_fault = error.message
            self._open_files.emit(Event("notice", job.audio.path, {"text": NOT_FOUND + error.message}))
            self.forget(job)

    def _listen(self, clip: Clip, job: Job) -> None:
        diarizer = self._opened(self._lane_of(job))
        with self._changed:
            numbers = self._numbers.setdefault(job.file_id, {})
            number = numbers.setdefault(clip.channel, next(self._next_number))
        for start_s, samples in stretches_of(clip):
            diarizer.add(number, start_s, samples)
        if not self._is_open(job):  # it ended meanwhile, and its number is forgotten
            diarizer.forget(number)

    def _finish(self, job: Job) -> None:
        diarizer = self._opened(self._lane_of(job))
        with self._changed:
            numbers = self._numbers.pop(job.file_id, {})
        options, names = speakers_of(self._options, job.audio), self._options.load.channel_names
        voices = []
        for channel, number in sorted(numbers.items(), key=lambda one: one[0] or 0):
            found = diarizer.finish(number, options)
            voices.append(Voices(job.assembly.channel_name(channel, names), found.turns, found.names))
        job.voices = tuple(voices)


def lanes_for(n_cores: int, is_beside_gpu: bool) -> int:
    """How many diarizers work side by side: one on a CPU that the model needs too, a quarter of its cores beside a GPU.

    One hears about twelve hours in an hour on one core, which is enough beside a model on a CPU.
    """
    return min(MAX_LANES, max(1, n_cores // 4)) if is_beside_gpu else 1
