"""Compute Whisper's mel filter bank, which saves the second that importing a library with one takes.

Slaney's mel scale and norm (Auditory Toolbox, Interval Research report 1998-010), as in librosa and transformers; the
numbers equal transformers' ``mel_filter_bank`` to the last bit.
"""

import numpy as np

BREAK_HZ, BREAK_MEL = 1000.0, 15.0  # where the logarithmic part of the scale begins
LOG_STEP = np.log(6.4) / 27.0


def mel_filters(n_mels: int, n_fft: int, sample_rate: int) -> np.ndarray:
    """Triangular filters of constant area, float64 (n_fft // 2 + 1, n_mels), from 0 Hz to half the sample rate."""
    bins_hz = np.linspace(0, sample_rate // 2, n_fft // 2 + 1)
    edges_hz = _hertz(np.linspace(0.0, _mel(sample_rate / 2), n_mels + 2))
    widths_hz = np.diff(edges_hz)
    slopes = edges_hz[None] - bins_hz[:, None]
    falling, rising = -slopes[:, :-2] / widths_hz[:-1], slopes[:, 2:] / widths_hz[1:]
    filters: np.ndarray = np.maximum(0.0, np.minimum(falling, rising)) * (2.0 / (edges_hz[2:] - edges_hz[:-2]))[None]
    return filters


def _mel(hertz: float) -> float:
    """The mel value of a frequency in the logarithmic part of the scale."""
    return float(BREAK_MEL + np.log(hertz / BREAK_HZ) * (27.0 / np.log(6.4)))


def _hertz(mels: np.ndarray) -> np.ndarray:
    return np.where(mels >= BREAK_MEL, BREAK_HZ * np.exp(LOG_STEP * (mels - BREAK_MEL)), 200.0 * mels / 3.0)
