"""Where it is decided what is done with a file, and where its end is told; the same wherever the model runs.

Comes in: files from the source; what became of them. Goes out: jobs to be transcribed; transcripts on disk.
"""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from whisperbatch.batcher import Batcher
from whisperbatch.errors import FileError, LoadError, RunError, WhisperbatchError, WriteError
from whisperbatch.options import RunOptions
from whisperbatch.outputs.namer import Namer
from whisperbatch.outputs.paths import absolute
from whisperbatch.pipeline.claimed_files import ClaimedFiles
from whisperbatch.pipeline.copy_jobs import CopyJobs
from whisperbatch.pipeline.decision import SPEAKERS_ADDED, TAKEN, Decision
from whisperbatch.pipeline.file_digest import FileDigest
from whisperbatch.pipeline.open_files import Job, OpenFiles, failure
from whisperbatch.pipeline.planner import Planner
from whisperbatch.pipeline.retry_policy import WENT_AWAY, FailureLimit, Mounts, Retry, lasts, retry_of, unexpected
from whisperbatch.pipeline.run_hooks import Hooks
from whisperbatch.pipeline.stale import CHANGED, stale
from whisperbatch.pipeline.text_settings import fault_of
from whisperbatch.pipeline.write_outputs import OutputWriter
from whisperbatch.records import AudioFile, Event, Outcome, Status, Transcript

INTERRUPTED = "interrupted"
MAX_FILES_AHEAD = 10_000  # found and not yet loaded; a record each, so that totals are known early


