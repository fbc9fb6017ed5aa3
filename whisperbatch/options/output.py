"""Formats, names, the shape of subtitles and of documents."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from whisperbatch.errors import UsageError
from whisperbatch.options.checks import require
from whisperbatch.wording import Rules

ALL_FORMATS = ("txt", "vtt", "srt", "tsv", "json")  # what ``all`` means, as in openai-whisper
FORMATS = (*ALL_FORMATS, "lrc", "csv", "aud", "ass", "md", "docx", "rttm")
SHAPED = frozenset(("vtt", "srt", "ass"))  # those that SubtitleOptions shape
DOCUMENTS = frozenset(("txt", "md", "docx"))  # those that DocumentOptions shape
BINARY = frozenset(("docx",))  # those that are not text
DEFAULT_FORMATS = ("txt", "json")
READABLE = ("json", "srt", "vtt", "ass", "txt")  # transcripts can be read from these, the richest first
BREAKS = ("words", "sentences")
MEASURES = ("characters", "columns", "wide")


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
class DocumentOptions:
    """How txt, md and docx are divided; the default leaves txt as openai-whisper writes it.

    Attributes:
        paragraph_pause_s: A pause of this many seconds starts a new paragraph.
        timestamps_in_text: Each paragraph begins with its time; None means so in md and docx, and not in txt.
    """

    paragraph_pause_s: float = 2.0
    timestamps_in_text: bool | None = None

    def __post_init__(self) -> None:
        """Check the range."""
        require(0 < self.paragraph_pause_s < float("inf"), "--paragraph-pause must be above 0")

    def has_stamps(self, name: str) -> bool:
        """True when the paragraphs of a format begin with their times; without them txt has no paragraphs."""
        return name != "txt" if self.timestamps_in_text is None else self.timestamps_in_text


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
        documents: How txt, md and docx are divided.
        move_done: Where recordings go that are done; without an ``output_dir``, their outputs go there too.
        move_failed: Where recordings go that failed.
        replace: Replacement rules, applied to every text; None means none.
    """

    formats: tuple[str, ...] = DEFAULT_FORMATS
    output_dir: Path | None = None
    relative_to: Path | None = None
    name: str = "{stem}"
    overwrite: bool = False
    write: bool = True
    subtitles: SubtitleOptions = field(default_factory=SubtitleOptions)
    documents: DocumentOptions = field(default_factory=DocumentOptions)
    move_done: Path | None = None
    move_failed: Path | None = None
    replace: Rules | None = None

    def __post_init__(self) -> None:
        """Check formats and template."""
        parse_formats(self.formats)
        try:
            rendered = self.name.format(stem="stem", language="en")
        except (KeyError, IndexError, ValueError) as err:
            raise UsageError(f"--name '{self.name}' may only use {{stem}} and {{language}}") from err
        require("{stem}" in self.name, "--name must contain {stem}")
        require("/" not in rendered and os.sep not in rendered and "\0" not in rendered, "--name must not hold folders")


def form(name: str, output: OutputOptions) -> str:
    """A format with a digest of all that its bytes depend on besides the transcript, as in ``srt#1f2e3d4c``.

    The name alone stands for the defaults. The journal keeps it for each output: when it changes, the output is
    rendered again from the transcript.
    """
    parts = []
    if name in SHAPED and output.subtitles != SubtitleOptions():
        parts.append(repr(output.subtitles))
    if name in DOCUMENTS and _layout(name, output.documents) != _layout(name, DocumentOptions()):
        parts.append(repr(_layout(name, output.documents)))
    return f"{name}#{hashlib.sha256(''.join(parts).encode()).hexdigest()[:8]}" if parts else name


def _layout(name: str, documents: DocumentOptions) -> tuple[bool, float | None]:
    has_stamps = documents.has_stamps(name)
    return has_stamps, documents.paragraph_pause_s if name != "txt" or has_stamps else None
