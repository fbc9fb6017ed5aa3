"""Recordings that move when they are done or have failed: never over anything, known by their new place."""

import errno
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runs import Run, options
from sounds import write_wav
from whisperbatch import pipeline
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.errors import RunError, WriteError
from whisperbatch.journal import Journal
from whisperbatch.options import RunOptions
from whisperbatch.outputs import move_file
from whisperbatch.outputs.move_file import move_to
from whisperbatch.outputs.namer import Namer, check_writable
from whisperbatch.records import AudioFile, Clip, Event, FileOptions, Outcome, Status
from whisperbatch.sources import MEDIA_SUFFIXES
from whisperbatch.sources.folders import below


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(tree(folder))


class Drop:
    """A drop folder with folders for what is done and what failed, and a journal."""

    def __init__(self, base: Path, **output: object) -> None:
        self.base, self.place = base, base / "drop"
        self.place.mkdir()
        self.output = {"formats": ("txt", "json"), "move_done": base / "done", "move_failed": base / "failed", **output}
        self.engines: list[FakeEngine] = []
        self.notices: list[str] = []

    def put(self, name: str, value: int) -> Path:
        (self.place / name).parent.mkdir(parents=True, exist_ok=True)
        return write_wav(self.place / name, np.full(1_600, value))

    def run(
        self,
        fails: int = 0,
        *,
        before: object = None,
        folder: Path | None = None,
        files: list[AudioFile] | None = None,
        **output: object,
    ) -> list[Outcome]:
        engine = FakeEngine(4, before, fails=lambda clip: int(clip.samples[0]) == fails > 0)
        self.engines.append(engine)
        opts: RunOptions = options(4, **{**self.output, **output})
        with Journal(self.base / "journal") as book:
            return list(
                pipeline.run(
                    files or below(folder or self.place),
                    opts,
                    open_engine=lambda: engine,
                    namer=Namer(opts.output, MEDIA_SUFFIXES),
                    on_event=self.note,
                    stop=threading.Event(),
                    journal=book,
                    revision=lambda: "0",
                )
            )

    def note(self, event: Event) -> None:
        if event.kind == "notice":
            self.notices.append(event.data["text"])

    @property
    def n_heard(self) -> int:
        return sum(len(batch) for engine in self.engines for batch in engine.batches)


def test_done_and_failed_recordings_move_with_their_place_in_the_tree_and_outputs_lie_beside_them(tmp_path: Path):
    drop = Drop(tmp_path)
    drop.put("a.wav", 1)
    drop.put("sub/b.wav", 2)
    drop.put("sub/c.wav", 3)
    told = {outcome.path.name: outcome for outcome in drop.run(fails=3)}
    assert names(tmp_path / "done") == ["a.json", "a.txt", "a.wav", "sub/b.json", "sub/b.txt", "sub/b.wav"]
    assert names(tmp_path / "failed") == ["sub/c.wav"]
    assert names(drop.place) == []
    assert told["a.wav"].moved_to == tmp_path / "done" / "a.wav"
    assert told["c.wav"].as_dict()["moved_to"] == str(tmp_path / "failed" / "sub" / "c.wav")
    assert "sum 1600" in (tmp_path / "done" / "a.txt").read_text()


def test_a_recording_that_asks_for_a_folder_it_may_not_have_costs_only_itself(tmp_path: Path):
    drop = Drop(tmp_path)
    for number in range(3):
        drop.put(f"{number}.wav", number + 1)
    files = [
        replace(audio, options=FileOptions(output=Path("/elsewhere"))) if audio.path.name == "1.wav" else audio
        for audio in below(drop.place)
    ]
    told = {outcome.path.name: outcome for outcome in drop.run(files=files)}
    assert {name: outcome.status for name, outcome in told.items()} == {
        "0.wav": Status.DONE,
        "1.wav": Status.FAILED,
        "2.wav": Status.DONE,
    }
    assert "its output folder" in told["1.wav"].reason
    assert names(tmp_path / "failed") == ["1.wav"]


def test_outputs_stay_where_they_are_said_to_be(tmp_path: Path):
    drop = Drop(tmp_path, output_dir=tmp_path / "out")
    drop.put("sub/a.wav", 1)
    drop.run()
    assert names(tmp_path / "out") == ["sub/a.json", "sub/a.txt"]
    assert names(tmp_path / "done") == ["sub/a.wav"]


