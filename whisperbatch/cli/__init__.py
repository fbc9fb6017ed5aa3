"""The command line: ``main`` gives back an exit code.

Leaves: app (commands), params (each option declared once), legacy (openai-whisper's spelling), failures (error to
sentence and exit code), screen (what people see while it runs), facts (``info``), status (what the journal
knows), signals. typer, rich and tqdm live here only.
"""

import sys


def main(argv: list[str] | None = None) -> int:
    """Run a command line; its exit code."""
    from whisperbatch.cli.app import run

    return run(sys.argv[1:] if argv is None else argv)
