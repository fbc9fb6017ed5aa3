"""Compute turns from the voices of windows and the frame classes of segmentation-3.0; numpy.

Time is divided into cells of ``N_CELL`` samples, one for each frame of segmentation-3.0. A cell's speaker is the one
whose mean voice is most like the windows around it. Edges between speakers move to where segmentation-3.0 finds a
change of voice, if that is near; where it finds two voices, the second one is the nearest other speaker.
"""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from whisperbatch.records import SAMPLE_RATE, Turn

N_CELL = 270  # samples; segmentation-3.0's step
CELL_S = N_CELL / SAMPLE_RATE
MAX_GAP_S = 0.5  # a shorter pause does not end a turn
MIN_PAUSE_S = 1.0  # within a stretch of speech
MIN_TURN_S = 0.1
NEAR_S = 0.6  # an edge moves no further than this
MAX_AWAY_S = 15.0  # greatest distance from an overlap to the nearest turn of its second speaker
MIN_BOTH_S = 0.1  # shorter overlaps are not reliable
SHARPNESS = 10.0  # of the softmax from cosines to confidences
NOBODY = -1


@dataclass(frozen=True, slots=True, eq=False)
class AnalysedStretch:
    """A stretch of speech with the networks' results.

    Attributes:
        start_s: Its start in the file.
        n_samples: Its length in samples.
        places: ``[start, end)`` of its windows, in samples.
        voices: float32 (n_windows, n_dims), each of length 1.
        classes: segmentation-3.0's class of each cell, uint8 (n_cells,); empty when that network was not run.
    """

    start_s: float
    n_samples: int
    places: Sequence[tuple[int, int]]
    voices: np.ndarray
    classes: np.ndarray

    @property
    def n_cells(self) -> int:
        """The number of its cells; the last one may be incomplete."""
        return -(-self.n_samples // N_CELL)

    @property
    def alone_s(self) -> float:
        """Seconds of speech with only one voice, as far as is known."""
        return self.speech_s((0, self.n_samples))

    @property
    def windows_s(self) -> list[float]:
        """Seconds of speech with only one voice that each window represents, so that all speech is counted once."""
        covered = sum(end - start for start, end in self.places)
        return [self.speech_s(place) * self.n_samples / covered for place in self.places]

    def speech_s(self, place: tuple[int, int]) -> float:
        """Return the seconds of a window with only one voice, as far as is known."""
        start, end = place
        if not len(self.classes):
            return (end - start) / SAMPLE_RATE
        inside = self.classes[start // N_CELL : -(-end // N_CELL)]
        return min(float(((inside >= 1) & (inside <= 3)).sum() * CELL_S), (end - start) / SAMPLE_RATE)


def turns_of(stretches: Sequence[AnalysedStretch], centres: np.ndarray) -> list[Turn]:
    """Return the turns of a file in time order; speakers are numbered as the centres are.

    Args:
        stretches: The file's speech, in time order.
        centres: The mean voice of each speaker, float (n_speakers, n_dims), of length 1.
    """
    if not len(centres):
        return []
    pieces: list[Turn] = []
    overlaps: list[Turn] = []
    for one in stretches:
        scores = _scores(one, centres)
        labels = _labels(one, scores)
        confidences = _confidences(scores, labels)
        pieces += [_turn(one, run, labels[run[0]], confidences) for run in _runs(labels) if labels[run[0]] != NOBODY]
        overlaps += [
            _turn(one, run, NOBODY, confidences)
            for run in _runs(one.classes >= 4)
            if one.classes[run[0]] >= 4 and (run[1] - run[0]) * CELL_S >= MIN_BOTH_S
        ]
    return sorted(
        _joined([*pieces, *_seconds(overlaps, pieces)]), key=lambda turn: (turn.start_s, turn.end_s, turn.speaker)
    )


def _scores(one: AnalysedStretch, centres: np.ndarray) -> np.ndarray:
    """How like each speaker each cell is, float (n_cells, n_speakers); windows weigh more near their middle."""
    cosines = one.voices.astype(np.float64) @ centres.T  # (n_windows, n_speakers)
    middles = (np.arange(one.n_cells) + 0.5) * N_CELL
    starts, ends = np.array(one.places, float).T
    half = np.maximum((ends - starts) / 2, N_CELL)
    weights = np.maximum(1 - np.abs(middles[:, None] - (starts + ends) / 2) / half, 1e-6)  # (n_cells, n_windows)
    scores: np.ndarray = weights @ cosines / weights.sum(axis=1, keepdims=True)
    return scores


def _labels(one: AnalysedStretch, scores: np.ndarray) -> np.ndarray:
    """Each cell's speaker, or ``NOBODY``; int (n_cells,)."""
    labels: np.ndarray = scores.argmax(axis=1)
    if not len(one.classes):
        return labels
    changes = _changes(one.classes)
    edges = np.flatnonzero(np.diff(labels)) + 1
    moved = [0, *(_near(int(edge), changes) for edge in edges), len(labels)]
    for edge, (start, end) in zip([0, *edges], itertools.pairwise(np.maximum.accumulate(moved)), strict=True):
        labels[start:end] = scores[edge].argmax()
    return np.where(_silent(one.classes), NOBODY, labels)


def _silent(classes: np.ndarray) -> np.ndarray:
    """The cells where nobody talks, at either end of the stretch or for long; bool (n_cells,).

    Shorter pauses within speech are not reliable: over the telephone the network finds some where there are none.
    """
    silent = np.zeros(len(classes), bool)
    for start, end in _runs(classes == 0):
        is_long = start == 0 or end == len(classes) or (end - start) * CELL_S >= MIN_PAUSE_S
        silent[start:end] = classes[start] == 0 and is_long
    return silent


def _changes(classes: np.ndarray) -> np.ndarray:
    """The cells where another of the network's three voices goes on alone, int (n_changes,)."""
    alone = np.flatnonzero((classes >= 1) & (classes <= 3))
    at = np.flatnonzero(np.diff(classes[alone]))
    return (alone[at] + alone[at + 1] + 1) // 2


def _near(edge: int, changes: np.ndarray) -> int:
    if not len(changes):
        return edge
    nearest = int(changes[np.abs(changes - edge).argmin()])
    return nearest if abs(nearest - edge) * CELL_S <= NEAR_S else edge


def _confidences(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The share of each cell's speaker in a softmax over all speakers, float (n_cells,)."""
    powers = np.exp(SHARPNESS * (scores - scores.max(axis=1, keepdims=True)))
    shares: np.ndarray = powers[np.arange(len(labels)), np.maximum(labels, 0)] / powers.sum(axis=1)
    return shares


def _runs(values: np.ndarray) -> Iterator[tuple[int, int]]:
    """``[start, end)`` of each run of equal values."""
    places = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    yield from ((start, end) for start, end in itertools.pairwise(places) if end > start)


def _turn(one: AnalysedStretch, run: tuple[int, int], speaker: int, confidences: np.ndarray) -> Turn:
    start, end = run[0] * N_CELL, min(run[1] * N_CELL, one.n_samples)
    confidence = float(confidences[run[0] : run[1]].mean())
    return Turn(one.start_s + start / SAMPLE_RATE, one.start_s + end / SAMPLE_RATE, int(speaker), confidence)


def _seconds(overlaps: Sequence[Turn], pieces: Sequence[Turn]) -> Iterator[Turn]:
    """The turns of the second voice while two talk: for each speaker there, the nearest other one.

    Args:
        overlaps: When two talk.
        pieces: The turns of single speakers, in time order, without overlaps.
    """
    starts, ends = [one.start_s for one in pieces], [one.end_s for one in pieces]
    for both in overlaps:
        around = slice(bisect_left(ends, both.start_s - MAX_AWAY_S), bisect_right(starts, both.end_s + MAX_AWAY_S))
        near = pieces[around]
        for first in (one for one in near if one.start_s < both.end_s and one.end_s > both.start_s):
            start_s, end_s = max(first.start_s, both.start_s), min(first.end_s, both.end_s)
            others = [one for one in near if one.speaker != first.speaker]
            away = [max(one.start_s - end_s, start_s - one.end_s) for one in others]
            if others:
                yield Turn(start_s, end_s, others[int(np.argmin(away))].speaker, both.confidence / 2)


def _joined(turns: Sequence[Turn]) -> Iterator[Turn]:
    """The turns, joined where only a short pause separates two of one speaker, without very short ones."""
    held: dict[int, Turn] = {}
    for one in sorted(turns, key=lambda turn: turn.start_s):
        before = held.get(one.speaker)
        if before is not None and one.start_s - before.end_s < MAX_GAP_S:
            held[one.speaker] = _together(before, one)
            continue
        if before is not None and _length_s(before) >= MIN_TURN_S:
            yield before
        held[one.speaker] = one
    yield from (one for one in held.values() if _length_s(one) >= MIN_TURN_S)


def _together(one: Turn, other: Turn) -> Turn:
    share = _length_s(other) / max(_length_s(one) + _length_s(other), 1e-9)
    confidence = one.confidence * (1 - share) + other.confidence * share
    return replace(one, end_s=max(one.end_s, other.end_s), confidence=confidence)


def _length_s(turn: Turn) -> float:
    return turn.end_s - turn.start_s
