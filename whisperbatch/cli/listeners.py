"""Listeners of a run besides the screen: the event log and the report."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from whisperbatch.cli.commands.review import PAGES, review_page
from whisperbatch.cli.failures import say
from whisperbatch.errors import UsageError
from whisperbatch.events import EventLog
from whisperbatch.files import open_regular
from whisperbatch.records import Event
from whisperbatch.report import Report, ReportFile
from whisperbatch.review import PageFile, is_page


@contextmanager
def listening(screen: Callable[[Event], None], events: str | None) -> Iterator[Callable[[Event], None]]:
    """Yield one listener for the screen and the event log; a closed terminal does not end the run."""
    with ExitStack() as last:
        log, lock = None, threading.Lock()  # events of a run come one at a time; its progress comes from another thread
        if events is not None:
            stream = last.enter_context(_opened(events))
            log = EventLog(stream, lambda reason: say(f"no more events are written to {events}: {reason}"))

        def listen(event: Event) -> None:
            with lock:
                with suppress(OSError):
                    screen(event)
                if log is not None:
                    log.on_event(event)

        yield listen


def counting_hooks(listen: Callable[[Event], None], report: Report) -> Callable[[Event], None]:
    """Return the listener, extended to add failed hooks to the report."""

    def on_event(event: Event) -> None:
        if event.kind == "notice" and "hook" in event.data:
            report.add_hook(event.path, event.data)
        listen(event)

    return on_event


@contextmanager
def reporting(path: Path | None) -> Iterator[ReportFile | PageFile | None]:
    """Yield the report file, or None if none is wanted: a review page for a page suffix, else JSON.

    A report that is not closed by the end leaves no file behind.
    """
    if path is None:
        yield None
        return
    wants_page = path.suffix.lower() in PAGES
    _require_ours(path, "--report", is_page(path) if wants_page else _begins(path, b'{"schema"'))
    report = review_page(path) if wants_page else ReportFile(path)
    try:
        yield report
    finally:
        report.discard()


def _require_ours(path: Path, flag: str, is_ours: bool) -> None:
    """Raise UsageError if a file with other content, such as a recording, would be replaced or appended to."""
    if os.path.isfile(path) and path.stat().st_size > 0 and not is_ours:  # noqa: PTH113  (never raises)
        raise UsageError(
            f"{flag} {path}: this file has other content and is left alone; name another file or remove it"
        )


def _begins(path: Path, start: bytes) -> bool:
    try:
        with open_regular(path) as file:
            return file.read(len(start)) == start
    except OSError:
        return False


def _opened(events: str) -> BinaryIO:
    if events == "-":  # without Python's buffer, which would raise at exit if the reader has gone
        return open(sys.stdout.fileno(), "wb", buffering=0, closefd=False)
    _require_ours(Path(events), "--events", _begins(Path(events), b'{"v"'))
    try:
        return Path(events).open("ab")
    except OSError as err:
        raise UsageError(f"--events {events} cannot be written to: {err.strerror}") from err
