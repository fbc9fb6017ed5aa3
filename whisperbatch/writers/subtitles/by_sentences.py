"""Make cues that begin and end with sentences, and split a sentence that is too long for one cue at the best place.

A break after a comma is cheap, and parts of equal size are cheaper than a long and a short one. The same costs choose
the line breaks in a cue.
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

PIECE_COST = 1e6  # of one more cue or line: more than everything else together
BARE_COST = 25.0  # of a break that does not follow a punctuation mark
SIZE_COST = 40.0  # of a part that fills all the room; smaller parts cost less, by the square

_CLOSING = "\"'”’»)\\]}』」）"
_SENTENCE_END = re.compile(rf"[.!?…。！？｡؟۔।][{_CLOSING}]*$")
_CLAUSE_END = re.compile(rf"[,;:–—，、；：،؛.!?…。！？｡؟۔।][{_CLOSING}]*$")
_NO_END = re.compile(r"\W*((?:[^\W\d_]\.)*[^\W\d_]|\d{1,2})\.")  # initials, a German ordinal
_ABBREVIATIONS = frozenset(
    "mr. mrs. ms. dr. prof. st. jr. sr. vs. e.g. i.e. approx. z.b. d.h. u.a. bzw. ca. nr. hr. fr. usw. vgl.".split()
)


def by_sentences(groups: Sequence[Sequence[Word]], shaping: SubtitleOptions) -> list[Cue]:
    """Return the cues of groups of words; boundaries between groups are ignored."""
    whole = sentences([word for group in units(groups, across=True) for word in group])
    parts = [part for sentence in whole for part in _parts(sentence, shaping)]
    for to_next in (True, False):
        parts = _joined(parts, shaping, to_next)
    return [cue_of(_laid_out(part, shaping)) for part in parts]


def sentences(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Yield the words sentence by sentence; a long pause or a new speaker also ends one."""
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
    """Return whether a sentence ends with a word, given its text and the next word's."""
    if not _SENTENCE_END.search(text):
        return False
    if "." not in text[-2:]:
        return True
    return not _is_shortened(text) and not follows[:1].islower()


def _is_shortened(text: str) -> bool:
    """True if the full stop belongs to the word (an abbreviation, an initial), not to the sentence."""
    return text.lower() in _ABBREVIATIONS or (_NO_END.fullmatch(text) is not None and text != "I.")


def _ends_clause(word: Word) -> bool:
    text = word.word.strip()
    return _CLAUSE_END.search(text) is not None and not _is_shortened(text)


def _parts(sentence: Sequence[Word], shaping: SubtitleOptions) -> list[Sequence[Word]]:
    """Return the sentence as one part if it fits a cue, else parts that do."""
    if _fits(sentence, shaping):
        return [sentence]
    room = (shaping.max_line_width or LINE_WIDTH) * (shaping.max_line_count or 1)
    return _split(sentence, lambda start: _ends_from(start, sentence, shaping), room, shaping.measure)


def _joined(parts: Sequence[Sequence[Word]], shaping: SubtitleOptions, to_next: bool) -> list[Sequence[Word]]:
    """Join parts that are shown too briefly with the next part or the one before, if both fit one cue."""
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
    """Put line breaks into a cue's words, for lines of about equal length; only the first word keeps its label."""
    words = [words[0], *(replace(word, speaker=None) for word in words[1:])]
    limit = shaping.max_line_width or LINE_WIDTH
    line = SubtitleOptions(limit, 1, measure=shaping.measure)
    shown: list[Word] = []
    for part in _split(words, lambda start: _ends_from(start, words, line), limit, shaping.measure):
        shown.append(replace(part[0], word=("\n" if shown else "") + at_line_start(part[0])))
        shown += part[1:]
    return shown


def _fits(words: Sequence[Word], shaping: SubtitleOptions) -> bool:
    """True if the words fit one cue."""
    return max(_ends_from(0, words, shaping)) == len(words)


def _ends_from(start: int, words: Sequence[Word], shaping: SubtitleOptions) -> Iterator[int]:
    """Yield each end at which ``words[start:end]`` still fits; a single word always does."""
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
    """Split the words into as few parts as possible, at the lowest cost."""
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
