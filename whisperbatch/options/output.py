"""Options of outputs: formats, names, the layout of subtitles and of documents."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from whisperbatch.errors import UsageError
from whisperbatch.options.checks import require
from whisperbatch.replacement_rules import Rules

ALL_FORMATS = ("txt", "vtt", "srt", "tsv", "json")  # the meaning of ``all``, as in openai-whisper
FORMATS = (*ALL_FORMATS, "lrc", "csv", "aud", "ass", "md", "docx", "rttm")
SHAPED = frozenset(("vtt", "srt", "ass"))  # formats that SubtitleOptions applies to
DOCUMENTS = frozenset(("txt", "md", "docx"))  # formats that DocumentOptions applies to
BINARY = frozenset(("docx",))  # formats that are not text
DEFAULT_FORMATS = ("txt", "json")
READABLE = ("json", "srt", "vtt", "ass", "txt")  # readable formats, the richest first
BREAKS = ("words", "sentences")
MEASURES = ("characters", "columns", "wide")


def parse_formats(given: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Parse formats given by repeats, commas and ``all``; return each once, in order. May raise UsageError."""
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
    """How srt, vtt and ass are cut into cues and lines; the defaults are openai-whisper's.

    Attributes:
        max_line_width: Most characters in a line.
        max_line_count: Most lines in a cue; with ``max_line_width``, a cue may cross segment boundaries.
        max_words_per_line: Most words in a cue.
        highlight_words: Write one cue per word, with the word underlined.
        break_at: ``words`` (as openai-whisper) or ``sentences``.
        min_cue_s: Shortest time to show a cue, where its neighbours leave room.
        max_cue_s: Split cues that last longer.
        max_cps: Most characters per second; faster cues are shown longer, where there is room.
        measure: How to count characters for widths and ``max_cps``: each as one (``characters``), wide ones as two
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
            require(value is None or value >= 1, f"`{name}` must be 1 or more")
        for name in ("min_cue_s", "max_cue_s", "max_cps"):
            value = getattr(self, name)
            require(value is None or 0 < value < float("inf"), f"`{name.removesuffix('_s')}` must be above 0")
        shortest, longest = self.min_cue_s or 0.0, self.max_cue_s or float("inf")
        require(shortest <= longest, "`min_cue` must not be above `max_cue`")
        require(self.break_at in BREAKS, f"unknown break '{self.break_at}'; choose from {', '.join(BREAKS)}")
        require(self.measure in MEASURES, f"unknown measure '{self.measure}'; choose from {', '.join(MEASURES)}")

    @property
    def needs_words(self) -> bool:
        """True if this layout needs word times."""
        limits = (self.max_line_width, self.max_line_count, self.max_words_per_line, self.max_cue_s)
        return self.highlight_words or self.break_at != "words" or any(limit is not None for limit in limits)


PRESETS: dict[str, SubtitleOptions] = {  # after Netflix's Timed Text Style Guides
    "standard": SubtitleOptions(
        42, 2, break_at="sentences", min_cue_s=0.833, max_cue_s=7.0, max_cps=17.0, measure="columns"
    ),
    "asian": SubtitleOptions(16, 2, break_at="sentences", min_cue_s=0.833, max_cue_s=7.0, max_cps=9.0, measure="wide"),
}


def subtitle_options(preset: str | None, given: Mapping[str, Any]) -> SubtitleOptions:
    """Return the preset, overridden by the values given that are not None; an unknown preset raises UsageError."""
    require(preset in (None, *PRESETS), f"unknown subtitles '{preset}'; choose from {', '.join(PRESETS)}")
    base = SubtitleOptions() if preset is None else PRESETS[preset]
    return replace(base, **{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True, slots=True)
class DocumentOptions:
    """How txt, md and docx are divided; the default leaves txt as openai-whisper writes it.

    Attributes:
        paragraph_pause_s: A pause of this many seconds starts a new paragraph.
        timestamps_in_text: Begin each paragraph with its time; None means yes in md and docx, no in txt.
    """

    paragraph_pause_s: float = 2.0
    timestamps_in_text: bool | None = None

    def __post_init__(self) -> None:
        """Check the range."""
        require(0 < self.paragraph_pause_s < float("inf"), "`paragraph_pause` must be above 0")

    def has_stamps(self, name: str) -> bool:
        """Return True if paragraphs of a format begin with their times; without times, txt has no paragraphs."""
        return name != "txt" if self.timestamps_in_text is None else self.timestamps_in_text


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Where transcripts are written and how they are named.

    Attributes:
        formats: The formats to write, out of FORMATS.
        output_dir: Folder to mirror the input tree in; None means beside the recordings.
        relative_to: Base folder for the place of listed files under ``output_dir``; None means the current folder.
        name: Template with ``{stem}`` and ``{language}``.
        overwrite: Replace files that are in the way.
        write: Write files; False writes nothing at all (``--stdout``).
        subtitles: Layout of srt, vtt and ass.
        documents: Layout of txt, md and docx.
        move_done: Folder to move finished recordings to; without ``output_dir``, their outputs are written there too.
        move_failed: Folder to move failed recordings to.
        replace: Replacement rules for every text; None means none.
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
        """Check the formats and the template."""
        parse_formats(self.formats)
        try:
            rendered = self.name.format(stem="stem", language="en")
        except (KeyError, IndexError, ValueError) as err:
            raise UsageError(f"`name` '{self.name}' may only use {{stem}} and {{language}}") from err
        require("{stem}" in self.name, "`name` must contain {stem}")
        require(
            "/" not in rendered and os.sep not in rendered and "\0" not in rendered, "`name` must not contain folders"
        )


def form(name: str, output: OutputOptions) -> str:
    """Return a format with a digest of all options that its bytes depend on, as in ``srt#1f2e3d4c``.

    The name alone stands for the defaults. The journal stores this for each output: when it changes, the output is
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
