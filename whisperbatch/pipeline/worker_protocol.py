"""What a run asks of a worker pool that transcribes its files elsewhere, and what both tell each other.

Each worker has load processes, a batcher and an engine of its own. Files go to it by name and transcripts come back;
names, journal and outputs stay with the run, so whatever dies elsewhere has written nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from whisperbatch.records import AudioFile, Outcome, Transcript


@dataclass(frozen=True, slots=True)
class FileTask:
    """A file to be transcribed.

    Attributes:
        number: The run's for it.
        audio: The file.
        is_exclusive: Whether a worker that takes it takes nothing else until it has ended: one died that had it.
        kept: The mark and text of clips that an earlier run finished, by their index.
        reuse: Its text, when only its speakers are to be found.
    """

    number: int
    audio: AudioFile
    is_exclusive: bool = False
    kept: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    reuse: Transcript | None = None


@dataclass(frozen=True, slots=True)
class WorkerEvent:
    """An event of the run where the file is: kind and data as ``records.Event`` has them; no number, no file."""

    number: int | None
    kind: str
    data: Mapping[str, Any]
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class ClipFinished:
    """A clip of a long file that is worth keeping until the file is done."""

    number: int
    index: int
    mark: str
    text: str


@dataclass(frozen=True, slots=True)
class FileEnded:
    """How a file ended; when it is done its transcript is there, and nothing is written."""

    number: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The worker that had a file is gone, and ``why``; the file may be to blame, unless that is known not to be."""

    number: int
    why: str
    is_to_blame: bool = True


WorkerMessage = WorkerEvent | ClipFinished | FileEnded | WorkerLost


class WorkerPool(Protocol):
    """Workers that take files; any thread may call it."""

    @property
    def max_waiting(self) -> int:
        """How many files may wait at a time to be taken."""
        ...

    def warm(self) -> None:
        """Have the workers open their models without waiting for a file."""
        ...

    def submit(self, task: FileTask) -> bool:
        """Wait until a worker takes the file; False when none will any more."""
        ...

    def flush(self) -> None:
        """Nothing more waits to be handed for now: batches need not be waited for to become full."""
        ...

    def messages(self) -> Iterator[WorkerMessage]:
        """What happens, as it happens, until the pool is let go.

        Raises:
            RunError, UsageError: No worker can work.
        """
        ...

    def drain(self) -> None:
        """Take nothing more, and end what has begun; every file that was taken is told of still."""
        ...

    def end_run(self) -> None:
        """The run is over: ``submit`` and ``messages`` return, and whatever a worker still does is told to nobody."""
        ...
