"""Options of inputs, and of watching drop folders. Each option is declared once; see the package."""

from pathlib import Path
from typing import Annotated

import typer

Paths = Annotated[
    list[str] | None,
    typer.Argument(help="Files, folders, patterns; - reads a list of paths from standard input.", show_default=False),
]
Transcripts = Annotated[
    list[str] | None,
    typer.Argument(
        help="Transcripts in JSON, ours or openai-whisper's, or in srt, vtt, ass or txt with time stamps; folders, "
        "patterns; - reads a list of paths from standard input.",
        show_default=False,
    ),
]
FromFile = Annotated[
    list[Path] | None,
    typer.Option("--from-file", metavar="LIST", help="Read a list of paths, one a line, from LIST; may be repeated."),
]
Null = Annotated[bool, typer.Option("--null", "-0", help="Paths in lists are separated by NUL instead of line ends.")]
Sidecars = Annotated[
    bool,
    typer.Option(
        "--sidecars/--no-sidecars",
        help="Read settings for talk.mp3 from talk.whisperbatch.toml beside it, and for a folder from the "
        "whisperbatch.toml in it.",
    ),
]
Settle = Annotated[
    float, typer.Option("--settle", metavar="SECONDS", help="Queue a file once it has not changed for this long.")
]
UntilIdle = Annotated[
    float | None,
    typer.Option(
        "--until-idle", metavar="SECONDS", help="End after this many seconds without a new file (default: never)."
    ),
]
Rescan = Annotated[
    float,
    typer.Option(
        "--rescan",
        metavar="SECONDS",
        help="Time between two scans of the folders, even if the system reports no change.",
    ),
]
Poll = Annotated[
    bool,
    typer.Option("--poll", help="Scan every few seconds, for network folders, which do not report changes."),
]
