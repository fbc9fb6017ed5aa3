"""One contract for every diarizer, the fake one included; and how windows of several files share batches."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch

from speaker_networks import campplus_state, segmentation_state, tone
from whisperbatch.options import SpeakerOptions
from whisperbatch.records import SAMPLE_RATE
from whisperbatch.speakers import Diarization, Diarizer, windows
from whisperbatch.speakers.build import on_threads
from whisperbatch.speakers.campplus import CampPlus
from whisperbatch.speakers.clustering import Bounds
from whisperbatch.speakers.diarizer import N_BATCH, WindowDiarizer, classes_of, diarized, unit, voice_of
from whisperbatch.speakers.fake import FakeDiarizer
from whisperbatch.speakers.fbank import N_MELS
from whisperbatch.speakers.segmentation import Segmentation
from whisperbatch.speakers.turns import AnalysedStretch

AUTO = SpeakerOptions(enabled=True)
TALK = [(0.0, tone(300, 4)), (4.5, np.concatenate([tone(100, 3), tone(900, 2.3)])), (11.0, tone(300, 2.1))]


def small() -> WindowDiarizer:
    """Both networks, small and of random weights, on one of torch's threads each, as the product runs them."""
    embed, segment = CampPlus(campplus_state(), "cpu"), Segmentation(segmentation_state(), "cpu")
    return WindowDiarizer(on_threads(embed, 1), on_threads(segment, 1), {})


def by_pitch(features: np.ndarray) -> np.ndarray:
    """A network for tests: the voice of a window is which frequencies come and go the most."""
    powers = np.square(features).mean(axis=1)
    return (powers / np.maximum(powers.max(axis=1, keepdims=True), 1e-9)) ** 16


def pitched(**given: object) -> WindowDiarizer:
    return WindowDiarizer(by_pitch, None, **({"references": {}} | given))


MAKERS = [FakeDiarizer, pitched, small]


def same(one: Diarization, other: Diarization) -> bool:
    """Whether two are equal to the last bit."""
    return one.turns == other.turns and np.array_equal(one.centres, other.centres) and one.names == other.names


def found(diarizer: Diarizer, file_id: int = 1, options: SpeakerOptions = AUTO) -> Diarization:
    for start_s, samples in TALK:
        diarizer.add(file_id, start_s, samples)
    return diarizer.finish(file_id, options)


@pytest.mark.parametrize("make", MAKERS)
def test_turns_are_in_order_and_within_the_speech(make: Callable[[], Diarizer]):
    told = found(make())
    assert told.turns
    assert [t.start_s for t in told.turns] == sorted(t.start_s for t in told.turns)
    assert all(0 <= t.start_s < t.end_s <= 13.1 + 1e-6 and 0 <= t.confidence <= 1 for t in told.turns)
    speakers = list(dict.fromkeys(t.speaker for t in told.turns))
    assert speakers == list(range(len(told.centres))) == list(range(len(told.names)))


@pytest.mark.parametrize("make", MAKERS)
def test_the_order_of_stretches_does_not_matter(make: Callable[[], Diarizer]):
    diarizer = make()
    for start_s, samples in reversed(TALK):
        diarizer.add(2, start_s, samples)
    assert same(diarizer.finish(2, AUTO), found(make()))


@pytest.mark.parametrize("make", MAKERS)
def test_other_files_do_not_matter(make: Callable[[], Diarizer]):
    diarizer = make()
    diarizer.add(5, 0.0, tone(450, 5))
    for start_s, samples in TALK:
        diarizer.add(6, start_s, samples)
        diarizer.add(5, 10 + start_s, np.flip(samples))
    assert same(diarizer.finish(6, AUTO), found(make()))
    assert diarizer.finish(5, AUTO).turns


@pytest.mark.parametrize("make", MAKERS)
def test_files_without_speech_have_no_speakers(make: Callable[[], Diarizer]):
    diarizer = make()
    assert same(diarizer.finish(3, AUTO), Diarization())
    diarizer.add(4, 0.0, np.zeros(0, np.int16))
    assert diarizer.finish(4, AUTO).turns == ()


@pytest.mark.parametrize("make", MAKERS)
def test_a_file_is_forgotten_at_its_end_and_on_request(make: Callable[[], Diarizer]):
    diarizer = make()
    found(diarizer)
    assert diarizer.finish(1, AUTO).turns == ()
    diarizer.add(2, 0.0, tone(300, 2))
    diarizer.forget(2)
    diarizer.forget(99)
    assert diarizer.finish(2, AUTO).turns == ()


@pytest.mark.parametrize("make", MAKERS)
def test_samples_may_change_once_they_are_taken(make: Callable[[], Diarizer]):
    diarizer = make()
    for start_s, samples in TALK:
        lent = samples.copy()
        diarizer.add(1, start_s, lent)
        lent[:] = 0
    assert same(diarizer.finish(1, AUTO), found(make()))


