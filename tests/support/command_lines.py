"""The options that a command line asks for, without a run."""

import threading
from dataclasses import replace

import pytest

from whisperbatch.cli import app
from whisperbatch.cli.commands import run
from whisperbatch.options import (
    JournalOptions,
    RunOptions,
)


def parsed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> RunOptions:
    """What a command line asks for; nothing is run."""
    made: list[RunOptions] = []

    def execute(source, options, given, stop: threading.Event, **more) -> None:
        made.append(options)

    monkeypatch.setattr(run, "execute", execute)
    assert app.run(list(arguments)) == 0
    return replace(made[0], journal=JournalOptions())  # which tells where the command was given
