"""Records of what the journal knows about a file."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from whisperbatch.journal.fingerprint import TextRecipe


class State(StrEnum):
    """The progress of a file; whether a live run has claimed it is separate from this."""

    NEW = "new"
    WRITING = "writing"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Key:
    """A recording and the folder of its outputs, both as absolute paths."""

    path: Path
    folder: Path


@dataclass(frozen=True, slots=True)
class Output:
    """An output as we left it: size and mtime; while it is being written, the digest of its future content.

    ``format`` is the format's name, optionally with marks of its form after #, as in ``srt#1f2e3d4c``.
    """

    path: Path
    format: str
    size: int | None = None
    mtime_ns: int | None = None
    intended: str | None = None

    @property
    def name(self) -> str:
        """The format's name alone."""
        return self.format.partition("#")[0]


@dataclass(frozen=True, slots=True)
class Entry:
    """All that is known about a file; recording and recipe are as of its last end or intent to write.

    For ``content`` and ``twin`` see ``Recording``.
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
    """Whether this run has the file now, and what was known about it at that moment."""

    is_ours: bool
    entry: Entry


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording as it was when its loading began.

    Attributes:
        size: Bytes.
        mtime_ns: Time of the last change, in nanoseconds.
        sample: Digest of a sample of its bytes; None when they could not be read.
        content: Digest of all bytes that its transcript was made from; None when unknown.
        twin: The recording with the same content whose transcript was used; None when it was transcribed itself.
    """

    size: int
    mtime_ns: int
    sample: str | None
    content: str | None = None
    twin: Path | None = None
