"""Every option of the command line, declared once: its type, spelling, help, default.

Each module declares a group of options: sources, model, speech, speakers, decoding, output, running, workers, hooks,
settings, bench. ``RUN`` lists the options that every run has, with their defaults; ``with_options`` adds them to a
command.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, get_args

from whisperbatch.cli.params import (
    bench,
    decoding,
    hooks,
    model,
    output,
    running,
    settings,
    sources,
    speakers,
    speech,
    workers,
)
from whisperbatch.options import (
    BatchOptions,
    BenchOptions,
    DecodeOptions,
    DocumentOptions,
    FailureOptions,
    HookOptions,
    LoadOptions,
    SpeechOptions,
)

GROUPS = (sources, model, decoding, speech, speakers, output, running, workers, hooks, settings, bench)
_BATCH, _BENCH, _DECODE, _DOCUMENT, _FAIL, _HOOKS, _LOAD, _SPEECH = (
    BatchOptions(),
    BenchOptions(),
    DecodeOptions(),
    DocumentOptions(),
    FailureOptions(),
    HookOptions(),
    LoadOptions(),
    SpeechOptions(),
)

SHAPING: dict[str, tuple[Any, Any]] = {
    "subtitles": (output.Subtitles, None),
    "break_at": (output.BreakAt, None),
    "max_line_width": (output.MaxLineWidth, None),
    "max_line_count": (output.MaxLineCount, None),
    "max_words_per_line": (output.MaxWordsPerLine, None),
    "highlight_words": (output.HighlightWords, False),
    "min_cue": (output.MinCue, None),
    "max_cue": (output.MaxCue, None),
    "max_cps": (output.MaxCps, None),
}
DIVIDING: dict[str, tuple[Any, Any]] = {
    "paragraph_pause": (output.ParagraphPause, _DOCUMENT.paragraph_pause_s),
    "timestamps_in_text": (output.TimestampsInText, _DOCUMENT.timestamps_in_text),
}
REPLACING: dict[str, tuple[Any, Any]] = {"replace": (output.Replace, None)}
RUN: dict[str, tuple[Any, Any]] = {
    "model": (model.Model, "turbo"),
    "model_dir": (model.ModelDir, None),
    "offline": (model.Offline, False),
    "device": (model.Device, "auto"),
    "compute_type": (model.Compute, model.ComputeType("auto")),
    "language": (decoding.Language, None),
    "task": (decoding.TaskOption, decoding.Task("transcribe")),
    "prompt": (decoding.Prompt, None),
    "hotwords": (decoding.Hotwords, None),
    "hotwords_file": (decoding.HotwordsFile, None),
    "multilingual": (decoding.Multilingual, _DECODE.multilingual),
    "beam_size": (decoding.BeamSize, _DECODE.beam_size),
    "best_of": (decoding.BestOf, _DECODE.best_of),
    "patience": (decoding.Patience, _DECODE.patience),
    "length_penalty": (decoding.LengthPenalty, None),
    "temperature": (decoding.Temperature, "0"),
    "temperature_increment_on_fallback": (decoding.TemperatureIncrement, 0.2),
    "compression_ratio_threshold": (decoding.CompressionRatioThreshold, _DECODE.compression_ratio_threshold),
    "logprob_threshold": (decoding.LogprobThreshold, _DECODE.logprob_threshold),
    "no_speech_threshold": (decoding.NoSpeechThreshold, _DECODE.no_speech_threshold),
    "condition_on_previous_text": (decoding.ConditionOnPreviousText, _DECODE.condition_on_previous_text),
    "carry_initial_prompt": (decoding.CarryInitialPrompt, _DECODE.carry_initial_prompt),
    "prefix": (decoding.Prefix, None),
    "without_timestamps": (decoding.WithoutTimestamps, _DECODE.without_timestamps),
    "suppress_tokens": (decoding.SuppressTokens, "-1"),
    "repetition_penalty": (decoding.RepetitionPenalty, _DECODE.repetition_penalty),
    "no_repeat_ngram_size": (decoding.NoRepeatNgramSize, _DECODE.no_repeat_ngram_size),
    "seed": (decoding.Seed, _DECODE.seed),
    "second_pass": (decoding.SecondPass, _DECODE.second_pass),
    "word_timestamps": (decoding.WordTimestamps, _DECODE.word_timestamps),
    "prepend_punctuations": (decoding.PrependPunctuations, _DECODE.prepend_punctuations),
    "append_punctuations": (decoding.AppendPunctuations, _DECODE.append_punctuations),
    "hallucination_silence_threshold": (decoding.HallucinationSilenceThreshold, None),
    "vad": (speech.Vad, _SPEECH.vad),
    "vad_threshold": (speech.VadThreshold, _SPEECH.vad_threshold),
    "vad_min_silence": (speech.VadMinSilence, _SPEECH.vad_min_silence_s),
    "vad_min_speech": (speech.VadMinSpeech, _SPEECH.vad_min_speech_s),
    "vad_pad": (speech.VadPad, _SPEECH.vad_pad_s),
    "long_form": (speech.LongFormOption, speech.LongForm("clips")),
    "clip_timestamps": (speech.ClipTimestamps, None),
    "channels": (speech.ChannelsOption, speech.Channels("mix")),
    "channel_names": (speech.ChannelNames, ",".join(_LOAD.channel_names)),
    "track": (speech.Track, None),
    "sidecars": (sources.Sidecars, _LOAD.sidecars),
    "max_duration": (speech.MaxDuration, _LOAD.max_duration_s),
    "speakers": (speakers.Speakers, None),
    "speaker_names": (speakers.SpeakerNames, None),
    "speaker_model": (speakers.SpeakerModel, None),
    "format": (output.Format, None),
    "output_dir": (output.OutputDir, None),
    "name": (output.Name, "{stem}"),
    "overwrite": (output.Overwrite, False),
    "stdout": (output.Stdout, False),
    **REPLACING,
    **SHAPING,
    **DIVIDING,
    "batch_size": (running.BatchSize, "auto"),
    "max_wait": (running.MaxWait, _BATCH.max_wait_s),
    "load_workers": (running.LoadWorkers, 0),
    "spool_dir": (running.SpoolDir, None),
    "journal": (running.JournalPath, None),
    "no_journal": (running.NoJournal, False),
    "no_dedupe": (running.NoDedupe, False),
    "redo": (running.Redo, False),
    "retry_failed": (running.RetryFailed, False),
    "retries": (running.Retries, _FAIL.retries),
    "load_timeout": (running.LoadTimeout, None),
    "max_failures": (running.MaxFailures, None),
    "fail_fast": (running.FailFast, False),
    "backend": (workers.Backend, workers.BackendKind("local")),
    "ray_address": (workers.RayAddress, None),
    "actors": (workers.Actors, None),
    "cpus_per_actor": (workers.CpusPerActor, None),
    "on_done": (hooks.OnDone, None),
    "on_failed": (hooks.OnFailed, None),
    "on_end": (hooks.OnEnd, None),
    "hook_timeout": (hooks.HookTimeout, _HOOKS.hook_timeout_s),
    "hook_jobs": (hooks.HookJobs, _HOOKS.hook_jobs),
    "report": (running.ReportPath, None),
    "events": (running.Events, None),
    "progress": (running.Progress, running.ProgressKind.AUTO),
    "quiet": (running.Quiet, False),
    "verbose": (running.Verbose, False),
}


RUN_HELP: dict[str, tuple[Any, Any]] = {"help_all": (settings.HelpAll, False)}
BENCH: dict[str, tuple[Any, Any]] = {
    "batch_sizes": (bench.BatchSizes, None),
    "rounds": (bench.Rounds, _BENCH.rounds),
    "tokens_per_window": (bench.TokensPerWindow, None),
    "arrivals": (bench.Arrivals, None),
    "n_arrivals": (bench.NArrivals, _BENCH.n_arrivals),
    "max_waits": (bench.MaxWaits, "0,0.1,0.5,1,2"),
    "compare_load_workers": (bench.LoadWorkersCompared, "1,2,4"),
    "price_per_hour": (bench.Price, None),
    "profile": (bench.Profile, _BENCH.profile),
    "json": (bench.Json, None),
    "plot": (bench.Plot, None),
    **{
        name: RUN[name]
        for name in (
            *("model", "model_dir", "offline", "device", "compute_type", "language", "task", "prompt", "beam_size"),
            *(
                "temperature",
                "word_timestamps",
                "batch_size",
                "vad",
                "long_form",
                "channels",
                "verbose",
                "speakers",
                "speaker_model",
            ),
        )
    },
}


def defaults() -> dict[str, Any]:
    """Return the defaults of a run's options, for a command that lacks some of them."""
    return {name: default for name, (_, default) in RUN.items()}


