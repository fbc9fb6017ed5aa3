"""Options of outputs, and of the layout of subtitles and documents. Each option is declared once; see the package."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from whisperbatch.options import BREAKS, DEFAULT_FORMATS, FORMATS, PRESETS

_OUT = "Output"
_SHAPE = "Subtitles (srt, vtt, ass)"
_DOCUMENT = "Documents (docx, md, txt)"

Preset = StrEnum("Preset", {name.upper(): name for name in PRESETS})  # type: ignore[misc]  # members of options
Break = StrEnum("Break", {name.upper(): name for name in BREAKS})  # type: ignore[misc]  # members of options
Format = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        "-f",
        metavar="FORMAT",
        autocompletion=lambda: [*FORMATS, "all"],
        rich_help_panel=_OUT,
        help=f"{', '.join(FORMATS)}, or all for the first five; separate several with commas, or repeat "
        f"the option (default: {','.join(DEFAULT_FORMATS)}).",
        show_default=False,
    ),
]
OutputDir = Annotated[
    Path | None,
    typer.Option(
        "--output-dir",
        "-o",
        metavar="DIR",
        rich_help_panel=_OUT,
        help="Mirror the input's folders here (default: beside each recording).",
        show_default=False,
    ),
]
ConvertDir = Annotated[
    Path | None,
    typer.Option(
        "--output-dir",
        "-o",
        metavar="DIR",
        rich_help_panel=_OUT,
        help="Write here, mirroring the tree of each input folder (default: beside each transcript).",
        show_default=False,
    ),
]
RelativeTo = Annotated[
    Path | None,
    typer.Option(
        "--relative-to",
        metavar="DIR",
        rich_help_panel=_OUT,
        help="Base folder for the places of listed files under --output-dir (default: the current folder).",
        show_default=False,
    ),
]
Name = Annotated[
    str,
    typer.Option(
        "--name",
        metavar="TEMPLATE",
        rich_help_panel=_OUT,
        help="Template for names of outputs, with {stem} and {language}.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", rich_help_panel=_OUT, help="Transcribe again and replace existing files.")
]
Replace = Annotated[
    list[Path] | None,
    typer.Option(
        "--replace",
        metavar="FILE",
        rich_help_panel=_OUT,
        help="Correct the text with the rules in FILE, one a line, such as: wrong -> right; may be repeated "
        "('whisperbatch help corrections').",
        show_default=False,
    ),
]
Page = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", rich_help_panel=_OUT, help="The page to write."),
]
ReplacePage = Annotated[
    bool,
    typer.Option("--overwrite", rich_help_panel=_OUT, help="Replace FILE even if it is not a review page."),
]
Recordings = Annotated[
    list[Path] | None,
    typer.Option(
        "--recordings",
        metavar="DIR",
        rich_help_panel=_OUT,
        help="Also look for recordings here, if they have moved; may be repeated (default: beside the transcripts, "
        "then where the journal saw them).",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", rich_help_panel=_OUT, help="Show what would be done; load no model, write nothing.")
]
MoveDone = Annotated[
    Path | None,
    typer.Option(
        "--move-done",
        metavar="DIR",
        rich_help_panel=_OUT,
        help="Move recordings that are done here, each to its place in the tree; without --output-dir their "
        "transcripts are written here too.",
        show_default=False,
    ),
]
MoveFailed = Annotated[
    Path | None,
    typer.Option(
        "--move-failed",
        metavar="DIR",
        rich_help_panel=_OUT,
        help="Move recordings that failed here, each to its place in the tree.",
        show_default=False,
    ),
]
Stdout = Annotated[
    bool,
    typer.Option(
        "--stdout", rich_help_panel=_OUT, help="Print transcripts (the first --format, or txt) and write no files."
    ),
]
Subtitles = Annotated[
    Preset | None,
    typer.Option(
        "--subtitles",
        metavar="|".join(PRESETS),
        rich_help_panel=_SHAPE,
        help="standard: 2 lines of 42 columns, 17 characters a second. asian: 2 lines of 16 wide characters, 9 a "
        "second. Both break at sentences, with 0.833 to 7 seconds a cue. Options such as --max-line-width override "
        "it. Turns word times on.",
        show_default=False,
    ),
]
BreakAt = Annotated[
    Break | None,
    typer.Option(
        "--break-at",
        metavar="|".join(BREAKS),
        rich_help_panel=_SHAPE,
        help="Where to break cues: words (as openai-whisper) or sentences (default: words).",
        show_default=False,
    ),
]
MaxLineWidth = Annotated[
    int | None,
    typer.Option(
        "--max-line-width", metavar="N", rich_help_panel=_SHAPE, help="Most characters in a line.", show_default=False
    ),
]
MaxLineCount = Annotated[
    int | None,
    typer.Option(
        "--max-line-count", metavar="N", rich_help_panel=_SHAPE, help="Most lines in a cue.", show_default=False
    ),
]
MaxWordsPerLine = Annotated[
    int | None,
    typer.Option(
        "--max-words-per-line", metavar="N", rich_help_panel=_SHAPE, help="Most words in a cue.", show_default=False
    ),
]
HighlightWords = Annotated[
    bool, typer.Option("--highlight-words", rich_help_panel=_SHAPE, help="Underline each word while it is spoken.")
]
MinCue = Annotated[
    float | None,
    typer.Option(
        "--min-cue",
        metavar="SECONDS",
        rich_help_panel=_SHAPE,
        help="Show each cue at least this long, where there is room.",
        show_default=False,
    ),
]
MaxCue = Annotated[
    float | None,
    typer.Option(
        "--max-cue",
        metavar="SECONDS",
        rich_help_panel=_SHAPE,
        help="Split cues that would be shown longer.",
        show_default=False,
    ),
]
MaxCps = Annotated[
    float | None,
    typer.Option(
        "--max-cps",
        metavar="N",
        rich_help_panel=_SHAPE,
        help="Most characters a second; faster cues are shown longer, where there is room.",
        show_default=False,
    ),
]
ParagraphPause = Annotated[
    float,
    typer.Option(
        "--paragraph-pause",
        metavar="SECONDS",
        rich_help_panel=_DOCUMENT,
        help="Start a new paragraph after a pause this long (docx, md, txt with time stamps), and a new section in md "
        "after 5 times as long.",
    ),
]
TimestampsInText = Annotated[
    bool | None,
    typer.Option(
        "--timestamps-in-text/--no-timestamps-in-text",
        rich_help_panel=_DOCUMENT,
        help="Begin each paragraph with its time (default: in docx and md, not in txt).",
        show_default=False,
    ),
]
