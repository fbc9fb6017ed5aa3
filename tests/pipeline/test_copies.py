"""Copies of one recording in one run: one is transcribed, each gets its transcript, and nobody waits for ever."""

import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runs import QuickWorker, Tree, told, write_large
from sounds import write_wav
from whisperbatch.options.replacements import parse_rules
from whisperbatch.pipeline import local_stages
from whisperbatch.pipeline.copies import Copies, Mark
from whisperbatch.records import AudioFile, Clip, FileOptions, Segment, Status, Transcript
from whisperbatch.replacement_rules import Rules
from whisperbatch.sources import from_paths

MARK = Mark(10, ".wav", "sampled:x", "turbo {}")
TEXT = Transcript("en", (Segment(0.0, 1.0, " x"),), 1.0)


class Room(Copies[str]):
    """Copies by name; a name's first letter is its content."""

    def put(self, name: str, mark: Mark = MARK):
        return self.place(name, Path(name), mark, lambda: name[0])


def test_copies_wait_for_the_first_and_others_do_not():
    room = Room()
    first = room.put("a1")
    assert not first.waits
    assert first.transcript is None
    assert room.put("a2").waits
    assert not room.put("b1").waits  # same size and sample, another content
    assert room.put("b2").group.path == Path("b1")
    assert not room.put("a3", replace(MARK, recipe="small {}")).waits
    assert not room.put("a4", replace(MARK, suffix=".mp3")).waits
    assert room.done(first.group, None) == ["a2"]
    assert not room.put("a5").waits  # nothing was kept


def test_a_transcript_is_kept_for_later_copies_within_bounds():
    room = Room(max_bytes=2_000)
    groups = [room.put(f"{letter}1").group for letter in "abcdefgh"]
    for group in groups:
        room.done(group, TEXT)
    assert room.put("h2").transcript == TEXT
    assert room.put("h3").group is groups[-1]
    assert room.put("a2").transcript is None  # pushed out
    assert room._n_bytes <= 2_000
    assert room._n_bytes == sum(len(group.packed) for group in room._kept.values())
    tiny = Room(max_bytes=1)
    tiny.done(tiny.put("a1").group, TEXT)
    assert tiny._groups == {}


@pytest.mark.parametrize("n", [1, 1_000])
def test_a_kept_transcript_comes_back_as_it_was(n: int):
    transcript = replace(TEXT, segments=TEXT.segments * n, warnings=("damaged: x",), sha256="s", size=10)
    room = Room()
    room.done(room.put("a1").group, transcript)
    assert room.put("a2").transcript == transcript
    assert room._n_bytes < 6_000


def test_those_that_waited_for_one_that_failed_are_given_back_once():
    room = Room()
    first = room.put("a1")
    room.put("a2"), room.put("a3")
    assert room.failed(first.group) == ["a2", "a3"]
    assert room.failed(first.group) == []
    assert room.done(first.group, TEXT) == []
    assert not room.put("a2").waits
    assert room.put("a3").waits


def test_a_file_that_cannot_be_read_is_nobodys_copy():
    room = Room()
    room.put("a1")
    assert not room.place("x", Path("x"), MARK, lambda: None).waits
    assert not room.place("y", Path("y"), MARK, lambda: None).waits


def test_nothing_is_read_of_a_file_whose_mark_no_other_has():
    Room().place("a1", Path("a1"), MARK, lambda: pytest.fail("it was read"))


def test_copies_that_come_at_once_from_many_threads_have_one_first():
    for _ in range(30):
        room, gate = Room(), threading.Barrier(8)
        places: list[bool] = []

        def put(number: int, room: Room = room, gate: threading.Barrier = gate, places: list[bool] = places) -> None:
            gate.wait(20)
            places.append(room.put(f"a{number}").waits)

        threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert Counter(places) == {True: 7, False: 1}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_stages, "LoadWorker", QuickWorker)


class Waits:
    """Counts the files that wait for their copy."""

    def __init__(self) -> None:
        self.n_waiting, self.changed = 0, threading.Condition()

    def until(self, n: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.n_waiting >= n, 30)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    real, counted = Copies._placed, Waits()

    def placed(self: Copies, *given: object, **named: object) -> object:
        place = real(self, *given, **named)
        with counted.changed:
            counted.n_waiting += place[0].waits
            counted.changed.notify_all()
        return place

    monkeypatch.setattr(Copies, "_placed", placed)
    return counted


TWO = {"n_workers": 2}  # one decides on copies while the engine holds the first up


def fill(tree: Tree, n_copies: int) -> None:
    write_large(tree.audio / "000.wav", 1)
    for index in range(1, n_copies):
        shutil.copy(tree.audio / "000.wav", tree.audio / f"{index:03d}.wav")


