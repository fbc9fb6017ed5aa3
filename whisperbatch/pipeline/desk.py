"""Where it is decided what is done with a file, and where its end is told; the same wherever the model runs.

Comes in: files from the source; what became of them. Goes out: jobs to be transcribed; transcripts on disk. Who calls:
the threads of a run, and the rooms that transcribe: ``stages`` here, ``handing`` elsewhere.
"""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from whisperbatch.batcher import Batcher
from whisperbatch.errors import FileError, LoadError, RunError, WhisperbatchError, WriteError
from whisperbatch.options import RunOptions
from whisperbatch.pipeline.board import Board, Job
from whisperbatch.pipeline.failing import WENT_AWAY, FailureLimit, Mounts, Retry, lasts, retry_of, unexpected
from whisperbatch.pipeline.planner import Decision, Planner
from whisperbatch.pipeline.settings import fault_of
from whisperbatch.pipeline.stale import CHANGED, stale
from whisperbatch.pipeline.waiting import WaitingRoom
from whisperbatch.pipeline.writing import Writing
from whisperbatch.records import AudioFile, Event, Outcome, Status, Transcript
from whisperbatch.writers.beside import Namer

INTERRUPTED = "interrupted"
RENDERED = "made from its JSON"
SPEAKERS_ADDED = "speakers were added to its transcript"
MAX_FILES_AHEAD = 10_000  # found and not yet loaded; a record each, so that totals are known early


