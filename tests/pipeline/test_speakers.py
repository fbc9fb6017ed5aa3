"""Runs that look for speakers, with the fake diarizer: the same labels in any order, batch, process, restart."""

import errno
import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import pools
from sounds import write_wav
from speaker_runs import BASE, HIGH, LOW, MIDDLE, PLAIN, Broken, Run, WordEngine, labels, tones, write_talk, written
from whisperbatch import pipeline
from whisperbatch.errors import LoadError, ModelError, RunError, UsageError
from whisperbatch.options import (
    BatchOptions,
    JournalOptions,
    LoadOptions,
    OutputOptions,
    SpeakerOptions,
)
from whisperbatch.outputs.namer import Namer
from whisperbatch.pipeline import clip_cache, find_speakers, local_stages
from whisperbatch.pipeline.find_speakers import NOT_FOUND
from whisperbatch.pipeline.open_files import Job
from whisperbatch.records import (
    AudioFile,
    Clip,
    ClipSettings,
    Event,
    FileOptions,
    Status,
    Transcript,
)
from whisperbatch.sources import MEDIA_SUFFIXES
from whisperbatch.speakers.fake import FakeDiarizer
from whisperbatch.transcripts import Assembly
from whisperbatch.writers import read_json


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return write_talk(tmp_path)


def test_words_segments_and_turns_have_their_speakers(talk: Path):
    (outcome,) = Run()([talk])
    assert outcome.status is Status.DONE
    found = written(talk)
    assert labels(found) == ["SPEAKER_00:4", "SPEAKER_01:6", "SPEAKER_00:2"]
    assert [(one.label, one.seconds) for one in found.speakers or ()] == [("SPEAKER_00", 3.0), ("SPEAKER_01", 3.0)]
    assert found == outcome.transcript
    assert talk.with_suffix(".txt").read_text().splitlines()[1] == "[SPEAKER_01]: w4 w5 w6 w7 w8 w9"
    assert talk.with_suffix(".rttm").read_text().splitlines() == [
        "SPEAKER talk 1 0.000 2.000 <NA> <NA> SPEAKER_00 <NA> <NA>",
        "SPEAKER talk 1 2.000 3.000 <NA> <NA> SPEAKER_01 <NA> <NA>",
        "SPEAKER talk 1 5.000 1.000 <NA> <NA> SPEAKER_00 <NA> <NA>",
    ]


def many(folder: Path, n: int = 8) -> list[Path]:
    """Recordings of different lengths and speakers, some longer than a window."""
    made = []
    for index in range(n):
        parts = [((LOW, MIDDLE, HIGH)[(index + k * (1 + index % 2)) % 3], 1.5 + (index + k) % 4) for k in range(14)]
        made.append(write_wav(folder / "audio" / f"{index:03d}.wav", tones(*parts[: 3 + 2 * index])))
    return made


def alone(file: Path) -> Transcript:
    """The transcript of a run that has nothing else to do."""
    (outcome,) = Run(replace(BASE, output=OutputOptions(write=False)))([file])
    assert outcome.transcript is not None
    return outcome.transcript


@pytest.mark.parametrize("long_form", ["clips", "sequential"])
def test_the_same_in_any_order_and_batch_and_beside_other_files(tmp_path: Path, long_form: str):
    files = many(tmp_path)
    base = replace(BASE, output=OutputOptions(write=False), clip=ClipSettings(long_form=long_form))
    found = [
        {outcome.path: outcome.transcript for outcome in Run(replace(base, **given))(order)}
        for order, given in (
            (files, {}),
            (files[::-1], {"batch": BatchOptions(1, 0.0)}),
            ([*files[1::2], *files[::2]], {"batch": BatchOptions(16, 0.2), "load": LoadOptions(2)}),
        )
    ]
    assert found[0] == found[1] == found[2]
    for file in files[::3]:
        assert Run(base)([file])[0].transcript == found[0][file]
    assert all(len(one.speakers or ()) == 3 for one in found[0].values() if one is not None)


def test_several_diarizers_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files, quiet = many(tmp_path), replace(BASE, output=OutputOptions(write=False))
    found = []
    for n in (1, 3):
        monkeypatch.setattr(find_speakers, "n_diarizers", lambda n_cores, is_beside_gpu, n=n: n)
        run = Run(quiet)
        found.append({outcome.path: outcome.transcript for outcome in run(files)})
        assert len(run.diarizers) == n
        assert all(diarizer.n_added for diarizer in run.diarizers)
    assert found[0] == found[1]


