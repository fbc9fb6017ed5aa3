"""The command line: ``main`` gives back an exit code.

Leaves: app (commands), params (each option declared once), help and layout (pages that fit the terminal), legacy
(openai-whisper's spelling), failures (error to sentence and exit code), screen (what people see while it runs), facts
(``info``), status (what the journal knows), signals. typer, rich and tqdm live here only.
"""

import os
import sys


def main(argv: list[str] | None = None) -> int:
    """Run a command line; its exit code."""
    _fill_closed_streams()
    from whisperbatch.cli.app import run

    return run(sys.argv[1:] if argv is None else argv)


def _fill_closed_streams() -> None:
    """Put an empty one in the place of each standard stream that is closed, as by ``2>&-``.

    The next file that is opened would take its number otherwise, and whatever is printed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            empty = os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
            setattr(sys, name, os.fdopen(empty, "w" if number else "r", closefd=False))
