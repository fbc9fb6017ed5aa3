"""Cues that begin and end with sentences; a sentence too long for one is split where that hurts least.

Breaks cost little after a comma, and parts of one size cost less than a long one and a short one; the same holds for
the lines of a cue.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from whisperbatch.options import SubtitleOptions
from whisperbatch.records import Word
from whisperbatch.writers.speakers import prefix
from whisperbatch.writers.subtitles.by_words import LINE_WIDTH, PAUSE_S
from whisperbatch.writers.subtitles.cues import Cue, cue_of, width
from whisperbatch.writers.subtitles.units import at_line_start, last_start_s, units

PIECE_COST = 1e6  # what one more cue or line costs: more than all else together
BARE_COST = 25.0  # what a break costs that is not after a punctuation mark
SIZE_COST = 40.0  # what a part costs that fills all the room, less by the square

_CLOSING = "\"'”’»)\\]}』」）"
_SENTENCE_END = re.compile(rf"[.!?…。！？｡؟۔।][{_CLOSING}]*$")
_CLAUSE_END = re.compile(rf"[,;:–—，、；：،؛.!?…。！？｡؟۔।][{_CLOSING}]*$")
_NO_END = re.compile(r"\W*((?:[^\W\d_]\.)*[^\W\d_]|\d{1,2})\.")  # initials, a German ordinal
_ABBREVIATIONS = frozenset(
    "mr. mrs. ms. dr. prof. st. jr. sr. vs. e.g. i.e. approx. z.b. d.h. u.a. bzw. ca. nr. hr. fr. usw. vgl.".split()
)


def by_sentences(groups: Sequence[Sequence[Word]], shaping: SubtitleOptions) -> list[Cue]:
    """The cues of groups of words; where the groups end does not count."""
    whole = sentences([word for group in units(groups, across=True) for word in group])
    parts = [part for sentence in whole for part in _parts(sentence, shaping)]
    for to_next in (True, False):
        parts = _joined(parts, shaping, to_next)
    return [cue_of(_laid_out(part, shaping)) for part in parts]


def sentences(words: Sequence[Word]) -> Iterator[list[Word]]:
    """The words, sentence by sentence; a long pause and another speaker end one too."""
    sentence: list[Word] = []
    for word, after in zip_longest(words, words[1:]):
        sentence.append(word)
        if after is None or _ends_between(word, after):
            yield sentence
            sentence = []


def _ends_between(word: Word, after: Word) -> bool:
    if word.speaker != after.speaker or after.start_s - last_start_s(word) > PAUSE_S:
        return True
    return ends_sentence(word.word.strip(), after.word.strip())


def ends_sentence(text: str, follows: str) -> bool:
    """True when a sentence ends with a word, judged by its text and that of the next word."""
    if not _SENTENCE_END.search(text):
        return False
    if "." not in text[-2:]:
        return True
    return not _is_shortened(text) and not follows[:1].islower()


def _is_shortened(text: str) -> bool:
    """Whether a word's full stop is its own and not a sentence's."""
    return text.lower() in _ABBREVIATIONS or (_NO_END.fullmatch(text) is not None and text != "I.")


def _ends_clause(word: Word) -> bool:
    text = word.word.strip()
    return _CLAUSE_END.search(text) is not None and not _is_shortened(text)


def _parts(sentence: Sequence[Word], shaping: SubtitleOptions) -> list[Sequence[Word]]:
    """A sentence, or the parts of it that each fit a cue."""
    if _fits(sentence, shaping):
        return [sentence]
    room = (shaping.max_line_width or LINE_WIDTH) * (shaping.max_line_count or 1)
    return _split(sentence, lambda start: _ends_from(start, sentence, shaping), room, shaping.measure)


def _joined(parts: Sequence[Sequence[Word]], shaping: SubtitleOptions, to_next: bool) -> list[Sequence[Word]]:
    """The parts, one that is gone too soon put together with the next or the one before, where both fit one cue."""
    joined: list[Sequence[Word]] = []
    shortest_s, before_s = shaping.min_cue_s or 0.0, math.inf
    for part, after in zip_longest(parts, parts[1:]):
        room_s = after[0].start_s - part[0].start_s if after else math.inf
        is_short = (before_s if to_next else room_s) < shortest_s
        both = [*joined[-1], *part] if joined and is_short else []
        is_near = both and part[0].start_s - joined[-1][-1].end_s < shortest_s
        if is_near and both[0].speaker == part[0].speaker and _fits(both, shaping):
            joined[-1] = both
            before_s += room_s
        else:
            joined.append(part)
            before_s = room_s
    return joined


def _laid_out(words: Sequence[Word], shaping: SubtitleOptions) -> list[Word]:
    """The words of a cue with their line breaks, the lines about as long as each other; the first has the label."""
    words = [words[0], *(replace(word, speaker=None) for word in words[1:])]
    limit = shaping.max_line_width or LINE_WIDTH
    line = SubtitleOptions(limit, 1, measure=shaping.measure)
    shown: list[Word] = []
    for part in _split(words, lambda start: _ends_from(start, words, line), limit, shaping.measure):
        shown.append(replace(part[0], word=("\n" if shown else "") + at_line_start(part[0])))
        shown += part[1:]
    return shown


def _fits(words: Sequence[Word], shaping: SubtitleOptions) -> bool:
    """Whether the words fit one cue."""
    return max(_ends_from(0, words, shaping)) == len(words)


def _ends_from(start: int, words: Sequence[Word], shaping: SubtitleOptions) -> Iterator[int]:
    """Each end at which the words from ``start`` on still fit; the first word does always."""
    limit, n_lines = shaping.max_line_width or LINE_WIDTH, 1
    line = width(prefix(words[start].speaker) + words[start].word.strip(), shaping.measure)
    yield start + 1
    for end in range(start + 2, len(words) + 1):
        word = words[end - 1]
        line += width(word.word, shaping.measure)
        if line > limit:
            n_lines, line = n_lines + 1, width(word.word.strip(), shaping.measure)
        is_long = word.end_s - words[start].start_s > (shaping.max_cue_s or math.inf)
        is_many = end - start > (shaping.max_words_per_line or math.inf)
        if is_long or is_many or n_lines > (shaping.max_line_count or math.inf):
            return
        yield end


def _split(
    words: Sequence[Word], ends_from: Callable[[int], Iterator[int]], room: float, measure: str
) -> list[Sequence[Word]]:
    """The words in as few parts as may be, broken where it costs least."""
    n_words = len(words)
    costs, starts = [0.0] + [math.inf] * n_words, [0] * (n_words + 1)
    for start in range(n_words):
        size = 0.0
        for end in ends_from(start):
            size += width(words[end - 1].word, measure)
            cost = costs[start] + PIECE_COST + SIZE_COST * (size / room) ** 2
            if end < n_words and not _ends_clause(words[end - 1]):
                cost += BARE_COST
            if cost < costs[end]:
                costs[end], starts[end] = cost, start
    parts: list[Sequence[Word]] = []
    while n_words:
        parts.append(words[starts[n_words] : n_words])
        n_words = starts[n_words]
    return parts[::-1]
