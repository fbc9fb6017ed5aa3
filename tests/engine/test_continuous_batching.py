"""Who runs when: full slots, no waiting, first in first out, votes, cancellation. A fake device, no torch."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import fake_device
from fake_device import FakeDevice, assert_empty, bad, clip, good, make, run
from whisperbatch.engine.scheduling.request import Window
from whisperbatch.options import DecodeOptions
from whisperbatch.records import Clip, ClipFailed, ClipText, Segments

ONCE = DecodeOptions(temperatures=(0.0,))


def lengths(window: Window) -> int:
    """5 to 220 steps, by the clip, the window and the try."""
    seed = [window.request.clip.file_id, window.start, len(window.tried), window.is_gap]
    return int(np.random.default_rng(seed).integers(5, 221))


class Feed:
    """A queue that never empties, and a ledger of when each clip came and went."""

    def __init__(self, device: FakeDevice, options: DecodeOptions, make_clip=clip) -> None:
        self.device, self.engine, self._make = device, make(device, options), make_clip
        self.came: dict[int, int] = {}
        self.went: dict[int, int] = {}

    def turn(self) -> None:
        for _ in range(self.engine.capacity):
            self.came[len(self.came)] = self.device.n_steps
            self.engine.admit([self._make(len(self.came) - 1)])
        for result in self.engine.step():
            if isinstance(result, ClipText):
                assert result.file_id not in self.went
                self.went[result.file_id] = self.device.n_steps


@pytest.mark.parametrize(("n_slots", "n_batches"), [(16, 1), (16, 2), (5, 1)])
def test_slots_are_busy_while_there_is_work(n_slots: int, n_batches: int):
    device = FakeDevice(
        n_slots,
        n_batches,
        lengths,
        lambda w: bad(w) if len(w.tried) < 2 and w.request.clip.file_id % 9 == 0 else good(w),
    )
    feed = Feed(device, DecodeOptions())
    while device.n_steps < 6000:
        feed.turn()
    assert np.mean(device.busy) >= 0.95
    assert len(feed.went) > 30


def test_windows_wait_for_others_to_be_encoded_with_where_that_is_worth_it_and_never_without_need():
    device = FakeDevice(64, 1, lengths, n_together=8)
    feed = Feed(device, ONCE)
    while device.n_steps < 3000:
        feed.turn()
    assert min(device.groups) >= 64 // 16
    assert np.mean(device.busy) >= 0.95
    few = FakeDevice(64, 1, lengths, n_together=8)
    engine = make(few, ONCE)
    for number in range(3):
        engine.admit([clip(number)])
        engine.step()
        assert few.groups == [1] * (number + 1)
    run(engine, [])
    assert len(few.ended) == 3


def test_a_finished_clip_leaves_at_once():
    device = FakeDevice(8, 1, lengths)
    feed = Feed(device, ONCE)
    while device.n_steps < 3000:
        n_before = len(device.ended)
        feed.turn()
        for window in device.ended[n_before:]:
            assert feed.went[window.request.clip.file_id] == device.n_steps


def test_a_slot_is_taken_again_on_the_next_step_also_when_a_retry_leaves_it_for_another_lane():
    device = FakeDevice(8, 2, lengths, lambda w: good(w) if w.tried or w.request.clip.file_id % 20 else bad(w))
    feed = Feed(device, DecodeOptions())
    while device.n_steps < 4000:
        feed.turn()
    assert min(device.busy) == 1.0


def test_room_is_counted_in_all_lanes():
    device = FakeDevice(8, 2, lambda w: 500 if w.tried else 5, lambda w: good(w) if w.tried else bad(w))
    engine = make(device)
    engine.admit([clip(0), clip(1)])
    while device.batches[1].slots.n_used < 2:
        engine.step()
    assert engine.capacity == 8 + 2  # the first batch and a reserve of a quarter


def test_first_in_is_first_admitted():
    device = FakeDevice(8, 1, lengths)
    feed = Feed(device, ONCE)
    while device.n_steps < 2000:
        feed.turn()
    order = [window.request.clip.file_id for window in device.encoded]
    assert order == sorted(order)


@pytest.mark.parametrize("n_batches", [1, 2])
def test_retries_and_second_looks_starve_nobody_and_are_not_starved(n_batches: int):
    """Each clip goes within the time that its own windows and those before it may take."""
    speech = ((0.0, 6.0),)

    def verdict(window: Window):
        file_id = window.request.clip.file_id
        decoded = (bad if file_id % 5 == 0 else good)(window)
        silent = file_id % 3 == 0 and not window.is_gap
        return type(decoded)((), "", decoded.temperature, decoded.avg_logprob, 0.0) if silent else decoded

    device = FakeDevice(8, n_batches, lengths, verdict)
    feed = Feed(device, DecodeOptions(), lambda number: clip(number, seconds=6.0, speech=speech))
    while device.n_steps < 8000:
        feed.turn()
    assert any(window.is_gap for window in device.ended)
    assert any(len(window.tried) == 6 for window in device.ended)
    n_windows = Counter(window.request.clip.file_id for window in device.begun)
    waits = {number: went - feed.came[number] for number, went in feed.went.items()}
    n_before = 4 if n_batches == 1 else 40  # tries of older clips; the batch for retries has two slots
    assert all(wait <= 220 * (2 * n_windows[number] + n_before) for number, wait in waits.items())
    late = [number for number, came in feed.came.items() if came < 2000 and number not in feed.went]
    assert late == []


def test_a_seated_window_is_tried_again_in_its_slot_and_its_clip_keeps_its_turn():
    device = FakeDevice(1, 1, verdict=lambda w: good(w) if w.tried else bad(w))
    answers = run(make(device), [clip(0), clip(1), clip(2)])
    assert [w.request.clip.file_id for w in device.ended] == [0, 0, 1, 1, 2, 2]
    assert device.n_encoded == 3
    assert all(answer.segments[0].temperature == pytest.approx(0.2) for answer in answers.values())


def test_long_clips_take_window_after_window_and_are_told_as_they_go():
    engine, told = make(FakeDevice(2), ONCE), []
    engine.admit([clip(0, seconds=75.0, long_form="sequential", language="en")])
    while not engine.idle:
        told += engine.step()
    assert [type(one) for one in told] == [Segments, Segments, Segments, ClipText]
    assert [one.decoded_s for one in told[:3]] == [30.0, 60.0, 75.0]
    assert told[3].segments == tuple(segment for one in told[:3] for segment in one.segments)


# votes


def voters(file_id: int, n: int, n_clips: int, **settings) -> list[Clip]:
    """A file's clips, the first ``n`` of which vote."""
    return [clip(file_id, k, vote=(k, n) if k < n else None, **settings) for k in range(n_clips)]


