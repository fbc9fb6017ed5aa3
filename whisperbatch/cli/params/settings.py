"""``--config`` and ``--help-all``, which take effect before the command runs. Declared once; see the package."""

from pathlib import Path
from typing import Annotated

import typer

from whisperbatch.cli import config, help_page


def _apply(ctx: typer.Context, given: Path | None) -> None:
    from whisperbatch.cli.params import names  # it reads this module too

    if not ctx.resilient_parsing:
        config.apply(ctx, given, names())


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE.toml",
        is_eager=True,
        callback=_apply,
        help="Read settings from FILE.toml, such as beam-size = 1. WHISPERBATCH_BEAM_SIZE in the environment overrides "
        "it, and the command line overrides both.",
        show_default=False,
    ),
]
HelpAll = Annotated[
    bool,
    typer.Option("--help-all", is_eager=True, callback=help_page.show_all, help="Show every option and exit."),
]
