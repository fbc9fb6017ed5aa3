"""Which speech has text, and which has not. Policy only: no torch.

Comes in: a clip's speech and segments. Goes out: stretches without text. Who calls: ``engine/requests``.
"""

from collections.abc import Iterable, Sequence

from whisperbatch.records import Segment

MIN_GAP_S = 2.0  # speech that is without text for less is a matter of where a segment's edges lie

Span = tuple[float, float]


def uncovered(speech: Iterable[Span], segments: Iterable[Segment], min_s: float = MIN_GAP_S) -> list[Span]:
    """The stretches of speech, longer than ``min_s`` seconds each, in which no segment lies."""
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


def seconds_from(speech: Iterable[Span], start_s: float) -> float:
    """Seconds of speech from a time on."""
    return sum(max(0.0, end_s - max(start_s, first_s)) for first_s, end_s in speech)


def covered_s(speech: Sequence[Span], segments: Sequence[Segment]) -> float:
    """Seconds of speech in which a segment lies."""
    bare_s = sum(end_s - start_s for start_s, end_s in uncovered(speech, segments, min_s=0.0))
    return sum(end_s - start_s for start_s, end_s in speech) - bare_s
