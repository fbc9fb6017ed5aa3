"""The commands and their parameters. Heavy libraries are imported inside the commands, after parsing."""

import difflib
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from whisperbatch import __version__
from whisperbatch.cli import config, failures, legacy, settings, topics
from whisperbatch.cli.help_page import Command, Group
from whisperbatch.cli.params import (
    BENCH,
    DIVIDING,
    REPLACING,
    RUN,
    RUN_HELP,
    SHAPING,
    defaults,
    output,
    sources,
    with_options,
)
from whisperbatch.cli.params import bench as bench_params
from whisperbatch.cli.params import model as model_params
from whisperbatch.cli.params import running as run_params
from whisperbatch.cli.signals import interruptible
from whisperbatch.errors import UsageError
from whisperbatch.options import OutputOptions, parse_formats, replacements

app = typer.Typer(
    name="whisperbatch",
    cls=Group,
    help="Transcribe recordings in batches with Whisper: from folders, lists and drop folders, to transcripts beside "
    "each file.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(argv: list[str]) -> int:
    """Run a command line and return its exit code."""
    with suppress(AttributeError):  # standard output may have been replaced by another object
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # see above
    arguments, notices, reset = legacy.translate(argv)
    for notice in (*notices, *config.unknown_variables(os.environ, legacy.DECLARED)):
        failures.say(notice)
    try:
        app(arguments, prog_name="whisperbatch", obj=reset)
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
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        from whisperbatch.cli.commands import start
        from whisperbatch.engine.model import local_caches

        print(start.page(local_caches.models(None)), end="")


@app.command(cls=Command)
@with_options(RUN | RUN_HELP)
def transcribe(
    paths: sources.Paths = None,
    from_file: sources.FromFile = None,
    null: sources.Null = False,
    relative_to: output.RelativeTo = None,
    dry_run: output.DryRun = False,
    **given: Any,
) -> None:
    """Transcribe recordings: files, folders and their subfolders, patterns, lists."""
    if not paths and not from_file:
        raise UsageError("nothing to transcribe; name files or folders, or - for a list on standard input")
    named = {"paths": paths, "from_file": from_file, "relative_to": relative_to}
    options = settings.run_options(given | named)
    from whisperbatch.cli.commands import run
    from whisperbatch.sources import with_sidecars

    with interruptible() as stop:
        source = with_sidecars(run.sources_of(paths or [], from_file or [], null), options.load.sidecars)
        if dry_run:
            from whisperbatch.cli.dry_run import print_plan

            if not print_plan(source, options):
                raise UsageError(run.NOTHING_FOUND)
            return
        is_one = not from_file and len(paths or []) == 1 and Path((paths or [""])[0]).is_file()
        run.execute(source, options, given, stop, heads=not is_one)


@app.command(cls=Command)
@with_options(RUN | RUN_HELP)
def watch(
    folders: Annotated[list[str], typer.Argument(help="Drop folders, watched with their subfolders.")],
    settle: sources.Settle = 2.0,
    rescan: sources.Rescan = 60.0,
    poll: sources.Poll = False,
    until_idle: sources.UntilIdle = None,
    move_done: output.MoveDone = None,
    move_failed: output.MoveFailed = None,
    **given: Any,
) -> None:
    """Watch drop folders: transcribe the recordings in them, then new ones as they arrive, until Ctrl-C."""
    given |= {"folders": folders, "settle": settle, "rescan": rescan, "poll": poll, "until_idle": until_idle}
    given |= {"move_done": move_done, "move_failed": move_failed}
    options, watching = settings.run_options(given), settings.watch_options(given)
    from whisperbatch.cli.commands import run
    from whisperbatch.sources import watch as watch_folders

    with interruptible() as stop:
        source = watch_folders(folders, watching, stop, on_notice=run.notice, sidecars=options.load.sidecars)
        run.execute(source, options, given, stop, heads=True, may_be_empty=True)


@app.command(cls=Command)
@with_options(REPLACING | SHAPING | DIVIDING)
def convert(
    paths: sources.Transcripts = None,
    from_file: sources.FromFile = None,
    null: sources.Null = False,
    format: output.Format = None,
    output_dir: output.ConvertDir = None,
    overwrite: output.Overwrite = False,
    stdout: output.Stdout = False,
    verbose: run_params.Verbose = False,
    **given: Any,
) -> None:
    """Convert transcripts (JSON or subtitles) to other formats: files, folders, patterns, lists."""
    if not paths and not from_file:
        raise UsageError("nothing to convert; name transcripts or folders, or - for a list on standard input")
    given |= {"format": format}
    shaping, documents = settings.shaping_options(given), settings.document_options(given)
    if not format:
        raise UsageError("name the formats to write, as in: whisperbatch convert talk.json --format srt")
    from whisperbatch.cli.commands.convert import convert_all

    options = OutputOptions(
        parse_formats(format),
        output_dir,
        overwrite=overwrite,
        write=not stdout,
        subtitles=shaping,
        documents=documents,
        replace=replacements(given["replace"] or None),
    )
    raise typer.Exit(convert_all(paths or [], from_file or [], null, options))


@app.command(cls=Command)
@with_options({})
def review(
    paths: Annotated[
        list[Path], typer.Argument(help="Transcripts in JSON, srt, vtt, ass or txt with time stamps, or folders.")
    ],
    page: output.Page = Path("review.html"),
    overwrite: output.ReplacePage = False,
    recordings: output.Recordings = None,
    journal: run_params.JournalPath = None,
    verbose: run_params.Verbose = False,
) -> None:
    """Make a page for listening to and correcting transcripts (JSON or subtitles), doubtful ones first."""
    from whisperbatch.cli.commands.review import review as make_page

    raise typer.Exit(make_page(paths, page, overwrite, recordings or [], journal))


@app.command(cls=Command)
@with_options({})
def search(
    words: Annotated[str, typer.Argument(help='Words to find, a "phrase in quotes", or a prefix*.')],
    paths: Annotated[
        list[str] | None,
        typer.Argument(help="Transcripts or folders (default: all transcripts in the journal)."),
    ] = None,
    journal: run_params.JournalPath = None,
    limit: run_params.Limit = 100,
    opens: run_params.Opens = False,
    json: run_params.LinesAsJson = False,
) -> None:
    """Search transcripts for words, and show where they are spoken."""
    from whisperbatch.cli.commands.search import search as run_search

    raise typer.Exit(run_search(words, paths or [], journal, limit, as_json=json, opens=opens))


@app.command(cls=Command)
@with_options(BENCH)
def bench(audio: bench_params.Audio = None, **given: Any) -> None:
    """Measure this machine: throughput against batch size, latency, load workers, cost."""
    from whisperbatch.cli.commands import bench

    bench.bench(audio or [], settings.run_options(defaults() | given), given)


@app.command(cls=Command)
@with_options({})
def status(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Recordings or folders (default: everything in the journal).")
    ] = None,
    journal: run_params.JournalPath = None,
    json: run_params.AsJson = False,
) -> None:
    """Show which files are done, failed (and why), in progress or pending."""
    from whisperbatch.cli.commands import status as command

    command.status(paths or [], journal, as_json=json)


