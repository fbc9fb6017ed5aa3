"""Join a window's tokens and their times to words, and fit segments to their words. Policy only: no torch.

Splitting, punctuation and the rules for durations are openai-whisper's (whisper/tokenizer.py and timing.py, MIT),
including oddities: marks are one string in which a word is searched, so that a word of two marks in that order counts
as a mark. Unlike the original, this returns new segments instead of changing its input, and keeps the word before
trailing bytes that are not a character.
"""

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from whisperbatch.options import DecodeOptions
from whisperbatch.records import Segment, Word

UNSPACED = frozenset(("zh", "ja", "th", "lo", "my", "yue"))  # languages without spaces between words
UNFINISHED = "\ufffd"  # replaces bytes that are not a whole character
SENTENCE_ENDS = ".。!！?？"
MAX_MEDIAN_S = 0.7
MAX_MOVE_S = 0.5  # where a segment's edge is further inside its word, the word is cut instead of moving the edge

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True, slots=True)
class Timings:
    """Start times of text tokens, in seconds from the window's start, and their probabilities.

    ``starts_s`` has one more value: the end of the last token.
    """

    starts_s: Sequence[float]
    probabilities: Sequence[float]


@dataclass(slots=True)
class Timed:
    """A word in progress; times count from the window's start."""

    word: str
    n_tokens: int
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class Pace:
    """The duration of a window's words: the median, and the longest allowed."""

    median_s: float

    @property
    def longest_s(self) -> float:
        """The duration to which words at the edges of sentences and pauses are cut."""
        return self.median_s * 2


def split(tokens: Sequence[int], language: str | None, decode: Decode) -> list[tuple[str, int]]:
    """Return words and their token counts; for languages without spaces, the smallest runs of whole characters."""
    parts = _characters(tokens, decode)
    if language in UNSPACED:
        return parts
    words: list[tuple[str, int]] = []
    for text, n_tokens in parts:
        if text.startswith(" ") or text.strip() in string.punctuation or not words:
            words.append((text, n_tokens))
        else:
            before, n_before = words[-1]
            words[-1] = before + text, n_before + n_tokens
    return words


def timed(tokens: Sequence[int], timings: Timings, language: str | None, decode: Decode) -> list[Timed]:
    """Return the words of text tokens, with their times."""
    found, first = [], 0
    for text, n_tokens in split(tokens, language, decode):
        last = first + n_tokens
        probability = float(np.mean(timings.probabilities[first:last]))
        found.append(Timed(text, n_tokens, timings.starts_s[first], timings.starts_s[last], probability))
        first = last
    return found


def pace(words: Sequence[Timed]) -> Pace:
    """Return the pace of the words, ignoring those of no duration."""
    durations = [word.end_s - word.start_s for word in words]
    durations = [duration_s for duration_s in durations if duration_s]
    return Pace(min(MAX_MEDIAN_S, float(np.median(durations))) if durations else 0.0)


def cut_at_sentences(words: Sequence[Timed], longest_s: float) -> None:
    """Cut long marks that end a sentence, and long words after one; in place."""
    if not longest_s:  # no word has a duration
        return
    for before, word in pairwise(words):
        if word.end_s - word.start_s <= longest_s:
            continue
        if word.word in SENTENCE_ENDS:
            word.end_s = word.start_s + longest_s
        elif before.word in SENTENCE_ENDS:
            word.start_s = word.end_s - longest_s


def merge_marks(words: Sequence[Timed], prepended: str, appended: str) -> None:
    """Attach marks to the word after or before them, in place; an attached mark keeps no text and no tokens."""
    if not words:
        return
    following = words[-1]
    for previous in reversed(words[:-1]):
        if previous.word.startswith(" ") and previous.word.strip() in prepended:
            following.word = previous.word + following.word
            following.n_tokens += previous.n_tokens
            previous.word, previous.n_tokens = "", 0
        else:
            following = previous
    previous = words[0]
    for following in words[1:]:
        if not previous.word.endswith(" ") and following.word in appended:
            previous.word += following.word
            previous.n_tokens += following.n_tokens
            following.word, following.n_tokens = "", 0
        else:
            previous = following


