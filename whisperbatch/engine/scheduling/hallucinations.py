"""Text that the model may have made up in silence: found by its words, skipped with the silence. No torch.

Comes in: a window's segments with words. Goes out: those to keep, and where to go on.
Scores and decisions are those of openai-whisper's ``hallucination_silence_threshold`` (whisper/transcribe.py, MIT).
Ours always goes on by a frame at least.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from whisperbatch.engine.scheduling.words import last_end_s
from whisperbatch.records import WINDOW_S, Segment, Word

FRAMES_A_SECOND = 100
PUNCTUATION = "\"'“¿([{-\"'.。,，!！?？:：”)]}、"
N_LOOKED_AT = 8  # words of a segment
MIN_PROBABILITY = 0.15
SHORT_S, LONG_S = 0.133, 2.0
MAX_SCORE = 3.0
EDGE_S = 2.0  # a segment so near to the window's edge counts as beside silence


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where a window lies in its clip, in frames of 10 ms; ``n_total`` is the clip's."""

    start: int
    n_frames: int
    n_total: int

    @property
    def start_s(self) -> float:
        """Where it begins."""
        return self.start / FRAMES_A_SECOND

    @property
    def end_s(self) -> float:
        """Where its audio ends."""
        return self.start_s + self.n_frames / FRAMES_A_SECOND

    @property
    def limit_s(self) -> float:
        """Where what the model looks at ends, the padding included."""
        return self.start_s + WINDOW_S


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is kept of a window and the frame to go on from; ``is_void`` when none of it counts as decoded."""

    kept: list[Segment]
    seek: int
    is_void: bool = False


def skip(
    segments: Sequence[Segment],
    stretch: Stretch,
    seek: int,
    threshold_s: float,
    last_spoken_s: float,
    *,
    ends_in_one: bool,
) -> Verdict:
    """What to keep of a window when silences longer than ``threshold_s`` around made-up text are skipped.

    Args:
        segments: With words.
        stretch: The window.
        seek: The frame to go on from if nothing is made up.
        threshold_s: Seconds of silence.
        last_spoken_s: Where speech ended before the window.
        ends_in_one: Whether its text ends in a single timestamp.
    """
    last_s = last_end_s(segments)
    if not ends_in_one and last_s is not None and last_s > stretch.start_s:
        rests = stretch.limit_s - last_s > threshold_s
        seek = round(last_s * FRAMES_A_SECOND) if rests else stretch.start + stretch.n_frames
    first = _next(segments)
    if first is not None and is_anomaly(first):
        gap_s = first.start_s - stretch.start_s
        if gap_s > threshold_s:
            return Verdict([], stretch.start + max(1, round(gap_s * FRAMES_A_SECOND)), is_void=True)
    for index, segment in enumerate(segments):
        if not segment.words:
            continue
        if is_anomaly(segment) and _is_apart(
            segment, _next(segments[index + 1 :]), stretch, threshold_s, last_spoken_s
        ):
            seek = round(max(stretch.start_s + 1, segment.start_s) * FRAMES_A_SECOND)
            if stretch.n_total / FRAMES_A_SECOND - segment.end_s < threshold_s:
                seek = stretch.n_total
            return Verdict(list(segments[:index]), seek)
        last_spoken_s = segment.end_s
    return Verdict(list(segments), seek)


def is_anomaly(segment: Segment | None) -> bool:
    """Whether a segment's words are improbable, very short or very long."""
    if segment is None or not segment.words:
        return False
    words = [word for word in segment.words if word.word not in PUNCTUATION][:N_LOOKED_AT]
    score = sum(_score(word) for word in words)
    return score >= MAX_SCORE or score + 0.01 >= len(words)


def _score(word: Word) -> float:
    duration_s = word.end_s - word.start_s
    score = 1.0 if word.probability < MIN_PROBABILITY else 0.0
    if duration_s < SHORT_S:
        score += (SHORT_S - duration_s) * 15
    if duration_s > LONG_S:
        score += duration_s - LONG_S
    return score


def _is_apart(
    segment: Segment, following: Segment | None, stretch: Stretch, threshold_s: float, last_spoken_s: float
) -> bool:
    """Whether there is silence, or more made-up text, on both sides."""
    next_s = stretch.end_s if following is None or not following.words else following.words[0].start_s
    before = (
        segment.start_s - last_spoken_s > threshold_s
        or segment.start_s < threshold_s
        or segment.start_s - stretch.start_s < EDGE_S
    )
    after = next_s - segment.end_s > threshold_s or is_anomaly(following) or stretch.limit_s - segment.end_s < EDGE_S
    return before and after


def _next(segments: Sequence[Segment]) -> Segment | None:
    """The first one that has words."""
    return next((segment for segment in segments if segment.words), None)
