"""Options of hooks: commands run after a recording or the run. Each option is declared once; see the package."""

from typing import Annotated

import typer

_HOOKS = "Hooks"

OnDone = Annotated[
    str | None,
    typer.Option(
        "--on-done",
        metavar="COMMAND",
        rich_help_panel=_HOOKS,
        help="Run COMMAND, without a shell, for each recording once its outputs are on disk; {path}, {txt}, {id} and "
        "others are filled in; without any, it gets JSON on standard input.",
        show_default=False,
    ),
]
OnFailed = Annotated[
    str | None,
    typer.Option(
        "--on-failed",
        metavar="COMMAND",
        rich_help_panel=_HOOKS,
        help="Run COMMAND for each recording that failed; {path}, {error} and {id} are filled in.",
        show_default=False,
    ),
]
OnEnd = Annotated[
    str | None,
    typer.Option(
        "--on-end",
        metavar="COMMAND",
        rich_help_panel=_HOOKS,
        help="Run COMMAND once when the run has ended; {done}, {failed} and {exit_code} are filled in.",
        show_default=False,
    ),
]
HookTimeout = Annotated[
    float,
    typer.Option(
        "--hook-timeout",
        metavar="SECONDS",
        rich_help_panel=_HOOKS,
        help="Kill a hook and its children after this many seconds.",
    ),
]
HookJobs = Annotated[
    int,
    typer.Option("--hook-jobs", metavar="N", rich_help_panel=_HOOKS, help="Most hooks to run at once."),
]
