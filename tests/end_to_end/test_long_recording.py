"""A long recording with pauses, noise and music: what each mode hears, and what it makes up; figures are printed.

Six minutes, or with WHISPERBATCH_FULL an hour. The sentences are those of ``sample_audio``, where each is known.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile
import whisper

import corpus
from whisperbatch import transcribe
from whisperbatch.demo.training import peers
from whisperbatch.records import SAMPLE_RATE, Transcript

LENGTH_S = 3600 if corpus.WHOLE else 360
NAMES = ("lecture.mp3", "garden.wav", "station.mp3", "numbers.ogg")  # as many stretches of sound as sentences
MIN_HEARD_S = 0.5  # text that reaches so far beyond speech is made up there


@dataclass(frozen=True)
class Long:
    """The recording, and each sentence with its start and end in seconds."""

    path: Path
    sentences: list[tuple[str, float, float]]

    @property
    def text(self) -> str:
        return " ".join(text for text, *_ in self.sentences)


def folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def spoken(references: dict[str, tuple[str, str]]) -> list[tuple[str, np.ndarray]]:
    pairs = []
    for name in NAMES:
        texts = re.findall(r"[^.?]+[.?]", references[name][1])
        stretches = corpus.stretches(name)
        assert len(texts) == len(stretches), name
        pairs += zip((text.strip() for text in texts), stretches, strict=True)
    return pairs


def pause(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Silence, noise, or two tones in turn."""
    n = int(seconds * SAMPLE_RATE)
    kind = rng.choice(["silence", "noise", "music"])
    if kind == "silence":
        return np.zeros(n, np.int16)
    if kind == "noise":
        return corpus.noise(rng, n, rng.choice([30, 300])).astype(np.int16)
    at_s = np.arange(n) / SAMPLE_RATE
    tones = np.where((at_s % 1.0) < 0.5, np.sin(2 * np.pi * 440 * at_s), np.sin(2 * np.pi * 550 * at_s))
    return (tones * 2500).astype(np.int16)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory, references) -> Long:
    rng, pool = np.random.default_rng(3), spoken(references)
    parts, sentences, n_samples = [], [], 0
    while n_samples < LENGTH_S * SAMPLE_RATE:
        for _ in range(rng.integers(1, 6)):
            text, samples = pool[rng.integers(len(pool))]
            start_s = n_samples / SAMPLE_RATE
            sentences.append((text, start_s, start_s + len(samples) / SAMPLE_RATE))
            parts += [samples, np.zeros(int(rng.uniform(0.3, 1.5) * SAMPLE_RATE), np.int16)]
            n_samples += sum(map(len, parts[-2:]))
        parts.append(pause(rng, rng.uniform(1, 60)))
        n_samples += len(parts[-1])
    path = tmp_path_factory.mktemp("long") / "long.flac"
    soundfile.write(path, np.concatenate(parts), SAMPLE_RATE)
    return Long(path, sentences)


def heard(long: Long, **options) -> Transcript:
    (outcome,) = transcribe(long.path, model="demo", write=False, compute_type="float32", language="en", **options)
    assert outcome.transcript is not None, outcome.reason
    return outcome.transcript


def error_rate(long: Long, text: str) -> float:
    return jiwer.wer(folded(long.text), folded(text))


def made_up_s(long: Long, transcript: Transcript) -> float:
    """Seconds of text in segments that touch no speech at all."""
    spans = [(start_s - MIN_HEARD_S, end_s + MIN_HEARD_S) for _, start_s, end_s in long.sentences]
    bare = [s for s in transcript.segments if not any(s.start_s < end and s.end_s > start for start, end in spans)]
    return sum(s.end_s - s.start_s for s in bare if s.text.strip())


def uncovered(long: Long, transcript: Transcript) -> int:
    """Sentences in whose time no segment lies."""
    texts = [s for s in transcript.segments if s.text.strip()]
    return sum(not any(s.start_s < end_s and s.end_s > start_s for s in texts) for _, start_s, end_s in long.sentences)


@pytest.mark.slow
def test_what_each_mode_hears_of_a_long_recording(long: Long, demo_folder: Path, capsys: pytest.CaptureFixture[str]):
    clips, bare = heard(long), heard(long, vad=False)
    sequential = heard(long, long_form="sequential")
    samples = corpus.read(long.path).astype(np.float32) / 32768
    theirs = whisper.transcribe(peers.openai_whisper(demo_folder), samples, language="en", fp16=False, beam_size=5)
    rates = {
        "clips": error_rate(long, clips.text),
        "clips, no speech detection": error_rate(long, bare.text),
        "sequential": error_rate(long, sequential.text),
        "openai-whisper": error_rate(long, theirs["text"]),
    }
    with capsys.disabled():
        print(f"\n{LENGTH_S / 60:.0f} minutes, {len(long.sentences)} sentences")
        for name, rate in rates.items():
            print(f"  {name:28} WER {rate:.3f}")
        for name, one in (("clips", clips), ("clips, no speech detection", bare), ("sequential", sequential)):
            print(f"  {name:28} made up {made_up_s(long, one):.1f} s, bare sentences {uncovered(long, one)}")
        print(f"  covered {clips.covered_s:.1f} of {clips.speech_s:.1f} s of speech")
    assert made_up_s(long, clips) == 0
    assert rates["clips"] <= rates["openai-whisper"] + 0.005
    assert uncovered(long, clips) <= 0.01 * len(long.sentences)
    assert clips.covered_s >= 0.9 * clips.speech_s  # borders differ by a tenth of a second here and there
