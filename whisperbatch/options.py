"""What can be set, one frozen dataclass a room; checked once, at the edge, where each is made.

The CLI and the API make these; rooms receive theirs whole. A value that makes no sense raises UsageError.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from whisperbatch.errors import UsageError
from whisperbatch.languages import LANGUAGES
from whisperbatch.records import ClipSettings

FORMATS = ("txt", "vtt", "srt", "tsv", "json")  # what ``all`` means, as in openai-whisper
DEFAULT_FORMATS = ("txt", "json")
TASKS = ("transcribe", "translate")
COMPUTE_TYPES = ("auto", "float32", "float16", "bfloat16")


def require(condition: bool, message: str) -> None:
    """Nothing, or UsageError with ``message`` when ``condition`` does not hold."""
    if not condition:
        raise UsageError(message)


def parse_formats(given: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """The formats named by repeats, commas and ``all``, each once, in the order given; UsageError on an unknown one."""
    names: list[str] = []
    for part in ",".join(given).split(","):
        name = part.strip().lower()
        if not name:
            continue
        for one in FORMATS if name == "all" else (name,):
            require(one in FORMATS, f"unknown format '{one}'; choose from {', '.join(FORMATS)} or all")
            if one not in names:
                names.append(one)
    require(bool(names), f"no format given; choose from {', '.join(FORMATS)} or all")
    return tuple(names)


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """Drop folders: seconds a file must stand still, seconds of quiet that end the watch, seconds between rescans."""

    settle_s: float = 2.0
    until_idle_s: float | None = None
    rescan_s: float = 60.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.settle_s >= 0, "--settle must not be negative")
        require(self.until_idle_s is None or self.until_idle_s > 0, "--until-idle must be above 0 seconds")
        require(self.rescan_s > 0, "--rescan must be above 0 seconds")


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """The load workers: how many processes (0: one for each two cores, at most 8)."""

    n_workers: int = 0

    def __post_init__(self) -> None:
        """Check the range."""
        require(self.n_workers >= 0, "--load-workers must be 1 or more")

    @property
    def resolved_workers(self) -> int:
        """The number of load workers to start."""
        return self.n_workers or min(8, max(1, (os.cpu_count() or 2) // 2))


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """The batcher: clips a batch, and seconds that the first of them may wait for the others."""

    max_batch_size: int = 16
    max_wait_s: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.max_batch_size >= 1, "--batch-size must be 1 or more")
        require(self.max_wait_s >= 0, "--max-wait must not be negative")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The model and where it runs.

    Attributes:
        model: One of OpenAI's names, a hub id, a folder, or ``demo``.
        model_dir: Where downloaded models lie; None means the hub's own cache.
        offline: Never ask the network.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        compute_type: ``auto``, ``float32``, ``float16`` or ``bfloat16``.
    """

    model: str = "turbo"
    model_dir: Path | None = None
    offline: bool = False
    device: str = "auto"
    compute_type: str = "auto"

    def __post_init__(self) -> None:
        """Check the names."""
        kind, _, index = self.device.partition(":")
        known = kind in ("auto", "cpu", "cuda", "mps") and (not index or (kind == "cuda" and index.isdigit()))
        require(known, f"unknown device '{self.device}'; choose from auto, cpu, cuda, cuda:N, mps")
        require(
            self.compute_type in COMPUTE_TYPES,
            f"unknown compute type '{self.compute_type}'; choose from {', '.join(COMPUTE_TYPES)}",
        )
        require(bool(self.model), "--model must not be empty")


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Where transcripts go and what they are called.

    Attributes:
        formats: Which of FORMATS to write.
        output_dir: Mirror the tree here; None means beside the audio.
        relative_to: Folder that a listed file's place under ``output_dir`` counts from; None means the current one.
        name: Template with ``{stem}`` and ``{language}``.
        overwrite: Replace outputs that are in the way.
        write: False writes nothing at all (``--stdout``).
    """

    formats: tuple[str, ...] = DEFAULT_FORMATS
    output_dir: Path | None = None
    relative_to: Path | None = None
    name: str = "{stem}"
    overwrite: bool = False
    write: bool = True

    def __post_init__(self) -> None:
        """Check formats and template."""
        parse_formats(self.formats)
        try:
            rendered = self.name.format(stem="stem", language="en")
        except (KeyError, IndexError, ValueError) as err:
            raise UsageError(f"--name '{self.name}' may only use {{stem}} and {{language}}") from err
        require("{stem}" in self.name, "--name must contain {stem}")
        require("/" not in rendered and os.sep not in rendered and "\0" not in rendered, "--name must not hold folders")


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """The journal of what is done.

    Attributes:
        use_journal: False keeps none; what lies on disk then tells what is done.
        journal: Where it lies; None means the user's state folder.
        redo: Do again what was done before; after an interruption the same again goes on where it was.
        redo_scope: Which redo is meant by "the same again", any text.
        retry_failed: Try again what failed for a reason that seemed to last.
    """

    use_journal: bool = True
    journal: Path | None = None
    redo: bool = False
    redo_scope: str = ""
    retry_failed: bool = False

    def __post_init__(self) -> None:
        """Check that the parts go together."""
        require(self.use_journal or self.journal is None, "give --journal or --no-journal, not both")
        require(self.use_journal or not self.redo, "--redo needs the journal; use --overwrite without one")
        require(self.use_journal or not self.retry_failed, "--retry-failed needs the journal")


@dataclass(frozen=True, slots=True)
class FailureOptions:
    """What happens when a file fails.

    Attributes:
        retries: How often a file is tried again after an error that may pass.
        load_timeout_s: Seconds without a sign of life after which a load process is stopped; None means its own.
        max_failures: How many files may fail before the run is ended; None means any number.
        fail_fast: End the run with the first failure.
    """

    retries: int = 2
    load_timeout_s: float | None = None
    max_failures: int | None = None
    fail_fast: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.retries >= 0, "--retries must not be negative")
        require(self.load_timeout_s is None or self.load_timeout_s > 0, "--load-timeout must be above 0 seconds")
        require(self.max_failures is None or self.max_failures >= 1, "--max-failures must be 1 or more")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """All of a run."""

    engine: EngineOptions = field(default_factory=EngineOptions)
    load: LoadOptions = field(default_factory=LoadOptions)
    batch: BatchOptions = field(default_factory=BatchOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    clip: ClipSettings = field(default_factory=ClipSettings)
    journal: JournalOptions = field(default_factory=JournalOptions)
    failures: FailureOptions = field(default_factory=FailureOptions)

    def __post_init__(self) -> None:
        """Check task and language; whether the model can do them is the engine's to say."""
        require(
            self.clip.language in (None, *LANGUAGES),
            f"unknown language '{self.clip.language}'; give a code such as en or de",
        )
        require(self.clip.task in TASKS, f"unknown task '{self.clip.task}'; choose from {', '.join(TASKS)}")
