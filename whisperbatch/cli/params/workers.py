"""Several devices, many machines. Each option is declared once; see the package."""

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
        help="local is this machine (see --device); ray is a Ray cluster, which sees the same folders.",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="ADDRESS",
        rich_help_panel=_MANY_MACHINES,
        help="A cluster that runs and this machine is in, as in auto or head:6379 (default: one is started here).",
        show_default=False,
    ),
]
Actors = Annotated[
    int | None,
    typer.Option(
        "--actors",
        metavar="N",
        rich_help_panel=_MANY_MACHINES,
        help="How many models (default: one a GPU, or one a node where there are none).",
        show_default=False,
    ),
]
CpusPerActor = Annotated[
    int | None,
    typer.Option(
        "--cpus-per-actor",
        metavar="N",
        rich_help_panel=_MANY_MACHINES,
        help="Cores of each (default: those of its node, shared out).",
        show_default=False,
    ),
]
