"""What can be set, one frozen dataclass a room; checked once, at the edge, where each is made.

The CLI and the API make these; rooms receive theirs whole. A value that makes no sense raises UsageError.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from whisperbatch.errors import UsageError
from whisperbatch.languages import LANGUAGES
from whisperbatch.records import ClipSettings

ALL_FORMATS = ("txt", "vtt", "srt", "tsv", "json")  # what ``all`` means, as in openai-whisper
FORMATS = (*ALL_FORMATS, "lrc", "csv", "aud", "ass")
SHAPED = frozenset(("vtt", "srt", "ass"))  # those that SubtitleOptions shape
DEFAULT_FORMATS = ("txt", "json")
TASKS = ("transcribe", "translate")
LONG_FORMS = ("clips", "sequential")
CHANNELS = ("mix", "split")
MAX_PAD_S = 5.0  # both pads and some speech must fit into a clip
BREAKS = ("words", "sentences")
MEASURES = ("characters", "columns", "wide")
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
        for one in ALL_FORMATS if name == "all" else (name,):
            require(one in FORMATS, f"unknown format '{one}'; choose from {', '.join(FORMATS)} or all")
            if one not in names:
                names.append(one)
    require(bool(names), f"no format given; choose from {', '.join(FORMATS)} or all")
    return tuple(names)


def parse_times(given: str) -> tuple[float, ...]:
    """Seconds out of a list with commas, as openai-whisper's ``--clip_timestamps`` has it, or UsageError."""
    try:
        return tuple(float(part) for part in given.split(",") if part.strip())
    except ValueError as err:
        raise UsageError(f"--clip-timestamps '{given}' is no list of seconds such as 0,30,60,90") from err


