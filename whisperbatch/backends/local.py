"""A run in this process: one device, the model kept between runs. Who calls: the API, and each member of a crew."""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from whisperbatch import demo, pipeline
from whisperbatch.engine import Engine, open_engine
from whisperbatch.journal import Journal
from whisperbatch.options import RunOptions
from whisperbatch.pipeline import Shelf
from whisperbatch.records import AudioFile, Event, Outcome
from whisperbatch.sources import MEDIA_SUFFIXES
from whisperbatch.writers.beside import Namer


class Local:
    """One engine, opened with the first file that needs it; ``run`` is for one thread at a time."""

    def __init__(
        self,
        options: RunOptions,
        *,
        shelf: Shelf | None = None,
        on_open: Callable[[Engine], None] = lambda engine: None,
    ) -> None:
        """Keep the options; finished clips of long files are kept on the shelf, None means the journal."""
        self._options = options
        self._shelf, self._on_open = shelf, on_open
        self._engine: Engine | None = None

    def run(
        self,
        source: Iterable[AudioFile],
        *,
        on_event: Callable[[Event], None],
        stop: threading.Event,
        journal: Journal | None = None,
        at_once: bool = False,
    ) -> Iterator[Outcome]:
        """The outcome of each file; see ``backends.Backend``."""
        return pipeline.run(
            source,
            self._options,
            open_engine=lambda: self.open(on_event),
            on_event=on_event,
            stop=stop,
            journal=journal,
            at_once=at_once,
            shelf=self._shelf,
            **rooms_of(self._options),
        )

    def open(self, on_event: Callable[[Event], None]) -> Engine:
        """The engine, its model loaded."""
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


def rooms_of(options: RunOptions) -> dict[str, Any]:
    """What a run has, wherever its models are: who names its outputs, and which weights its model's name means."""
    return {
        "namer": Namer(options.output, MEDIA_SUFFIXES),
        "revision": lambda: pipeline.revision_of(options.engine, demo.FOLDER),
    }
