"""The command line: ``main`` runs a command and returns its exit code.

Modules: app (the commands), commands (what each of them does), params (each option, declared once), settings
(parameters to options), config (settings from a file and the environment), legacy (openai-whisper's spelling),
help_page and topics (``--help`` and ``help TOPIC``), text_layout (text that fits the terminal), screen and terminal
(progress of a run), listeners (event log and report), eta (time left on a CPU), dry_run (``--dry-run``), stdout
(``--stdout``), find_recordings (the recording of a transcript), diagnosis (faults of the machine, for ``info``),
signals (Ctrl-C), failures (error to sentence and exit code), flags (Python names in errors to flags). typer, rich and
tqdm are imported here only.
"""

import os
import sys


def main(argv: list[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    _fill_closed_streams()
    from whisperbatch.cli.app import run

    return run(sys.argv[1:] if argv is None else argv)


def _fill_closed_streams() -> None:
    """Replace each standard stream that is closed, as by ``2>&-``, with an empty one.

    Reason: otherwise the next file to be opened gets the stream's number, and everything printed goes into that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            empty = os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
            setattr(sys, name, os.fdopen(empty, "w" if number else "r", closefd=False))
