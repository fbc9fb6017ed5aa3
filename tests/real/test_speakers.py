"""Real voices on the real networks: two voices are two speakers, one is one, and nothing else matters to a result."""

import numpy as np
import pytest

import conversations
import real_speech
from whisperbatch.audio import clips
from whisperbatch.options import SpeakerOptions, SpeechOptions
from whisperbatch.records import SAMPLE_RATE, Clip
from whisperbatch.speakers import Diarization, Diarizer, open_diarizer
from whisperbatch.speakers.build import _embed
from whisperbatch.speakers.diarizer import N_BATCH
from whisperbatch.speakers.fbank import fbank
from whisperbatch.speakers.stretches import stretches_of

MODEL = real_speech.weights() / "speakers"
AUTO = SpeakerOptions(enabled=True, model=str(MODEL))
Stretches = list[tuple[float, np.ndarray]]

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (MODEL / "campplus.pt").is_file(), reason=f"no speaker model in {MODEL}"),
    pytest.mark.skipif(not (real_speech.speech() / "manifest.tsv").is_file(), reason="no real recordings"),
]


@pytest.fixture(scope="module")
def diarizer() -> Diarizer:
    return open_diarizer(AUTO, offline=True)


def stretches(samples: np.ndarray) -> Stretches:
    """The speech of a recording as a run finds it."""
    cutter = clips.SpeechCutter(SpeechOptions())
    cuts = cutter.push(samples) + cutter.finish()
    made = [
        Clip(
            0,
            index,
            cut.start / SAMPLE_RATE,
            cut.samples,
            speech=tuple((first / SAMPLE_RATE, last / SAMPLE_RATE) for first, last in cut.speech),
            joins=tuple((at / SAMPLE_RATE, skipped / SAMPLE_RATE) for at, skipped in cut.joins),
        )
        for index, cut in enumerate(cuts)
    ]
    return [one for clip in made for one in stretches_of(clip)]


def voice(pattern: str, seconds: float) -> np.ndarray:
    return conversations.voice(pattern)[: round(seconds * SAMPLE_RATE)]


@pytest.fixture(scope="module")
def talk() -> Stretches:
    """Two voices in turns of ten seconds: 0 to 10, 10 to 20, 20 to 30, 30 to 40."""
    one, other = voice("de/kerstin/*.flac", 20), voice("fr/fleursdumal/004.mp3", 22)[2 * SAMPLE_RATE :]
    half = 10 * SAMPLE_RATE
    return stretches(np.concatenate([one[:half], other[:half], one[half:], other[half:]]))


def found(diarizer: Diarizer, given: Stretches, file_id: int = 1, options: SpeakerOptions = AUTO) -> Diarization:
    for start_s, samples in given:
        diarizer.add(file_id, start_s, samples)
    return diarizer.finish(file_id, options)


def speaker_at(told: Diarization, time_s: float) -> set[int]:
    return {turn.speaker for turn in told.turns if turn.start_s <= time_s < turn.end_s}


def test_two_voices_are_two_speakers(diarizer: Diarizer, talk: Stretches):
    told = found(diarizer, talk)
    assert len(told.centres) == 2
    seconds = [sum(t.end_s - t.start_s for t in told.turns if t.speaker == number) for number in (0, 1)]
    assert min(seconds) > 12
    for start, speaker in ((0, 0), (10, 1), (20, 0), (30, 1)):
        wrong = [t for t in np.arange(start + 0.5, start + 9.5, 0.1) if speaker_at(told, t) - {speaker}]
        assert len(wrong) <= 2, wrong


def test_order_and_other_files_do_not_matter_to_the_last_bit(diarizer: Diarizer, talk: Stretches):
    alone = found(diarizer, talk)
    for start_s, samples in reversed(talk):
        diarizer.add(2, start_s, samples)
        diarizer.add(3, start_s + 1, samples[::2].copy())
    other = diarizer.finish(2, AUTO)
    diarizer.forget(3)
    assert other.turns == alone.turns
    assert np.array_equal(other.centres, alone.centres)


def test_a_window_is_the_same_to_the_last_bit_anywhere_in_a_batch(talk: Stretches):
    embed = _embed(MODEL / "campplus.pt", "cpu", 1)
    samples = np.concatenate([samples for _, samples in talk])
    features = np.stack([fbank(samples[at : at + 24_000]) for at in range(0, N_BATCH * 24_000, 24_000)])
    whole = embed(features)
    for place in range(N_BATCH):
        alone = np.zeros_like(features)
        alone[(place + 3) % N_BATCH] = features[place]
        assert np.array_equal(embed(alone)[(place + 3) % N_BATCH], whole[place])


@pytest.mark.parametrize("pattern", ["en/long/gb0.wav", "de/kerstin/*.flac"])
def test_a_monologue_is_one_speaker(diarizer: Diarizer, pattern: str):
    assert len(found(diarizer, stretches(voice(pattern, 60))).centres) == 1


def test_noise_is_nobody(diarizer: Diarizer):
    for one in real_speech.recordings():
        if one.kind == "nospeech" and ("Dog" in one.name or "sneeze" in one.name or "Rain" in one.name):
            assert found(diarizer, stretches(conversations.load(one.path))).turns == (), one.name


def test_speakers_get_the_names_of_their_clips(talk: Stretches, tmp_path):
    (tmp_path / "Kerstin").mkdir()
    for number in ("0060", "0063"):
        path = real_speech.speech() / "de" / "kerstin" / f"de_rhasspy-{number}.flac"
        (tmp_path / "Kerstin" / path.name).symlink_to(path)
    (tmp_path / "Ljubljana.wav").symlink_to(real_speech.speech() / "en" / "ljspeech" / "LJ001-0001.wav")
    options = SpeakerOptions(enabled=True, model=str(MODEL), names=tmp_path)
    named = open_diarizer(options, offline=True, read_clip=conversations.load)
    assert found(named, talk).names == ("Kerstin", None)
