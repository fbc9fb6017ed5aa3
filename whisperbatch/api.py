"""Python interface: ``transcribe`` for one call, ``Transcriber`` to keep the model loaded between calls."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import fields, replace
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any, Self

from whisperbatch.backends import open_backend
from whisperbatch.errors import RunError, UsageError
from whisperbatch.hooks import run_at_end
from whisperbatch.journal import Journal, default_path
from whisperbatch.languages import parse_language
from whisperbatch.options import (
    BatchOptions,
    DecodeOptions,
    DocumentOptions,
    EngineOptions,
    FailureOptions,
    HookOptions,
    JournalOptions,
    LoadOptions,
    OutputOptions,
    RunOptions,
    SpeechOptions,
    SubtitleOptions,
    WorkerOptions,
    join_hotwords,
    parse_batch_size,
    parse_formats,
    parse_hook,
    parse_names,
    parse_times,
    parse_track,
    replacements,
    speaker_options,
    subtitle_options,
)
from whisperbatch.outputs.namer import check_writable
from whisperbatch.records import AudioFile, ClipSettings, Event, Outcome
from whisperbatch.report import EXIT_INTERRUPTED, EXIT_RUN, Report
from whisperbatch.sources import from_paths, with_sidecars

_SHORT = {
    "batch_size": "max_batch_size",
    "max_wait": "max_wait_s",
    "load_workers": "n_workers",
    "max_duration": "max_duration_s",
    "vad_min_silence": "vad_min_silence_s",
    "vad_min_speech": "vad_min_speech_s",
    "vad_pad": "vad_pad_s",
    "min_cue": "min_cue_s",
    "max_cue": "max_cue_s",
    "paragraph_pause": "paragraph_pause_s",
    "load_timeout": "load_timeout_s",
    "actors": "n_actors",
    "hook_timeout": "hook_timeout_s",
}
_SPEAKERS = ("speakers", "speaker_names", "speaker_model")  # a count or range, a folder, a model


def transcribe(paths: str | Path | Sequence[str | Path], *, model: str = "turbo", **options: Any) -> Iterator[Outcome]:
    """Transcribe files and yield the outcome of each as it finishes.

    Args:
        paths: A file, a folder (searched recursively), a pattern, or several of them.
        model: One of OpenAI's names, a hub id, a folder, or ``demo``.
        **options: Any field of the option classes in ``whisperbatch.options`` and of ``ClipSettings``:
            ``language``, ``task``, ``prompt``, ``hotwords``, ``hotwords_file``, ``sidecars``, ``device``,
            ``compute_type``, ``model_dir``, ``offline``, ``batch_size`` (a number of clips, or ``auto``), ``max_wait``
            (seconds), ``load_workers``, ``max_duration`` (seconds), ``vad``,
            ``vad_threshold``, ``vad_min_silence``, ``vad_min_speech``, ``vad_pad`` (seconds), ``long_form`` (``clips``
            or ``sequential``), ``clip_timestamps`` and ``channel_names`` (sequences, or one string with commas),
            ``channels`` (``mix`` or ``split``), ``track`` (a number from 1, a language, or ``all``), ``spool_dir``,
            ``formats`` (a sequence, or one string with commas), ``output_dir``, ``relative_to``, ``name``,
            ``overwrite``, ``replace`` (a file of rules, or several); ``write=False`` writes nothing. Subtitles:
            ``subtitles`` (``standard`` or ``asian``), ``break_at``, ``max_line_width``, ``max_line_count``,
            ``max_words_per_line``, ``highlight_words``, ``min_cue`` and ``max_cue`` (seconds), ``max_cps``. Documents:
            ``paragraph_pause`` (seconds), ``timestamps_in_text``. Decoding:
            the fields of ``DecodeOptions``, such as ``beam_size`` or ``temperatures``. Runs: ``journal`` (its path),
            ``use_journal``, ``dedupe``, ``redo``, ``retry_failed``, ``retries``, ``load_timeout`` (seconds),
            ``max_failures``, ``fail_fast``. Speakers: ``speakers`` (``True``, a number, ``"2-4"``), ``speaker_names``
            (a folder of reference clips), ``speaker_model``. Many machines: ``backend`` (``local`` or ``ray``),
            ``ray_address``, ``actors``, ``cpus_per_actor``. Hooks: ``on_done``, ``on_failed`` and ``on_end`` (a command
            in one string, or a sequence of arguments), ``hook_timeout`` (seconds), ``hook_jobs``.

    Raises:
        UsageError: At once, for options or paths that make no sense.
        RunError: From the iterator, when the run cannot go on.
    """
    run_options = run_options_from(model=model, **options)
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    source = with_sidecars(from_paths(given), run_options.load.sidecars)

    def outcomes() -> Iterator[Outcome]:
        with Transcriber(run_options) as transcriber:
            yield from transcriber.run(source)

    return outcomes()


def run_options_from(**options: Any) -> RunOptions:
    """Return RunOptions built from flat names; UsageError on an unknown name."""
    given = {_SHORT.get(name, name): value for name, value in options.items()}
    if given.get("max_batch_size") is not None:
        given["max_batch_size"] = parse_batch_size(given["max_batch_size"])
    if given.get("formats") is not None:
        given["formats"] = parse_formats([given["formats"]] if isinstance(given["formats"], str) else given["formats"])
    if given.get("language") is not None:
        given["language"] = parse_language(given["language"])
    given["track"] = parse_track(given.get("track"))
    given["replace"] = replacements(given.get("replace"))
    file = given.pop("hotwords_file", None)
    given["hotwords"] = join_hotwords(given.get("hotwords"), None if file is None else Path(file))
    for name, parse in (("clip_timestamps", parse_times), ("channel_names", parse_names)):
        if name in given:
            given[name] = parse(given[name]) if isinstance(given[name], str) else tuple(given[name])
    for name in ("model_dir", "output_dir", "relative_to", "spool_dir", "journal"):
        if given.get(name) is not None:
            given[name] = Path(given[name])
    for name in ("on_done", "on_failed", "on_end"):
        if name in given:
            given[name] = parse_hook(given[name], name)
    given["subtitles"], given["documents"] = _pop_subtitles(given), _pop_documents(given)
    speakers = speaker_options(*(given.pop(name, None) for name in _SPEAKERS))
    groups = {
        "engine": EngineOptions,
        "load": LoadOptions,
        "speech": SpeechOptions,
        "batch": BatchOptions,
        "decode": DecodeOptions,
        "output": OutputOptions,
        "clip": ClipSettings,
        "journal": JournalOptions,
        "failures": FailureOptions,
        "workers": WorkerOptions,
        "hooks": HookOptions,
    }
    names = {group: {field.name for field in fields(kind)} for group, kind in groups.items()}
    made = {
        group: kind(**{name: given.pop(name) for name in list(given) if name in names[group]})
        for group, kind in groups.items()
    }
    if given:
        public = {*_SHORT, *_SPEAKERS, *chain.from_iterable(names.values())} - set(_SHORT.values())
        near = get_close_matches(name := min(given), sorted(public), n=1)
        raise UsageError(f"unknown option {name}; " + (f"did you mean {near[0]}?" if near else "see help(transcribe)"))
    return RunOptions(**made, speakers=speakers)


def _pop_subtitles(given: dict[str, Any]) -> SubtitleOptions:
    """Take the subtitle options out of the flat names; ``subtitles`` is a preset's name or a SubtitleOptions."""
    names = {field.name for field in fields(SubtitleOptions)}
    values = {name: given.pop(name) for name in list(given) if name in names}
    base = given.pop("subtitles", None)
    if isinstance(base, SubtitleOptions):
        return replace(base, **values)
    return subtitle_options(base, values)


