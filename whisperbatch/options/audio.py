"""Options of drop folders, load workers and speech detection."""

import math
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from whisperbatch.errors import UsageError
from whisperbatch.languages import parse_language, tagged_language
from whisperbatch.options.checks import require

LONG_FORMS = ("clips", "sequential")
CHANNELS = ("mix", "split")
ALL_TRACKS = "all"
MAX_PAD_S = 5.0  # both pads and some speech must fit in a clip


def parse_times(given: str) -> tuple[float, ...]:
    """Parse seconds separated by commas, as openai-whisper's ``--clip_timestamps`` takes them; may raise UsageError."""
    try:
        return tuple(float(part) for part in given.split(",") if part.strip())
    except ValueError as err:
        raise UsageError(f"`clip_timestamps` '{given}' is not a list of seconds such as 0,30,60,90") from err


def parse_names(given: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    return tuple(part.strip() for part in given.split(","))


def parse_track(given: str | int | None) -> str | None:
    """Parse an audio track (a number, a language or ``all``) into the form that ``LoadOptions`` takes; None stays None.

    Raises:
        UsageError: It is none of these.
    """
    track = str(given).strip().casefold()
    if given is None or track == ALL_TRACKS:
        return None if given is None else ALL_TRACKS
    if track.isascii() and track.isdigit() and int(track) > 0:
        return str(int(track))
    if re.fullmatch("[a-z]{2,3}([-_].*)?", track) and (code := tagged_language(track)):
        return code
    with suppress(UsageError):
        return parse_language(track)
    raise UsageError(f"`track` '{given}' is not a track number (the first is 1), a language such as de, or all")


def load_workers_for(n_cores: int, *, beside_gpu: bool = False) -> int:
    """Return the default number of load workers on a machine with ``n_cores`` cores.

    Where the model runs on the same cores: one for every two cores, at most 8. Beside a GPU: one for each core but one,
    at most 32, because a GPU transcribes thousands of seconds of audio per second and a core decodes some hundreds.
    """
    return min(32, max(1, n_cores - 1)) if beside_gpu else min(8, max(1, n_cores // 2))


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How drop folders are watched.

    Attributes:
        settle_s: Seconds that a file must stay unchanged before it is queued.
        until_idle_s: End the watch after this many seconds without a new file; None means never.
        rescan_s: Seconds between two scans of the folders, even if the operating system reports no change.
        poll: Scan every few seconds instead of subscribing to change events.
        leave_out: Folders inside the watched ones to ignore, such as those that recordings are moved to.
    """

    settle_s: float = 2.0
    until_idle_s: float | None = None
    rescan_s: float = 60.0
    poll: bool = False
    leave_out: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(0 <= self.settle_s < math.inf, "`settle` must not be negative")
        require(self.until_idle_s is None or self.until_idle_s > 0, "`until_idle` must be above 0 seconds")
        require(0 < self.rescan_s < math.inf, "`rescan` must be above 0 seconds")


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How load workers read recordings.

    Attributes:
        n_workers: The number of processes; 0 lets ``load_workers_for`` choose.
        channels: ``mix`` (into one) or ``split`` (each is transcribed separately).
        channel_names: Names of split channels, in order.
        track: The audio track to transcribe, as ``parse_track`` returns it: its number from 1, a language code, or
            ``all`` (each is transcribed separately); None means the one that ffmpeg selects, or the next with speech.
        sidecars: Read settings files beside recordings, see ``sources.sidecars``.
        max_duration_s: Refuse longer recordings.
        spool_dir: Folder for the samples of recordings that sequential mode is working on; None means the user's cache.
    """

    n_workers: int = 0
    channels: str = "mix"
    channel_names: tuple[str, ...] = ("LEFT", "RIGHT")
    max_duration_s: float = 24 * 3600.0
    spool_dir: Path | None = None
    track: str | None = None
    sidecars: bool = True

    def __post_init__(self) -> None:
        """Check the ranges and names."""
        require(self.n_workers >= 0, "`load_workers` must be 1 or more, or 0 to let the machine decide")
        require(self.channels in CHANNELS, f"unknown channels '{self.channels}'; choose from {', '.join(CHANNELS)}")
        names = self.channel_names
        require(all(names) and len(set(names)) == len(names), "`channel_names` must differ and not be empty")
        require(
            self.track == parse_track(self.track),
            f"`track` '{self.track}' must be in the form that parse_track returns",
        )
        require(self.max_duration_s > 0, "`max_duration` must be above 0 seconds")


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """Speech detection.

    Attributes:
        vad: Detect speech; without it, clips are cut at the quietest places.
        vad_threshold: A frame is speech if its speech probability is at least this.
        vad_min_silence_s: A silence this long ends a stretch of speech.
        vad_min_speech_s: Ignore stretches of speech no longer than this.
        vad_pad_s: Audio to keep on both sides of speech.
    """

    vad: bool = True
    vad_threshold: float = 0.5
    vad_min_silence_s: float = 0.16
    vad_min_speech_s: float = 0.0
    vad_pad_s: float = 0.4

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(0 < self.vad_threshold < 1, "`vad_threshold` must be between 0 and 1")
        require(self.vad_min_silence_s >= 0, "`vad_min_silence` must not be negative")
        require(self.vad_min_speech_s >= 0, "`vad_min_speech` must not be negative")
        require(0 <= self.vad_pad_s <= MAX_PAD_S, f"`vad_pad` must be from 0 to {MAX_PAD_S:.0f} seconds")
