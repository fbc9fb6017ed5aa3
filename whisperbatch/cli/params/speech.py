"""Options of speech detection, long recordings, channels and tracks. Each option is declared once; see the package."""

from enum import StrEnum
from typing import Annotated

import typer

from whisperbatch.options import CHANNELS, LONG_FORMS

_AUDIO = "Speech and channels"

LongForm = StrEnum("LongForm", {name.upper(): name for name in LONG_FORMS})  # type: ignore[misc]  # members of options
Channels = StrEnum("Channels", {name.upper(): name for name in CHANNELS})  # type: ignore[misc]  # members of options
Vad = Annotated[
    bool,
    typer.Option(
        "--vad/--no-vad",
        rich_help_panel=_AUDIO,
        help="Transcribe only detected speech; without, clips are cut at the quietest places.",
    ),
]
VadThreshold = Annotated[
    float,
    typer.Option(
        "--vad-threshold",
        metavar="NUMBER",
        rich_help_panel=_AUDIO,
        help="A frame is speech if its speech probability is at least this (0-1).",
    ),
]
VadMinSilence = Annotated[
    float,
    typer.Option(
        "--vad-min-silence",
        metavar="SECONDS",
        rich_help_panel=_AUDIO,
        help="A silence this long ends a stretch of speech.",
    ),
]
VadMinSpeech = Annotated[
    float,
    typer.Option(
        "--vad-min-speech", metavar="SECONDS", rich_help_panel=_AUDIO, help="Ignore speech no longer than this."
    ),
]
VadPad = Annotated[
    float,
    typer.Option("--vad-pad", metavar="SECONDS", rich_help_panel=_AUDIO, help="Audio to keep on both sides of speech."),
]
LongFormOption = Annotated[
    LongForm,
    typer.Option(
        "--long-form",
        metavar="|".join(LONG_FORMS),
        rich_help_panel=_AUDIO,
        help="clips: cut at pauses and decoded side by side; sequential: window after window, by openai-whisper's "
        "rules.",
    ),
]
ClipTimestamps = Annotated[
    str | None,
    typer.Option(
        "--clip-timestamps",
        metavar="START,END,...",
        rich_help_panel=_AUDIO,
        help="Transcribe only these stretches, in seconds; the last end may be omitted (default: all).",
        show_default=False,
    ),
]
ChannelsOption = Annotated[
    Channels,
    typer.Option(
        "--channels",
        metavar="|".join(CHANNELS),
        rich_help_panel=_AUDIO,
        help="mix: all into one; split: each separately, as for a call in stereo.",
    ),
]
ChannelNames = Annotated[
    str,
    typer.Option(
        "--channel-names", metavar="NAME,NAME", rich_help_panel=_AUDIO, help="Names of split channels, in order."
    ),
]
Track = Annotated[
    str | None,
    typer.Option(
        "--track",
        metavar="NUMBER|LANGUAGE|all",
        rich_help_panel=_AUDIO,
        help="Audio track to transcribe; all: each separately (default: the main one, or the next with speech).",
        show_default=False,
    ),
]
MaxDuration = Annotated[
    float,
    typer.Option(
        "--max-duration",
        metavar="SECONDS",
        rich_help_panel=_AUDIO,
        help="Refuse recordings longer than this (86400 is 24 hours).",
    ),
]
