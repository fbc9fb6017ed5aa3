"""Recordings for tests, composed from ``sample_audio``: clips of every kind, and long files; seeded."""

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from whisperbatch.records import N_SAMPLES, SAMPLE_RATE

SAMPLE_AUDIO = Path(__file__).resolve().parents[2] / "sample_audio"
WHOLE = os.environ.get("WHISPERBATCH_FULL", "") not in ("", "0")  # else a tenth of the corpus is looked at
N_CLIPS, N_FILES = 200, 10
KINDS = ("single", "several", "cut", "silence", "noise", "german", "hard", "loop")


@dataclass(frozen=True)
class Recording:
    """int16 samples at 16 kHz, with a name that tells what they are."""

    name: str
    samples: np.ndarray


def read(path: Path) -> np.ndarray:
    """int16 samples of a recording, 16 kHz mono."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    with av.open(str(path)) as container:
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in [*frames, *resampler.resample(None)]])


@functools.cache
def sentences(language: str) -> tuple[np.ndarray, ...]:
    """Stretches of speech of the sample recordings, cut at their pauses."""
    names = {"en": ("lecture.mp3", "garden.wav", "evening.flac", "station.mp3", "kitchen.m4a", "numbers.ogg")}
    chosen = names.get(language, ("bahnhof.flac", "sommer.opus"))
    return tuple(part for name in chosen for part in stretches(name))


def stretches(name: str) -> list[np.ndarray]:
    """The stretches of sound of a sample recording, int16 each."""
    return list(_cut(read(SAMPLE_AUDIO / name)))


def _cut(wave: np.ndarray) -> Iterator[np.ndarray]:
    frame = SAMPLE_RATE // 50
    loud = np.abs(wave[: len(wave) // frame * frame].reshape(-1, frame).astype(np.float32)).max(axis=1) > 900
    start, quiet = None, 0
    for index, is_loud in enumerate([*loud, *[False] * 20]):
        if is_loud:
            start, quiet = index if start is None else start, 0
        elif start is not None and (quiet := quiet + 1) >= 15:
            yield wave[max(0, start - 3) * frame : (index - 11) * frame]
            start = None


def noise(rng: np.random.Generator, n_samples: int, level: float) -> np.ndarray:
    """White noise, float32."""
    return (rng.normal(size=n_samples) * level).astype(np.float32)


def speech(rng: np.random.Generator, n_sentences: int, language: str = "en", max_pause_s: float = 1.5) -> np.ndarray:
    """Sentences with pauses, int16."""
    pool = sentences(language)
    parts: list[np.ndarray] = []
    for index in rng.integers(len(pool), size=n_sentences):
        parts += [np.zeros(int(rng.uniform(0.3, max_pause_s) * SAMPLE_RATE), np.int16), pool[index]]
    return np.concatenate(parts)


def _clip(kind: str, rng: np.random.Generator) -> np.ndarray:
    if kind == "silence":
        return np.zeros(int(rng.uniform(1, 30) * SAMPLE_RATE), np.int16)
    if kind == "noise":
        return noise(rng, int(rng.uniform(1, 30) * SAMPLE_RATE), rng.choice([30, 300, 2000])).astype(np.int16)
    if kind == "single":
        return speech(rng, 1)
    if kind == "loop":
        one = sentences("en")[rng.integers(len(sentences("en")))]
        return np.tile(np.concatenate([one, np.zeros(4000, np.int16)]), 12)[:N_SAMPLES]
    wave = speech(rng, int(rng.integers(2, 9)), "de" if kind == "german" else "en")
    if kind == "hard":
        wave = np.clip(wave * 0.3 + noise(rng, len(wave), rng.choice([600, 1500, 3000])), -32768, 32767).astype(
            np.int16
        )
    if kind == "cut":
        wave = wave[: int(len(wave) * rng.uniform(0.4, 0.9))]
    return wave[:N_SAMPLES]


def clips() -> list[Recording]:
    """Clips of 1 to 30 seconds; a tenth of them unless WHISPERBATCH_FULL is set."""
    found = []
    for index in range(N_CLIPS):
        kind = KINDS[index % len(KINDS)]
        wave = _clip(kind, np.random.default_rng([1, index]))
        found.append(Recording(f"{kind}-{index}", np.pad(wave, (0, max(0, SAMPLE_RATE - len(wave))))))
    return found if WHOLE else found[::11]


def files() -> list[Recording]:
    """Files of 2 to 10 minutes with all that the clips have; one of them unless WHISPERBATCH_FULL is set."""
    return [Recording(f"file-{index}", file(index)) for index in range(N_FILES if WHOLE else 1)]


def file(index: int) -> np.ndarray:
    """One of the long files."""
    rng = np.random.default_rng([2, index])
    length = int((2 + 8 * index / (N_FILES - 1)) * 60 * SAMPLE_RATE)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < length:
        kind = rng.choice(KINDS, p=[0.1, 0.4, 0.04, 0.1, 0.06, 0.1, 0.1, 0.1])
        parts.append(_clip(kind, rng))
    return np.concatenate(parts)[:length]
