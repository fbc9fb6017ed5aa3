"""What the subtitle formats share: the cue, its text, its width, time stamps."""

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
        end_s: When it goes.
        words: As they are shown, blanks and line breaks among them; where word times are not known, one for all.
        marked: Position of the word that is underlined; None when none is.
    """

    start_s: float
    end_s: float
    words: tuple[Word, ...]
    marked: int | None = None

    @property
    def label(self) -> str | None:
        """Whose it is."""
        return self.words[0].speaker

    @property
    def text(self) -> str:
        """The words, in their lines."""
        return "".join(word.word for word in self.words)


def cue_of(words: Sequence[Word]) -> Cue:
    """A cue from its first word to its last, each on its own, in the order of time."""
    shown = (part for word in words for part in (word.shown() if isinstance(word, Unit) else (word,)))
    ordered = tuple(words_in_order(shown))
    return Cue(ordered[0].start_s, ordered[-1].end_s, ordered)


def shown(cue: Cue) -> str:
    """A cue's text for srt and vtt: the label before it, ``<u>`` around the marked word, nothing that breaks a cue."""
    parts = [word.word for word in cue.words]
    if cue.marked is not None:
        parts[cue.marked] = mark(parts[cue.marked], "<u>", "</u>")
    text = prefix(cue.label) + "".join(parts)
    while "-->" in text:  # it stands between a cue's times
        text = text.replace("-->", "->")
    return text


def mark(word: str, before: str, after: str) -> str:
    """A word with something around all but its leading blanks; openai-whisper's rule leaves one with line breaks."""
    return _MARKED.sub(lambda match: f"{match[1]}{before}{match[2]}{after}", word)


def width(text: str, measure: str) -> float:
    """How wide a line is: in characters, in columns (wide ones have two), or in wide characters (others are half)."""
    if measure == "characters":
        return len(text)
    columns = sum(_columns(character) for character in text)
    return columns if measure == "columns" else columns / 2


def stamp(seconds: float, decimal_mark: str, always_hours: bool) -> str:
    """``HH:MM:SS,mmm``; without hours when there are none, unless they are always wanted."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours:02d}:" if always_hours or hours else ""
    return f"{head}{minutes:02d}:{rest // 1000:02d}{decimal_mark}{rest % 1000:03d}"


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):  # accents, joiners, marks of direction
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