HOW = [
    {"output": {"formats": ("txt",)}},
    {"output": {"formats": ("txt", "json")}},
    {"output": {"formats": ("txt",)}, "with_journal": False},
    {"output": {"formats": ("txt",), "overwrite": True}},
    {"output": {"formats": ("txt", "json")}, "load": {"n_workers": 4}},
]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.usefixtures("quick")
def test_a_hundred_copies_are_transcribed_once_and_written_for_each(tmp_path: Path, how: dict):
    tree = Tree(tmp_path, 0)
    fill(tree, 100)
    outcomes = tree.run(**how)
    assert tree.n_heard == 1
    assert Counter(outcome.status for outcome in outcomes.values()) == {Status.DONE: 100}
    assert sum(not outcome.reason for outcome in outcomes.values()) == 1
    taken = {outcome.reason for outcome in outcomes.values() if outcome.reason}
    assert all(reason.startswith(f"made from the transcript of {tree.audio}/") for reason in taken)
    assert len({(tree.audio / f"{index:03d}.txt").read_bytes() for index in range(100)}) == 1
    if not how["output"].get("overwrite"):
        assert {outcome.status for outcome in tree.run(**how).values()} == {Status.SKIPPED}
    assert tree.n_heard == 1


@pytest.mark.usefixtures("quick")
def test_without_dedupe_each_is_transcribed(tmp_path: Path):
    tree = Tree(tmp_path, 0)
    fill(tree, 5)
    outcomes = tree.run(journal={"dedupe": False})
    assert tree.n_heard == 5
    assert {outcome.reason for outcome in outcomes.values()} == {""}


@pytest.mark.usefixtures("quick")
def test_copies_that_ask_for_something_else_are_their_own_work(tmp_path: Path):
    tree = Tree(tmp_path, 0)
    fill(tree, 6)
    own_options = [
        FileOptions(),
        FileOptions(language="de"),
        FileOptions(prompt="P"),
        FileOptions(),
        FileOptions(language="de"),
    ]
    own_options.append(FileOptions(formats=("srt",)))

    def source() -> Iterator[AudioFile]:
        for path, own in zip(sorted(tree.audio.glob("*.wav")), own_options, strict=True):
            yield replace(next(iter(from_paths([path]))), options=own)

    outcomes = tree.run(source=source())
    assert tree.n_heard == 3
    assert {name[:3] for name, outcome in outcomes.items() if outcome.reason} == {"003", "004", "005"}
    assert (tree.audio / "005.srt").exists()


@pytest.mark.usefixtures("quick")
def test_copies_and_what_was_renamed_have_replacement_rules_of_their_own(tmp_path: Path):
    tree = Tree(tmp_path, 0)
    fill(tree, 3)
    made = [Rules(), *(Rules(word, tuple(parse_rules(f"clip -> {word}".encode(), Path("r.txt")))) for word in "XY")]

    def source() -> Iterator[AudioFile]:
        for audio in from_paths([tree.audio]):
            yield replace(audio, options=FileOptions(replace=made[int(audio.path.stem[2])]))

    tree.run(source=source())
    first = [(tree.audio / f"00{number}.txt").read_text().split()[0] for number in range(3)]
    (tree.audio / "002.wav").rename(tree.audio / "011.wav")
    tree.run(source=source())
    assert tree.n_heard == 1
    assert [*first, (tree.audio / "011.txt").read_text().split()[0]] == ["clip", "X", "Y", "X"]


@pytest.mark.usefixtures("quick")
def test_when_the_first_fails_the_next_is_transcribed(tmp_path: Path, waits: Waits):
    tree = Tree(tmp_path, 0)
    fill(tree, 4)
    tree.base = replace(tree.base, failures=replace(tree.base.failures, retries=0))

    heard: list[int] = []

    def hold(clips: list[Clip]) -> None:
        waits.until(3)
        heard.extend(clip.file_id for clip in clips)

    outcomes = tree.run(before_step=hold, fails=lambda clip: clip.file_id == heard[0], load=TWO)
    assert Counter(told(outcomes).values()) == {"failed": 1, "done": 3}
    assert tree.n_heard == 2
    assert sum(o.reason.startswith("made from") for o in outcomes.values()) == 2


def test_copies_of_what_is_no_audio_all_fail_and_none_waits_for_another(tmp_path: Path):
    tree = Tree(tmp_path, 0)
    for index in range(30):
        (tree.audio / f"{index:03d}.wav").write_bytes(b"this is not audio")
    outcomes = tree.run(load={"n_workers": 2})
    assert set(told(outcomes).values()) == {"failed"}
    assert {outcome.error.path for outcome in outcomes.values() if outcome.error} == set(tree.audio.glob("*.wav"))


