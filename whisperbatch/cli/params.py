"""Every option of the command line, declared once. Who calls: ``cli/app``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from whisperbatch.options import COMPUTE_TYPES, DEFAULT_FORMATS, FORMATS, TASKS

_MODEL, _OUT, _RUN, _SHOW = "Model", "Output", "Batching and loading", "What is shown"
_DONE = "What is done, what fails"


class ProgressKind(StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    LIVE = "live"
    BAR = "bar"
    PLAIN = "plain"
    NONE = "none"


Task = StrEnum("Task", {name.upper(): name for name in TASKS})
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
Format = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        "-f",
        rich_help_panel=_OUT,
        help=f"{', '.join(FORMATS)} or all; commas and repeats (default: {','.join(DEFAULT_FORMATS)}).",
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
JournalPath = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        metavar="PATH",
        rich_help_panel=_DONE,
        help="Where the journal of what is done lies (default: the user's state folder).",
        show_default=False,
    ),
]
NoJournal = Annotated[
    bool, typer.Option("--no-journal", rich_help_panel=_DONE, help="Keep no journal; look at the files on disk only.")
]
Redo = Annotated[
    bool,
    typer.Option("--redo", rich_help_panel=_DONE, help="Do again what is done; interrupted, the same again goes on."),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", rich_help_panel=_DONE, help="Try again what failed for a lasting reason.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, every file in it.")]
ReportPath = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        rich_help_panel=_SHOW,
        help="Write every file's outcome and the totals to FILE, as JSON.",
        show_default=False,
    ),
]
Events = Annotated[
    str | None,
    typer.Option(
        "--events",
        metavar="FILE",
        rich_help_panel=_SHOW,
        help="Write what happens to FILE as it happens, as JSON lines; - is standard output.",
        show_default=False,
    ),
]
Retries = Annotated[
    int,
    typer.Option("--retries", rich_help_panel=_DONE, help="How often to try again after an error that may pass."),
]
LoadTimeout = Annotated[
    float | None,
    typer.Option(
        "--load-timeout",
        rich_help_panel=_DONE,
        help="Seconds without a sign of life after which a decoder is stopped (default: 120).",
        show_default=False,
    ),
]
MaxFailures = Annotated[
    int | None,
    typer.Option(
        "--max-failures",
        rich_help_panel=_DONE,
        help="End the run when so many files have failed (default: never).",
        show_default=False,
    ),
]
FailFast = Annotated[
    bool, typer.Option("--fail-fast", rich_help_panel=_DONE, help="End the run with the first failure.")
]
