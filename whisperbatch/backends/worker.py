"""A pool worker: receives files, runs them through a pipeline of its own, and reports what happens.

Messages come in through ``receive`` and go out through ``outbox``, a queue.
"""

import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from whisperbatch.backends.local import LocalBackend
from whisperbatch.backends.messages import Drain, Flush, FolderNotVisible, FromWorker, Over, Ready, ToWorker, Warm
from whisperbatch.engine import Engine
from whisperbatch.errors import RunError, WhisperbatchError
from whisperbatch.options import HookOptions, JournalOptions, OutputOptions, RunOptions
from whisperbatch.pipeline import ClipFinished, FileEnded, FileTask, Job, WorkerEvent
from whisperbatch.records import AudioFile, Event, Outcome, Status, Transcript

FIRST_AHEAD = 8  # clips waiting for the engine above which no file is requested, until the engine's capacity is known
PASSED_ON = ("loading", "loaded", "batch", "progress", "notice")


class Worker:
    """One pipeline, fed file by file; ``receive`` and ``outbox`` are for any thread, ``work`` for one of its own.

    A file is requested when few clips wait for the engine, so that no file waits here that another worker could take.
    """

    def __init__(self, options: RunOptions, *, checks_folders: bool = False) -> None:
        """Do nothing yet; with ``checks_folders`` a missing folder counts as this machine's fault, not the file's."""
        self.outbox: queue.SimpleQueue[FromWorker] = queue.SimpleQueue()
        self._options, self._checks_folders = options, checks_folders
        self._local = LocalBackend(options, clip_store=_TaskClipStore(self), on_open=self._opened)
        self._inbox: queue.SimpleQueue[ToWorker] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._numbers: dict[Path, deque[int]] = {}  # of the tasks for a path, oldest first
        self._tasks: dict[int, FileTask] = {}
        self._not_loading: set[int] = set()
        self._n_waiting = 0  # clips that wait for the engine, by the last event
        self._n_ahead = options.batch.max_batch_size or FIRST_AHEAD
        self._changed = threading.Condition()

    def receive(self, message: ToWorker) -> None:
        """Receive a file or another message from the pool."""
        if isinstance(message, Drain):
            self._stop.set()
            with self._changed:
                self._changed.notify_all()
        self._inbox.put(message)

    def work(self) -> None:
        """Work until drained, or until an error that is not a file's fault; the last message is ``Over``."""
        try:
            while (task := self._next_task()) is not None or not self._stop.is_set():
                if task is not None:
                    self._run(task)
        except WhisperbatchError as err:
            self.outbox.put(Over(err))
        except Exception as err:
            self.outbox.put(Over(RunError(f"{type(err).__name__}: {err}")))
        else:
            self.outbox.put(Over())

    def messages_within(self, seconds: float) -> list[FromWorker]:
        """Return the messages since the last call; waits up to ``seconds`` for the first."""
        messages: list[FromWorker] = []
        with suppress(queue.Empty):
            messages.append(self.outbox.get(timeout=seconds))
            while True:
                messages.append(self.outbox.get_nowait())
        return messages

    def send_clips(self, clips: Sequence[tuple[Job, int, str, str]]) -> None:
        """Send finished clips of long files to the pool."""
        for job, index, mark, text in clips:
            if (number := self._number(job.audio.path)) is not None:
                self.outbox.put(ClipFinished(number, index, mark, text))

    def task_of(self, path: Path) -> FileTask | None:
        """Return the task of a file; None when it is not open."""
        number = self._number(path)
        return None if number is None else self._tasks.get(number)

    def _opened(self, engine: Engine) -> None:
        """Remember how many clips the engine takes at a time."""
        with self._changed:
            self._n_ahead = max(1, engine.capacity)
            self._changed.notify_all()

    def _run(self, first: FileTask) -> None:
        """Run tasks until none is waiting."""
        for outcome in self._local.run(self._source(first), on_event=self._pass_on, stop=self._stop):
            self._end(outcome)

    def _source(self, task: FileTask | None) -> Iterator[AudioFile]:
        while task is not None:
            with self._changed:
                self._numbers.setdefault(task.audio.path, deque()).append(task.number)
                self._tasks[task.number] = task
                self._not_loading.add(task.number)
            yield task.audio
            with self._changed:
                self._changed.wait_for(lambda: self._has_room or self._stop.is_set())
            task = self._next_task()

    @property
    def _has_room(self) -> bool:
        return len(self._not_loading) < self._options.n_load_workers and self._n_waiting < self._n_ahead

    def _next_task(self) -> FileTask | None:
        """Return the next task; None when none is waiting, or the worker is drained."""
        if self._stop.is_set():
            return None
        self.outbox.put(Ready())
        while True:
            match self._inbox.get():
                case FileTask() as task if self._can_see(task):
                    return task
                case Warm():
                    self._local.open(self._pass_on)
                case Flush() | Drain():
                    return None

    def _can_see(self, task: FileTask) -> bool:
        """Whether a file's folder is there; True if this worker does not check."""
        folder = task.audio.root or task.audio.path.parent
        if self._checks_folders and not folder.is_dir():
            self.outbox.put(FolderNotVisible(folder))
            return False
        return True

    def _pass_on(self, event: Event) -> None:
        number = None if event.path is None else self._number(event.path)
        with self._changed:
            if event.kind == "loading" and number is not None:
                self._not_loading.discard(number)
            self._n_waiting = event.data.get("n_waiting", self._n_waiting)
            self._changed.notify_all()
        if event.kind in PASSED_ON:
            path = event.path if number is None else None
            self.outbox.put(WorkerEvent(number, event.kind, event.data, path))

    def _end(self, outcome: Outcome) -> None:
        """Report how a file ended; a file interrupted because the run failed is covered by ``Over``."""
        with self._changed:
            numbers = self._numbers[outcome.path]
            number = numbers.popleft()
            if not numbers:
                del self._numbers[outcome.path]
            del self._tasks[number]
            self._not_loading.discard(number)
            if not self._tasks:
                self._n_waiting = 0  # no event reports clips that were dropped with their file
            self._changed.notify_all()
        if outcome.status is not Status.INTERRUPTED or self._stop.is_set():
            self.outbox.put(FileEnded(number, replace(outcome, outputs=())))

    def _number(self, path: Path) -> int | None:
        with self._changed:
            numbers = self._numbers.get(path)
            return numbers[-1] if numbers else None