def by_index(told: dict[tuple[int, int], str]):
    return lambda window: told.get((window.request.clip.file_id, window.request.clip.index), "en")


@pytest.mark.parametrize("n_slots", [1, 2, 3, 8])
def test_voters_decide_for_the_file_and_nobody_decodes_before(n_slots: int):
    told = {(0, 0): "de", (0, 1): "de", (0, 2): "en", (0, 4): "en", (1, 0): "en"}
    device = FakeDevice(n_slots, language=by_index(told))
    answers = run(make(device, ONCE), [*voters(0, 3, 6), *voters(1, 1, 2)])
    assert {answers[0, k].language for k in range(6)} == {"de"}
    assert {answers[1, k].language for k in range(2)} == {"en"}
    assert answers[0, 5].language_probability == pytest.approx((0.9 + 0.9 + 0.1) / 3)
    assert device.n_encoded == 8


def test_votes_weigh_by_seconds_of_speech():
    clips = [clip(0, k, 20.0, (k, 3), ((0.0, 18.0 if k == 2 else 2.0),)) for k in range(3)]
    device = FakeDevice(4, language=by_index({(0, 2): "de"}))
    answers = run(make(device, DecodeOptions(second_pass=False)), clips)
    assert {answer.language for answer in answers.values()} == {"de"}


