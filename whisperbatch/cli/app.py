"""The commands. Heavy libraries are imported inside them, after the command line has been understood."""

import itertools
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from whisperbatch import __version__
from whisperbatch.cli import failures, legacy
from whisperbatch.cli import params as p
from whisperbatch.cli.signals import interruptible
from whisperbatch.errors import UsageError
from whisperbatch.languages import parse_language
from whisperbatch.options import (
    DEFAULT_FORMATS,
    BatchOptions,
    EngineOptions,
    FailureOptions,
    JournalOptions,
    LoadOptions,
    OutputOptions,
    RunOptions,
    WatchOptions,
    parse_formats,
)
from whisperbatch.records import AudioFile, ClipSettings
from whisperbatch.report import EXIT_INTERRUPTED, Report

NOTHING_FOUND = "no recordings found; folders are searched for audio and video files by their extension"

app = typer.Typer(
    name="whisperbatch",
    help="Batch speech transcription: folders, lists and drop folders in, Whisper transcripts beside each file out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(argv: list[str]) -> int:
    """The exit code of a command line."""
    arguments, notices = legacy.translate(argv)
    for notice in notices:
        failures.say(notice)
    try:
        app(arguments, prog_name="whisperbatch")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException as err:
        return failures.exit_code(err, verbose="--verbose" in arguments or "-v" in arguments)
    return 0


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"whisperbatch {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def transcribe(
    paths: p.Paths = None,
    from_file: p.FromFile = None,
    null: p.Null = False,
    model: p.Model = "turbo",
    model_dir: p.ModelDir = None,
    offline: p.Offline = False,
    device: p.Device = "auto",
    compute_type: p.Compute = p.ComputeType.AUTO,
    language: p.Language = None,
    task: p.TaskOption = p.Task.TRANSCRIBE,
    prompt: p.Prompt = None,
    format: p.Format = None,
    output_dir: p.OutputDir = None,
    relative_to: p.RelativeTo = None,
    name: p.Name = "{stem}",
    overwrite: p.Overwrite = False,
    dry_run: p.DryRun = False,
    stdout: p.Stdout = False,
    batch_size: p.BatchSize = 16,
    max_wait: p.MaxWait = 1.0,
    load_workers: p.LoadWorkers = 0,
    journal: p.JournalPath = None,
    no_journal: p.NoJournal = False,
    redo: p.Redo = False,
    retry_failed: p.RetryFailed = False,
    retries: p.Retries = 2,
    load_timeout: p.LoadTimeout = None,
    max_failures: p.MaxFailures = None,
    fail_fast: p.FailFast = False,
    report: p.ReportPath = None,
    events: p.Events = None,
    progress: p.Progress = p.ProgressKind.AUTO,
    quiet: p.Quiet = False,
    verbose: p.Verbose = False,
) -> None:
    """Transcribe recordings: files, folders with all below them, patterns, lists."""
    given = locals()
    options = _options(given)
    if not paths and not from_file:
        raise UsageError("nothing to transcribe; name files or folders, or - for a list on standard input")
    with interruptible() as stop:
        source = _sources(paths or [], from_file or [], null)
        if dry_run:
            from whisperbatch.cli.status import tell_plan

            if not tell_plan(source, options):
                raise UsageError(NOTHING_FOUND)
            return
        is_one = not from_file and len(paths or []) == 1 and Path((paths or [""])[0]).is_file()
        _execute(source, options, given, stop, heads=not is_one)


@app.command()
def watch(
    folders: Annotated[list[str], typer.Argument(help="Drop folders, watched with all below them.")],
    settle: p.Settle = 2.0,
    until_idle: p.UntilIdle = None,
    model: p.Model = "turbo",
    model_dir: p.ModelDir = None,
    offline: p.Offline = False,
    device: p.Device = "auto",
    compute_type: p.Compute = p.ComputeType.AUTO,
    language: p.Language = None,
    task: p.TaskOption = p.Task.TRANSCRIBE,
    prompt: p.Prompt = None,
    format: p.Format = None,
    output_dir: p.OutputDir = None,
    name: p.Name = "{stem}",
    overwrite: p.Overwrite = False,
    stdout: p.Stdout = False,
    batch_size: p.BatchSize = 16,
    max_wait: p.MaxWait = 1.0,
    load_workers: p.LoadWorkers = 0,
    journal: p.JournalPath = None,
    no_journal: p.NoJournal = False,
    redo: p.Redo = False,
    retry_failed: p.RetryFailed = False,
    retries: p.Retries = 2,
    load_timeout: p.LoadTimeout = None,
    max_failures: p.MaxFailures = None,
    fail_fast: p.FailFast = False,
    report: p.ReportPath = None,
    events: p.Events = None,
    progress: p.Progress = p.ProgressKind.AUTO,
    quiet: p.Quiet = False,
    verbose: p.Verbose = False,
) -> None:
    """Watch drop folders: transcribe what lies there, then what arrives, until Ctrl-C."""
    given = locals()
    options, watching = _options(given), WatchOptions(settle_s=settle, until_idle_s=until_idle)
    from whisperbatch import sources

    with interruptible() as stop:
        source = sources.watch(folders, watching, stop, on_notice=_notice)
        _execute(source, options, given, stop, heads=True, may_be_empty=True)


@app.command()
def convert(
    files: Annotated[list[Path], typer.Argument(help="Transcripts in JSON, ours or openai-whisper's.")],
    format: p.Format = None,
    output_dir: p.OutputDir = None,
    overwrite: p.Overwrite = False,
    stdout: p.Stdout = False,
    verbose: p.Verbose = False,
) -> None:
    """Render transcripts in other formats from their JSON, without transcribing again."""
    if not format:
        raise UsageError("say which formats to make, as in: whisperbatch convert talk.json --format srt")
    from whisperbatch.cli.converting import convert_all

    raise typer.Exit(convert_all(files, parse_formats(format), output_dir, overwrite, stdout))


