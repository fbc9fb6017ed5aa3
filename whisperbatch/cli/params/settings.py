"""Where settings come from that the command line does not tell. Declared once, for every command; see the package."""

from pathlib import Path
from typing import Annotated

import typer

from whisperbatch.cli import config, help_page


def _settle(ctx: typer.Context, given: Path | None) -> None:
    from whisperbatch.cli.params import names  # this leaf is one of those it looks through

    if not ctx.resilient_parsing:
        config.apply(ctx, given, names())


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE.toml",
        is_eager=True,
        callback=_settle,
        help="Take settings from FILE.toml, as in beam-size = 1. WHISPERBATCH_BEAM_SIZE in the environment wins "
        "over it, the command line over both.",
        show_default=False,
    ),
]
HelpAll = Annotated[
    bool,
    typer.Option("--help-all", is_eager=True, callback=help_page.show_all, help="Show every option and exit."),
]
