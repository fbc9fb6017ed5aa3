"""The options of every package, as frozen dataclasses that check their values when they are created.

The CLI and the Python API create them; a package receives its own dataclass. An invalid value raises UsageError, which
names the argument as a Python caller spells it, in backticks; the CLI turns that into a flag. Modules:
checks, audio (drop folders, load workers, speech), engine (model, batches, decoding), workers (several devices, many
machines), output (formats, names, documents), subtitles (layout and presets), replacements (rules from files), speakers
(speaker diarization), hooks (commands to run), run (journal, failures, all options of a run), bench (measurements).
"""

from whisperbatch.options.audio import (
    ALL_TRACKS,
    CHANNELS,
    LONG_FORMS,
    LoadOptions,
    SpeechOptions,
    WatchOptions,
    load_workers_for,
    parse_names,
    parse_times,
    parse_track,
)
from whisperbatch.options.bench import BenchOptions, parse_counts, parse_rate, parse_waits
from whisperbatch.options.checks import require
from whisperbatch.options.engine import (
    COMPUTE_TYPES,
    TASKS,
    TEMPERATURES,
    BatchOptions,
    DecodeOptions,
    EngineOptions,
    join_hotwords,
    parse_batch_size,
    parse_ids,
    parse_temperatures,
)
from whisperbatch.options.hooks import PLACEHOLDER, HookOptions, parse_hook, placeholders
from whisperbatch.options.output import (
    ALL_FORMATS,
    BINARY,
    DEFAULT_FORMATS,
    DOCUMENTS,
    FORMATS,
    READABLE,
    SHAPED,
    DocumentOptions,
    OutputOptions,
    form,
    parse_formats,
)
from whisperbatch.options.replacements import BLANKLESS, read_rules, replacements
from whisperbatch.options.run import FailureOptions, JournalOptions, RunOptions
from whisperbatch.options.speakers import SpeakerOptions, parse_speakers, speaker_options
from whisperbatch.options.subtitles import BREAKS, PRESETS, SubtitleOptions, subtitle_options
from whisperbatch.options.workers import BACKENDS, WorkerOptions

__all__ = [
    "ALL_FORMATS",
    "ALL_TRACKS",
    "BACKENDS",
    "BINARY",
    "BLANKLESS",
    "BREAKS",
    "CHANNELS",
    "COMPUTE_TYPES",
    "DEFAULT_FORMATS",
    "DOCUMENTS",
    "FORMATS",
    "LONG_FORMS",
    "PLACEHOLDER",
    "PRESETS",
    "READABLE",
    "SHAPED",
    "TASKS",
    "TEMPERATURES",
    "BatchOptions",
    "BenchOptions",
    "DecodeOptions",
    "DocumentOptions",
    "EngineOptions",
    "FailureOptions",
    "HookOptions",
    "JournalOptions",
    "LoadOptions",
    "OutputOptions",
    "RunOptions",
    "SpeakerOptions",
    "SpeechOptions",
    "SubtitleOptions",
    "WatchOptions",
    "WorkerOptions",
    "form",
    "join_hotwords",
    "load_workers_for",
    "parse_batch_size",
    "parse_counts",
    "parse_formats",
    "parse_hook",
    "parse_ids",
    "parse_names",
    "parse_rate",
    "parse_speakers",
    "parse_temperatures",
    "parse_times",
    "parse_track",
    "parse_waits",
    "placeholders",
    "read_rules",
    "replacements",
    "require",
    "speaker_options",
    "subtitle_options",
]
