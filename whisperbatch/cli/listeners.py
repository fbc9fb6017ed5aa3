"""Who hears what happens in a run beside the screen: an event log, a report."""

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
    """One listener for the screen and the event log; a screen that has gone ends nothing."""
    with ExitStack() as last:
        log, one = None, threading.Lock()  # a run tells one thing at a time; how far it is comes from elsewhere
        if events is not None:
            stream = last.enter_context(_opened(events))
            log = EventLog(stream, lambda reason: say(f"nothing more is written to {events}: {reason}"))

        def listen(event: Event) -> None:
            with one:
                with suppress(OSError):
                    screen(event)
                if log is not None:
                    log.on_event(event)

        yield listen


def counting_hooks(listen: Callable[[Event], None], report: Report) -> Callable[[Event], None]:
    """The listener, with hooks that failed noted in the report too."""

    def on_event(event: Event) -> None:
        if event.kind == "notice" and "hook" in event.data:
            report.add_hook(event.path, event.data)
        listen(event)

    return on_event


@contextmanager
def reporting(path: Path | None) -> Iterator[ReportFile | PageFile | None]:
    """The report's file, if one is wanted: a review page by its suffix, else JSON.

    What is not closed in the end leaves nothing behind.
    """
    if path is None:
        yield None
        return
    is_for_people = path.suffix.lower() in PAGES
    _require_ours(path, "--report", is_page(path) if is_for_people else _begins(path, b'{"schema"'))
    report = review_page(path) if is_for_people else ReportFile(path)
    try:
        yield report
    finally:
        report.discard()


def _require_ours(path: Path, flag: str, is_ours: bool) -> None:
    """Nothing, or UsageError when a file with other content would be replaced or added to: a recording, say."""
    if os.path.isfile(path) and path.stat().st_size > 0 and not is_ours:  # noqa: PTH113  (never raises)
        raise UsageError(f"{flag} {path}: this file holds something else and is left alone; name another or remove it")


def _begins(path: Path, start: bytes) -> bool:
    try:
        with open_regular(path) as file:
            return file.read(len(start)) == start
    except OSError:
        return False


def _opened(events: str) -> BinaryIO:
    if events == "-":  # past Python's own buffer, which would complain at exit when the reader has gone
        return open(sys.stdout.fileno(), "wb", buffering=0, closefd=False)
    _require_ours(Path(events), "--events", _begins(Path(events), b'{"v"'))
    try:
        return Path(events).open("ab")
    except OSError as err:
        raise UsageError(f"--events {events} cannot be written to: {err.strerror}") from err
