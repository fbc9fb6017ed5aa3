"""The pages of ``--help``: a command's options in groups; for ``transcribe`` and ``watch`` only the common ones.

``--help-all`` prints the others too. Reason: Typer's own tables truncate names and give the text a quarter of 80
columns.
"""

from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from whisperbatch.cli import text_layout

COMMON = frozenset(
    """
    paths folders from_file dry_run format output_dir overwrite stdout
    model device compute_type language task prompt beam_size word_timestamps
    vad long_form channels speakers subtitles replace batch_size redo retry_failed report quiet verbose
    until_idle move_done move_failed
    config help help_all
    """.split()
)
ALL = "help_all"


class Command(TyperCommand):
    """A command with our help page."""

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # Typer passes its own
        """Write the page into ``formatter``."""
        formatter.write(page(ctx))


class Group(TyperGroup):
    """The program itself with our help page."""

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # Typer passes its own
        """Write the page into ``formatter``."""
        formatter.write(page(ctx))


def show_all(ctx: typer.Context, wanted: bool) -> None:
    """Print every option and exit, if ``--help-all`` is given."""
    if wanted and not ctx.resilient_parsing:
        typer.echo(page(ctx, everything=True))
        raise typer.Exit


def page(ctx: typer.Context, *, everything: bool = False) -> str:
    """Return a command's help; if it has ``--help-all``, only the common options unless ``everything`` is True."""
    command: Any = ctx.command
    params = [one for one in command.get_params(ctx) if not getattr(one, "hidden", False)]
    is_short = not everything and any(one.name == ALL for one in params)
    shown = [one for one in params if one.name in COMMON] if is_short else params
    usage = text_layout.filled(
        f"Usage: {ctx.command_path} {' '.join(command.collect_usage_pieces(ctx))}", hanging=" " * len("Usage: ")
    )
    parts = [usage, text_layout.filled(" ".join((command.help or "").split()))]
    parts += [f"{title}:\n{text}" for title, text in _panels(shown)]
    if hasattr(command, "commands"):
        pairs = [(name, first_sentence(one.help)) for name, one in command.commands.items()]
        parts += [f"Commands:\n{text_layout.rows(pairs, start=14)}"]
        parts += [
            text_layout.filled("whisperbatch COMMAND --help shows a command's options; whisperbatch help lists topics.")
        ]
    elif is_short:
        n_all = sum(one.param_type_name == "option" for one in params)
        parts += [
            text_layout.filled(
                f"{ctx.command_path} --help-all shows all {n_all} options; whisperbatch help lists topics."
            )
        ]
    return "\n\n".join(parts)


def first_sentence(text: str | None) -> str:
    """Return the first line of a docstring."""
    return (text or "").strip().partition("\n")[0]


def option(param: Any) -> tuple[str, str]:
    """Return an option's names with a placeholder for its value, and its help text with the default."""
    names = ", ".join([*sorted(param.opts, key=lambda name: name.startswith("--")), *param.secondary_opts])
    if param.is_flag:
        return names, param.help + (f" [default: {_side(param)}]" if param.secondary_opts else "")
    is_shown = param.default is None or "(default" in param.help
    default = "" if is_shown else f" [default: {getattr(param.default, 'value', param.default)}]"
    return f"{names} {param.metavar or 'VALUE'}", param.help + default


def _side(param: Any) -> str:
    names: list[str] = param.opts if param.default else param.secondary_opts
    return names[0]


def _panels(params: Sequence[Any]) -> list[tuple[str, str]]:
    """Return title and text of each group: arguments, options without a group, then the others in order."""
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for param in params:
        if param.param_type_name == "argument":
            panels["Arguments"].append((param.metavar or param.name.upper(), param.help))
        else:
            title = getattr(param, "rich_help_panel", None) or "Options"
            panels.setdefault(title, []).append(option(param))
    return [(title, text_layout.rows(pairs)) for title, pairs in panels.items() if pairs]
