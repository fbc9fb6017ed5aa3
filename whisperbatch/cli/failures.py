"""Error reporting: turns an exception into one sentence on standard error and an exit code."""

import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from whisperbatch.cli.flags import with_flags
from whisperbatch.errors import RunError, UsageError, WhisperbatchError
from whisperbatch.report import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_RUN, EXIT_USAGE


def shown(text: str | Path) -> str:
    """Return a name or message that is safe to print: control characters and stray bytes are escaped."""
    readable = os.fspath(text).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in readable)


def say(text: str) -> None:
    """Print one line for people on standard error; do nothing if the stream is closed."""
    with suppress(OSError, ValueError):
        sys.stderr.write(
            f"{shown(text)}\n"
        )  # one write: print writes the line end separately, and another thread's line may come between
        sys.stderr.flush()


def exit_code(error: BaseException, verbose: bool) -> int:
    """Print an error's sentence (with a traceback if ``verbose``) and return its exit code."""
    if isinstance(error, KeyboardInterrupt):
        say("interrupted")
        return EXIT_INTERRUPTED
    if isinstance(error, UsageError):
        say(f"whisperbatch: {with_flags(str(error))}")
    elif isinstance(error, WhisperbatchError):
        say(f"whisperbatch: {error}")
    elif isinstance(error, BrokenPipeError):
        # the reader of standard output has gone; nothing may be written to it at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    else:
        say(f"whisperbatch: unexpected {type(error).__name__}: {error} (please report it; --verbose shows where)")
    if verbose:
        for line in "".join(traceback.format_exception(error)).splitlines():  # it may quote a file name
            say(line)
    if isinstance(error, UsageError):
        return EXIT_USAGE
    return EXIT_RUN if isinstance(error, RunError) or not isinstance(error, WhisperbatchError) else EXIT_FAILED
