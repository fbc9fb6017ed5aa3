"""Cut segments that cross a pause which was left out of their clip. Policy only: no torch.

A model that gets two sentences without the pause between them may write them as one segment, which would be shown for
the whole pause.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from whisperbatch.engine.scheduling.words import Timed
from whisperbatch.records import Segment

MIN_PAUSE_S = 2.0  # of audio left out; segments may cross shorter ones


def crossed(segment: Segment, joins: Iterable[tuple[float, float]]) -> list[float]:
    """Return where long pauses were left out within a segment, in seconds of the clip; joins are a ``Clip``'s."""
    places, before_s = [], 0.0
    for at_s, skipped_s in joins:
        if skipped_s - before_s >= MIN_PAUSE_S and segment.start_s < at_s < segment.end_s:
            places.append(at_s)
        before_s = skipped_s
    return places


def cut(segment: Segment, words: Sequence[Timed], places: Sequence[float]) -> Iterator[Segment]:
    """Yield the parts of a segment between some places, each with the words whose middle is there; none without words.

    Args:
        segment: The segment, without word times.
        words: The words of its text, in order, with seconds from the clip's start.
        places: Where to cut, in seconds from the clip's start, in order, within the segment.
    """
    bounds = [segment.start_s, *places, segment.end_s]
    left, tokens = list(words), list(segment.tokens)
    for start_s, end_s in pairwise(bounds):
        is_last = end_s == bounds[-1]
        n_words = next((k for k, one in enumerate(left) if not is_last and _middle_s(one) >= end_s), len(left))
        mine, left = left[:n_words], left[n_words:]
        n_tokens = sum(one.n_tokens for one in mine)
        if mine:
            text = "".join(one.word for one in mine)
            yield replace(segment, start_s=start_s, end_s=end_s, text=text, tokens=tuple(tokens[:n_tokens]))
        tokens = tokens[n_tokens:]


def _middle_s(word: Timed) -> float:
    return (word.start_s + word.end_s) / 2
