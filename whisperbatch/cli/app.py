"""The commands. Heavy libraries are imported inside them, after the command line has been understood."""

import itertools
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from whisperbatch import __version__
from whisperbatch.cli import failures, legacy
from whisperbatch.cli import params as p
from whisperbatch.errors import FileError, UsageError
from whisperbatch.languages import parse_language
from whisperbatch.options import (
    DEFAULT_FORMATS,
    SHAPED,
    BatchOptions,
    EngineOptions,
    LoadOptions,
    OutputOptions,
    RunOptions,
    SpeechOptions,
    SubtitleOptions,
    WatchOptions,
    parse_formats,
    parse_names,
    parse_times,
    subtitle_options,
)
from whisperbatch.records import AudioFile, ClipSettings, Outcome, Status
from whisperbatch.report import EXIT_INTERRUPTED, Report

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
    vad: p.Vad = True,
    vad_threshold: p.VadThreshold = 0.5,
    vad_min_silence: p.VadMinSilence = 0.16,
    vad_min_speech: p.VadMinSpeech = 0.0,
    vad_pad: p.VadPad = 0.4,
    long_form: p.LongFormOption = p.LongForm.CLIPS,
    clip_timestamps: p.ClipTimestamps = None,
    channels: p.ChannelsOption = p.Channels.MIX,
    channel_names: p.ChannelNames = "LEFT,RIGHT",
    max_duration: p.MaxDuration = 86400.0,
    format: p.Format = None,
    output_dir: p.OutputDir = None,
    relative_to: p.RelativeTo = None,
    name: p.Name = "{stem}",
    overwrite: p.Overwrite = False,
    dry_run: p.DryRun = False,
    stdout: p.Stdout = False,
    subtitles: p.Subtitles = None,
    break_at: p.BreakAt = None,
    max_line_width: p.MaxLineWidth = None,
    max_line_count: p.MaxLineCount = None,
    max_words_per_line: p.MaxWordsPerLine = None,
    highlight_words: p.HighlightWords = False,
    min_cue: p.MinCue = None,
    max_cue: p.MaxCue = None,
    max_cps: p.MaxCps = None,
    batch_size: p.BatchSize = 16,
    max_wait: p.MaxWait = 1.0,
    load_workers: p.LoadWorkers = 0,
    spool_dir: p.SpoolDir = None,
    progress: p.Progress = p.ProgressKind.AUTO,
    quiet: p.Quiet = False,
    verbose: p.Verbose = False,
) -> None:
    """Transcribe recordings: files, folders with all below them, patterns, lists."""
    given = locals()
    options = _options(given)
    if not paths and not from_file:
        raise UsageError("nothing to transcribe; name files or folders, or - for a list on standard input")
    with _interruptible() as stop:
        source = _sources(paths or [], from_file or [], null)
        if dry_run:
            _tell_plan(source, options)
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
    vad: p.Vad = True,
    vad_threshold: p.VadThreshold = 0.5,
    vad_min_silence: p.VadMinSilence = 0.16,
    vad_min_speech: p.VadMinSpeech = 0.0,
    vad_pad: p.VadPad = 0.4,
    long_form: p.LongFormOption = p.LongForm.CLIPS,
    clip_timestamps: p.ClipTimestamps = None,
    channels: p.ChannelsOption = p.Channels.MIX,
    channel_names: p.ChannelNames = "LEFT,RIGHT",
    max_duration: p.MaxDuration = 86400.0,
    format: p.Format = None,
    output_dir: p.OutputDir = None,
    name: p.Name = "{stem}",
    overwrite: p.Overwrite = False,
    stdout: p.Stdout = False,
    subtitles: p.Subtitles = None,
    break_at: p.BreakAt = None,
    max_line_width: p.MaxLineWidth = None,
    max_line_count: p.MaxLineCount = None,
    max_words_per_line: p.MaxWordsPerLine = None,
    highlight_words: p.HighlightWords = False,
    min_cue: p.MinCue = None,
    max_cue: p.MaxCue = None,
    max_cps: p.MaxCps = None,
    batch_size: p.BatchSize = 16,
    max_wait: p.MaxWait = 1.0,
    load_workers: p.LoadWorkers = 0,
    spool_dir: p.SpoolDir = None,
    progress: p.Progress = p.ProgressKind.AUTO,
    quiet: p.Quiet = False,
    verbose: p.Verbose = False,
) -> None:
    """Watch drop folders: transcribe what lies there, then what arrives, until Ctrl-C."""
    given = locals()
    options, watching = _options(given), WatchOptions(settle_s=settle, until_idle_s=until_idle)
    from whisperbatch import sources

    with _interruptible() as stop:
        source = sources.watch(folders, watching, stop, on_notice=_notice)
        _execute(source, options, given, stop, heads=True, may_be_empty=True)


