"""The stages of a run with a worker pool: submit files, the longest first, and again if their worker died.

``file_flow`` decides what to do for a file before it is submitted; its transcript is written in this process.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from whisperbatch.errors import WorkerDiedError
from whisperbatch.outputs.paths import absolute
from whisperbatch.pipeline.clip_cache import ClipStore
from whisperbatch.pipeline.file_digest import FileDigest
from whisperbatch.pipeline.file_flow import INTERRUPTED, FileFlow
from whisperbatch.pipeline.open_files import Job
from whisperbatch.pipeline.worker_protocol import ClipFinished, FileEnded, FileTask, WorkerEvent, WorkerLost, WorkerPool
from whisperbatch.records import Event, Outcome, Status

MAX_LOOK_AHEAD = 1_000  # files among which the longest is chosen
N_WRITERS = 4  # they mostly wait for the disk
MAX_DEATHS = 2  # of workers that had a file; the second had no other
DIED = "the process that transcribed it died ({why}){again}"


class LookAhead:
    """A queue of jobs, the longest first; any thread may call it.

    The largest file goes first, so that no long one remains at the end. It chooses among ``most`` jobs at a time; a job
    that ``most`` others have overtaken goes before them.
    """

    def __init__(self, most: int) -> None:
        """Start empty."""
        self._most = most
        self._came = itertools.count()
        self._jobs: dict[int, tuple[int, Job]] = {}  # by job number, with the number of jobs taken before it came
        self._n_taken = self._n_out = 0
        self._is_ended = self._is_aborted = False
        self._changed = threading.Condition()

    def put(self, job: Job) -> None:
        """Wait for room, and add a job."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._jobs) < self._most or self._is_aborted)
            self._add(job)

    def put_back(self, job: Job) -> None:
        """Add a job again, even if there is no room."""
        with self._changed:
            self._add(job)

    def take(self) -> Job | None:
        """Return the next job; None if aborted. Call ``done_with_one`` when it is dealt with."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_aborted)
            if self._is_aborted:
                return None
            _, job = self._jobs.pop(self._next())
            self._n_taken += 1
            self._n_out += 1
            self._changed.notify_all()
            return job

    def done_with_one(self) -> bool:
        """Count a job as dealt with; return whether no other waits and no more are expected."""
        with self._changed:
            self._n_out -= 1
            return self._is_over

    def end(self) -> bool:
        """Expect no new jobs; return whether none waits."""
        with self._changed:
            self._is_ended = True
            return self._is_over

    def abort(self) -> None:
        """Give out no more jobs."""
        with self._changed:
            self._is_aborted = True
            self._jobs.clear()
            self._changed.notify_all()

    @property
    def _is_over(self) -> bool:
        return self._is_ended and not self._jobs and not self._n_out

    def _add(self, job: Job) -> None:
        if not self._is_aborted:
            self._jobs[job.file_id] = (self._n_taken, job)
            self._changed.notify_all()

    def _next(self) -> int:
        oldest = min(self._jobs, key=lambda number: self._jobs[number][0])
        if self._n_taken - self._jobs[oldest][0] >= self._most:
            return oldest
        return max(self._jobs, key=lambda number: (self._jobs[number][1].n_deaths, self._jobs[number][1].audio.size))


class RemoteStages:
    """Files that a worker pool transcribes; see ``run.TranscribeStages``."""

    def __init__(self, flow: FileFlow, pool: WorkerPool, clip_store: ClipStore) -> None:
        """Submit nothing yet; finished clips of long files go to ``clip_store``."""
        self._flow, self._open_files, self._pool, self._clip_store = flow, flow.open_files, pool, clip_store
        self._ahead = LookAhead(MAX_LOOK_AHEAD)
        self._submitted: set[int] = set()  # jobs that the pool has or will take
        self._reported: set[str] = set()
        self._lock = threading.Lock()

    def threads(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield the functions to run in threads, with their names."""
        yield "look-ahead", self._look_ahead
        yield "messages", self._process_messages
        for index in range(self._pool.max_waiting):
            yield f"submit-{index}", self._submit_files
        for index in range(N_WRITERS):
            yield f"writer-{index}", lambda: self._flow.write(lambda job: job.transcript)

    def want_engine(self) -> None:
        """Make the workers open their models now."""
        self._pool.warm()

    def drain(self, is_over: threading.Event) -> None:
        """Finish files that the pool has, and interrupt the others."""
        self._ahead.abort()
        self._pool.drain()
        with self._lock:
            submitted = set(self._submitted)
        self._open_files.interrupt(INTERRUPTED, spare=lambda job: job.file_id in submitted)

    def abort(self) -> None:
        """Wake every thread."""
        self._ahead.abort()
        self._pool.end_run()

    def close(self) -> None:
        """Do nothing: the pool outlives the run."""

    def _look_ahead(self) -> None:
        while jobs := self._flow.files.take(1, idle=True):
            self._ahead.put(jobs[0])
        if self._ahead.end():
            self._pool.flush()

    def _submit_files(self) -> None:
        while (job := self._ahead.take()) is not None:
            self._submit(job)
            if self._ahead.done_with_one():
                self._pool.flush()

    def _submit(self, job: Job) -> None:
        if not job.is_to_load:
            job.started_s = time.monotonic()
            if not self._flow.prepare(job):
                return
        if self._open_files.find(job.file_id) is None:
            return
        with self._lock:
            self._submitted.add(job.file_id)
        audio = replace(
            job.audio,
            path=absolute(job.audio.path),
            root=job.audio.root and absolute(job.audio.root),
            options=replace(job.audio.options, replace=None),  # rules may be many, and are applied here
        )
        task = FileTask(job.file_id, audio, bool(job.n_deaths), self._clip_store.stored(job), job.reuse)
        if not self._pool.submit(task):
            self._take_back(job.file_id)
            self._flow.interrupt(job)

    def _process_messages(self) -> None:
        for message in self._pool.messages():
            match message:
                case WorkerEvent(None, kind, data, path):
                    self._emit(Event(kind, path, data))
                case WorkerEvent(int(number), kind, data) if job := self._open_files.find(number):
                    if kind == "loading":
                        job.started_s = time.monotonic()
                    job.duration_s = data.get("duration_s", job.duration_s)
                    if kind == "loaded":
                        job.content = FileDigest(job.audio, job.sample, known=data.get("content"))
                    fields = {key: value for key, value in data.items() if key != "content"}
                    self._open_files.emit(Event(kind, job.audio.path, fields))
                case ClipFinished(number, index, mark, text) if job := self._open_files.find(number):
                    self._clip_store.store([(job, index, mark, text)])
                case FileEnded(number, outcome) if job := self._take_back(number):
                    self._end(job, outcome)
                case WorkerLost(number, why, is_to_blame) if job := self._take_back(number):
                    self._lose(job, why, is_to_blame)

    def _emit(self, event: Event) -> None:
        """Emit an event about no open file; a notice about the run that every worker sends is emitted once."""
        if event.kind == "notice" and event.path is None:
            if event.data["text"] in self._reported:
                return
            self._reported.add(event.data["text"])
        self._open_files.emit(event)

    def _end(self, job: Job, outcome: Outcome) -> None:
        job.duration_s = outcome.audio_s or job.duration_s
        if outcome.status is Status.DONE:
            job.transcript = outcome.transcript
            if not self._flow.complete.put(job):
                self._flow.interrupt(job)
        elif outcome.status is Status.FAILED:
            assert outcome.error is not None
            self._flow.fail(job, outcome.error)
        elif outcome.status is Status.SKIPPED:
            self._flow.skip(job, outcome.reason)
        else:
            self._flow.interrupt(job)

    def _lose(self, job: Job, why: str, is_to_blame: bool) -> None:
        """Submit a file again whose worker died, or fail it."""
        if self._flow.stopping.is_set():
            self._flow.interrupt(job)
            return
        n_deaths = job.n_deaths + is_to_blame
        if n_deaths >= MAX_DEATHS or n_deaths > self._flow.options.failures.retries:
            again = ", and so did the next one, which had no other file" if n_deaths > 1 else ""
            self._flow.fail(job, WorkerDiedError(DIED.format(why=why, again=again)))
        elif (fresh := self._open_files.reopen(job)) is not None:
            fresh.n_deaths, fresh.is_to_load = n_deaths, True
            self._ahead.put_back(fresh)

    def _take_back(self, number: int) -> Job | None:
        """Return the open job with that number, which the pool no longer has."""
        with self._lock:
            self._submitted.discard(number)
        return self._open_files.find(number)
