"""Time stamps to silence: a table of what frames may come with, and rules that hold for any."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperbatch.audio.timeline import Before, Clock, Timeline

RATE = 1000
FRAME = 20  # samples
NO = Before.NOTHING


def clock(kind: str = "matroska", start_s: float | None = 0.0, told_s: float = 100.0, max_s: float = math.inf) -> Clock:
    return Clock.of(frozenset((kind,)), start_s, told_s, max_s)


def silences(timeline: Timeline, begins: list[float | None], before: dict[int, Before] | None = None) -> list[int]:
    """Samples of silence before each frame of 20 ms."""
    return [timeline.silence(at, FRAME, RATE, (before or {}).get(i, NO)) for i, at in enumerate(begins)]


UNDECODED, ASTRAY, SKIPPED, TAG = Before.UNDECODED, Before.ASTRAY, Before.SKIPPED, Before.TAG


@pytest.mark.parametrize(
    ("clocked", "begins", "before", "expected"),
    [
        pytest.param(clock(), [0.0, 0.02, 0.04], {}, [0, 0, 0], id="nothing"),
        pytest.param(clock(), [4.0, 4.02], {}, [4000, 0], id="late"),
        pytest.param(clock(start_s=90.0), [94.0, 94.02], {}, [4000, 0], id="late, with a base time"),
        pytest.param(clock(start_s=7.0), [7.0, 7.02], {}, [0, 0], id="base time alone"),
        pytest.param(clock(start_s=None), [7.0, 7.02], {}, [0, 0], id="no start"),
        pytest.param(clock(start_s=-0.05), [-0.05, -0.03], {}, [0, 0], id="negative start"),
        pytest.param(clock(start_s=1.0), [0.5, 0.52, 1.52], {}, [0, 0, 980], id="before the container's start"),
        pytest.param(clock(), [0.09, 0.11], {}, [0, 0], id="priming"),
        pytest.param(clock("mp3", 0.0), [0.05, 0.07], {0: UNDECODED}, [50, 0], id="first part undecoded"),
        pytest.param(clock(), [0.0, 20.0, 20.02], {}, [0, 19_980, 0], id="hole"),
        pytest.param(clock(), [0.0, 0.06, 0.08], {}, [0, 0, 0], id="jitter"),
        pytest.param(clock(), [0.0, 0.06, 0.08], {1: UNDECODED}, [0, 40, 0], id="part undecoded"),
        pytest.param(clock(), [i * 0.07 for i in range(7)], {}, [0, 0, 0, 0, 0, 0, 300], id="small gaps add up"),
        pytest.param(clock("mp3"), [i * 0.07 for i in range(7)], {}, [0] * 7, id="derived ones do not"),
        pytest.param(clock(), [0.0, None, None, 1.0], {3: ASTRAY}, [0, 0, 0, 940], id="without time stamps"),
        pytest.param(clock(), [None, 0.02], {}, [0, 0], id="first without time stamp"),
        pytest.param(clock(), [5.0, 1.0, 1.02, 2.02], {}, [5000, 0, 0, 980], id="back, then a hole"),
        pytest.param(clock("ogg"), [5.0, 0.0, 0.02, 1.02], {}, [5000, 0, 0, 980], id="a chain"),
        pytest.param(clock(), [1.0, 0.0, 1.04, 1.06], {}, [1000, 0, 0, 0], id="back for one frame"),
        pytest.param(clock(), [0.0, 9e9, 0.04, 1.04], {}, [0, 0, 0, 980], id="ahead for one frame"),
        pytest.param(clock(), [9e9, 9e9 + 0.02, 9e9 + 1], {}, [0, 0, 960], id="far too late"),
        pytest.param(clock(), [0.0, 900.0], {}, [0, 0], id="beyond its length by far"),
        pytest.param(clock(told_s=0), [0.0, 900.0], {}, [0, 899_980], id="length not told"),
        pytest.param(clock(told_s=0, max_s=800), [0.0, 900.0], {}, [0, 0], id="beyond --max-duration"),
        pytest.param(clock("mpegts", told_s=9e4), [0.0, 4000.0], {}, [0, 0], id="a sender's clock set anew"),
        pytest.param(
            clock("caf", told_s=9e4), [0.0, 3000.0, 6000.0, 6001.0], {}, [0, 2_999_980, 0, 980], id="derived, in all"
        ),
        pytest.param(clock("flac"), [0.0, 0.06, 0.08], {}, [0, 40, 0], id="numbered samples"),
        pytest.param(clock("mp3"), [0.0, 1.0], {1: TAG}, [0, 0], id="tag"),
    ],
)
def test_silence_stands_for_what_was_not_recorded(
    clocked: Clock, begins: list[float | None], before: dict[int, Before], expected: list[int]
):
    timeline = Timeline(clocked)
    assert silences(timeline, begins, before) == expected
    assert timeline.end_s == pytest.approx((sum(expected) + FRAME * len(begins)) / RATE)


@pytest.mark.parametrize(
    ("kind", "before", "missing_s"),
    [
        ("matroska", NO, 0.0),
        ("matroska", UNDECODED, 0.0),
        ("matroska", SKIPPED, 1.98),
        ("mp3", NO, 1.98),
        ("ogg", NO, 1.98),
        ("flac", ASTRAY, 0.0),
    ],
)
def test_a_hole_is_damage_where_bytes_were_lost(kind: str, before: Before, missing_s: float):
    timeline = Timeline(clock(kind))
    assert silences(timeline, [0.0, 2.0], {1: before}) == [0, 1980]
    assert timeline.missing_s == pytest.approx(missing_s)


@pytest.mark.parametrize(
    ("kind", "begins", "told"),
    [
        ("matroska", [0.0, 20.0], []),
        ("matroska", [9.0, 1.0], ["its time stamps jump back once; times continue from the sound before"]),
        ("mpegts", [9.0, 1.0, 0.2], ["its time stamps jump back 2 times; times continue from the sound before"]),
        ("ogg", [9.0, 1.0], []),
        ("mpeg", [9.0, 1.0], []),
        (
            "mov",
            [0.0, 9e5],
            ["its time stamps jump ahead once, beyond its possible length; times continue from the sound before"],
        ),
    ],
)
def test_jumps_are_told(kind: str, begins: list[float], told: list[str]):
    timeline = Timeline(clock(kind))
    silences(timeline, begins)
    assert timeline.notices == told


stamps = st.one_of(
    st.none(), st.floats(-100, 500), st.integers(0, 50).map(lambda i: i / 50), st.sampled_from((-9e15, 9e15))
)


@given(
    st.sampled_from(("matroska", "mov", "mpegts", "mpeg", "ogg", "mp3")),
    st.one_of(st.none(), st.floats(-10, 100)),
    st.floats(0, 300),
    st.lists(st.tuples(stamps, st.sampled_from(Before)), max_size=40),
)
def test_any_time_stamps_make_bounded_silence(
    kind: str, start_s: float | None, told_s: float, frames: list[tuple[float | None, Before]]
):
    clocked = clock(kind, start_s, told_s, 1000.0)
    timeline, n_silent = Timeline(clocked), 0
    for begin_s, before in frames:
        n_here = timeline.silence(begin_s, FRAME, RATE, before)
        n_silent += n_here
        assert n_here >= 0
        assert n_here == 0 or timeline.end_s <= clocked.limit_s + FRAME / RATE + 1e-3
    assert n_silent <= clocked.limit_s * RATE + len(frames)
    assert timeline.end_s == pytest.approx((n_silent + FRAME * len(frames)) / RATE)
    assert 0 <= timeline.missing_s <= n_silent / RATE + 1e-6


@given(st.sampled_from(("matroska", "mov", "mpegts", "mp3")), st.integers(0, 10**9), st.integers(1, 200))
def test_even_time_stamps_make_none(kind: str, start: int, n_frames: int):
    timeline = Timeline(clock(kind, start / RATE, 1e9))
    assert not any(silences(timeline, [(start + i * FRAME) / RATE for i in range(n_frames)]))
    assert timeline.notices == []


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=30))
def test_a_frame_is_never_far_from_its_time(gaps: list[int]):
    timeline, at = Timeline(clock(told_s=1e6)), 0
    for gap in gaps:
        at += gap
        timeline.silence(at / RATE, FRAME, RATE)
        at += FRAME
        assert -1e-6 < at / RATE - timeline.end_s < 0.25 + 1e-6
