"""The leaves of the diarizer one by one: energies, networks, windows, clustering, turns, names, stretches."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from speaker_networks import campplus_state, segmentation_state, tone
from whisperbatch.errors import UsageError
from whisperbatch.options import SpeakerOptions
from whisperbatch.records import SAMPLE_RATE, Clip, Turn
from whisperbatch.speakers import clustering, windows
from whisperbatch.speakers.campplus import CampPlus
from whisperbatch.speakers.clustering import Bounds, cluster
from whisperbatch.speakers.diarizer import unit
from whisperbatch.speakers.fbank import N_MELS, fbank, n_frames_of
from whisperbatch.speakers.names import match_names
from whisperbatch.speakers.segmentation import N_FIELD, N_STEP, Segmentation
from whisperbatch.speakers.stretches import stretches_of
from whisperbatch.speakers.turns import CELL_S, N_CELL, AnalysedStretch, turns_of

# ------------------------------------------------------------------------------------------------------------- energies


def test_energies_are_kaldis():
    kaldi = pytest.importorskip("kaldi_native_fbank")
    samples = np.random.default_rng(1).normal(0, 2000, 24_000).astype(np.int16)
    options = kaldi.FbankOptions()
    options.frame_opts.samp_freq, options.frame_opts.dither, options.mel_opts.num_bins = SAMPLE_RATE, 0, N_MELS
    judge = kaldi.OnlineFbank(options)
    judge.accept_waveform(SAMPLE_RATE, (samples / 32768).astype(np.float32).tolist())
    judge.input_finished()
    expected = np.stack([judge.get_frame(number) for number in range(judge.num_frames_ready)])
    assert np.allclose(fbank(samples), expected - expected.mean(axis=0), atol=2e-3)


def test_energies_rise_where_the_sound_is():
    silence = np.random.default_rng(0).normal(0, 3, SAMPLE_RATE // 2)
    features = fbank(np.concatenate([silence, tone(1000, 0.5)]).astype(np.int16))
    mel = 1127 * np.log(1 + 1000 / 700)
    bottom, top = 1127 * np.log(1 + 20 / 700), 1127 * np.log(1 + 8000 / 700)
    assert features[60:].max(axis=0).argmax() == round((mel - bottom) / (top - bottom) * (N_MELS + 1)) - 1
    assert np.allclose(features.mean(axis=0), 0, atol=1e-4)


@pytest.mark.parametrize("n_samples", [400, 559, 560, 24_000])
def test_only_whole_frames_count(n_samples: int):
    assert len(fbank(tone(300, 2)[:n_samples])) == n_frames_of(n_samples) == 1 + (n_samples - 400) // 160


# ------------------------------------------------------------------------------------------------------------- networks


def plain_campplus(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """CAM++ as the paper draws it, nothing folded, for the part up to the first dense block."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *parts)

    x = F.relu(norm(F.conv2d(x.transpose(1, 2)[:, None], state["head.conv1.weight"], padding=1), "head.bn1"))
    for name, stride in (("layer1.0", 2), ("layer1.1", 1), ("layer2.0", 2), ("layer2.1", 1)):
        name = f"head.{name}"
        y = F.relu(norm(F.conv2d(x, state[f"{name}.conv1.weight"], stride=(stride, 1), padding=1), f"{name}.bn1"))
        y = norm(F.conv2d(y, state[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
        if stride == 2:
            x = norm(F.conv2d(x, state[f"{name}.shortcut.0.weight"], stride=(2, 1)), f"{name}.shortcut.1")
        x = F.relu(x + y)
    return F.relu(norm(F.conv2d(x, state["head.conv2.weight"], stride=(2, 1), padding=1), "head.bn2")).flatten(1, 2)


def test_folding_batch_norms_changes_nothing():
    state, x = campplus_state(), torch.randn(3, 148, N_MELS, generator=torch.Generator().manual_seed(1))
    folded = CampPlus(state, "cpu")._head(x.transpose(1, 2)[:, None])
    assert torch.allclose(folded, plain_campplus(state, x), atol=1e-4)


def test_voices_have_the_checkpoints_size_and_hang_on_the_window():
    network = CampPlus(campplus_state(), "cpu")
    one, other = (np.random.default_rng(seed).normal(size=(8, 148, N_MELS)).astype(np.float32) for seed in (1, 2))
    assert network(one).shape == (8, network.n_dims)
    assert not np.allclose(network(one), network(other), atol=1e-3)


def test_segments_of_a_mask_are_a_hundred_frames():
    network = CampPlus(campplus_state(), "cpu")
    x = torch.zeros(1, 8, 300)
    x[..., 150:] = 1.0  # half of the second segment, all of the third
    masked = network._masked(x, "xvector.block1.tdnnd1.cam_layer", 1)[0]
    plain = F.conv1d(x, network._state["xvector.block1.tdnnd1.cam_layer.linear_local.weight"], padding=1)[0]
    masks = (masked / plain)[:, 152:198]  # zeros convolve to nothing
    assert masks.std(dim=1).max() < 1e-5
    context = x.mean(-1) + 0.5
    pair = [network._pair(f"xvector.block1.tdnnd1.cam_layer.linear{number}") for number in (1, 2)]
    expected = torch.sigmoid(pair[1][0][..., 0] @ F.relu(pair[0][0][..., 0] @ context[0] + pair[0][1]) + pair[1][1])
    assert torch.allclose(masks[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize(("n_samples", "n_frames"), [(160_000, 589), (N_FIELD + N_STEP, 2), (N_FIELD + 9 * N_STEP, 10)])
def test_segmentation_gives_a_frame_each_270_samples(n_samples: int, n_frames: int):
    wave = np.random.default_rng(0).normal(0, 0.1, n_samples).astype(np.float32)
    assert Segmentation(segmentation_state(), "cpu")(wave).shape == (n_frames, 7)


def test_filters_pass_their_band():
    network = Segmentation(segmentation_state(), "cpu")
    response = torch.fft.rfft(network._filters[:, 0], SAMPLE_RATE).abs()  # (80, 8001): a bin a hertz
    low = 50 + torch.linspace(30, 7000, 40)
    for row in range(40):
        middle = low[row] + 85
        inside, outside = response[row, int(middle)], response[row, max(0, int(middle) - 1000) :][:300]
        assert inside > 0.5
        assert row < 8 or inside > 5 * outside.max()


# -------------------------------------------------------------------------------------------------------------- windows


@pytest.mark.parametrize("n_samples", [1, 23_999, 24_000, 24_001, 30_001, 41_999, 42_001, 480_000])
def test_windows_cover_a_stretch_evenly(n_samples: int):
    told = windows.places(n_samples, windows.N_WINDOW, windows.N_HOP)
    assert told[0][0] == 0
    assert told[-1][1] == n_samples
    assert {end - start for start, end in told} == {min(n_samples, windows.N_WINDOW)}
    hops = [b[0] - a[0] for a, b in itertools.pairwise(told)]
    assert all(0 < hop <= 1.5 * windows.N_HOP + 1 for hop in hops)


def test_a_short_window_is_repeated_and_not_padded():
    told = windows.filled(np.arange(1, 10_001, dtype=np.int16))
    assert len(told) == windows.N_WINDOW
    assert (told[:10_000] == told[10_000:20_000]).all()
    assert (told > 0).all()


# ----------------------------------------------------------------------------------------------------------- clustering


def voices_of(counts: list[int], spread: float = 0.055, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Voices of some speakers mixed in time, cosine about 0.6 within a speaker, and whose each is."""
    random = np.random.default_rng(seed)
    truth = random.permutation(np.repeat(np.arange(len(counts)), counts))
    centres = unit(random.normal(size=(len(counts), 192)))
    return unit(centres[truth] + random.normal(size=(len(truth), 192)) * spread), truth


def agrees(labels: np.ndarray, truth: np.ndarray) -> bool:
    """Whether two labellings are the same up to their numbers."""
    return len(set(zip(labels, truth, strict=True))) == len(set(truth)) == len(set(labels))


@pytest.mark.parametrize(
    "counts", [[60], [6], [30, 30], [5, 5], [40, 30, 20], [25] * 5, [20] * 8, [100, 12], [1], [1, 1]]
)
def test_speakers_are_counted_and_told_apart(counts: list[int]):
    voices, truth = voices_of(counts)
    assert agrees(cluster(voices, np.full(len(voices), 0.75), Bounds()), truth)


@pytest.mark.parametrize("counts", [[30, 30, 30], [5, 5, 5]])
@pytest.mark.parametrize("bounds", [Bounds(1, 2), Bounds(2, 2), Bounds(5, 5), Bounds(4, None), Bounds(1, 1)])
def test_bounds_are_honoured(counts: list[int], bounds: Bounds):
    voices, _ = voices_of(counts)
    n_speakers = len(set(cluster(voices, np.full(len(voices), 0.75), bounds)))
    assert bounds.least <= n_speakers <= (bounds.most or n_speakers)
    assert n_speakers == max(bounds.least, min(bounds.most or 3, 3))


def test_there_are_never_more_speakers_than_voices():
    voices, _ = voices_of([2, 1])
    assert len(set(cluster(voices, np.full(3, 0.75), Bounds(9, 9)))) == 3


def test_a_speaker_with_hardly_any_speech_is_somebody_else():
    voices, truth = voices_of([60, 60, 3])
    seconds = np.full(len(voices), 0.75)  # the third has 2.25 s
    labels = clustering._without_small(voices, seconds, truth, Bounds())
    assert labels.max() == 1
    assert agrees(labels[truth < 2], truth[truth < 2])
    assert (clustering._without_small(voices, seconds, truth, Bounds(3)) == truth).all()
    assert (clustering._without_small(voices, 2 * seconds, truth, Bounds()) == truth).all()


def test_in_a_short_recording_little_speech_is_a_speaker():
    voices, truth = voices_of([3, 1])
    assert (clustering._without_small(voices, np.full(4, 0.75), truth, Bounds()) == truth).all()


def test_speakers_that_sound_the_same_are_one():
    voices, _ = voices_of([60])
    labels = (np.arange(60) % 2).astype(int)
    assert clustering._merged(voices, labels, Bounds()).max() == 0
    assert clustering._merged(voices, labels, Bounds(2)).max() == 1


def test_long_recordings_are_clustered_by_a_sample(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clustering, "MAX_VOICES", 90)
    seen = []
    spectral = clustering._spectral
    monkeypatch.setattr(clustering, "_spectral", lambda some, bounds: seen.append(len(some)) or spectral(some, bounds))
    voices, truth = voices_of([200, 150, 120])
    assert agrees(cluster(voices, np.full(len(voices), 0.75), Bounds()), truth)
    assert seen == [90]


def test_equal_voices_are_one_speaker():
    for n in (1, 2, 30, 100):
        voices = unit(np.ones((n, 192)) / 3)
        assert set(cluster(voices, np.full(n, 0.75), Bounds())) == {0}


def test_no_voices_no_speakers():
    assert len(cluster(np.zeros((0, 192), np.float32), np.zeros(0), Bounds())) == 0


# ---------------------------------------------------------------------------------------------------------------- turns

A, B = unit(np.eye(2))
CENTRES = np.stack([A, B]).astype(float)


def heard(start_s: float, seconds: float, voices: list[np.ndarray], classes: dict[tuple[float, float], int] | None):
    """A stretch with windows of equal length, and segmentation-3.0's class by time; 1 elsewhere."""
    n_samples = round(seconds * SAMPLE_RATE)
    length = n_samples // len(voices)
    places = [(number * length, (number + 1) * length) for number in range(len(voices))]
    cells = np.ones(-(-n_samples // N_CELL), np.uint8) if classes is not None else np.zeros(0, np.uint8)
    for (start, end), what in (classes or {}).items():
        cells[round(start / CELL_S) : -(-round(end * SAMPLE_RATE) // N_CELL)] = what
    return AnalysedStretch(start_s, n_samples, places, np.stack(voices), cells)


def rounded(turns: list[Turn]) -> list[tuple[float, float, int]]:
    return [(round(turn.start_s, 1), round(turn.end_s, 1), turn.speaker) for turn in turns]


def test_speakers_change_between_windows():
    assert rounded(turns_of([heard(10, 4, [A, A, B, B], None)], CENTRES)) == [(10, 12, 0), (12, 14, 1)]


def test_an_edge_moves_to_where_another_voice_begins():
    classes = {(2.4, 4.0): 2}
    assert rounded(turns_of([heard(0, 4, [A, A, B, B], classes)], CENTRES)) == [(0, 2.4, 0), (2.4, 4, 1)]
    classes = {(3.0, 4.0): 2}  # too far
    assert rounded(turns_of([heard(0, 4, [A, A, B, B], classes)], CENTRES)) == [(0, 2, 0), (2, 4, 1)]


def test_the_second_voice_is_the_nearest_other_speaker():
    stretches = [heard(0, 4, [A, A, A, A], {(3.0, 4.0): 4}), heard(5, 2, [B, B], {})]
    assert rounded(turns_of(stretches, CENTRES)) == [(0, 4, 0), (3, 4, 1), (5, 7, 1)]


def test_two_voices_with_one_speaker_in_reach_are_one_turn():
    stretches = [heard(0, 4, [A, A, A, A], {(3.0, 4.0): 4}), heard(60, 2, [B, B], {})]
    assert rounded(turns_of(stretches, CENTRES)) == [(0, 4, 0), (60, 62, 1)]
    assert rounded(turns_of(stretches[:1], CENTRES[:1])) == [(0, 4, 0)]


def test_short_overlaps_are_doubt():
    stretches = [heard(0, 4, [A, A, A, A], {(3.8, 3.85): 4}), heard(4.2, 2, [B, B], {})]
    assert rounded(turns_of(stretches, CENTRES)) == [(0, 4, 0), (4.2, 6.2, 1)]


def test_silence_ends_turns_at_the_ends_of_a_stretch_and_where_it_is_long():
    classes = {(0.0, 0.3): 0, (3.7, 4.0): 0}
    assert rounded(turns_of([heard(0, 4, [A] * 4, classes)], CENTRES)) == [(0.3, 3.7, 0)]
    assert rounded(turns_of([heard(0, 4, [A] * 4, {(1.0, 1.8): 0})], CENTRES)) == [(0, 4, 0)]
    assert rounded(turns_of([heard(0, 4, [A] * 4, {(1.0, 2.2): 0})], CENTRES)) == [(0, 1, 0), (2.2, 4, 0)]


def test_short_pauses_do_not_end_a_turn():
    stretches = [heard(0, 2, [A, A], None), heard(2.4, 2, [A, A], None), heard(5.0, 2, [A, A], None)]
    assert rounded(turns_of(stretches, CENTRES)) == [(0, 4.4, 0), (5, 7, 0)]


def test_confidence_is_low_where_voices_are_between_two_speakers():
    between = unit((A + B)[None])[0]
    (sure,), (unsure,) = (turns_of([heard(0, 2, [one, one], None)], CENTRES) for one in (A, between))
    assert sure.confidence > 0.99
    assert unsure.confidence == pytest.approx(0.5, abs=0.01)


# ---------------------------------------------------------------------------------------------------------------- names


def test_each_name_goes_to_the_speaker_most_like_it():
    close, closer = unit(np.array([[1, 0.6, 0], [1, 0.2, 0]]))
    references = {"Ada": np.array([1, 0, 0], np.float32), "Bob": np.array([0, 0, 1], np.float32)}
    assert match_names(np.stack([close, closer, unit(np.array([[0, 1, 0.3]]))[0]]), references) == (None, "Ada", None)


def test_a_speaker_has_one_name():
    references = {"Ada": A, "Ada again": unit((A + B / 4)[None])[0]}
    assert match_names(A[None], references) == ("Ada",)
    assert match_names(CENTRES, {}) == (None, None)
    assert match_names(np.zeros((0, 2)), references) == ()


# ------------------------------------------------------------------------------------------------------------ stretches


def clip(seconds: float, **given: object) -> Clip:
    return Clip(1, 0, 100.0, np.arange(round(seconds * SAMPLE_RATE)) % 3000, **given)


def spans(one: Clip) -> list[tuple[float, float]]:
    return [(round(start_s, 3), round(len(samples) / SAMPLE_RATE, 3)) for start_s, samples in stretches_of(one)]


def test_speech_across_short_pauses_is_one_stretch():
    assert spans(clip(10, speech=((1, 2), (2.4, 3), (3.5, 5)))) == [(101, 2), (103.5, 1.5)]


def test_stretches_are_where_the_speech_is_in_the_file():
    one = clip(10, speech=((1, 2), (4, 5), (7, 9)), joins=((3.0, 20.0), (6.0, 50.0)))
    assert spans(one) == [(101, 1), (124, 1), (157, 2)]
    samples = [samples[0] for _, samples in stretches_of(one)]
    assert samples == [place * SAMPLE_RATE % 3000 for place in (1, 4, 7)]


def test_long_speech_comes_in_pieces():
    assert spans(clip(70, speech=((5, 70),))) == [(105, 21.667), (126.667, 21.667), (148.333, 21.667)]


def test_all_is_speech_where_none_was_looked_for():
    assert spans(clip(3)) == [(100, 3)]
    assert spans(clip(0)) == []


def test_speech_beyond_the_samples_is_cut():
    assert spans(clip(3, speech=((2, 3.5),))) == [(102, 1)]


# -------------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"min_speakers": 0}, "between 1 and 50"),
        ({"max_speakers": 51}, "between 1 and 50"),
        ({"min_speakers": 3, "max_speakers": 2}, "at least 3 and at most 2"),
        ({"model": " "}, "must not be empty"),
        ({"model": "a\udc80"}, "valid UTF-8"),
    ],
)
def test_options_that_make_no_sense_are_refused(given: dict[str, object], fault: str):
    with pytest.raises(UsageError, match=fault):
        SpeakerOptions(enabled=True, **given)
