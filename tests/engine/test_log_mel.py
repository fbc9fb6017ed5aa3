"""Log-mel features against transformers (``clip``) and openai-whisper (``file``), on sounds of every length."""

import librosa
import numpy as np
import pytest
import torch
import whisper
from transformers import WhisperFeatureExtractor
from transformers.audio_utils import mel_filter_bank
from whisper.audio import log_mel_spectrogram, pad_or_trim

import corpus
from whisperbatch.engine.model.log_mel import N_FFT, LogMel
from whisperbatch.engine.model.mel_filters import mel_filters
from whisperbatch.records import N_SAMPLES, SAMPLE_RATE

CLOSE = 2e-4  # of values between -1 and 2; float32 sums in another order
LENGTHS = [1, 159, 160, 161, 199, 200, 201, 1600, 16_001, 100_000, N_SAMPLES - 1, N_SAMPLES]


def extractor(n_mels: int) -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(feature_size=n_mels)


def mel_of(n_mels: int) -> LogMel:
    return LogMel(np.array(extractor(n_mels).mel_filters), torch.device("cpu"), torch.float32)


def loud(n_samples: int, seed: int = 0) -> np.ndarray:
    """Speech with noise, so that no frame is alike, int16."""
    rng = np.random.default_rng(seed)
    wave = np.resize(corpus.speech(rng, 4), n_samples) * 0.5 + corpus.noise(rng, n_samples, 300)
    return wave.astype(np.int16)


def theirs(samples: np.ndarray, n_mels: int = 80) -> torch.Tensor:
    """openai-whisper's features of a file, thirty seconds of silence after it."""
    return log_mel_spectrogram(samples.astype(np.float32) / 32768, n_mels, padding=N_SAMPLES)


class Spooled:
    """Samples that are no array: only lengths and slices without a step are to be had."""

    def __init__(self, samples: np.ndarray) -> None:
        self._samples, self.largest = samples, 0

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, span: slice) -> np.ndarray:
        assert span.step is None
        assert 0 <= span.start <= span.stop
        part = self._samples[span]
        self.largest = max(self.largest, len(part))
        return part


@pytest.mark.parametrize("n_mels", [80, 128])
def test_the_filter_bank_is_librosas_and_openai_whispers(n_mels: int):
    bank = mel_of(n_mels)._bank
    slaney = librosa.filters.mel(sr=16_000, n_fft=400, n_mels=n_mels)
    assert bank.shape == (n_mels, 201)
    np.testing.assert_allclose(bank.numpy(), slaney, atol=1e-6)
    np.testing.assert_allclose(bank.numpy(), whisper.audio.mel_filters("cpu", n_mels).numpy(), atol=1e-6)


@pytest.mark.parametrize("n_mels", [80, 128])
def test_the_filter_bank_is_transformers_to_the_last_bit(n_mels: int):
    theirs = mel_filter_bank(201, n_mels, 0.0, 8000.0, 16_000, norm="slaney", mel_scale="slaney")
    assert np.array_equal(mel_filters(n_mels, N_FFT, SAMPLE_RATE), theirs)


@pytest.mark.parametrize("n_mels", [80, 128])
def test_clips_are_as_transformers_pads_them(n_mels: int):
    waves = [loud(n, seed) for seed, n in enumerate(LENGTHS)] + [np.zeros(5000, np.int16)]
    ours = mel_of(n_mels).clips(waves)
    assert ours.shape == (len(waves), n_mels, 3000)
    for wave, mine in zip(waves, ours, strict=True):
        reference = extractor(n_mels)(wave.astype(np.float32) / 32768, sampling_rate=16_000, return_tensors="pt")
        difference = (mine - reference.input_features[0]).abs().max()
        assert difference < CLOSE, (len(wave), float(difference))


def test_a_clips_features_depend_on_no_neighbour():
    mel, waves = mel_of(80), [loud(n, seed) for seed, n in enumerate(LENGTHS)]
    together = mel.clips(waves)
    for index in (0, 4, 9):
        assert (mel.clips([waves[index]])[0] - together[index]).abs().max() < 1e-5


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("n_samples", [1, 100, 201, 16_000, 480_000, 480_033, 1_000_159])
def test_windows_of_a_file_are_openai_whispers(n_mels: int, n_samples: int):
    samples, mel = loud(n_samples), mel_of(n_mels)
    whole, n_frames = theirs(samples, n_mels), n_samples // 160
    top = mel.maximum(samples)
    for start in {0, 1, 2, min(2987, n_frames), max(0, n_frames - 1500), max(0, n_frames - 7)}:
        size = min(3000, n_frames - start)
        if size <= 0:
            continue
        reference = pad_or_trim(whole[:, start : start + size], 3000)
        difference = (mel.stretch(samples, start, size, top) - reference).abs().max()
        assert difference < CLOSE, (start, float(difference))


def test_a_window_may_end_within_the_file_and_reach_beyond_it():
    samples, mel = loud(500_000), mel_of(80)
    whole, top = theirs(samples), mel.maximum(samples)
    for start, size in ((100, 50), (1000, 3000), (3000, 125)):
        reference = pad_or_trim(whole[:, start : start + size], 3000)
        assert (mel.stretch(samples, start, size, top) - reference).abs().max() < CLOSE
    short = loud(70_000)  # language is asked of 30 seconds, and the file may be shorter
    reference = pad_or_trim(theirs(short), 3000)
    assert (mel.stretch(short, 0, 3000, mel.maximum(short)) - reference).abs().max() < CLOSE


@pytest.mark.parametrize("at", [0, 700_000, -1])
def test_the_floor_is_the_files_own(at: int):
    samples = (loud(900_037) * 0.02).astype(np.int16)
    samples[at] = 32_000  # a click, at the very start, in the third window, at the very end
    mel, whole = mel_of(80), theirs(samples)
    reference = pad_or_trim(whole[:, 3000:6000], 3000)
    assert (
        mel.stretch(samples, 3000, 2625, mel.maximum(samples)) - pad_or_trim(whole[:, 3000:5625], 3000)
    ).abs().max() < CLOSE
    alone = mel.clips([samples[N_SAMPLES : 2 * N_SAMPLES]])[0]
    assert at != 0 or (alone - reference).abs().max() > 0.1  # the other profile takes the window's own floor


def test_a_spooled_file_is_read_a_window_at_a_time():
    samples, mel = loud(1_500_077), mel_of(80)
    spooled = Spooled(samples)
    assert mel.maximum(spooled) == mel.maximum(samples)
    top = mel.maximum(samples)
    for start in (0, 5, 4000, 9000):
        size = min(3000, len(samples) // 160 - start)
        assert torch.equal(mel.stretch(spooled, start, size, top), mel.stretch(samples, start, size, top))
    assert spooled.largest <= N_SAMPLES + 400
