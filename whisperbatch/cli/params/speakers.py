"""Options of speaker diarization. Each option is declared once; see the package."""

from pathlib import Path
from typing import Annotated

import typer

_SPEAKERS = "Speakers"

Speakers = Annotated[
    str | None,
    typer.Option(
        "--speakers",
        metavar="auto|N|N-M|off",
        rich_help_panel=_SPEAKERS,
        help="Find who speaks: auto detects the number of speakers; 2 or 2-4 sets it (default: off).",
        show_default=False,
    ),
]
SpeakerNames = Annotated[
    Path | None,
    typer.Option(
        "--speaker-names",
        metavar="DIR",
        rich_help_panel=_SPEAKERS,
        help="Name speakers with reference clips in DIR: one recording, or one folder of them, for each name.",
        show_default=False,
    ),
]
SpeakerModel = Annotated[
    str | None,
    typer.Option(
        "--speaker-model",
        metavar="DIR|FILE|ID",
        rich_help_panel=_SPEAKERS,
        help="Model that tells voices apart: a folder, a file or a hub id (default: that of 'fetch speakers').",
        show_default=False,
    ),
]
