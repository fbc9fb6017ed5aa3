"""Split a transcript into paragraphs, for txt with time stamps, md and docx.

A paragraph ends where the speaker changes, before a pause, and at the end of a sentence once it is long. No I/O.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from whisperbatch.languages import LANGUAGES
from whisperbatch.options import DocumentOptions
from whisperbatch.records import Transcript, Word
from whisperbatch.writers.speakers import as_one_word, labelled_words
from whisperbatch.writers.subtitles.by_sentences import ends_sentence
from whisperbatch.writers.subtitles.cues import width
from whisperbatch.writers.subtitles.units import may_break
from whisperbatch.writers.time_order import in_order

DEFAULT = DocumentOptions()
LONG = 600  # columns, about a hundred words: from here the paragraph ends with its sentence
LONGEST = 3 * LONG  # from here it ends with its segment, since some models write no full stops


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text of one speaker without a long pause.

    Attributes:
        start_s: Start of the first word.
        end_s: Latest end of its words.
        label: The speaker or channel; None if neither is known.
        words: First and last are stripped; without word times, one "word" per segment.
    """

    start_s: float
    end_s: float
    label: str | None
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        """The whole text, on one line."""
        return "".join(word.word for word in self.words)


def paragraphs(transcript: Transcript, pause_s: float) -> list[Paragraph]:
    """Return paragraphs ordered by start; a pause of ``pause_s`` seconds or more starts a new one."""
    found: list[Paragraph] = []
    words: list[Word] = []
    columns = end_s = 0.0
    for word, is_first in _words(transcript):
        if words and (
            word.speaker != words[-1].speaker
            or word.start_s - end_s >= pause_s
            or _is_long_enough(columns, words[-1].word, word.word, is_first)
        ):
            found.append(_paragraph(words, end_s))
            words, columns, end_s = [], 0.0, 0.0
        words.append(word)
        columns += len(word.word) if word.word.isascii() else width(word.word, "columns")
        end_s = max(end_s, word.end_s)
    if words:
        found.append(_paragraph(words, end_s))
    return sorted(found, key=lambda one: one.start_s)  # segments of two channels overlap


def clock(seconds: float) -> str:
    """``MM:SS``, or ``HH:MM:SS`` from one hour on; the fraction is dropped."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def stamp(seconds: float) -> str:
    """The time before a paragraph: ``[12:34]``."""
    return f"[{clock(seconds)}]"


def byline(transcript: Transcript) -> str:
    """Language and length, as in ``German, 12:34``; unknown parts are left out."""
    language = LANGUAGES.get(transcript.language, transcript.language).title()
    length = clock(transcript.duration_s) if transcript.duration_s else ""
    return ", ".join(part for part in (language, length) if part)


def _words(transcript: Transcript) -> Iterator[tuple[Word, bool]]:
    """Yield labelled words without line breaks, and whether each starts a segment; blank segments are skipped."""
    for segment in in_order(transcript).segments:
        words = labelled_words(segment) or (as_one_word(segment),)
        if any(word.word.strip() for word in words):
            for position, word in enumerate(words):
                text = " ".join(word.word.splitlines())
                yield word if text == word.word else replace(word, word=text), position == 0


def _is_long_enough(columns: float, text: str, follows: str, is_first: bool) -> bool:
    if columns < LONG or not may_break(text, follows):
        return False
    last, after = (text.split() or [""])[-1], (follows.split() or [""])[0]
    return ends_sentence(last, after) or (is_first and columns >= LONGEST)


def _paragraph(words: Sequence[Word], end_s: float) -> Paragraph:
    shown = list(words)
    shown[0] = replace(shown[0], word=shown[0].word.lstrip())
    shown[-1] = replace(shown[-1], word=shown[-1].word.rstrip())
    return Paragraph(words[0].start_s, end_s, words[0].speaker, tuple(shown))
