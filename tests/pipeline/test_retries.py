"""What is tried again, when and how; and runs whose load workers die, hang and lose their folders."""

import errno
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from whisperbatch import pipeline
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.errors import (
    InferenceError,
    LoadError,
    RefusedError,
    RunError,
    WorkerDiedError,
    WorkerStartError,
    WriteError,
)
from whisperbatch.journal import Journal, State
from whisperbatch.options import EngineOptions, FailureOptions, JournalOptions, LoadOptions, OutputOptions, RunOptions
from whisperbatch.outputs.namer import Namer
from whisperbatch.pipeline import mounts, retry_policy, write_outputs
from whisperbatch.pipeline.decision import Decision
from whisperbatch.pipeline.mounts import Mounts
from whisperbatch.pipeline.open_files import Job, OpenFiles
from whisperbatch.pipeline.planner import Planner
from whisperbatch.pipeline.retry_policy import ExclusiveLoading, Retry, lasts, may_pass, retry_of
from whisperbatch.records import AudioFile, Clip, FileLoaded, Outcome, Status
from whisperbatch.sources import MEDIA_SUFFIXES


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


GONE = Path("/nowhere/talk.wav")


@pytest.mark.parametrize(
    ("error", "passes", "permanent"),
    [
        (LoadError("is not audio"), False, True),
        (LoadError("its samples cannot be read back").with_traceback(None), False, True),
        (WorkerDiedError("crashed"), False, True),
        (WorkerStartError("no memory"), True, False),
        (caused(WriteError("x"), OSError(errno.ENOSPC, "full")), False, False),
        (caused(WriteError("x"), OSError(errno.EIO, "bad")), True, False),
        (caused(WriteError("x"), OSError(errno.EACCES, "closed")), False, False),
        (caused(LoadError("does not exist"), OSError(errno.ENOENT, "it is there again")), True, False),
        (caused(WriteError("x"), OSError(errno.ENOENT, "its folder is there again")), True, False),
        (caused(InferenceError("x"), MemoryError()), True, False),
        (InferenceError("x"), False, False),
        (RefusedError("x"), False, True),
    ],
)
def test_what_may_pass_and_what_lasts(tmp_path: Path, error, passes: bool, permanent: bool):
    path = tmp_path / "talk.wav"
    path.write_bytes(b"x")
    assert (may_pass(error, path), lasts(error, path)) == (passes, permanent)


def test_a_file_that_has_gone_is_not_lost_for_good():
    assert not lasts(LoadError("does not exist"), GONE)
    assert retry_of(LoadError("does not exist"), GONE, 1, 2) is None


def test_pauses_grow_and_end():
    error = caused(WriteError("x"), OSError(errno.EIO, "bad"))
    assert [retry_of(error, GONE, n, 2) for n in (1, 2, 3)] == [Retry(0.5), Retry(2.0), None]
    assert retry_of(error, GONE, 9, 9) == Retry(30.0)
    assert retry_of(error, GONE, 1, 0) is None


def test_what_killed_its_load_process_is_tried_once_more_alone():
    assert [retry_of(WorkerDiedError("x"), GONE, n, 2) for n in (1, 2)] == [Retry(0.0, alone=True), None]
    assert retry_of(WorkerDiedError("x"), GONE, 1, 0) is None


def test_alone_is_alone_and_does_not_wait_for_ever():
    gate, inside, seen, ended = ExclusiveLoading(), [], [], threading.Event()
    lock = threading.Lock()

    def load(alone: bool) -> None:
        while not ended.is_set() or alone:
            with gate.hold(alone=alone):
                with lock:
                    inside.append(alone)
                    if any(inside):
                        seen.append(len(inside))
                threading.Event().wait(0.002)
                with lock:
                    inside.pop()
            if alone:
                return

    others = [threading.Thread(target=load, args=(False,)) for _ in range(4)]
    for thread in others:
        thread.start()
    lone = [threading.Thread(target=load, args=(True,)) for _ in range(3)]
    for thread in lone:
        thread.start()
    for thread in lone:
        thread.join(20)
        assert not thread.is_alive()
    ended.set()
    for thread in others:
        thread.join(20)
    assert set(seen) == {1}


