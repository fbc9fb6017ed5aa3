"""What the journal tells on the command line, and the dry run, without a model."""

import json
import sys
import wave
from pathlib import Path

import pytest

from sounds import write_wav
from whisperbatch import cli
from whisperbatch.audio import durations
from whisperbatch.journal import Journal, Key, Output, Recording, TextRecipe


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three recordings, of which one is done and one has failed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    files = [write_wav(tmp_path / "in" / f"{name}.wav", ord(name[0])) for name in ("bad", "done", "new")]  # no copies
    with Journal(tmp_path / "journal") as journal:
        for file in files[:2]:
            entry = journal.claim(Key(file, file.parent)).entry
            status = file.stat()
            recording, recipe = Recording(status.st_size, status.st_mtime_ns, None), TextRecipe("nonesuch", None, "{}")
            if file.stem == "bad":
                journal.failed(entry, recording, recipe, "is not audio", is_permanent=True)
            else:
                output = file.with_suffix(".txt")
                output.write_text("x")
                outputs = [Output(output, "txt", 1, output.stat().st_mtime_ns)]
                journal.intend(entry, recording, recipe, "done", "en", outputs)
                journal.done(entry, outputs, 7200.0, 1.0)
    return tmp_path


def test_status_tells_counts_reasons_and_hours(here: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["status", "--journal", "journal"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"failed: {here}/in/bad.wav: is not audio (tried once)",
        "1 done, 1 failed, 0 in progress, 0 pending; 2.00 hours of audio done",
    ]
    assert cli.main(["status", "in", "--journal", "journal"]) == 0
    assert "1 done, 1 failed, 0 in progress, 1 pending" in capsys.readouterr().out
    assert cli.main(["status", "in/new.wav", "--journal", "journal"]) == 0
    assert "0 done, 0 failed, 0 in progress, 1 pending" in capsys.readouterr().out


def test_status_as_json_tells_every_file(here: Path, capsys: pytest.CaptureFixture[str]):
    with Journal(here / "journal") as journal:
        journal.claim(Key(here / "in" / "new.wav", here / "in"))
        assert cli.main(["status", "--json", "--journal", "journal"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["done"], told["failed"], told["in_hand"], told["pending"]) == (1, 1, 1, 1, 0)
    assert told["audio_seconds"] == 7200.0
    by_name = {Path(row["path"]).name: row for row in told["files"]}
    assert by_name["bad.wav"]["error"] == "is not audio"
    assert by_name["done.wav"]["outputs"] == [f"{here}/in/done.txt"]
    assert by_name["new.wav"]["state"] == "in hand"


def test_status_of_nothing_makes_no_journal(here: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["status", "--journal", "other"]) == 0
    assert capsys.readouterr().out.startswith("0 done")
    assert not (here / "other").exists()


def test_status_of_a_folder_that_has_gone_tells_what_is_known_of_it(here: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["status", "in", "--json", "--journal", "journal"]) == 0
    before = json.loads(capsys.readouterr().out)
    (here / "in").rename(here / "away")
    assert cli.main(["status", "in", "--json", "--journal", "journal"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["done"], told["failed"]) == (before["done"], before["failed"])
    assert cli.main(["status", "in", "nowhere", "--journal", "journal"]) == 2
    assert "there is no file or folder nowhere" in capsys.readouterr().err


def test_forget_leaves_what_was_written(here: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["forget", "in", "--journal", "journal"]) == 0
    assert "removed 2 files from the journal" in capsys.readouterr().err
    assert (here / "in" / "done.txt").exists()
    assert cli.main(["forget", "in", "--journal", "journal"]) == 2
    assert "has no entries for in" in capsys.readouterr().err


def test_what_is_in_hand_is_not_forgotten(here: Path, capsys: pytest.CaptureFixture[str]):
    with Journal(here / "journal") as journal:
        journal.claim(Key(here / "in" / "done.wav", here / "in"))
        assert cli.main(["forget", "in/done.wav", "--journal", "journal"]) == 2
    assert "a run is working on it" in capsys.readouterr().err


WOULD = "would transcribe to"
NEW, BAD = f"{WOULD} in/new.txt", f"{WOULD} in/bad.txt"


@pytest.mark.parametrize(
    ("more", "lines"),
    [
        ([], ["failed: failed before: is not audio (--retry-failed tries again)", "skipped: already transcribed",
              NEW]),
        (["--retry-failed"], [BAD, "skipped: already transcribed", NEW]),
        (["--redo"], [BAD, f"{WOULD} in/done.txt (--redo)", NEW]),
        (["--overwrite"], [BAD, f"{WOULD} in/done.txt (--overwrite)", NEW]),
        (["--language", "de"], [BAD, f"{WOULD} in/done.txt (other settings)", NEW]),
        (["--format", "txt,srt"],
         [None, f"{WOULD} in/done.srt (an output is missing, and there is no JSON to make it from)",
          f"{WOULD} in/new.txt, in/new.srt"]),
        (["--no-journal"], [BAD, "skipped: all its outputs are there already", NEW]),
    ],
)  # fmt: skip
def test_a_dry_run_tells_what_and_why(here: Path, capsys: pytest.CaptureFixture[str], more: list[str], lines: list):
    before = sorted(here.rglob("*"))
    where = [] if "--no-journal" in more else ["--journal", "journal"]
    formats = [] if "--format" in more else ["--format", "txt"]
    command = ["transcribe", "in", "--model", "nonesuch", "--dry-run", *formats, *more, *where]
    assert cli.main(command) == 0
    told = [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()]
    assert [mine for mine, expected in zip(told, lines, strict=True) if expected] == [one for one in lines if one]
    assert sorted(here.rglob("*")) == before


def test_a_dry_run_says_how_much_it_is_in_all(here: Path, capsys: pytest.CaptureFixture[str]):
    command = ["transcribe", "in", "--model", "demo", "--dry-run", "--format", "txt"]
    for name in ("long", "longer"):
        with (here / "in" / f"{name}.wav").open("wb") as file, wave.open(file, "wb") as out:
            out.setparams((1, 2, 8_000, 0, "NONE", ""))
            out.writeframes(bytes([len(name)]) * 16_000 * 90)
    (here / "in" / "done.wav").unlink()
    assert cli.main([*command, "--no-journal"]) == 0
    assert capsys.readouterr().err.splitlines() == ["4 to transcribe (0.05 hours of audio, 2.9 MB)"]
    (here / "in" / "new.wav").write_bytes(b"no audio, whatever its name says")
    assert cli.main([*command, "--no-journal"]) == 0
    assert capsys.readouterr().err.splitlines() == ["4 to transcribe (at least 0.05 hours of audio, 2.9 MB)"]


def test_a_dry_run_tells_what_comes_from_json(here: Path, sample_audio: Path, capsys: pytest.CaptureFixture[str]):
    (here / "own").mkdir()
    (here / "own" / "garden.wav").write_bytes((sample_audio / "garden.wav").read_bytes())
    command = ["transcribe", "own", "--model", "demo", "--journal", "j"]
    assert cli.main([*command, "--format", "json"]) == 0
    capsys.readouterr()
    assert cli.main([*command, "--format", "json,srt,vtt", "--dry-run"]) == 0
    told = capsys.readouterr()
    line = "own/garden.wav: would write srt, vtt from JSON to own/garden.srt, own/garden.vtt"
    assert told.out == f"{line} (an output is missing, it is made from the JSON)\n"
    assert told.err == "1 to write from JSON\n"


def test_a_header_that_ends_or_holds_the_process_costs_lengths_only(here: Path, monkeypatch: pytest.MonkeyPatch):
    good, gone = here / "in" / "new.wav", here / "gone.wav"
    assert durations.header_durations_s([good, gone, good]) == [0.1, None, 0.1]
    assert durations.header_durations_s([]) == []
    assert durations.header_durations_s([good] * 3, limit_s=0.0) == [None] * 3
    monkeypatch.setattr(durations, "command", lambda module: [sys.executable, "-c", "print(1.5); raise SystemExit(9)"])
    assert durations.header_durations_s([good, good]) == [1.5, None]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--journal", "j", "--no-journal"], 2, "not both"),
        (["--no-journal", "--redo"], 2, "--redo needs the journal"),
        (["--journal", "in"], 3, "the journal cannot be used"),
    ],
)
def test_what_makes_no_sense_is_told(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, sentence: str
):
    assert cli.main(["transcribe", "in", "--model", "demo", *arguments]) == code
    assert sentence in capsys.readouterr().err
