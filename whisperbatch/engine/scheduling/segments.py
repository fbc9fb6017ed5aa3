"""Split a window's tokens into timed segments, and find where the next window starts. Policy only: no torch.

Cuts at pairs of timestamps, as openai-whisper's ``transcribe`` does (whisper/transcribe.py, MIT). Without ``faithful``
there are two differences: a window without a pair starts at its first timestamp instead of 0, and the next window
starts at least a second later but never beyond the audio.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

TIMESTAMP_S = 0.02  # one timestamp token
MIN_ADVANCE_S = 1.0  # otherwise a confused model needs 1,500 windows for 30 seconds


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment's tokens, timestamps included, with its start and end in seconds from the window's start."""

    start_s: float
    end_s: float
    tokens: tuple[int, ...]


def split(
    tokens: Sequence[int], timestamp_begin: int, duration_s: float, *, faithful: bool = False
) -> tuple[list[Piece], float]:
    """Return the segments of a window and the seconds after which the next window starts.

    Args:
        tokens: Sampled tokens without end of text.
        timestamp_begin: The id of ``<|0.00|>``; ids from there on are times.
        duration_s: Seconds of audio in the window, at most 30.
        faithful: Follow openai-whisper's rules exactly.
    """
    is_time = [token >= timestamp_begin for token in tokens]

    def at_s(token: int) -> float:
        return round((token - timestamp_begin) * TIMESTAMP_S, 2)

    cuts = [index + 1 for index, (one, two) in enumerate(pairwise(is_time)) if one and two]
    if not cuts:
        times = [at_s(token) for token, timed in zip(tokens, is_time, strict=True) if timed]
        start_s = times[0] if times and is_time[0] and not faithful else 0.0
        end_s = times[-1] if times and times[-1] > start_s else duration_s
        pieces = [Piece(start_s, end_s, tuple(tokens))] if tokens or faithful else []
        return pieces, duration_s
    ends_alone = ends_in_one(tokens, timestamp_begin)
    bounds = [0, *cuts, *([len(tokens)] if ends_alone else [])]
    slices = [tuple(tokens[first:last]) for first, last in pairwise(bounds)]
    pieces = [Piece(at_s(part[0]), at_s(part[-1]), part) for part in slices]
    moved_s = duration_s if ends_alone else at_s(tokens[bounds[-1] - 1])
    return pieces, moved_s if faithful else min(max(moved_s, MIN_ADVANCE_S), duration_s)


def has_pair(tokens: Sequence[int], timestamp_begin: int) -> bool:
    """Return True if there are two timestamps in a row: a segment's end and the start of the next."""
    return any(one >= timestamp_begin and two >= timestamp_begin for one, two in pairwise(tokens))


def ends_in_one(tokens: Sequence[int], timestamp_begin: int) -> bool:
    """Return True if tokens end in a single timestamp: no speech comes after it."""
    return [token >= timestamp_begin for token in tokens[-2:]] == [False, True]
