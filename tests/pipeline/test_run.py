"""The threads of a run, on the fake engine and real load workers: batches, failures, order, ends."""

import threading
import time
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runs import N_SHORT, Run, options, short_files, statuses
from sounds import write_wav
from whisperbatch import pipeline
from whisperbatch.engine.fake import FakeEngine, text_of
from whisperbatch.errors import ModelError, RunError, UsageError
from whisperbatch.options import (
    EngineOptions,
    LoadOptions,
    OutputOptions,
    SpeechOptions,
    SubtitleOptions,
)
from whisperbatch.outputs.namer import Namer
from whisperbatch.pipeline import local_stages
from whisperbatch.records import AudioFile, Clip, ClipSettings, Event, Status
from whisperbatch.sources import MEDIA_SUFFIXES, from_paths


def test_files_that_are_all_there_fill_every_batch(tmp_path: Path):
    files = short_files(tmp_path, 200)
    all_loaded, n_loaded = threading.Event(), []

    def count(event: Event) -> None:
        n_loaded.append(1) if event.kind == "loaded" else None
        if len(n_loaded) >= 30:
            all_loaded.set()

    engine = FakeEngine(16)
    outcomes = Run(from_paths(files), engine, options(16, max_wait=60.0), count).end()
    assert set(statuses(outcomes).values()) == {Status.DONE}
    assert [len(batch) for batch in engine.batches] == [16] * 12 + [8]


def test_every_file_gets_its_own_text(tmp_path: Path):
    files = short_files(tmp_path, 50)
    outcomes = Run(from_paths(files), FakeEngine(7), options(7)).end()
    assert len(outcomes) == 50
    for outcome in outcomes:
        index = int(outcome.path.stem)
        expected = text_of(Clip(0, 0, 0.0, np.full(N_SHORT, index + 1, np.int16)))
        assert outcome.transcript is not None
        assert outcome.transcript.text == expected
        (output,) = outcome.outputs
        assert output.read_text() == expected.strip() + "\n"


def test_an_engine_that_waits_for_clips_to_come_is_not_asked_without_pause(tmp_path: Path):
    class Waiting(FakeEngine):
        """Does nothing until it was looked at so often, as one whose clips wait for others to vote."""

        n_looks = n_steps = 0

        def rouse(self) -> bool:
            self.n_looks += 1
            return self.n_looks > 40

        def step(self) -> list:
            self.n_steps += 1
            return super().step() if self.n_looks > 40 else []

    engine = Waiting(4)
    began_s = time.monotonic()
    outcomes = Run(from_paths(short_files(tmp_path, 1)), engine, options(4)).end()
    assert statuses(outcomes) == {"000.wav": Status.DONE}
    assert time.monotonic() - began_s >= 40 * local_stages.VOTES_LOOK_S
    assert engine.n_steps < 50  # each with a look, and a pause, before it


def test_files_mix_in_a_batch_and_a_long_file_comes_back_in_order(tmp_path: Path):
    long = write_wav(tmp_path / "a_long.wav", np.random.default_rng(0).integers(-900, 900, 16_000 * 200))
    files = [long, *short_files(tmp_path, 9)]
    engine = FakeEngine(8)
    outcomes = Run(from_paths(files), engine, options(8, max_wait=5.0)).end()
    assert any(len({file_id for file_id, _ in batch}) > 1 for batch in engine.batches)
    (transcript,) = [o.transcript for o in outcomes if o.path == long]
    assert transcript is not None
    assert [s.tokens for s in transcript.segments] == [(i,) for i in range(len(transcript.segments))]
    assert transcript.segments[-1].end_s == 200.0
    starts = [s.start_s for s in transcript.segments]
    assert starts == sorted(starts)
    assert len(starts) >= 7


def test_a_batch_fills_while_the_engine_is_busy(tmp_path: Path):
    files = short_files(tmp_path, 11)
    loaded = threading.Semaphore(0)

    def before_step(clips: list[Clip]) -> None:
        if len(engine.batches) == 1:
            for _ in files:
                assert loaded.acquire(timeout=60)

    def note(event: Event) -> None:
        if event.kind == "loaded":
            loaded.release()

    engine = FakeEngine(16, before_step)
    Run(from_paths(files), engine, options(16, max_wait=0.0), note).end()
    assert len(engine.batches[0]) < 11
    assert len(engine.batches) == 2


def test_a_lone_arrival_goes_out_although_more_may_come(tmp_path: Path):
    (first, second) = short_files(tmp_path, 2)
    go_on = threading.Event()

    def source() -> Iterator[AudioFile]:
        yield AudioFile(first)
        assert go_on.wait(60)
        yield AudioFile(second)

    run = Run(source(), FakeEngine(16), options(16, max_wait=0.1))
    run.wait_for(1)
    go_on.set()
    assert len(run.end()) == 2


