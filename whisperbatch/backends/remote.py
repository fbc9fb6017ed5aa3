"""A run whose models are elsewhere: sources, names, journal and outputs here, the rest with a crew."""

import threading
from collections.abc import Callable, Iterable, Iterator

from whisperbatch import pipeline
from whisperbatch.backends.local import rooms_of
from whisperbatch.backends.worker_pool import WorkerPool
from whisperbatch.journal import Journal
from whisperbatch.options import RunOptions
from whisperbatch.records import AudioFile, Event, Outcome


class RemoteBackend:
    """See ``backends.Backend``; its members stay between runs."""

    def __init__(self, options: RunOptions, crew: WorkerPool) -> None:
        """Start nothing yet."""
        self._options, self._crew = options, crew

    def run(
        self,
        source: Iterable[AudioFile],
        *,
        on_event: Callable[[Event], None],
        stop: threading.Event,
        journal: Journal | None = None,
        at_once: bool = False,
    ) -> Iterator[Outcome]:
        """The outcome of each file, as it ends."""
        self._crew.open()
        return pipeline.run(
            source,
            self._options,
            crew=self._crew,
            on_event=on_event,
            stop=stop,
            journal=journal,
            at_once=at_once,
            **rooms_of(self._options),
        )

    def close(self) -> None:
        """End the members."""
        self._crew.close()
