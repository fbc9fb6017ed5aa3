"""Cues, and what all subtitle formats need for them: text, width, time stamps."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from whisperbatch.records import Word
from whisperbatch.writers.speakers import prefix
from whisperbatch.writers.subtitles.units import Unit
from whisperbatch.writers.time_order import words_in_order

_MARKED = re.compile(r"^(\s*)(.*)$")


@dataclass(frozen=True, slots=True)
class Cue:
    """Text on the screen.

    Attributes:
        start_s: When it appears.
        end_s: When it disappears.
        words: As shown, with spaces and line breaks; without word times, a single "word".
        marked: Index of the underlined word; None if none is.
    """

    start_s: float
    end_s: float
    words: tuple[Word, ...]
    marked: int | None = None

    @property
    def label(self) -> str | None:
        """The speaker or channel; None if unknown."""
        return self.words[0].speaker

    @property
    def text(self) -> str:
        """The whole text, with line breaks."""
        return "".join(word.word for word in self.words)


def cue_of(words: Sequence[Word]) -> Cue:
    """Make a cue that lasts from its first word to its last; units are taken apart, times put in order."""
    shown = (part for word in words for part in (word.shown() if isinstance(word, Unit) else (word,)))
    ordered = tuple(words_in_order(shown))
    return Cue(ordered[0].start_s, ordered[-1].end_s, ordered)


def shown(cue: Cue) -> str:
    """Return a cue's text for srt and vtt: label, ``<u>`` around the marked word, and no ``-->``."""
    parts = [word.word for word in cue.words]
    if cue.marked is not None:
        parts[cue.marked] = mark(parts[cue.marked], "<u>", "</u>")
    text = prefix(cue.label) + "".join(parts)
    while "-->" in text:  # it separates a cue's times
        text = text.replace("-->", "->")
    return text


def mark(word: str, before: str, after: str) -> str:
    """Put tags around a word without its leading spaces; as in openai-whisper, not around one with line breaks."""
    return _MARKED.sub(lambda match: f"{match[1]}{before}{match[2]}{after}", word)


def width(text: str, measure: str) -> float:
    """Return a line's width in characters, columns (wide characters count 2) or wide characters (others count 0.5)."""
    if measure == "characters":
        return len(text)
    columns = sum(_columns(character) for character in text)
    return columns if measure == "columns" else columns / 2


def stamp(seconds: float, decimal_mark: str, always_hours: bool) -> str:
    """``HH:MM:SS,mmm``; zero hours are left out unless ``always_hours``."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours:02d}:" if always_hours or hours else ""
    return f"{head}{minutes:02d}:{rest // 1000:02d}{decimal_mark}{rest % 1000:03d}"


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):  # accents, joiners, marks of direction
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
