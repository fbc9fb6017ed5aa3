"""Run a worker pool: sources, names, journal and outputs stay in this process, the rest happens in the workers."""

from collections.abc import Iterable, Iterator
from typing import Unpack

from whisperbatch import pipeline
from whisperbatch.backends.local import common_arguments
from whisperbatch.backends.worker_pool import WorkerPool
from whisperbatch.options import RunOptions
from whisperbatch.pipeline import RunParts
from whisperbatch.records import AudioFile, Outcome


class RemoteBackend:
    """See ``backends.Backend``; the workers stay between runs."""

    def __init__(self, options: RunOptions, pool: WorkerPool) -> None:
        """Start nothing yet."""
        self._options, self._pool = options, pool

    def run(self, source: Iterable[AudioFile], **parts: Unpack[RunParts]) -> Iterator[Outcome]:
        """Yield the outcome of each file as it ends."""
        self._pool.open()
        return pipeline.run(source, self._options, pool=self._pool, **parts, **common_arguments(self._options))

    def close(self) -> None:
        """End the workers."""
        self._pool.close()
