"""A transcript's times in order. Other tools' JSON has segments that start before the one ahead of them."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

from whisperbatch.records import Segment, Transcript, Word


def in_order(transcript: Transcript) -> Transcript:
    """The transcript with its segments by their starts and no word before the one ahead; itself when it is so."""
    segments = sorted((_segment(segment) for segment in transcript.segments), key=lambda segment: segment.start_s)
    same = all(one is other for one, other in zip(segments, transcript.segments, strict=True))
    return transcript if same else replace(transcript, segments=tuple(segments))


def words_in_order(words: Iterable[Word]) -> Iterator[Word]:
    """The words, none starting before the one ahead of it or before 0, none ending before it starts."""
    from_s = 0.0
    for word in words:
        from_s = max(from_s, word.start_s)
        end_s = max(from_s, word.end_s)
        is_right = (from_s, end_s) == (word.start_s, word.end_s)
        yield word if is_right else replace(word, start_s=from_s, end_s=end_s)


def n_jumps(transcript: Transcript) -> int:
    """How many segments and words start before the one ahead of them."""
    segments = transcript.segments
    n_words = sum(_n_back([word.start_s for word in segment.words or ()]) for segment in segments)
    return _n_back([segment.start_s for segment in segments]) + n_words


def _segment(segment: Segment) -> Segment:
    start_s = max(0.0, segment.start_s)
    end_s = max(start_s, segment.end_s)
    words = None if segment.words is None else tuple(words_in_order(segment.words))
    same_words = words is None or all(one is other for one, other in zip(words, segment.words or (), strict=True))
    if same_words and (start_s, end_s) == (segment.start_s, segment.end_s):
        return segment
    return replace(segment, start_s=start_s, end_s=end_s, words=words)


def _n_back(starts: list[float]) -> int:
    return sum(after < before for before, after in pairwise(starts))