def test_a_folder_that_went_away_is_known_by_its_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folders, audio = Mounts(), AudioFile(tmp_path / "a.wav", tmp_path)
    folders.seen(audio)
    assert not folders.is_away(audio)
    monkeypatch.setattr(mounts, "_device", lambda folder: -1)  # an empty folder, on another device
    assert folders.is_away(audio)
    assert not folders.is_away(AudioFile(tmp_path / "a.wav"))
    audio.path.write_bytes(b"it is mounted anew")
    assert not folders.is_away(audio)
    audio.path.unlink()
    assert not folders.is_away(audio)  # it is that device's now, and the file has gone
    monkeypatch.setattr(mounts, "_device", lambda folder: None)
    assert folders.is_away(audio)


class Script:
    """Load workers that do what a test says, by file name; each answer is an error to raise or nothing."""

    def __init__(self, answers: dict[str, list[Exception | Callable[[], None] | None]]) -> None:
        self.answers = answers
        self.tries: list[str] = []

    def worker(self, *given: object, **named: object) -> "ScriptedWorker":
        return ScriptedWorker(self)


class ScriptedWorker:
    def __init__(self, script: Script) -> None:
        self.script = script

    def warm(self) -> None:
        pass

    def close(self) -> None:
        pass

    def load(self, file_id: int, path: Path, settings: object) -> Iterator[Clip | FileLoaded]:
        self.script.tries.append(path.name)
        yield Clip(file_id, 0, 0.0, np.full(1600, ord(path.name[0]), np.int16))
        answers = self.script.answers.get(path.name, [])
        answer = answers.pop(0) if answers else None
        if callable(answer):
            answer()
        elif answer is not None:
            raise answer
        yield FileLoaded(file_id, 1, 0.1)


class Place:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder / "in", monkeypatch
        self.journal = folder / "journal"
        self.folder.mkdir()
        self.notices: list[str] = []
        for name in ("a", "b", "c", "d"):
            (self.folder / f"{name}.wav").write_bytes(name.encode())

    def run(
        self,
        answers: dict[str, list],
        failures: FailureOptions | None = None,
        journal: JournalOptions | None = None,
        engine: FakeEngine | None = None,
        stop: threading.Event | None = None,
        pause_s: float = 0.01,
    ) -> tuple[dict[str, Outcome], list[str]]:
        script = Script(answers)
        self.monkeypatch.setattr(sys.modules["whisperbatch.pipeline.local_stages"], "LoadWorker", script.worker)
        self.monkeypatch.setattr(retry_policy, "PAUSES_S", (pause_s,))
        options = RunOptions(
            EngineOptions("fake"),
            LoadOptions(2),
            output=OutputOptions(formats=("txt",)),
            failures=failures or FailureOptions(),
            journal=journal or JournalOptions(),
        )
        outcomes: dict[str, Outcome] = {}
        with Journal(self.journal) as book:
            for outcome in pipeline.run(
                [AudioFile(path, self.folder, 1, 1) for path in sorted(self.folder.rglob("*.wav"))],
                options,
                open_engine=lambda: engine or FakeEngine(4),
                namer=Namer(options.output, MEDIA_SUFFIXES),
                on_event=lambda event: self.notices.append(event.data["text"]) if event.kind == "notice" else None,
                stop=stop or threading.Event(),
                journal=book,
            ):
                outcomes[outcome.path.name] = outcome
        return outcomes, script.tries

    def away_until_told(self) -> None:
        """Take the folder away, and bring it back a moment after the run has told so."""
        away, n_told = self.folder.with_name("away"), len(self.notices)
        self.folder.rename(away)

        def come_back() -> None:
            until_s = time.monotonic() + 60
            while len(self.notices) == n_told and time.monotonic() < until_s:
                time.sleep(0.01)
            time.sleep(0.1)
            away.rename(self.folder)

        threading.Thread(target=come_back).start()

    def state(self, name: str) -> tuple[State, bool]:
        with Journal(self.journal) as book:
            (entry,) = [entry for entry in book.entries() if entry.key.path.name == name]
            return entry.state, entry.is_permanent


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_an_error_that_passes_is_tried_again_and_the_text_is_whole(place: Place):
    passing = [caused(LoadError("cannot be read"), OSError(errno.EIO, "bad")) for _ in range(2)]
    outcomes, tries = place.run({"b.wav": passing})
    assert {o.status for o in outcomes.values()} == {Status.DONE}
    assert tries.count("b.wav") == 3
    assert outcomes["b.wav"].transcript is not None
    assert len(outcomes["b.wav"].transcript.segments) == 1


