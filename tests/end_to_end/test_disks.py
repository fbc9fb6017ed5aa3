"""Disks that are full or read-only, and names that are folders: the command line with the fake engine, on real disks.

A small disk is a tmpfs that the test mounts; where that is not permitted these tests are skipped, and those with an
injected ENOSPC in ``test_failing`` and ``test_audio_modes`` remain.
"""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from sounds import write_wav
from whisperbatch import cli
from whisperbatch.backends import local
from whisperbatch.engine import EngineFacts
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.records import Clip

PAGE = 4096  # bytes; tmpfs gives room by the page


def mount(*arguments: str | Path) -> bool:
    try:
        return subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", place):
        pytest.skip("mounting is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, leaving: int = 0) -> Path:
    """A file that leaves so many pages of the disk free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as out:
        with suppress(OSError):
            while True:
                out.write(b"x" * PAGE)
        out.truncate(max(0, out.tell() - leaving * PAGE))
    return filler


@dataclass
class Told:
    code: int
    errors: str
    n_decoded: int


@pytest.fixture
def transcribe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Told]:
    """A run of the command line, with a journal of the test's own in the state folder."""
    monkeypatch.setattr(FakeEngine, "facts", EngineFacts("demo", None))
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path, before_step: Callable[[list[Clip]], None] | None = None) -> Told:
        engine = FakeEngine(1, before_step)
        monkeypatch.setattr(local, "open_engine", lambda *given, **named: engine)
        options = "--model demo --no-vad --batch-size 1 --max-wait 0 --load-workers 1 --format txt,srt,json".split()
        options.append("--no-dedupe")  # recordings here are alike to the byte
        code = cli.main(["transcribe", *options, *map(str, arguments)])
        errors = capfd.readouterr().err
        assert "Traceback" not in errors
        return Told(code, errors, sum(map(len, engine.batches)))

    return run


def outputs(folder: Path) -> dict[str, bytes]:
    """All that lies below a folder beside recordings, by its path there."""
    there = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".wav" and path.name != "filler")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in there}


def line(told: Told, name: str) -> str:
    """The one line about a file; it is a sentence."""
    (found,) = [one for one in told.errors.splitlines() if name in one]
    return found


