"""Messages between a worker pool and its workers, beside those of ``pipeline.worker_protocol``; all can be pickled."""

from dataclasses import dataclass
from pathlib import Path

from whisperbatch.errors import WhisperbatchError
from whisperbatch.pipeline import Order, Tiding


@dataclass(frozen=True, slots=True)
class Warm:
    """To a worker: open the model now."""


@dataclass(frozen=True, slots=True)
class Rest:
    """To a worker that wants a file: there is none for now, so finish what you have."""


@dataclass(frozen=True, slots=True)
class Drain:
    """To a worker: finish what the engine holds, end the rest, and be over."""


@dataclass(frozen=True, slots=True)
class Ready:
    """From a worker: it has room for one more file."""


@dataclass(frozen=True, slots=True)
class FolderNotVisible:
    """From a worker: it cannot see the folder of a file that it was given."""

    folder: Path


@dataclass(frozen=True, slots=True)
class Over:
    """From a worker: it does nothing more, because of the error, or because it was told to."""

    error: WhisperbatchError | None = None


ToWorker = Order | Warm | Rest | Drain
FromWorker = Tiding | Ready | FolderNotVisible | Over


class PoolWorkerDiedError(Exception):
    """A worker is gone without a word; the text says how."""