@app.command()
def status(
    paths: Annotated[list[str] | None, typer.Argument(help="Files and folders (default: all that is known).")] = None,
    journal: p.JournalPath = None,
    json: p.AsJson = False,
) -> None:
    """Tell what is done, what failed and why, what is in hand and what is pending."""
    from whisperbatch.cli import status as telling

    telling.status(paths or [], journal, as_json=json)


@app.command()
def forget(
    paths: Annotated[list[str], typer.Argument(help="Recordings, or folders with all below them.")],
    journal: p.JournalPath = None,
) -> None:
    """Let the journal forget recordings; what was written stays where it is."""
    from whisperbatch.cli import status as telling

    telling.forget(paths, journal)


@app.command()
def fetch(model: Annotated[str, typer.Argument(help="The model's name.")], model_dir: p.ModelDir = None) -> None:
    """Download a model ahead of an offline run; its size and place are told first."""
    from whisperbatch.engine import checkpoint

    folder = checkpoint.fetch(model, model_dir, failures.say)
    failures.say(f"{model} is in {folder}")


@app.command()
def info(model_dir: p.ModelDir = None) -> None:
    """Show versions, devices, number formats, models in the cache, decoders."""
    from whisperbatch.cli import facts

    print(facts.page(model_dir))


def _options(given: dict[str, Any]) -> RunOptions:
    """The run's options from a command's parameters."""
    formats = parse_formats(given["format"] or DEFAULT_FORMATS)
    return RunOptions(
        engine=EngineOptions(
            given["model"], given["model_dir"], given["offline"], given["device"], str(given["compute_type"])
        ),
        load=LoadOptions(given["load_workers"]),
        batch=BatchOptions(given["batch_size"], given["max_wait"]),
        output=OutputOptions(
            formats,
            given["output_dir"],
            given.get("relative_to"),
            given["name"],
            given["overwrite"],
            write=not given["stdout"],
        ),
        clip=ClipSettings(
            parse_language(given["language"]) if given["language"] else None, str(given["task"]), given["prompt"]
        ),
        journal=_journal_options(given),
        failures=FailureOptions(given["retries"], given["load_timeout"], given["max_failures"], given["fail_fast"]),
    )


def _journal_options(given: dict[str, Any]) -> JournalOptions:
    named = [given.get("paths"), given.get("folders"), given.get("from_file"), Path.cwd()]
    return JournalOptions(
        use_journal=not given["no_journal"],
        journal=given["journal"],
        redo=given["redo"],
        redo_scope=repr(named),
        retry_failed=given["retry_failed"],
    )


def _sources(paths: list[str], lists: list[Path], null: bool) -> Iterator[AudioFile]:
    """All that the command names, in that order; a wrong name is told before anything is done."""
    from whisperbatch import sources

    parts: list[Iterable[AudioFile]] = []
    named = [path for path in paths if path != "-"]
    if named:
        parts.append(sources.from_paths(named, on_notice=_notice))
    for file in lists:
        try:
            stream = file.open("rb")
        except OSError as err:
            raise UsageError(f"the list {file} cannot be read: {err.strerror}") from err
        parts.append(sources.from_list(stream, nul=null, on_notice=_notice))
    if "-" in paths:
        if sys.stdin.isatty():
            failures.say("reading a list of paths from the terminal, one a line; Ctrl-D ends it")
        parts.append(sources.from_list(sys.stdin.buffer, nul=null, on_notice=_notice))
    return itertools.chain(*parts)


def _execute(
    source: Iterable[AudioFile],
    options: RunOptions,
    given: dict[str, Any],
    stop: threading.Event,
    *,
    heads: bool,
    may_be_empty: bool = False,
) -> None:
    """Run, show, and leave with the exit code."""
    from whisperbatch.cli.listeners import listening, reporting
    from whisperbatch.cli.screen import open_screen

    if given["stdout"] and given["events"] == "-":
        raise UsageError("--stdout and --events - both want standard output; give --events a file")
    report, head = Report(), parse_formats(given["format"] or ["txt"])[0]
    with ExitStack() as last:
        told = last.enter_context(reporting(given["report"]))
        screen = last.enter_context(open_screen(given["progress"], given["quiet"], given["verbose"], report))
        listen = last.enter_context(listening(screen.on_event, given["events"]))
        from whisperbatch.api import Transcriber

        transcriber = last.enter_context(Transcriber(options))
        for outcome in transcriber.run(source, on_event=listen, stop=stop, at_once=may_be_empty):
            report.add(outcome)
            if told is not None:
                told.add(outcome)
            if given["stdout"] and outcome.transcript is not None:
                _print_transcript(outcome, head, heads)
        if report.n_files == 0 and not may_be_empty and not stop.is_set():
            raise UsageError(NOTHING_FOUND)
        code = EXIT_INTERRUPTED if stop.is_set() else report.exit_code
        if told is not None:
            told.close(report, code)
    raise typer.Exit(code)


def _print_transcript(outcome: Any, name: str, heads: bool) -> None:
    from whisperbatch.writers import FORMATS

    text = FORMATS[name](outcome.transcript)
    head = f"==> {failures.shown(outcome.path)} <==\n" if heads else ""
    sys.stdout.buffer.write((head + text + ("" if text.endswith("\n") else "\n")).encode(errors="replace"))
    sys.stdout.buffer.flush()


def _notice(text: str, path: Path | None) -> None:
    failures.say(f"{path}: {text}" if path is not None else text)
