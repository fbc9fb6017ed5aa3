"""Every option of the command line, declared once. Who calls: ``cli/app``; ``cli/legacy`` asks what there is."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, get_args

import typer

from whisperbatch.options import (
    BREAKS,
    CHANNELS,
    COMPUTE_TYPES,
    DEFAULT_FORMATS,
    FORMATS,
    LONG_FORMS,
    PRESETS,
    TASKS,
)

_MODEL, _AUDIO, _OUT = "Model", "Speech and channels", "Output"
_RUN, _SHOW = "Batching and loading", "What is shown"
_SHAPE = "Subtitles (srt, vtt, ass)"


class ProgressKind(StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    LIVE = "live"
    BAR = "bar"
    PLAIN = "plain"
    NONE = "none"


Task = StrEnum("Task", {name.upper(): name for name in TASKS})
LongForm = StrEnum("LongForm", {name.upper(): name for name in LONG_FORMS})
Channels = StrEnum("Channels", {name.upper(): name for name in CHANNELS})
Preset = StrEnum("Preset", {name.upper(): name for name in PRESETS})
Break = StrEnum("Break", {name.upper(): name for name in BREAKS})
ComputeType = StrEnum("ComputeType", {name.upper(): name for name in COMPUTE_TYPES})

Paths = Annotated[
    list[str] | None,
    typer.Argument(help="Files, folders, patterns; - reads a list of paths from standard input.", show_default=False),
]
FromFile = Annotated[
    list[Path] | None,
    typer.Option("--from-file", metavar="LIST", help="Read a list of paths, one a line, from LIST; may be repeated."),
]
Null = Annotated[bool, typer.Option("--null", "-0", help="Lists have NUL between paths instead of line ends.")]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        rich_help_panel=_MODEL,
        help="tiny, base, small, medium, large-v3, turbo, a Hugging Face id, a folder, or demo (for trying out).",
    ),
]
ModelDir = Annotated[
    Path | None,
    typer.Option(
        "--model-dir",
        rich_help_panel=_MODEL,
        help="Where downloaded models lie (default: the Hugging Face cache).",
        show_default=False,
    ),
]
Offline = Annotated[bool, typer.Option("--offline", rich_help_panel=_MODEL, help="Never ask the network.")]
Device = Annotated[
    str, typer.Option("--device", rich_help_panel=_MODEL, help="auto, cpu, cuda, cuda:N or mps.", metavar="DEVICE")
]
Compute = Annotated[
    ComputeType,
    typer.Option(
        "--compute-type",
        rich_help_panel=_MODEL,
        help="Numbers to compute in; auto is float16 on CUDA, bfloat16 on CPUs that have it, else float32.",
    ),
]
Language = Annotated[
    str | None,
    typer.Option(
        "--language",
        "-l",
        rich_help_panel=_MODEL,
        help="Code or English name, such as de or German (default: detected for each clip).",
        show_default=False,
    ),
]
TaskOption = Annotated[
    Task, typer.Option("--task", rich_help_panel=_MODEL, help="translate gives English, with models trained for it.")
]
Prompt = Annotated[
    str | None,
    typer.Option(
        "--prompt", rich_help_panel=_MODEL, help="Text put before each clip, for names and style.", show_default=False
    ),
]
BatchSize = Annotated[int, typer.Option("--batch-size", rich_help_panel=_RUN, help="Most clips in one batch.")]
MaxWait = Annotated[
    float,
    typer.Option(
        "--max-wait", rich_help_panel=_RUN, help="Seconds that a clip waits for a full batch while the model is idle."
    ),
]
LoadWorkers = Annotated[
    int,
    typer.Option(
        "--load-workers",
        rich_help_panel=_RUN,
        help="Processes that decode audio; 0 is one for two cores, at most 8.",
    ),
]
Vad = Annotated[
    bool,
    typer.Option(
        "--vad/--no-vad",
        rich_help_panel=_AUDIO,
        help="Find speech and leave the rest out; without, clips are cut where it is quietest.",
    ),
]
VadThreshold = Annotated[
    float,
    typer.Option("--vad-threshold", rich_help_panel=_AUDIO, help="Probability from which on a frame is speech (0-1)."),
]
VadMinSilence = Annotated[
    float,
    typer.Option("--vad-min-silence", rich_help_panel=_AUDIO, help="Seconds without speech that end a stretch of it."),
]
VadMinSpeech = Annotated[
    float,
    typer.Option("--vad-min-speech", rich_help_panel=_AUDIO, help="Speech of no more seconds is left out."),
]
VadPad = Annotated[
    float,
    typer.Option("--vad-pad", rich_help_panel=_AUDIO, help="Seconds that are kept on both sides of speech."),
]
LongFormOption = Annotated[
    LongForm,
    typer.Option(
        "--long-form",
        rich_help_panel=_AUDIO,
        help="clips: cut into stretches of speech that run side by side; sequential: window after window, by "
        "openai-whisper's rules.",
    ),
]
ClipTimestamps = Annotated[
    str | None,
    typer.Option(
        "--clip-timestamps",
        metavar="START,END,...",
        rich_help_panel=_AUDIO,
        help="Transcribe only these stretches, in seconds; the last end may be missing (default: all).",
        show_default=False,
    ),
]
ChannelsOption = Annotated[
    Channels,
    typer.Option(
        "--channels", rich_help_panel=_AUDIO, help="mix: all to one; split: each by itself, as for a call in stereo."
    ),
]
ChannelNames = Annotated[
    str,
    typer.Option(
        "--channel-names", metavar="NAME,NAME", rich_help_panel=_AUDIO, help="What split channels are called, in order."
    ),
]
MaxDuration = Annotated[
    float,
    typer.Option(
        "--max-duration", rich_help_panel=_AUDIO, help="Refuse recordings of more seconds than this (86400: 24 hours)."
    ),
]
SpoolDir = Annotated[
    Path | None,
    typer.Option(
        "--spool-dir",
        rich_help_panel=_RUN,
        help="Where sequential mode keeps a recording's samples, 115 MB an hour, while it runs (default: the user's "
        "cache).",
        show_default=False,
    ),
]
Format = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        "-f",
        rich_help_panel=_OUT,
        help=f"{', '.join(FORMATS)}, or all for the first five; commas and repeats "
        f"(default: {','.join(DEFAULT_FORMATS)}).",
        show_default=False,
    ),
]
OutputDir = Annotated[
    Path | None,
    typer.Option(
        "--output-dir",
        "-o",
        rich_help_panel=_OUT,
        help="Mirror the input's folders here (default: beside each recording).",
        show_default=False,
    ),
]
RelativeTo = Annotated[
    Path | None,
    typer.Option(
        "--relative-to",
        rich_help_panel=_OUT,
        help="Folder that listed files' places under --output-dir count from (default: the current one).",
        show_default=False,
    ),
]
Name = Annotated[
    str, typer.Option("--name", rich_help_panel=_OUT, help="Names of outputs, from {stem} and {language}.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", rich_help_panel=_OUT, help="Do recordings again and replace what is in the way.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", rich_help_panel=_OUT, help="Tell what would be done; load no model, write nothing.")
]
Stdout = Annotated[
    bool,
    typer.Option(
        "--stdout", rich_help_panel=_OUT, help="Write transcripts (the first --format, or txt) to standard output only."
    ),
]
Subtitles = Annotated[
    Preset | None,
    typer.Option(
        "--subtitles",
        rich_help_panel=_SHAPE,
        help="standard: 2 lines of 42 columns, 17 characters a second. asian: 2 lines of 16 wide characters, 9 a "
        "second. Both by sentences, 0.833 to 7 seconds a cue. The options below override. Needs word times.",
        show_default=False,
    ),
]
BreakAt = Annotated[
    Break | None,
    typer.Option(
        "--break-at",
        rich_help_panel=_SHAPE,
        help="Where cues break: words (as openai-whisper) or sentences (default: words).",
        show_default=False,
    ),
]
MaxLineWidth = Annotated[
    int | None,
    typer.Option("--max-line-width", rich_help_panel=_SHAPE, help="Most characters in a line.", show_default=False),
]
MaxLineCount = Annotated[
    int | None,
    typer.Option("--max-line-count", rich_help_panel=_SHAPE, help="Most lines in a cue.", show_default=False),
]
MaxWordsPerLine = Annotated[
    int | None,
    typer.Option("--max-words-per-line", rich_help_panel=_SHAPE, help="Most words in a cue.", show_default=False),
]
HighlightWords = Annotated[
    bool, typer.Option("--highlight-words", rich_help_panel=_SHAPE, help="Underline each word while it is spoken.")
]
MinCue = Annotated[
    float | None,
    typer.Option(
        "--min-cue",
        rich_help_panel=_SHAPE,
        help="Seconds that a cue is shown at least, where there is room.",
        show_default=False,
    ),
]
MaxCue = Annotated[
    float | None,
    typer.Option("--max-cue", rich_help_panel=_SHAPE, help="Seconds that a cue is shown at most.", show_default=False),
]
MaxCps = Annotated[
    float | None,
    typer.Option(
        "--max-cps",
        rich_help_panel=_SHAPE,
        help="Characters a second; faster cues are shown longer, where there is room.",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", rich_help_panel=_SHOW, help="Show failures only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", rich_help_panel=_SHOW, help="Tell each batch; show tracebacks.")
]
Progress = Annotated[
    ProgressKind,
    typer.Option(
        "--progress",
        rich_help_panel=_SHOW,
        help="live (a terminal's default), bar (one line), plain (a line a file, the default elsewhere) or none.",
    ),
]
Settle = Annotated[float, typer.Option("--settle", help="Seconds that a file must stand still before it is taken.")]
UntilIdle = Annotated[
    float | None,
    typer.Option("--until-idle", help="End after this many seconds without a new file (default: never)."),
]


def names() -> dict[str, str | None]:
    """Each option's long name; with it the name that turns it off, when it takes no value, else None.

    One that can't be turned off has the empty name.
    """
    found: dict[str, str | None] = {}
    for declared in list(globals().values()):
        kind, *rest = get_args(declared) or (None,)
        for on, _, off in (name.partition("/") for info in rest for name in _spellings(info)):
            found[on] = off if kind is bool or bool in get_args(kind) else None
    return found


def _spellings(info: object) -> list[str]:
    """The long names in a declaration. Trap: Typer takes the first for a default until it makes the command."""
    given = (getattr(info, "default", None), *(getattr(info, "param_decls", None) or ()))
    return [name for name in given if isinstance(name, str) and name.startswith("--")]
