"""Backends: run the model in this process, in one process per device, or on a Ray cluster.

Modules: local (one device, in this process), remote (a run with a worker pool), worker_pool (assigns files to workers
and replaces workers that die), worker (a pipeline of its own, fed file by file), messages (between pool and workers),
process_workers (one process per device), ray_workers (one Ray actor per device).
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol, Unpack

from whisperbatch.backends import process_workers
from whisperbatch.backends.local import LocalBackend
from whisperbatch.backends.remote import RemoteBackend
from whisperbatch.options import RunOptions
from whisperbatch.pipeline import RunParts
from whisperbatch.records import AudioFile, Outcome

__all__ = ["Backend", "open_backend"]


class Backend(Protocol):
    """A run's pipeline, wherever its models are; models stay loaded between runs."""

    def run(self, source: Iterable[AudioFile], **parts: Unpack[RunParts]) -> Iterator[Outcome]:
        """Yield the outcome of each file as it ends; for one thread at a time.

        Args:
            source: The files, in the order they arrive.
            **parts: See ``pipeline.run``.

        Raises:
            UsageError, RunError: Raised by the iterator.
        """
        ...

    def close(self) -> None:
        """Free the models."""
        ...


def open_backend(options: RunOptions) -> Backend:
    """Return the backend that the options select; nothing is loaded or started yet.

    Raises:
        UsageError: It needs a library that is not installed.
    """
    if options.workers.backend == "ray":
        from whisperbatch.backends import ray_workers

        return RemoteBackend(options, ray_workers.pool_of(options))
    names = options.engine.devices
    if names == ("all",):
        from whisperbatch.engine.placement import every

        names = every()
    if len(names) > 1:
        return RemoteBackend(options, process_workers.pool_of(options, names))
    return LocalBackend(replace(options, engine=replace(options.engine, device=names[0])))