class FileFlow:
    """The files of one run, from their finding to their end; each of its works runs in threads of its own.

    Attributes:
        files: Found, and not yet decided on.
        complete: Transcribed, and not yet written.
        ended: Set when nothing more is taken in.
        hooks: Commands that run when a recording has ended.
        withdraw: Takes a file back from who transcribes it; theirs to set.
        takes_content: Whether all bytes of what is loaded are read for their digest.
        is_pool_worker: Whether this is the pipeline of a pool worker, which has no say in what copies are.
    """

    def __init__(
        self,
        options: RunOptions,
        open_files: OpenFiles,
        namer: Namer,
        planner: Planner,
        *,
        is_pool_worker: bool = False,
    ) -> None:
        """Make the queues."""
        self.options, self.open_files, self.planner = options, open_files, planner
        self.files: Batcher[Job] = Batcher(1, 0.0, max_items=MAX_FILES_AHEAD)
        self.complete: Batcher[Job] = Batcher(1, 0.0, max_items=MAX_FILES_AHEAD)
        self.waiting = ClaimedFiles(
            self.files.put,
            self.files.close,
            lambda job: (
                open_files.find(job.file_id) is None
                or not (open_files.older(job) or planner.is_claimed_by_other_run(job))
            ),
        )
        self.mounts = Mounts()
        self.ended = threading.Event()
        self.withdraw: Callable[[Job], None] = lambda job: None
        self.hooks = Hooks(options, planner.journal, open_files.emit)
        self._writing = OutputWriter(options.output, open_files, namer, planner, self.waited_for, self.hooks.note)
        self._limit = FailureLimit(options.failures)
        dedupe = options.journal.dedupe
        self.is_pool_worker = is_pool_worker
        self.takes_content = dedupe and (is_pool_worker or planner.journal is not None)
        self._twins = CopyJobs(options, planner) if dedupe and not is_pool_worker else None
        planner.is_over = self.ended.is_set

    def abort(self) -> None:
        """Wake every thread; what is queued is dropped."""
        self.take_no_more()
        self.complete.abort()

    def take_no_more(self) -> None:
        """Take nothing more in; what is being transcribed goes on."""
        self.files.abort()
        self.waiting.abort()
        self.ended.set()

    def find(self, source: Iterable[AudioFile]) -> None:
        """Open each file that the source gives."""
        for audio in source:
            job = self.open_files.open(audio)
            if job is None:
                return
            self.open_files.emit(Event("queued", audio.path))
            if (fault := fault_of(self.options, audio)) is not None:
                self.open_files.fail(job, LoadError(fault))
                self._limit.count()
                continue
            self._overtake(job)
            self.waiting.expect()
            self.mounts.seen(audio)
            if not self.files.put(job):
                return
        self.open_files.end_of_source()
        self.waiting.end_of_source()

    def settle(self, job: Job) -> bool:
        """Find out what is to be done for a file, and do it unless it is to be transcribed; whether it is.

        Trap: a file that waits for its copy may be another thread's by the time that this returns.
        """
        is_to_load = False

        def work(job: Job) -> None:
            nonlocal is_to_load
            is_to_load = self._settle(job)

        error = self.error_of(job, work, LoadError, "while looking at what is done")
        if error is not None:
            self.fail(job, error)
        return is_to_load

    def content_of(self, job: Job) -> str | None:
        """The digest of all of a file's bytes, now that they have been read and are at hand; None when not wanted."""
        return job.content.ask() if self.takes_content and job.content is not None else None

    def write(self, transcript_of: Callable[[Job], Transcript | None]) -> None:
        """Put whole transcripts on disk until no more come; one without is interrupted."""
        while jobs := self.complete.take(1, idle=True):
            (job,) = jobs
            if self.open_files.claim(job):
                self._write(job, transcript_of)

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
        elif self.open_files.seize(
            job
        ):  # until the journal knows it: new content of the path may be claimed after that
            outcome, is_permanent = failure(job, error), lasts(error, job.audio.path)
            self.hooks.note(job, outcome)
            self.planner.failed(job, error, is_permanent=is_permanent)
            self.open_files.resolve(job, outcome)
            self.withdraw(job)
            self._release(job, is_permanent=is_permanent)
            self._limit.count()

    def leave(self, job: Job, reason: str) -> None:
        """End a file that is not what it was when it was found."""
        if self.open_files.seize(job):
            self.planner.give_up(job)
            self.open_files.resolve(job, Outcome(job.audio.path, Status.SKIPPED, reason=reason, audio_s=job.duration_s))
            self.withdraw(job)
            self._release(job)

    def tell(self, path: Path, text: str) -> None:
        """Say something about a path."""
        self.open_files.emit(Event("notice", path, {"text": text}))

    def interrupt(self, job: Job) -> None:
        """End a file that the run did not come to."""
        self.open_files.resolve(job, Outcome(job.audio.path, Status.INTERRUPTED, reason=INTERRUPTED))
        self._release(job)

    def _write(self, job: Job, transcript_of: Callable[[Job], Transcript | None]) -> None:
        """Put a claimed file's transcript on disk, and then its copies'; the file has ended after that."""
        heard: Transcript | None = None
        reason = SPEAKERS_ADDED if job.reuse is not None else ""
        reason = reason or ("" if job.twin is None else TAKEN.format(path=job.twin))

        def work(job: Job) -> None:
            nonlocal heard
            transcript = transcript_of(job)
            if transcript is None:
                self.interrupt(job)
            elif stale(job, self.mounts) == CHANGED:
                self.leave(job, CHANGED)
            else:
                # looked at before it is written, after which it may be moved
                heard = transcript if job.content is not None and job.content.is_as_found() else None
                self._writing.put(job, transcript, reason)

        n_tries = 0
        while error := self.error_of(job, work, WriteError, "while writing"):
            n_tries += not self._writing.lost_its_folder(job)
            retry = self.retry(error, job, n_tries)
            if retry is None or self.ended.wait(retry.pause_s):
                self._hand_down(job, heard, is_written=False)
                self.fail(job, error)
                return
        self._hand_down(job, heard)

    def _hand_down(self, job: Job, transcript: Transcript | None, *, is_written: bool = True) -> None:
        """Write a file's transcript for the copies that waited for it; None when the file has changed since.

        Copies that have changed since are decided on again.
        """
        if self._twins is None or transcript is None:
            self._release(job)
            return
        for copy in self._twins.heirs(job, transcript, is_written=is_written):
            if copy.content is None or not copy.content.is_as_found():
                self.waiting.add(copy)
                continue
            copy.twin, copy.started_s = absolute(job.audio.path), time.monotonic()
            if self.open_files.claim(copy):
                self._write(copy, lambda copy: transcript)
            self.waiting.settled()

    def _release(self, job: Job, *, is_permanent: bool = False) -> None:
        """Have the copies that waited for a file decided on again: nothing comes of it.

        Where it failed for good each is tried on its own, since all will fail, and need not wait for one another.
        """
        for copy in self._twins.orphans(job) if self._twins is not None else ():
            copy.is_alone = is_permanent
            self.waiting.add(copy)

    def _overtake(self, job: Job) -> None:
        """Give up what is under way for older contents of a watched file; what is being written is waited for."""
        for old in self.open_files.older(job) if job.audio.is_watched else ():
            if self.open_files.claim(old):
                self.leave(old, CHANGED)

    def _settle(self, job: Job) -> bool:
        job.is_to_load = False
        decision = self._decide(job)
        if decision is None or self._is_settled(job, decision):
            return False
        job.is_to_load = True
        return True

    def _decide(self, job: Job) -> Decision | None:
        """What is to be done for a file; None when it waits (see ``_planned``), or has ended."""
        is_put_aside = False
        try:
            if self.open_files.find(job.file_id) is None:
                return None
            if (reason := stale(job, self.mounts)) is not None:
                self.leave(job, reason)
                return None
            is_put_aside = bool(self.open_files.older(job))
            decision = None if is_put_aside else self._planned(job)
            is_copy = decision is not None and decision.is_copy  # it is with its twin, and may be written by now
            is_put_aside = decision is None or decision.is_claimed_by_other_run or is_copy
            if is_put_aside and not is_copy:
                self.waiting.add(job)
            return None if is_put_aside else decision
        finally:
            if not is_put_aside:
                self.waiting.settled()

    def _planned(self, job: Job) -> Decision:
        """What the journal, the disk and its copies say of a file; a folder that is away is waited for.

        The file waits for another run, for older contents of its path, or for a copy that is being transcribed.
        """
        while True:
            try:
                decision = self.planner.decide(job)
            except (FileError, OSError):  # a dead share says more than that a file is not there
                if not self.waited_for(job) or self.ended.is_set():
                    raise
            else:
                is_over = decision.is_settled or decision.is_claimed_by_other_run or self.ended.is_set()
                if is_over or not self.waited_for(job):  # a folder that is away looks empty
                    job.kept = decision.outputs
                    return decision if self._twins is None else self._twins.place(job, decision)

    def _is_settled(self, job: Job, decision: Decision) -> bool:
        """Whether the journal or what is on disk settles the file: it is whole, or only other formats are missing."""
        if decision.skip is not None:
            outputs = decision.outputs
            self.open_files.resolve(job, Outcome(job.audio.path, Status.SKIPPED, outputs=outputs, reason=decision.skip))
            return True
        if decision.failed is not None:
            job.is_failed_before = True
            self.open_files.fail(job, FileError(decision.failed))
            return True
        if decision.notice:
            self.tell(job.audio.path, decision.notice)
        if decision.reuse is None or decision.adds_speakers:
            job.reuse, job.twin = decision.reuse, decision.twin
            return False
        job.twin, job.content = decision.twin, FileDigest(job.audio, job.sample, known=decision.content)
        if self.open_files.claim(job):
            self._writing.put(job, decision.reuse, reason=decision.reason)
            self._hand_down(job, decision.reuse)
        return True
