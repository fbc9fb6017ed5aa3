"""Batching, loading, what is done and what fails, what is shown. Each option is declared once; see the package."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_RUN = "Batching and loading"
_SHOW = "What is shown"
_DONE = "What is done, what fails"


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
        help="Most clips in one batch; auto is as many as fit in memory and still raise the throughput.",
    ),
]
MaxWait = Annotated[
    float,
    typer.Option(
        "--max-wait",
        metavar="SECONDS",
        rich_help_panel=_RUN,
        help="Seconds that a clip waits for a full batch while the model is idle.",
    ),
]
LoadWorkers = Annotated[
    int,
    typer.Option(
        "--load-workers",
        metavar="N",
        rich_help_panel=_RUN,
        help="Processes that decode audio; 0 is one for two cores, at most 8, and beside a GPU all cores but one.",
    ),
]
SpoolDir = Annotated[
    Path | None,
    typer.Option(
        "--spool-dir",
        metavar="DIR",
        rich_help_panel=_RUN,
        help="Where sequential mode keeps a recording's samples, 115 MB an hour, while it runs (default: the user's "
        "cache).",
        show_default=False,
    ),
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
NoDedupe = Annotated[
    bool,
    typer.Option(
        "--no-dedupe",
        rich_help_panel=_DONE,
        help="Transcribe every recording, also copies and those that were only renamed or moved since they were done.",
    ),
]
Redo = Annotated[
    bool,
    typer.Option("--redo", rich_help_panel=_DONE, help="Do again what is done; interrupted, the same again goes on."),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", rich_help_panel=_DONE, help="Try again what failed for a lasting reason.")
]
Retries = Annotated[
    int,
    typer.Option(
        "--retries", metavar="N", rich_help_panel=_DONE, help="How often to try again after an error that may pass."
    ),
]
LoadTimeout = Annotated[
    float | None,
    typer.Option(
        "--load-timeout",
        metavar="SECONDS",
        rich_help_panel=_DONE,
        help="Seconds without a sign of life after which a decoder is stopped (default: 120).",
        show_default=False,
    ),
]
MaxFailures = Annotated[
    int | None,
    typer.Option(
        "--max-failures",
        metavar="N",
        rich_help_panel=_DONE,
        help="End the run when so many files have failed (default: never).",
        show_default=False,
    ),
]
FailFast = Annotated[
    bool, typer.Option("--fail-fast", rich_help_panel=_DONE, help="End the run with the first failure.")
]
ReportPath = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        rich_help_panel=_SHOW,
        help="Write every file's outcome and the totals to FILE, as JSON; a name in .html gets a page to review the "
        "transcripts in.",
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
Progress = Annotated[
    ProgressKind,
    typer.Option(
        "--progress",
        metavar="KIND",
        rich_help_panel=_SHOW,
        help="live (a terminal's default), bar (one line), plain (a line a file, the default elsewhere) or none.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", rich_help_panel=_SHOW, help="Show failures only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", rich_help_panel=_SHOW, help="Tell each batch; show tracebacks.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, every file in it.")]
Limit = Annotated[
    int, typer.Option("--limit", metavar="N", help="Most places that are shown; 0 shows all that are found.")
]
Opens = Annotated[bool, typer.Option("--open", help="Open the review page that shows the first place, at that second.")]
LinesAsJson = Annotated[bool, typer.Option("--json", help="Print a line of JSON for each place.")]