def test_a_file_whose_other_clips_come_first_still_decides_by_vote():
    clips = voters(0, 2, 4)
    device = FakeDevice(8, language=by_index({(0, 0): "de", (0, 1): "de"}))
    engine = make(device, ONCE)
    answers = run(engine, [clips[0], clips[3], clips[2], clips[1]])
    assert {answer.language for answer in answers.values()} == {"de"}


def test_who_waits_for_voters_to_come_tells_that_a_step_would_do_nothing():
    clips, engine = voters(0, 2, 3), make(FakeDevice(4, language=by_index({})), ONCE)
    assert not engine.rouse()
    engine.admit(clips[:1])
    assert engine.rouse()
    while engine.rouse():
        assert engine.step() == []
    assert not engine.idle
    engine.admit(clips[1:])
    found: list = []
    while not engine.idle:
        assert engine.rouse()
        found += engine.step()
    assert {one.index for one in found if isinstance(one, ClipText)} == {0, 1, 2}


def test_a_clip_that_comes_before_all_voters_of_its_file_decides_for_itself():
    device = FakeDevice(8, language=by_index({(0, 0): "de"}))
    engine = make(device, ONCE)
    answers = run(engine, [clip(0, 1), clip(0, 0, vote=(0, 1)), clip(0, 2)])
    assert [answers[0, k].language for k in range(3)] == ["de", "en", "de"]


def test_a_dead_voter_counts_as_cast():
    def fault(place, windows):
        if place == "encode" and any(window.request.clip.index == 1 for window in windows):
            raise RuntimeError("broken")

    device = FakeDevice(4, language=by_index({(0, 0): "de"}), fault=fault)
    answers = run(make(device, ONCE), voters(0, 2, 4))
    assert isinstance(answers[0, 1], ClipFailed)
    assert {answers[0, k].language for k in (0, 2, 3)} == {"de"}


def test_an_empty_voter_counts_as_cast():
    clips = [clip(0, 0, 0.0, (0, 2)), clip(0, 1, 2.0, (1, 2)), clip(0, 2)]
    answers = run(make(FakeDevice(4, language=lambda window: "de"), ONCE), clips)
    assert answers[0, 2].language == "de"


def test_when_all_voters_die_each_clip_decides_for_itself():
    def fault(place, windows):
        if place == "detect_languages" and any(window.request.clip.vote for window in windows):
            raise RuntimeError("broken")

    device = FakeDevice(4, language=by_index({(0, 3): "de"}), fault=fault)
    answers = run(make(device, ONCE), voters(0, 2, 4))
    assert [isinstance(answers[0, k], ClipFailed) for k in range(4)] == [True, True, False, False]
    assert [answers[0, k].language for k in (2, 3)] == ["en", "de"]


def test_a_language_that_is_given_or_the_only_one_needs_no_vote():
    device = FakeDevice(2)
    answers = run(make(device, ONCE), voters(0, 2, 3, language="de"))
    assert {answer.language for answer in answers.values()} == {"de"}
    answers = run(make(FakeDevice(2), ONCE, languages=()), voters(0, 2, 3))
    assert {answer.language for answer in answers.values()} == {"en"}


def test_a_probe_asks_the_first_thirty_seconds_and_costs_one_pass_more_where_the_first_window_is_another():
    device = FakeDevice(2, language=lambda window: "de")
    answers = run(make(device, ONCE), [clip(0, 0, 45.0, long_form="sequential")])
    assert (answers[0, 0].language, device.n_encoded) == ("de", 2)  # the first window is the probe
    device = FakeDevice(2, language=lambda window: "de")
    answers = run(make(device, ONCE), [clip(0, 0, 20.0, long_form="sequential")])
    assert (answers[0, 0].language, device.n_encoded) == ("de", 2)  # a shorter file is padded otherwise for each


# cancellation


def parked(engine) -> int:
    return engine._scheduler.n_parked


