"""A worker pool: assigns files to workers that have room, replaces workers that die, and reports their files as lost.

Each worker has a thread here that reads its messages. ``StartWorker`` decides what a worker is: a process or an actor.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from whisperbatch.backends.messages import (
    Drain,
    Flush,
    FolderNotVisible,
    FromWorker,
    Over,
    PoolWorkerDiedError,
    Ready,
    ToWorker,
    Warm,
)
from whisperbatch.errors import ModelError, RunError, UsageError, WhisperbatchError
from whisperbatch.pipeline import FileEnded, FileTask, WorkerEvent, WorkerLost, WorkerMessage

MAX_FAILED_STARTS = 3  # times in a row that a worker ended before it was ready for a file
END_S = 10.0  # for a worker's thread to end after the worker is killed


class WorkerHandle(Protocol):
    """A running worker, as the pool sees it."""

    def send(self, message: ToWorker) -> None:
        """Send a message; does nothing when the worker is gone."""
        ...

    def messages(self) -> Iterator[FromWorker]:
        """Yield its messages, up to ``Over``; PoolWorkerDiedError when it dies."""
        ...

    def kill(self) -> None:
        """Kill it; any thread may call this."""
        ...


StartWorker = Callable[[str], WorkerHandle]


@dataclass(eq=False)
class _WorkerState:
    """One worker and, when it dies, its replacement; guarded by the pool's lock."""

    name: str
    handle: WorkerHandle | None = None
    tasks: dict[int, FileTask] = field(default_factory=dict)
    reserved: int | None = None  # number of an exclusive file that it is kept free for
    is_up: bool = False  # it has been ready at least once; an actor that waits for a node has not
    is_ready: bool = False
    has_flushed: bool = True  # since it last received a file
    cannot_see: bool = False  # it cannot see the recordings, so it is not replaced
    is_abandoned: bool = False  # its run ended while it had files, and it is being killed
    n_failed_starts: int = 0
    thread: threading.Thread | None = None

    def clear(self) -> None:
        """Reset everything that belongs to the worker that ended."""
        self.handle, self.tasks, self.reserved, self.has_flushed = None, {}, None, True
        self.is_ready = self.is_up = self.is_abandoned = False

    @property
    def is_exclusive(self) -> bool:
        """Whether it has an exclusive file."""
        return any(task.is_exclusive for task in self.tasks.values())


