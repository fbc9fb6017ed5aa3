"""Journals and folders that break in the middle of a run: a clear end, nothing lost, and a later run that completes."""

import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from whisperbatch import pipeline
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.errors import RunError
from whisperbatch.journal import Journal, State, journal, schema
from whisperbatch.options import BatchOptions, EngineOptions, LoadOptions, OutputOptions, RunOptions
from whisperbatch.outputs.namer import Namer
from whisperbatch.records import AudioFile, Clip, FileLoaded, Outcome, Status
from whisperbatch.sources import MEDIA_SUFFIXES

NAMES = ("a", "b", "c", "d")


class StandIn:
    """A load worker without a process: a clip a file, which tells the file's name."""

    def __init__(self, *given: object, **named: object) -> None:
        pass

    def warm(self) -> None:
        pass

    def close(self) -> None:
        pass

    def load(self, file_id: int, path: Path, settings: object) -> Iterator[Clip | FileLoaded]:
        yield Clip(file_id, 0, 0.0, np.full(1600, ord(path.stem[0]), np.int16))
        yield FileLoaded(file_id, 1, 0.1)


class Place:
    """Recordings, and a journal elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.audio, self.journal = folder / "audio", folder / "state" / "journal"
        self.audio.mkdir(parents=True)
        for name in NAMES:
            (self.audio / f"{name}.wav").write_bytes(name.encode())

    def run(
        self, before_step: Callable[[list[Clip]], None] | None = None, formats: tuple[str, ...] = ("txt", "json")
    ) -> tuple[dict[str, Outcome], int, Exception | None]:
        """Outcomes by file name, how many clips were decoded, and what ended the run; a hang fails the test."""
        options = RunOptions(
            EngineOptions("fake"), LoadOptions(2), batch=BatchOptions(1, 0.0), output=OutputOptions(formats=formats)
        )
        engine, outcomes, ended = FakeEngine(1, before_step), {}, []

        def work() -> None:
            try:
                with Journal(self.journal) as journal:
                    for outcome in pipeline.run(
                        [AudioFile(path, self.audio, 1, 1) for path in sorted(self.audio.rglob("*.wav"))],
                        options,
                        open_engine=lambda: engine,
                        namer=Namer(options.output, MEDIA_SUFFIXES),
                        on_event=lambda event: None,
                        stop=threading.Event(),
                        journal=journal,
                        revision=lambda: "0",
                    ):
                        assert outcome.path.name not in outcomes
                        outcomes[outcome.path.name] = outcome
            except Exception as err:
                ended.append(err)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive(), "the run hangs"
        return outcomes, sum(len(batch) for batch in engine.batches), ended[0] if ended else None

    def contents(self) -> dict[str, bytes]:
        found = {}
        for path in self.audio.iterdir():
            with suppress(FileNotFoundError):  # a temporary one, in a run
                found |= {path.name: path.read_bytes()} if path.suffix != ".wav" else {}
        return found

    def whole_sets(self) -> set[str]:
        """Stems with all outputs; no file has a part of them but for one that was cut off between its renames."""
        there = self.contents()
        return {name for name in NAMES if f"{name}.txt" in there and f"{name}.json" in there}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(sys.modules["whisperbatch.pipeline.local_stages"], "LoadWorker", StandIn)
    return Place(tmp_path)


@pytest.fixture
def undisturbed(place: Place, tmp_path: Path) -> dict[str, bytes]:
    other = Place(tmp_path / "undisturbed")
    other.run()
    return other.contents()


class Failing:
    """A database that fails from the n-th call on, or at that one alone."""

    def __init__(self, real: sqlite3.Connection, n: int, error: sqlite3.Error, *, once: bool) -> None:
        self.real, self.n_calls, self._n, self._error, self._once = real, 0, n, error, once

    def _count(self) -> None:
        self.n_calls += 1
        if self.n_calls == self._n or (self.n_calls > self._n and not self._once):
            raise self._error

    def execute(self, *given: object) -> sqlite3.Cursor:
        self._count()
        return self.real.execute(*given)  # type: ignore[arg-type]

    def executemany(self, *given: object) -> sqlite3.Cursor:
        self._count()
        return self.real.executemany(*given)  # type: ignore[arg-type]

    @property
    def in_transaction(self) -> bool:
        return self.real.in_transaction

    def close(self) -> None:
        self.real.close()


@pytest.mark.parametrize(
    ("error", "once", "every"),
    [
        (sqlite3.OperationalError("disk I/O error"), True, 4),
        (sqlite3.DatabaseError("database disk image is malformed"), False, 7),
        pytest.param(sqlite3.OperationalError("disk I/O error"), True, 1, marks=pytest.mark.slow),
        pytest.param(sqlite3.OperationalError("disk I/O error"), False, 1, marks=pytest.mark.slow),
    ],
    ids=["once", "for good", "once, at every call", "for good, at every call"],
)
def test_a_journal_that_fails_at_any_call_ends_the_run_and_loses_nothing(
    tmp_path: Path,
    undisturbed: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    error: sqlite3.Error,
    once: bool,
    every: int,
):
    made: list[Failing] = []

    def run(place: Place, n: int) -> tuple[dict[str, Outcome], int, Exception | None]:
        def connect(path: Path) -> Failing:
            made.append(Failing(schema.connect(path), n, error, once=once))
            return made[-1]

        with monkeypatch.context() as patch:
            patch.setattr(journal, "connect", connect)
            return place.run()

    run(Place(tmp_path / "count"), 10**9)
    n_calls = made[0].n_calls
    assert n_calls > 40
    for n in range(1, n_calls + 1, every):
        place = Place(tmp_path / f"at {n}")
        outcomes, _, ended = run(place, n)
        if n < n_calls - 8:  # the last calls give claims back, and need not succeed
            assert isinstance(ended, RunError), n
            assert "the journal cannot be used" in ended.message
            assert "\n" not in ended.message
        assert not any(outcome.status is Status.FAILED for outcome in outcomes.values()), n
        assert not [path for path in place.audio.iterdir() if path.name.startswith(".")]
        n_proven = sum((place.audio / f"{name}.json").exists() for name in NAMES)
        outcomes, n_decoded, ended = place.run()
        assert ended is None
        assert {o.status for o in outcomes.values()} <= {Status.DONE, Status.SKIPPED}
        assert n_decoded == len(NAMES) - n_proven, n
        assert place.contents() == undisturbed


def after_two(place: Place, harm: Callable[[], None]) -> tuple[dict[str, Outcome], Exception | None]:
    """A run whose journal is harmed once two files lie on disk."""
    n_steps = [0]

    def before_step(clips: list[Clip]) -> None:
        n_steps[0] += 1
        if n_steps[0] == 3:
            until = threading.Event()
            while len(place.whole_sets()) < 2:
                until.wait(0.01)
            harm()

    outcomes, _, ended = place.run(before_step)
    return outcomes, ended


def finish(place: Place, undisturbed: dict[str, bytes]) -> None:
    """A later run completes, and decodes nothing that lies on disk."""
    n_whole = len(place.whole_sets())
    outcomes, n_decoded, ended = place.run()
    assert ended is None
    assert {outcome.status for outcome in outcomes.values()} <= {Status.DONE, Status.SKIPPED}
    assert n_decoded == len(NAMES) - n_whole
    assert place.contents() == undisturbed


def test_a_journal_that_is_removed_ends_the_run(place: Place, undisturbed: dict[str, bytes]):
    outcomes, ended = after_two(place, place.journal.unlink)
    assert isinstance(ended, RunError)
    assert "removed or replaced" in ended.message
    assert len(outcomes) == len(NAMES)
    finish(place, undisturbed)


def test_a_journal_that_is_replaced_by_something_else_ends_the_run(place: Place, undisturbed: dict[str, bytes]):
    def replace() -> None:
        other = place.journal.with_name("other")
        other.write_bytes(b"no database at all " * 1000)
        other.replace(place.journal)

    _, ended = after_two(place, replace)
    assert isinstance(ended, RunError)
    assert "removed or replaced" in ended.message
    for path in place.journal.parent.glob("journal-*"):  # with its log, SQLite would make the database whole again
        path.unlink()
    _, n_decoded, ended = place.run()
    assert "this file is not a journal" in str(ended)
    assert n_decoded == 0
    place.journal.unlink()
    finish(place, undisturbed)


def test_a_journal_that_is_overwritten_in_place_does_not_hang_the_run(place: Place, undisturbed: dict[str, bytes]):
    def overwrite() -> None:
        for path in (place.journal, place.journal.with_name("journal-wal")):
            with path.open("r+b") as file:
                file.write(b"\xaa" * path.stat().st_size)

    _, ended = after_two(place, overwrite)
    assert ended is None or isinstance(ended, RunError)
    assert {path.name for path in place.audio.iterdir()} <= {*undisturbed, *(f"{name}.wav" for name in NAMES)}
    for path in place.journal.parent.iterdir():
        path.unlink()
    finish(place, undisturbed)


def test_a_journal_that_is_closed_ends_the_run(
    place: Place, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    made: list[sqlite3.Connection] = []

    def connect(path: Path) -> sqlite3.Connection:
        made.append(schema.connect(path))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(journal, "connect", connect)
        _, ended = after_two(place, lambda: made[0].close())
    assert isinstance(ended, RunError)
    assert "closed" in ended.message
    finish(place, undisturbed)


@pytest.mark.parametrize("for_long", [True, False])
def test_a_journal_that_another_process_locks_is_waited_for_but_not_for_ever(
    place: Place, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, for_long: bool
):
    locks: list[sqlite3.Connection] = []

    def lock() -> None:
        locks.append(sqlite3.connect(place.journal, isolation_level=None, check_same_thread=False))
        locks[0].execute("BEGIN EXCLUSIVE")
        if not for_long:
            threading.Timer(0.5, lambda: locks[0].execute("COMMIT")).start()

    with monkeypatch.context() as patch:
        patch.setattr(schema, "BUSY_S", 1.0 if for_long else 30.0)
        outcomes, ended = after_two(place, lock)
    if for_long:
        assert isinstance(ended, RunError)
        assert "locked" in ended.message
        locks[0].execute("ROLLBACK")
    else:
        assert ended is None
        assert {outcome.status for outcome in outcomes.values()} == {Status.DONE}
    locks[0].close()
    finish(place, undisturbed)


def test_what_a_failed_journal_was_asked_before_is_not_waited_for_again(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(schema, "BUSY_S", 0.3)
    place.journal.parent.mkdir()
    with Journal(place.journal) as journal, sqlite3.connect(place.journal, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RunError, match="locked"):
            journal.redo_since("scope")
        monkeypatch.setattr(schema, "BUSY_S", 60.0)
        other.execute("COMMIT")
        with pytest.raises(RunError, match="locked"):
            journal.redo_since("scope")
    with Journal(place.journal) as journal:
        journal.redo_since("scope")


def test_a_run_that_ends_in_a_writer_leaves_no_file_open(place: Place, monkeypatch: pytest.MonkeyPatch):
    def failing(self: Journal, *given: object) -> None:
        raise RunError("the journal cannot be used")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "done", failing)
        outcomes, _, ended = place.run()
    assert isinstance(ended, RunError)
    assert {outcome.status for outcome in outcomes.values()} == {Status.INTERRUPTED}
    assert len(outcomes) == len(NAMES)
    with Journal(place.journal) as journal:
        states = {entry.state for entry in journal.entries()}
    assert states <= {State.NEW, State.WRITING}


def test_a_folder_that_vanishes_right_before_the_write_is_not_made_anew(place: Place, monkeypatch: pytest.MonkeyPatch):
    real = Journal.intend

    def vanish(self: Journal, *given: object) -> None:
        real(self, *given)  # type: ignore[arg-type]
        if inner.is_dir():
            inner.rename(inner.with_name("away"))

    inner = place.audio / "inner"
    inner.mkdir()
    for name in NAMES:
        (place.audio / f"{name}.wav").rename(inner / f"{name}.wav")
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "intend", vanish)
        outcomes, _, ended = place.run()
    assert ended is None
    assert not inner.exists()
    assert {outcome.status for outcome in outcomes.values()} == {Status.FAILED}
    assert any("its folder has gone" in outcome.reason for outcome in outcomes.values())
    inner.with_name("away").rename(inner)
    outcomes, _, _ = place.run()
    assert {outcome.status for outcome in outcomes.values()} == {Status.DONE}