def test_beside_a_gpu_there_are_several_diarizers():
    assert [find_speakers.n_diarizers(n, True) for n in (1, 8, 16, 100)] == [1, 2, 4, 8]
    assert find_speakers.n_diarizers(16, False) == 1


def test_long_and_split_recordings_take_pauses_into_account(tmp_path: Path):
    left = tones((LOW, 40), (MIDDLE, 20))
    right = tones((HIGH, 60))
    file = write_wav(tmp_path / "audio" / "call.wav", np.stack((left, right)))
    options = replace(BASE, load=LoadOptions(1, channels="split"))
    Run(options)([file])
    found = written(file)
    assert [one.label for one in found.speakers or ()] == ["LEFT SPEAKER_00", "RIGHT", "LEFT SPEAKER_01"]
    assert {(one.channel, one.speaker) for one in found.segments} == {
        ("LEFT", "LEFT SPEAKER_00"),
        ("LEFT", "LEFT SPEAKER_01"),
        ("RIGHT", "RIGHT"),
    }
    assert [round(one.seconds) for one in found.speakers or ()] == [40, 60, 20]
    assert "overlaps" in json.loads(file.with_suffix(".json").read_text())["whisperbatch"]


def test_a_list_may_say_how_many_speakers_a_file_has(talk: Path):
    (outcome,) = Run()([AudioFile(talk, size=talk.stat().st_size, options=FileOptions(speakers=(1, 1)))])
    assert outcome.transcript is not None
    assert outcome.transcript.speaker_settings == {"min_speakers": 1, "max_speakers": 1}
    assert len(outcome.transcript.speakers or ()) == 1


def test_a_list_that_names_speakers_in_a_run_that_looks_for_none_is_told(talk: Path):
    asks = FileOptions(speakers=(1, 1))
    (outcome,) = Run(PLAIN)([AudioFile(talk, options=asks)])
    assert (outcome.status, outcome.reason) == (Status.FAILED, 'its "speakers" needs --speakers on the command line')


def test_silence_has_no_speakers_and_is_no_failure(tmp_path: Path):
    file = write_wav(tmp_path / "audio" / "silence.wav", np.zeros(0, np.int16))
    (outcome,) = Run()([file])
    assert outcome.transcript is not None
    assert (outcome.transcript.speakers, outcome.transcript.warnings) == ((), ("nothing heard",))


def broken_add(file_id: int, start_s: float, samples: np.ndarray) -> None:
    raise ModelError("the network is gone")


@pytest.mark.parametrize("diarizer", [Broken, lambda: FakeDiarizer(before_add=broken_add)])
def test_a_failure_costs_the_speakers_and_not_the_transcript(talk: Path, diarizer: Callable[[], FakeDiarizer]):
    run = Run()
    (outcome,) = run([talk], diarizer=diarizer)
    assert outcome.status is Status.DONE
    found = written(talk)
    assert len(found.segments) == 1
    assert found.speakers is None
    (warning,) = found.warnings
    assert warning.startswith(NOT_FOUND)
    assert run.notices == [warning]


def test_what_failed_is_tried_again_only_when_told_and_decodes_nothing(talk: Path, tmp_path: Path):
    run = Run(journal=tmp_path / "journal")
    run([talk], diarizer=Broken)
    assert [one.status for one in run([talk])] == [Status.SKIPPED]
    again = Run(replace(BASE, journal=JournalOptions(retry_failed=True)), tmp_path / "journal")
    (outcome,) = again([talk])
    assert (outcome.status, outcome.reason) == (Status.DONE, "speakers were added to its transcript")
    assert again.engines == []
    assert labels(written(talk)) == ["SPEAKER_00:4", "SPEAKER_01:6", "SPEAKER_00:2"]
    assert written(talk).warnings == ()
    assert [one.status for one in again([talk])] == [Status.SKIPPED]


@pytest.mark.parametrize("has_journal", [True, False])
@pytest.mark.parametrize("has_words", [True, False])
def test_speakers_asked_for_later_are_added_without_decoding(
    talk: Path, tmp_path: Path, has_journal: bool, has_words: bool
):
    class Engine(WordEngine):
        pass

    Engine.has_words = has_words
    journal = tmp_path / "journal" if has_journal else None
    Run(PLAIN, journal)([talk], engine=Engine)
    assert written(talk).speakers is None
    run = Run(journal=journal)
    (outcome,) = run([talk])
    assert (outcome.status, run.engines) == (Status.DONE, [])
    found = written(talk)
    assert labels(found) == (["SPEAKER_00:4", "SPEAKER_01:6", "SPEAKER_00:2"] if has_words else ["SPEAKER_00:0"])
    assert talk.with_suffix(".txt").read_text().startswith("[SPEAKER_00]: ")
    assert len(talk.with_suffix(".rttm").read_text().splitlines()) == 3
    assert [one.status for one in run([talk])] == [Status.SKIPPED]
    assert len(run.diarizers) == 1
    two = Run(replace(BASE, speakers=SpeakerOptions(True, 1, 1)), journal)
    assert [one.status for one in two([talk])] == [Status.DONE]
    assert (len(written(talk).speakers or ()), two.engines) == (1, [])