@app.command()
def convert(
    files: Annotated[list[Path], typer.Argument(help="Transcripts in JSON, ours or openai-whisper's.")],
    format: p.Format = None,
    output_dir: p.OutputDir = None,
    overwrite: p.Overwrite = False,
    stdout: p.Stdout = False,
    subtitles: p.Subtitles = None,
    break_at: p.BreakAt = None,
    max_line_width: p.MaxLineWidth = None,
    max_line_count: p.MaxLineCount = None,
    max_words_per_line: p.MaxWordsPerLine = None,
    highlight_words: p.HighlightWords = False,
    min_cue: p.MinCue = None,
    max_cue: p.MaxCue = None,
    max_cps: p.MaxCps = None,
    verbose: p.Verbose = False,
) -> None:
    """Render transcripts in other formats from their JSON, without transcribing again."""
    shaping = _shaping(locals())
    if not format:
        raise UsageError("say which formats to make, as in: whisperbatch convert talk.json --format srt")
    from whisperbatch.cli.converting import convert_all

    raise typer.Exit(convert_all(files, parse_formats(format), output_dir, overwrite, stdout, shaping))


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
        load=LoadOptions(
            given["load_workers"],
            str(given["channels"]),
            parse_names(given["channel_names"]),
            given["max_duration"],
            given["spool_dir"],
        ),
        speech=SpeechOptions(
            given["vad"],
            given["vad_threshold"],
            given["vad_min_silence"],
            given["vad_min_speech"],
            given["vad_pad"],
        ),
        batch=BatchOptions(given["batch_size"], given["max_wait"]),
        output=OutputOptions(
            formats,
            given["output_dir"],
            given.get("relative_to"),
            given["name"],
            given["overwrite"],
            write=not given["stdout"],
            subtitles=_shaping(given),
        ),
        clip=ClipSettings(
            parse_language(given["language"]) if given["language"] else None,
            str(given["task"]),
            given["prompt"],
            str(given["long_form"]),
            parse_times(given["clip_timestamps"] or ""),
        ),
    )


def _shaping(given: dict[str, Any]) -> SubtitleOptions:
    """How subtitles are shaped, from a command's parameters."""
    names = ("max_line_width", "max_line_count", "max_words_per_line", "max_cps")
    values = {name: given[name] for name in names} | {
        "highlight_words": given["highlight_words"] or None,
        "break_at": given["break_at"] and str(given["break_at"]),
        "min_cue_s": given["min_cue"],
        "max_cue_s": given["max_cue"],
    }
    shaping = subtitle_options(given["subtitles"] and str(given["subtitles"]), values)
    formats = parse_formats(given["format"] or DEFAULT_FORMATS)
    if shaping != SubtitleOptions() and SHAPED.isdisjoint(formats):
        failures.say(f"shaping has no effect on {', '.join(formats)}; add --format srt, vtt or ass")
    return shaping


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
    from whisperbatch.cli.screen import open_screen

    report = Report()
    formats = given["format"]
    with open_screen(given["progress"], given["quiet"], given["verbose"], report) as screen:
        from whisperbatch.api import Transcriber

        with Transcriber(options) as transcriber:
            for outcome in transcriber.run(source, on_event=screen.on_event, stop=stop):
                if given["stdout"] and outcome.transcript is not None:
                    name = parse_formats(formats)[0] if formats else "txt"
                    outcome = _printed(outcome, name, options.output.subtitles, heads)
                report.add(outcome)
    if report.n_files == 0 and not may_be_empty and not stop.is_set():
        raise UsageError("no recordings found; folders are searched for audio and video files by their extension")
    raise typer.Exit(EXIT_INTERRUPTED if stop.is_set() else report.exit_code)


def _printed(outcome: Outcome, name: str, shaping: SubtitleOptions, heads: bool) -> Outcome:
    """The outcome, its transcript printed; failed when it cannot be had in that shape."""
    from whisperbatch.writers import render

    assert outcome.transcript is not None
    try:
        text = render(outcome.transcript, name, shaping)
    except FileError as err:
        failures.say(f"{outcome.path}: {err.message}")
        return replace(outcome, status=Status.FAILED, error=err, reason=err.message)
    head = f"==> {failures.shown(outcome.path)} <==\n" if heads else ""
    sys.stdout.buffer.write((head + text + ("" if text.endswith("\n") else "\n")).encode(errors="replace"))
    sys.stdout.buffer.flush()
    return outcome


def _tell_plan(source: Iterable[AudioFile], options: RunOptions) -> None:
    """Each recording and what would be done with it, on standard output."""
    from whisperbatch.sources import MEDIA_SUFFIXES
    from whisperbatch.writers.beside import Namer

    namer, n_files = Namer(options.output, MEDIA_SUFFIXES), 0
    for audio in source:
        n_files += 1
        plan = namer.plan(audio)
        places = namer.outputs(audio, options.clip.language or "")
        what = plan.skip or ", ".join(str(path) for path in places.values() if path not in plan.outputs)
        print(f"{failures.shown(audio.path)}: {failures.shown(what)}")
    if not n_files:
        raise UsageError("no recordings found; folders are searched for audio and video files by their extension")


def _notice(text: str, path: Path | None) -> None:
    failures.say(f"{path}: {text}" if path is not None else text)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second ends the program at once."""
    stop = threading.Event()

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        failures.say("stopping: what is being written is finished (once more to leave at once)")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
