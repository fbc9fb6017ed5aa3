"""Run a worker pool: sources, names, journal and outputs stay in this process, the rest happens in the workers."""

import threading
from collections.abc import Callable, Iterable, Iterator

from whisperbatch import pipeline
from whisperbatch.backends.local import common_arguments
from whisperbatch.backends.worker_pool import WorkerPool
from whisperbatch.journal import Journal
from whisperbatch.options import RunOptions
from whisperbatch.records import AudioFile, Event, Outcome


class RemoteBackend:
    """See ``backends.Backend``; the workers stay between runs."""

    def __init__(self, options: RunOptions, pool: WorkerPool) -> None:
        """Start nothing yet."""
        self._options, self._pool = options, pool

    def run(
        self,
        source: Iterable[AudioFile],
        *,
        on_event: Callable[[Event], None],
        stop: threading.Event,
        journal: Journal | None = None,
        at_once: bool = False,
    ) -> Iterator[Outcome]:
        """Yield the outcome of each file as it ends."""
        self._pool.open()
        return pipeline.run(
            source,
            self._options,
            pool=self._pool,
            on_event=on_event,
            stop=stop,
            journal=journal,
            at_once=at_once,
            **common_arguments(self._options),
        )

    def close(self) -> None:
        """End the workers."""
        self._pool.close()
