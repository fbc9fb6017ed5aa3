"""Recordings that were renamed, moved or copied after they were done: made from the kept JSON, and never another's."""

import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from runs import N_LARGE, QuickWorker, Tree, told, write_large
from sounds import write_wav
from whisperbatch import cli
from whisperbatch.engine import EngineFacts
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.journal import Journal, content, sample
from whisperbatch.pipeline import local_stages
from whisperbatch.pipeline.file_digest import FileDigest
from whisperbatch.records import AudioFile, Clip, Outcome, Status
from whisperbatch.sources import from_paths


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def reasons(outcomes: dict[str, Outcome]) -> set[str]:
    return {outcome.reason for outcome in outcomes.values()}


def test_what_was_renamed_is_made_from_the_kept_transcript(tree: Tree):
    tree.run()
    before = tree.contents()
    (tree.audio / "000.wav").rename(tree.audio / "talk.wav")
    outcomes = tree.run(output={"formats": ("txt", "srt", "json")})
    assert tree.n_heard == 3
    assert outcomes["talk.wav"].status is Status.DONE
    assert outcomes["talk.wav"].reason == f"made from the transcript of {tree.audio / '000.wav'}"
    assert [path.name for path in outcomes["talk.wav"].outputs] == ["talk.txt", "talk.srt", "talk.json"]
    after = tree.contents()
    assert {name: after[name] for name in before} == before  # the old ones stay
    assert after["talk.txt"] == before["000.txt"]
    assert after["talk.json"] == before["000.json"]
    assert set(told(tree.run()).values()) == {"skipped"}


def test_what_was_moved_twice_is_found_by_its_latest_place(tree: Tree, tmp_path: Path):
    tree.run()
    (tmp_path / "audio" / "one").mkdir()
    (tree.audio / "000.wav").rename(tree.audio / "one" / "000.wav")
    tree.run()
    (tree.audio / "000.json").unlink()
    (tree.audio / "one" / "000.wav").rename(tree.audio / "one" / "talk.wav")
    outcomes = tree.run()
    assert tree.n_heard == 3
    assert outcomes["talk.wav"].reason == f"made from the transcript of {tree.audio / 'one' / '000.wav'}"


def test_recordings_that_agree_in_size_and_sample_are_told_apart(tree: Tree):
    one, other = tree.audio / "000.wav", tree.audio / "001.wav"
    assert sample(one) == sample(other)
    assert one.stat().st_size == other.stat().st_size
    tree.run()
    assert tree.n_heard == 3  # in one run
    one.unlink()
    write_large(tree.audio / "late.wav", 99)
    outcomes = tree.run()
    assert tree.n_heard == 4  # and in the next
    assert outcomes["late.wav"].reason == ""
    assert (tree.audio / "late.txt").read_text() != (tree.audio / "000.txt").read_text()


@pytest.mark.parametrize(
    "change",
    [
        {"clip": {"prompt": "Names"}},
        {"clip": {"language": "de"}},
        {"revision": "1"},
        {"output": {"overwrite": True}},
        {"journal": {"redo": True, "redo_scope": "all"}},
        {"journal": {"dedupe": False}},
    ],
)
def test_it_is_transcribed_again_when_another_text_is_asked_for(tmp_path: Path, change: dict):
    tree = Tree(tmp_path, 1)
    tree.run()
    (tree.audio / "000.wav").rename(tree.audio / "talk.wav")
    assert reasons(tree.run(**change)) == {""}
    assert tree.n_heard == 2


def edit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"sum", b"SUM"))


@pytest.mark.parametrize("change", [Path.unlink, edit])
def test_a_transcript_that_is_gone_or_was_edited_is_not_taken(tmp_path: Path, change):
    tree = Tree(tmp_path, 1)
    tree.run()
    change(tree.audio / "000.json")
    (tree.audio / "000.wav").rename(tree.audio / "talk.wav")
    assert reasons(tree.run()) == {""}
    assert tree.n_heard == 2
    assert "SUM" not in (tree.audio / "talk.txt").read_text()


def test_without_json_it_is_transcribed_again(tree: Tree):
    tree.run(output={"formats": ("txt",)})
    (tree.audio / "000.wav").rename(tree.audio / "talk.wav")
    tree.run(output={"formats": ("txt",)})
    assert tree.n_heard == 4


def test_another_suffix_may_mean_another_sound(tree: Tree):
    tree.run()
    (tree.audio / "000.wav").rename(tree.audio / "000.mp3")
    assert tree.run()["000.mp3"].reason == ""


def forget_contents(journal: Path) -> None:
    """Make the journal one that was kept before contents were."""
    with sqlite3.connect(journal) as database:
        database.execute("UPDATE file SET content = NULL")
    database.close()


@pytest.mark.parametrize("is_there", [True, False])
def test_an_old_journal_proves_nothing_but_by_the_recording_that_is_still_there(tmp_path: Path, is_there: bool):
    tree = Tree(tmp_path, 1)
    tree.run()
    forget_contents(tree.journal)
    shutil.copy(tree.audio / "000.wav", tree.audio / "copy.wav")
    write_large(tree.audio / "other.wav", 7)  # as large, and with the same sample
    if not is_there:
        (tree.audio / "000.wav").unlink()
    outcomes = tree.run()
    assert outcomes["other.wav"].reason == ""
    assert outcomes["copy.wav"].reason.startswith("made from") is is_there
    assert tree.n_heard == (2 if is_there else 3)


