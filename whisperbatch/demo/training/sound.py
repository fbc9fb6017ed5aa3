"""Augment training audio with noise, telephone band, colouring and level, and make windows without speech.

Arrays are float32 (n_samples,) in [-1, 1), 16 kHz mono.
"""

import random
from collections.abc import Callable

import numpy as np

from whisperbatch.records import SAMPLE_RATE


def roughen(
    wave: np.ndarray,
    end: int,
    rng: random.Random,
    noise: np.random.Generator,
    snr_db: tuple[float, float],
    p_telephone: float,
) -> np.ndarray:
    """Change level, add noise up to sample ``end`` and zeros after it; sometimes also colour or limit the band."""
    if rng.random() < p_telephone:
        wave = _filtered(wave, _telephone)
    elif rng.random() < 0.3:
        tilt, bend = rng.uniform(-0.35, 0.35), rng.uniform(-0.2, 0.2)
        wave = _filtered(wave, lambda hz: (np.maximum(hz, 100.0) / 1000.0) ** tilt * np.exp(bend * np.cos(hz / 900.0)))
    level = np.sqrt(np.mean(np.square(wave[:end])) + 1e-12)
    if rng.random() < 0.9:
        hiss = hum(end, rng, noise)
        wave = wave.copy()
        wave[:end] += hiss * (level * 10 ** (-rng.uniform(*snr_db) / 20))
    peak = float(np.max(np.abs(wave))) + 1e-9
    wave = wave * (10 ** rng.uniform(-1.3, -0.02) / peak)
    wave[end:] = 0.0
    return np.round(wave * 32768).astype(np.float32) / 32768


def hum(n_samples: int, rng: random.Random, noise: np.random.Generator) -> np.ndarray:
    """Return white, pinkish or brownish noise of unit power."""
    white = noise.standard_normal(n_samples, dtype=np.float32)
    slope = rng.choice([0.0, 0.5, 1.0])
    if slope == 0.0:
        return white
    coloured = _filtered(white, lambda hz: (np.maximum(hz, 20.0) / 20.0) ** -slope)
    power: float = np.sqrt(np.mean(np.square(coloured)))
    return coloured / (power + 1e-9)


def without_speech(n_samples: int, rng: random.Random, noise: np.random.Generator) -> np.ndarray:
    """Return silence, noise, tones, clicks, or two of these."""
    wave = np.zeros(n_samples, np.float32)
    kinds = rng.sample(["nothing", "noise", "tone", "clicks"], k=rng.choice([1, 1, 2]))
    if "noise" in kinds:
        wave += hum(n_samples, rng, noise) * 10 ** rng.uniform(-4, -0.8)
    if "tone" in kinds:
        wave += tone(n_samples, rng) * 10 ** rng.uniform(-3, -0.5)
    if "clicks" in kinds:
        at = noise.integers(0, n_samples, rng.randint(1, 40))
        wave[at] += np.sign(noise.standard_normal(len(at))) * 10 ** rng.uniform(-2, -0.2)
    if rng.random() < 0.4:
        wave[rng.randrange(n_samples) :] = 0.0
    return np.round(np.clip(wave, -1, 0.999) * 32768).astype(np.float32) / 32768


def tone(n_samples: int, rng: random.Random) -> np.ndarray:
    """Return the mean of one to three steady or pulsed sines of unit amplitude."""
    at_s = np.arange(n_samples) / SAMPLE_RATE
    tones = [np.sin(2 * np.pi * rng.uniform(80, 4000) * at_s) for _ in range(rng.randint(1, 3))]
    wave = sum(tones, np.zeros(n_samples)) / len(tones)
    if rng.random() < 0.4:
        wave = wave * (np.sin(2 * np.pi * rng.uniform(0.2, 2) * at_s) > 0)
    return wave.astype(np.float32)


def _telephone(hz: np.ndarray) -> np.ndarray:
    return 1 / (1 + (hz / 3700.0) ** 24) * (1 - 1 / (1 + (hz / 150.0) ** 4))


def _filtered(wave: np.ndarray, response: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    hz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE).astype(np.float32)
    return np.fft.irfft(np.fft.rfft(wave) * response(hz), len(wave)).astype(np.float32)