def test_a_bad_file_among_good_ones_costs_only_itself(tmp_path: Path):
    files = short_files(tmp_path, 6)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.mp3").write_text("hello")
    files += [tmp_path / "empty.wav", tmp_path / "text.mp3"]
    engine = FakeEngine(4, fails=lambda clip: clip.file_id == 2)
    outcomes = Run(from_paths(files), engine, options(4)).end()
    told = statuses(outcomes)
    assert len(told) == 8
    failed = {o.path.name: o for o in outcomes if o.status is Status.FAILED}
    assert set(failed) == {"002.wav", "empty.wav", "text.mp3"}
    assert all(o.error is not None and o.error.path == o.path for o in failed.values())
    assert failed["empty.wav"].reason == "is empty"


def test_a_failure_to_write_costs_only_that_file(tmp_path: Path):
    files = short_files(tmp_path, 3)
    out = tmp_path / "out"
    out.mkdir()
    (out / "001.txt").mkdir()
    (out / "001.wav.txt").mkdir()
    opts = options(4, output_dir=out, overwrite=True)
    told = statuses(Run((AudioFile(f, tmp_path) for f in files), FakeEngine(4), opts).end())
    assert told == {"000.wav": Status.DONE, "001.wav": Status.FAILED, "002.wav": Status.DONE}


def test_an_empty_recording_is_an_empty_transcript(tmp_path: Path):
    file = write_wav(tmp_path / "nothing.wav", np.zeros(0))
    (outcome,) = Run(from_paths([file]), FakeEngine(4), options()).end()
    assert outcome.status in (Status.DONE, Status.FAILED)
    if outcome.status is Status.DONE:
        assert (tmp_path / "nothing.txt").read_text() == ""


def test_what_is_done_is_skipped_and_other_formats_need_no_engine(tmp_path: Path):
    files = short_files(tmp_path, 3)
    fake = EngineOptions("fake")
    both = replace(options(), engine=fake, output=OutputOptions(formats=("txt", "json")))
    Run(from_paths(files), FakeEngine(4), both).end()
    engine = FakeEngine(4)
    assert set(statuses(Run(from_paths(files), engine, both).end()).values()) == {Status.SKIPPED}
    srt = replace(options(), engine=fake, output=OutputOptions(formats=("srt", "json")))
    assert set(statuses(Run(from_paths(files), engine, srt).end()).values()) == {Status.DONE}
    assert engine.batches == []
    assert (tmp_path / "000.srt").read_text().startswith("1\n00:00:00,000 --> ")


def test_stop_resolves_every_file_and_finishes_what_is_in_the_engine(tmp_path: Path):
    files = short_files(tmp_path, 40)
    deciding, go_on, ahead, n_loaded = threading.Event(), threading.Event(), threading.Event(), []

    def before_step(clips: list[Clip]) -> None:
        if len(engine.batches) == 2:
            deciding.set()
            assert go_on.wait(60)

    def note(event: Event) -> None:
        n_loaded.append(1) if event.kind == "loaded" else None
        if len(n_loaded) >= 12:
            ahead.set()

    engine = FakeEngine(4, before_step)
    run = Run(from_paths(files), engine, options(4, max_wait=60.0), note)
    assert deciding.wait(60)
    assert ahead.wait(60)
    run.stop.set()
    run.wait_for(36)
    go_on.set()
    told = statuses(run.end())
    assert set(told.values()) <= {Status.DONE, Status.INTERRUPTED}
    assert list(told.values()).count(Status.DONE) == 8  # a batch that is decoded, and the one in the engine
    done = {name for name, status in told.items() if status is Status.DONE}
    assert {path.stem + ".wav" for path in tmp_path.glob("*.txt")} == done


def test_leaving_the_loop_ends_the_run(tmp_path: Path):
    files = short_files(tmp_path, 20)
    opts = options(2)
    outcomes = pipeline.run(
        from_paths(files),
        opts,
        open_engine=lambda: FakeEngine(2),
        namer=Namer(opts.output, MEDIA_SUFFIXES),
        on_event=lambda event: None,
        stop=threading.Event(),
    )
    next(outcomes)
    outcomes.close()
    left = [t.name for t in threading.enumerate() if t.name.startswith("whisperbatch-") and "source" not in t.name]
    assert left == []


def test_a_model_that_does_not_load_ends_the_run_with_its_sentence(tmp_path: Path):
    files = short_files(tmp_path, 3)

    def fail() -> FakeEngine:
        raise ModelError("no such model")

    run = Run(from_paths(files), fail, options())
    with pytest.raises(ModelError, match="no such model"):
        run.end()
    assert set(statuses(run.outcomes).values()) <= {Status.INTERRUPTED}


def test_an_engine_that_breaks_down_ends_the_run_and_leaves_no_file_open(tmp_path: Path):
    files = short_files(tmp_path, 12)

    def break_down(clips: list[Clip]) -> None:
        if len(engine.batches) == 2:
            raise MemoryError("the device is gone")

    engine = FakeEngine(4, break_down)
    run = Run(from_paths(files), engine, options(4, max_wait=30.0))
    with pytest.raises(RunError, match="the device is gone"):
        run.end()
    assert len(run.outcomes) == len(set(statuses(run.outcomes)))


