"""Compute log-mel features of int16 samples on the device, in batches; nothing is copied back to the host.

There are two profiles. ``clip`` pads each window with silence and takes its floor from the window's own maximum, like
WhisperFeatureExtractor. ``file`` cuts a window out of a file's features like openai-whisper (whisper/audio.py, MIT):
the floor is 8 below the file's maximum, frames at the window's edges use the file's samples on both sides, and the
padding after the window's content is zero after normalisation.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from whisperbatch.engine.placement import upload
from whisperbatch.records import N_SAMPLES, SAMPLE_RATE, Samples

N_FFT = 400
N_HOP = 160
FRAMES_A_SECOND = SAMPLE_RATE // N_HOP
N_FRAMES = N_SAMPLES // N_HOP  # of one window
N_EDGE = N_FFT // 2  # samples that a frame covers on each side of its middle
RANGE = 8.0  # powers of ten between floor and maximum
QUIETEST = 1e-10


class LogMel:
    """The feature extractor of one model; any thread may call it."""

    def __init__(self, filters: np.ndarray, device: torch.device, dtype: torch.dtype) -> None:
        """Take the model's filter bank, (n_fft / 2 + 1, n_mels)."""
        self._bank = torch.from_numpy(np.ascontiguousarray(filters.T, np.float32)).to(device)  # (n_mels, 201)
        self._window = torch.hann_window(N_FFT, device=device)
        self._device, self._dtype = device, dtype

    def clips(self, windows: Sequence[np.ndarray]) -> Tensor:
        """Features (n_windows, n_mels, n_frames) of independent windows, by the profile ``clip``.

        Args:
            windows: int16 (n_samples,) each, at most a window long.
        """
        is_pinned = self._device.type == "cuda"  # the device copies pinned memory asynchronously
        padded = torch.zeros((len(windows), N_SAMPLES), dtype=torch.int16, pin_memory=is_pinned)
        for row, samples in zip(padded.numpy(), windows, strict=True):
            row[: len(samples)] = samples
        wave = torch.nn.functional.pad(self._wave(padded), (N_EDGE, N_EDGE), mode="reflect")
        log = self._log(wave)[..., :-1]  # the frame centred on the window's end is dropped
        top = log.amax(dim=(1, 2), keepdim=True)
        return self._normal(log, top)

    def stretch(self, samples: Samples, start: int, n_frames: int, top: float) -> Tensor:
        """Features (n_mels, n_frames 3000) of a stretch of a file, by the profile ``file``.

        Args:
            samples: The whole file.
            start: The stretch's first frame.
            n_frames: The stretch's length; the rest of the window is zero.
            top: The file's maximum, from ``maximum``.
        """
        log = self._log(self._wave(torch.from_numpy(_around(samples, start, n_frames)))[None])[0]
        return torch.nn.functional.pad(
            self._normal(log, torch.full((), top, device=log.device)), (0, N_FRAMES - n_frames)
        )

    def maximum(self, samples: Samples) -> float:
        """The largest log-mel value of a file, computed a window at a time."""
        n_frames, tops = len(samples) // N_HOP + 3, []  # frames just after the file's end still cover some of it
        for start in range(0, n_frames, N_FRAMES):
            wave = self._wave(torch.from_numpy(_around(samples, start, min(N_FRAMES, n_frames - start))))
            tops.append(self._log(wave[None]).max())
        return float(torch.stack(tops).max())

    def _wave(self, samples: Tensor) -> Tensor:
        return upload(samples, self._device).float() / 32768.0

    def _log(self, wave: Tensor) -> Tensor:
        """Base-10 logarithm of the mel power: (n_windows, n_mels, n_frames), one frame per hop of ``wave``."""
        spectrum = torch.stft(wave, N_FFT, N_HOP, window=self._window, center=False, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()  # five times as fast on a CPU as abs() ** 2
        return (self._bank @ power).clamp(min=QUIETEST).log10()

    def _normal(self, log: Tensor, top: Tensor) -> Tensor:
        return ((torch.maximum(log, top - RANGE) + 4.0) / 4.0).to(self._dtype)


def _around(samples: Samples, start: int, n_frames: int) -> np.ndarray:
    """The samples that frames ``[start, start + n_frames)`` cover, mirrored before the file and silent after it."""
    first, last = start * N_HOP - N_EDGE, (start + n_frames - 1) * N_HOP + N_EDGE
    whole = np.zeros(last - first, np.int16)
    part = samples[max(first, 0) : min(last, len(samples))]
    at = max(-first, 0)
    whole[at : at + len(part)] = part
    if first < 0:
        mirrored = samples[1 : 1 - first][::-1]
        whole[at - len(mirrored) : at] = mirrored
    return whole
