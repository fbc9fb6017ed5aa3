"""Cutting: nothing lost, nothing too long, the same whatever the blocks; packed with speech, or cut in the pauses."""

from collections.abc import Iterable
from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperbatch.audio import clips as clips_room
from whisperbatch.audio.clips import (
    MAX_GAP,
    MAX_VOTERS,
    N_EARLY,
    Cut,
    QuietCutter,
    SpeechCutter,
    StretchCutter,
    WholeCutter,
    cut,
    numbered,
    stretches_of,
)
from whisperbatch.audio.spool import Spool, Spooled
from whisperbatch.audio.vad import N_FRAME, Spans
from whisperbatch.options import SpeechOptions
from whisperbatch.records import N_SAMPLES, SAMPLE_RATE


def blocks_of(samples: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    blocks, at, i = [], 0, 0
    while at < len(samples):
        size = max(1, sizes[i % len(sizes)])
        blocks.append(samples[at : at + size])
        at, i = at + size, i + 1
    return blocks


def quietly(blocks: Iterable[np.ndarray]) -> list[tuple[int, np.ndarray]]:
    """Each clip's start and samples, without speech detection."""
    return [(one.start, one.samples) for one in cut(blocks, lambda channel: QuietCutter(0, channel))]


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
    clips = quietly(blocks_of(samples, sizes))
    assert np.array_equal(np.concatenate([c for _, c in clips]) if clips else np.zeros(0, np.int16), samples)
    assert all(0 < len(c) <= N_SAMPLES for _, c in clips)
    starts = np.cumsum([0, *(len(c) for _, c in clips)])[:-1]
    assert [start for start, _ in clips] == starts.tolist()
    again = quietly([samples] if n else [])
    assert [len(c) for _, c in clips] == [len(c) for _, c in again]


def test_the_cut_lies_in_the_pause():
    rng = np.random.default_rng(0)
    samples = (rng.standard_normal(50 * SAMPLE_RATE) * 3000).astype(np.int16)
    pause = slice(24 * SAMPLE_RATE, int(24.5 * SAMPLE_RATE))
    samples[pause] = samples[pause] // 300
    (first, *_) = quietly([samples])
    assert 24.0 <= len(first[1]) / SAMPLE_RATE <= 24.5


def test_silence_is_cut_late_and_a_short_file_not_at_all():
    lengths = [len(c) for _, c in quietly([np.zeros(45 * SAMPLE_RATE, np.int16)])]
    assert len(lengths) == 2
    assert lengths[0] > 29 * SAMPLE_RATE
    assert [len(c) for _, c in quietly([np.zeros(N_SAMPLES, np.int16)])] == [N_SAMPLES]
    assert quietly([]) == []


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
    with mock.patch.multiple(clips_room, N_SAMPLES=40, N_SEARCH=16, N_QUIET=4, N_HOP=2, SAMPLE_RATE=7):
        assert [(at, len(clip)) for at, clip in quietly(blocks_of(wave, sizes))] == expected


def test_clips_do_not_change_when_later_ones_are_cut():
    samples = np.arange(70 * SAMPLE_RATE).astype(np.int16)
    clips = quietly(blocks_of(samples, [1000]))
    assert all(np.array_equal(clip, samples[start : start + len(clip)]) for start, clip in clips)


class Telling:
    """In the place of the detector: the probabilities are given, a frame for each 512 samples that came."""

    def __init__(self, told: np.ndarray) -> None:
        self._told, self._at, self._n = told, 0, 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        self._n += len(samples)
        return self._until(self._n // N_FRAME)

    def finish(self) -> np.ndarray:
        return self._until(-(-self._n // N_FRAME))

    def _until(self, frame: int) -> np.ndarray:
        out, self._at = self._told[self._at : frame], frame
        return out


def sound(n_samples: int) -> np.ndarray:
    """Samples that tell where they were: no stretch of three of them comes again within an hour."""
    at = np.arange(n_samples, dtype=np.int64)
    return ((at * 2654435761) >> 11).astype(np.int16)


def by_speech(told: np.ndarray, samples: np.ndarray, sizes: list[int], options: SpeechOptions) -> list[Cut]:
    return list(cut(blocks_of(samples, sizes), lambda channel: SpeechCutter(options, 0, channel, Telling(told))))


def place_of(one: Cut, at: int) -> int:
    """Where in the file a sample of the clip was."""
    return one.start + at + max((skipped for join, skipped in one.joins if join <= at), default=0)


def fields(cuts: list[Cut]) -> list[tuple]:
    return [(one.start, one.samples.tobytes(), one.speech, one.joins, one.channel) for one in cuts]


@st.composite
def told_speech(draw) -> tuple[np.ndarray, int]:
    """Probabilities of runs with and without speech, from a frame to a minute; and how many samples there are."""
    lengths = st.one_of(st.integers(1, 10), st.integers(1, 200), st.integers(500, 2000))
    levels = st.sampled_from([0.02, 0.95, 0.02, 0.95, 0.4, 0.6])
    runs = draw(st.lists(st.tuples(levels, lengths), max_size=14))
    told = np.array([level for level, n in runs for _ in range(n)], np.float32)
    return told, max(0, len(told) * N_FRAME - draw(st.integers(0, N_FRAME - 1)))


@settings(deadline=None, max_examples=150)
@given(
    told_speech(),
    st.lists(st.integers(300, 700_000), min_size=1, max_size=4),
    st.sampled_from([0.0, 0.1, 0.4, 3.0]),
    st.sampled_from([0.0, 0.3]),
)
def test_every_sample_of_speech_is_in_one_clip_and_times_map_back(speech, sizes, pad_s, min_speech_s):
    told, n_samples = speech
    options = SpeechOptions(vad_pad_s=pad_s, vad_min_speech_s=min_speech_s)
    finder, samples = Spans(options), sound(n_samples)
    spans = finder.push(told) + finder.finish(n_samples)
    cuts = by_speech(told, samples, sizes, options)

    n_times = np.zeros(n_samples, int)
    for one in cuts:
        n_clip = len(one.samples)
        assert 0 < n_clip <= N_SAMPLES
        places = np.array([place_of(one, at) for at in (0, n_clip - 1)])
        steps = np.ones(n_clip, int)
        steps[0] = one.start
        for (join, skipped), before in zip(one.joins, (0, *(skipped for _, skipped in one.joins)), strict=False):
            steps[join] += skipped - before
        back = np.cumsum(steps)
        assert back[0] == places[0]
        assert back[-1] == places[1]
        assert np.array_equal(samples[back], one.samples)  # each sample is that of its place in the file
        n_times[back] += 1
    assert n_times.max(initial=0) <= 1
    assert all((n_times[span.start : span.end] == 1).all() for span in spans)
    heard = [(place_of(one, first), place_of(one, last - 1) + 1) for one in cuts for first, last in one.speech]
    assert heard == [(span.first, span.last) for span in spans]
    assert fields(cuts) == fields(by_speech(told, samples, [max(1, n_samples)], options))


def test_short_pauses_stay_and_long_ones_are_left_out():
    frames = {True: 100, False: (MAX_GAP + 2 * 6400) // N_FRAME}  # between the pads: just no more than the longest
    told = np.concatenate([
        np.full(frames[True], 0.9), np.zeros(frames[False]), np.full(frames[True], 0.9), np.zeros(frames[False] + 9),
        np.full(frames[True], 0.9),
    ])  # fmt: skip
    n_samples = len(told) * N_FRAME
    (one,) = by_speech(told, sound(n_samples), [5000], SpeechOptions())
    ((join, skipped),) = one.joins
    assert skipped == (frames[False] + 9) * N_FRAME - 2 * 6400
    assert len(one.samples) == n_samples - skipped
    assert join == (2 * frames[True] + frames[False]) * N_FRAME + 6400
    assert len(one.speech) == 3


def conversation(rng: np.random.Generator, pauses: float, seconds: float) -> np.ndarray:
    """Probabilities of phrases of 0.3 to 12 s, of two seconds mostly, and pauses of 0.2 to 40 s that take a share."""
    phrases = np.clip(rng.lognormal(0.8, 0.6, 5000), 0.3, 12)
    gaps = np.clip(rng.lognormal(0, 1.1, 5000), 0.05, 20)
    for _ in range(20):
        gaps = np.clip(gaps * pauses / (1 - pauses) * phrases.sum() / gaps.sum(), 0.2, 40)
    runs = [
        (level, round(s * SAMPLE_RATE / N_FRAME))
        for two in zip(phrases, gaps, strict=True)
        for level, s in zip((0.95, 0.02), two, strict=True)
    ]
    told = np.repeat(np.array([level for level, _ in runs], np.float32), [n for _, n in runs])
    return told[: round(seconds * SAMPLE_RATE / N_FRAME)]


@pytest.mark.parametrize("pauses", [0.2, 0.3, 0.4, 0.5, 0.6])
def test_clips_of_conversations_are_well_filled(pauses: float):
    """Nine tenths of the window time, the last clip included."""
    told = conversation(np.random.default_rng(3), pauses, 3600)
    cuts = by_speech(told, np.zeros(len(told) * N_FRAME, np.int16), [60 * SAMPLE_RATE], SpeechOptions())
    n_windows = len(cuts) * N_SAMPLES
    filled = sum(len(one.samples) for one in cuts) / n_windows
    heard = sum(one.n_speech for one in cuts) / n_windows
    silent = 1 - float((told > 0.5).mean())
    print(f"{silent:.0%} pauses: {len(cuts)} clips, filled {filled:.1%}, speech {heard:.1%} of window time")
    assert abs(silent - pauses) < 0.05
    assert filled >= 0.9


def test_a_file_without_speech_gives_no_clip():
    assert by_speech(np.zeros(900, np.float32), sound(900 * N_FRAME), [4000], SpeechOptions()) == []


def test_channels_are_cut_each_by_itself():
    rng = np.random.default_rng(1)
    wave = (rng.standard_normal((2, 70 * SAMPLE_RATE)) * 900).astype(np.int16)
    blocks = [wave[:, at : at + 7000] for at in range(0, wave.shape[1], 7000)]
    cuts = list(cut(blocks, lambda channel: QuietCutter(0, channel)))
    for channel in (0, 1):
        own = [one for one in cuts if one.channel == channel]
        assert [(one.start, len(one.samples)) for one in own] == [(at, len(c)) for at, c in quietly([wave[channel]])]
        assert np.array_equal(np.concatenate([one.samples for one in own]), wave[channel])
    assert {one.channel for one in cut([wave[:1]], lambda channel: QuietCutter(0, channel))} == {None}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 120), max_size=7).map(sorted),
    st.integers(0, 130),
    st.lists(st.integers(3000, 900_000), min_size=1, max_size=3),
)
def test_only_the_stretches_asked_for_are_cut(times: list[int], seconds: int, sizes: list[int]):
    samples, n_times = sound(seconds * SAMPLE_RATE), np.zeros(seconds * SAMPLE_RATE, int)
    stretches = stretches_of([float(time) for time in times])
    cuts = list(cut(blocks_of(samples, sizes), lambda channel: StretchCutter(stretches, QuietCutter)))
    for one in cuts:
        n_times[one.start : one.start + len(one.samples)] += 1
        assert np.array_equal(samples[one.start : one.start + len(one.samples)], one.samples)
        inside = [(start, end) for start, end in stretches if start <= one.start < end]
        assert inside
        assert one.start + len(one.samples) <= inside[0][1]
    wanted = np.zeros(len(samples), int)
    for start, end in stretches:
        wanted[start : int(min(end, len(samples)))] = 1
    assert np.array_equal(n_times, wanted)


def test_timestamps_are_ranges_and_the_last_may_have_no_end():
    assert stretches_of([0.0, 1.5, 3.0]) == [(0, 24_000.0), (48_000, np.inf)]
    assert stretches_of([2.0, 2.0]) == []
    assert stretches_of([]) == []


def clips_of(n_speech: list[int], start_s: list[float]) -> list[Cut]:
    return [
        Cut(round(at * SAMPLE_RATE), np.ones(9, np.int16), speech=((0, n),) if n else ())
        for n, at in zip(n_speech, start_s, strict=True)
    ]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 90)), max_size=20))