def test_an_error_that_does_not_pass_fails_in_the_end_and_a_later_run_completes(place: Place):
    passing = [caused(LoadError("cannot be read"), OSError(errno.EIO, "bad")) for _ in range(9)]
    outcomes, tries = place.run({"b.wav": passing})
    assert outcomes["b.wav"].status is Status.FAILED
    assert tries.count("b.wav") == 3
    assert place.state("b.wav") == (State.FAILED, False)
    outcomes, tries = place.run({})
    assert (outcomes["b.wav"].status, tries) == (Status.DONE, ["b.wav"])


def test_a_lasting_error_is_told_again_without_a_try_until_told_to_retry(place: Place):
    outcomes, tries = place.run({"b.wav": [LoadError("is not audio")]})
    assert (outcomes["b.wav"].status, tries.count("b.wav")) == (Status.FAILED, 1)
    assert place.state("b.wav") == (State.FAILED, True)
    outcomes, tries = place.run({})
    assert (outcomes["b.wav"].status, tries) == (Status.FAILED, [])
    assert "failed before: is not audio" in outcomes["b.wav"].reason
    outcomes, tries = place.run({}, journal=JournalOptions(retry_failed=True))
    assert (outcomes["b.wav"].status, tries) == (Status.DONE, ["b.wav"])


def test_a_lasting_error_is_tried_again_when_the_file_changes(place: Place):
    place.run({"b.wav": [LoadError("is not audio")]})
    (place.folder / "b.wav").write_bytes(b"another")
    outcomes, _ = place.run({})
    assert outcomes["b.wav"].status is Status.DONE


def test_a_file_that_kills_its_worker_is_tried_once_more_then_failed(place: Place):
    outcomes, tries = place.run({"b.wav": [WorkerDiedError("crashed")]})
    assert (outcomes["b.wav"].status, tries.count("b.wav")) == (Status.DONE, 2)
    place.folder.joinpath("a.wav").write_bytes(b"another")
    outcomes, tries = place.run({"a.wav": [WorkerDiedError("crashed") for _ in range(3)]})
    assert (outcomes["a.wav"].status, tries.count("a.wav")) == (Status.FAILED, 2)
    assert place.state("a.wav") == (State.FAILED, True)


@pytest.mark.parametrize(
    ("failures", "limit"), [(FailureOptions(fail_fast=True), 1), (FailureOptions(max_failures=2), 2)]
)
def test_so_many_failures_end_the_run(place: Place, failures: FailureOptions, limit: int):
    with pytest.raises(RunError, match="which ends the run"):
        place.run({f"{name}.wav": [LoadError("is not audio")] for name in "abcd"}, failures)
    with Journal(place.journal) as book:
        assert sum(entry.state is State.FAILED for entry in book.entries()) in (limit, limit + 1)
        assert all(entry.run is None for entry in book.entries())


def test_a_folder_that_goes_away_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mounts, "LOOK_S", 0.02)

    def go_away() -> None:
        place.away_until_told()
        raise LoadError("does not exist")

    outcomes, tries = place.run({"c.wav": [go_away, go_away]}, FailureOptions(retries=1))
    assert {o.status for o in outcomes.values()} == {Status.DONE}
    assert tries.count("c.wav") == 3
    assert any("went away" in notice for notice in place.notices)


