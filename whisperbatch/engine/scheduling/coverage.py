"""Find speech without text, and segments with too little text for their speech. Policy only: no torch."""

import math
import unicodedata
from collections.abc import Iterable, Sequence

from whisperbatch.records import Segment

MIN_GAP_S = 2.0  # shorter gaps only reflect how exact the edges of segments are
MIN_SPARSE_S = 6.0  # of speech in a segment; in less, a pause or a laugh may take half
MIN_LETTERS_A_SECOND = 5.0  # of speech; slow readers reach 9
WIDE = 3  # a Chinese, Japanese or Korean character counts as this many letters
_WIDE_FROM = 0x2E80  # where the Unicode blocks of these scripts begin

Span = tuple[float, float]


def uncovered(speech: Iterable[Span], segments: Iterable[Segment], min_s: float = MIN_GAP_S) -> list[Span]:
    """Return stretches of speech longer than ``min_s`` seconds that no segment covers."""
    texts = sorted((segment.start_s, segment.end_s) for segment in segments)
    found: list[Span] = []
    for start_s, end_s in speech:
        for text_start_s, text_end_s in texts:
            if text_end_s <= start_s or text_start_s >= end_s:
                continue
            found.append((start_s, text_start_s))
            start_s = max(start_s, text_end_s)
        found.append((start_s, end_s))
    return [(start_s, end_s) for start_s, end_s in found if end_s - start_s > min_s]


def seconds_in(speech: Iterable[Span], start_s: float = 0.0, end_s: float = math.inf) -> float:
    """Return the seconds of speech in a stretch."""
    return sum(max(0.0, min(end_s, last_s) - max(start_s, first_s)) for first_s, last_s in speech)


def covered_s(speech: Sequence[Span], segments: Sequence[Segment]) -> float:
    """Return the seconds of speech that segments cover."""
    bare_s = sum(end_s - start_s for start_s, end_s in uncovered(speech, segments, min_s=0.0))
    return sum(end_s - start_s for start_s, end_s in speech) - bare_s


def n_letters(text: str) -> int:
    """Count letters, marks and digits of a text; a Chinese, Japanese or Korean character counts as ``WIDE``."""
    letters = (letter for letter in text if unicodedata.category(letter)[0] in "LMN")
    return sum(WIDE if ord(letter) >= _WIDE_FROM else 1 for letter in letters)


def sparse(speech: Iterable[Span], segments: Iterable[Segment]) -> list[Segment]:
    """Return segments with so few letters for their speech that part of the text is probably missing."""
    speech = list(speech)
    found = []
    for segment in segments:
        spoken_s = seconds_in(speech, segment.start_s, segment.end_s)
        if spoken_s >= MIN_SPARSE_S and n_letters(segment.text) < MIN_LETTERS_A_SECOND * spoken_s:
            found.append(segment)
    return found


def halves(speech: Iterable[Span], start_s: float, end_s: float) -> list[Span]:
    """Cut the speech of a stretch in two at its longest pause; empty if it has no pause."""
    inside = [(max(start_s, one_s), min(end_s, two_s)) for one_s, two_s in speech if one_s < end_s and two_s > start_s]
    if len(inside) < 2:
        return []
    cut = max(range(1, len(inside)), key=lambda k: inside[k][0] - inside[k - 1][1])
    return [(inside[0][0], inside[cut - 1][1]), (inside[cut][0], inside[-1][1])]
