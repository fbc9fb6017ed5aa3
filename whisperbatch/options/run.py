"""Options of the journal and of failures, and ``RunOptions``, which holds all options of a run."""

import math
import os
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from whisperbatch.languages import LANGUAGES
from whisperbatch.options.audio import LONG_FORMS, LoadOptions, SpeechOptions, load_workers_for
from whisperbatch.options.checks import require, require_text
from whisperbatch.options.engine import TASKS, BatchOptions, DecodeOptions, EngineOptions
from whisperbatch.options.hooks import HookOptions
from whisperbatch.options.output import OutputOptions
from whisperbatch.options.speakers import SpeakerOptions
from whisperbatch.options.workers import WorkerOptions
from whisperbatch.records import ClipSettings

YEAR_S = 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """How the journal is used.

    Attributes:
        use_journal: Keep a journal; without one, the files on disk decide what is done.
        journal: Path of the journal; None means the default one in the user's state folder.
        redo: Transcribe finished files again; if interrupted, a run with the same ``redo_scope`` continues.
        redo_scope: Any text that identifies the command, so that it can continue an interrupted ``redo``.
        retry_failed: Retry files that failed for a reason that seemed permanent.
        dedupe: Reuse the transcript of a recording with the same content, from this run or the journal, for copies and
            for recordings that were renamed or moved.
    """

    use_journal: bool = True
    journal: Path | None = None
    redo: bool = False
    redo_scope: str = ""
    retry_failed: bool = False
    dedupe: bool = True

    def __post_init__(self) -> None:
        """Check that the options fit together."""
        require(self.use_journal or self.journal is None, "give `journal` or `use_journal=False`, not both")
        require(self.use_journal or not self.redo, "`redo` needs the journal; use `overwrite` without one")
        require(self.use_journal or not self.retry_failed, "`retry_failed` needs the journal")


@dataclass(frozen=True, slots=True)
class FailureOptions:
    """How failures are handled.

    Attributes:
        retries: Most retries of a file after an error that may be temporary.
        load_timeout_s: Seconds without progress after which a load worker is stopped; None means its own default.
        max_failures: End the run when this many files have failed; None means never.
        fail_fast: End the run at the first failure.
    """

    retries: int = 2
    load_timeout_s: float | None = None
    max_failures: int | None = None
    fail_fast: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.retries >= 0, "`retries` must not be negative")
        timeout_s = self.load_timeout_s
        require(
            timeout_s is None or 0 < timeout_s <= YEAR_S, "`load_timeout` must be above 0 seconds and within a year"
        )
        require(self.max_failures is None or self.max_failures >= 1, "`max_failures` must be 1 or more")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """All options of a run.

    Attributes:
        words_for_speakers: Word times are on only because speakers are wanted; a transcript without them is acceptable.
    """

    engine: EngineOptions = field(default_factory=EngineOptions)
    load: LoadOptions = field(default_factory=LoadOptions)
    speech: SpeechOptions = field(default_factory=SpeechOptions)
    batch: BatchOptions = field(default_factory=BatchOptions)
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    clip: ClipSettings = field(default_factory=ClipSettings)
    journal: JournalOptions = field(default_factory=JournalOptions)
    failures: FailureOptions = field(default_factory=FailureOptions)
    workers: WorkerOptions = field(default_factory=WorkerOptions)
    hooks: HookOptions = field(default_factory=HookOptions)
    speakers: SpeakerOptions = field(default_factory=SpeakerOptions)
    words_for_speakers: bool = False

    @property
    def n_load_workers(self) -> int:
        """Number of load workers to start."""
        return self.load.n_workers or load_workers_for(os.cpu_count() or 2, beside_gpu=self.engine.is_on_gpu)

    def __post_init__(self) -> None:
        """Check options against each other; the engine checks whether the model supports them.

        Subtitle layout options and speakers turn word times on.
        """
        if self.output.subtitles.needs_words and not self.decode.word_timestamps:
            object.__setattr__(self, "decode", replace(self.decode, word_timestamps=True))
        if self.speakers.enabled and not self.decode.word_timestamps:
            object.__setattr__(self, "decode", replace(self.decode, word_timestamps=True))
            object.__setattr__(self, "words_for_speakers", True)
        self.hooks.check_formats(self.output.formats if self.output.write else ())
        clip = self.clip
        is_plain = self.workers.backend == "local" or self.engine.devices in (("auto",), ("cpu",))
        require(is_plain, "`device` names devices of this machine; with `backend=ray` each actor has its own")
        require(
            clip.language in (None, *LANGUAGES), f"unknown language '{clip.language}'; give a code such as en or de"
        )
        require_text(clip.prompt, "`prompt`")
        require_text(clip.hotwords, "`hotwords`")
        require(clip.task in TASKS, f"unknown task '{clip.task}'; choose from {', '.join(TASKS)}")
        require(
            clip.long_form in LONG_FORMS,
            f"unknown long form '{clip.long_form}'; choose from {', '.join(LONG_FORMS)}",
        )
        require(
            clip.language is None or not self.decode.multilingual,
            "`multilingual` detects the language of each clip, so `language` cannot be given with it",
        )
        times = (0.0, *clip.clip_timestamps)
        require(
            all(one <= two < math.inf for one, two in pairwise(times)),
            "`clip_timestamps` must be increasing seconds, as in 0,30,60,90",
        )
