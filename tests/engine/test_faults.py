"""Faults and lack of memory, injected at each place: who fails, and that every clip is answered exactly once."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from fake_device import FakeDevice, FakeOutOfMemoryError, assert_empty, bad, clip, good, make, run
from whisperbatch.engine.scheduling import clip_request
from whisperbatch.engine.scheduling.language_vote import Decision, LanguageVotes
from whisperbatch.engine.scheduling.quality import Decoded
from whisperbatch.engine.scheduling.request import Window
from whisperbatch.errors import InferenceError
from whisperbatch.options import DecodeOptions
from whisperbatch.records import ClipFailed, ClipText

ONCE = DecodeOptions(temperatures=(0.0,))
PLACES = ("encode", "insert", "detect_languages", "begin", "step", "read")


def numbers(windows: Sequence[Window]) -> list[int]:
    return [window.request.clip.file_id for window in windows]


class Curse:
    """Raises at one place whenever a cursed clip is among the windows."""

    def __init__(self, place: str, cursed: set[int], when=lambda window: True) -> None:
        self.place, self.cursed, self.when, self.n = place, cursed, when, 0

    def __call__(self, place: str, windows: Sequence[Window]) -> None:
        if place == self.place and any(w.request.clip.file_id in self.cursed and self.when(w) for w in windows):
            self.n += 1
            raise RuntimeError(f"broken at {place}\nand more")


class Shortage:
    """Out of memory at one place, the n-th time that it is passed, or while more than so many windows are there."""

    def __init__(self, place: str, times: set[int] = frozenset(), too_many: int = 1000) -> None:
        self.place, self.times, self.too_many, self.n, self.told = place, times, too_many, 0, 0

    def __call__(self, place: str, windows: Sequence[Window]) -> None:
        if place != self.place:
            return
        self.n += 1
        if self.n in self.times or len(windows) > self.too_many:
            self.told += 1
            raise FakeOutOfMemoryError


def mixed(n: int) -> list:
    """Clips of all sorts: some vote, some wait for a vote, some are whole files with a probe or without."""
    made = []
    for number in range(n):
        if number % 4 == 0:
            made.append(clip(number, 0, 45.0 if number % 8 else 15.0, long_form="sequential"))
        elif number % 4 == 1:
            made += [clip(number, k, vote=(k, 2) if k < 2 else None) for k in range(3)]
        else:
            made.append(clip(number, language="de" if number % 2 else None))
    return made


def verdict(window: Window) -> Decoded:
    return (bad if window.request.clip.file_id % 3 == 0 and len(window.tried) < 2 else good)(window)


def text_of(answers: dict) -> dict:
    return {key: (one.language, one.segments) for key, one in answers.items() if isinstance(one, ClipText)}


@pytest.mark.parametrize("n_batches", [1, 2])
@pytest.mark.parametrize("place", PLACES)
def test_a_fault_fails_the_clips_concerned_and_nobody_else(place: str, n_batches: int):
    clips = mixed(20)
    whole = run(make(FakeDevice(8, n_batches, verdict=verdict)), clips)
    curse = Curse(place, {5, 6, 8, 12})
    answers = run(make(FakeDevice(8, n_batches, verdict=verdict, fault=curse)), clips)
    assert set(answers) == {(one.file_id, one.index) for one in clips}
    failed = {key for key, answer in answers.items() if isinstance(answer, ClipFailed)}
    assert curse.n > 0
    assert {number for number, _ in failed} <= {5, 6, 8, 12}
    concerned = {(one.file_id, one.index) for one in clips if one.file_id in curse.cursed}
    assert failed == {key for key in concerned if place != "detect_languages" or key not in {(5, 2)} or key in failed}
    kept = text_of(answers)
    assert kept == {key: one for key, one in text_of(whole).items() if key not in failed}


@pytest.mark.parametrize("place", PLACES)
def test_the_error_is_a_sentence_and_keeps_its_cause(place: str):
    answers = run(make(FakeDevice(fault=Curse(place, {1})), ONCE), [clip(number) for number in range(4)])
    error = answers[1, 0].error
    assert isinstance(error, InferenceError)
    assert str(error.__cause__).startswith("broken at")
    assert "\n" not in error.message
    assert f"broken at {place}" in error.message


@pytest.mark.parametrize("n_tried", [1, 2])
@pytest.mark.parametrize("place", ["begin", "step", "read"])
def test_a_fault_at_a_later_temperature_fails_its_clip_alone(place: str, n_tried: int):
    curse = Curse(place, {2}, lambda window: len(window.tried) == n_tried)
    answers = run(make(FakeDevice(4, 2, verdict=bad, fault=curse)), [clip(number) for number in range(8)])
    assert [key for key, answer in answers.items() if isinstance(answer, ClipFailed)] == [(2, 0)]


def test_a_fault_that_passes_costs_nobody_his_text():
    for place in PLACES:
        n_left = itertools.count()

        def fault(at: str, windows: Sequence[Window], place=place, n_left=n_left) -> None:
            if at == place and len(windows) > 1 and next(n_left) < 3:
                raise RuntimeError("for once")

        answers = run(make(FakeDevice(8, fault=fault)), mixed(20))
        assert all(isinstance(answer, ClipText) for answer in answers.values()), place


def test_a_culprit_is_found_in_halves_while_nobody_else_comes_in():
    curse = Curse("step", {5})
    device = FakeDevice(8, length=lambda window: 40, fault=curse)
    answers = run(make(device, ONCE), [clip(number) for number in range(40)])
    assert [number for (number, _), one in answers.items() if isinstance(one, ClipFailed)] == [5]
    assert curse.n == 4  # among eight, four, two, alone
    assert device.n_encoded == 40


def test_everything_broken_fails_everyone_once():
    for place in PLACES:
        curse = Curse(place, set(range(20)))
        clips = [clip(number) for number in range(20)]
        answers = run(make(FakeDevice(4, fault=curse), ONCE), clips)
        assert len(answers) == 20
        assert all(isinstance(answer, ClipFailed) for answer in answers.values())


def test_a_probe_or_a_voter_beside_a_culprit_is_not_decoded_twice():
    curse = Curse("begin", {0})
    device = FakeDevice(8, fault=curse)
    rest = [clip(1, 0, vote=(0, 2)), clip(2, 0, 15.0, long_form="sequential"), clip(1, 1, vote=(1, 2))]
    answers = run(make(device, ONCE), [clip(0, language="en"), *rest])
    assert isinstance(answers[0, 0], ClipFailed)
    decoded = [(window.request.clip.file_id, window.request.clip.index) for window in device.ended]
    assert sorted(decoded) == [(1, 0), (1, 1), (2, 0)]


@pytest.mark.parametrize("step", ["settle", "next", "text"])
def test_a_fault_in_the_clips_own_state_fails_it_alone(monkeypatch: pytest.MonkeyPatch, step: str):
    real = getattr(clip_request.ClipRequest, step)

    def broken(self, *args):
        if self.clip.file_id == 1:
            raise ValueError("odd")
        return real(self, *args)

    monkeypatch.setattr(clip_request.ClipRequest, step, broken)
    answers = run(make(FakeDevice(), ONCE), [clip(number) for number in range(4)])
    assert [key for key, answer in answers.items() if isinstance(answer, ClipFailed)] == [(1, 0)]
    assert len(answers) == 4


def test_samples_that_cannot_be_counted_fail_their_clip():
    class Gone:
        def __len__(self) -> int:
            raise OSError("the spool is gone")

    lost = clip(1)
    object.__setattr__(lost, "samples", Gone())
    answers = run(make(FakeDevice(), ONCE), [clip(0), lost, clip(2)])
    assert isinstance(answers[1, 0], ClipFailed)
    assert isinstance(answers[0, 0], ClipText)
    assert isinstance(answers[2, 0], ClipText)


# memory


@pytest.mark.parametrize("n_batches", [1, 2])
@pytest.mark.parametrize("times", [{1}, {2, 3}, {4, 6}])
@pytest.mark.parametrize("place", PLACES)
def test_lack_of_memory_halves_the_slots_and_loses_nothing(place: str, times: set[int], n_batches: int):
    clips = mixed(20)
    whole = run(make(FakeDevice(8, n_batches, verdict=verdict)), clips)
    shortage = Shortage(place, times)
    device = FakeDevice(8, n_batches, verdict=verdict, fault=shortage)
    answers = run(make(device), clips)
    assert shortage.told == len(times)
    assert text_of(answers) == text_of(whole)
    assert len(answers) == len(clips)
    assert device.sizes == [8, 4, 2][: 1 + len(times)]


@pytest.mark.parametrize("place", ["encode", "insert", "begin", "step"])
def test_the_slots_shrink_until_it_fits(place: str):
    clips, shortage = mixed(20), Shortage(place, too_many=1)
    device = FakeDevice(8, verdict=verdict, fault=shortage)
    answers = run(make(device), clips)
    assert text_of(answers) == text_of(run(make(FakeDevice(8, verdict=verdict)), clips))
    assert device.sizes == [8, 4, 2, 1]


def test_with_one_slot_left_what_does_not_fit_fails_alone():
    def fault(place: str, windows: Sequence[Window]) -> None:
        if place == "step" and 3 in numbers(windows):
            raise FakeOutOfMemoryError

    device = FakeDevice(4, fault=fault)
    answers = run(make(device, ONCE), [clip(number) for number in range(8)])
    assert [number for (number, _), one in answers.items() if isinstance(one, ClipFailed)] == [3]
    assert isinstance(answers[3, 0].error.__cause__, MemoryError)  # it may pass; another fault does not
    assert device.sizes == [4, 2, 1]


@pytest.mark.parametrize("kind", ["settle", "next", "text"])
def test_lack_of_memory_in_a_clips_own_state_loses_nothing(monkeypatch: pytest.MonkeyPatch, kind: str):
    real, told = getattr(clip_request.ClipRequest, kind), []

    def short(self, *args):
        if self.clip.file_id == 1 and not told:
            told.append(True)
            raise FakeOutOfMemoryError
        return real(self, *args)

    clips = [clip(number, language="en") for number in range(4)]
    whole = run(make(FakeDevice()), clips)
    monkeypatch.setattr(clip_request.ClipRequest, kind, short)
    answers = run(make(FakeDevice()), clips)
    assert told
    assert len(answers) == 4
    assert kind != "settle" or text_of(answers) == text_of(whole)


def test_when_making_fewer_slots_fails_too_still_fewer_are_made():
    class Full(FakeDevice):
        def resize(self, n_slots: int) -> None:
            super().resize(n_slots)
            if n_slots == 4:
                raise FakeOutOfMemoryError

    device = Full(8, fault=Shortage("step", {1}))
    answers = run(make(device, ONCE), mixed(12))
    assert all(isinstance(answer, ClipText) for answer in answers.values())
    assert device.n_slots == 2


@pytest.mark.parametrize("seed", range(20))
def test_any_mixture_of_faults_and_shortages_answers_everyone_once(seed: int):
    rng = np.random.default_rng(seed)
    cursed = set(rng.integers(0, 30, 4).tolist())

    def fault(place: str, windows: Sequence[Window]) -> None:
        if any(number in cursed and place == PLACES[number % 6] for number in numbers(windows)):
            raise RuntimeError(place)
        if rng.random() < 0.02:
            raise FakeOutOfMemoryError if rng.random() < 0.3 else RuntimeError("chance")

    clips = mixed(30)
    device = FakeDevice(int(rng.integers(1, 9)), int(rng.integers(1, 3)), verdict=verdict, fault=fault)
    engine = make(device)
    answers = run(engine, clips)
    assert set(answers) == {(one.file_id, one.index) for one in clips}
    assert_empty(engine)


def test_votes_forget_what_was_cast_once_it_is_decided():
    votes = LanguageVotes()
    votes.expect(0, 2)
    votes.cast(0, 0, [(1.0, {"en": 0.4, "de": 0.6})])
    assert votes.holds(0)
    assert votes.decision(0) is None
    votes.cast(0, 1, [(1.0, {"en": 0.8, "de": 0.2})])
    assert not votes.holds(0)
    assert votes.decision(0) == Decision("en", pytest.approx(0.6))
    assert votes._ballots == {}
    votes.expect(0, 2)  # another of its voters comes
    votes.die(0, 1)
    assert votes.decision(0) == Decision("en", pytest.approx(0.6))


@pytest.mark.parametrize("n_voters", [1, 2])
@pytest.mark.parametrize("at", ["detect_languages", "step"])
def test_a_voter_that_failed_may_come_again_without_its_vote(at: str, n_voters: int):
    n_left = itertools.count()

    def fault(place: str, windows: Sequence[Window]) -> None:
        if place == at and any(w.request.clip.index == 0 for w in windows) and next(n_left) == 0:
            raise FakeOutOfMemoryError

    engine = make(FakeDevice(1, fault=fault), ONCE)
    clips = [clip(0, k, vote=(k, n_voters) if k < n_voters else None) for k in range(3)]
    first = run(engine, clips)
    assert [key for key, answer in first.items() if isinstance(answer, ClipFailed)] == [(0, 0)]
    again = run(engine, [clip(0, 0)])
    assert isinstance(again[0, 0], ClipText)
    assert again[0, 0].language == first[0, 1].language