def test_a_run_that_asks_for_no_speakers_leaves_those_that_are_there(talk: Path, tmp_path: Path):
    Run(journal=tmp_path / "journal")([talk])
    plain = Run(PLAIN, tmp_path / "journal")
    assert [one.status for one in plain([talk])] == [Status.SKIPPED]
    talk.with_suffix(".txt").unlink()
    assert [one.reason for one in plain([talk])] == ["made from its JSON"]
    assert "[SPEAKER_01]" in talk.with_suffix(".txt").read_text()


def test_corrected_transcripts_are_left_alone(talk: Path, tmp_path: Path):
    Run(journal=tmp_path / "journal")([talk])
    place = talk.with_suffix(".json")
    place.write_text(place.read_text().replace("SPEAKER_01", "Ann"))
    run = Run(journal=tmp_path / "journal")
    assert [one.status for one in run([talk])] == [Status.SKIPPED]
    talk.with_suffix(".txt").unlink()
    run([talk])
    assert "[Ann]" in talk.with_suffix(".txt").read_text()
    assert run.diarizers == []


def test_weights_that_are_missing_end_the_run_before_anything_is_decoded(talk: Path):
    def missing() -> FakeDiarizer:
        raise ModelError("the speaker model is not here")

    run = Run()
    with pytest.raises(UsageError, match="the speaker model is not here"):
        run([talk], diarizer=missing)
    assert run.engines == []
    assert not [event for event in run.events if event.kind == "loading"]
    assert list(talk.parent.iterdir()) == [talk]


def test_a_watch_says_at_its_start_that_weights_are_missing():
    def missing() -> FakeDiarizer:
        raise ModelError("the speaker model is not here")

    def nothing_yet():
        raise AssertionError("no file is looked for")
        yield

    quiet: dict = {"on_event": lambda event: None, "stop": threading.Event(), "at_once": True}
    namer = Namer(BASE.output, MEDIA_SUFFIXES)
    run = pipeline.run(nothing_yet(), BASE, open_engine=WordEngine, open_diarizer=missing, namer=namer, **quiet)
    with pytest.raises(UsageError, match="the speaker model is not here"):
        next(run)


