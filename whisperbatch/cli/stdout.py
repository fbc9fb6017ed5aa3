"""``--stdout``: transcripts on standard output, for another program or a person to read."""

import sys
from pathlib import Path

from whisperbatch.cli import failures
from whisperbatch.errors import UsageError
from whisperbatch.options import BINARY
from whisperbatch.writers.content import Content, encoded


def require_printable(name: str, *, heads: bool) -> None:
    """Nothing, or UsageError when standard output cannot take a format: a binary file is for a file or a pipe."""
    if name in BINARY and heads:
        raise UsageError(f"--stdout prints {name} of a single file only, since it is binary; leave --stdout out")
    if name in BINARY and sys.stdout.isatty():
        raise UsageError(f"--stdout does not print {name} on a terminal, since it is binary; add > FILE or a pipe")


def put(path: Path, content: Content, *, heads: bool, ends_line: bool = False) -> None:
    """Print a transcript, behind its path where there are several; ``ends_line`` adds a line end that it lacks."""
    head = f"==> {failures.shown(path)} <==\n" if heads else ""
    end = b"\n" if ends_line and isinstance(content, str) and not content.endswith("\n") else b""
    sys.stdout.buffer.write(head.encode() + encoded(content) + end)
    sys.stdout.buffer.flush()
