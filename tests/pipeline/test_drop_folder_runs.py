"""A drop folder's run: what changes on its way gives way to what it has become; the fake engine, real load workers."""

import os
import random
import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runs import Run, options
from sounds import write_wav
from whisperbatch import pipeline
from whisperbatch.audio.worker_client import LoadWorker
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.journal import Journal
from whisperbatch.options import WatchOptions
from whisperbatch.outputs.namer import Namer
from whisperbatch.pipeline import write_outputs as stages_writing
from whisperbatch.pipeline.open_files import Job, OpenFiles
from whisperbatch.pipeline.planner import Planner
from whisperbatch.pipeline.stale import CHANGED, GONE
from whisperbatch.records import AudioFile, Clip, ClipSettings, FileLoaded, Status
from whisperbatch.sources import MEDIA_SUFFIXES, watch
from whisperbatch.sources.media import audio_file


def recording(path: Path, value: int, n_samples: int = 1_600) -> AudioFile:
    write_wav(path, np.full(n_samples, value))
    return replace(audio_file(path, path.parent), is_watched=True)


def sums(outcomes: list) -> list[tuple[Status, str]]:
    return [(o.status, o.reason or o.transcript.text.rpartition(" ")[2]) for o in outcomes]


def test_a_file_that_has_changed_since_it_was_found_is_left_to_its_next_state(tmp_path: Path):
    audio = recording(tmp_path / "a.wav", 1)
    recording(tmp_path / "a.wav", 2, 3_200)
    engine = FakeEngine(4)
    assert sums(Run(iter([audio]), engine, options()).end()) == [(Status.SKIPPED, CHANGED)]
    assert engine.batches == []
    unwatched = replace(audio, is_watched=False)
    assert sums(Run(iter([unwatched]), engine, options()).end()) == [(Status.DONE, "6400.")]


@pytest.mark.parametrize("way", ["give_up", "failed"])
def test_the_journal_knows_the_end_of_a_file_before_new_content_is_decided_on(tmp_path: Path, monkeypatch, way: str):
    audio = recording(tmp_path / "a.wav", 1)
    is_open, rooms, real = [], [], getattr(Planner, way)

    class SeenFiles(OpenFiles):
        def __init__(self, *given: object) -> None:
            super().__init__(*given)
            rooms.append(self)

    def told(planner: Planner, job: Job, *given: object, **named: object) -> None:
        is_open.append(rooms[0].find(job.file_id) is not None)
        real(planner, job, *given, **named)

    monkeypatch.setattr(Planner, way, told)
    monkeypatch.setattr(sys.modules["whisperbatch.pipeline.run"], "OpenFiles", SeenFiles)
    changes = (lambda clips: recording(tmp_path / "a.wav", 2, 3_200) and None) if way == "give_up" else None
    engine = FakeEngine(4, changes, fails=lambda clip: way == "failed")
    (outcome,) = Run(iter([audio]), engine, options()).end()
    assert outcome.status is (Status.SKIPPED if way == "give_up" else Status.FAILED)
    assert is_open == [True]


def test_a_file_that_has_gone_is_no_failure(tmp_path: Path):
    audio = recording(tmp_path / "a.wav", 1)
    audio.path.unlink()
    assert sums(Run(iter([audio]), FakeEngine(4), options()).end()) == [(Status.SKIPPED, GONE)]


def test_a_failure_of_content_that_has_changed_is_no_failure(tmp_path: Path):
    audio = recording(tmp_path / "a.wav", 1)
    engine = FakeEngine(4, lambda clips: recording(tmp_path / "a.wav", 2, 3_200) and None, fails=lambda clip: True)
    assert sums(Run(iter([audio]), engine, options()).end()) == [(Status.SKIPPED, CHANGED)]


def test_what_changes_while_the_model_works_on_it_is_not_written(tmp_path: Path):
    audio = recording(tmp_path / "a.wav", 1)
    engine = FakeEngine(4, lambda clips: recording(tmp_path / "a.wav", 2, 3_200) and None)
    assert sums(Run(iter([audio]), engine, options()).end()) == [(Status.SKIPPED, CHANGED)]
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_a_transcript_of_what_was_removed_meanwhile_is_kept(tmp_path: Path):
    audio = recording(tmp_path / "a.wav", 1)
    engine = FakeEngine(4, lambda clips: audio.path.unlink())
    assert sums(Run(iter([audio]), engine, options()).end()) == [(Status.DONE, "1600.")]


