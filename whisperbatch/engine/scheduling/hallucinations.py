"""Find text that the model may have made up in silence, by its words, and skip it with the silence. No torch.

Scores and decisions are those of openai-whisper's ``hallucination_silence_threshold`` (whisper/transcribe.py, MIT).
Ours always moves on by at least one frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from whisperbatch.engine.scheduling.words import last_end_s
from whisperbatch.records import WINDOW_S, Segment, Word

FRAMES_A_SECOND = 100
PUNCTUATION = "\"'“¿([{-\"'.。,，!！?？:：”)]}、"
N_SCORED = 8  # words of a segment that are scored
MIN_PROBABILITY = 0.15
SHORT_S, LONG_S = 0.133, 2.0
MAX_SCORE = 3.0
EDGE_S = 2.0  # a segment this near the window's edge counts as next to silence


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """A window's position in its clip, in frames of 10 ms; ``n_total`` is the clip's length."""

    start: int
    n_frames: int
    n_total: int

    @property
    def start_s(self) -> float:
        """Where the window begins."""
        return self.start / FRAMES_A_SECOND

    @property
    def end_s(self) -> float:
        """Where the window's audio ends."""
        return self.start_s + self.n_frames / FRAMES_A_SECOND

    @property
    def limit_s(self) -> float:
        """Where the model's input ends, including the padding."""
        return self.start_s + WINDOW_S


@dataclass(frozen=True, slots=True)
class Verdict:
    """A window's segments to keep and the frame to continue from; ``is_void``: nothing counts as decoded."""

    kept: list[Segment]
    seek: int
    is_void: bool = False


def skip(
    segments: Sequence[Segment],
    span: WindowSpan,
    seek: int,
    threshold_s: float,
    last_spoken_s: float,
    *,
    ends_in_one: bool,
) -> Verdict:
    """Decide what to keep of a window when made-up text in silences longer than ``threshold_s`` is skipped.

    Args:
        segments: The window's segments, with words.
        span: The window.
        seek: The frame to continue from if nothing is made up.
        threshold_s: The shortest silence to skip, in seconds.
        last_spoken_s: Where speech ended before the window, in seconds.
        ends_in_one: Whether the window's text ends in a single timestamp.
    """
    last_s = last_end_s(segments)
    if not ends_in_one and last_s is not None and last_s > span.start_s:
        rests = span.limit_s - last_s > threshold_s
        seek = round(last_s * FRAMES_A_SECOND) if rests else span.start + span.n_frames
    first = _next(segments)
    if first is not None and is_anomaly(first):
        gap_s = first.start_s - span.start_s
        if gap_s > threshold_s:
            return Verdict([], span.start + max(1, round(gap_s * FRAMES_A_SECOND)), is_void=True)
    for index, segment in enumerate(segments):
        if not segment.words:
            continue
        if is_anomaly(segment) and _is_apart(segment, _next(segments[index + 1 :]), span, threshold_s, last_spoken_s):
            seek = round(max(span.start_s + 1, segment.start_s) * FRAMES_A_SECOND)
            if span.n_total / FRAMES_A_SECOND - segment.end_s < threshold_s:
                seek = span.n_total
            return Verdict(list(segments[:index]), seek)
        last_spoken_s = segment.end_s
    return Verdict(list(segments), seek)


def is_anomaly(segment: Segment | None) -> bool:
    """Return True if a segment's words are improbable, very short or very long."""
    if segment is None or not segment.words:
        return False
    words = [word for word in segment.words if word.word not in PUNCTUATION][:N_SCORED]
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
    segment: Segment, following: Segment | None, span: WindowSpan, threshold_s: float, last_spoken_s: float
) -> bool:
    """Return True if there is silence or more made-up text on both sides."""
    next_s = span.end_s if following is None or not following.words else following.words[0].start_s
    before = (
        segment.start_s - last_spoken_s > threshold_s
        or segment.start_s < threshold_s
        or segment.start_s - span.start_s < EDGE_S
    )
    after = next_s - segment.end_s > threshold_s or is_anomaly(following) or span.limit_s - segment.end_s < EDGE_S
    return before and after


def _next(segments: Sequence[Segment]) -> Segment | None:
    """Return the first segment with words."""
    return next((segment for segment in segments if segment.words), None)
