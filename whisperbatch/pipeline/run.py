"""Starting the threads of a run, and ending them: at the end, on stop, on an error that ends the run."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Protocol

from whisperbatch.engine import Engine
from whisperbatch.errors import RunError, WhisperbatchError
from whisperbatch.journal import Journal
from whisperbatch.options import RunOptions
from whisperbatch.outputs.namer import Namer
from whisperbatch.pipeline.clip_cache import ClipCache, ClipStore, JournalClipStore
from whisperbatch.pipeline.file_flow import INTERRUPTED, FileFlow
from whisperbatch.pipeline.find_speakers import SpeakerFinder
from whisperbatch.pipeline.local_stages import LocalStages
from whisperbatch.pipeline.move_recordings import Mover
from whisperbatch.pipeline.open_files import OpenFiles
from whisperbatch.pipeline.planner import Planner
from whisperbatch.pipeline.remote_stages import RemoteStages
from whisperbatch.pipeline.worker_protocol import WorkerPool
from whisperbatch.records import AudioFile, Event, Outcome
from whisperbatch.speakers import Diarizer

STOP_LOOK_S = 0.2  # how often a stop that the caller owns is looked at beside waiting for it
JOIN_S = 60.0  # a step of a large model on a CPU may take as long


class TranscribeStages(Protocol):
    """Who transcribes what the flow decides on: the stages of this process, or those who hand it to a worker pool."""

    def threads(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """What is to run side by side, with its name."""
        ...

    def want_engine(self) -> None:
        """Have the model opened without waiting for a file."""
        ...

    def drain(self, is_over: threading.Event) -> None:
        """Let what the engine holds come to its end, and end the other files; ``is_over`` cuts it short."""
        ...

    def abort(self) -> None:
        """Wake every thread."""
        ...

    def close(self) -> None:
        """End the processes that are the run's own."""
        ...


def run(
    source: Iterable[AudioFile],
    options: RunOptions,
    *,
    open_engine: Callable[[], Engine] | None = None,
    pool: WorkerPool | None = None,
    namer: Namer,
    on_event: Callable[[Event], None],
    stop: threading.Event,
    journal: Journal | None = None,
    revision: Callable[[], str | None] = lambda: None,
    at_once: bool = False,
    clip_store: ClipStore | None = None,
    open_diarizer: Callable[[], Diarizer] | None = None,
) -> Iterator[Outcome]:
    """Each file's outcome as it ends.

    Args:
        source: Files, as they come.
        options: All settings.
        open_engine: Gives the engine; called once, in the engine's thread, when the first file is to be loaded.
        pool: Transcribes elsewhere, in place of an engine here.
        namer: Where outputs go.
        on_event: Called from several threads, never by two at once; should return soon.
        stop: Set it to end the run: what the engine holds is finished and written, other files come out as interrupted.
        journal: What is done; None keeps none, and what lies on disk tells it.
        revision: Which weights the model's name stands for, None when that shows only once the model is open.
        at_once: Open the engine without waiting for a file: a drop folder's first file should not wait for a model.
        clip_store: Where finished clips of long files are kept; None means the journal. A pool worker has one.
        open_diarizer: Gives what finds speakers; the first one before any file is loaded. None looks for none.

    Raises:
        RunError, UsageError: Out of the iterator, after the outcomes of the files that were open.
    """
    planner = Planner(options, namer, journal, revision)
    flow = FileFlow(options, OpenFiles(on_event), namer, planner, is_pool_worker=clip_store is not None)
    clip_store = clip_store or JournalClipStore(journal)
    if pool is not None:
        stages: TranscribeStages = RemoteStages(flow, pool, clip_store)
    else:
        assert open_engine is not None
        speaker_finder = None if open_diarizer is None else SpeakerFinder(flow, open_diarizer)
        stages = LocalStages(flow, open_engine, ClipCache(clip_store, planner.making_told), speaker_finder)
    return _Run(source, flow, stages, Mover(options.output, namer, journal, flow.tell), stop).outcomes(at_once)


class _Run:
    """The threads of one run; owned by the thread that takes the outcomes."""

    def __init__(
        self, source: Iterable[AudioFile], flow: FileFlow, stages: TranscribeStages, mover: Mover, stop: threading.Event
    ) -> None:
        self._source = source
        self._flow, self._open_files, self._stages, self._mover = flow, flow.open_files, stages, mover
        self._hooks = flow.hooks
        self._stop = stop
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def outcomes(self, at_once: bool) -> Iterator[Outcome]:
        if at_once:
            self._stages.want_engine()
        with ExitStack() as last:
            last.callback(self._shut_down)
            last.enter_context(self._hooks)
            self._start()
            while (ended := self._open_files.next_outcome()) is not None:
                due = self._hooks.left_due(ended[0])
                outcome = self._mover.settle(*ended)
                self._open_files.emit(Event("finished", outcome.path, {"outcome": outcome}))
                self._hooks.ended(ended[0], outcome, due)
                yield outcome
            self._hooks.finish(self._stop, is_hurried=self._open_files.fatal is not None)
        if self._open_files.fatal is not None:
            raise self._open_files.fatal
        if not self._stop.is_set():
            self._flow.planner.finish()

    def _start(self) -> None:
        self._spawn("source", lambda: self._flow.find(self._source))
        for name, work in self._stages.threads():
            self._spawn(name, work)
        for name, work in self._hooks.threads():
            self._spawn(name, work)
        self._spawn("waiting", self._flow.waiting.work)
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
        if error is not None and self._open_files.fatal is None:
            self._open_files.fatal = error
        self._flow.abort()
        self._stages.abort()
        self._open_files.interrupt(reason)
        self._stages.close()

    def _watch_stop(self) -> None:
        while not self._ended.is_set():
            if self._stop.wait(STOP_LOOK_S):
                self._flow.take_no_more()
                self._stages.drain(self._ended)
                return

    def _shut_down(self) -> None:
        self._ended.set()
        self._end_early(None, INTERRUPTED)
        for thread in self._threads:
            # the source may hang in someone else's iterator or in a read of a terminal; it is left behind
            if thread.name != "whisperbatch-source":
                thread.join(JOIN_S)
