"""Run a pipeline: start its threads, and end them at the end, on a stop, or on an error that ends the run."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import NotRequired, Protocol, TypedDict

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

STOP_LOOK_S = 0.2  # longest wait for the caller's stop event before the end of the run is checked
JOIN_S = 60.0  # a step of a large model on a CPU may take this long


class TranscribeStages(Protocol):
    """The stages that transcribe: those of this process, or those that submit files to a worker pool."""

    def threads(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield the functions to run in threads, with their names."""
        ...

    def want_engine(self) -> None:
        """Open the model without waiting for a file."""
        ...

    def drain(self, is_over: threading.Event) -> None:
        """Finish files that are in the engine, and interrupt the others; ``is_over`` cuts this short."""
        ...

    def abort(self) -> None:
        """Wake every thread."""
        ...

    def close(self) -> None:
        """End the processes that belong to the run."""
        ...


class RunParts(TypedDict):
    """What a caller passes through a backend to ``run``, whose docstring explains it."""

    on_event: Callable[[Event], None]
    stop: threading.Event
    journal: NotRequired[Journal | None]
    at_once: NotRequired[bool]


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
    """Yield the outcome of each file as it ends.

    Args:
        source: The files, in the order they arrive.
        options: All settings.
        open_engine: Opens the engine; called once, in the engine's thread, when the first file must be loaded.
        pool: Transcribes in workers instead of an engine in this process.
        namer: Names the outputs.
        on_event: Called with each event from several threads, never by two at once; should return soon.
        stop: When set, the run ends: files in the engine are finished and written, others are interrupted.
        journal: Records what is done; with None the outputs on disk decide.
        revision: Returns which weights the model's name means; None if known only once the model is open.
        at_once: Open the engine without waiting for a file, so that a drop folder's first file need not wait.
        clip_store: Stores finished clips of long files; None means the journal. Only a pool worker has one.
        open_diarizer: Opens a diarizer, the first one before any file is loaded; None finds no speakers.

    Raises:
        RunError, UsageError: Raised by the iterator, after the outcomes of the open files.
    """
    planner = Planner(options, namer, journal, revision)
    flow = FileFlow(options, OpenFiles(on_event), namer, planner, is_pool_worker=clip_store is not None)
    clip_store = clip_store or JournalClipStore(journal)
    if pool is not None:
        stages: TranscribeStages = RemoteStages(flow, pool, clip_store)
    else:
        assert open_engine is not None
        speaker_finder = None if open_diarizer is None else SpeakerFinder(flow, open_diarizer)
        stages = LocalStages(flow, open_engine, ClipCache(clip_store, planner.recipe_key), speaker_finder)
    return _Run(source, flow, stages, Mover(options.output, namer, journal, flow.notice), stop).outcomes(at_once)


class _Run:
    """The threads of one run; owned by the thread that iterates the outcomes."""

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
                outcome = self._mover.move(*ended)
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
        self._spawn("waiting", self._flow.claimed_files.work)
        self._spawn("stop", self._watch_stop)

    def _spawn(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._run_thread, args=(name, work), name=f"whisperbatch-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run_thread(self, name: str, work: Callable[[], None]) -> None:
        """Top of a thread: an unexpected error ends the run and leaves no file open."""
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
            # the source may hang in a foreign iterator or in a read from a terminal; it is left behind
            if thread.name != "whisperbatch-source":
                thread.join(JOIN_S)
