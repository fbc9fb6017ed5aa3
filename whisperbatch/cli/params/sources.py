"""What goes in, and how drop folders are watched. Each option is declared once; see the package."""

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
Null = Annotated[bool, typer.Option("--null", "-0", help="Lists have NUL between paths instead of line ends.")]
Sidecars = Annotated[
    bool,
    typer.Option(
        "--sidecars/--no-sidecars",
        help="Read settings for talk.mp3 from talk.whisperbatch.toml beside it, and for a folder from its "
        "whisperbatch.toml.",
    ),
]
Settle = Annotated[
    float, typer.Option("--settle", metavar="SECONDS", help="Seconds that a file must stand still before it is taken.")
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
        help="Seconds between two looks through the folders, whatever the system tells of.",
    ),
]
Poll = Annotated[
    bool,
    typer.Option("--poll", help="Look every few seconds, for network folders, which do not tell of others' changes."),
]
