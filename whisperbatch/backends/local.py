"""Run in this process: one device, with the model kept between runs."""

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from whisperbatch import demo, pipeline
from whisperbatch.audio.worker_client import LoadWorker
from whisperbatch.engine import Engine, open_engine
from whisperbatch.options import RunOptions, SpeechOptions
from whisperbatch.outputs.namer import Namer
from whisperbatch.pipeline import ClipStore, RunParts
from whisperbatch.records import AudioFile, Clip, ClipSettings, Event, Outcome
from whisperbatch.sources import MEDIA_SUFFIXES
from whisperbatch.speakers import Diarizer, open_diarizer


class LocalBackend:
    """One engine, opened with the first file that needs it; ``run`` is for one thread at a time."""

    def __init__(
        self,
        options: RunOptions,
        *,
        clip_store: ClipStore | None = None,
        on_open: Callable[[Engine], None] = lambda engine: None,
    ) -> None:
        """Open nothing yet; finished clips of long files go to ``clip_store``, None means the journal."""
        self._options = options
        self._clip_store, self._on_open = clip_store, on_open
        self._engine: Engine | None = None
        self._diarizers: list[Diarizer] = []

    def run(self, source: Iterable[AudioFile], **parts: Unpack[RunParts]) -> Iterator[Outcome]:
        """Yield the outcome of each file; see ``backends.Backend``."""
        return pipeline.run(
            source,
            self._options,
            open_engine=lambda: self.open(parts["on_event"]),
            clip_store=self._clip_store,
            open_diarizer=self._diarizers_of_run() if self._options.speakers.enabled else None,
            **parts,
            **common_arguments(self._options),
        )

    def open(self, on_event: Callable[[Event], None]) -> Engine:
        """Return the engine with its model loaded."""
        if self._engine is None:
            self._engine = open_engine(
                self._options.engine,
                self._options.clip,
                max_batch_size=self._options.batch.max_batch_size,
                demo=demo.FOLDER,
                on_notice=lambda text: on_event(Event("notice", None, {"text": text})),
                decode=self._options.decode,
            )
            self._on_open(self._engine)
        return self._engine

    def close(self) -> None:
        """Free the model."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        while self._diarizers:
            self._diarizers.pop().close()

    def _diarizers_of_run(self) -> Callable[[], Diarizer]:
        """Return a function that gives a run one diarizer after another, those of earlier runs first."""
        existing, lock, options = iter(list(self._diarizers)), threading.Lock(), self._options

        def give() -> Diarizer:
            with lock:
                found = next(existing, None)
                if found is None:
                    offline = options.engine.offline
                    found = open_diarizer(options.speakers, offline=offline, read_clip=self._read_clip)
                    self._diarizers.append(found)
                return found

        return give

    def _read_clip(self, path: Path) -> np.ndarray:
        """Return a reference clip as int16 (n_samples,), decoded in a process of its own as every recording is.

        Raises:
            LoadError: It cannot be read.
        """
        with LoadWorker(self._options.load, SpeechOptions(vad=False)) as worker:
            loaded = worker.load(0, path, ClipSettings())
            clips = [np.asarray(one.samples[:]) for one in loaded if isinstance(one, Clip)]
        return np.concatenate(clips) if clips else np.zeros(0, np.int16)


def common_arguments(options: RunOptions) -> dict[str, Any]:
    """Return the arguments that every run has: the namer of its outputs, and which weights its model's name means."""
    return {
        "namer": Namer(options.output, MEDIA_SUFFIXES),
        "revision": lambda: pipeline.revision_of(options.engine, demo.FOLDER),
    }