def test_cancel_frees_the_slots_of_windows_that_run():
    device = FakeDevice(4, length=lambda window: 1000)
    engine = make(device, ONCE)
    engine.admit([clip(0), clip(1), clip(0, 1), clip(2)])
    assert engine.step() == []
    assert device.batches[0].slots.n_used == 4
    engine.cancel(0)
    assert device.batches[0].slots.n_used == 2
    engine.cancel(1)
    engine.cancel(2)
    assert_empty(engine)


def test_cancel_forgets_those_that_wait_for_a_vote():
    engine = make(FakeDevice(4), ONCE)
    first, _, *rest = voters(0, 2, 4)
    engine.admit([first, *rest])
    engine.step()
    assert parked(engine) == 3
    engine.cancel(0)
    assert_empty(engine)
    assert set(run(engine, voters(0, 1, 3))) == {(0, k) for k in range(3)}  # another file of that number may come


def test_cancel_forgets_what_was_decided():
    engine = make(FakeDevice(4, language=lambda window: "de" if window.request.clip.index else "en"), ONCE)
    run(engine, voters(0, 1, 2))
    engine.cancel(0)
    answers = run(engine, [clip(0, 1, vote=(0, 1)), clip(0, 2)])
    assert {answer.language for answer in answers.values()} == {"de"}


def test_cancel_forgets_those_that_wait_for_a_slot_and_for_the_other_lane():
    device = FakeDevice(4, 2, verdict=bad)
    engine = make(device)
    engine.admit([clip(number) for number in range(5)])
    engine.step()
    assert device.batches[1].slots.n_used + len(engine._scheduler._ready) > 1
    for number in range(5):
        engine.cancel(number)
    assert_empty(engine)


def test_cancel_forgets_suspects_of_a_fault_and_what_was_not_yet_told():
    def fault(place, windows):
        if place == "step" and any(window.request.clip.file_id == 2 for window in windows):
            raise RuntimeError("broken")

    engine = make(FakeDevice(4, fault=fault, length=lambda window: 100), ONCE)
    engine.admit([clip(number) for number in range(4)])
    engine.step()
    assert sum(map(len, engine._quarantine)) == 4
    engine.cancel(2)
    engine.cancel(0)
    assert [w.request.clip.file_id for group in engine._quarantine for w in group] == [1, 3]
    assert sorted(run(engine)) == [(1, 0), (3, 0)]
    engine.admit([clip(7, seconds=0.0), clip(8, seconds=0.0)])  # done as soon as they come
    engine.cancel(7)
    assert sorted(run(engine)) == [(8, 0)]


@pytest.mark.parametrize("seed", range(12))
def test_cancel_at_any_time_leaves_nothing_and_harms_nobody(seed: int):
    rng = np.random.default_rng(seed)
    cursed = set(rng.integers(0, 40, 3).tolist())
    places = ("encode", "insert", "detect_languages", "begin", "step", "read")

    def fault(place, windows):
        hit = [w.request.clip.file_id for w in windows if w.request.clip.file_id in cursed]
        if hit and place == places[hit[0] % 6]:
            raise RuntimeError(place)

    device = FakeDevice(4, 2, lambda w: lengths(w) // 5, lambda w: (bad if lengths(w) % 3 else good)(w), fault=fault)
    engine, answered, gone = make(device), Counter(), set()
    left = [one for number in range(40) for one in voters(number, 2, 3)]
    while left or not engine.idle:
        n = engine.capacity
        engine.admit([one for one in left[:n] if one.file_id not in gone])
        left = left[n:]
        for result in engine.step():
            assert result.file_id not in gone
            if not isinstance(result, Segments):
                answered[result.file_id, result.index] += 1
        if rng.random() < 0.1:
            gone.add(int(rng.integers(0, 40)))
            engine.cancel(max(gone) if rng.random() < 0.5 else next(iter(gone)))
            for number in gone:
                engine.cancel(number)
    assert_empty(engine)
    assert set(answered.values()) == {1}
    assert {number for number, _ in answered} | gone == set(range(40))
    assert all(answered[number, k] == 1 for number in set(range(40)) - gone for k in range(3))


def test_the_policy_needs_no_torch():
    code = "import sys, fake_device; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(fake_device.__file__).parent, check=False)
    assert done.returncode == 0