class Desk:
    """The files of one run, from their finding to their end; each of its works runs in threads of its own.

    Attributes:
        files: Found, and not yet decided on.
        whole: Transcribed, and not yet written.
        ended: Set when nothing more is taken in.
        withdraw: Takes a file back from who transcribes it; theirs to set.
    """

    def __init__(self, options: RunOptions, board: Board, namer: Namer, planner: Planner) -> None:
        """Make the queues."""
        self.options, self.board, self.planner = options, board, planner
        self.files: Batcher[Job] = Batcher(1, 0.0, max_items=MAX_FILES_AHEAD)
        self.whole: Batcher[Job] = Batcher(1, 0.0, max_items=MAX_FILES_AHEAD)
        self.waiting = WaitingRoom(
            self.files.put,
            self.files.close,
            lambda job: board.find(job.file_id) is None or not (board.older(job) or planner.is_elsewhere(job)),
        )
        self.mounts = Mounts()
        self.ended = threading.Event()
        self.withdraw: Callable[[Job], None] = lambda job: None
        self._writing = Writing(options.output, board, namer, planner, self.waited_for)
        self._limit = FailureLimit(options.failures)

    def abort(self) -> None:
        """Wake every thread; what is queued is dropped."""
        self.take_no_more()
        self.whole.abort()

    def take_no_more(self) -> None:
        """Take nothing more in; what is being transcribed goes on."""
        self.files.abort()
        self.waiting.abort()
        self.ended.set()

    def find(self, source: Iterable[AudioFile]) -> None:
        """Open each file that the source gives."""
        for audio in source:
            job = self.board.open(audio)
            if job is None:
                return
            self.board.emit(Event("queued", audio.path))
            if (fault := fault_of(self.options, audio)) is not None:
                self.board.fail(job, LoadError(fault))
                self._limit.count()
                continue
            self._overtake(job)
            self.waiting.expect()
            self.mounts.seen(audio)
            if not self.files.put(job):
                return
        self.board.end_of_source()
        self.waiting.end_of_source()

    def settle(self, job: Job) -> None:
        """Find out what is to be done for a file, and do it if it is not to be transcribed."""
        error = self.error_of(job, self._settle, LoadError, "while looking at what is done")
        if error is not None:
            self.fail(job, error)

    def write(self, transcript_of: Callable[[Job], Transcript | None]) -> None:
        """Put whole transcripts on disk until no more come; one without is interrupted."""

        def work(job: Job) -> None:
            transcript = transcript_of(job)
            if transcript is None:
                self.interrupt(job)
            elif stale(job, self.mounts) == CHANGED:
                self.leave(job, CHANGED)
            else:
                self._writing.put(job, transcript, reason=SPEAKERS_ADDED if job.reuse is not None else "")

        while jobs := self.whole.take(1, idle=True):
            (job,) = jobs
            if not self.board.claim(job):
                continue
            n_tries = 0
            while error := self.error_of(job, work, WriteError, "while writing"):
                n_tries += not self._writing.lost_its_folder(job)
                retry = self.retry(error, job, n_tries)
                if retry is None or self.ended.wait(retry.pause_s):
                    self.fail(job, error)
                    break

    def error_of(
        self, job: Job, work: Callable[[Job], None], kind: type[WhisperbatchError], when: str
    ) -> WhisperbatchError | None:
        """What went wrong with a file; what ends the run is raised."""
        try:
            work(job)
        except RunError:
            raise
        except WhisperbatchError as err:
            return err
        except Exception as err:
            return unexpected(kind, when, err)
        return None

    def retry(self, error: WhisperbatchError, job: Job, n_tries: int) -> Retry | None:
        """How a file is tried again; at once when it only lacked its folder so far."""
        return retry_of(error, job.audio.path, n_tries, self.options.failures.retries) if n_tries else Retry(0.0)

    def waited_for(self, job: Job) -> bool:
        """Whether the file's folder was away and is there again; RunError when it does not come back."""
        return self.mounts.wait_for(job.audio, self.ended, lambda folder: self.tell(folder, WENT_AWAY))

    def fail(self, job: Job, error: WhisperbatchError) -> None:
        """Resolve a file as failed, and cancel it in every room."""
        if (reason := stale(job, self.mounts)) is not None:
            self.leave(job, reason)
        elif self.board.seize(job):  # until the journal knows it: new content of the path may be claimed after that
            self.planner.failed(job, error, is_permanent=lasts(error, job.audio.path))
            self.board.fail(job, error)
            self.withdraw(job)
            self._limit.count()

    def leave(self, job: Job, reason: str) -> None:
        """End a file that is not what it was when it was found."""
        if self.board.seize(job):
            self.planner.give_up(job)
            self.board.resolve(job, Outcome(job.audio.path, Status.SKIPPED, reason=reason, audio_s=job.duration_s))
            self.withdraw(job)

    def tell(self, path: Path, text: str) -> None:
        """Say something about a path."""
        self.board.emit(Event("notice", path, {"text": text}))

    def interrupt(self, job: Job) -> None:
        """End a file that the run did not come to."""
        self.board.resolve(job, Outcome(job.audio.path, Status.INTERRUPTED, reason=INTERRUPTED))

    def _overtake(self, job: Job) -> None:
        """Give up what is under way for older contents of a watched file; what is being written is waited for."""
        for old in self.board.older(job) if job.audio.is_watched else ():
            if self.board.claim(old):
                self.leave(old, CHANGED)

    def _settle(self, job: Job) -> None:
        decision = self._decide(job)
        job.is_to_load = decision is not None and not self._is_settled(job, decision)

    def _decide(self, job: Job) -> Decision | None:
        """What is to be done for a file; None when it waits for another run or its older contents, or has ended."""
        is_put_aside = False
        try:
            if self.board.find(job.file_id) is None:
                return None
            if (reason := stale(job, self.mounts)) is not None:
                self.leave(job, reason)
                return None
            is_put_aside = bool(self.board.older(job))
            decision = None if is_put_aside else self._planned(job)
            is_put_aside = decision is None or decision.is_elsewhere
            if is_put_aside:
                self.waiting.add(job)
            return None if is_put_aside else decision
        finally:
            if not is_put_aside:
                self.waiting.settled()

    def _planned(self, job: Job) -> Decision:
        """What the journal and the disk say of a file; a folder that is away is waited for."""
        while True:
            try:
                decision = self.planner.decide(job)
            except (FileError, OSError):  # a dead share says more than that a file is not there
                if not self.waited_for(job) or self.ended.is_set():
                    raise
            else:
                is_over = decision.is_settled or decision.is_elsewhere or self.ended.is_set()
                if is_over or not self.waited_for(job):  # a folder that is away looks empty
                    return decision

    def _is_settled(self, job: Job, decision: Decision) -> bool:
        """Whether the journal or what is on disk settles the file: it is whole, or only other formats are missing."""
        if decision.skip is not None:
            outputs = decision.outputs
            self.board.resolve(job, Outcome(job.audio.path, Status.SKIPPED, outputs=outputs, reason=decision.skip))
            return True
        if decision.failed is not None:
            self.board.fail(job, FileError(decision.failed))
            return True
        job.kept = decision.outputs
        if decision.reuse is None or decision.adds_speakers:
            job.reuse = decision.reuse
            return False
        if self.board.claim(job):
            self._writing.put(job, decision.reuse, reason=RENDERED)
        return True
