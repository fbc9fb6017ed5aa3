"""What ``bench`` measures. Each option is declared once; see the package."""

from pathlib import Path
from typing import Annotated

import typer

_BENCH = "Measurement"

Audio = Annotated[
    list[str] | None,
    typer.Argument(help="Recordings or folders; none measures with windows of noise.", show_default=False),
]
BatchSizes = Annotated[
    str | None,
    typer.Option(
        "--batch-sizes",
        rich_help_panel=_BENCH,
        metavar="N,N,...",
        help="Sizes to compare (default: 1, 2, 4, ... until memory ends or more no longer help).",
        show_default=False,
    ),
]
Rounds = Annotated[
    int, typer.Option("--rounds", metavar="N", rich_help_panel=_BENCH, help="Rounds of each; medians are told.")
]
TokensPerWindow = Annotated[
    int | None,
    typer.Option(
        "--tokens-per-window",
        metavar="N",
        rich_help_panel=_BENCH,
        help="Force so many tokens a window (default: as many as are said; 100 for noise and random weights).",
        show_default=False,
    ),
]
Arrivals = Annotated[
    str | None,
    typer.Option(
        "--arrivals",
        rich_help_panel=_BENCH,
        metavar="RATE",
        help="Also measure latency while clips come at a rate such as 5/s or 300/min.",
        show_default=False,
    ),
]
NArrivals = Annotated[
    int, typer.Option("--n-arrivals", metavar="N", rich_help_panel=_BENCH, help="How many clips come.")
]
MaxWaits = Annotated[
    str,
    typer.Option(
        "--max-waits", metavar="SECONDS,...", rich_help_panel=_BENCH, help="Waiting times to compare, in seconds."
    ),
]
LoadWorkersCompared = Annotated[
    str,
    typer.Option(
        "--compare-load-workers", metavar="N,...", rich_help_panel=_BENCH, help="Numbers of load workers to compare."
    ),
]
Price = Annotated[
    float | None,
    typer.Option(
        "--price-per-hour",
        metavar="PRICE",
        rich_help_panel=_BENCH,
        help="Price of this machine, for the cost of an hour of audio.",
        show_default=False,
    ),
]
Profile = Annotated[
    bool, typer.Option("--profile", rich_help_panel=_BENCH, help="Also tell where the time of a whole run goes.")
]
Json = Annotated[
    str | None,
    typer.Option(
        "--json", rich_help_panel=_BENCH, help="Write all figures to a file, or - for standard output.", metavar="FILE"
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        rich_help_panel=_BENCH,
        help="Draw throughput against batch size, as PNG, SVG or PDF (needs the extra plot).",
        show_default=False,
    ),
]
