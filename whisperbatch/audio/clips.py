"""A stream of samples to clips of at most one window, cut where it is quietest.

Comes in: blocks of any size. Goes out: clips that joined together are the input, whatever the block sizes. Memory is
one window and a block. Who calls: ``audio/worker``.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from whisperbatch.records import N_SAMPLES, SAMPLE_RATE

N_SEARCH = 12 * SAMPLE_RATE  # the cut lies in the last seconds of a full window
N_QUIET = SAMPLE_RATE // 4  # how long a stretch is compared
N_HOP = SAMPLE_RATE // 50


def cut(blocks: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """Each clip's first sample in the file and its samples, int16 (n_samples,), at most a window long."""
    window = np.empty(N_SAMPLES, np.int16)  # decoders give blocks of a few hundred samples: joining them would be slow
    start, n_held = 0, 0
    for block in blocks:
        at = 0
        while at < len(block):
            if n_held == N_SAMPLES:
                length = quietest(window)
                yield start, window[:length].copy()
                start, n_held = start + length, n_held - length
                window[:n_held] = window[length:].copy()
            taken = block[at : at + N_SAMPLES - n_held]
            window[n_held : n_held + len(taken)] = taken
            at, n_held = at + len(taken), n_held + len(taken)
    if n_held:
        yield start, window[:n_held].copy()


def quietest(window: np.ndarray) -> int:
    """Where to cut a full window: the middle of its quietest quarter of a second near the end, the latest of equals."""
    first = len(window) - N_SEARCH
    energy = np.concatenate([[0], np.cumsum(np.square(window[first:].astype(np.int64)))])
    starts = np.arange(0, N_SEARCH - N_QUIET + 1, N_HOP)
    loudness = energy[starts + N_QUIET] - energy[starts]
    latest = len(starts) - 1 - int(np.argmin(loudness[::-1]))
    return first + int(starts[latest]) + N_QUIET // 2
