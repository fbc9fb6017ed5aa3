"""Options of outputs: formats, names, the layout of documents; that of subtitles is in ``options/subtitles``."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from whisperbatch.errors import UsageError
from whisperbatch.options.checks import require
from whisperbatch.options.subtitles import SubtitleOptions
from whisperbatch.replacement_rules import Rules

ALL_FORMATS = ("txt", "vtt", "srt", "tsv", "json")  # the meaning of ``all``, as in openai-whisper
FORMATS = (*ALL_FORMATS, "lrc", "csv", "aud", "ass", "md", "docx", "rttm")
SHAPED = frozenset(("vtt", "srt", "ass"))  # formats that SubtitleOptions applies to
DOCUMENTS = frozenset(("txt", "md", "docx"))  # formats that DocumentOptions applies to
BINARY = frozenset(("docx",))  # formats that are not text
DEFAULT_FORMATS = ("txt", "json")
READABLE = ("json", "srt", "vtt", "ass", "txt")  # readable formats, the richest first


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
