"""Counts, speed and exit code of a run, on a fake clock."""

import json
from pathlib import Path

import pytest

from whisperbatch.errors import LoadError
from whisperbatch.records import Outcome, Status
from whisperbatch.report import Report


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def outcome(status: Status, name: str = "a.wav", audio_s: float = 0.0) -> Outcome:
    if status is Status.FAILED:
        error = LoadError("this is no recording", Path(name))
        return Outcome(Path(name), status, error=error, reason=error.message, audio_s=audio_s)
    return Outcome(Path(name), status, audio_s=audio_s)


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ([], 0),
        ([Status.DONE], 0),
        ([Status.DONE, Status.SKIPPED], 0),
        ([Status.SKIPPED], 0),
        ([Status.DONE, Status.FAILED, Status.DONE], 1),
        ([Status.INTERRUPTED], 130),
        ([Status.FAILED, Status.INTERRUPTED, Status.DONE], 130),
    ],
)
def test_the_exit_code_tells_how_it_went(ends: list[Status], code: int):
    report = Report()
    for status in ends:
        report.add(outcome(status))
    assert report.exit_code == code
    assert report.n_files == len(ends)


def test_no_failure_is_held_with_its_traceback():
    """Its frames hold samples: an hour of a drop folder with a failure now and then grew by 12 MB."""
    report = Report()
    report.add(outcome(Status.FAILED))
    assert [(one.error, one.reason) for one in report.failures] == [(None, "this is no recording")]


def test_speed_is_audio_done_by_time_taken():
    clock = Clock()
    report = Report(clock)
    assert report.real_time_factor == 0.0
    report.add(outcome(Status.DONE, audio_s=90.0))
    report.add(outcome(Status.DONE, audio_s=30.0))
    assert report.real_time_factor == 0.0  # no time has passed
    clock.now += 60.0
    for status in (Status.FAILED, Status.SKIPPED, Status.INTERRUPTED):
        report.add(outcome(status, audio_s=1000.0))  # nothing of these was transcribed
    assert (report.audio_s, report.wall_s, report.real_time_factor) == (120.0, 60.0, 2.0)


def test_the_summary_is_one_line():
    clock = Clock()
    report = Report(clock)
    assert report.summary() == "nothing to do"
    report.add(outcome(Status.SKIPPED))
    assert report.summary() == "1 skipped"
    report.add(outcome(Status.DONE, audio_s=3725.0))
    report.add(outcome(Status.FAILED))
    clock.now += 74.5
    assert report.summary() == "1 done, 1 failed, 1 skipped; 1:02:05 of audio in 1:14 (50.0x real time)"


@pytest.mark.parametrize(
    ("seconds", "spelled"), [(0.5, "0.5 s"), (59.94, "59.9 s"), (59.96, "1:00"), (3599.7, "1:00:00")]
)
def test_durations_never_show_sixty(seconds: float, spelled: str):
    report = Report(Clock())
    report.add(outcome(Status.DONE, audio_s=seconds))
    assert f"; {spelled} of audio" in report.summary()


def test_the_plain_values_say_the_same_and_go_into_json():
    clock = Clock()
    report = Report(clock)
    report.add(outcome(Status.DONE, audio_s=10.0))
    report.add(outcome(Status.FAILED, "bad\udcff.wav"))
    clock.now += 4.0
    told = report.as_dict()
    assert told == {
        "done": 1,
        "failed": 1,
        "skipped": 0,
        "interrupted": 0,
        "audio_seconds": 10.0,
        "wall_seconds": 4.0,
        "real_time_factor": 2.5,
        "exit_code": 1,
        "hooks_failed": 0,
        "failures": [{"path": "bad\udcff.wav", "reason": "this is no recording"}],
    }
    assert json.loads(json.dumps(told)) == told


def test_it_prints_nothing(capsys: pytest.CaptureFixture[str]):
    report = Report()
    report.add(outcome(Status.FAILED))
    report.summary()
    report.as_dict()
    assert capsys.readouterr() == ("", "")


def test_what_is_made_from_its_json_tells_nothing_of_speed():
    report = Report()
    report.add(Outcome(Path("a.wav"), Status.DONE, audio_s=60.0, reason="made from its JSON"))
    assert (report.counts[Status.DONE], report.audio_s, report.real_time_factor) == (1, 0.0, 0.0)
    report.add(Outcome(Path("b.wav"), Status.DONE, audio_s=60.0))
    assert report.audio_s == 60.0
