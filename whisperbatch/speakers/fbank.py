"""Log-mel filter bank energies of a window, as Kaldi computes them; numpy.

After ``compute-fbank-feats`` of Kaldi (Apache-2.0, https://github.com/kaldi-asr/kaldi), with 80 bins and no dither:
frames of 25 ms every 10 ms, each without its mean, pre-emphasis 0.97, Povey's window, power spectrum, triangles on the
mel scale from 20 to 8000 Hz, natural logarithm. Rewritten; only complete frames are used.
"""

import functools

import numpy as np

from whisperbatch.records import SAMPLE_RATE

N_MELS = 80
N_FRAME = SAMPLE_RATE * 25 // 1000
N_HOP = SAMPLE_RATE * 10 // 1000
N_FFT = 512
PREEMPHASIS = 0.97
LOWEST_HZ, HIGHEST_HZ = 20.0, SAMPLE_RATE / 2
FLOOR = np.float32(np.finfo(np.float32).eps)


def fbank(samples: np.ndarray) -> np.ndarray:
    """Return float32 (n_frames, 80) for int16 (n_samples,), each bin without its mean over the window."""
    wave = samples.astype(np.float32) / np.float32(32768)
    frames = np.lib.stride_tricks.sliding_window_view(wave, N_FRAME)[::N_HOP]  # (n_frames, N_FRAME)
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = (frames - np.float32(PREEMPHASIS) * before) * _window()
    spectrum = np.fft.rfft(frames, N_FFT)  # (n_frames, N_FFT // 2 + 1)
    power = spectrum.real**2 + spectrum.imag**2
    energies: np.ndarray = np.log(np.maximum(power.astype(np.float32) @ _filters(), FLOOR))
    energies -= energies.mean(axis=0)
    return energies


def n_frames_of(n_samples: int) -> int:
    """Return the number of frames of a window of ``n_samples``."""
    return max(0, 1 + (n_samples - N_FRAME) // N_HOP)


@functools.cache
def _window() -> np.ndarray:
    return (np.hanning(N_FRAME) ** 0.85).astype(np.float32)


@functools.cache
def _filters() -> np.ndarray:
    """float32 (N_FFT // 2 + 1, N_MELS): triangles that overlap by half; the last bin has no weight."""
    edges = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), N_MELS + 2)
    mels = _mel(np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT)[:, None]
    rising = (mels - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mels) / (edges[2:] - edges[1:-1])
    filters: np.ndarray = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    return filters


def _mel(hz: float | np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hz) / 700.0)