@pytest.mark.parametrize("make", MAKERS)
def test_any_thread_may_call(make: Callable[[], Diarizer]):
    diarizer, told = make(), {}

    def work(file_id: int) -> None:
        told[file_id] = found(diarizer, file_id)

    threads = [threading.Thread(target=work, args=(file_id,)) for file_id in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = found(make())
    assert len(told) == 6
    assert all(same(one, alone) for one in told.values())


def test_the_number_of_threads_that_torch_has_does_not_matter():
    """Numbers of threads round differently, and a thread starts with the number that any other one set last."""
    before, told = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            told.append(found(small()))
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    assert same(*told)


@pytest.mark.parametrize("make", [FakeDiarizer, pitched])
def test_tones_are_told_apart(make: Callable[[], Diarizer]):
    told = found(make())
    assert [t.speaker for t in told.turns] == [0, 1, 2, 0]
    assert [t.start_s for t in told.turns] == pytest.approx([0, 4.5, 7.5, 11], abs=0.4)


@pytest.mark.parametrize("make", [FakeDiarizer, pitched])
def test_no_more_speakers_than_asked_for(make: Callable[[], Diarizer]):
    told = found(make(), options=SpeakerOptions(enabled=True, max_speakers=2))
    assert len(told.centres) == 2


def test_exactly_as_many_speakers_as_asked_for():
    for number in (1, 2, 4):
        told = found(pitched(), options=SpeakerOptions(enabled=True, min_speakers=number, max_speakers=number))
        assert len(told.centres) == number


def test_every_batch_has_the_same_shape_and_is_run_once_it_is_full():
    shapes = []

    def embed(features: np.ndarray) -> np.ndarray:
        shapes.append(features.shape)
        return by_pitch(features)

    diarizer = WindowDiarizer(embed, None, {})
    for number in range(2 * N_BATCH - 1):
        diarizer.add(number % 3, float(number), tone(300, 0.9))
        assert len(shapes) == (number + 1) // N_BATCH  # so no more than a batch ever waits
    diarizer.finish(0, AUTO), diarizer.finish(1, AUTO)
    assert shapes == [(N_BATCH, 148, N_MELS)] * 2


@pytest.mark.parametrize("place", range(N_BATCH))
def test_a_window_is_the_same_to_the_last_bit_anywhere_in_a_batch(place: int):
    network = CampPlus(campplus_state(), "cpu")
    random = np.random.default_rng(place)
    features = random.normal(size=(N_BATCH, 148, N_MELS)).astype(np.float32)
    alone = np.zeros_like(features)
    alone[0] = features[place]
    assert np.array_equal(network(features)[place], network(alone)[0])


def test_a_batch_that_fails_is_kept_and_costs_no_other_file():
    fails = [True]

    def embed(features: np.ndarray) -> np.ndarray:
        if fails[0]:
            raise MemoryError
        return by_pitch(features)

    diarizer = WindowDiarizer(embed, None, {})
    diarizer.add(1, 0.0, tone(300, 3))
    with pytest.raises(MemoryError):
        diarizer.add(2, 0.0, tone(100, 9))
    diarizer.forget(2)
    fails[0] = False
    assert [(t.start_s, t.end_s, t.speaker) for t in diarizer.finish(1, AUTO).turns] == [(0.0, 3.0, 0)]


def test_speakers_are_named_after_reference_clips():
    references = {"Low": voice_of(tone(100, 3), by_pitch), "High": voice_of(tone(900, 3), by_pitch)}
    assert found(pitched(references=references)).names == (None, "Low", "High")


def test_quiet_parts_of_a_reference_clip_count_for_nothing():
    clip = np.concatenate([tone(300, 3), (tone(900, 6) // 100).astype(np.int16)])
    assert voice_of(clip, by_pitch) @ voice_of(tone(300, 3), by_pitch) > 0.99


def heard(classes: np.ndarray, seconds: float) -> AnalysedStretch:
    n_samples = round(seconds * SAMPLE_RATE)
    voices = unit(np.ones((1, 4), np.float32))
    return AnalysedStretch(0.0, n_samples, [(0, n_samples)], voices, classes.astype(np.uint8))


def test_barks_make_no_speaker():
    n_cells = -(-round(0.45 * SAMPLE_RATE) // 270)
    assert diarized([heard(np.ones(n_cells), 0.45)], Bounds(), {}).turns == ()
    assert len(diarized([heard(np.ones(2 * n_cells), 0.9)], Bounds(), {}).turns) == 1


def test_where_nobody_talks_there_is_no_speaker():
    assert diarized([heard(np.zeros(593), 10.0)], Bounds(), {}).turns == ()


def test_each_cell_is_of_the_chunk_whose_middle_is_nearest():
    seen = []

    def segment(wave: np.ndarray) -> np.ndarray:
        number = len(seen) + 1
        seen.append(len(wave))
        return np.eye(7)[np.full(589, number)]

    classes = classes_of(tone(300, 20), segment)
    assert seen == [windows.N_CHUNK] * 3
    assert len(classes) == -(-20 * SAMPLE_RATE // 270)
    edges = np.flatnonzero(np.diff(classes)) * 270 / SAMPLE_RATE
    assert edges == pytest.approx([7.5, 12.5], abs=0.03)


def test_a_frame_is_where_its_middle_is():
    def segment(wave: np.ndarray) -> np.ndarray:
        middles = np.arange((len(wave) - 991) // 270 + 1) * 270 + 495
        return np.eye(7)[(wave[middles] > 0.1).astype(int)]

    samples = np.zeros(5 * SAMPLE_RATE, np.int16)
    samples[3 * SAMPLE_RATE :] = 16000
    edge = np.flatnonzero(np.diff(classes_of(samples, segment)))[0] + 1
    assert edge * 270 / SAMPLE_RATE == pytest.approx(3.0, abs=0.017)


@pytest.mark.parametrize("n_samples", [1, 100, 990, 991, 1500, SAMPLE_RATE])
def test_the_shortest_stretches_are_taken(n_samples: int):
    diarizer = small()
    diarizer.add(1, 0.0, tone(300, 3)[:n_samples])
    diarizer.finish(1, AUTO)
    assert len(classes_of(tone(300, 3)[:n_samples], Segmentation(segmentation_state(), "cpu"))) == -(-n_samples // 270)
