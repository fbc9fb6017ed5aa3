"""Options of Ray clusters. Each option is declared once; see the package."""

from enum import StrEnum
from typing import Annotated

import typer

from whisperbatch.options import BACKENDS

_MANY_MACHINES = "Many machines"

BackendKind = StrEnum("BackendKind", {name.upper(): name for name in BACKENDS})  # type: ignore[misc]  # members of options
Backend = Annotated[
    BackendKind,
    typer.Option(
        "--backend",
        metavar="|".join(BACKENDS),
        rich_help_panel=_MANY_MACHINES,
        help="local: this machine (see --device); ray: a Ray cluster that sees the same folders.",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="ADDRESS",
        rich_help_panel=_MANY_MACHINES,
        help="Running Ray cluster that this machine belongs to: auto, or host:port (default: start one here).",
        show_default=False,
    ),
]
Actors = Annotated[
    int | None,
    typer.Option(
        "--actors",
        metavar="N",
        rich_help_panel=_MANY_MACHINES,
        help="Number of models (default: one for each GPU, or for each node without GPUs).",
        show_default=False,
    ),
]
CpusPerActor = Annotated[
    int | None,
    typer.Option(
        "--cpus-per-actor",
        metavar="N",
        rich_help_panel=_MANY_MACHINES,
        help="Cores of each actor (default: a node's cores, divided among its actors).",
        show_default=False,
    ),
]
