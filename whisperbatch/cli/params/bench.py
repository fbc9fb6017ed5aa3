"""Options of what ``bench`` measures. Each option is declared once; see the package."""

from pathlib import Path
from typing import Annotated

import typer

_BENCH = "Measurement"

Audio = Annotated[
    list[str] | None,
    typer.Argument(help="Recordings or folders; without any, windows of noise are measured.", show_default=False),
]
BatchSizes = Annotated[
    str | None,
    typer.Option(
        "--batch-sizes",
        rich_help_panel=_BENCH,
        metavar="N,N,...",
        help="Batch sizes to compare (default: 1, 2, 4, ... until memory runs out or speed stops rising).",
        show_default=False,
    ),
]
Rounds = Annotated[
    int,
    typer.Option(
        "--rounds", metavar="N", rich_help_panel=_BENCH, help="Rounds of each measurement; medians are reported."
    ),
]
TokensPerWindow = Annotated[
    int | None,
    typer.Option(
        "--tokens-per-window",
        metavar="N",
        rich_help_panel=_BENCH,
        help="Force this many tokens per window (default: decode normally; 100 for noise and random weights).",
        show_default=False,
    ),
]
Arrivals = Annotated[
    str | None,
    typer.Option(
        "--arrivals",
        rich_help_panel=_BENCH,
        metavar="RATE",
        help="Also measure latency while clips arrive at a rate such as 5/s or 300/min.",
        show_default=False,
    ),
]
NArrivals = Annotated[
    int, typer.Option("--n-arrivals", metavar="N", rich_help_panel=_BENCH, help="Number of clips that arrive.")
]
MaxWaits = Annotated[
    str,
    typer.Option("--max-waits", metavar="SECONDS,...", rich_help_panel=_BENCH, help="Values of --max-wait to compare."),
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
    bool, typer.Option("--profile", rich_help_panel=_BENCH, help="Also show where the time of a whole run goes.")
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
