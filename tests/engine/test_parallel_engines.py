"""Engines side by side: their contract with made-up engines, then the demo model's text against one engine's."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import corpus
import model_engine
from fake_device import FakeDevice, FakeSpeller
from whisperbatch import demo
from whisperbatch.engine import EngineFacts, Work, build, placement
from whisperbatch.engine.device import batch_size
from whisperbatch.engine.device.runner import Runner
from whisperbatch.engine.scheduling.continuous_batching import ContinuousEngine
from whisperbatch.engine.scheduling.language_vote import LanguageVotes
from whisperbatch.engine.scheduling.parallel_engines import ParallelEngines
from whisperbatch.engine.scheduling.request import Window
from whisperbatch.options import DecodeOptions, EngineOptions
from whisperbatch.records import Clip, ClipSettings, ClipText

OPTIONS = DecodeOptions(beam_size=2, temperatures=(0.0, 0.4))


def beside(n_engines: int, n_slots: int, options: DecodeOptions = OPTIONS) -> ParallelEngines:
    """Engines over the one loaded model."""
    spelled, votes = model_engine.spelling(), LanguageVotes()
    runners = [Runner(model_engine.loaded(), spelled, options, n_slots)]
    runners += [runners[0].for_another_thread() for _ in range(n_engines - 1)]
    for runner in runners:
        runner.resize(n_slots)
    engines = [ContinuousEngine(one, spelled, options, EngineFacts("demo"), print, votes) for one in runners]
    return ParallelEngines(engines, placement.share_cores())


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)


class Slow:
    """An engine whose step lasts until it is let go, and then gives all that it holds."""

    facts, device_name, work = EngineFacts("made up"), "nowhere", Work(1, 2, {"decoder": 4.0})

    def __init__(self) -> None:
        self.held: list[Clip] = []
        self.cancelled: list[int] = []
        self.go, self.is_in_step = threading.Event(), threading.Event()
        self.fault: Exception | None = None
        self.is_closed = self.is_waiting = False

    device = SimpleNamespace(n_slots=3)

    @property
    def room(self) -> int:
        assert not self.is_in_step.is_set()
        return 3 - len(self.held)

    @property
    def idle(self) -> bool:
        return not self.held

    def rouse(self) -> bool:
        return bool(self.held) and not self.is_waiting

    def admit(self, clips: list[Clip]) -> None:
        assert not self.is_in_step.is_set()
        self.held += clips

    def cancel(self, file_id: int) -> None:
        assert not self.is_in_step.is_set()
        self.cancelled.append(file_id)
        self.held = [clip for clip in self.held if clip.file_id != file_id]

    def step(self) -> list[ClipText]:
        self.is_in_step.set()
        assert self.go.wait(60)
        self.is_in_step.clear()
        if self.fault is not None:
            raise self.fault
        out, self.held = [ClipText(c.file_id, c.index, (), "en") for c in self.held], []
        return out

    def close(self) -> None:
        self.is_closed = True


def clips(*file_ids: int) -> list[Clip]:
    return [Clip(file_id, 0, 0.0, np.zeros(1, np.int16)) for file_id in file_ids]


def two() -> tuple[ParallelEngines, Slow, Slow]:
    first, second = Slow(), Slow()
    return ParallelEngines([first, second], lambda n: None), first, second


def ids(results: list[ClipText]) -> set[int]:
    return {one.file_id for one in results}


def test_clips_go_where_there_is_room_and_who_is_done_first_is_heard_first():
    both, first, second = two()
    assert (both.idle, both.capacity) == (True, 6)
    both.admit(clips(1, 2, 3))
    assert not both.idle
    fast, slow = (first, second)
    fast.go.set()
    known = ids(both.step())
    assert len(known) in (1, 2)
    assert not both.idle
    assert both.capacity == 3 + 1  # the other is in its step; one in reserve
    both.admit(clips(4))
    assert ids(both.step()) == {4}
    slow.go.set()
    assert ids(both.step()) == {1, 2, 3} - known
    assert (both.idle, both.capacity) == (True, 6)
    assert both.step() == []
    both.close()
    assert first.is_closed
    assert second.is_closed


def test_what_is_in_reserve_goes_to_whoever_has_room_first():
    both, first, second = two()
    both.admit(clips(1, 2, 3, 4, 5, 6))
    first.go.set()
    known = ids(both.step())
    assert len(known) == 3
    both.admit(clips(7, 8, 9, 10))
    assert both.capacity == 0
    assert ids(both.step()) == {7, 8, 9}
    both.cancel(10)
    assert both.capacity == 4
    second.go.set()
    assert ids(both.step()) == {1, 2, 3, 4, 5, 6} - known
    assert (both.idle, both.step()) == (True, [])
    both.close()


def test_what_is_cancelled_in_a_step_does_not_come_out_of_it():
    both, first, second = two()
    both.admit(clips(1, 2, 3, 4))
    first.go.set()
    done = ids(both.step())
    (kept, gone) = sorted(clip.file_id for clip in second.held)
    both.cancel(gone)
    assert (gone in first.cancelled, second.cancelled) == (True, [])
    second.go.set()
    assert ids(both.step()) == {kept}
    assert second.cancelled == [gone]
    assert done | {kept, gone} == {1, 2, 3, 4}
    assert both.idle
    both.close()


def test_a_fault_of_one_comes_out_of_the_step():
    both, first, second = two()
    both.admit(clips(1, 2))
    first.fault = RuntimeError("broken")
    first.go.set()
    with pytest.raises(RuntimeError, match="broken"):
        both.step()
    second.go.set()
    both.close()


def test_who_waits_for_votes_makes_no_steps():
    both, first, second = two()
    assert not both.rouse()
    both.admit(clips(1, 2))
    first.is_waiting = second.is_waiting = True
    assert both.rouse()  # they are still to be dealt out
    assert both.step() == []
    assert not both.idle
    assert not both.rouse()
    first.is_waiting = second.is_waiting = False
    assert both.rouse()
    first.go.set()
    second.go.set()
    done: set[int] = set()
    while not both.idle:
        done |= ids(both.step())
    assert done == {1, 2}
    both.close()


def test_work_is_that_of_all_and_stages_are_those_of_one():
    both, _, _ = two()
    assert both.work == Work(2, 4, {"decoder": 4.0})
    both.close()


def test_the_cores_are_shared_by_those_that_work():
    first, second, told = Slow(), Slow(), []
    both = ParallelEngines([first, second], told.append)
    first.go.set()
    second.go.set()
    both.admit(clips(1))
    both.step()
    assert told == [1]
    both.admit(clips(1, 2))
    while not both.idle:
        both.step()
    assert told[1:] == [2, 2]
    both.close()


def test_each_thread_has_its_share_of_the_cores():
    torch.set_num_threads(4)
    share = placement.share_cores()

    def n_threads(n_working: int) -> int:
        share(n_working)
        return torch.get_num_threads()

    with ThreadPoolExecutor(1) as thread:
        assert [thread.submit(n_threads, n).result() for n in (1, 2, 3, 8)] == [4, 2, 1, 1]
    assert torch.get_num_threads() == 4


def waves() -> list[np.ndarray]:
    return [corpus.speech(np.random.default_rng(k), 2) for k in range(9)]


def told_of(found: dict[tuple[int, int], ClipText]) -> dict[tuple[int, int], list[tuple[int, ...]]]:
    return {at: model_engine.tokens_of(one) for at, one in found.items()}


@pytest.mark.parametrize("n_engines", [2, 3])
def test_the_text_is_that_of_one_engine(n_engines: int):
    some = [model_engine.clip(wave, k) for k, wave in enumerate(waves())]
    engine = beside(n_engines, 2)
    assert engine.capacity == 2 * n_engines
    assert told_of(model_engine.hear(engine, some)) == told_of(model_engine.hear(model_engine.engine(OPTIONS, 4), some))
    assert engine.work.n_windows == len(some)
    assert all(one.work.n_windows for one in engine._engines)
    assert told_of(model_engine.hear(engine, some)) == told_of(model_engine.hear(engine, some))
    engine.resize(n_engines * 3)
    assert engine.capacity == n_engines * 3
    engine.close()


def test_clips_of_a_file_vote_on_its_language_wherever_they_are():
    some = [
        Clip(k // 5, k % 5, 30.0 * k, wave, ClipSettings(), vote=(k % 5, 3) if k % 5 < 3 else None)
        for k, wave in enumerate(waves())
    ]
    engine = beside(2, 2)
    found, plain = model_engine.hear(engine, some), model_engine.hear(model_engine.engine(OPTIONS, 4), some)
    assert told_of(found) == told_of(plain)
    told = {at: (one.language, pytest.approx(one.language_probability, abs=1e-4)) for at, one in found.items()}
    assert {at: (one.language, one.language_probability) for at, one in plain.items()} == told
    assert len({one.language_probability for at, one in found.items() if at[0] == 0}) == 1
    engine.close()


@pytest.mark.parametrize("n_elsewhere", [0, 3, 7])
def test_a_clip_waits_for_its_files_vote_whichever_engine_has_room(n_elsewhere: int):
    def language(window: Window) -> str:
        clip = window.request.clip
        return "en" if clip.file_id != 7 or clip.vote is not None else "de"  # the short ones sound German, alone

    def length(window: Window) -> int:
        return 40 if window.request.clip.file_id < 7 else 3

    def samples(seconds: float) -> np.ndarray:
        return np.ones(int(seconds * 16_000), np.int16)

    votes = LanguageVotes()
    engines = [
        ContinuousEngine(
            FakeDevice(n_slots=8, language=language, length=length),
            FakeSpeller(),
            OPTIONS,
            EngineFacts("made up"),
            print,
            votes,
        )
        for _ in range(2)
    ]
    engines[0].admit([Clip(k, 0, 0.0, samples(20), ClipSettings("en")) for k in range(n_elsewhere)])
    engines[0].step()
    both = ParallelEngines(engines, lambda n: None)
    both.admit([Clip(7, k, 20.0 * k, samples(20), vote=(k, 5)) for k in range(5)])
    both.admit([Clip(7, 5 + k, 100.0 + 3 * k, samples(2.9)) for k in range(3)])
    told: dict[int, str] = {}
    while not both.idle:
        told |= {one.index: one.language for one in both.step() if isinstance(one, ClipText) and one.file_id == 7}
    assert told == dict.fromkeys(range(8), "en")
    both.close()


def test_a_voter_that_is_cancelled_elsewhere_keeps_nobody_waiting():
    engine = beside(2, 1)
    some = [Clip(7, k, 30.0 * k, wave, ClipSettings(), vote=(k, 2)) for k, wave in enumerate(waves()[:2])]
    engine.admit(some)
    engine.step()
    engine.cancel(7)
    for _ in range(100):
        if engine.idle:
            break
        assert engine.step() == []
    assert engine.idle
    assert told_of(model_engine.hear(engine, [model_engine.clip(waves()[0], 8)]))
    engine.close()


def test_engines_are_as_many_as_cores_where_steps_are_short():
    assert batch_size.share(32, 0.01, 2, 256) == (2, 32)
    assert batch_size.share(16, 0.01, 2, 256) == (2, 32)
    assert batch_size.share(16, 0.01, 2, 32) == (2, 16)
    assert batch_size.share(64, 0.01, 2, 256) == (2, 64)
    assert batch_size.share(32, 0.01, 3, 256) == (2, 32)
    assert batch_size.share(32, 0.01, 64, 256) == (4, 32)
    assert batch_size.share(32, 0.01, 4, 32) == (4, 8)
    assert batch_size.share(16, 0.01, 2, 256, 64 << 20) == (2, 12)
    assert batch_size.share(16, 0.01, 2, 256, 1 << 30) == (2, 8)


def test_one_engine_stays_alone_where_others_have_no_core_no_memory_or_nothing_to_win():
    assert batch_size.share(32, 0.01, 1, 256) == (1, 32)
    assert batch_size.share(8, 0.01, 2, 8) == (1, 8)
    assert batch_size.share(2, 0.01, 2, 2) == (1, 2)
    assert batch_size.share(32, 0.2, 2, 256) == (1, 32)


@pytest.mark.parametrize(("n_slots", "n_engines"), [(None, 2), (4, 1)])
def test_only_auto_asks_for_several(n_slots: int | None, n_engines: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batch_size, "MAX_SLOTS", 16)
    monkeypatch.setattr(batch_size, "SHORT_STEP_S", 1e9)
    monkeypatch.setattr(placement, "n_threads", lambda: 2)
    engine = build.build(
        EngineOptions("demo", device="cpu", compute_type="float32"),
        OPTIONS,
        ClipSettings(),
        n_slots=n_slots,
        demo=demo.FOLDER,
        on_notice=print,
    )
    assert len(getattr(engine, "_engines", [engine])) == n_engines
    some = [model_engine.clip(wave, k) for k, wave in enumerate(waves())]
    assert told_of(model_engine.hear(engine, some)) == told_of(model_engine.hear(model_engine.engine(OPTIONS, 4), some))
    engine.close()