def _pop_documents(given: dict[str, Any]) -> DocumentOptions:
    """Take the document options out of the flat names; ``documents`` is a DocumentOptions."""
    names = {field.name for field in fields(DocumentOptions)}
    values = {name: given.pop(name) for name in list(given) if name in names}
    return replace(given.pop("documents", None) or DocumentOptions(), **values)


def open_journal(options: RunOptions) -> AbstractContextManager[Journal | None]:
    """Open the run's journal; None when the run keeps none, or writes no outputs that a journal could refer to."""
    if not (options.journal.use_journal and options.output.write):
        return nullcontext()
    return Journal(options.journal.journal or default_path())


def run_on_end(options: RunOptions, totals: Mapping[str, Any], on_event: Callable[[Event], None]) -> None:
    """Run the ``on_end`` command; send a notice if it fails."""
    status = {0: "done", EXIT_INTERRUPTED: "interrupted"}.get(totals["exit_code"], "failed")
    fault = run_at_end(options.hooks, {"hook": "on-end", "status": status, **totals})
    if fault is not None:
        data = {"text": f"--on-end failed, {fault}; not tried again", "hook": "on-end", "reason": fault}
        on_event(Event("notice", None, data))


@contextmanager
def _report_with_on_end(
    options: RunOptions, stop: threading.Event, on_event: Callable[[Event], None]
) -> Iterator[Report]:
    """Yield a report to fill, then run the ``on_end`` command with its totals, even when the run failed."""
    report = Report()
    try:
        yield report
    except RunError as err:
        run_on_end(options, report.as_dict() | {"exit_code": EXIT_RUN, "reason": str(err)}, on_event)
        raise
    code = EXIT_INTERRUPTED if stop.is_set() else report.exit_code
    run_on_end(options, report.as_dict() | {"exit_code": code}, on_event)


