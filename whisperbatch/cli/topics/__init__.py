"""The pages of ``whisperbatch help``: a leaf a topic, whose docstring is the page and ``OPTIONS`` what it is about.

What is said of an option comes from its declaration, with the default, so that it is told once. Who calls: ``cli/app``.
"""

import shutil
import textwrap
from importlib import import_module
from typing import Any

NAMES = (
    *("input", "watch", "formats", "subtitles", "resume", "failures", "exit-codes", "report", "review", "models"),
    *("devices", "batching", "decoding", "words", "speech", "settings", "security", "bench"),
)
MAX_COLUMNS = 100


def contents(commands: dict[str, Any]) -> str:
    """The list of topics and of commands, each with its first sentence."""
    lines = ["whisperbatch help TOPIC tells of:", ""]
    lines += [f"  {name:<12}{_first(import_module(_module(name)).__doc__)}" for name in NAMES]
    lines += ["", "whisperbatch COMMAND --help tells every option of:", ""]
    lines += [f"  {name:<12}{_first(command.help)}" for name, command in commands.items()]
    return "\n".join(lines)


def page(name: str, commands: dict[str, Any]) -> str:
    """A topic's page: its text, then the options it is about, from the first command that has each."""
    asked = import_module(_module(name)).OPTIONS
    known: dict[str, Any] = {}
    for command in commands.values():
        for param in command.params:
            known |= {one: param for one in param.opts if one.startswith("--") and one not in known}
    told = [_option(known[one]) for one in asked]
    more = ["", f"whisperbatch {name} --help tells the others."] if name in commands else []
    return "\n".join([_text(name), "", "Options:", "", *told, *more])


def _first(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _module(name: str) -> str:
    return f"whisperbatch.cli.topics.{name.replace('-', '_')}"


def _text(name: str) -> str:
    """The page as wide as the terminal; what is indented stays as it is written."""
    blocks = (import_module(_module(name)).__doc__ or "").strip().split("\n\n")
    return "\n\n".join(one if one.startswith(" ") else _filled(one) for one in blocks)


def _option(param: Any) -> str:
    """An option as a paragraph: its spellings, what it does, its default."""
    names = ", ".join(param.opts) + "".join(f"/{one}" for one in param.secondary_opts)
    value = "" if param.is_flag else f" {param.metavar or 'VALUE'}"
    is_told = param.is_flag or param.default is None or "(default" in param.help
    default = "" if is_told else f" [{param.default}]"
    return f"  {names}{value}\n{_filled(param.help + default, ' ' * 6)}"


def _filled(text: str, indent: str = "") -> str:
    columns = min(MAX_COLUMNS, shutil.get_terminal_size().columns)
    # an option's name would be broken at its hyphens
    return textwrap.fill(text, columns, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
