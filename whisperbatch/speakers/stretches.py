"""Extract the stretches of speech of a clip, with their times in the file, for a diarizer."""

import itertools
from collections.abc import Iterator

import numpy as np

from whisperbatch.records import SAMPLE_RATE, Clip

MAX_PAUSE_S = 0.5  # a shorter pause does not end a stretch
MAX_STRETCH_S = 30.0  # a longer stretch is split into pieces, which bounds memory


def stretches_of(clip: Clip) -> Iterator[tuple[float, np.ndarray]]:
    """Yield ``(start_s, samples)`` of each stretch of a clip's speech, in order, for ``Diarizer.add``.

    The whole clip counts as speech when no speech detection ran.

    Args:
        clip: A clip of a file, or all of it in sequential mode; its samples are read slice by slice.
    """
    n_samples = len(clip.samples)
    for first_s, last_s in _joined(clip.speech or ((0.0, clip.duration_s),)):
        first, last = max(0, round(first_s * SAMPLE_RATE)), min(n_samples, round(last_s * SAMPLE_RATE))
        for start, end in _pieces(first, last):
            yield clip.start_s + _in_file(clip, start / SAMPLE_RATE), clip.samples[start:end]


def _joined(spans: tuple[tuple[float, float], ...]) -> Iterator[tuple[float, float]]:
    """The spans, joined where only a short pause separates them."""
    first, last = spans[0]
    for begin, end in spans[1:]:
        if begin - last >= MAX_PAUSE_S:
            yield first, last
            first = begin
        last = max(last, end)
    yield first, last


def _pieces(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Split ``[first, last)`` into equal pieces that are not too long; nothing when it is empty."""
    n_pieces = -(-(last - first) // round(MAX_STRETCH_S * SAMPLE_RATE))
    places = [first + (last - first) * number // max(n_pieces, 1) for number in range(n_pieces + 1)]
    yield from itertools.pairwise(places)


def _in_file(clip: Clip, time_s: float) -> float:
    """Convert a time in the clip to one in the file, both counted from the clip's start."""
    skipped = [skipped_s for at_s, skipped_s in clip.joins if at_s <= time_s]
    return time_s + (skipped[-1] if skipped else 0.0)