class Transcriber:
    """Keeps a model loaded; ``run`` may be called repeatedly, by one thread at a time."""

    def __init__(self, options: RunOptions | None = None, **flat: Any) -> None:
        """Take a RunOptions, or flat names as ``transcribe`` takes them. The first run loads the model."""
        if options is not None and flat:
            raise UsageError("give a RunOptions or flat names, not both")
        self.options = options if options is not None else run_options_from(**flat)
        if self.options.engine.has_random_weights:
            raise UsageError(f"{self.options.engine.model} has random weights and cannot transcribe; use it with bench")
        self._backend = open_backend(self.options)
        self._busy = threading.Lock()

    def transcribe(self, paths: str | Path | Sequence[str | Path]) -> Iterator[Outcome]:
        """Transcribe the files at or below ``paths`` and yield the outcome of each as it finishes."""
        given = [paths] if isinstance(paths, str | Path) else list(paths)
        return self.run(with_sidecars(from_paths(given), self.options.load.sidecars))

    def run(
        self,
        source: Iterable[AudioFile],
        *,
        on_event: Callable[[Event], None] | None = None,
        stop: threading.Event | None = None,
        at_once: bool = False,
        ends: bool = True,
    ) -> Iterator[Outcome]:
        """Transcribe the files of ``source`` and yield the outcome of each as it finishes.

        Args:
            source: Files; see ``whisperbatch.sources``.
            on_event: Called with each event, from threads of the run, one call at a time.
            stop: Set it to end the run soon.
            at_once: Load the model without waiting for a file that needs it.
            ends: Run the ``on_end`` command when all files have ended; False leaves that to ``run_on_end``.

        Raises:
            UsageError, RunError: From the iterator.
        """
        if not self._busy.acquire(blocking=False):
            raise RunError("this Transcriber is already running; create another one for a concurrent run")
        try:
            notify, stop = on_event or (lambda event: None), stop or threading.Event()
            check_writable(self.options.output)
            with ExitStack() as last:
                report = last.enter_context(_report_with_on_end(self.options, stop, notify)) if ends else Report()
                journal = last.enter_context(open_journal(self.options))
                for outcome in self._backend.run(source, on_event=notify, stop=stop, journal=journal, at_once=at_once):
                    report.add(outcome)
                    yield outcome
        finally:
            self._busy.release()

    def close(self) -> None:
        """Free the model."""
        self._backend.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Free the model."""
        self.close()
