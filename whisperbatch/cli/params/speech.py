"""Speech detection, long recordings, channels, tracks. Each option is declared once; see the package."""

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
        help="Find speech and leave the rest out; without, clips are cut where it is quietest.",
    ),
]
VadThreshold = Annotated[
    float,
    typer.Option(
        "--vad-threshold",
        metavar="NUMBER",
        rich_help_panel=_AUDIO,
        help="Probability from which on a frame is speech (0-1).",
    ),
]
VadMinSilence = Annotated[
    float,
    typer.Option(
        "--vad-min-silence",
        metavar="SECONDS",
        rich_help_panel=_AUDIO,
        help="Seconds without speech that end a stretch of it.",
    ),
]
VadMinSpeech = Annotated[
    float,
    typer.Option(
        "--vad-min-speech", metavar="SECONDS", rich_help_panel=_AUDIO, help="Speech of no more seconds is left out."
    ),
]
VadPad = Annotated[
    float,
    typer.Option(
        "--vad-pad", metavar="SECONDS", rich_help_panel=_AUDIO, help="Seconds that are kept on both sides of speech."
    ),
]
LongFormOption = Annotated[
    LongForm,
    typer.Option(
        "--long-form",
        metavar="|".join(LONG_FORMS),
        rich_help_panel=_AUDIO,
        help="clips: cut into stretches of speech that run side by side; sequential: window after window, by "
        "openai-whisper's rules.",
    ),
]
ClipTimestamps = Annotated[
    str | None,
    typer.Option(
        "--clip-timestamps",
        metavar="START,END,...",
        rich_help_panel=_AUDIO,
        help="Transcribe only these stretches, in seconds; the last end may be missing (default: all).",
        show_default=False,
    ),
]
ChannelsOption = Annotated[
    Channels,
    typer.Option(
        "--channels",
        metavar="|".join(CHANNELS),
        rich_help_panel=_AUDIO,
        help="mix: all to one; split: each by itself, as for a call in stereo.",
    ),
]
ChannelNames = Annotated[
    str,
    typer.Option(
        "--channel-names", metavar="NAME,NAME", rich_help_panel=_AUDIO, help="What split channels are called, in order."
    ),
]
Track = Annotated[
    str | None,
    typer.Option(
        "--track",
        metavar="NUMBER|LANGUAGE|all",
        rich_help_panel=_AUDIO,
        help="Which audio track to transcribe; all: each by itself (default: the main one, or the next with speech).",
        show_default=False,
    ),
]
MaxDuration = Annotated[
    float,
    typer.Option(
        "--max-duration",
        metavar="SECONDS",
        rich_help_panel=_AUDIO,
        help="Refuse recordings of more seconds than this (86400: 24 hours).",
    ),
]
