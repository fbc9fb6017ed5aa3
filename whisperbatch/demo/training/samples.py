"""Make ``sample_audio``: ``python -m whisperbatch.demo.training.samples sample_audio``.

Writes about ten recordings, encoded by PyAV, and ``references.tsv``. Training never met these sentences and voices. The
seed is fixed, so the words are always the same.
"""

import random
import sys
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soxr

from whisperbatch.demo.training import grammar, sound
from whisperbatch.demo.training.speak import Speaker, random_voice
from whisperbatch.records import SAMPLE_RATE

SEED = 7


@dataclass(frozen=True)
class Sample:
    """One recording to make: file name, language (empty: no speech), number of sentences, codec, rate and channels."""

    file: str
    language: str
    n_sentences: int
    codec: str
    rate: int = SAMPLE_RATE
    channels: int = 1
    bit_rate: int | None = None


SAMPLES = (
    Sample("garden.wav", "en", 2, "pcm_s16le"),
    Sample("evening.flac", "en", 4, "flac"),
    Sample("station.mp3", "en", 5, "libmp3lame", bit_rate=64_000),
    Sample("kitchen.m4a", "en", 4, "aac", rate=44_100, bit_rate=96_000),
    Sample("numbers.ogg", "en", 3, "libopus", rate=48_000, bit_rate=32_000),
    Sample("telephone.wav", "en", 3, "pcm_s16le", rate=8_000),
    Sample("stereo.wav", "en", 2, "pcm_s16le", rate=44_100, channels=2),
    Sample("bahnhof.flac", "de", 4, "flac"),
    Sample("sommer.opus", "de", 5, "libopus", rate=48_000, bit_rate=32_000),
    Sample("silence.flac", "", 0, "flac"),
    Sample("lecture.mp3", "en", 42, "libmp3lame", bit_rate=48_000),
)


def speak(sample: Sample, rng: random.Random, speaker: Speaker) -> tuple[np.ndarray, str]:
    """Return samples (float32, 16 kHz) and text of a recording."""
    noise = np.random.default_rng(SEED)
    if not sample.language:
        quiet = sound.hum(8 * SAMPLE_RATE, rng, noise) * 0.003
        quiet[: 4 * SAMPLE_RATE] = 0.0
        return quiet, ""
    voice = random_voice(rng, sample.language, held_out=True)
    pieces, texts = [np.zeros(SAMPLE_RATE // 4, np.int16)], []
    for _ in range(sample.n_sentences):
        spoken = speaker.say(grammar.sentence(rng, sample.language, held_out=True), voice)
        pause_s = rng.uniform(0.35, 2.2) if sample.n_sentences > 10 else rng.uniform(0.35, 0.9)
        pieces += [spoken.samples, np.zeros(int(pause_s * SAMPLE_RATE), np.int16)]
        texts.append(spoken.text)
    wave = np.concatenate(pieces).astype(np.float32) / 32768
    return sound.roughen(wave, len(wave), rng, noise, (30.0, 40.0), p_telephone=0.0), " ".join(texts)


def encode(path: Path, wave: np.ndarray, sample: Sample) -> None:
    """Write float32 samples of 16 kHz in the sample's container, codec, rate and channels."""
    resampled = soxr.resample(wave, SAMPLE_RATE, sample.rate)
    data = np.clip(np.rint(resampled * 32767), -32768, 32767).astype(np.int16)
    layout = "mono" if sample.channels == 1 else "stereo"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(sample.codec, rate=sample.rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        if sample.bit_rate is not None:
            stream.bit_rate = sample.bit_rate
        frame = av.AudioFrame.from_ndarray(np.repeat(data, sample.channels)[None], format="s16", layout=layout)
        frame.sample_rate = sample.rate
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=sample.rate)
        for encoded in resampler.resample(frame):
            container.mux(stream.encode(encoded))
        container.mux(stream.encode(None))


def main() -> None:
    """Make all recordings and their references."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    rng, speaker = random.Random(SEED), Speaker()
    lines = ["file\tlanguage\ttext"]
    for sample in SAMPLES:
        wave, text = speak(sample, rng, speaker)
        encode(folder / sample.file, wave, sample)
        lines.append(f"{sample.file}\t{sample.language}\t{text}")
    (folder / "references.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