class WorkerPool:
    """Workers and their files; see ``pipeline.WorkerPool``. The pool outlives a run, so that models stay loaded."""

    def __init__(self, start_worker: StartWorker, names: Sequence[str]) -> None:
        """Start no worker yet; ``names`` has a name for each."""
        self._start_worker, self._names = start_worker, list(names)
        self._workers = [_WorkerState(name) for name in names]
        self._is_running = self._is_draining = self._is_flushing = self._is_warm = self._is_closed = False
        self._outgoing: queue.SimpleQueue[WorkerMessage | WhisperbatchError | None] = queue.SimpleQueue()
        self._changed = threading.Condition()

    @property
    def max_waiting(self) -> int:
        """One file per worker may wait to be taken."""
        return len(self._workers)

    def open(self) -> None:
        """Begin a run."""
        with self._changed:
            self._outgoing = queue.SimpleQueue()
            self._is_running, self._is_draining, self._is_flushing = True, False, False
            self._workers = self._workers or [_WorkerState(name) for name in self._names]

    def add(self, name: str) -> None:
        """Add a worker, such as one on a node that has joined."""
        with self._changed:
            worker = _WorkerState(name)
            self._names.append(name)
            self._workers.append(worker)
            if any(other.thread is not None for other in self._workers):
                self._start(worker)

    def warm(self) -> None:
        """Make the workers open their models."""
        with self._changed:
            self._is_warm = True
            self._start_all()

    def submit(self, task: FileTask) -> bool:
        """Wait until a worker takes the file; return False if none will."""
        with self._changed:
            if not self._can_work:
                return False
            self._is_flushing = False
            self._start_all()
            worker: _WorkerState | None = None
            while self._can_work and (worker := self._choose(task)) is None:
                self._changed.wait()
            if not self._can_work or worker is None:
                return False
            worker.is_ready, worker.has_flushed, worker.reserved = False, False, None
            worker.tasks[task.number] = task
            handle = worker.handle
        assert handle is not None
        handle.send(task)
        return True

    def flush(self) -> None:
        """Make workers that wait for a file finish what they have."""
        with self._changed:
            self._is_flushing = True
            idle = [worker for worker in self._workers if worker.is_ready and not worker.has_flushed]
            for worker in idle:
                self._flush(worker)

    def messages(self) -> Iterator[WorkerMessage]:
        """Yield messages until ``end_run``; raises an error that ends the run."""
        outgoing = self._outgoing
        while (one := outgoing.get()) is not None:
            if isinstance(one, WhisperbatchError):
                raise one
            yield one

    def drain(self) -> None:
        """Accept no more files, and make the workers finish what they have begun."""
        with self._changed:
            self._is_draining = True
            for worker in self._workers:
                if worker.handle is not None:
                    worker.handle.send(Drain())
            self._changed.notify_all()

    def end_run(self) -> None:
        """End the run; kill workers that still have files, since nothing waits for them."""
        with self._changed:
            self._is_running = False
            busy = [worker for worker in self._workers if worker.tasks and worker.handle is not None]
            killed = [worker.handle for worker in busy if worker.handle is not None]
            for worker in busy:  # its late messages are dropped: the next run uses these numbers for other files
                worker.tasks, worker.is_ready, worker.is_up, worker.is_abandoned = {}, False, False, True
            self._outgoing.put(None)
            self._changed.notify_all()
        for handle in killed:
            handle.kill()

    def close(self) -> None:
        """End the workers."""
        with self._changed:
            self._is_running, self._is_closed = False, True
            workers = list(self._workers)
            self._changed.notify_all()
        for worker in workers:
            if worker.handle is not None:
                worker.handle.kill()
        for worker in workers:
            if worker.thread is not None:
                worker.thread.join(END_S)

    @property
    def _can_work(self) -> bool:
        return self._is_running and not self._is_draining and not self._is_closed

    def _choose(self, task: FileTask) -> _WorkerState | None:
        """Return the worker for a file: of those with room the one with the fewest files; call under the lock."""
        if task.is_exclusive:
            return self._choose_exclusive(task)
        free = [
            worker
            for worker in self._workers
            if worker.is_ready and worker.reserved is None and not worker.is_exclusive
        ]
        return min(free, key=lambda worker: len(worker.tasks), default=None)

    def _choose_exclusive(self, task: FileTask) -> _WorkerState | None:
        """Return the worker that is kept free for an exclusive file, once it has no other."""
        chosen = next((worker for worker in self._workers if worker.reserved == task.number), None)
        if chosen is None:
            candidates = [one for one in self._workers if one.is_up and one.reserved is None and not one.is_exclusive]
            chosen = min(candidates, key=lambda worker: len(worker.tasks), default=None)
        if chosen is None:
            return None
        chosen.reserved = task.number
        if chosen.is_ready and chosen.tasks and not chosen.has_flushed:
            self._flush(chosen)  # so that it finishes its other files at once
        return chosen if chosen.is_ready and not chosen.tasks else None

    def _flush(self, worker: _WorkerState) -> None:
        """Tell a ready worker that no file is waiting; it is ready again when it has finished. Call under the lock."""
        worker.is_ready, worker.has_flushed = False, True
        if worker.handle is not None:
            worker.handle.send(Flush())

    def _start_all(self) -> None:
        for worker in self._workers:
            self._start(worker)

    def _start(self, worker: _WorkerState) -> None:
        if not self._is_closed and worker.thread is None:
            worker.thread = threading.Thread(
                target=self._run_thread, args=(worker,), name=f"whisperbatch-{worker.name}", daemon=True
            )
            worker.thread.start()

    def _run_thread(self, worker: _WorkerState) -> None:
        """Top of a thread: an unexpected error ends the run."""
        try:
            self._supervise(worker)
            return
        except WhisperbatchError as err:
            error = err
        except Exception as err:
            error = RunError(f"the thread of {worker.name} failed: {type(err).__name__}: {err}")
            error.__cause__ = err
        with self._changed:  # a later run may start the worker again
            worker.thread = None
            worker.clear()
            self._outgoing.put(error)
            self._changed.notify_all()

    def _supervise(self, worker: _WorkerState) -> None:
        """Start a worker, read its messages and replace it when it ends, as long as the pool is in use."""
        while True:
            handle = self._start_worker(worker.name)
            with self._changed:
                worker.handle = handle
                is_warm = self._is_warm
                if self._is_closed or self._is_draining:
                    handle.kill()
            if is_warm:
                handle.send(Warm())
            why = "it ended"
            try:
                for message in handle.messages():
                    why = self._on(worker, message) or why
            except PoolWorkerDiedError as err:
                why = str(err)
            finally:
                handle.kill()
            if not self._on_end(worker, why):
                return

    def _on(self, worker: _WorkerState, message: FromWorker) -> str | None:
        """Process a message; return why the worker ends, if it does."""
        match message:
            case Ready():
                with self._changed:
                    if worker.is_abandoned:
                        return None
                    worker.is_ready, worker.is_up, worker.n_failed_starts = True, True, 0
                    if self._is_flushing and not worker.has_flushed:
                        self._flush(worker)
                    self._changed.notify_all()
            case FolderNotVisible(folder):
                worker.cannot_see = True
                raise PoolWorkerDiedError(f"{worker.name} cannot see {folder}; mount it there at the same path")
            case Over(error) if isinstance(error, UsageError | ModelError):
                raise error
            case Over(error):
                return None if error is None else error.message
            case FileEnded(number):
                with self._changed:
                    if worker.tasks.pop(number, None) is not None:
                        self._outgoing.put(message)
                    self._changed.notify_all()
            case _:
                with self._changed:
                    if message.number is None or message.number in worker.tasks:
                        self._outgoing.put(message)
        return None

    def _on_end(self, worker: _WorkerState, why: str) -> bool:
        """Report the files of a worker that ended as lost; return True if it is to be replaced."""
        with self._changed:
            lost = list(worker.tasks)
            worker.clear()
            worker.n_failed_starts += 1
            gives_up = worker.cannot_see or worker.n_failed_starts >= MAX_FAILED_STARTS
            if gives_up:
                self._workers.remove(worker)
            is_replaced = self._can_work and not gives_up
            if not is_replaced:
                worker.thread = None
            for number in lost:
                self._outgoing.put(WorkerLost(number, why, is_to_blame=not worker.cannot_see))
            self._changed.notify_all()
        if gives_up and not self._workers:
            raise RunError(f"nothing can be transcribed: {why}")
        if gives_up:
            self._outgoing.put(WorkerEvent(None, "notice", {"text": f"giving up on {worker.name}: {why}"}))
        return is_replaced
