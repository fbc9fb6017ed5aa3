"""Sort a transcript by time: in other tools' JSON, segments may start before the one before them."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

from whisperbatch.records import Segment, Transcript, Word


def in_order(transcript: Transcript) -> Transcript:
    """Return the transcript with segments sorted by start and words in order; the same object if nothing changes."""
    segments = sorted((_segment(segment) for segment in transcript.segments), key=lambda segment: segment.start_s)
    same = all(one is other for one, other in zip(segments, transcript.segments, strict=True))
    return transcript if same else replace(transcript, segments=tuple(segments))


def words_in_order(words: Iterable[Word]) -> Iterator[Word]:
    """Yield the words with times corrected: no start before 0 or the word before, no end before the start."""
    from_s = 0.0
    for word in words:
        from_s = max(from_s, word.start_s)
        end_s = max(from_s, word.end_s)
        is_right = (from_s, end_s) == (word.start_s, word.end_s)
        yield word if is_right else replace(word, start_s=from_s, end_s=end_s)


def n_out_of_order(transcript: Transcript) -> int:
    """The number of segments and words that start before the one before them."""
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