def test_new_content_takes_the_place_of_what_is_under_way(tmp_path: Path):
    (in_engine, go_on), heard = (threading.Event(), threading.Event()), []
    ended = threading.Event()

    def before_step(clips: list[Clip]) -> None:
        heard.extend(int(clip.samples[0]) for clip in clips)
        in_engine.set()
        assert go_on.wait(60)

    def source() -> Iterator[AudioFile]:
        yield recording(tmp_path / "a.wav", 1)
        assert in_engine.wait(60)
        yield recording(tmp_path / "a.wav", 2, 3_200)
        assert ended.wait(60)  # the old one, although the model is still at it
        go_on.set()

    run = Run(source(), FakeEngine(4, before_step), options(), lambda e: ended.set() if e.kind == "finished" else None)
    assert sums(run.end()) == [(Status.SKIPPED, CHANGED), (Status.DONE, "6400.")]
    assert "6400" in (tmp_path / "a.txt").read_text()
    assert heard == [1, 2]


def test_new_content_waits_for_what_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (writing, go_on), real = (threading.Event(), threading.Event()), stages_writing.write_all

    def slow(texts: dict[Path, str], **more: object) -> object:
        if not writing.is_set():
            writing.set()
            assert go_on.wait(60)
        return real(texts, **more)

    monkeypatch.setattr(stages_writing, "write_all", slow)

    def source() -> Iterator[AudioFile]:
        yield recording(tmp_path / "a.wav", 1)
        assert writing.wait(60)
        yield recording(tmp_path / "a.wav", 2, 3_200)
        threading.Timer(1.0, go_on.set).start()  # time enough to overtake

    outcomes = Run(source(), FakeEngine(4), options(4, overwrite=True)).end()
    assert sums(outcomes) == [(Status.DONE, "1600."), (Status.DONE, "6400.")]
    assert "6400" in (tmp_path / "a.txt").read_text()


def test_nothing_is_held_of_a_file_that_is_done(tmp_path: Path):
    opts = options(4)
    namer = Namer(opts.output, MEDIA_SUFFIXES)
    files = [recording(tmp_path / f"{n}.wav", n + 1) for n in range(5)]
    with Journal(tmp_path / "journal") as book:
        run = pipeline.run(
            files,
            opts,
            open_engine=lambda: FakeEngine(4),
            namer=namer,
            on_event=lambda event: None,
            stop=threading.Event(),
            journal=book,
        )
        assert {outcome.status for outcome in run} == {Status.DONE}
    assert (namer._reserved, namer._owners) == ({}, {})


@pytest.mark.skipif(os.name == "nt", reason="sends signals")
def test_a_service_managers_signal_does_not_end_a_load_process(tmp_path: Path):
    recording(tmp_path / "a.wav", 1)
    with LoadWorker() as worker:
        assert isinstance(list(worker.load(0, tmp_path / "a.wav", ClipSettings()))[-1], FileLoaded)
        process = worker._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        assert isinstance(list(worker.load(1, tmp_path / "a.wav", ClipSettings()))[-1], FileLoaded)
        assert worker._process is process


N_FILES, SETTLE_S = 300, 0.5