@pytest.mark.parametrize(
    "error", [WriteError("the transcript cannot be written"), OSError(errno.ENOTCONN, "the daemon has gone"), None]
)
def test_a_folder_that_goes_away_while_it_is_looked_at_is_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: Exception | None
):
    monkeypatch.setattr(mounts, "LOOK_S", 0.02)
    real, goes, decisions = Planner.decide, [True], []

    def decide(planner: Planner, job: Job) -> Decision:
        if job.audio.path.name == "d.wav" and goes:
            goes.clear()
            place.away_until_told()
            if error is not None:
                raise error
            return Decision(why="it looks as if there were nothing")
        decisions.append(job.audio.path.name)
        return real(planner, job)

    monkeypatch.setattr(Planner, "decide", decide)
    outcomes, _ = place.run({})
    assert {o.status for o in outcomes.values()} == {Status.DONE}
    assert not goes
    assert set(decisions) == {"a.wav", "b.wav", "c.wav", "d.wav"}
    assert any("went away" in notice for notice in place.notices)


def test_a_folder_that_stays_away_ends_the_run_and_no_file_is_failed(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mounts, "LOOK_S", 0.02)
    monkeypatch.setattr(mounts, "AWAY_S", 0.2)

    def go_away() -> None:
        place.folder.rename(place.folder.with_name("away"))
        raise LoadError("does not exist")

    with pytest.raises(RunError, match="did not come back"):
        place.run({"a.wav": [go_away]})
    with Journal(place.journal) as book:
        assert not [entry for entry in book.entries() if entry.state is State.FAILED and entry.key.path.name == "a.wav"]


def test_a_file_whose_folder_is_away_as_the_run_is_stopped_is_not_failed(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mounts, "LOOK_S", 0.02)
    real, stop = OpenFiles.interrupt, threading.Event()

    def late(open_files: OpenFiles, *given: object, **named: object) -> None:
        threading.Event().wait(0.5)  # the load thread comes first
        real(open_files, *given, **named)

    def go_away() -> None:
        place.folder.rename(place.folder.with_name("away"))
        threading.Timer(0.1, stop.set).start()
        raise LoadError("does not exist")

    monkeypatch.setattr(OpenFiles, "interrupt", late)
    outcomes, _ = place.run({"a.wav": [go_away]}, stop=stop)
    assert outcomes["a.wav"].status is Status.INTERRUPTED


def test_a_folder_that_goes_before_a_write_and_stays_away_ends_the_run(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mounts, "LOOK_S", 0.02)
    monkeypatch.setattr(mounts, "AWAY_S", 0.2)
    real, lock = write_outputs.write_all, threading.Lock()

    def write_all(texts, **more):
        with lock:
            if place.folder.is_dir():
                place.folder.rename(place.folder.with_name("away"))
        return real(texts, **more)

    monkeypatch.setattr(write_outputs, "write_all", write_all)
    with pytest.raises(RunError, match="did not come back"):
        place.run({})
    assert not place.folder.exists()  # nor was it made anew, empty


def test_a_folder_that_goes_before_a_write_and_comes_back_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mounts, "LOOK_S", 0.02)
    real, lock, goes = write_outputs.write_all, threading.Lock(), [True]

    def write_all(texts, **more):
        with lock:
            if goes:
                goes.clear()
                place.away_until_told()
        return real(texts, **more)

    monkeypatch.setattr(write_outputs, "write_all", write_all)
    outcomes, _ = place.run({})
    assert {o.status for o in outcomes.values()} == {Status.DONE}


def test_a_folder_that_is_removed_is_not_made_again(place: Place):
    inner = place.folder / "inner"
    inner.mkdir()
    for name in "ab":
        (place.folder / f"{name}.wav").rename(inner / f"{name}.wav")

    def remove() -> None:  # at once: a transcript of a.wav may just be coming to lie there
        inner.rename(place.folder.with_name("bin"))

    outcomes, _ = place.run({"b.wav": [remove]})
    assert outcomes["b.wav"].status is Status.FAILED
    assert outcomes["c.wav"].status is outcomes["d.wav"].status is Status.DONE
    assert not inner.exists()