class _TaskClipStore:
    """ClipFinished clips come with the tasks and go with the messages; see ``pipeline.ClipStore``."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def has_room(self, job: Job) -> bool:
        return True

    def stored(self, job: Job) -> dict[int, tuple[str, str]]:
        task = self._worker.task_of(job.audio.path)
        return {} if task is None else dict(task.finished_clips)

    def store(self, clips: Sequence[tuple[Job, int, str, str]]) -> None:
        self._worker.send_clips(clips)

    def reused(self, job: Job) -> Transcript | None:
        task = self._worker.task_of(job.audio.path)
        return None if task is None else task.reuse


def options_of_worker(options: RunOptions, *, device: str, n_load_workers: int) -> RunOptions:
    """Return a pool worker's options: without journal, outputs, hooks and failure limit, which the run has."""
    has_journal = options.journal.use_journal and options.output.write
    return replace(
        options,
        engine=replace(options.engine, device=device),
        load=replace(options.load, n_workers=n_load_workers),
        output=OutputOptions(write=False),
        # the run detects copies and keeps the journal; for that the worker computes the digest of each file
        journal=JournalOptions(use_journal=False, dedupe=has_journal and options.journal.dedupe),
        failures=replace(options.failures, max_failures=None, fail_fast=False),
        hooks=HookOptions(),
    )