class Producer(threading.Thread):
    """Brings recordings in all the ways there are; knows each one's states and when each was whole."""

    def __init__(self, place: Path, outside: Path) -> None:
        super().__init__(daemon=True)
        self.place, self.outside, self.random = place, outside, random.Random(0)
        self.finals: dict[str, int] = {}  # the last content's sum
        self.early: dict[str, int] = {}  # a content that stood still for long enough before it
        self._wait = threading.Event().wait
        self.error: BaseException | None = None

    def run(self) -> None:
        ways = (self.slowly, self.renamed_in, self.rewritten, self.truncated, self.paused)
        lanes = [
            threading.Thread(target=self._lane, args=([(n, ways[n % len(ways)]) for n in range(lane, N_FILES, 30)],))
            for lane in range(30)
        ]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()

    def _lane(self, work: list) -> None:
        try:
            for number, way in work:
                folder = self.place / f"{number % 7}"
                folder.mkdir(exist_ok=True)
                way(folder / f"{number:03d}.wav", number + 1)
        except BaseException as err:
            self.error = err

    def content(self, path: Path, value: int) -> bytes:
        self.outside.mkdir(exist_ok=True)
        made = self.outside / f"{path.name}.{value}"
        write_wav(made, np.full(1_600 + value, value))
        self.finals[path.name] = value * (1_600 + value)
        return made.read_bytes()

    def slowly(self, path: Path, value: int) -> None:
        """Copied in pieces, at uneven pauses below the settling time; the header tells no length."""
        content = self.content(path, value)
        content = content[:4] + b"\xff\xff\xff\xff" + content[8:40] + b"\xff\xff\xff\xff" + content[44:]
        with path.open("wb") as out:
            for at in range(0, len(content), 800):
                out.write(content[at : at + 800])
                out.flush()
                self._wait(self.random.uniform(0, SETTLE_S * 0.5))

    def renamed_in(self, path: Path, value: int) -> None:
        part = path.with_name(path.name + self.random.choice([".part", ".tmp", ".crdownload"]))
        content = self.content(path, value)
        part.write_bytes(content[:1_000])
        self._wait(SETTLE_S * 1.5)
        part.write_bytes(content)
        part.rename(path)

    def rewritten(self, path: Path, value: int) -> None:
        """Other content under the same name before it stood still."""
        for one in (value + 1_000, value + 2_000, value):
            path.write_bytes(self.content(path, one))
            self._wait(self.random.uniform(0, SETTLE_S * 0.5))

    def truncated(self, path: Path, value: int) -> None:
        """Cut, for longer than the settling time, and grown again: its header tells its length."""
        content = self.content(path, value)
        path.write_bytes(content)
        os.truncate(path, 500)
        self._wait(SETTLE_S * 2)
        with path.open("r+b") as out:
            out.seek(500)
            out.write(content[500:])

    def paused(self, path: Path, value: int) -> None:
        """Whole, then still for long, then other content: the transcript follows."""
        path.write_bytes(self.content(path, value + 3_000))
        self.early[path.name] = self.finals[path.name]
        self._wait(SETTLE_S * 6)
        path.write_bytes(self.content(path, value))


@pytest.mark.slow
def test_three_hundred_files_brought_slowly_and_unevenly_are_each_transcribed_once_as_they_are_in_the_end(
    tmp_path: Path,
):
    place = tmp_path / "drop"
    place.mkdir()
    heard: dict[str, list[int]] = defaultdict(list)
    producer, run = Producer(place, tmp_path / "outside"), None

    def note(event: object) -> None:
        if event.kind == "finished" and event.data["outcome"].status is Status.DONE:
            outcome = event.data["outcome"]
            heard[outcome.path.name].append(int(outcome.transcript.text.rpartition(" ")[2].rstrip(".")))

    producer.start()
    source_stop = threading.Event()
    source = watch([place], WatchOptions(settle_s=SETTLE_S, until_idle_s=8.0), source_stop)
    run = Run(source, FakeEngine(16), options(16, overwrite=True), note)
    producer.join()
    assert producer.error is None
    outcomes = run.end()
    assert {outcome.status for outcome in outcomes} <= {Status.DONE, Status.SKIPPED}
    assert {o.reason for o in outcomes if o.status is Status.SKIPPED} <= {CHANGED}
    assert {name: values[-1] for name, values in heard.items()} == producer.finals
    for name, values in heard.items():  # each content once; nothing but the early and the final content
        assert values[:-1] in ([], [producer.early.get(name)]), name
    for path in place.rglob("*.wav"):
        assert f"sum {producer.finals[path.name]}." in path.with_suffix(".txt").read_text()
    n_early = sum(len(values) > 1 for values in heard.values())
    print(f"{len(heard)} files, {n_early} with an early transcript that the final one replaced")
    assert n_early > 0
