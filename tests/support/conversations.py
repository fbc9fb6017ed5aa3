"""Simulated conversations of real voices, with who talks when: for the speakers' benchmark and its tests.

Each has two to five voices in turns of 1.5 to 12 s with pauses between them; 15 % of the turns begin before the one
before has ended; a quarter sound as by telephone. Voices keep their own rooms and microphones, so a simulated
conversation is easier than a real one. The voices of one half are none of the other's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import real_speech
from whisperbatch.audio.decode import Reader
from whisperbatch.records import SAMPLE_RATE

TUNE = {
    "kerstin": "de/kerstin/*.flac",
    "ljspeech": "en/ljspeech/*.wav",
    "fleursdumal 2": "fr/fleursdumal/002.mp3",
    "fleursdumal 4": "fr/fleursdumal/004.mp3",
    "gb0": "en/long/gb0.wav",
    "aeneas es": "es/librivox/aeneas_es.mp3",
    "2412": "en/librispeech/2412*.flac",
}
HELD_OUT = {
    "fleursdumal 10": "fr/fleursdumal/010.mp3",
    "fleursdumal 14": "fr/fleursdumal/014.mp3",
    "fleursdumal 15": "fr/fleursdumal/015.mp3",
    "asterisk": "ru/asterisk/*.wav",
    "sonnets": "en/sonnets/*.mp3",
    "vctk": "en/vctk_clean/*.wav",
    "1089": "en/librispeech/1089*.flac",
}
SIZES = (2, 2, 3, 3, 4, 5, 2, 4)  # speakers of each conversation
LENGTH_S = 180.0
MIN_TURN_S, MAX_TURN_S = 1.5, 12.0
OVERLAPS = 0.15
MAX_GAP_S = 0.5  # of a voice's pauses that count as speech
MIN_RANGE_DB = 25.0
N_HOP = SAMPLE_RATE // 100

Piece = tuple[np.ndarray, tuple[tuple[float, float], ...]]  # samples, and where in them is speech


@dataclass(frozen=True)
class Conversation:
    """A simulated recording and its truth.

    Attributes:
        name: For tables.
        samples: int16 (n_samples,), 16 kHz.
        turns: (start, end, voice), in seconds.
    """

    name: str
    samples: np.ndarray
    turns: tuple[tuple[float, float, str], ...]


def load(path: Path) -> np.ndarray:
    """int16 (n_samples,): a recording as the product decodes it."""
    return np.concatenate([block.reshape(-1) for block in Reader(path).blocks()])


def voice(pattern: str) -> np.ndarray:
    """int16 (n_samples,): all recordings of a voice, one after the other."""
    pause = np.zeros(SAMPLE_RATE // 2, np.int16)
    return np.concatenate([part for path in sorted(real_speech.speech().glob(pattern)) for part in (load(path), pause)])


def spoken(samples: np.ndarray) -> list[tuple[float, float]]:
    """Where a clean recording has speech, by its loudness, in seconds; pauses of less than 0.5 s count as speech.

    Noise nearly as loud as the speech would count as speech too, so such a voice is refused.
    """
    levels = samples[: len(samples) // N_HOP * N_HOP].astype(np.float64).reshape(-1, N_HOP)
    levels = 10 * np.log10(np.square(levels).mean(axis=1) + 1e-3)
    loud, quiet = np.percentile(levels[levels > 0], (95, 10))
    if quiet > loud - MIN_RANGE_DB:
        raise ValueError(f"its noise is only {loud - quiet:.0f} dB below its speech: loudness does not show its pauses")
    is_speech = levels > max(loud - 35, min(quiet + 8, loud - 20))
    spans: list[list[float]] = []
    for frame in np.flatnonzero(is_speech):
        at = frame / 100
        if spans and at - spans[-1][1] < MAX_GAP_S:
            spans[-1][1] = at + 0.01
        else:
            spans.append([at, at + 0.01])
    return [(start, end) for start, end in spans if end - start >= 0.15]


def pieces(samples: np.ndarray, seed: np.random.Generator) -> Iterator[Piece]:
    """A voice in pieces of 1.5 to 12 s that begin and end in pauses where they can."""
    spans = spoken(samples)
    while spans:
        wanted, first = seed.uniform(MIN_TURN_S, MAX_TURN_S), spans[0][0]
        taken: list[tuple[float, float]] = []
        while spans and (not taken or spans[0][1] - first <= wanted):
            start, end = spans.pop(0)
            if end - first > MAX_TURN_S:  # no pause: cut it
                end, rest = first + MAX_TURN_S, end
                if rest - end >= MIN_TURN_S:
                    spans.insert(0, (end, rest))
            if end > start:
                taken.append((start, end))
        last = taken[-1][1]
        if last - first >= MIN_TURN_S:
            cut = samples[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)]
            yield faded(cut), tuple((start - first, end - first) for start, end in taken)


def faded(samples: np.ndarray) -> np.ndarray:
    """Float (n_samples,) without a click at either end, at -23 dB of full scale."""
    wave = samples.astype(np.float64)
    ramp = np.minimum(np.arange(len(wave)) / 160, 1.0)
    wave = wave * ramp * ramp[::-1]
    return wave * (2300 / np.sqrt(np.square(wave).mean() + 1e-9))


def by_telephone(wave: np.ndarray) -> np.ndarray:
    """The same between 300 and 3400 Hz, with eight bits a sample by mu-law."""
    from scipy.signal import butter, sosfiltfilt

    wave = sosfiltfilt(butter(6, (300, 3400), "bandpass", fs=SAMPLE_RATE, output="sos"), wave) / 32768
    coded = np.round(np.sign(wave) * np.log1p(255 * np.minimum(np.abs(wave), 1)) / np.log(256) * 127) / 127
    return np.sign(coded) * np.expm1(np.abs(coded) * np.log(256)) / 255 * 32768


def conversation(name: str, voices: dict[str, list[Piece]], seed: np.random.Generator, telephone: bool) -> Conversation:
    """The voices in turns until ``LENGTH_S`` is full or only one has something left to say."""
    left = {who: list(own) for who, own in voices.items()}
    wave, turns = np.zeros(0), []
    who, last_end = "", 0.0
    while last_end < LENGTH_S and len(able := [one for one, own in left.items() if own and one != who]):
        who = able[int(seed.integers(len(able)))]
        samples, spans = left[who].pop(0)
        gain = 10 ** (seed.uniform(-3, 3) / 20)
        is_early = bool(turns) and seed.random() < OVERLAPS
        start = max(0.0, last_end + (-seed.uniform(0.3, 1.0) if is_early else seed.uniform(0.1, 1.2)))
        at = round(start * SAMPLE_RATE)
        wave = np.concatenate([wave, np.zeros(max(0, at + len(samples) - len(wave)))])
        wave[at : at + len(samples)] += samples * gain
        turns += [(start + begin, start + end, who) for begin, end in spans]
        last_end = max(last_end, start + spans[-1][1])
    wave = np.concatenate([wave, np.zeros(SAMPLE_RATE)]) + seed.normal(0, 3, len(wave) + SAMPLE_RATE)
    wave = by_telephone(wave) if telephone else wave
    return Conversation(name, np.clip(np.round(wave), -32768, 32767).astype(np.int16), tuple(turns))


def conversations(voices: dict[str, str], prefix: str, seed: int, sizes: Sequence[int] = SIZES) -> list[Conversation]:
    """One of each size; every fourth by telephone."""
    loaded = {who: voice(pattern) for who, pattern in voices.items()}
    made = []
    for number, size in enumerate(sizes):
        random = np.random.default_rng((seed, number))
        chosen = random.choice(list(loaded), size, replace=False)
        cut = {str(who): list(pieces(loaded[who], random)) for who in chosen}
        for own in cut.values():
            random.shuffle(own)
        is_telephone = number % 4 == 1
        name = f"{prefix}{number + 1} ({size}{', telephone' if is_telephone else ''})"
        made.append(conversation(name, cut, random, is_telephone))
    return made