@pytest.mark.usefixtures("quick")
def test_a_transcript_that_cannot_be_written_for_the_first_is_written_for_its_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from whisperbatch.errors import WriteError
    from whisperbatch.pipeline import write_outputs

    real = write_outputs.write_all

    def refuse(texts: dict, **more: object) -> object:
        if any(path.stem == "000" for path in texts):
            raise WriteError("no room", next(iter(texts)))
        return real(texts, **more)

    monkeypatch.setattr(write_outputs, "write_all", refuse)
    tree = Tree(tmp_path, 0)
    fill(tree, 4)
    outcomes = tree.run()
    assert told(outcomes) == {"000": "failed", "001": "done", "002": "done", "003": "done"}
    assert tree.n_heard == 1


@pytest.mark.usefixtures("quick")
def test_a_first_that_changes_while_it_is_heard_has_no_copies(tmp_path: Path, waits: Waits):
    tree = Tree(tmp_path, 0)
    fill(tree, 3)

    heard: list[int] = []

    def change(clips: list[Clip]) -> None:
        heard.append(clips[0].file_id)
        if len(heard) == 1:
            waits.until(2)
            write_large(tree.audio / f"{heard[0]:03d}.wav", 9)

    outcomes = tree.run(before_step=change, load=TWO)
    assert tree.n_heard == 2
    one, other = (f"{number:03d}.wav" for number in heard)
    assert (outcomes[one].reason, outcomes[other].reason) == ("", "")
    (third,) = set(outcomes) - {one, other}
    assert outcomes[third].reason == f"made from the transcript of {tree.audio / other}"


@pytest.mark.usefixtures("quick")
def test_a_copy_that_changes_while_it_waits_is_decided_on_anew(tmp_path: Path, waits: Waits):
    tree = Tree(tmp_path, 0)
    fill(tree, 3)

    heard: list[int] = []

    def change(clips: list[Clip]) -> None:
        heard.append(clips[0].file_id)
        if len(heard) == 1:
            waits.until(2)
            write_wav(tree.audio / f"{(heard[0] + 1) % 3:03d}.wav", 7)

    outcomes = tree.run(before_step=change, load=TWO)
    assert tree.n_heard == 2
    changed, other = (f"{(heard[0] + k) % 3:03d}" for k in (1, 2))
    assert outcomes[f"{changed}.wav"].reason == ""
    assert "sum 11200" in (tree.audio / f"{changed}.txt").read_text()
    assert outcomes[f"{other}.wav"].reason.startswith("made from")


@pytest.mark.usefixtures("quick")
def test_a_stop_interrupts_what_waits_and_the_next_run_finds_the_rest_done_once(tmp_path: Path):
    tree, stop = Tree(tmp_path, 0), threading.Event()
    fill(tree, 20)

    def end(clips: list[Clip]) -> None:
        stop.set()

    first = tree.run(stop=stop, before_step=end)
    n_done = sum(outcome.status is Status.DONE for outcome in first.values())
    again = tree.run()
    assert tree.n_heard <= 2
    assert sum(outcome.status is Status.DONE for outcome in again.values()) == 20 - n_done
    assert len(list(tree.audio.glob("*.txt"))) == 20


@pytest.mark.usefixtures("quick")
def test_an_engine_that_breaks_down_leaves_no_copy_waiting(tmp_path: Path):
    from whisperbatch.errors import RunError

    tree = Tree(tmp_path, 0)
    fill(tree, 10)

    def break_down(clips: list[Clip]) -> None:
        raise MemoryError("the device is gone")

    with pytest.raises(RunError):
        tree.run(before_step=break_down)
    assert {o.status for o in tree.run().values()} == {Status.DONE}


@pytest.mark.usefixtures("quick")
def test_links_to_one_file_are_copies(tmp_path: Path):
    tree = Tree(tmp_path, 0)
    fill(tree, 1)
    os.link(tree.audio / "000.wav", tree.audio / "001.wav")
    (tree.audio / "002.wav").symlink_to(tree.audio / "000.wav")
    outcomes = tree.run()
    assert tree.n_heard == 1
    assert set(told(outcomes).values()) == {"done"}


@pytest.mark.usefixtures("quick")
def test_copies_are_moved_with_what_is_done(tmp_path: Path):
    tree = Tree(tmp_path, 0)
    fill(tree, 5)
    outcomes = tree.run(output={"move_done": tmp_path / "done"})
    assert tree.n_heard == 1
    assert {outcome.status for outcome in outcomes.values()} == {Status.DONE}
    assert sorted(path.name for path in (tmp_path / "done").glob("*.wav")) == [f"{n:03d}.wav" for n in range(5)]
    assert not list(tree.audio.glob("*.wav"))
    fill(tree, 1)
    (tree.audio / "000.wav").rename(tree.audio / "brought again.wav")
    assert tree.run(output={"move_done": tmp_path / "done"})["brought again.wav"].reason.startswith("made from")
    assert tree.n_heard == 1