def parse_names(given: str) -> tuple[str, ...]:
    """Names out of a list with commas."""
    return tuple(part.strip() for part in given.split(","))


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
    """The load workers.

    Attributes:
        n_workers: How many processes (0: one for each two cores, at most 8).
        channels: ``mix`` (to one) or ``split`` (each is transcribed by itself).
        channel_names: What split channels are called, in order.
        max_duration_s: A longer recording is refused.
        spool_dir: Where sequential mode keeps a recording's samples while it runs; None means the user's cache.
    """

    n_workers: int = 0
    channels: str = "mix"
    channel_names: tuple[str, ...] = ("LEFT", "RIGHT")
    max_duration_s: float = 24 * 3600.0
    spool_dir: Path | None = None

    def __post_init__(self) -> None:
        """Check the ranges and names."""
        require(self.n_workers >= 0, "--load-workers must be 1 or more")
        require(self.channels in CHANNELS, f"unknown --channels '{self.channels}'; choose from {', '.join(CHANNELS)}")
        names = self.channel_names
        require(all(names) and len(set(names)) == len(names), "--channel-names must differ and not be empty")
        require(self.max_duration_s > 0, "--max-duration must be above 0 seconds")

    @property
    def resolved_workers(self) -> int:
        """The number of load workers to start."""
        return self.n_workers or min(8, max(1, (os.cpu_count() or 2) // 2))


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """Speech detection.

    Attributes:
        vad: Whether it runs; without it, clips are cut where it is quietest.
        vad_threshold: The probability from which on a frame is speech.
        vad_min_silence_s: Speech ends where there is none for so long.
        vad_min_speech_s: Speech that is no longer is left out.
        vad_pad_s: What is kept on both sides of speech.
    """

    vad: bool = True
    vad_threshold: float = 0.5
    vad_min_silence_s: float = 0.16
    vad_min_speech_s: float = 0.0
    vad_pad_s: float = 0.4

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(0 < self.vad_threshold < 1, "--vad-threshold must be between 0 and 1")
        require(self.vad_min_silence_s >= 0, "--vad-min-silence must not be negative")
        require(self.vad_min_speech_s >= 0, "--vad-min-speech must not be negative")
        require(0 <= self.vad_pad_s <= MAX_PAD_S, f"--vad-pad must be from 0 to {MAX_PAD_S:.0f} seconds")


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


TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How text is searched for and when it is good enough; defaults and names are those of openai-whisper.

    Attributes:
        beam_size: Beams at temperature 0; 1 is greedy.
        best_of: Candidates at temperatures above 0.
        patience: Beam search ends with ``beam_size * patience`` finished candidates.
        length_penalty: Exponent of Google NMT's length penalty, 0 to 1; None ranks by mean log-probability.
        temperatures: Tried in this order until a result is good enough.
        compression_ratio_threshold: Above it text repeats itself; None asks nothing.
        logprob_threshold: Below it text is improbable; None asks nothing.
        no_speech_threshold: Above it a window with improbable text is silence; None asks nothing.
        condition_on_previous_text: Put what was heard before a window (sequential mode).
        carry_initial_prompt: Put the prompt before every window and not before the first only (sequential mode).
        prefix: Text that each window is made to begin with.
        without_timestamps: Text only; a window is then one segment.
        max_initial_timestamp: Seconds; the first timestamp of a window is no later. None asks nothing.
        suppress_tokens: Ids never given; -1 stands for the model's own list of symbols that nobody speaks.
        suppress_blank: Whether text may not begin with a blank or its end.
        sample_len: Most tokens sampled a window; None is half of what the decoder holds.
        seed: Of the sampling noise.
        second_pass: Decode speech that was left without text once more (clips mode).
        word_timestamps: Find when each word is said; segments then start and end with their words.
        prepend_punctuations: Marks that go to the word after them.
        append_punctuations: Marks that go to the word before them.
        hallucination_silence_threshold: Seconds; longer silences around text that may be made up are skipped, and the
            text with them. Asks for ``word_timestamps``; None asks nothing.
    """

    beam_size: int = 5
    best_of: int = 5
    patience: float = 1.0
    length_penalty: float | None = None
    temperatures: tuple[float, ...] = TEMPERATURES
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    condition_on_previous_text: bool = True
    carry_initial_prompt: bool = False
    prefix: str | None = None
    without_timestamps: bool = False
    max_initial_timestamp: float | None = 1.0
    suppress_tokens: tuple[int, ...] = (-1,)
    suppress_blank: bool = True
    sample_len: int | None = None
    seed: int = 0
    second_pass: bool = True
    word_timestamps: bool = False
    prepend_punctuations: str = "\"'“¿([{-"
    append_punctuations: str = "\"'.。,，!！?？:：”)]}、"
    hallucination_silence_threshold: float | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.beam_size >= 1, "--beam-size must be 1 or more")
        require(self.best_of >= 1, "--best-of must be 1 or more")
        require(self.patience > 0, "--patience must be above 0")
        require(self.length_penalty is None or 0 <= self.length_penalty <= 1, "--length-penalty must be from 0 to 1")
        require(bool(self.temperatures), "--temperature must name one temperature or more")
        require(all(t >= 0 for t in self.temperatures), "--temperature must not be negative")
        require(self.sample_len is None or self.sample_len >= 1, "--sample-len must be 1 or more")
        limit_s = self.max_initial_timestamp
        require(limit_s is None or 0 <= limit_s <= 30, "--max-initial-timestamp must be from 0 to 30 seconds")
        silence_s = self.hallucination_silence_threshold
        require(silence_s is None or silence_s >= 0, "--hallucination-silence-threshold must not be negative")


@dataclass(frozen=True, slots=True)
class SubtitleOptions:
    """How srt, vtt and ass are cut into cues and lines; the default is what openai-whisper does unasked.

    Attributes:
        max_line_width: Most characters in a line.
        max_line_count: Most lines in a cue; with ``max_line_width``, cues no longer keep to segments.
        max_words_per_line: Most words in a cue.
        highlight_words: A cue a word, the word underlined.
        break_at: ``words`` (where openai-whisper breaks) or ``sentences``.
        min_cue_s: Cues are shown so long at least, where their neighbours leave room.
        max_cue_s: Longer cues are split.
        max_cps: Characters a second; cues that are faster are shown longer, where there is room.
        measure: How characters count for widths and ``max_cps``: each as one (``characters``), wide ones as two
            (``columns``), or wide ones as one and others as half (``wide``).
    """

    max_line_width: int | None = None
    max_line_count: int | None = None
    max_words_per_line: int | None = None
    highlight_words: bool = False
    break_at: str = "words"
    min_cue_s: float | None = None
    max_cue_s: float | None = None
    max_cps: float | None = None
    measure: str = "characters"

    def __post_init__(self) -> None:
        """Check the ranges and names."""
        for name in ("max_line_width", "max_line_count", "max_words_per_line"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"--{name.replace('_', '-')} must be 1 or more")
        for name in ("min_cue_s", "max_cue_s", "max_cps"):
            value = getattr(self, name)
            flag = "--" + name.removesuffix("_s").replace("_", "-")
            require(value is None or 0 < value < float("inf"), f"{flag} must be above 0")
        shortest, longest = self.min_cue_s or 0.0, self.max_cue_s or float("inf")
        require(shortest <= longest, "--min-cue must not be above --max-cue")
        require(self.break_at in BREAKS, f"unknown break '{self.break_at}'; choose from {', '.join(BREAKS)}")
        require(self.measure in MEASURES, f"unknown measure '{self.measure}'; choose from {', '.join(MEASURES)}")

    @property
    def needs_words(self) -> bool:
        """Whether it cannot be done without the times of words."""
        limits = (self.max_line_width, self.max_line_count, self.max_words_per_line, self.max_cue_s)
        return self.highlight_words or self.break_at != "words" or any(limit is not None for limit in limits)


PRESETS: dict[str, SubtitleOptions] = {  # after Netflix's Timed Text Style Guides
    "standard": SubtitleOptions(
        42, 2, break_at="sentences", min_cue_s=0.833, max_cue_s=7.0, max_cps=17.0, measure="columns"
    ),
    "asian": SubtitleOptions(16, 2, break_at="sentences", min_cue_s=0.833, max_cue_s=7.0, max_cps=9.0, measure="wide"),
}


def subtitle_options(preset: str | None, given: Mapping[str, Any]) -> SubtitleOptions:
    """The preset with what is given in its place; a None is not given. UsageError on an unknown preset."""
    require(preset in (None, *PRESETS), f"unknown subtitles '{preset}'; choose from {', '.join(PRESETS)}")
    base = SubtitleOptions() if preset is None else PRESETS[preset]
    return replace(base, **{name: value for name, value in given.items() if value is not None})


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
        subtitles: How srt, vtt and ass are shaped.
    """

    formats: tuple[str, ...] = DEFAULT_FORMATS
    output_dir: Path | None = None
    relative_to: Path | None = None
    name: str = "{stem}"
    overwrite: bool = False
    write: bool = True
    subtitles: SubtitleOptions = field(default_factory=SubtitleOptions)

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
class RunOptions:
    """All of a run."""

    engine: EngineOptions = field(default_factory=EngineOptions)
    load: LoadOptions = field(default_factory=LoadOptions)
    speech: SpeechOptions = field(default_factory=SpeechOptions)
    batch: BatchOptions = field(default_factory=BatchOptions)
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    clip: ClipSettings = field(default_factory=ClipSettings)

    def __post_init__(self) -> None:
        """Check what clips ask for; whether the model can do it is the engine's to say. Shaped subtitles need words."""
        if self.output.subtitles.needs_words and not self.decode.word_timestamps:
            object.__setattr__(self, "decode", replace(self.decode, word_timestamps=True))
        clip = self.clip
        require(
            clip.language in (None, *LANGUAGES), f"unknown language '{clip.language}'; give a code such as en or de"
        )
        require(clip.task in TASKS, f"unknown task '{clip.task}'; choose from {', '.join(TASKS)}")
        require(
            clip.long_form in LONG_FORMS,
            f"unknown --long-form '{clip.long_form}'; choose from {', '.join(LONG_FORMS)}",
        )
        times = (0.0, *clip.clip_timestamps)
        require(
            all(one <= two < math.inf for one, two in pairwise(times)),
            "--clip-timestamps must be seconds that grow, as in 0,30,60,90",
        )
