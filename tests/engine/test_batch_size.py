"""How many windows run at once when nobody says: the rule on made-up devices, and the real engine."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

import corpus
import model_engine
from whisperbatch import demo
from whisperbatch.engine import open_engine
from whisperbatch.engine.device import batch_size
from whisperbatch.engine.device.batch_size import choose, slots_that_fit
from whisperbatch.errors import UsageError
from whisperbatch.options import BatchOptions, DecodeOptions, EngineOptions, parse_batch_size
from whisperbatch.records import ClipSettings


@pytest.mark.parametrize(
    ("free", "each", "n"), [(100, 10, 8), (160, 10, 16), (9, 10, 1), (None, 10, 256), (1e15, 10, 256), (10, 0, 8)]
)
def test_what_fits_is_a_power_of_two(free: float | None, each: int, n: int):
    assert slots_that_fit(free, each) == n


def device(overhead_s: float, each_s: float, limit: int = 10**9):
    """A step's seconds on a device that takes so long whatever it does, and so long a window; no memory beyond."""
    return lambda n: overhead_s + n * each_s if n <= limit else None


def test_the_knee_is_where_twice_as_many_no_longer_help():
    assert choose(256, device(0.010, 0.010)) <= 16  # a slow CPU: bound by the windows at once
    assert choose(256, device(0.010, 0.0001)) == 256  # a device that is idle between steps
    assert choose(64, device(0.010, 0.0001)) == 64
    knee = choose(256, device(0.010, 0.0005))
    assert 64 <= knee <= 256
    assert choose(4, device(0.010, 0.0001)) == 4


def test_memory_that_is_missing_after_all_ends_the_trials():
    assert choose(256, device(0.010, 0.0001, limit=32)) == 32
    assert choose(256, device(0.010, 0.0001, limit=3)) == 2
    assert choose(256, device(0.010, 0.0001, limit=0)) == 1


def test_one_disturbed_trial_does_not_end_them():
    plain = device(0.010, 0.0001)
    assert choose(256, lambda n: 10 * plain(n) if n == 16 else plain(n)) == 256


def test_trials_end_when_their_time_is_over():
    tried, now = [], itertools.count()
    choose(256, lambda n: tried.append(n) or 0.01, budget_s=1.5, clock=lambda: float(next(now)))
    assert tried == [8, 16]


def test_auto_gives_the_text_of_any_other_batch_size(sample_audio, monkeypatch: pytest.MonkeyPatch):
    tried = []
    time_step = model_engine.Runner.time_step
    monkeypatch.setattr(model_engine.Runner, "time_step", lambda self, n: tried.append(n) or time_step(self, n))
    monkeypatch.setattr(batch_size, "MAX_SLOTS", 16)
    engine = open_engine(
        EngineOptions("demo", device="cpu", compute_type="float32"),
        ClipSettings(),
        max_batch_size=None,
        demo=demo.FOLDER,
        on_notice=lambda text: None,
        decode=DecodeOptions(beam_size=2, temperatures=(0.0, 0.4)),
    )
    assert tried[:1] == [8]
    assert engine.capacity == 16
    assert engine.idle
    clips = [model_engine.clip(wave, k) for k, wave in enumerate(waves())]
    found = model_engine.hear(engine, clips)
    plain = model_engine.hear(model_engine.engine(DecodeOptions(beam_size=2, temperatures=(0.0, 0.4)), 2), clips)
    assert {k: model_engine.tokens_of(one) for k, one in found.items()} == {
        k: model_engine.tokens_of(one) for k, one in plain.items()
    }
    engine.close()


def waves() -> list[np.ndarray]:
    return [corpus.speech(np.random.default_rng(k), 2) for k in range(5)]


def test_memory_that_runs_out_in_a_trial_is_no_error(monkeypatch: pytest.MonkeyPatch):
    engine = model_engine.engine(DecodeOptions(beam_size=1, temperatures=(0.0,)), 1)
    take = model_engine.Runner.resize

    def full(self, n_slots: int) -> None:
        if n_slots > 4:
            raise MemoryError
        take(self, n_slots)

    monkeypatch.setattr(model_engine.Runner, "resize", full)
    assert engine.device.time_step(8) is None
    assert engine.device.time_step(4) > 0
    assert choose(64, engine.device.time_step) <= 4


@pytest.mark.parametrize(("given", "size"), [("auto", None), ("7", 7), (12, 12)])
def test_a_batch_size_is_auto_or_a_number(given: str | int, size: int | None):
    assert parse_batch_size(given) == size
    assert replace(BatchOptions(), max_batch_size=size).max_batch_size == size


@pytest.mark.parametrize("given", ["many", "-1", "1.5", ""])
def test_other_batch_sizes_are_refused(given: str):
    with pytest.raises(UsageError, match="`batch_size`"):
        parse_batch_size(given)
