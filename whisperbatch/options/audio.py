"""Drop folders, load workers, speech detection."""

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
MAX_PAD_S = 5.0  # both pads and some speech must fit into a clip


def parse_times(given: str) -> tuple[float, ...]:
    """Seconds out of a list with commas, as openai-whisper's ``--clip_timestamps`` has it, or UsageError."""
    try:
        return tuple(float(part) for part in given.split(",") if part.strip())
    except ValueError as err:
        raise UsageError(f"--clip-timestamps '{given}' is no list of seconds such as 0,30,60,90") from err


def parse_names(given: str) -> tuple[str, ...]:
    """Names out of a list with commas."""
    return tuple(part.strip() for part in given.split(","))


def parse_track(given: str | int | None) -> str | None:
    """An audio track as ``LoadOptions`` has it, out of a number, a language or ``all``; None stays None.

    Raises:
        UsageError: It is neither.
    """
    asked = str(given).strip().casefold()
    if given is None or asked == ALL_TRACKS:
        return None if given is None else ALL_TRACKS
    if asked.isascii() and asked.isdigit() and int(asked) > 0:
        return str(int(asked))
    if re.fullmatch("[a-z]{2,3}([-_].*)?", asked) and (code := tagged_language(asked)):
        return code
    with suppress(UsageError):
        return parse_language(asked)
    raise UsageError(
        f"--track '{given}' is neither a track's number (the first is 1), nor a language such as de, nor all"
    )


def load_workers_for(n_cores: int, *, beside_gpu: bool = False) -> int:
    """How many load workers so many cores are given when nobody says.

    One for two cores, at most 8, where the model runs on these cores too; beside a GPU all but one, at most 32: a GPU
    hears thousands of seconds of audio a second, and a core decodes some hundreds.
    """
    return min(32, max(1, n_cores - 1)) if beside_gpu else min(8, max(1, n_cores // 2))


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How drop folders are watched.

    Attributes:
        settle_s: Seconds that a file must stand still before it is taken.
        until_idle_s: Seconds of quiet that end the watch; None means never.
        rescan_s: Seconds between two looks through the folders, whatever the system tells of.
        poll: Look every few seconds and do not ask the system to tell of changes.
        leave_out: Folders in the watched ones that are none of their business, such as those that recordings move to.
    """

    settle_s: float = 2.0
    until_idle_s: float | None = None
    rescan_s: float = 60.0
    poll: bool = False
    leave_out: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(0 <= self.settle_s < math.inf, "--settle must not be negative")
        require(self.until_idle_s is None or self.until_idle_s > 0, "--until-idle must be above 0 seconds")
        require(0 < self.rescan_s < math.inf, "--rescan must be above 0 seconds")


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """The load workers.

    Attributes:
        n_workers: How many processes (0: as many as suit the machine, see ``load_workers_for``).
        channels: ``mix`` (to one) or ``split`` (each is transcribed by itself).
        channel_names: What split channels are called, in order.
        track: Which of several audio tracks, as ``parse_track`` gives it: its number from 1, a language's code, or
            ``all`` (each is transcribed by itself); None means the one that ffmpeg takes, or the next with speech.
        sidecars: Whether settings beside recordings count, see ``sources.sidecars``.
        max_duration_s: A longer recording is refused.
        spool_dir: Where sequential mode keeps a recording's samples while it runs; None means the user's cache.
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
        require(self.n_workers >= 0, "--load-workers must be 1 or more, or 0 for as many as suit the machine")
        require(self.channels in CHANNELS, f"unknown channels '{self.channels}'; choose from {', '.join(CHANNELS)}")
        names = self.channel_names
        require(all(names) and len(set(names)) == len(names), "--channel-names must differ and not be empty")
        require(self.track == parse_track(self.track), f"--track '{self.track}' is to be given as parse_track gives it")
        require(self.max_duration_s > 0, "--max-duration must be above 0 seconds")


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """Speech detection.

    Attributes:
        vad: Whether it runs; without it, clips are cut where it is quietest.
        vad_threshold: The probability from which on a frame is speech.
        vad_min_silence_s: Speech ends where there is none for so long.
        vad_min_speech_s: Speech that is no longer is left out.
        vad_pad_s: What is kept on both sides of speech.
    """

    vad: bool = True
    vad_threshold: float = 0.5
    vad_min_silence_s: float = 0.16
    vad_min_speech_s: float = 0.0
    vad_pad_s: float = 0.4

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(0 < self.vad_threshold < 1, "--vad-threshold must be between 0 and 1")
        require(self.vad_min_silence_s >= 0, "--vad-min-silence must not be negative")
        require(self.vad_min_speech_s >= 0, "--vad-min-speech must not be negative")
        require(0 <= self.vad_pad_s <= MAX_PAD_S, f"--vad-pad must be from 0 to {MAX_PAD_S:.0f} seconds")
