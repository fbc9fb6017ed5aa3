"""The settings that affect a file's text, as plain values: its JSON contains them and the journal compares them."""

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any

from whisperbatch.options import RunOptions, SpeakerOptions
from whisperbatch.records import AudioFile, ClipSettings

# options that do not affect the text; a new option counts until it is named here
GROUPS_WITHOUT = frozenset({"batch", "output", "journal", "failures", "workers", "hooks", "speakers"})
FIELDS_WITHOUT = frozenset(
    {
        *("model", "model_dir", "offline", "device", "compute_type", "n_sharing"),
        *("n_workers", "max_duration_s", "spool_dir", "sidecars"),
    }
)
ALWAYS_INCLUDED = ("task", "language", "prompt")


def settings_of(options: RunOptions, audio: AudioFile) -> Mapping[str, Any]:
    """Return task, language and prompt, and every other setting that is not the default."""
    every = _every(replace(options, clip=clip_settings(options, audio)))
    return {name: value for name, value in every.items() if name in ALWAYS_INCLUDED or value != DEFAULTS[name]}


def clip_settings(options: RunOptions, audio: AudioFile) -> ClipSettings:
    """Return the settings of a file's clips: its own options override the run's."""
    own = {name: getattr(audio.options, name) for name in ("language", "task", "prompt", "hotwords")}
    return replace(options.clip, **{name: value for name, value in own.items() if value is not None})


def fault_of(options: RunOptions, audio: AudioFile) -> str | None:
    """Return why a file's options are invalid; None if they are valid."""
    if audio.options.speakers is not None and not options.speakers.enabled:
        return 'its "speakers" needs --speakers on the command line'  # word times and the diarizer are set per run
    return audio.options.fault


def speakers_of(options: RunOptions, audio: AudioFile) -> SpeakerOptions:
    """Return the speaker options of a file: its own numbers override the run's."""
    if audio.options.speakers is None:
        return options.speakers
    fewest, most = audio.options.speakers
    return replace(options.speakers, min_speakers=fewest, max_speakers=most)


def _every(options: RunOptions) -> dict[str, Any]:
    every: dict[str, Any] = {}
    for group in fields(options):
        values = getattr(options, group.name)
        if group.name not in GROUPS_WITHOUT and is_dataclass(values) and not isinstance(values, type):
            every |= {name: value for name, value in asdict(values).items() if name not in FIELDS_WITHOUT}
    return every


DEFAULTS: Mapping[str, Any] = _every(RunOptions())