def test_a_source_that_makes_no_sense_ends_the_run(tmp_path: Path):
    def source() -> Iterator[AudioFile]:
        yield AudioFile(short_files(tmp_path, 1)[0])
        raise UsageError("a list is wanted")

    with pytest.raises(UsageError, match="a list is wanted"):
        Run(source(), FakeEngine(4), options()).end()


def test_events_tell_the_whole_story_one_at_a_time(tmp_path: Path):
    files = short_files(tmp_path, 10)
    inside, together = threading.Lock(), []

    def check(event: Event) -> None:
        if not inside.acquire(blocking=False):
            together.append(event)
            return
        inside.release()

    run = Run(from_paths(files), FakeEngine(4), options(4), check)
    run.end()
    assert together == []
    kinds = [event.kind for event in run.events]
    for kind in ("queued", "loading", "loaded", "progress", "finished"):
        assert kinds.count(kind) == 10, kind
    assert sum(e.data["n_clips"] for e in run.events if e.kind == "batch") == 10
    assert sum(e.data["audio_s"] for e in run.events if e.kind == "progress") == pytest.approx(10 * 0.1)


def test_channels_of_a_call_are_one_transcript(tmp_path: Path):
    rows = np.random.default_rng(0).integers(-900, 900, (2, 16_000 * 70)).astype(np.int16)
    path = tmp_path / "call.wav"
    with path.open("wb") as file, wave.open(file, "wb") as out:
        out.setparams((2, 2, 16_000, 0, "NONE", ""))
        out.writeframes(np.ascontiguousarray(rows.T).tobytes())
    opts = replace(options(write=False), load=LoadOptions(1, "split", ("agent", "caller")))
    (outcome,) = Run(from_paths([path]), FakeEngine(8), opts).end()
    assert outcome.transcript is not None
    segments = outcome.transcript.segments
    assert {s.channel for s in segments} == {"agent", "caller"}
    assert [s.start_s for s in segments] == sorted(s.start_s for s in segments)
    assert outcome.transcript.settings["channels"] == "split"


def test_sequential_mode_gives_the_engine_whole_files(tmp_path: Path):
    samples = np.random.default_rng(0).integers(-900, 900, 16_000 * 70)
    files = [write_wav(tmp_path / "long.wav", samples), *short_files(tmp_path, 3)]
    opts = replace(
        options(),
        clip=ClipSettings(long_form="sequential"),
        load=LoadOptions(1, spool_dir=tmp_path / "spool"),
    )
    outcomes = {outcome.path: outcome for outcome in Run(from_paths(files), FakeEngine(8), opts).end()}
    assert statuses(list(outcomes.values())) == {path.name: Status.DONE for path in files}
    transcript = outcomes[files[0]].transcript
    assert transcript is not None
    assert transcript.text == f" clip 0 at 0.00 s, 70.00 s, sum {samples.sum()}."
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_recording_without_speech_is_an_empty_transcript(tmp_path: Path):
    path = write_wav(tmp_path / "noise.wav", np.random.default_rng(0).integers(-900, 900, 16_000 * 40))
    engine = FakeEngine(8)
    (outcome,) = Run(from_paths([path]), engine, replace(options(), speech=SpeechOptions())).end()
    assert outcome.status is Status.DONE
    assert outcome.transcript is not None
    assert (outcome.transcript.text, outcome.transcript.speech_s, outcome.transcript.covered_s) == ("", 0.0, 0.0)
    assert engine.batches == []
    assert path.with_suffix(".txt").read_text() == ""


def test_subtitles_are_written_in_the_shape_that_is_asked(tmp_path: Path):
    (path,) = short_files(tmp_path, 1)
    for shaping, end in ((SubtitleOptions(), "00,100"), (SubtitleOptions(min_cue_s=5.0), "05,000")):
        opts = options(formats=("srt",), subtitles=shaping, overwrite=True)
        (outcome,) = Run(from_paths([path]), FakeEngine(), opts).end()
        assert outcome.status is Status.DONE
        assert path.with_suffix(".srt").read_text().splitlines()[1] == f"00:00:00,000 --> 00:00:{end}"
    opts = options(formats=("srt",), subtitles=SubtitleOptions(max_line_width=20), overwrite=True)
    (outcome,) = Run(from_paths([path]), FakeEngine(), opts).end()
    assert outcome.status is Status.FAILED
    assert "no word times" in str(outcome.error)


def test_a_silent_file_does_not_keep_a_run_open_whose_model_cannot_be_had(tmp_path: Path):
    write_wav(tmp_path / "silent.wav", np.zeros(0))
    is_written = threading.Event()

    def refuse() -> FakeEngine:
        is_written.wait(1.0)  # until the file waits for the engine's name
        raise ModelError("is not here")

    run = Run(from_paths([tmp_path]), refuse, options())
    with pytest.raises(ModelError):
        run.end()
    assert statuses(run.outcomes) == {"silent.wav": Status.INTERRUPTED}