def test_the_early_clips_with_most_speech_vote_and_come_first(clips: list[tuple[int, float]]):
    starts = np.cumsum([0, *(gap_s for _, gap_s in clips)])[:-1]
    cuts = clips_of([n for n, _ in clips], starts.tolist())
    early = [index for index, one in enumerate(cuts) if one.start < cuts[0].start + N_EARLY]
    out = list(numbered(iter(cuts), True))
    assert sorted(index for index, _, _ in out) == list(range(len(cuts)))
    assert all(cuts[index] is one for index, one, _ in out)
    voters = [(index, vote) for index, _, vote in out if vote is not None]
    n = min(MAX_VOTERS, len(early))
    assert [vote for _, vote in voters] == [(k, n) for k in range(n)]
    assert [index for index, _ in voters] == sorted(index for index, _ in voters)
    chosen = {index for index, _ in voters}
    assert [index for index, _, _ in out[:n]] == [index for index, _ in voters]
    if chosen:
        weakest = min(cuts[index].n_speech for index in chosen)
        assert all(cuts[index].n_speech <= weakest for index in early if index not in chosen)
    rest = [index for index, _, _ in out[n:]]
    assert rest == sorted(rest)


def test_speech_that_begins_late_votes_too():
    cuts = clips_of([5, 9, 7], [400.0, 430.0, 800.0])
    assert [(index, vote) for index, _, vote in numbered(iter(cuts), True)] == [(0, (0, 2)), (1, (1, 2)), (2, None)]


