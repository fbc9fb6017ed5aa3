"""``--stdout``: prints transcripts on standard output."""

import sys
from pathlib import Path

from whisperbatch.cli import failures
from whisperbatch.errors import UsageError
from whisperbatch.options import BINARY
from whisperbatch.writers.content import Content, encoded


def require_printable(name: str, *, heads: bool) -> None:
    """Raise UsageError if a format cannot be printed: a binary one needs a file or a pipe, and a single recording."""
    if name in BINARY and heads:
        raise UsageError(f"--stdout can print {name} for a single file only, because it is binary; leave out --stdout")
    if name in BINARY and sys.stdout.isatty():
        raise UsageError(
            f"--stdout cannot print {name} on a terminal, because it is binary; redirect it with > FILE or a pipe"
        )


def put(path: Path, content: Content, *, heads: bool, ends_line: bool = False) -> None:
    """Print a transcript, with its path as a heading if ``heads``; ``ends_line`` adds a missing final line end."""
    head = f"==> {failures.shown(path)} <==\n" if heads else ""
    end = b"\n" if ends_line and isinstance(content, str) and not content.endswith("\n") else b""
    sys.stdout.buffer.write(head.encode() + encoded(content) + end)
    sys.stdout.buffer.flush()