def with_options(options: dict[str, tuple[Any, Any]]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds ``options`` to a command's own parameters and passes them as keywords.

    It also adds ``--config``. That option and ``--help-all`` take effect before the command is called.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [one for one in inspect.signature(command).parameters.values() if one.kind is not one.VAR_KEYWORD]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for name, (kind, default) in ({"config": (settings.Config, None)} | options).items()
        ]

        @functools.wraps(command)
        def run(config: object = None, help_all: bool = False, **given: Any) -> None:
            command(**given)

        run.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]  # Typer reads it
        run.__annotations__ = {one.name: one.annotation for one in (*own, *more)}
        return run

    return decorate


def names() -> dict[str, str | None]:
    """Return each option's long name with the name that turns it off.

    That name is None if the option takes a value, and empty if nothing turns it off.
    """
    found: dict[str, str | None] = {}
    for declared in [one for group in GROUPS for one in vars(group).values()]:
        kind, *rest = get_args(declared) or (None,)
        for on, _, off in (name.partition("/") for info in rest for name in _spellings(info)):
            found[on] = off if kind is bool or bool in get_args(kind) else None
    return found


def _spellings(info: object) -> list[str]:
    """Return the long names in a declaration. Trap: Typer stores the first as a default until the command is built."""
    given = (getattr(info, "default", None), *(getattr(info, "param_decls", None) or ()))
    return [name for name in given if isinstance(name, str) and name.startswith("--")]
