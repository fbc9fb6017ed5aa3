"""The times of steps that are remembered from one start to the next."""

import json
from pathlib import Path

import pytest

import model_engine
from whisperbatch.engine import build, placement
from whisperbatch.engine.device import step_times
from whisperbatch.engine.device.runner import Runner
from whisperbatch.engine.device.step_times import FILE, MOST_KINDS, N_MEASURED, StepTimes
from whisperbatch.options import DecodeOptions, EngineOptions


def never() -> float:
    raise AssertionError("measured again")


def test_a_few_starts_measure_and_the_shortest_counts(tmp_path: Path):
    folder = tmp_path / "cache" / "whisperbatch"
    for seconds, wanted in ((0.3, 0.3), (0.1, 0.1), (0.2, 0.1)):
        assert StepTimes(folder).shortest("base", lambda seconds=seconds: seconds) == wanted
    assert StepTimes(folder).shortest("base", never) == 0.1
    assert StepTimes(folder).shortest("small", lambda: 0.5) == 0.5
    assert [one.name for one in folder.iterdir()] == [FILE]


def test_what_ran_out_of_memory_is_not_remembered(tmp_path: Path):
    assert StepTimes(tmp_path).shortest("base", lambda: None) is None
    assert StepTimes(tmp_path).shortest("base", lambda: 0.2) == 0.2


def test_another_processor_or_release_is_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for _ in range(N_MEASURED):
        StepTimes(tmp_path).shortest("base", lambda: 0.1)
    monkeypatch.setattr(step_times, "processor", lambda: "another")
    assert StepTimes(tmp_path).shortest("base", lambda: 0.4) == 0.4


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"base": 3}', "\x00", '{"base": ["a"]}', "9" * (2 << 20)])
def test_a_damaged_file_is_measured_anew_and_replaced(tmp_path: Path, content: str):
    (tmp_path / FILE).write_text(content)
    assert StepTimes(tmp_path).shortest("base", lambda: 0.4) == 0.4
    assert list(json.loads((tmp_path / FILE).read_text()).values()) == [[0.4]]


def test_a_folder_that_cannot_be_written_costs_only_the_measuring(tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert StepTimes(tmp_path / "file").shortest("base", lambda: 0.4) == 0.4


def test_the_oldest_kinds_are_forgotten(tmp_path: Path):
    for number in range(MOST_KINDS + 5):
        StepTimes(tmp_path).shortest(str(number), lambda: 0.1)
    kinds = [key.rpartition("; ")[2] for key in json.loads((tmp_path / FILE).read_text())]
    assert kinds == [str(number) for number in range(5, MOST_KINDS + 5)]


def test_a_later_start_of_an_engine_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(build, "StepTimes", lambda: StepTimes(tmp_path))
    place = placement.choose(EngineOptions(device="cpu", compute_type="float32"))
    tried, time_step = [], Runner.time_step
    monkeypatch.setattr(Runner, "time_step", lambda self, n: tried.append(n) or time_step(self, n))

    def sized(beam_size: int) -> list[tuple[int, int]]:
        options = DecodeOptions(beam_size=beam_size, temperatures=(0.0,))
        runner = Runner(model_engine.loaded(), model_engine.spelling(), options, 1)
        return [(one.n_slots, len(one.batches)) for one in build._sized(runner, place, 1)]

    first = [sized(1) for _ in range(N_MEASURED)]
    n_tried = len(tried)
    assert n_tried >= N_MEASURED
    assert sized(1) == sized(1)
    assert len(tried) == n_tried
    assert sized(1) in first  # the shortest time was one of theirs
    sized(2)  # beams take other steps
    assert len(tried) > n_tried
