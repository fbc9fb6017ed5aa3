"""What a worker of a pool does: it takes orders, runs them through a pipeline of its own, and tells what happens.

Comes in: ``take``, from whoever brings the messages. Goes out: ``told``, a queue.
"""

import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from whisperbatch.backends.local import LocalBackend
from whisperbatch.backends.messages import Drain, FolderNotVisible, FromWorker, Over, Ready, Rest, ToWorker, Warm
from whisperbatch.engine import Engine
from whisperbatch.errors import RunError, WhisperbatchError
from whisperbatch.options import HookOptions, JournalOptions, OutputOptions, RunOptions
from whisperbatch.pipeline import Ended, Finished, Job, Order, WorkerEvent
from whisperbatch.records import AudioFile, Event, Outcome, Status, Transcript

FIRST_AHEAD = 8  # clips that wait for the engine before another file is asked for, while its size is not known
PASSED_ON = ("loading", "loaded", "batch", "progress", "notice")


class Worker:
    """One pipeline, fed file by file; ``take`` and ``told`` are for any thread, ``work`` for one of its own.

    A file is asked for when few clips wait for the engine, so that what others could do does not lie here.
    """

    def __init__(self, options: RunOptions, *, looks: bool = False) -> None:
        """Do nothing yet; with ``looks`` a file whose folder is not there is no failure but tells of this machine."""
        self.told: queue.SimpleQueue[FromWorker] = queue.SimpleQueue()
        self._options, self._looks = options, looks
        self._local = LocalBackend(options, shelf=_Shelf(self), on_open=self._opened)
        self._taken: queue.SimpleQueue[ToWorker] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._numbers: dict[Path, deque[int]] = {}  # of the orders for a path, the oldest first
        self._orders: dict[int, Order] = {}
        self._unbegun: set[int] = set()
        self._n_waiting = 0  # clips that have not gone to the engine, as was told last
        self._n_ahead = options.batch.max_batch_size or FIRST_AHEAD
        self._changed = threading.Condition()

    def take(self, message: ToWorker) -> None:
        """Take an order, or what else the pool has to say."""
        if isinstance(message, Drain):
            self._stop.set()
            with self._changed:
                self._changed.notify_all()
        self._taken.put(message)

    def work(self) -> None:
        """Work until drained, or something goes wrong that no file is to blame for; the last word is ``Over``."""
        try:
            while (order := self._ask()) is not None or not self._stop.is_set():
                if order is not None:
                    self._run(order)
        except WhisperbatchError as err:
            self.told.put(Over(err))
        except Exception as err:
            self.told.put(Over(RunError(f"{type(err).__name__}: {err}")))
        else:
            self.told.put(Over())

    def told_within(self, seconds: float) -> list[FromWorker]:
        """What it has told since this was asked last, once there is something, or nothing after so many seconds."""
        told: list[FromWorker] = []
        with suppress(queue.Empty):
            told.append(self.told.get(timeout=seconds))
            while True:
                told.append(self.told.get_nowait())
        return told

    def kept(self, clips: Sequence[tuple[Job, int, str, str]]) -> None:
        """Tell of finished clips of long files."""
        for job, index, mark, text in clips:
            if (number := self._number(job.audio.path)) is not None:
                self.told.put(Finished(number, index, mark, text))

    def order_of(self, path: Path) -> Order | None:
        """The order that a file came with."""
        number = self._number(path)
        return None if number is None else self._orders.get(number)

    def _opened(self, engine: Engine) -> None:
        """Note how many clips the engine takes at a time."""
        with self._changed:
            self._n_ahead = max(1, engine.capacity)
            self._changed.notify_all()

    def _run(self, first: Order) -> None:
        """Work through orders until there is none for now."""
        for outcome in self._local.run(self._source(first), on_event=self._pass_on, stop=self._stop):
            self._end(outcome)

    def _source(self, order: Order | None) -> Iterator[AudioFile]:
        while order is not None:
            with self._changed:
                self._numbers.setdefault(order.audio.path, deque()).append(order.number)
                self._orders[order.number] = order
                self._unbegun.add(order.number)
            yield order.audio
            with self._changed:
                self._changed.wait_for(lambda: self._has_room or self._stop.is_set())
            order = self._ask()

    @property
    def _has_room(self) -> bool:
        return len(self._unbegun) < self._options.n_load_workers and self._n_waiting < self._n_ahead

    def _ask(self) -> Order | None:
        """The next order; None when there is none for now, or the worker is drained."""
        if self._stop.is_set():
            return None
        self.told.put(Ready())
        while True:
            match self._taken.get():
                case Order() as order if self._sees(order):
                    return order
                case Warm():
                    self._local.open(self._pass_on)
                case Rest() | Drain():
                    return None

    def _sees(self, order: Order) -> bool:
        """Whether a file's folder is there, or that is not to be asked."""
        folder = order.audio.root or order.audio.path.parent
        if self._looks and not folder.is_dir():
            self.told.put(FolderNotVisible(folder))
            return False
        return True

    def _pass_on(self, event: Event) -> None:
        number = None if event.path is None else self._number(event.path)
        with self._changed:
            if event.kind == "loading" and number is not None:
                self._unbegun.discard(number)
            self._n_waiting = event.data.get("n_waiting", self._n_waiting)
            self._changed.notify_all()
        if event.kind in PASSED_ON:
            path = event.path if number is None else None
            self.told.put(WorkerEvent(number, event.kind, event.data, path))

    def _end(self, outcome: Outcome) -> None:
        """Tell how a file ended; one that was interrupted because the run broke off is told of by ``Over``."""
        with self._changed:
            numbers = self._numbers[outcome.path]
            number = numbers.popleft()
            if not numbers:
                del self._numbers[outcome.path]
            del self._orders[number]
            self._unbegun.discard(number)
            if not self._orders:
                self._n_waiting = 0  # nobody tells of clips that were given up with their file
            self._changed.notify_all()
        if outcome.status is not Status.INTERRUPTED or self._stop.is_set():
            self.told.put(Ended(number, replace(outcome, outputs=())))

    def _number(self, path: Path) -> int | None:
        with self._changed:
            numbers = self._numbers.get(path)
            return numbers[-1] if numbers else None


class _Shelf:
    """Finished clips come with the orders and go with the tidings; see ``pipeline.ClipStore``."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def has_room(self, job: Job) -> bool:
        return True

    def kept(self, job: Job) -> dict[int, tuple[str, str]]:
        order = self._worker.order_of(job.audio.path)
        return {} if order is None else dict(order.kept)

    def keep(self, clips: Sequence[tuple[Job, int, str, str]]) -> None:
        self._worker.kept(clips)

    def reused(self, job: Job) -> Transcript | None:
        order = self._worker.order_of(job.audio.path)
        return None if order is None else order.reuse


def options_of_worker(options: RunOptions, *, device: str, n_load_workers: int) -> RunOptions:
    """What a worker works by: no journal, no outputs, no hooks; whether too many files failed is the run's to say."""
    has_journal = options.journal.use_journal and options.output.write
    return replace(
        options,
        engine=replace(options.engine, device=device),
        load=replace(options.load, n_workers=n_load_workers),
        output=OutputOptions(write=False),
        # the pool's run finds copies and keeps the journal; for that the worker reads the digest of each file
        journal=JournalOptions(use_journal=False, dedupe=has_journal and options.journal.dedupe),
        failures=replace(options.failures, max_failures=None, fail_fast=False),
        hooks=HookOptions(),
    )
