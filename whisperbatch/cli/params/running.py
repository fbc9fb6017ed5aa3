"""Options of batching, loading, the journal, failures and progress. Each option is declared once; see the package."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_RUN = "Batching and loading"
_SHOW = "Progress and reports"
_DONE = "Journal and failures"


class ProgressKind(StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    LIVE = "live"
    BAR = "bar"
    PLAIN = "plain"
    NONE = "none"


BatchSize = Annotated[
    str,
    typer.Option(
        "--batch-size",
        rich_help_panel=_RUN,
        metavar="auto|N",
        help="Most clips in a batch; auto takes as many as fit in memory and still raise the throughput.",
    ),
]
MaxWait = Annotated[
    float,
    typer.Option(
        "--max-wait",
        metavar="SECONDS",
        rich_help_panel=_RUN,
        help="Longest time that a clip waits for a full batch while the model is idle.",
    ),
]
LoadWorkers = Annotated[
    int,
    typer.Option(
        "--load-workers",
        metavar="N",
        rich_help_panel=_RUN,
        help="Processes that decode audio; 0 is one for two cores, at most 8; beside a GPU, one for each core but one.",
    ),
]
SpoolDir = Annotated[
    Path | None,
    typer.Option(
        "--spool-dir",
        metavar="DIR",
        rich_help_panel=_RUN,
        help="Folder for the samples of recordings in sequential mode, 115 MB an hour, removed when done (default: the "
        "user's cache).",
        show_default=False,
    ),
]
JournalPath = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        metavar="PATH",
        rich_help_panel=_DONE,
        help="Path of the journal of finished files (default: in the user's state folder).",
        show_default=False,
    ),
]
NoJournal = Annotated[
    bool,
    typer.Option("--no-journal", rich_help_panel=_DONE, help="Keep no journal; files on disk decide what is done."),
]
NoDedupe = Annotated[
    bool,
    typer.Option(
        "--no-dedupe",
        rich_help_panel=_DONE,
        help="Transcribe every recording, even copies and finished ones that were renamed or moved.",
    ),
]
Redo = Annotated[
    bool,
    typer.Option(
        "--redo",
        rich_help_panel=_DONE,
        help="Transcribe finished files again; if interrupted, rerun the same command to continue.",
    ),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", rich_help_panel=_DONE, help="Retry files that failed for a lasting reason.")
]
Retries = Annotated[
    int,
    typer.Option(
        "--retries",
        metavar="N",
        rich_help_panel=_DONE,
        help="Most retries of a file after an error that may be temporary.",
    ),
]
LoadTimeout = Annotated[
    float | None,
    typer.Option(
        "--load-timeout",
        metavar="SECONDS",
        rich_help_panel=_DONE,
        help="Stop a load worker after this many seconds without progress (default: 120).",
        show_default=False,
    ),
]
MaxFailures = Annotated[
    int | None,
    typer.Option(
        "--max-failures",
        metavar="N",
        rich_help_panel=_DONE,
        help="End the run when this many files have failed (default: never).",
        show_default=False,
    ),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", rich_help_panel=_DONE, help="End the run at the first failure.")]
ReportPath = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        rich_help_panel=_SHOW,
        help="Write every file's outcome and the totals to FILE, as JSON; a name in .html gets a page for reviewing "
        "the transcripts.",
        show_default=False,
    ),
]
Events = Annotated[
    str | None,
    typer.Option(
        "--events",
        metavar="FILE",
        rich_help_panel=_SHOW,
        help="Write events to FILE as they happen, as JSON lines; - is standard output.",
        show_default=False,
    ),
]
Progress = Annotated[
    ProgressKind,
    typer.Option(
        "--progress",
        metavar="KIND",
        rich_help_panel=_SHOW,
        help="live (default in a terminal), bar (one line), plain (a line for each file; default elsewhere) or none.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", rich_help_panel=_SHOW, help="Show failures only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", rich_help_panel=_SHOW, help="Show each batch, and tracebacks.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON with every file.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", help="Most matches to show; 0 shows all.")]
Opens = Annotated[bool, typer.Option("--open", help="Open the review page at the first match.")]
LinesAsJson = Annotated[bool, typer.Option("--json", help="Print a line of JSON for each match.")]
