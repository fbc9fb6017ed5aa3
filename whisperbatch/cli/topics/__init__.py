"""The pages of ``whisperbatch help``: each topic's docstring is its page, and ``OPTIONS`` lists its options.

The text and default of an option come from its declaration, so that they are written once. Modules: input, watch
(sources); formats, subtitles, report, review, search, hooks (outputs); resume, failures, exit_codes (runs); models,
devices, batching, bench, decoding, corrections, words, speech, speakers (transcription); settings, security.
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
    """Return the list of topics and commands, each with its first sentence."""
    pages = [(name, first_sentence(import_module(_module(name)).__doc__)) for name in NAMES]
    lines = ["whisperbatch help TOPIC explains:", "", text_layout.rows(pages, start=15)]
    named = [(name, first_sentence(command.help)) for name, command in commands.items()]
    lines += ["", "whisperbatch COMMAND --help lists the options of:", "", text_layout.rows(named, start=15)]
    return "\n".join(lines)


def page(name: str, commands: dict[str, Any]) -> str:
    """Return a topic's page: its text, then its options, each from the first command that has it."""
    names = import_module(_module(name)).OPTIONS
    known: dict[str, Any] = {}
    for command in commands.values():
        for param in command.params:
            known |= {one: param for one in param.opts if one.startswith("--") and one not in known}
    options = text_layout.rows(option(known[one]) for one in names)
    more = ["", f"whisperbatch {name} --help lists the others."] if name in commands else []
    return "\n".join([_text(name), "", "Options:", "", options, *more])


def _module(name: str) -> str:
    return f"whisperbatch.cli.topics.{name.replace('-', '_')}"


def _text(name: str) -> str:
    """Return the page wrapped to the terminal; indented blocks stay as they are if there is room."""
    blocks = (import_module(_module(name)).__doc__ or "").strip().split("\n\n")
    return "\n\n".join(text_layout.fitted(one) if one.startswith(" ") else text_layout.filled(one) for one in blocks)
