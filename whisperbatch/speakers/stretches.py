"""The speech of a clip as stretches with their place in the file: what a diarizer takes."""

import itertools
from collections.abc import Iterator

import numpy as np

from whisperbatch.records import SAMPLE_RATE, Clip

MAX_PAUSE_S = 0.5  # speech that goes on after a shorter pause is one stretch
MAX_STRETCH_S = 30.0  # a longer one comes in pieces, which bounds memory


def stretches_of(clip: Clip) -> Iterator[tuple[float, np.ndarray]]:
    """``(start_s, samples)`` of each stretch of a clip's speech, in order; arguments of ``Diarizer.add``.

    All of the clip counts as speech when no speech detection ran.

    Args:
        clip: A clip of a file, or all of it in sequential mode; its samples are read slice by slice.
    """
    n_samples = len(clip.samples)
    for first_s, last_s in _joined(clip.speech or ((0.0, clip.duration_s),)):
        first, last = max(0, round(first_s * SAMPLE_RATE)), min(n_samples, round(last_s * SAMPLE_RATE))
        for start, end in _pieces(first, last):
            yield clip.start_s + _in_file(clip, start / SAMPLE_RATE), clip.samples[start:end]


def _joined(spans: tuple[tuple[float, float], ...]) -> Iterator[tuple[float, float]]:
    """The spans, those with short pauses between them put together."""
    first, last = spans[0]
    for begin, end in spans[1:]:
        if begin - last >= MAX_PAUSE_S:
            yield first, last
            first = begin
        last = max(last, end)
    yield first, last


def _pieces(first: int, last: int) -> Iterator[tuple[int, int]]:
    """``[first, last)`` in equal pieces that are not too long; nothing when it is empty."""
    n_pieces = -(-(last - first) // round(MAX_STRETCH_S * SAMPLE_RATE))
    places = [first + (last - first) * number // max(n_pieces, 1) for number in range(n_pieces + 1)]
    yield from itertools.pairwise(places)


def _in_file(clip: Clip, time_s: float) -> float:
    """A time in the clip as a time in the file, both from the clip's start."""
    skipped = [skipped_s for at_s, skipped_s in clip.joins if at_s <= time_s]
    return time_s + (skipped[-1] if skipped else 0.0)
