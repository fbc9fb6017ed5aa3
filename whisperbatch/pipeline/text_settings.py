"""The settings that matter to a file's text, as plain values: what its JSON tells and the journal compares."""

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any

from whisperbatch.options import RunOptions, SpeakerOptions
from whisperbatch.records import AudioFile, ClipSettings

# what may be changed without changing the text; a new option counts until it is named here
ROOMS_WITHOUT = frozenset({"batch", "output", "journal", "failures", "workers", "hooks", "speakers"})
FIELDS_WITHOUT = frozenset(
    {
        *("model", "model_dir", "offline", "device", "compute_type", "n_sharing"),
        *("n_workers", "max_duration_s", "spool_dir", "sidecars"),
    }
)
TOLD_ALWAYS = ("task", "language", "prompt")


def settings_of(options: RunOptions, audio: AudioFile) -> Mapping[str, Any]:
    """Task, language and prompt, and whatever else is not the default."""
    every = _every(replace(options, clip=clip_settings(options, audio)))
    return {name: value for name, value in every.items() if name in TOLD_ALWAYS or value != DEFAULTS[name]}


def clip_settings(options: RunOptions, audio: AudioFile) -> ClipSettings:
    """What a file's clips ask of the decoder: its own wishes before the run's."""
    own = {name: getattr(audio.own_options, name) for name in ("language", "task", "prompt", "hotwords")}
    return replace(options.clip, **{name: value for name, value in own.items() if value is not None})


def fault_of(options: RunOptions, audio: AudioFile) -> str | None:
    """Why a file cannot be taken at all; None when it can."""
    if audio.own_options.speakers is not None and not options.speakers.enabled:
        return 'its "speakers" needs --speakers on the command line'  # word times and the diarizer are the run's
    return audio.own_options.fault


def speakers_of(options: RunOptions, audio: AudioFile) -> SpeakerOptions:
    """How a file's speakers are looked for: its own numbers before the run's."""
    if audio.own_options.speakers is None:
        return options.speakers
    fewest, most = audio.own_options.speakers
    return replace(options.speakers, min_speakers=fewest, max_speakers=most)


def _every(options: RunOptions) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for room in fields(options):
        values = getattr(options, room.name)
        if room.name not in ROOMS_WITHOUT and is_dataclass(values) and not isinstance(values, type):
            told |= {name: value for name, value in asdict(values).items() if name not in FIELDS_WITHOUT}
    return told


DEFAULTS: Mapping[str, Any] = _every(RunOptions())