@pytest.mark.parametrize("leaving", [0, 1, 2, 5])
def test_outputs_on_a_full_disk_fail_alone_and_a_later_run_completes(disk: Path, tmp_path: Path, transcribe, leaving):
    calm = tmp_path / "calm"
    for index in range(4):
        write_wav(calm / "disk" / f"full{index}.wav", index)
        write_wav(calm / "room" / f"room{index}.wav", 10 + index)
        write_wav(disk / f"full{index}.wav", index)
        write_wav(tmp_path / "room" / f"room{index}.wav", 10 + index)
    assert transcribe(calm, "--journal", tmp_path / "calm.journal").code == 0
    filler = fill(disk, leaving)
    told = transcribe(disk, tmp_path / "room")
    assert told.code == 1
    assert outputs(tmp_path / "room") == outputs(calm / "room")
    n_whole = len(outputs(disk)) // 3
    assert len(outputs(disk)) == 3 * n_whole == 3 * (leaving // 3)
    assert told.errors.count("the disk is full; make room and run again") == 4 - n_whole
    filler.unlink()
    again = transcribe(disk, tmp_path / "room")
    assert again.code == 0, again.errors
    assert again.n_decoded == 4 - n_whole
    assert outputs(disk) == outputs(calm / "disk")


def test_a_full_disk_has_no_room_for_a_new_journal(disk: Path, tmp_path: Path, transcribe):
    write_wav(tmp_path / "in" / "a.wav", 1)
    filler = fill(disk)
    told = transcribe("in", "--journal", disk / "journal")
    assert (told.code, told.n_decoded) == (3, 0)
    assert "the journal cannot be used" in line(told, "journal")
    assert "--no-journal" in told.errors
    filler.unlink()
    assert transcribe("in", "--journal", disk / "journal").code == 0


@pytest.mark.parametrize("leaving", [0, 1, 3])
def test_a_journal_whose_disk_fills_up_ends_the_run_and_a_later_one_completes(
    disk: Path, tmp_path: Path, transcribe, leaving
):
    for index in range(30):
        write_wav(tmp_path / "in" / f"{index:02d}.wav", index)
        write_wav(tmp_path / "calm" / f"{index:02d}.wav", index)
    assert transcribe("calm").code == 0
    journal = disk / "journal"
    steps = [0]

    def before_step(clips: list[Clip]) -> None:
        steps[0] += 1
        if steps[0] == 5:
            fill(disk, leaving)

    told = transcribe("in", "--journal", journal, before_step=before_step)
    assert told.code == 3, told.errors
    assert "the journal cannot be used" in line(told, "whisperbatch: ")
    assert not [name for name in outputs(tmp_path / "in") if name.startswith(".")]
    n_proven = len(list((tmp_path / "in").glob("*.json")))
    assert n_proven < 30
    (disk / "filler").unlink()
    again = transcribe("in", "--journal", journal)
    assert again.code == 0, again.errors
    assert again.n_decoded == 30 - n_proven
    assert outputs(tmp_path / "in") == outputs(tmp_path / "calm")
    assert [path.name for path in disk.iterdir()] == ["journal"]


def test_a_spool_on_a_full_disk_fails_its_file_alone_and_a_later_run_completes(disk: Path, tmp_path: Path, transcribe):
    for folder in ("in", "calm"):
        write_wav(tmp_path / folder / "long.wav", 1, 16_000 * 60)
        for index in range(3):
            write_wav(tmp_path / folder / f"short{index}.wav", index)
    assert transcribe("calm", "--long-form", "sequential", "--spool-dir", tmp_path / "spool").code == 0
    assert mount("-o", "remount,size=1m", disk)
    told = transcribe("in", "--long-form", "sequential", "--spool-dir", disk)
    assert told.code == 1
    assert f"cannot be spooled to {disk} (No space left on device); use --spool-dir" in line(told, "long.wav")
    assert len(outputs(tmp_path / "in")) == 3 * 3
    assert list(disk.iterdir()) == []
    assert mount("-o", "remount,size=8m", disk)
    again = transcribe("in", "--long-form", "sequential", "--spool-dir", disk)
    assert (again.code, again.n_decoded) == (0, 1), again.errors
    assert outputs(tmp_path / "in") == outputs(tmp_path / "calm")
    assert list(disk.iterdir()) == []


def test_recordings_on_a_read_only_disk_are_transcribed_to_another_folder(disk: Path, tmp_path: Path, transcribe):
    for index in range(3):
        write_wav(disk / "side" / f"closed{index}.wav", index)
        write_wav(tmp_path / "open" / f"open{index}.wav", index)
    assert mount("-o", "remount,ro", disk)
    told = transcribe(disk, tmp_path / "open")
    assert told.code == 1
    assert told.n_decoded == 3  # what cannot be written is not decoded
    for index in range(3):
        assert "use --output-dir to write elsewhere" in line(told, f"closed{index}.wav")
    assert len(outputs(tmp_path / "open")) == 3 * 3
    told = transcribe(disk, "--output-dir", tmp_path / "out")
    assert (told.code, told.n_decoded) == (0, 3), told.errors
    assert set(outputs(tmp_path / "out")) == {
        f"side/closed{i}.{name}" for i in range(3) for name in ("txt", "srt", "json")
    }
    assert transcribe(disk, "--output-dir", tmp_path / "out").n_decoded == 0
    assert (tmp_path / "state" / "whisperbatch" / "journal.sqlite3").is_file()


def test_a_disk_that_becomes_read_only_in_mid_run_fails_what_lies_there(disk: Path, tmp_path: Path, transcribe):
    for index in range(3):
        write_wav(disk / f"closed{index}.wav", index)
        write_wav(tmp_path / "open" / f"open{index}.wav", index)
    told = transcribe(disk, tmp_path / "open", before_step=lambda clips: assert_(mount("-o", "remount,ro", disk)))
    assert told.code == 1
    assert told.errors.count("use --output-dir to write elsewhere") == 3
    assert len(outputs(tmp_path / "open")) == 3 * 3
    assert mount("-o", "remount,rw", disk)
    assert transcribe(disk, tmp_path / "open").code == 0
    assert len(outputs(disk)) == 3 * 3


def assert_(condition: bool) -> None:
    assert condition


@pytest.mark.parametrize("is_there", [True, False])
def test_a_journal_on_a_read_only_disk_is_told_in_a_sentence(disk: Path, tmp_path: Path, transcribe, is_there: bool):
    write_wav(tmp_path / "in" / "a.wav", 1)
    if is_there:
        assert transcribe("in", "--journal", disk / "journal").code == 0
        (tmp_path / "in" / "a.json").unlink()
    assert mount("-o", "remount,ro", disk)
    told = transcribe("in", "--journal", disk / "journal")
    assert (told.code, told.n_decoded) == (3, 0)
    assert "name another with --journal, or go without with --no-journal" in line(told, "whisperbatch: ")
    assert transcribe("in", "--no-journal").code == 0


@pytest.mark.parametrize("taken", [("talk.txt",), ("talk.txt", "talk.wav.txt"), ("talk.json",), ("talk.wav.srt",)])
def test_a_folder_that_has_an_outputs_name_stays_and_all_are_done(tmp_path: Path, transcribe, taken: tuple[str, ...]):
    for name in ("talk", "other"):
        write_wav(tmp_path / "in" / f"{name}.wav", len(name))
    for name in taken:
        (tmp_path / "in" / name / "within").mkdir(parents=True)
    assert transcribe("in").code == 0
    assert all((tmp_path / "in" / name / "within").is_dir() for name in taken)
    found = outputs(tmp_path / "in")
    assert {f"other.{name}" for name in ("txt", "srt", "json")} < set(found)
    assert len(found) == 6
    assert len({name.rpartition(".")[0] for name in found}) == 2  # a set has one name
    assert transcribe("in").n_decoded == 0
    assert outputs(tmp_path / "in") == found


def test_overwrite_does_not_replace_a_folder(tmp_path: Path, transcribe):
    for name in ("talk", "other"):
        write_wav(tmp_path / "in" / f"{name}.wav", len(name))
    (tmp_path / "in" / "talk.srt" / "within").mkdir(parents=True)
    told = transcribe("in", "--overwrite")
    assert told.code == 1
    assert "a folder already has that name; use --output-dir to write elsewhere" in line(told, "talk.wav")
    assert set(outputs(tmp_path / "in")) == {f"other.{name}" for name in ("txt", "srt", "json")}
    assert (tmp_path / "in" / "talk.srt" / "within").is_dir()
    assert transcribe("in").code == 0  # under another name


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_folder_that_is_removed_in_mid_run_fails_its_files_alone(tmp_path: Path, transcribe, comes_back: bool):
    for index in range(3):
        write_wav(tmp_path / "in" / "gone" / f"gone{index}.wav", index)
        write_wav(tmp_path / "in" / "here" / f"here{index}.wav", index)
    folder, away = tmp_path / "in" / "gone", tmp_path / "away"

    def before_step(clips: list[Clip]) -> None:
        if folder.is_dir():
            folder.rename(away)

    told = transcribe("in", before_step=before_step)
    assert told.code == 1
    assert not folder.exists()
    for index in range(3):
        assert "exist" in line(told, f"gone{index}.wav") or "its folder has gone" in line(told, f"gone{index}.wav")
    assert len(outputs(tmp_path / "in")) == 3 * 3
    if comes_back:
        away.rename(folder)
        again = transcribe("in")
        assert (again.code, again.n_decoded) == (0, 3), again.errors
    else:
        assert transcribe("in").code == 0


def test_an_output_folder_that_is_removed_in_mid_run_is_made_again_and_what_was_lost_too(tmp_path: Path, transcribe):
    for index in range(4):
        write_wav(tmp_path / "in" / f"{index}.wav", index)
    out, steps = tmp_path / "out", [0]

    def before_step(clips: list[Clip]) -> None:
        steps[0] += 1
        if steps[0] == 3:
            while len(list(out.glob("[0-9].*"))) < 2 * 3:
                threading.Event().wait(0.01)
            out.rename(tmp_path / "lost")

    assert transcribe("in", "--output-dir", out, before_step=before_step).code == 0
    n_there = len(outputs(out)) // 3
    assert 0 < n_there < 4
    again = transcribe("in", "--output-dir", out)
    assert (again.code, again.n_decoded) == (0, 4 - n_there)
    assert len(outputs(out)) == 4 * 3
    assert all("text" in json.loads((out / f"{i}.json").read_bytes()) for i in range(4))
