"""Sound for tests, and files of it."""

import wave
from pathlib import Path

import av
import numpy as np

from whisperbatch.records import SAMPLE_RATE


def write_wav(path: Path, samples: np.ndarray | int, n_samples: int = 1_600, rate: int = SAMPLE_RATE) -> Path:
    """Write a 16-bit WAVE file, and its folder.

    Args:
        path: The file.
        samples: (n_samples,) or (n_channels, n_samples), or the one value that all samples have.
        n_samples: The number of samples, where they have one value.
        rate: Samples a second.

    Returns:
        The file.
    """
    rows = np.atleast_2d(np.full(n_samples, samples) if isinstance(samples, int) else samples).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file, wave.open(file, "wb") as out:
        out.setparams((len(rows), 2, rate, 0, "NONE", ""))
        out.writeframes(np.ascontiguousarray(rows.T).tobytes())
    return path


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-3000, 3000, round(seconds * SAMPLE_RATE)).astype(np.int16)


def speechlike(seconds: float, rate: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """float32 (n_samples, channels): bursts of coloured noise and tones."""
    rng = np.random.default_rng(seed)
    n = int(seconds * rate)
    at = np.arange(n)[:, None] / rate
    tones = sum(
        np.sin(2 * np.pi * f * at + rng.uniform(0, 6, channels)) / (i + 1) for i, f in enumerate((150, 420, 1900))
    )
    wave_ = (tones + 0.2 * rng.standard_normal((n, channels))) * (np.sin(2 * np.pi * 1.3 * at) > -0.3) * 0.15
    return wave_.astype(np.float32)


def encode(path: Path, samples: np.ndarray, rate: int, codec: str, **options: str) -> Path:
    """Write float32 (n_samples, channels) with PyAV."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
        frame.sample_rate = rate
        for out in av.AudioResampler(format=stream.format, layout=layout, rate=rate).resample(frame):
            container.mux(stream.encode(out))
        container.mux(stream.encode(None))
    return path


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """1.0 for equal sound, wherever it lies."""
    n = min(len(one), len(other))
    one, other = one[:n].astype(float), other[:n].astype(float)
    correlation = np.fft.irfft(np.fft.rfft(one, 2 * n) * np.conj(np.fft.rfft(other, 2 * n))).max()
    return float(correlation / (np.linalg.norm(one) * np.linalg.norm(other)))


def read(path: Path) -> np.ndarray:
    """int16 samples of a recording, 16 kHz mono."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
    with av.open(str(path)) as container:
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in [*frames, *resampler.resample(None)]])