def test_nothing_is_held_back_when_the_language_is_known_and_no_more_than_the_early_clips_else():
    cuts, taken = clips_of([5] * 30, [30.0 * k for k in range(30)]), []

    def coming():
        for one in cuts:
            taken.append(one)
            yield one

    next(numbered(coming(), False))
    assert len(taken) == 1
    taken.clear()
    next(numbered(coming(), True))
    assert len(taken) == 11  # the first that starts after five minutes tells that they are over


def test_without_speech_detection_the_loudest_vote():
    cuts = [Cut(k * N_SAMPLES, np.full(100, 10 * (k % 4), np.int16)) for k in range(8)]
    voters = [index for index, _, vote in numbered(iter(cuts), True) if vote]
    assert voters == [1, 2, 3, 6, 7]  # silence tells no language


def test_a_whole_file_is_one_clip_and_its_speech_cuts_nothing(tmp_path, sample_audio):
    from whisperbatch.audio.decode import Reader

    samples = np.concatenate(list(Reader(sample_audio / "lecture.mp3").blocks()))
    written = Spool(tmp_path)
    spooled = Spooled(written.path)
    (one,) = cut(blocks_of(samples, [4001]), lambda channel: WholeCutter(written, SpeechOptions(), channel))
    spooled.seal(len(one.samples))
    assert (one.start, one.joins, len(spooled)) == (0, (), len(samples))
    assert np.array_equal(spooled[:], samples)
    assert len(one.speech) > 20
    assert all(one_end <= two for (_, one_end), (two, _) in pairwise(one.speech))
    assert list(tmp_path.iterdir()) == []
    other = Spool(tmp_path)
    (same,) = cut([samples], lambda channel: WholeCutter(other, SpeechOptions(vad=False), channel))
    assert same.speech == ()
    nothing = Spool(tmp_path)
    assert list(cut([], lambda channel: WholeCutter(nothing, SpeechOptions(), channel))) == []
    nothing.give_up()


@pytest.mark.parametrize(
    ("seconds", "peak", "n_clips"), [(0.3, 3000, 1), (0.6, 3000, 1), (0.61, 3000, 0), (0.3, 100, 0), (0.0, 0, 0)]
)
def test_a_recording_too_short_to_judge_goes_to_the_model_whole(seconds: float, peak: int, n_clips: int):
    samples = np.full(round(seconds * SAMPLE_RATE), peak, np.int16)
    told = np.zeros(-(-len(samples) // N_FRAME))
    cuts = by_speech(told, samples, [1000], SpeechOptions())
    assert len(cuts) == n_clips
    for one in cuts:
        assert (one.start, one.speech, one.joins) == (0, (), ())
        assert (one.samples == samples).all()
