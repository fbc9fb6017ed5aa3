"""The event log and the report's file: what is in them, and what becomes of a run whose log is lost."""

import io
import json
import time
from pathlib import Path

import pytest

from whisperbatch.cli import main, screen
from whisperbatch.cli.listeners import listening, reporting
from whisperbatch.errors import LoadError, RunError
from whisperbatch.events import EventLog
from whisperbatch.records import Event, Outcome, Segment, Status, Transcript
from whisperbatch.report import Report, ReportFile

PATH = Path("bad\udcff.wav")
FAILED = Outcome(PATH, Status.FAILED, error=LoadError("is empty", PATH), reason="is empty", wall_s=0.25)
DONE = Outcome(
    Path("a.wav"),
    Status.DONE,
    transcript=Transcript("en", (Segment(0.0, 1.0, " Hello."),), 2.0, speech_s=1.5, warnings=("damaged",)),
    outputs=(Path("a.txt"),),
    audio_s=2.0,
    wall_s=1.0,
)


def test_every_line_is_json_with_version_kind_and_time():
    out = io.BytesIO()
    log = EventLog(out, clock=lambda: 5.0)
    segments = [{"start": 0.0, "end": 1.0, "text": " Hello."}, {"start": 1.0, "end": 2.0, "text": " Bye."}]
    for event in (
        Event("queued", PATH),
        Event("loading", PATH),
        Event("loaded", PATH, {"duration_s": 2.0, "n_clips": 1}),
        Event("batch", None, {"n_clips": 1, "n_files": 1, "audio_s": 2.0}),
        Event("progress", PATH, {"audio_s": 2.0, "segments": segments}),
        Event("notice", None, {"text": "a notice"}),
        Event("finished", DONE.path, {"outcome": DONE}),
        Event("finished", PATH, {"outcome": FAILED}),
    ):
        log.on_event(event)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    kinds = ["queued", "started", "loaded", "batch", "segment", "segment", "notice", "done", "failed"]
    assert [line["event"] for line in lines] == kinds
    assert all((line["v"], line["time"]) == (1, 5.0) for line in lines)
    assert lines[0]["path"] == str(PATH)
    assert lines[2] | {"duration": 2.0, "n_clips": 1} == lines[2]
    assert lines[3]["audio_seconds"] == 2.0
    assert lines[5]["text"] == " Bye."
    assert (lines[7]["outputs"], lines[7]["warnings"]) == (["a.txt"], ["damaged"])
    assert (lines[8]["reason"], lines[8]["error"]) == ("is empty", "LoadError")


@pytest.mark.parametrize("is_endless", [False, True])
def test_how_far_the_run_is_comes_now_and_then(tmp_path: Path, monkeypatch, is_endless: bool):
    monkeypatch.setattr(screen, "STATE_S", 0.02)
    path, view = tmp_path / "events.jsonl", screen.Screen(Report())
    view.is_endless = is_endless
    view.tally.began_s -= 10.0
    with listening(view.on_event, str(path)) as listen, screen.reporting_progress(listen, view):
        for event in (
            Event("queued", DONE.path),
            Event("queued", PATH),
            Event("loading", DONE.path),
            Event("loaded", DONE.path, {"duration_s": 100.0, "n_clips": 4}),
            Event("progress", DONE.path, {"audio_s": 50.0, "segments": ()}),
            Event("finished", PATH, {"outcome": FAILED}),
        ):
            listen(event)
        n_lines, until_s = len(path.read_text().splitlines()), time.monotonic() + 60
        while len(path.read_text().splitlines()) < n_lines + 2 and time.monotonic() < until_s:
            pass
    *_, told = [json.loads(line) for line in path.read_text().splitlines()]
    told = {key: value for key, value in told.items() if key not in ("v", "time", "real_time_factor")}
    left_s = told.pop("seconds_left")
    assert (left_s is None) is is_endless
    assert is_endless or 10 <= left_s <= 30
    assert told == {
        "event": "progress",
        "n_files": 2,
        "n_ended": 1,
        "n_failed": 1,
        "audio_seconds": 50.0,
        "audio_seconds_expected": 100.0,
    }


class Closed(io.BytesIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, data: object) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "told"), [(BrokenPipeError(), []), (OSError(28, "No space left"), ["[Errno 28] No space left"])]
)
def test_a_log_that_is_lost_ends_nothing_and_is_told_once(error: Exception, told: list[str]):
    lost: list[str] = []
    log = EventLog(Closed(error), lost.append)
    for _ in range(3):
        log.on_event(Event("queued", PATH))
    assert lost == told


def test_the_report_holds_every_file_and_the_totals(tmp_path: Path):
    report, path = Report(), tmp_path / "report.json"
    file = ReportFile(path)
    for outcome in (DONE, FAILED):
        report.add(outcome)
        file.add(outcome)
    assert not path.exists()
    file.close(report, 1)
    file.discard()
    told = json.loads(path.read_text())
    assert (told["schema"], [one["status"] for one in told["files"]]) == (1, ["done", "failed"])
    assert told["files"][1]["reason"] == "is empty"
    assert told["files"][0]["speech_seconds"] == 1.5
    assert (told["totals"]["done"], told["totals"]["failed"], told["totals"]["exit_code"]) == (1, 1, 1)
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_that_is_given_up_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / "report.json"
    path.write_text("old")
    file = ReportFile(path)
    file.add(DONE)
    file.discard()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path):
    with pytest.raises(RunError, match="the report cannot be written"):
        ReportFile(tmp_path / "nowhere" / "report.json")


def test_a_report_of_nothing_is_json(tmp_path: Path):
    file = ReportFile(tmp_path / "r.json")
    file.close(Report(), 0)
    assert json.loads((tmp_path / "r.json").read_text())["files"] == []


@pytest.mark.parametrize("flag", ["--report", "--events", "page"])
def test_a_recording_is_no_report(flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / ("talk.html" if flag == "page" else "talk.wav")
    path.write_bytes(b"RIFF, a recording whose name the shell has put behind the option")
    other = tmp_path / "other.wav"
    other.write_bytes(b"RIFF")
    flag = "--report" if flag == "page" else flag
    assert main(["transcribe", flag, str(path), str(other), "--model", "demo", "--no-journal"]) == 2
    assert "has other content and is left alone" in capsys.readouterr().err
    assert path.read_bytes().startswith(b"RIFF, a recording")


def test_what_earlier_runs_left_is_replaced_or_added_to(tmp_path: Path):
    report, events, page = tmp_path / "r.json", tmp_path / "e.jsonl", tmp_path / "r.html"
    for n_runs in (1, 2):
        for path in (report, page):
            with reporting(path) as told:
                assert told is not None
                told.add(FAILED)
                counts = Report()
                counts.add(FAILED)
                told.close(counts, 1)
        with listening(lambda event: None, str(events)) as listen:
            listen(Event("queued", PATH))
        assert len(events.read_text().splitlines()) == n_runs
    assert json.loads(report.read_text())["totals"]["failed"] == 1
