"""What a crew and its members tell each other beside ``pipeline.Order`` and ``pipeline.Tiding``; all of it pickles."""

from dataclasses import dataclass
from pathlib import Path

from whisperbatch.errors import WhisperbatchError
from whisperbatch.pipeline import Order, Tiding


@dataclass(frozen=True, slots=True)
class Warm:
    """To a member: open the model now."""


@dataclass(frozen=True, slots=True)
class Rest:
    """To a member that wants a file: there is none for now, so finish what you have."""


@dataclass(frozen=True, slots=True)
class Drain:
    """To a member: finish what the engine holds, end the rest, and be over."""


@dataclass(frozen=True, slots=True)
class Ready:
    """From a member: it has room for one more file."""


@dataclass(frozen=True, slots=True)
class FolderNotVisible:
    """From a member: it cannot see the folder of a file that it was given."""

    folder: Path


@dataclass(frozen=True, slots=True)
class Over:
    """From a member: it does nothing more, because of the error, or because it was told to."""

    error: WhisperbatchError | None = None


ToMember = Order | Warm | Rest | Drain
FromMember = Tiding | Ready | FolderNotVisible | Over


class PoolWorkerDiedError(Exception):
    """A member is gone without a word; the text says how."""
