"""What can be set, one frozen dataclass a room; checked once, at the edge, where each is made.

The CLI and the API make these; rooms receive theirs whole. A value that makes no sense raises UsageError. Leaves:
checks, audio (drop folders, load workers, speech), engine (model, batches, decoding), crew (several devices, many
machines), output (formats, names, subtitles), speakers (who speaks), run (journal, failures, all of it), bench
(measurements).
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
from whisperbatch.options.crew import BACKENDS, CrewOptions
from whisperbatch.options.engine import (
    COMPUTE_TYPES,
    TASKS,
    TEMPERATURES,
    BatchOptions,
    DecodeOptions,
    EngineOptions,
    parse_batch_size,
    parse_ids,
    parse_temperatures,
)
from whisperbatch.options.output import (
    ALL_FORMATS,
    BREAKS,
    DEFAULT_FORMATS,
    FORMATS,
    PRESETS,
    SHAPED,
    OutputOptions,
    SubtitleOptions,
    parse_formats,
    subtitle_options,
)
from whisperbatch.options.run import FailureOptions, JournalOptions, RunOptions
from whisperbatch.options.speakers import SpeakerOptions, parse_speakers, speaker_options

__all__ = [
    "ALL_FORMATS",
    "ALL_TRACKS",
    "BACKENDS",
    "BREAKS",
    "CHANNELS",
    "COMPUTE_TYPES",
    "DEFAULT_FORMATS",
    "FORMATS",
    "LONG_FORMS",
    "PRESETS",
    "SHAPED",
    "TASKS",
    "TEMPERATURES",
    "BatchOptions",
    "BenchOptions",
    "CrewOptions",
    "DecodeOptions",
    "EngineOptions",
    "FailureOptions",
    "JournalOptions",
    "LoadOptions",
    "OutputOptions",
    "RunOptions",
    "SpeakerOptions",
    "SpeechOptions",
    "SubtitleOptions",
    "WatchOptions",
    "load_workers_for",
    "parse_batch_size",
    "parse_counts",
    "parse_formats",
    "parse_ids",
    "parse_names",
    "parse_rate",
    "parse_speakers",
    "parse_temperatures",
    "parse_times",
    "parse_track",
    "parse_waits",
    "require",
    "speaker_options",
    "subtitle_options",
]
