"""``transcribe`` and ``watch``: runs a transcription, shows its progress and ends with its exit code."""

import itertools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import typer

from whisperbatch.cli import failures
from whisperbatch.cli.signals import CONTINUE
from whisperbatch.cli.stdout import put, require_printable
from whisperbatch.errors import FileError, RunError, UsageError
from whisperbatch.options import OutputOptions, RunOptions, parse_formats
from whisperbatch.records import AudioFile, Outcome, Status
from whisperbatch.report import EXIT_INTERRUPTED, EXIT_RUN, Report
from whisperbatch.sources.media import is_media

NOTHING_FOUND = (
    "no recordings found; folders are searched for known audio and video extensions, and lists must not be empty"
)


def sources_of(
    paths: list[str], lists: list[Path], null: bool, is_wanted: Callable[[str], bool] = is_media
) -> Iterator[AudioFile]:
    """Return the files that the command names, in order; a path that does not exist raises UsageError at once.

    ``is_wanted`` selects files in folders by their names.
    """
    from whisperbatch import sources

    parts: list[Iterable[AudioFile]] = []
    named = [path for path in paths if path != "-"]
    if named:
        parts.append(sources.from_paths(named, is_wanted))
    for file in lists:
        try:
            stream = file.open("rb")
        except OSError as err:
            raise UsageError(f"the list {file} cannot be read: {err.strerror}") from err
        listed = sources.from_list(stream, nul=null, name=str(file), is_wanted=is_wanted, rules_base=file.parent)
        parts.append(_closing(stream, listed))
    if "-" in paths:
        parts.append(sources.from_list(_standard_input(), nul=null, is_wanted=is_wanted))
    return itertools.chain(*parts)


def _closing(stream: BinaryIO, files: Iterator[AudioFile]) -> Iterator[AudioFile]:
    """Yield the files of a list, then close it."""
    with stream:
        yield from files


def _standard_input() -> BinaryIO:
    """Return standard input unbuffered: a read that never ends would hold the buffer's lock at interpreter exit."""
    if sys.stdin.isatty():
        failures.say("reading a list of paths from the terminal, one a line; Ctrl-D ends it")
    try:
        return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    except OSError:  # the stream has been replaced
        return sys.stdin.buffer


def execute(
    source: Iterable[AudioFile],
    options: RunOptions,
    given: dict[str, Any],
    stop: threading.Event,
    *,
    heads: bool,
    may_be_empty: bool = False,
) -> None:
    """Run, show progress, and exit with the exit code.

    Args:
        source: Recordings.
        options: The run's options.
        given: The command's parameters.
        stop: Set by Ctrl-C.
        heads: With ``--stdout``, print the path of each recording above its transcript.
        may_be_empty: The run is a watch, which may find no recordings.
    """
    from whisperbatch.cli.eta import advising
    from whisperbatch.cli.listeners import counting_hooks, listening, reporting
    from whisperbatch.cli.screen import open_screen, reporting_progress

    if given["stdout"] and given["events"] == "-":
        raise UsageError("--stdout and --events - both write to standard output; give --events a file")
    report, head = Report(), parse_formats(given["format"] or ["txt"])[0]
    if given["stdout"]:
        require_printable(head, heads=heads)
    with ExitStack() as last:
        report_file = last.enter_context(reporting(given["report"]))
        screen = last.enter_context(open_screen(given["progress"], given["quiet"], given["verbose"], report))
        screen.is_endless = may_be_empty
        screen.lists_failed = _lists_failed(given)
        listen = last.enter_context(listening(advising(screen, options, not given["quiet"]), given["events"]))
        listen = counting_hooks(listen, report)
        last.enter_context(reporting_progress(listen, screen))
        from whisperbatch.api import Transcriber, run_on_end

        last.enter_context(_ending_with_hook(lambda totals: run_on_end(options, totals, listen), report))
        transcriber = last.enter_context(Transcriber(options))
        for outcome in transcriber.run(source, on_event=listen, stop=stop, at_once=may_be_empty, ends=False):
            if given["stdout"] and outcome.transcript is not None:
                outcome = _printed(outcome, head, options.output, heads)
            report.add(outcome)
            if report_file is not None:
                report_file.add(outcome)
        if report.n_files == 0 and not may_be_empty and not stop.is_set():
            raise UsageError(NOTHING_FOUND)
        code = EXIT_INTERRUPTED if stop.is_set() else report.exit_code
        if report_file is not None:
            report_file.close(report, code)
        run_on_end(options, report.as_dict() | {"exit_code": code}, listen)
    if _is_to_continue(code, report, given, is_endless=may_be_empty):
        failures.say(CONTINUE)
    raise typer.Exit(code)


@contextmanager
def _ending_with_hook(run_on_end: Callable[[dict[str, Any]], None], report: Report) -> Iterator[None]:
    """Run the ``--on-end`` command if an error ends the run."""
    try:
        yield
    except RunError as err:
        run_on_end(report.as_dict() | {"exit_code": EXIT_RUN, "reason": str(err)})
        raise


def _lists_failed(given: dict[str, Any]) -> str | None:
    """Return the command that lists all failures; None without a journal."""
    if given["no_journal"]:
        return None
    return "whisperbatch status" + (f" --journal {given['journal']}" if given["journal"] else "")


def _is_to_continue(code: int, report: Report, given: dict[str, Any], *, is_endless: bool) -> bool:
    """Return True if the same command would finish an interrupted run; an interrupted watch may have nothing left."""
    has_rest = report.counts[Status.INTERRUPTED] > 0 if is_endless else code == EXIT_INTERRUPTED
    return has_rest and code == EXIT_INTERRUPTED and not (given["stdout"] or given["quiet"])


def _printed(outcome: Outcome, name: str, options: OutputOptions, heads: bool) -> Outcome:
    """Print the outcome's transcript; return the outcome, as failed if the transcript cannot be rendered."""
    from whisperbatch.writers import render

    assert outcome.transcript is not None
    try:
        text = render(outcome.transcript, name, options.subtitles, options.documents, outcome.path.stem)
    except FileError as err:
        failures.say(f"{outcome.path}: {err.message}")
        return replace(outcome, status=Status.FAILED, error=err, reason=err.message)
    put(outcome.path, text, heads=heads, ends_line=True)
    return outcome


def notice(text: str, path: Path | None) -> None:
    """Print a notice about the run, or about a path."""
    failures.say(f"{path}: {text}" if path is not None else text)