def test_an_old_recording_that_has_changed_proves_nothing(tmp_path: Path):
    tree = Tree(tmp_path, 1)
    tree.run()
    forget_contents(tree.journal)
    write_large(tree.audio / "000.wav", 5)
    write_large(tree.audio / "copy.wav", 5)
    os.utime(tree.audio / "000.wav", (1, 1))
    outcomes = tree.run(journal={"dedupe": True})
    assert outcomes["copy.wav"].reason == ""


def test_a_recording_that_changes_while_it_is_loaded_is_no_proof(tmp_path: Path):
    tree = Tree(tmp_path, 1)
    old = tree.audio / "000.wav"
    data = old.read_bytes()

    def change(clips: list[Clip]) -> None:
        write_large(old, 3)

    tree.run(before_step=change)
    with Journal(tree.journal) as journal:
        assert [entry.content for entry in journal.entries()] == [None]
    (tree.audio / "talk.wav").write_bytes(data)
    assert tree.run()["talk.wav"].reason == ""


def test_a_format_made_later_keeps_what_proves_the_recording(tmp_path: Path):
    tree = Tree(tmp_path, 1)
    tree.run()
    tree.run(output={"formats": ("txt", "srt", "json")})
    (tree.audio / "000.wav").rename(tree.audio / "talk.wav")
    assert reasons(tree.run()) == {f"made from the transcript of {tree.audio / '000.wav'}"}
    assert tree.n_heard == 1


def test_a_thousand_recordings_renamed_and_moved_between_two_runs_are_not_heard_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(local_stages, "LoadWorker", QuickWorker)
    place = Tree(tmp_path, 0)
    for index in range(1_000):
        inner = place.audio / f"{index % 10}"
        inner.mkdir(exist_ok=True)
        write_wav(inner / f"{index:04d}.wav", index + 1, 160)
    place.base = place.options(batch={"max_batch_size": 64}, output={"formats": ("json",)})
    place.run()
    assert place.n_heard == 1_000
    texts = {path.stem: path.read_bytes() for path in place.audio.rglob("*.json")}
    moved = tmp_path / "moved"
    for index in range(1_000):
        target = moved / f"{index % 7}"
        target.mkdir(parents=True, exist_ok=True)
        (place.audio / f"{index % 10}" / f"{index:04d}.wav").rename(target / f"talk {index}.wav")
    outcomes = place.run(source=from_paths([moved]))
    assert place.n_heard == 1_000
    assert len(outcomes) == 1_000
    for index in range(1_000):
        assert (moved / f"{index % 7}" / f"talk {index}.json").read_bytes() == texts[f"{index:04d}"]


def test_status_and_a_dry_run_say_whose_transcript_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(FakeEngine, "facts", EngineFacts("demo", None))
    tree = Tree(tmp_path, 1)
    tree.base = tree.options(engine={"model": "demo"})
    tree.run(revision=None)
    (tree.audio / "000.wav").rename(tree.audio / "talk.wav")
    shutil.copy(tree.audio / "talk.wav", tree.audio / "x.wav")
    old = tree.audio / "000.wav"
    command = ["transcribe", "audio", "--model", "demo", "--no-vad", "--dry-run"]
    command += ["--format", "txt", "--journal", "journal.sqlite3"]
    assert cli.main(command) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        f"audio/{name}.wav: would write txt from the transcript of {old} to audio/{name}.txt"
        f" (it has the same content as {old})"
        for name in ("talk", "x")
    ]
    assert told.err == "2 to write from the transcript of the same recording\n"
    assert cli.main([*command, "--no-dedupe"]) == 0
    assert "2 to transcribe" in capsys.readouterr().err
    assert cli.main([*command[:-2], "--no-journal"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[1].startswith(f"audio/x.wav: would write txt from the transcript of {tree.audio}/talk")
    assert told.err.startswith("1 to transcribe (0.00 hours of audio, 0.4 MB), 1 to write from the transcript of")
    tree.run(revision=None)
    assert cli.main(["status", "audio", "--journal", "journal.sqlite3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"made from the transcript of {old}: {tree.audio / 'talk.wav'}"
    assert cli.main(["status", "audio", "--journal", "journal.sqlite3", "--json"]) == 0
    rows = {Path(row["path"]).name: row for row in json.loads(capsys.readouterr().out)["files"]}
    assert rows["talk.wav"]["made_from"] == str(old)
    assert rows["000.wav"]["made_from"] is None


def test_the_digest_is_of_all_bytes_and_of_the_version_that_is_asked_for(tmp_path: Path):
    file = write_large(tmp_path / "a.wav", 1)
    status = file.stat()
    known = (sample(file), status.st_size, status.st_mtime_ns)
    whole = content(file, *known)
    assert whole is not None
    assert len(whole) == 64
    assert content(write_large(tmp_path / "b.wav", 2), sample(file), status.st_size, file.stat().st_mtime_ns) != whole
    assert content(file, known[0], status.st_size, 1) is None
    assert content(file, *known, lambda: True) is None
    assert content(tmp_path / "gone", *known) is None
    audio = AudioFile(file, size=status.st_size, mtime_ns=status.st_mtime_ns)
    kept = FileDigest(audio, known[0])
    assert kept.known is None
    assert (kept.compute(), kept.known) == (whole, whole)
    os.utime(file, (1, 1))
    assert kept.known is None


def test_a_whole_reading_is_taken_only_where_size_and_sample_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[Path] = []
    real = FileDigest.compute

    def compute(self: FileDigest) -> str | None:
        read.append(self._audio.path)
        return real(self)

    tree = Tree(tmp_path, 2)
    monkeypatch.setattr(FileDigest, "compute", compute)
    write_large(tree.audio / "longer.wav", 1, N_LARGE + 1)
    tree.run(with_journal=False)
    assert {path.name for path in read} == {"000.wav", "001.wav"}