def test_a_moved_recording_is_known_at_its_new_place_and_not_done_again(tmp_path: Path):
    drop = Drop(tmp_path)
    drop.put("a.wav", 1)
    drop.put("b.wav", 2)
    drop.run(fails=2)
    assert drop.run() == []
    plain = {"move_done": None, "move_failed": None}
    (again,) = drop.run(folder=tmp_path / "done", **plain)
    assert (again.status, again.reason) == (Status.SKIPPED, "already transcribed")
    (failed,) = drop.run(folder=tmp_path / "failed", **plain)
    assert failed.status is Status.DONE  # the model may do better today; it is tried with outputs beside it
    assert names(tmp_path / "failed") == ["b.json", "b.txt", "b.wav"]


@pytest.mark.parametrize("formats", [("txt", "json"), ("txt",)])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_same_name_day_after_day_keeps_every_recording_and_every_text(
    tmp_path: Path, formats: tuple[str, ...], elsewhere: bool
):
    drop = Drop(tmp_path, formats=formats, output_dir=tmp_path / "out" if elsewhere else None)
    for day in range(1, 6):
        drop.put("daily.wav", day)
        (outcome,) = drop.run()
        assert outcome.status is Status.DONE
        (text,) = [path for path in outcome.outputs if path.suffix == ".txt"]
        assert text.stem.removesuffix(".wav") == outcome.moved_to.stem
    texts = tree(tmp_path / ("out" if elsewhere else "done"))
    assert sorted(text for name, text in texts.items() if name.endswith(".txt")) == [
        f"clip 0 at 0.00 s, 0.10 s, sum {day * 1_600}.\n".encode() for day in range(1, 6)
    ]
    assert len({content for name, content in tree(tmp_path / "done").items() if name.endswith(".wav")}) == 5
    assert drop.n_heard == 5


def test_the_same_recording_brought_again_is_not_done_again(tmp_path: Path):
    drop = Drop(tmp_path)
    for _ in range(2):
        drop.put("a.wav", 1)
        (outcome,) = drop.run()
        assert outcome.moved_to == tmp_path / "done" / "a.wav"
    assert (outcome.status, drop.n_heard) == (Status.SKIPPED, 1)
    assert names(tmp_path / "done") == ["a.json", "a.txt", "a.wav"]
    assert names(drop.place) == []


def test_what_lies_in_the_way_is_left_alone(tmp_path: Path):
    drop = Drop(tmp_path)
    for folder in ("done", "failed"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.wav").write_bytes(b"somebody's")
        (tmp_path / folder / "b.wav").write_bytes(b"somebody's")
    (tmp_path / "done" / "a-2.txt").write_text("somebody's")
    drop.put("a.wav", 1)
    drop.put("b.wav", 2)
    drop.run(fails=2)
    done, failed = tree(tmp_path / "done"), tree(tmp_path / "failed")
    assert sorted(done) == ["a-2.txt", "a-3.json", "a-3.txt", "a-3.wav", "a.wav", "b.wav"]
    assert sorted(failed) == ["a.wav", "b-2.wav", "b.wav"]
    assert done["a.wav"] == done["a-2.txt"] == failed["b.wav"] == b"somebody's"


def test_a_run_that_was_killed_before_the_move_moves_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drop = Drop(tmp_path)
    drop.put("a.wav", 1)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.move_recordings, "move_to", lambda *given: (_ for _ in ()).throw(WriteError("no room")))
        (outcome,) = drop.run()
    assert (outcome.status, outcome.moved_to) == (Status.DONE, None)
    assert drop.notices == ["no room; it stays here, and the next run moves it"]
    (outcome,) = drop.run()
    assert (outcome.status, outcome.moved_to) == (Status.SKIPPED, tmp_path / "done" / "a.wav")
    assert drop.n_heard == 1


def test_a_run_that_was_killed_between_the_move_and_the_journal_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    drop = Drop(tmp_path)
    drop.put("a.wav", 1)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "moved", lambda *given: None)
        drop.run()
    first = tree(tmp_path / "done")
    drop.put("a.wav", 2)  # another recording of that name
    drop.run()
    assert {name: tree(tmp_path / "done")[name] for name in first} == first
    assert "sum 3200" in (tmp_path / "done" / "a-2.txt").read_text()
    assert (tmp_path / "done" / "a-2.wav").exists()


