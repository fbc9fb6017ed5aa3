"""Cutting: nothing lost, nothing too long, the same whatever the blocks, and in the pauses."""

from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperbatch.audio import clips as clips_room
from whisperbatch.audio.clips import cut
from whisperbatch.records import N_SAMPLES, SAMPLE_RATE


def blocks_of(samples: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    blocks, at, i = [], 0, 0
    while at < len(samples):
        size = max(1, sizes[i % len(sizes)])
        blocks.append(samples[at : at + size])
        at, i = at + size, i + 1
    return blocks


@settings(deadline=None, max_examples=30)
@given(
    seconds=st.floats(0, 100),
    seed=st.integers(0, 1000),
    sizes=st.lists(st.integers(500, 700_000), min_size=1, max_size=5),
)
def test_clips_joined_are_the_input_whatever_the_blocks(seconds: float, seed: int, sizes: list[int]):
    rng = np.random.default_rng(seed)
    n = int(seconds * SAMPLE_RATE)
    loud = np.repeat(rng.integers(0, 3000, n // 4000 + 1), 4000)[:n]
    samples = (rng.standard_normal(n) * loud).clip(-32768, 32767).astype(np.int16)
    clips = list(cut(blocks_of(samples, sizes)))
    assert np.array_equal(np.concatenate([c for _, c in clips]) if clips else np.zeros(0, np.int16), samples)
    assert all(0 < len(c) <= N_SAMPLES for _, c in clips)
    starts = np.cumsum([0, *(len(c) for _, c in clips)])[:-1]
    assert [start for start, _ in clips] == starts.tolist()
    again = list(cut([samples] if n else []))
    assert [len(c) for _, c in clips] == [len(c) for _, c in again]


def test_the_cut_lies_in_the_pause():
    rng = np.random.default_rng(0)
    samples = (rng.standard_normal(50 * SAMPLE_RATE) * 3000).astype(np.int16)
    pause = slice(24 * SAMPLE_RATE, int(24.5 * SAMPLE_RATE))
    samples[pause] = samples[pause] // 300
    (first, *_) = cut([samples])
    assert 24.0 <= len(first[1]) / SAMPLE_RATE <= 24.5


def test_silence_is_cut_late_and_a_short_file_not_at_all():
    lengths = [len(c) for _, c in cut([np.zeros(45 * SAMPLE_RATE, np.int16)])]
    assert len(lengths) == 2
    assert lengths[0] > 29 * SAMPLE_RATE
    assert [len(c) for _, c in cut([np.zeros(N_SAMPLES, np.int16)])] == [N_SAMPLES]
    assert list(cut([])) == []


@settings(deadline=None)
@given(
    samples=st.lists(st.sampled_from([0, 1, -1, 2, 300, -32768]), max_size=400),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=5),
)
def test_each_cut_is_the_quietest_place_near_the_limit(samples: list[int], sizes: list[int]):
    """Windows of 40 samples, cut in their last 16, against the plain way to say it."""
    wave, expected, start = np.array(samples, np.int16), [], 0
    while len(wave) - start > 40:
        energies = {at: sum(int(x) ** 2 for x in wave[start + at : start + at + 4]) for at in range(24, 37, 2)}
        length = max(at for at, energy in energies.items() if energy == min(energies.values())) + 2
        expected.append((start, length))
        start += length
    expected += [(start, len(wave) - start)] * (start < len(wave))
    with mock.patch.multiple(clips_room, N_SAMPLES=40, N_SEARCH=16, N_QUIET=4, N_HOP=2):
        assert [(at, len(clip)) for at, clip in cut(blocks_of(wave, sizes))] == expected


def test_clips_do_not_change_when_later_ones_are_cut():
    samples = np.arange(70 * SAMPLE_RATE).astype(np.int16)
    clips = list(cut(blocks_of(samples, [1000])))
    assert all(np.array_equal(clip, samples[start : start + len(clip)]) for start, clip in clips)
