"""The speakers of files whose clips pass by: the speech of each clip to the diarizer, and at a file's end its turns.

A thread of its own does it, behind a bounded queue, so that the engine does not wait for it. A failure here costs a
file its speakers and nothing else.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from whisperbatch.errors import FileError, ModelError, RunError, UsageError
from whisperbatch.pipeline.attribution import Voices, attributed
from whisperbatch.pipeline.board import Job
from whisperbatch.pipeline.desk import Desk
from whisperbatch.pipeline.settings import speakers_of
from whisperbatch.pipeline.speaker_marks import settings_of_speakers
from whisperbatch.records import Clip, Event, Transcript
from whisperbatch.speakers import Diarizer
from whisperbatch.speakers.stretches import stretches_of

MAX_CLIPS = 32  # that wait for the diarizer, at most 1 MB each
NOT_FOUND = "speakers were not found: "  # how the warning begins

Task = tuple[Job, Clip | None]  # None: the file's last clip has come


class Diarizing:
    """What the diarizer has to do; ``work`` is for a thread of its own, the rest for any."""

    def __init__(self, desk: Desk, open_diarizer: Callable[[], Diarizer]) -> None:
        """Open nothing yet; ``open_diarizer`` is called once, when the first file is to be loaded."""
        self._desk, self._board, self._options = desk, desk.board, desk.options
        self._open_diarizer = open_diarizer
        self._diarizer: Diarizer | None = None
        self._opening = threading.Lock()
        self._numbers: dict[int, dict[int | None, int]] = {}  # by file and channel
        self._next_number = itertools.count()
        self._tasks: deque[Task] = deque()
        self._n_clips = 0
        self._is_closed = self._is_aborted = False
        self._changed = threading.Condition()

    def open(self) -> None:
        """Have the diarizer, before anything is decoded.

        Raises:
            UsageError: Its weights are missing, or a reference clip makes no sense.
        """
        with self._opening:
            if self._diarizer is None:
                try:
                    self._diarizer = self._open_diarizer()
                except ModelError as err:
                    raise UsageError(err.message, err.path) from err

    def take(self, job: Job, clip: Clip) -> bool:
        """Wait for room, and take a clip; False when the run takes no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._n_clips < MAX_CLIPS or self._is_aborted)
            self._add((job, clip))
            return not self._is_aborted

    def end(self, job: Job) -> None:
        """Take note that all of a file's clips have come and its text is whole; never waits."""
        with self._changed:
            self._add((job, None))

    def close(self) -> None:
        """No more comes; ``work`` ends when all is done."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Drop what waits, and end ``work``."""
        with self._changed:
            self._is_closed = self._is_aborted = True
            self._tasks.clear()
            self._changed.notify_all()

    def forget(self, job: Job) -> None:
        """Hold nothing of a file that has ended."""
        with self._changed:
            numbers = self._numbers.pop(job.file_id, {})
        for number in numbers.values():
            assert self._diarizer is not None
            self._diarizer.forget(number)

    def work(self) -> None:
        """Find speakers until no more files come; then no more transcripts come either."""
        while (task := self._take()) is not None:
            job, clip = task
            if job.speakers_fault is None and self._is_open(job):
                self._try(job, lambda job, clip=clip: self._listen(job, clip) if clip else self._finish(job))
            if not self._is_open(job):
                self.forget(job)
            elif clip is None and not self._desk.whole.put(job):
                self._desk.interrupt(job)
        self._desk.whole.close()

    def named(self, job: Job, transcript: Transcript) -> Transcript:
        """The transcript with its speakers, or a warning why it has none."""
        settings = settings_of_speakers(speakers_of(self._options, job.audio))
        kept = tuple(one for one in transcript.warnings if not one.startswith(NOT_FOUND))
        transcript = replace(transcript, warnings=kept)
        if job.voices is not None:
            return attributed(transcript, job.voices, settings)
        warnings = (*kept, f"{NOT_FOUND}{job.speakers_fault}")
        return replace(transcript, warnings=warnings, speaker_settings=settings, speakers=None, turns=())

    def _add(self, task: Task) -> None:
        if not self._is_aborted:
            self._tasks.append(task)
            self._n_clips += task[1] is not None
            self._changed.notify_all()

    def _take(self) -> Task | None:
        with self._changed:
            self._changed.wait_for(lambda: self._tasks or self._is_closed)
            if not self._tasks:
                return None
            task = self._tasks.popleft()
            self._n_clips -= task[1] is not None
            self._changed.notify_all()
            return task

    def _is_open(self, job: Job) -> bool:
        return self._board.find(job.file_id) is not None

    def _try(self, job: Job, work: Callable[[Job], None]) -> None:
        """Do a step; what goes wrong is the end of the file's speakers, not of its text."""
        try:
            error = self._desk.error_of(job, work, FileError, "while finding its speakers")
        except RunError as err:
            error = err
        if error is not None:
            job.speakers_fault = error.message
            self._board.emit(Event("notice", job.audio.path, {"text": NOT_FOUND + error.message}))
            self.forget(job)

    def _listen(self, job: Job, clip: Clip) -> None:
        assert self._diarizer is not None
        with self._changed:
            numbers = self._numbers.setdefault(job.file_id, {})
            number = numbers.setdefault(clip.channel, next(self._next_number))
        for start_s, samples in stretches_of(clip):
            self._diarizer.add(number, start_s, samples)

    def _finish(self, job: Job) -> None:
        assert self._diarizer is not None
        with self._changed:
            numbers = self._numbers.pop(job.file_id, {})
        options, names = speakers_of(self._options, job.audio), self._options.load.channel_names
        voices = []
        for channel, number in sorted(numbers.items(), key=lambda one: one[0] or 0):
            found = self._diarizer.finish(number, options)
            voices.append(Voices(job.assembly.channel_name(channel, names), found.turns, found.names))
        job.voices = tuple(voices)
