"""Messages between a worker pool and its workers, beside those of ``pipeline.worker_protocol``; all can be pickled."""

from dataclasses import dataclass
from pathlib import Path

from whisperbatch.errors import WhisperbatchError
from whisperbatch.pipeline import FileTask, WorkerMessage


@dataclass(frozen=True, slots=True)
class Warm:
    """To a worker: open the model now."""


@dataclass(frozen=True, slots=True)
class Flush:
    """To a ready worker: no file is waiting, so finish what you have."""


@dataclass(frozen=True, slots=True)
class Drain:
    """To a worker: finish the files in the engine, interrupt the others, and end."""


@dataclass(frozen=True, slots=True)
class Ready:
    """From a worker: it has room for one more file."""


@dataclass(frozen=True, slots=True)
class FolderNotVisible:
    """From a worker: it cannot see the folder of a file that it received."""

    folder: Path


@dataclass(frozen=True, slots=True)
class Over:
    """From a worker, its last message: it ends because of an error, or because it was drained."""

    error: WhisperbatchError | None = None


ToWorker = FileTask | Warm | Flush | Drain
FromWorker = WorkerMessage | Ready | FolderNotVisible | Over


class PoolWorkerDiedError(Exception):
    """A worker died without a last message; the text says how."""
