"""Runs in this process with the fake engine: one collected in a thread, and folders with a journal run repeatedly."""

import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from sounds import write_wav
from whisperbatch import pipeline
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.journal import Journal
from whisperbatch.options import (
    BatchOptions,
    EngineOptions,
    LoadOptions,
    OutputOptions,
    RunOptions,
    SpeechOptions,
)
from whisperbatch.outputs.namer import Namer
from whisperbatch.records import (
    AudioFile,
    Clip,
    Event,
    FileLoaded,
    Outcome,
    Status,
)
from whisperbatch.sources import MEDIA_SUFFIXES, from_paths

N_SHORT = 1_600  # samples of a short file


def short_files(folder: Path, n: int) -> list[Path]:
    """Short files with different samples."""
    return [write_wav(folder / f"{i:03d}.wav", np.full(N_SHORT, i + 1)) for i in range(n)]


def options(batch_size: int = 16, max_wait: float = 0.0, **output: object) -> RunOptions:
    return RunOptions(
        batch=BatchOptions(batch_size, max_wait),
        load=LoadOptions(1),
        speech=SpeechOptions(vad=False),  # most recordings here are noise
        output=OutputOptions(**{"formats": ("txt",), **output}),  # type: ignore[arg-type]
    )


class Run:
    """A run whose outcomes are collected in a thread, so that a hang fails the test."""

    def __init__(
        self,
        source: Iterator[AudioFile],
        engine: FakeEngine | Callable[[], FakeEngine],
        opts: RunOptions,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.events: list[Event] = []
        self.outcomes: list[Outcome] = []
        self.error: BaseException | None = None
        self.stop = threading.Event()
        self.changed = threading.Condition()

        def note(event: Event) -> None:
            self.events.append(event)
            on_event(event)

        def work() -> None:
            try:
                for outcome in pipeline.run(
                    source,
                    opts,
                    open_engine=engine if callable(engine) else lambda: engine,
                    namer=Namer(opts.output, MEDIA_SUFFIXES),
                    on_event=note,
                    stop=self.stop,
                ):
                    with self.changed:
                        self.outcomes.append(outcome)
                        self.changed.notify_all()
            except BaseException as err:
                self.error = err

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()

    def wait_for(self, n_outcomes: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.outcomes) >= n_outcomes, 60)

    def end(self) -> list[Outcome]:
        self.thread.join(120)
        assert not self.thread.is_alive(), "the run hangs"
        if self.error is not None:
            raise self.error
        return self.outcomes


def statuses(outcomes: list[Outcome]) -> dict[str, Status]:
    return {outcome.path.name: outcome.status for outcome in outcomes}


class Place:
    """A folder with recordings, and a journal elsewhere."""

    def __init__(self, folder: Path, n_files: int = 3) -> None:
        self.audio = folder / "audio"
        self.journal = folder / "journal.sqlite3"
        self.audio.mkdir()
        for index in range(n_files):
            write_wav(self.audio / f"{index:03d}.wav", index + 1)
        self.base = RunOptions(
            engine=EngineOptions("fake"),
            load=LoadOptions(1),
            speech=SpeechOptions(vad=False),  # the recordings here are no speech
            batch=BatchOptions(4, 0.0),
            output=OutputOptions(formats=("txt", "json")),
        )
        self.n_opened = 0

    def run(
        self,
        *,
        revision: str | None = "0",
        before_step: Callable[[list[Clip]], None] | None = None,
        fails: Callable[[Clip], bool] = lambda clip: False,
        with_journal: bool = True,
        source: Iterator[AudioFile] | None = None,
        stop: threading.Event | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
        **rooms: object,
    ) -> dict[str, Outcome]:
        """Outcomes by file name; ``rooms`` are changes to a room's options, as dicts."""
        options = self.options(**rooms)

        def open_engine() -> FakeEngine:
            self.n_opened += 1
            return FakeEngine(4, before_step, fails)

        with self.book(with_journal) as journal:
            outcomes = pipeline.run(
                source or from_paths([self.audio]),
                options,
                open_engine=open_engine,
                namer=Namer(options.output, MEDIA_SUFFIXES),
                on_event=on_event,
                stop=stop or threading.Event(),
                journal=journal,
                revision=lambda: revision,
            )
            return {outcome.path.name: outcome for outcome in outcomes}

    def options(self, **rooms: object) -> RunOptions:
        changed = {name: replace(getattr(self.base, name), **values) for name, values in rooms.items()}  # type: ignore
        return replace(self.base, **changed)

    @contextmanager
    def book(self, is_kept: bool = True) -> Iterator[Journal | None]:
        if not is_kept:
            yield None
            return
        with Journal(self.journal) as journal:
            yield journal

    def contents(self) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in self.audio.iterdir() if p.suffix != ".wav"}


def told(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name[:3]: outcome.status.value for name, outcome in sorted(outcomes.items())}


DONE, SKIPPED = ({f"{i:03d}": status for i in range(3)} for status in ("done", "skipped"))


N_LARGE = 200_000  # samples; such a file is sampled, not read whole


def write_large(path: Path, unsampled: int = 0, n_samples: int = N_LARGE) -> Path:
    """A recording of which a sample is taken; ``unsampled`` is a value at a place where none is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, 1, n_samples)
    data = bytearray(path.read_bytes())
    at = 20_000  # behind the first block of 16 KiB and before the second
    data[at : at + 200] = np.full(100, unsampled, np.int16).tobytes()
    path.write_bytes(data)
    return path


class QuickWorker:
    """A load worker without a process, for whole trees of WAV files."""

    def __init__(self, *options: object) -> None:
        pass

    def warm(self) -> None:
        pass

    def close(self) -> None:
        pass

    def load(self, file_id: int, path: Path, settings: object) -> Iterator[Clip | FileLoaded]:
        with wave.open(str(path)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        yield Clip(file_id, 0, 0.0, samples)
        yield FileLoaded(file_id, 1, len(samples) / 16_000)


class Tree(Place):
    """A place whose recordings are sampled, and which counts what the engine hears."""

    def __init__(self, folder: Path, n_files: int = 3) -> None:
        super().__init__(folder, 0)
        for index in range(n_files):
            write_large(self.audio / f"{index:03d}.wav", index)
        self.n_heard = 0

    def run(self, **more: object) -> dict[str, Outcome]:  # type: ignore[override]
        before = more.pop("before_step", None)

        def count(clips: list[Clip]) -> None:
            self.n_heard += len({clip.file_id for clip in clips if clip.index == 0})
            if callable(before):
                before(clips)

        return super().run(before_step=count, **more)  # type: ignore[arg-type]
