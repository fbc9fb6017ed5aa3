"""Options of decoding; names and defaults are openai-whisper's. Each option is declared once; see the package."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from whisperbatch.languages import LANGUAGES
from whisperbatch.options import TASKS

_MODEL = "Model"
_SEARCH = "Decoding"

Task = StrEnum("Task", {name.upper(): name for name in TASKS})  # type: ignore[misc]  # members of options
Language = Annotated[
    str | None,
    typer.Option(
        "--language",
        "-l",
        metavar="LANGUAGE",
        autocompletion=lambda: list(LANGUAGES),
        rich_help_panel=_MODEL,
        help="Code or English name, such as de or German (default: detected, by a vote of the recording's clips).",
        show_default=False,
    ),
]
TaskOption = Annotated[
    Task,
    typer.Option(
        "--task",
        metavar="|".join(TASKS),
        rich_help_panel=_MODEL,
        help="translate: into English, with models trained for it.",
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        "--prompt",
        metavar="TEXT",
        rich_help_panel=_MODEL,
        help="Text put before each clip, for names and style.",
        show_default=False,
    ),
]


def number_or_none(text: str) -> float | None:
    """Parse a number; ``None`` gives None, which disables a threshold, as in openai-whisper."""
    return None if text == "None" else float(text)


def count_or_one(text: str) -> int:
    """Parse a count; ``None`` gives 1, as in openai-whisper for beams and candidates."""
    return 1 if text == "None" else int(text)


def _threshold(name: str, help: str) -> Any:
    return typer.Option(name, rich_help_panel=_SEARCH, parser=number_or_none, metavar="NUMBER", help=help)


BeamSize = Annotated[
    int,
    typer.Option(
        "--beam-size",
        rich_help_panel=_SEARCH,
        parser=count_or_one,
        metavar="N",
        help="Beams at temperature 0; 1 is greedy and faster.",
    ),
]
BestOf = Annotated[
    int,
    typer.Option(
        "--best-of",
        rich_help_panel=_SEARCH,
        parser=count_or_one,
        metavar="N",
        help="Candidates at temperatures above 0.",
    ),
]
Patience = Annotated[
    float | None, _threshold("--patience", "Beam search ends with beam size x patience finished candidates.")
]
LengthPenalty = Annotated[
    float | None,
    _threshold(
        "--length-penalty", "Exponent from 0 to 1 for ranking candidates (default: rank by mean log-probability)."
    ),
]
Temperature = Annotated[
    str,
    typer.Option(
        "--temperature",
        metavar="NUMBER",
        rich_help_panel=_SEARCH,
        help="First temperature, raised by --temperature-increment-on-fallback up to 1; or a list with commas.",
    ),
]
TemperatureIncrement = Annotated[
    float | None,
    _threshold(
        "--temperature-increment-on-fallback",
        "Step by which the temperature rises for each retry of poor text; or None.",
    ),
]
CompressionRatioThreshold = Annotated[
    float | None,
    _threshold("--compression-ratio-threshold", "Retry text with a higher ratio: it repeats itself."),
]
LogprobThreshold = Annotated[
    float | None,
    _threshold("--logprob-threshold", "Retry text with a lower mean log-probability."),
]
NoSpeechThreshold = Annotated[
    float | None,
    _threshold("--no-speech-threshold", "Treat improbable text as silence above this probability of no speech."),
]
ConditionOnPreviousText = Annotated[
    bool,
    typer.Option(
        "--condition-on-previous-text/--no-condition-on-previous-text",
        rich_help_panel=_SEARCH,
        help="Prompt each window with the text before it (sequential mode).",
    ),
]
CarryInitialPrompt = Annotated[
    bool,
    typer.Option(
        "--carry-initial-prompt/--no-carry-initial-prompt",
        rich_help_panel=_SEARCH,
        help="Put the prompt before every window instead of only the first (sequential mode).",
    ),
]
Prefix = Annotated[
    str | None,
    typer.Option(
        "--prefix",
        metavar="TEXT",
        rich_help_panel=_SEARCH,
        help="Text that each window is forced to begin with.",
        show_default=False,
    ),
]
WithoutTimestamps = Annotated[
    bool,
    typer.Option(
        "--without-timestamps/--with-timestamps",
        rich_help_panel=_SEARCH,
        help="Text only; each window is then one segment.",
    ),
]
SuppressTokens = Annotated[
    str,
    typer.Option(
        "--suppress-tokens",
        metavar="IDS",
        rich_help_panel=_SEARCH,
        help="Token ids that are never sampled, with commas; -1 is the model's own list of symbols.",
    ),
]
RepetitionPenalty = Annotated[
    float,
    typer.Option(
        "--repetition-penalty",
        metavar="NUMBER",
        rich_help_panel=_SEARCH,
        help="Above 1, make tokens less probable that a window's text already has, as in faster-whisper.",
    ),
]
NoRepeatNgramSize = Annotated[
    int,
    typer.Option(
        "--no-repeat-ngram-size",
        metavar="N",
        rich_help_panel=_SEARCH,
        help="Never repeat a sequence of N tokens in a window, as in faster-whisper; 0 allows it.",
    ),
]
Hotwords = Annotated[
    str | None,
    typer.Option(
        "--hotwords",
        metavar="WORDS",
        rich_help_panel=_MODEL,
        help="Words to expect, put before every window.",
        show_default=False,
    ),
]
HotwordsFile = Annotated[
    Path | None,
    typer.Option(
        "--hotwords-file",
        metavar="FILE",
        rich_help_panel=_MODEL,
        help="More hotwords, one a line; lines that begin with # are ignored.",
        show_default=False,
    ),
]
Multilingual = Annotated[
    bool,
    typer.Option(
        "--multilingual/--no-multilingual",
        rich_help_panel=_MODEL,
        help="Detect the language of each clip, for recordings in several languages.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", rich_help_panel=_SEARCH, help="Seed of the sampling noise.")]
SecondPass = Annotated[
    bool,
    typer.Option(
        "--second-pass/--no-second-pass",
        rich_help_panel=_SEARCH,
        help="Decode speech once more that was left without text (clips mode).",
    ),
]
WordTimestamps = Annotated[
    bool,
    typer.Option(
        "--word-timestamps/--no-word-timestamps",
        rich_help_panel=_SEARCH,
        help="Find when each word is spoken. Subtitle options turn it on.",
    ),
]
PrependPunctuations = Annotated[
    str,
    typer.Option(
        "--prepend-punctuations",
        metavar="MARKS",
        rich_help_panel=_SEARCH,
        help="Marks that belong to the word after them.",
    ),
]
AppendPunctuations = Annotated[
    str,
    typer.Option(
        "--append-punctuations",
        metavar="MARKS",
        rich_help_panel=_SEARCH,
        help="Marks that belong to the word before them.",
    ),
]
HallucinationSilenceThreshold = Annotated[
    float | None,
    _threshold(
        "--hallucination-silence-threshold",
        "Skip silences longer than this, in seconds, around text that may be a hallucination (needs word times).",
    ),
]