def test_writing_is_tried_again_when_the_disk_stumbles(place: Place, monkeypatch: pytest.MonkeyPatch):
    real, stumbles = write_outputs.write_all, [OSError(errno.EIO, "bad"), OSError(errno.EIO, "bad")]
    lock = threading.Lock()

    def write_all(texts, **named):
        with lock:
            error = stumbles.pop() if stumbles else None
        if error is not None:
            raise WriteError("cannot be written") from error
        return real(texts, **named)

    monkeypatch.setattr(write_outputs, "write_all", write_all)
    outcomes, _ = place.run({})
    assert {o.status for o in outcomes.values()} == {Status.DONE}


def test_a_full_disk_fails_files_at_once_and_a_later_run_completes(place: Place, monkeypatch: pytest.MonkeyPatch):
    def full(texts, **named):
        raise WriteError("the disk is full; make room and run again") from OSError(errno.ENOSPC, "full")

    real = write_outputs.write_all
    monkeypatch.setattr(write_outputs, "write_all", full)
    outcomes, _ = place.run({})
    assert {o.status for o in outcomes.values()} == {Status.FAILED}
    assert not list(place.folder.glob("*.txt"))
    monkeypatch.setattr(write_outputs, "write_all", real)
    outcomes, _ = place.run({})
    assert {o.status for o in outcomes.values()} == {Status.DONE}
    assert {path.name for path in place.folder.glob("*.txt")} == {"a.txt", "b.txt", "c.txt", "d.txt"}


def short_of_memory(name: str, n_times: int) -> Callable[[Clip], bool | Exception]:
    """Fails the clips of a file with that first sample so often."""
    left = [n_times]

    def fails(clip: Clip) -> bool | Exception:
        if clip.samples[0] != ord(name) or left[0] == 0:
            return False
        left[0] -= 1
        return MemoryError("no room")

    return fails


def test_a_clip_that_fails_for_lack_of_memory_is_tried_again_and_others_go_on(place: Place):
    calm, _ = place.run({})
    for path in place.folder.glob("*.txt"):
        path.unlink()
    engine = FakeEngine(4, fails=short_of_memory("b", 2))
    outcomes, tries = place.run({}, engine=engine)
    assert {name: o.transcript for name, o in outcomes.items()} == {name: o.transcript for name, o in calm.items()}
    assert tries.count("b.wav") == 1  # its samples are still there
    assert sum(len(batch) for batch in engine.batches) == 4 + 2


def test_a_clip_that_stays_short_of_memory_fails_its_file_and_a_later_run_completes(place: Place):
    engine = FakeEngine(4, fails=short_of_memory("b", 99))
    outcomes, _ = place.run({}, engine=engine)
    assert {name for name, o in outcomes.items() if o.status is Status.FAILED} == {"b.wav"}
    assert sum(len(batch) for batch in engine.batches) == 4 + 2
    assert place.state("b.wav") == (State.FAILED, False)
    outcomes, tries = place.run({})
    assert (outcomes["b.wav"].status, tries) == (Status.DONE, ["b.wav"])


@pytest.mark.parametrize("retries", [0, 1])
def test_a_clip_is_tried_again_as_often_as_is_asked(place: Place, retries: int):
    engine = FakeEngine(4, fails=short_of_memory("b", 1))
    outcomes, _ = place.run({}, FailureOptions(retries=retries), engine=engine)
    assert (outcomes["b.wav"].status is Status.DONE) == (retries == 1)


def test_a_clip_that_fails_for_good_is_not_tried_again(place: Place):
    engine = FakeEngine(4, fails=lambda clip: clip.samples[0] == ord("b"))
    outcomes, _ = place.run({}, engine=engine)
    assert outcomes["b.wav"].status is Status.FAILED
    assert sum(len(batch) for batch in engine.batches) == 4


def test_a_stop_cuts_the_pause_before_a_second_try_short(place: Place, monkeypatch: pytest.MonkeyPatch):
    engine = FakeEngine(4, fails=short_of_memory("b", 1))
    stop = threading.Event()
    engine._before_step = lambda clips: stop.set() if len(engine.batches) == 1 else None
    began_s = time.monotonic()
    outcomes, _ = place.run({}, engine=engine, stop=stop, pause_s=60.0)
    assert time.monotonic() - began_s < 30
    assert outcomes["b.wav"].status in (Status.DONE, Status.INTERRUPTED)