@app.command(cls=Command)
@with_options({})
def forget(
    paths: Annotated[list[str], typer.Argument(help="Recordings, or folders with all recordings in them.")],
    journal: run_params.JournalPath = None,
) -> None:
    """Remove recordings from the journal; their transcripts stay where they are."""
    from whisperbatch.cli.commands import status as command

    command.forget(paths, journal)


@app.command(cls=Command)
@with_options({})
def fetch(
    model: Annotated[str, typer.Argument(help="The model's name, or speakers for the models that --speakers needs.")],
    model_dir: model_params.ModelDir = None,
) -> None:
    """Download a model before an offline run, after showing its size and location."""
    from whisperbatch.cli.commands.fetch import fetch_model

    failures.say(f"{model} is in {fetch_model(model, model_dir)}")


@app.command(cls=Command)
@with_options({})
def info(model_dir: model_params.ModelDir = None) -> None:
    """Show versions, devices, number formats, cached models, decoders, and what is wrong."""
    from whisperbatch.cli.commands import info

    print(info.page(model_dir))


@app.command("help", cls=Command)
def show_help(
    ctx: typer.Context,
    topic: Annotated[
        str | None,
        typer.Argument(
            help="A topic, or a command.",
            show_default=False,
            autocompletion=lambda: list(topics.NAMES),
        ),
    ] = None,
) -> None:
    """Explain a topic, such as formats, resume or exit-codes; without one, list the topics."""
    commands = ctx.find_root().command.commands  # type: ignore[attr-defined]  # the root is a group
    if topic is None:
        print(topics.contents(commands))
    elif topic in topics.NAMES:
        print(topics.page(topic, commands))
    elif topic in commands:
        print(commands[topic].get_help(typer.Context(commands[topic], ctx.parent, topic)))
    else:
        near = difflib.get_close_matches(topic, [*topics.NAMES, *commands], 1)
        hint = f"did you mean {near[0]}?" if near else "'whisperbatch help' lists them"
        raise UsageError(f"there is no topic '{topic}'; {hint}")
