"""Divide a stretch of speech into windows and chunks; numpy."""

import numpy as np

from whisperbatch.records import SAMPLE_RATE

WINDOW_S = 1.5  # the length that one voice is computed from
HOP_S = 0.75
CHUNK_S = 10.0  # what segmentation-3.0 was trained on
CHUNK_HOP_S = 5.0

N_WINDOW, N_HOP = round(WINDOW_S * SAMPLE_RATE), round(HOP_S * SAMPLE_RATE)
N_CHUNK, N_CHUNK_HOP = round(CHUNK_S * SAMPLE_RATE), round(CHUNK_HOP_S * SAMPLE_RATE)


def places(n_samples: int, n_length: int, n_hop: int) -> list[tuple[int, int]]:
    """Return ``[start, end)`` of windows in a stretch, spread evenly from its start to its end.

    Args:
        n_samples: The length of the stretch.
        n_length: The length of a window; a shorter stretch is one window.
        n_hop: The approximate distance between window starts, exceeded by at most half.
    """
    if n_samples <= n_length:
        return [(0, n_samples)]
    n_more = max(1, round((n_samples - n_length) / n_hop))
    starts = [(n_samples - n_length) * number // n_more for number in range(n_more + 1)]
    return [(start, start + n_length) for start in starts]


def filled(samples: np.ndarray) -> np.ndarray:
    """Return a window, int16 (N_WINDOW,); too few samples are repeated.

    Windows of unequal length cannot share a batch, and zeros after a short one would change its voice.
    """
    return np.resize(samples, N_WINDOW) if len(samples) < N_WINDOW else samples[:N_WINDOW]