class WordRules:
    """Makes words by the options of one run; owned by the engine's thread."""

    def __init__(self, options: DecodeOptions, decode: Decode, end: int) -> None:
        """Store the options; ids below ``end`` are text."""
        self._marks = options.prepend_punctuations, options.append_punctuations
        self._decode, self._end = decode, end

    def text_of(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        """Return the text tokens of some segments."""
        return tuple(token for segment in segments for token in segment.tokens if token < self._end)

    def timed(self, tokens: Sequence[int], timings: Timings, language: str | None) -> list[Timed]:
        """Return the words of text tokens, with marks attached; times count from the window's start."""
        words = timed(tokens, timings, language, self._decode)
        merge_marks(words, *self._marks)
        return [word for word in words if word.n_tokens]

    def add(
        self,
        segments: Sequence[Segment],
        timings: Timings | None,
        language: str | None,
        offset_s: float,
        last_spoken_s: float,
    ) -> list[Segment]:
        """Add words to the segments of a window, and fit the segments' starts and ends to them.

        Args:
            segments: Segments without words.
            timings: Times of their text tokens; None if there are none.
            language: Whisper's code.
            offset_s: Where the window begins, in seconds.
            last_spoken_s: Where speech ended before the window, in seconds.
        """
        words = [] if timings is None else timed(self.text_of(segments), timings, language, self._decode)
        speed = pace(words)
        cut_at_sentences(words, speed.longest_s)
        merge_marks(words, *self._marks)
        made, first = [], 0
        for segment in segments:
            n_tokens, mine = len(self.text_of([segment])), []
            while first < len(words) and n_tokens > 0:
                mine.append(words[first])
                n_tokens -= words[first].n_tokens
                first += 1
            placed = [
                replace(word, start_s=_at(offset_s, word.start_s), end_s=_at(offset_s, word.end_s)) for word in mine
            ]
            made.append(_fitted(segment, [word for word in placed if word.word], speed, last_spoken_s))
            if made[-1].words:
                last_spoken_s = made[-1].end_s
        return made


def last_end_s(segments: Sequence[Segment]) -> float | None:
    """Return where the last word ends, or the last segment if there are no words; None without segments."""
    words = [word for segment in segments for word in segment.words or ()]
    if words:
        return words[-1].end_s
    return segments[-1].end_s if segments else None


def _fitted(segment: Segment, words: list[Timed], speed: Pace, last_spoken_s: float) -> Segment:
    """Fit a segment and its words to each other's edges; ``words`` have times of the clip."""
    if not words:
        return replace(segment, words=())
    first, last = words[0], words[-1]
    _cut_after_pause(words, speed, last_spoken_s)
    start_s, end_s = segment.start_s, segment.end_s
    if start_s < first.end_s and start_s - MAX_MOVE_S > first.start_s:
        first.start_s = max(0.0, min(first.end_s - speed.median_s, start_s))
    else:
        start_s = first.start_s
    if end_s > last.start_s and end_s + MAX_MOVE_S < last.end_s:
        last.end_s = max(last.start_s + speed.median_s, end_s)
    else:
        end_s = last.end_s
    made = tuple(Word(word.word, word.start_s, word.end_s, word.probability) for word in words)
    return replace(segment, start_s=start_s, end_s=end_s, words=made)


def _cut_after_pause(words: Sequence[Timed], speed: Pace, last_spoken_s: float) -> None:
    """Cut the first two words after a pause, in place."""
    longest_s, first = speed.longest_s, words[0]
    if first.end_s - last_spoken_s <= speed.median_s * 4:
        return
    second = words[1] if len(words) > 1 else None
    if first.end_s - first.start_s <= longest_s and (second is None or second.end_s - first.start_s <= longest_s * 2):
        return
    if second is not None and second.end_s - second.start_s > longest_s:
        first.end_s = second.start_s = max(second.end_s / 2, second.end_s - longest_s)
    first.start_s = max(0.0, first.end_s - longest_s)


def _characters(tokens: Sequence[int], decode: Decode) -> list[tuple[str, int]]:
    """Return the smallest runs of tokens that spell whole characters, and their token counts."""
    whole = decode(tokens)
    found: list[tuple[str, int]] = []
    run: list[int] = []
    n_before = 0
    for token in tokens:
        run.append(token)
        text = decode(run)
        at = text.find(UNFINISHED)
        if at < 0 or whole[n_before + at : n_before + at + 1] == UNFINISHED:
            found.append((text, len(run)))
            n_before += len(text)
            run = []
    return [*found, (decode(run), len(run))] if run else found


def _at(offset_s: float, seconds: float) -> float:
    return round(offset_s + seconds, 2)