def test_new_content_that_came_meanwhile_is_not_moved_away_as_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drop = Drop(tmp_path)
    drop.put("a.wav", 1)

    def replace_it(clips: list[Clip]) -> None:
        drop.put("a.wav", 2)
        os.utime(drop.place / "a.wav", (1, 1))

    (outcome,) = drop.run(before=replace_it)
    assert (outcome.status, outcome.moved_to) == (Status.DONE, None)
    drop.run()
    assert "sum 3200" in (tmp_path / "done" / "a.txt").read_text()
    assert names(drop.place) == []


def test_without_a_journal_recordings_move_too(tmp_path: Path):
    drop = Drop(tmp_path)
    for day in (1, 2, 3):
        drop.put("a.wav", day)
        opts = options(4, **drop.output)
        Run(iter(list(below(drop.place))), FakeEngine(4), opts).end()
    assert [name for name in names(tmp_path / "done") if name.endswith("wav")] == ["a-2.wav", "a-3.wav", "a.wav"]
    assert [name for name in names(tmp_path / "done") if name.endswith("txt")] == ["a-2.txt", "a-3.txt", "a.txt"]


# the move itself


@pytest.fixture(params=["links", "another file system", "no links at all"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system that links, one where a link leads across a border, one without links."""
    real = os.link

    def link(source: Path, place: Path) -> None:
        is_temporary = Path(source).name.startswith(".whisperbatch-")
        if request.param == "no links at all" or (request.param == "another file system" and not is_temporary):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, place)

    monkeypatch.setattr(move_file.os, "link", link)
    return request.param


def test_a_move_keeps_content_and_time_and_leaves_nothing_behind(tmp_path: Path, system: str):
    source = tmp_path / "in" / "a.wav"
    source.parent.mkdir()
    source.write_bytes(b"x" * 3_000_000)
    os.utime(source, ns=(1_000_000_007, 2_000_000_007))
    place = move_to(source, tmp_path / "out" / "deep" / "a.wav")
    assert place == tmp_path / "out" / "deep" / "a.wav"
    assert place.stat().st_mtime_ns == 2_000_000_007
    assert tree(tmp_path) == {"out/deep/a.wav": b"x" * 3_000_000}


def test_a_move_goes_over_nothing(tmp_path: Path, system: str):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.wav").write_bytes(b"other")
    (tmp_path / "out" / "a-2.wav").mkdir()
    (tmp_path / "a.wav").write_bytes(b"mine!")
    assert move_to(tmp_path / "a.wav", tmp_path / "out" / "a.wav").name == "a-3.wav"
    assert tree(tmp_path) == {"out/a.wav": b"other", "out/a-3.wav": b"mine!"}


def test_a_move_that_was_killed_halfway_is_finished(tmp_path: Path, system: str):
    (tmp_path / "a.wav").write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.wav").write_bytes(b"mine")
    assert move_to(tmp_path / "a.wav", tmp_path / "out" / "a.wav").name == "a.wav"
    assert tree(tmp_path) == {"out/a.wav": b"mine"}


def test_a_move_that_cannot_be_leaves_all_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str):
    (tmp_path / "a.wav").write_bytes(b"mine")

    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        move_file.os if system == "links" else move_file.shutil, "link" if system == "links" else "copyfileobj", full
    )
    if system == "links":
        monkeypatch.setattr(move_file.shutil, "copyfileobj", full)
    with pytest.raises(WriteError, match=r"cannot be moved to .*: the disk is full"):
        move_to(tmp_path / "a.wav", tmp_path / "out" / "a.wav")
    assert tree(tmp_path) == {"a.wav": b"mine"}


def test_a_file_that_grows_while_it_is_copied_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(move_file.os, "link", lambda *given: (_ for _ in ()).throw(OSError(errno.EXDEV, "")))
    real = move_file.shutil.copyfileobj

    def slow(incoming: object, outgoing: object, n: int) -> None:
        real(incoming, outgoing, n)
        (tmp_path / "a.wav").write_bytes(b"mine and more")

    monkeypatch.setattr(move_file.shutil, "copyfileobj", slow)
    (tmp_path / "a.wav").write_bytes(b"mine")
    with pytest.raises(WriteError, match="it changed during the move"):
        move_to(tmp_path / "a.wav", tmp_path / "out" / "a.wav")
    assert tree(tmp_path) == {"a.wav": b"mine and more"}


def test_a_link_moves_and_what_it_leads_to_stays(tmp_path: Path):
    for folder in ("drop", "store"):
        (tmp_path / folder).mkdir()
    (tmp_path / "store" / "a.wav").write_bytes(b"mine")
    (tmp_path / "drop" / "a.wav").symlink_to("../store/a.wav")
    place = move_to(tmp_path / "drop" / "a.wav", tmp_path / "done" / "deep" / "a.wav")
    assert place.is_symlink()
    assert place.read_bytes() == b"mine"
    assert not (tmp_path / "drop" / "a.wav").is_symlink()


def test_a_place_that_is_the_recording_itself_by_another_name_is_where_it_lies(tmp_path: Path):
    drop, alias = tmp_path / "drop", tmp_path / "alias"
    drop.mkdir()
    alias.symlink_to(drop)  # or a folder that is mounted twice, or one whose name has two spellings
    (drop / "a.wav").write_bytes(b"mine")
    assert move_to(drop / "a.wav", alias / "a.wav") == alias / "a.wav"
    assert (drop / "a.wav").read_bytes() == b"mine"


def test_a_hard_link_elsewhere_is_a_move_that_was_killed_halfway(tmp_path: Path):
    (tmp_path / "done").mkdir()
    (tmp_path / "a.wav").write_bytes(b"mine")
    os.link(tmp_path / "a.wav", tmp_path / "done" / "a.wav")
    assert move_to(tmp_path / "a.wav", tmp_path / "done" / "a.wav") == tmp_path / "done" / "a.wav"
    assert tree(tmp_path) == {"done/a.wav": b"mine"}


def next_take(path: Path) -> None:
    """What a recorder does that gives each file the same name."""
    fresh = path.with_name("recorder's.tmp")
    fresh.write_bytes(b"next")
    os.utime(fresh, ns=(7, 7))
    fresh.replace(path)


@pytest.mark.parametrize("moment", ["before it is named", "before it is taken away", "as it is taken away"])
def test_a_file_that_takes_the_name_during_a_move_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, moment: str
):
    source = tmp_path / "a.wav"
    source.write_bytes(b"mine")
    known, sync, rename = source.lstat(), move_file.sync, Path.rename
    if moment == "before it is named":
        next_take(source)
        with pytest.raises(WriteError, match="it changed during the move"):
            move_to(source, tmp_path / "done" / "a.wav", known)
        assert tree(tmp_path) == {"a.wav": b"next"}
        return
    if moment == "before it is taken away":
        monkeypatch.setattr(move_file, "sync", lambda folder: (folder != tmp_path and next_take(source), sync(folder)))
    else:
        monkeypatch.setattr(
            move_file.Path, "rename", lambda path, to: (path == source and next_take(source), rename(path, to))[1]
        )
    assert move_to(source, tmp_path / "done" / "a.wav", known) == tmp_path / "done" / "a.wav"
    assert tree(tmp_path) == {"a.wav": b"next", "done/a.wav": b"mine"}


def test_a_file_that_grows_once_it_has_its_new_name_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source, sync = tmp_path / "a.wav", move_file.sync
    source.write_bytes(b"mine")
    monkeypatch.setattr(move_file, "sync", lambda folder: (source.write_bytes(b"mine and more"), sync(folder)))
    with pytest.raises(WriteError, match="it changed during the move"):
        move_to(source, tmp_path / "done" / "a.wav")
    assert tree(tmp_path) == {"a.wav": b"mine and more"}


def test_a_folder_that_cannot_be_had_ends_the_run_at_once(tmp_path: Path):
    (tmp_path / "file").touch()
    for name, flag in (("move_done", "--move-done"), ("move_failed", "--move-failed")):
        with pytest.raises(RunError, match=f"choose another {flag}"):
            check_writable(options(**{name: tmp_path / "file"}).output)


def test_status_tells_of_a_moved_recording_by_its_new_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from whisperbatch.cli.commands.status import status

    drop = Drop(tmp_path)
    drop.put("a.wav", 1)
    drop.run()
    status([], tmp_path / "journal", as_json=True)
    (row,) = json.loads(capsys.readouterr().out)["files"]
    assert (row["path"], row["state"]) == (str(tmp_path / "done" / "a.wav"), "done")
    assert AudioFile(tmp_path).is_watched is False
