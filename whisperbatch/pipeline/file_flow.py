"""Take each file from the source to its end: decide what to do, retry, write, skip, fail; wherever the model runs."""

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
from whisperbatch.pipeline.mounts import WENT_AWAY, Mounts
from whisperbatch.pipeline.open_files import Job, OpenFiles, failure
from whisperbatch.pipeline.planner import Planner
from whisperbatch.pipeline.retry_policy import FailureLimit, Retry, lasts, retry_of, unexpected
from whisperbatch.pipeline.run_hooks import Hooks
from whisperbatch.pipeline.stale import CHANGED, stale
from whisperbatch.pipeline.text_settings import fault_of
from whisperbatch.pipeline.write_outputs import OutputWriter
from whisperbatch.records import AudioFile, Event, Outcome, Status, Transcript

INTERRUPTED = "interrupted"
MAX_FILES_AHEAD = 10_000  # found and not yet loaded; one record each, so that totals are known early


class FileFlow:
    """The files of one run, from the source to their end; its loops run in threads of their own.

    Attributes:
        files: Files that were found and are not yet decided.
        complete: Files that are transcribed and not yet written.
        stopping: Set when no more files are taken.
        claimed_files: Files that wait for another run or for a copy.
        mounts: The folders in which files were found.
        hooks: Commands that run when a recording has ended.
        withdraw: Cancels a file in all stages; set by them.
        takes_content: Whether the digest of all bytes of a loaded file is computed.
        is_pool_worker: Whether this is the pipeline of a pool worker, which does not detect copies.
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
        self.claimed_files = ClaimedFiles(
            self.files.put,
            self.files.close,
            lambda job: (
                open_files.find(job.file_id) is None
                or not (open_files.older(job) or planner.is_claimed_by_other_run(job))
            ),
        )
        self.mounts = Mounts()
        self.stopping = threading.Event()
        self.withdraw: Callable[[Job], None] = lambda job: None
        self.hooks = Hooks(options, planner.journal, open_files.emit)
        self._writing = OutputWriter(
            options.output, open_files, namer, planner, self.waited_for_folder, self.hooks.note
        )
        self._limit = FailureLimit(options.failures)
        dedupe = options.journal.dedupe
        self.is_pool_worker = is_pool_worker
        self.takes_content = dedupe and (is_pool_worker or planner.journal is not None)
        self._copies = CopyJobs(options, planner) if dedupe and not is_pool_worker else None
        planner.is_over = self.stopping.is_set

    def abort(self) -> None:
        """Wake every thread and drop all queued files."""
        self.take_no_more()
        self.complete.abort()

    def take_no_more(self) -> None:
        """Take no more files; those being transcribed continue."""
        self.files.abort()
        self.claimed_files.abort()
        self.stopping.set()

    def find(self, source: Iterable[AudioFile]) -> None:
        """Open and queue each file from the source."""
        for audio in source:
            job = self.open_files.open(audio)
            if job is None:
                return
            self.open_files.emit(Event("queued", audio.path))
            if (fault := fault_of(self.options, audio)) is not None:
                self.open_files.fail(job, LoadError(fault))
                self._limit.count()
                continue
            self._skip_older(job)
            self.claimed_files.expect()
            self.mounts.seen(audio)
            if not self.files.put(job):
                return
        self.open_files.end_of_source()
        self.claimed_files.end_of_source()

    def prepare(self, job: Job) -> bool:
        """Decide what to do for a file and do it, unless it must be transcribed; return whether it must.

        Trap: a file that waits for its copy may belong to another thread by the time this returns.
        """
        is_to_load = False

        def work(job: Job) -> None:
            nonlocal is_to_load
            is_to_load = self._needs_transcribing(job)

        error = self.error_of(job, work, LoadError, "while checking what is done")
        if error is not None:
            self.fail(job, error)
        return is_to_load

    def content_of(self, job: Job) -> str | None:
        """Return the digest of all of a file's bytes, which were just read and are cached; None if not needed."""
        return job.content.compute() if self.takes_content and job.content is not None else None

    def write(self, transcript_of: Callable[[Job], Transcript | None]) -> None:
        """Write complete transcripts until no more come; a file without a transcript is interrupted."""
        while jobs := self.complete.take(1, idle=True):
            (job,) = jobs
            if self.open_files.claim(job):
                self._write(job, transcript_of)

    def error_of(
        self, job: Job, work: Callable[[Job], None], kind: type[WhisperbatchError], when: str
    ) -> WhisperbatchError | None:
        """Return the error of a file, if any; an error that ends the run is raised."""
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
        """Return how to retry a file; at once if so far only its folder was missing."""
        return retry_of(error, job.audio.path, n_tries, self.options.failures.retries) if n_tries else Retry(0.0)

    def waited_for_folder(self, job: Job) -> bool:
        """Wait for the file's folder if it is away; return whether it was. RunError if it does not come back."""
        return self.mounts.wait_for(job.audio, self.stopping, lambda folder: self.notice(folder, WENT_AWAY))

    def fail(self, job: Job, error: WhisperbatchError) -> None:
        """Resolve a file as failed, and cancel it in every stage."""
        if (reason := stale(job, self.mounts)) is not None:
            self.skip(job, reason)
        elif self.open_files.seize(job):  # kept until the journal knows it: then new content of the path may be claimed
            outcome, is_permanent = failure(job, error), lasts(error, job.audio.path)
            self.hooks.note(job, outcome)
            self.planner.failed(job, error, is_permanent=is_permanent)
            self.open_files.resolve(job, outcome)
            self.withdraw(job)
            self._release_copies(job, is_permanent=is_permanent)
            self._limit.count()

    def skip(self, job: Job, reason: str) -> None:
        """Resolve a file as skipped: it has changed since it was found."""
        if self.open_files.seize(job):
            self.planner.give_up(job)
            self.open_files.resolve(job, Outcome(job.audio.path, Status.SKIPPED, reason=reason, audio_s=job.duration_s))
            self.withdraw(job)
            self._release_copies(job)

    def notice(self, path: Path, text: str) -> None:
        """Emit a notice about a path."""
        self.open_files.emit(Event("notice", path, {"text": text}))

    def interrupt(self, job: Job) -> None:
        """Resolve a file as interrupted."""
        self.open_files.resolve(job, Outcome(job.audio.path, Status.INTERRUPTED, reason=INTERRUPTED))
        self._release_copies(job)

    def _write(self, job: Job, transcript_of: Callable[[Job], Transcript | None]) -> None:
        """Write a claimed file's transcript, then that of its copies; this resolves the file."""
        shared: Transcript | None = None
        reason = SPEAKERS_ADDED if job.reuse is not None else ""
        reason = reason or ("" if job.twin is None else TAKEN.format(path=job.twin))

        def work(job: Job) -> None:
            nonlocal shared
            transcript = transcript_of(job)
            if transcript is None:
                self.interrupt(job)
            elif stale(job, self.mounts) == CHANGED:
                self.skip(job, CHANGED)
            else:
                # checked before it is written, after which the recording may be moved
                shared = transcript if job.content is not None and job.content.is_as_found() else None
                self._writing.put(job, transcript, reason)

        n_tries = 0
        while error := self.error_of(job, work, WriteError, "while writing"):
            n_tries += not self._writing.lost_its_folder(job)
            retry = self.retry(error, job, n_tries)
            if retry is None or self.stopping.wait(retry.pause_s):
                self._write_copies(job, shared, is_written=False)
                self.fail(job, error)
                return
        self._write_copies(job, shared)

    def _write_copies(self, job: Job, transcript: Transcript | None, *, is_written: bool = True) -> None:
        """Write a file's transcript for the copies that waited for it; None if the file has changed since.

        Copies that have changed since are decided again.
        """
        if self._copies is None or transcript is None:
            self._release_copies(job)
            return
        for copy in self._copies.take_waiting(job, transcript, is_written=is_written):
            if copy.content is None or not copy.content.is_as_found():
                self.claimed_files.add(copy)
                continue
            copy.twin, copy.started_s = absolute(job.audio.path), time.monotonic()
            if self.open_files.claim(copy):
                self._write(copy, lambda copy: transcript)
            self.claimed_files.decided()

    def _release_copies(self, job: Job, *, is_permanent: bool = False) -> None:
        """Decide the copies that waited for a file again: it gets no transcript.

        If it failed permanently, each is tried on its own: all will fail, and need not wait for one another.
        """
        for copy in self._copies.release_waiting(job) if self._copies is not None else ():
            copy.skips_dedupe = is_permanent
            self.claimed_files.add(copy)

    def _skip_older(self, job: Job) -> None:
        """Skip jobs for older contents of a watched file, except one that is being written."""
        for old in self.open_files.older(job) if job.audio.is_watched else ():
            if self.open_files.claim(old):
                self.skip(old, CHANGED)

    def _needs_transcribing(self, job: Job) -> bool:
        job.is_to_load = False
        decision = self._decide(job)
        if decision is None or self._finish_without_transcribing(job, decision):
            return False
        job.is_to_load = True
        return True

    def _decide(self, job: Job) -> Decision | None:
        """Decide what to do for a file; None if it waits (see ``_plan``) or has ended."""
        is_waiting = False
        try:
            if self.open_files.find(job.file_id) is None:
                return None
            if (reason := stale(job, self.mounts)) is not None:
                self.skip(job, reason)
                return None
            is_waiting = bool(self.open_files.older(job))
            decision = None if is_waiting else self._plan(job)
            is_copy = decision is not None and decision.is_copy  # it waits with its copy, and may be written by now
            is_waiting = decision is None or decision.is_claimed_by_other_run or is_copy
            if is_waiting and not is_copy:
                self.claimed_files.add(job)
            return None if is_waiting else decision
        finally:
            if not is_waiting:
                self.claimed_files.decided()

    def _plan(self, job: Job) -> Decision:
        """Decide by journal, disk and copies; waits for a folder that is away.

        A file waits for another run, for older contents of its path, or for a copy that is being transcribed.
        """
        while True:
            try:
                decision = self.planner.decide(job)
            except (FileError, OSError):  # a dead share raises other errors than FileNotFoundError
                if not self.waited_for_folder(job) or self.stopping.is_set():
                    raise
            else:
                is_final = decision.is_settled or decision.is_claimed_by_other_run or self.stopping.is_set()
                if is_final or not self.waited_for_folder(job):  # a folder that is away looks empty
                    job.kept_outputs = decision.outputs
                    return decision if self._copies is None else self._copies.place(job, decision)

    def _finish_without_transcribing(self, job: Job, decision: Decision) -> bool:
        """Finish a file that is done, failed or has a transcript to reuse; return False if it must be loaded."""
        if decision.skip is not None:
            outputs = decision.outputs
            self.open_files.resolve(job, Outcome(job.audio.path, Status.SKIPPED, outputs=outputs, reason=decision.skip))
            return True
        if decision.failed is not None:
            job.is_failed_before = True
            self.open_files.fail(job, FileError(decision.failed))
            return True
        if decision.notice:
            self.notice(job.audio.path, decision.notice)
        if decision.reuse is None or decision.adds_speakers:
            job.reuse, job.twin = decision.reuse, decision.twin
            return False
        job.twin, job.content = decision.twin, FileDigest(job.audio, job.sample, known=decision.content)
        if self.open_files.claim(job):
            self._writing.put(job, decision.reuse, reason=decision.reason)
            self._write_copies(job, decision.reuse)
        return True
