"""What is known of a file, as values."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from whisperbatch.journal.fingerprint import TextRecipe


class State(StrEnum):
    """How far a file is; a file in hand is one that a live run has claimed, whatever its state."""

    NEW = "new"
    WRITING = "writing"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Key:
    """A recording and the folder of its outputs, both from the root."""

    path: Path
    folder: Path


@dataclass(frozen=True, slots=True)
class Output:
    """An output as we left it: size and mtime; while it is being written, the digest of what it will be.

    ``format`` is its format's name; after # may stand what its form is known by, as in ``srt#1f2e3d4c``.
    """

    path: Path
    format: str
    size: int | None = None
    mtime_ns: int | None = None
    intended: str | None = None

    @property
    def name(self) -> str:
        """The name of its format."""
        return self.format.partition("#")[0]


@dataclass(frozen=True, slots=True)
class Entry:
    """All that is known of a file; the recording's figures and the recipe are those of its last end or intent.

    ``content`` and ``twin`` are those of ``Recording``.
    """

    id: int
    key: Key
    state: State
    run: str | None
    base: str | None
    size: int | None
    mtime_ns: int | None
    sample: str | None
    recipe: TextRecipe | None
    language: str | None
    audio_s: float
    wall_s: float
    attempts: int
    error: str | None
    is_permanent: bool
    changed: float
    outputs: tuple[Output, ...] = ()
    content: str | None = None
    twin: Path | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """Whether the file is this run's now, and what was known of it at that moment."""

    is_ours: bool
    entry: Entry


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording as it was when its loading began.

    Attributes:
        size: Bytes.
        mtime_ns: Time of the last change, in nanoseconds.
        sample: Digest of a sample of its bytes; None when they could not be read.
        content: Digest of all the bytes that its transcript was made of; None when not known.
        twin: The recording of the same content whose transcript was taken; None when it was transcribed itself.
    """

    size: int
    mtime_ns: int
    sample: str | None
    content: str | None = None
    twin: Path | None = None
