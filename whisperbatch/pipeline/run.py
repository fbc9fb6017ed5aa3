"""Starting the threads of a run, and ending them: at the end, on stop, on an error that ends the run.

Who calls: the API, from the thread that wants the outcomes.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from whisperbatch.audio.pool import LoadWorker
from whisperbatch.engine import Engine
from whisperbatch.errors import RunError, WhisperbatchError
from whisperbatch.journal import Journal
from whisperbatch.options import RunOptions
from whisperbatch.pipeline.board import Board
from whisperbatch.pipeline.moving import Mover
from whisperbatch.pipeline.planner import Planner
from whisperbatch.pipeline.stages import INTERRUPTED, Stages
from whisperbatch.records import AudioFile, Event, Outcome
from whisperbatch.writers.beside import Namer

STOP_LOOK_S = 0.2  # how often a stop that the caller owns is looked at beside waiting for it
GRACE_S, GRACE_LOOK_S = 5.0, 0.05  # for the loader's last word on a file whose clips are all in the engine
N_WRITERS = 4  # each waits for the disk most of the time
JOIN_S = 60.0  # a step of a large model on a CPU may take as long


def run(
    source: Iterable[AudioFile],
    options: RunOptions,
    *,
    open_engine: Callable[[], Engine],
    namer: Namer,
    on_event: Callable[[Event], None],
    stop: threading.Event,
    journal: Journal | None = None,
    revision: Callable[[], str | None] = lambda: None,
    at_once: bool = False,
) -> Iterator[Outcome]:
    """Each file's outcome as it ends.

    Args:
        source: Files, as they come.
        options: All settings.
        open_engine: Gives the engine; called once, in the engine's thread, when the first file is to be loaded.
        namer: Where outputs go.
        on_event: Called from several threads, never by two at once; should return soon.
        stop: Set it to end the run: what the engine holds is finished and written, other files come out as interrupted.
        journal: What is done; None keeps none, and what lies on disk tells it.
        revision: Which weights the model's name stands for, None when that shows only once the model is open.
        at_once: Open the engine without waiting for a file: a drop folder's first file should not wait for a model.

    Raises:
        RunError, UsageError: Out of the iterator, after the outcomes of the files that were open.
    """
    planner = Planner(options, namer, journal, revision)
    whole = _Run(source, options, open_engine, namer, planner, on_event, stop)
    return whole.outcomes(at_once)


class _Run:
    """The threads of one run; owned by the thread that takes the outcomes."""

    def __init__(
        self,
        source: Iterable[AudioFile],
        options: RunOptions,
        open_engine: Callable[[], Engine],
        namer: Namer,
        planner: Planner,
        on_event: Callable[[Event], None],
        stop: threading.Event,
    ) -> None:
        self._source = source
        self._open_engine = open_engine
        self._board = Board(on_event)
        self._planner = planner
        self._mover = Mover(options.output, namer, planner.journal, self._tell)
        self._stages = Stages(options, self._board, namer, planner)
        timeout_s = options.failures.load_timeout_s
        timeout = {} if timeout_s is None else {"timeout_s": timeout_s}
        self._workers = [
            LoadWorker(options.load, options.speech, **timeout) for _ in range(options.load.resolved_workers)
        ]
        self._stop = stop
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def outcomes(self, at_once: bool) -> Iterator[Outcome]:
        if at_once:
            self._stages.want_engine()
        with ExitStack() as last:
            last.callback(self._shut_down)
            self._start()
            while (ended := self._board.next_outcome()) is not None:
                outcome = self._mover.settle(*ended)
                self._board.emit(Event("finished", outcome.path, {"outcome": outcome}))
                yield outcome
        if self._board.fatal is not None:
            raise self._board.fatal
        if not self._stop.is_set():
            self._planner.finish()

    def _tell(self, path: Path, text: str) -> None:
        self._board.emit(Event("notice", path, {"text": text}))

    def _start(self) -> None:
        self._workers[0].warm()  # the others start with their first file: one short file should not wait for them
        self._spawn("source", lambda: self._stages.find(self._source))
        for index, worker in enumerate(self._workers):
            self._spawn(f"load-{index}", lambda worker=worker: self._stages.load(worker))
        self._spawn("engine", lambda: self._stages.decode(self._open_engine))
        for index in range(N_WRITERS):
            self._spawn(f"writer-{index}", self._stages.write)
        self._spawn("waiting", self._stages.waiting.work)
        self._spawn("stop", self._watch_stop)

    def _spawn(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._guarded, args=(name, work), name=f"whisperbatch-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        """Top of a thread: whatever ends it unforeseen ends the run, and no file is left open."""
        try:
            work()
        except WhisperbatchError as err:
            self._end_early(err, err.message)
        except Exception as err:
            error = RunError(f"the {name} thread failed: {type(err).__name__}: {err}")
            error.__cause__ = err
            self._end_early(error, error.message)

    def _end_early(self, error: WhisperbatchError | None, reason: str) -> None:
        if error is not None and self._board.fatal is None:
            self._board.fatal = error
        self._stages.abort()
        self._board.interrupt(reason)
        for worker in self._workers:
            worker.close()

    def _watch_stop(self) -> None:
        while not self._ended.is_set():
            if self._stop.wait(STOP_LOOK_S):
                self._drain()
                return

    def _drain(self) -> None:
        """Take nothing more in, and let what is in the engine come to its end."""
        self._stages.drain()
        self._board.interrupt(INTERRUPTED, spare=lambda job: job.is_in_engine)
        until_s = time.monotonic() + GRACE_S
        while self._board.has_unfinished() and time.monotonic() < until_s and not self._ended.wait(GRACE_LOOK_S):
            pass
        self._board.interrupt(INTERRUPTED, spare=lambda job: job.may_finish)
        for worker in self._workers:
            worker.close()
        self._stages.drained()

    def _shut_down(self) -> None:
        self._ended.set()
        self._end_early(None, INTERRUPTED)
        for thread in self._threads:
            # the source may hang in someone else's iterator or in a read of a terminal; it is left behind
            if thread.name != "whisperbatch-source":
                thread.join(JOIN_S)
