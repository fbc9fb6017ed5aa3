"""Errors to one sentence on standard error and an exit code."""

import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from whisperbatch.errors import RunError, UsageError, WhisperbatchError
from whisperbatch.report import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_RUN, EXIT_USAGE


def shown(text: str | Path) -> str:
    """A name or message that cannot break a terminal: control characters and stray bytes are spelled out."""
    readable = os.fspath(text).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in readable)


def say(text: str) -> None:
    """One line for people, on standard error; nothing when nobody can read it any more."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{shown(text)}\n")  # print writes the end apart, and another thread's line may come between
        sys.stderr.flush()


def exit_code(error: BaseException, verbose: bool) -> int:
    """The exit code of an error, its sentence said; a traceback only when asked for."""
    if isinstance(error, KeyboardInterrupt):
        say("interrupted")
        return EXIT_INTERRUPTED
    if isinstance(error, WhisperbatchError):
        say(f"whisperbatch: {error}")
    elif isinstance(error, BrokenPipeError):
        # whoever read standard output has gone; nothing may be written to it at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    else:
        say(f"whisperbatch: unexpected {type(error).__name__}: {error} (please report it; --verbose shows where)")
    if verbose:
        for line in "".join(traceback.format_exception(error)).splitlines():  # it may quote a file's name
            say(line)
    if isinstance(error, UsageError):
        return EXIT_USAGE
    return EXIT_RUN if isinstance(error, RunError) or not isinstance(error, WhisperbatchError) else EXIT_FAILED