def test_an_interrupted_long_file_has_the_same_speakers_when_it_goes_on(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(clip_cache.ClipCache.__init__, "__defaults__", (60.0,))
    parts = [((LOW, MIDDLE, HIGH)[k % 3], 5.0 + k % 3) for k in range(30)]
    file = write_wav(tmp_path / "audio" / "long.wav", tones(*parts))
    wanted = alone(file)
    base = replace(BASE, clip=ClipSettings("en"))  # a clip that votes on the language is always decoded
    run = Run(replace(base, batch=BatchOptions(1, 0.0)), tmp_path / "journal")
    n_decoded = 0

    def dies_late(clips: list[Clip]) -> None:
        nonlocal n_decoded
        n_decoded += 1
        if n_decoded > 4:
            raise RunError("as if killed")

    with pytest.raises(RunError):
        run([file], engine=lambda: WordEngine(1, dies_late))
    again = Run(base, tmp_path / "journal")
    (outcome,) = again([file])
    assert len([one for batch in again.engines[0].batches for one in batch]) < 7
    assert outcome.transcript is not None
    assert outcome.transcript.segments == wanted.segments
    assert outcome.transcript.turns == wanted.turns


def test_the_engine_goes_on_while_the_diarizer_is_slow(tmp_path: Path):
    """All text is decoded while not one stretch has been listened to."""
    files, heard, go_on = many(tmp_path), [], threading.Event()

    def block(file_id: int, start_s: float, samples: np.ndarray) -> None:
        assert go_on.wait(60)

    def count(event: Event) -> None:
        if event.kind == "progress":
            heard.append(event.path)
            if len(set(heard)) == len(files):
                go_on.set()

    outcomes = Run()(files, diarizer=lambda: FakeDiarizer(before_add=block), on_event=count)
    assert go_on.is_set()
    assert {one.status for one in outcomes} == {Status.DONE}


def test_a_stop_ends_a_run_whose_diarizer_is_busy(tmp_path: Path):
    files, run = many(tmp_path, 20), Run()
    outcomes = run(files, on_event=lambda event: run.stop.set() if event.kind == "batch" else None)
    assert {one.path for one in outcomes} == set(files)
    assert {one.status for one in outcomes} <= {Status.DONE, Status.INTERRUPTED}
    assert all(one.transcript.speakers for one in outcomes if one.transcript is not None)


def test_a_file_that_fails_leaves_nothing_with_the_diarizer(tmp_path: Path):
    files = many(tmp_path, 6)
    run = Run()
    run(files, engine=lambda: WordEngine(fails=lambda clip: clip.file_id == 3))
    assert not {key for key, pieces in run.diarizers[0]._pieces.items() if pieces}


def test_a_file_that_fails_while_it_is_listened_to_leaves_nothing_either(talk: Path):
    listens, has_failed, run = threading.Event(), threading.Event(), Run()

    def listen(file_id: int, start_s: float, samples: np.ndarray) -> None:
        listens.set()
        assert has_failed.wait(60)

    (outcome,) = run(
        [talk],
        engine=lambda: WordEngine(fails=lambda clip: listens.wait(60)),
        diarizer=lambda: FakeDiarizer(before_add=listen),
        on_event=lambda event: has_failed.set() if event.kind == "finished" else None,
    )
    assert outcome.status is Status.FAILED
    assert run.diarizers[0].n_added == 1
    assert not run.diarizers[0]._pieces


def test_no_more_clips_wait_for_a_diarizer_than_it_may_have(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(find_speakers, "MAX_CLIPS", 2)
    queue = find_speakers.SpeakerFinder(SimpleNamespace(open_files=None, options=BASE), FakeDiarizer)
    clip, taken = Clip(0, 0, 0.0, np.zeros(1, np.int16)), []
    job = Job(0, AudioFile(Path("a.wav")), Assembly(AudioFile(Path("a.wav"))))
    putting = threading.Thread(target=lambda: taken.extend(queue.take(job, clip) for _ in range(3)), daemon=True)
    putting.start()
    pools.wait_until(lambda: queue._queues[0].n_clips == 2)
    putting.join(0.3)
    assert putting.is_alive()
    queue.abort()
    putting.join(60)
    assert taken == [True, True, False]


def test_a_file_whose_speakers_are_added_is_loaded_again_after_an_error_that_passes(talk: Path, monkeypatch):
    Run(PLAIN)([talk])
    load, n_loads = local_stages.LoadWorker.load, []

    def fails_once(self, file_id: int, path: Path, settings: ClipSettings):
        n_loads.append(file_id)
        if len(n_loads) == 1:
            error = LoadError("the disk stumbled", path)
            error.__cause__ = OSError(errno.EIO, "")
            raise error
        yield from load(self, file_id, path, settings)

    monkeypatch.setattr(local_stages.LoadWorker, "load", fails_once)
    run = Run()
    assert [one.status for one in run([talk])] == [Status.DONE]
    assert (len(n_loads), run.engines) == (2, [])


@pytest.mark.skipif(os.name == "nt", reason="kills")
@pytest.mark.parametrize("where", [(), ("--device", "cpu:2")])
def test_a_run_that_is_killed_and_goes_on_finds_the_same_speakers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: tuple[str, ...]
):
    monkeypatch.setenv("LONG_S", "60")
    given = ("--language", "en", "--speakers", "--format", "rttm")
    for name in ("whole", "killed"):
        parts = [((LOW, HIGH)[k % 2], 20.0 + 3 * (k % 3)) for k in range(12)]
        write_wav(tmp_path / name / "audio" / "long.wav", tones(*parts))
    whole, killed = tmp_path / "whole" / "audio", tmp_path / "killed" / "audio"
    process = pools.start(whole, *given)
    assert process.communicate(timeout=120) is not None
    assert process.returncode == 0
    process = pools.start(killed, *given, *where, step_s=0.3)
    pools.wait_until(lambda: sum(one["event"] == "segment" for one in pools.events(killed)) >= 5)
    process.kill()
    process.communicate(timeout=120)
    assert not (killed / "long.json").exists()
    (tmp_path / "killed" / "events").unlink()
    process = pools.start(killed, *given, *where)
    assert process.communicate(timeout=120) is not None
    assert process.returncode == 0
    assert pools.contents(killed) == pools.contents(whole)
    assert len(read_json((killed / "long.json").read_bytes()).turns) == 12
    n_all, n_again = (
        sum(one["n_clips"] for one in pools.events(place) if one["event"] == "batch") for place in (whole, killed)
    )
    assert 1 <= n_again <= n_all - 3  # the text of the others was kept, their speakers were found anew
