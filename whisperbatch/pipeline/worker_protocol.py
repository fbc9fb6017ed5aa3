"""The interface between a run and a worker pool, and the messages that they exchange.

Each worker has load processes, a batcher and an engine of its own. Files go to it by name and transcripts come back;
names, journal and outputs stay with the run, so a worker that dies has written nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from whisperbatch.records import AudioFile, Outcome, Transcript


@dataclass(frozen=True, slots=True)
class FileTask:
    """A file to transcribe.

    Attributes:
        number: Number of the job in the run.
        audio: The file.
        is_exclusive: Whether its worker takes no other file until it has ended, since a worker died that had it.
        finished_clips: Mark and text of clips that an earlier run finished, by index.
        reuse: Its text, if only its speakers are missing.
    """

    number: int
    audio: AudioFile
    is_exclusive: bool = False
    finished_clips: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    reuse: Transcript | None = None


@dataclass(frozen=True, slots=True)
class WorkerEvent:
    """An event in a worker: kind and data as in ``records.Event``; ``number`` is None if it is about no file."""

    number: int | None
    kind: str
    data: Mapping[str, Any]
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class ClipFinished:
    """A finished clip of a long file, to be stored until the file is done."""

    number: int
    index: int
    mark: str
    text: str


@dataclass(frozen=True, slots=True)
class FileEnded:
    """How a file ended; if done, with its transcript. Nothing is written."""

    number: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The worker that had a file has died; with ``is_to_blame`` the file may be the cause."""

    number: int
    why: str
    is_to_blame: bool = True


WorkerMessage = WorkerEvent | ClipFinished | FileEnded | WorkerLost


class WorkerPool(Protocol):
    """Workers that transcribe files; any thread may call it."""

    @property
    def max_waiting(self) -> int:
        """The number of ``submit`` calls that may wait at a time."""
        ...

    def warm(self) -> None:
        """Make the workers open their models without waiting for a file."""
        ...

    def submit(self, task: FileTask) -> bool:
        """Wait until a worker takes the file; return False if none will."""
        ...

    def flush(self) -> None:
        """Tell the pool that no file is waiting: workers need not wait for full batches."""
        ...

    def messages(self) -> Iterator[WorkerMessage]:
        """Yield messages as they come, until ``end_run``.

        Raises:
            RunError, UsageError: No worker can work.
        """
        ...

    def drain(self) -> None:
        """Take no more files, and finish those begun; every file that was taken is still reported."""
        ...

    def end_run(self) -> None:
        """End the run: ``submit`` and ``messages`` return, and later messages of workers are dropped."""
        ...
