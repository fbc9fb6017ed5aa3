"""The pages of ``whisperbatch help``: a leaf a topic, whose docstring is the page and ``OPTIONS`` what it is about.

What is said of an option comes from its declaration, with the default, so that it is told once.
"""

from importlib import import_module
from typing import Any

from whisperbatch.cli import text_layout
from whisperbatch.cli.help_page import first_sentence, option

NAMES = (
    *("input", "watch", "formats", "subtitles", "resume", "failures", "exit-codes", "report", "hooks", "review"),
    *("search", "models", "devices", "batching", "decoding", "corrections", "words", "speech", "speakers"),
    *("settings", "security", "bench"),
)


def contents(commands: dict[str, Any]) -> str:
    """The list of topics and of commands, each with its first sentence."""
    told = [(name, first_sentence(import_module(_module(name)).__doc__)) for name in NAMES]
    lines = ["whisperbatch help TOPIC tells of:", "", text_layout.rows(told, start=15)]
    named = [(name, first_sentence(command.help)) for name, command in commands.items()]
    lines += ["", "whisperbatch COMMAND --help tells every option of:", "", text_layout.rows(named, start=15)]
    return "\n".join(lines)


def page(name: str, commands: dict[str, Any]) -> str:
    """A topic's page: its text, then the options it is about, from the first command that has each."""
    asked = import_module(_module(name)).OPTIONS
    known: dict[str, Any] = {}
    for command in commands.values():
        for param in command.params:
            known |= {one: param for one in param.opts if one.startswith("--") and one not in known}
    told = text_layout.rows(option(known[one]) for one in asked)
    more = ["", f"whisperbatch {name} --help tells the others."] if name in commands else []
    return "\n".join([_text(name), "", "Options:", "", told, *more])


def _module(name: str) -> str:
    return f"whisperbatch.cli.topics.{name.replace('-', '_')}"


def _text(name: str) -> str:
    """The page as wide as the terminal; what is indented stays as it is written where there is room."""
    blocks = (import_module(_module(name)).__doc__ or "").strip().split("\n\n")
    return "\n\n".join(text_layout.fitted(one) if one.startswith(" ") else text_layout.filled(one) for one in blocks)
