"""Runs one after another and side by side, with a journal: what is done again, what never, and whose files stay."""

import json
import os
import threading
import wave
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runs import DONE, SKIPPED, Place, told
from sounds import write_wav
from whisperbatch import pipeline
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.errors import RunError
from whisperbatch.options import (
    SubtitleOptions,
)
from whisperbatch.outputs.namer import Namer
from whisperbatch.pipeline import clip_cache, write_outputs
from whisperbatch.pipeline.open_files import Job
from whisperbatch.pipeline.planner import Planner
from whisperbatch.records import AudioFile, Clip, ClipSettings, ClipText, Event, FileOptions, Outcome, Status
from whisperbatch.sources import MEDIA_SUFFIXES, from_paths
from whisperbatch.transcripts import Assembly


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_is_done_is_skipped_and_no_model_is_opened(place: Place):
    assert told(place.run()) == DONE
    before = place.contents()
    assert told(place.run()) == SKIPPED
    assert place.n_opened == 1
    assert place.contents() == before


@pytest.mark.parametrize(
    "change",
    [
        {"clip": {"language": "de"}},
        {"clip": {"prompt": "Names"}},
        {"clip": {"task": "translate"}},
        {"clip": {"long_form": "sequential"}},
        {"engine": {"model": "other"}, "revision": None},
        {"revision": "1"},
    ],
)
def test_what_matters_to_the_text_does_it_again_in_place(place: Place, change: dict):
    place.run()
    before = set(place.contents())
    assert told(place.run(**change)) == DONE
    assert set(place.contents()) == before


@pytest.mark.parametrize(
    "change",
    [
        {"engine": {"device": "cuda:1", "compute_type": "float16"}},
        {"batch": {"max_batch_size": 7, "max_wait_s": 9.0}},
        {"load": {"n_workers": 2}},
        {"engine": {"model": "another-name-of-the-same"}},
        {"revision": None},
    ],
)
def test_what_does_not_matter_to_the_text_does_nothing_again(place: Place, change: dict):
    place.run()
    assert told(place.run(**change)) == SKIPPED


def test_a_format_is_rendered_from_json_without_inference(place: Place):
    place.run()
    assert told(place.run(output={"formats": ("txt", "srt")})) == DONE
    assert place.n_opened == 1
    assert (place.audio / "000.srt").read_text().startswith("1\n00:00:00,000 -->")
    (place.audio / "001.txt").unlink()
    again = place.run(output={"formats": ("txt", "srt", "json")})
    assert told(again) == {**SKIPPED, "001": "done"}
    assert place.n_opened == 1
    assert (place.audio / "001.txt").exists()


def test_without_json_a_missing_output_is_transcribed_again_and_the_others_stay(place: Place):
    place.run(output={"formats": ("txt", "srt")})
    (place.audio / "000.srt").unlink()
    (place.audio / "000.txt").write_text("corrected")
    assert told(place.run(output={"formats": ("txt", "srt")})) == {**SKIPPED, "000": "done"}
    assert (place.audio / "000.txt").read_text() == "corrected"
    assert (place.audio / "000.srt").exists()
    assert set(place.contents()) == {f"{i:03d}.{name}" for i in range(3) for name in ("txt", "srt")}


def test_a_transcript_corrected_by_hand_is_kept_unless_told_otherwise(place: Place):
    place.run()
    (place.audio / "000.txt").write_text("corrected")
    assert told(place.run()) == SKIPPED
    other = place.run(clip={"prompt": "Names"})
    assert told(other) == DONE
    assert (place.audio / "000.txt").read_text() == "corrected"
    assert [path.name for path in other["000.wav"].outputs] == ["000.wav.txt", "000.wav.json"]
    place.run(clip={"prompt": "Other"}, output={"overwrite": True})
    assert (place.audio / "000.wav.txt").read_text() != "corrected"


@pytest.mark.parametrize("changes", [{"journal": {"redo": True}}, {"clip": {"prompt": "Names"}}])
def test_an_edited_transcript_that_is_kept_is_named_with_the_new_one(place: Place, changes: dict):
    place.run()
    (place.audio / "000.txt").write_text("corrected")
    events: list[Event] = []
    assert told(place.run(on_event=events.append, **changes)) == DONE
    (notice,) = [event for event in events if event.kind == "notice"]
    kept, _, made = notice.data["text"].partition("; ")
    assert notice.path == place.audio / "000.wav"
    assert kept == f"{place.audio / '000.txt'} was edited and kept"
    assert made == f"the new transcript is {place.audio / '000.wav.txt'}, {place.audio / '000.wav.json'}"
    events.clear()
    place.run(on_event=events.append, journal={"redo": True, "redo_scope": "again"})
    assert not [event for event in events if event.kind == "notice"]  # the new one has its own name by now


MORE = ("txt", "srt", "json", "vtt")


@pytest.mark.parametrize(
    ("between", "then"),
    [
        ({"output": {"formats": MORE}}, {"output": {"formats": MORE}, "journal": {"redo": True}}),
        ({"output": {"formats": MORE}}, {"speech": {"vad": True}}),
        ({"output": {"formats": MORE}}, {"output": {"subtitles": SubtitleOptions(min_cue_s=0.5)}}),
        (None, {"journal": {"redo": True}}),  # the journal is lost, and the outputs are adopted
        (None, {"output": {"subtitles": SubtitleOptions(min_cue_s=0.5)}}),
    ],
)
def test_a_correction_that_was_kept_once_is_no_output_of_ours(place: Place, between: dict | None, then: dict):
    place.base = place.options(output={"formats": ("txt", "srt", "json")})
    place.run()
    corrected = {f"000.{name}": f"{name}, corrected by hand" for name in ("txt", "srt")}
    for name, text in corrected.items():
        (place.audio / name).write_text(text)
    if between is None:
        place.journal.unlink()
        assert told(place.run()) == SKIPPED
    else:
        assert told(place.run(**between)) == DONE
    place.run(**then)
    assert {name: (place.audio / name).read_text() for name in corrected} == corrected


@pytest.mark.parametrize("moment", ["intend", "write_all"])
@pytest.mark.parametrize("with_journal", [True, False])
def test_runs_whose_recordings_have_the_same_names_lose_no_transcript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, with_journal: bool
):
    out, place = tmp_path / "out", Place(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    for index in range(3):
        write_wav(other / f"{index:03d}.wav", 100 + index)
    told_others: dict[str, Outcome] = {}
    holder, name = (Planner, "intend") if moment == "intend" else (write_outputs, "write_all")
    real, is_to_come, lock = getattr(holder, name), [True], threading.Lock()

    def after_the_other_run(*given: object, **named: object) -> object:
        """What the first run is about to do once its names are decided; a whole other run takes them first."""
        with lock:
            is_first = bool(is_to_come) and is_to_come.pop()
        if is_first:
            monkeypatch.setattr(holder, name, real)
            run = place.run(with_journal=with_journal, source=from_paths([other]), output={"output_dir": out})
            told_others.update(run)
        return real(*given, **named)

    monkeypatch.setattr(holder, name, after_the_other_run)
    mine = place.run(with_journal=with_journal, output={"output_dir": out})
    assert told(mine) == told(told_others) == DONE
    for outcomes, first in ((mine, 1), (told_others, 100)):
        for index in range(3):
            outputs = outcomes[f"{index:03d}.wav"].outputs
            assert [f"sum {1600 * (first + index)}." in path.read_text() for path in outputs] == [True, True]
    assert len(list(out.iterdir())) == 12
    for source in ([place.audio], [other]):
        again = place.run(with_journal=with_journal, source=from_paths(source), output={"output_dir": out})
        assert told(again) == SKIPPED


def test_overwrite_replaces_a_correction(place: Place):
    place.run()
    before = place.contents()
    (place.audio / "000.txt").write_text("corrected")
    assert told(place.run(output={"overwrite": True})) == DONE
    assert place.contents() == before


def test_a_changed_recording_is_done_again_in_place_and_a_touched_one_is_not(place: Place):
    place.run()
    before = place.contents()
    write_wav(place.audio / "000.wav", 77)
    os.utime(place.audio / "001.wav", (1, 1))
    assert told(place.run()) == {**SKIPPED, "000": "done"}
    after = place.contents()
    assert {name for name in after if after[name] != before[name]} == {"000.txt", "000.json"}
    assert set(after) == set(before)


@pytest.mark.parametrize("with_journal", [True, False])
def test_a_lost_journal_adopts_what_the_json_files_prove(place: Place, with_journal: bool):
    place.run()
    place.journal.unlink()
    before = place.contents()
    assert told(place.run(with_journal=with_journal)) == SKIPPED
    assert place.n_opened == 1
    if with_journal:
        (place.audio / "000.txt").unlink()
        assert told(place.run()) == {**SKIPPED, "000": "done"}
        assert place.n_opened == 1
    assert place.contents() == before


@pytest.mark.parametrize("change", [{"clip": {"prompt": "Names"}}, {"revision": "1"}])
def test_a_lost_journal_adopts_nothing_made_otherwise_and_leaves_it_alone(place: Place, change: dict):
    place.run()
    place.journal.unlink()
    before = place.contents()
    assert told(place.run(**change)) == DONE
    after = place.contents()
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {f"{i:03d}.wav.{name}" for i in range(3) for name in ("txt", "json")}


def test_a_recording_of_the_same_size_is_not_taken_for_another(place: Place):
    place.run()
    place.journal.unlink()
    write_wav(place.audio / "000.wav", 88)  # another recording, as long as the first
    assert told(place.run()) == {**SKIPPED, "000": "done"}
    assert (place.audio / "000.wav.txt").exists()


def test_redo_does_all_again_once_and_goes_on_after_an_interruption(place: Place):
    place.run()
    stop, redo = threading.Event(), {"redo": True, "redo_scope": "all"}

    def stop_after_one(clips: list[Clip]) -> None:
        stop.set()

    first = place.run(stop=stop, before_step=stop_after_one, journal=redo, batch={"max_batch_size": 1})
    n_done = sum(o.status is Status.DONE for o in first.values())
    second = place.run(journal=redo)
    assert sum(o.status is Status.DONE for o in second.values()) == 3 - n_done
    assert told(place.run(journal=redo)) == DONE  # that redo was over


def test_redo_with_a_lost_journal_replaces_what_is_proven_ours(place: Place):
    place.run()
    place.journal.unlink()
    before = place.contents()
    assert told(place.run(journal={"redo": True})) == DONE
    assert place.contents() == before


def test_a_file_that_failed_in_passing_is_tried_by_the_next_run(place: Place):
    assert told(place.run(fails=lambda clip: clip.file_id == 1)) == {**DONE, "001": "failed"}
    assert told(place.run()) == {**SKIPPED, "001": "done"}


def test_two_recordings_of_one_content_keep_their_own(place: Place):
    write_wav(place.audio / "000.mp3", 1)
    place.run()
    for with_journal in (True, False):
        outcomes = place.run(with_journal=with_journal)
        assert {o.status for o in outcomes.values()} == {Status.SKIPPED}


def test_another_output_folder_is_another_set(place: Place, tmp_path: Path):
    place.run()
    assert told(place.run(output={"output_dir": tmp_path / "out"})) == DONE
    assert told(place.run(output={"output_dir": tmp_path / "out"})) == SKIPPED
    assert told(place.run()) == SKIPPED


def test_a_language_in_the_name_is_found_again(place: Place):
    template = {"name": "{stem}.{language}"}
    place.run(output=template)
    assert "000.en.txt" in place.contents()
    assert told(place.run(output=template)) == SKIPPED
    assert told(place.run()) == DONE  # other names, from the JSON
    assert place.n_opened == 1


def test_a_journaled_name_stays_when_a_neighbour_comes(place: Place):
    place.run()
    write_wav(place.audio / "000.mp3", 50)
    (place.audio / "000.txt").rename(place.audio / "gone")
    outcomes = place.run()
    assert [path.name for path in outcomes["000.wav"].outputs] == ["000.txt", "000.json"]
    assert [path.name for path in outcomes["000.mp3"].outputs] == ["000.mp3.txt", "000.mp3.json"]


def test_the_json_tells_how_the_text_was_made(place: Place):
    place.run(clip={"long_form": "sequential"})
    block = json.loads((place.audio / "000.json").read_bytes())["whisperbatch"]
    asked = {"language": None, "long_form": "sequential", "prompt": None, "task": "transcribe", "vad": False}
    assert block["settings"] == asked
    assert len(block["sha256"]) == 64


def test_finished_clips_of_a_long_file_are_not_decoded_again(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clip_cache.ClipCache.__init__, "__defaults__", (100.0,))
    samples = np.random.default_rng(1).integers(-900, 900, 16_000 * 300).astype(np.int16)
    with wave.open(str(place.audio / "long.wav"), "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes(samples.tobytes())
    given = {"clip": {"language": "en"}}  # else the clips that vote on it are decoded again
    decoded: list[list[tuple[int, int]]] = [[], [], []]

    def break_down(clips: list[Clip]) -> None:
        if len(decoded[0]) >= 8:
            raise MemoryError("the device is gone")
        decoded[0].extend((len(c.samples), c.index) for c in clips if len(c.samples) > 1_600)

    def note(number: int) -> Callable[[list[Clip]], None]:
        return lambda clips: decoded[number].extend((len(c.samples), c.index) for c in clips if len(c.samples) > 1_600)

    with pytest.raises(RunError):
        place.run(before_step=break_down, **given)
    assert len(decoded[0]) >= 8
    again = place.run(before_step=note(1), **given)
    assert again["long.wav"].status is Status.DONE
    assert not {index for _, index in decoded[0]} & {index for _, index in decoded[1]}
    resumed = (place.audio / "long.json").read_bytes()
    place.run(before_step=note(2), output={"overwrite": True}, **given)
    assert (place.audio / "long.json").read_bytes() == resumed
    assert sorted(decoded[2]) == sorted(decoded[0] + decoded[1])
    with place.book() as journal:
        assert journal is not None
        assert all(journal.kept_clips(entry) == {} for entry in journal.entries())


def test_a_file_in_another_runs_hand_is_waited_for_and_not_done_twice(place: Place):
    entered, go_on, results = threading.Event(), threading.Event(), {}

    def hold(clips: list[Clip]) -> None:
        entered.set()
        assert go_on.wait(60)

    def work() -> None:
        results["first"] = place.run(before_step=hold)

    first = threading.Thread(target=work)
    first.start()
    assert entered.wait(60)
    second = threading.Thread(target=lambda: results.setdefault("second", place.run()))
    second.start()
    second.join(1.5)
    assert second.is_alive()  # its list is at an end, and it waits
    go_on.set()
    first.join(60)
    second.join(60)
    assert not second.is_alive()
    done = [name for run in results.values() for name, outcome in run.items() if outcome.status is Status.DONE]
    assert sorted(done) == ["000.wav", "001.wav", "002.wav"]
    assert told(results["second"]) == {**told(results["second"]), **SKIPPED} or len(results["second"]) == 3


def test_files_of_a_list_have_settings_of_their_own(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    own_options = [
        FileOptions(language="de", formats=("srt",)),
        FileOptions(prompt="P", output=tmp_path / "own"),
        FileOptions(),
    ]
    seen: dict[str, ClipSettings] = {}

    def note(clips: list[Clip]) -> None:
        for clip in clips:
            seen[f"{clip.samples[0]}"] = clip.settings

    def source() -> Iterator[AudioFile]:
        yield AudioFile(Path("talks.jsonl, line 7"), options=FileOptions(fault="no JSON"))
        for path, own in zip(sorted(place.audio.glob("*.wav")), own_options, strict=True):
            yield replace(next(iter(from_paths([path]))), options=own)

    outcomes = place.run(source=source(), before_step=note)
    assert told(outcomes) == {"tal": "failed", **DONE}
    assert [seen[n].language for n in "123"] == ["de", None, None]
    assert [seen[n].prompt for n in "123"] == [None, "P", None]
    assert sorted(place.contents()) == ["000.srt", "002.json", "002.txt"]
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["001.json", "001.txt"]
    assert told(place.run(source=source())) == {"tal": "failed", **SKIPPED}
    assert told(place.run()) == {"000": "done", "001": "done", "002": "skipped"}  # without their own settings


def test_a_drop_folder_has_its_model_opened_before_the_first_file(place: Place):
    opened, options = threading.Event(), place.options()

    def open_engine() -> FakeEngine:
        opened.set()
        return FakeEngine(4)

    def source() -> Iterator[AudioFile]:
        assert opened.wait(60)
        yield from from_paths([place.audio])

    outcomes = pipeline.run(
        source(),
        options,
        open_engine=open_engine,
        namer=Namer(options.output, MEDIA_SUFFIXES),
        on_event=lambda event: None,
        stop=threading.Event(),
        at_once=True,
    )
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * 3


def test_subtitles_of_another_shape_are_made_anew_from_the_json(place: Place):
    formats = ("srt", "json")
    place.run(output={"formats": formats})
    plain = (place.audio / "000.srt").read_bytes()
    assert set(told(place.run(output={"formats": formats})).values()) == {"skipped"}
    n_opened = place.n_opened
    shape = SubtitleOptions(min_cue_s=5.0)
    (place.audio / "001.srt").write_bytes(b"1\n00:00:00,000 --> 00:00:01,000\nby hand\n\n")
    outcomes = told(place.run(output={"formats": formats, "subtitles": shape}))
    assert outcomes == {"000": "done", "001": "skipped", "002": "done"}
    assert place.n_opened == n_opened
    assert (place.audio / "000.srt").read_bytes() != plain
    assert b"by hand" in (place.audio / "001.srt").read_bytes()
    assert set(told(place.run(output={"formats": formats, "subtitles": shape})).values()) == {"skipped"}


def in_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_done_in_another_folder_is_not_transcribed_again(place: Place, tmp_path: Path):
    place.run(output={"output_dir": tmp_path / "A"})
    outcomes = place.run(output={"output_dir": tmp_path / "B", "formats": ("txt", "srt", "json")})
    assert told(outcomes) == DONE
    assert {outcome.reason for outcome in outcomes.values()} == {"made from its JSON"}
    assert place.n_opened == 1
    there = in_folder(tmp_path / "B")
    assert {name: there[name] for name in in_folder(tmp_path / "A")} == in_folder(tmp_path / "A")
    assert len(there) == 9
    assert told(place.run()) == DONE  # beside the recordings too
    assert place.n_opened == 1
    for more in ({"output_dir": tmp_path / "A"}, {"output_dir": tmp_path / "B"}, {}):
        assert told(place.run(output=more)) == SKIPPED


@pytest.mark.parametrize(
    "change",
    [
        {"clip": {"prompt": "Names"}},
        {"revision": "1"},
        {"output": {"overwrite": True}},
        {"journal": {"redo": True, "redo_scope": "all"}},
    ],
)
def test_another_folders_transcript_is_not_taken_when_another_text_is_asked_for(
    place: Place, tmp_path: Path, change: dict
):
    place.run(output={"output_dir": tmp_path / "A"})
    rooms = {**change, "output": {"output_dir": tmp_path / "B", **change.get("output", {})}}
    assert {outcome.reason for outcome in place.run(**rooms).values()} == {""}
    assert place.n_opened == 2


def test_another_folders_transcript_is_taken_only_as_we_left_it(place: Place, tmp_path: Path):
    place.run(output={"output_dir": tmp_path / "A"})
    (tmp_path / "A" / "000.json").write_bytes((tmp_path / "A" / "001.json").read_bytes())
    (tmp_path / "A" / "001.json").unlink()
    write_wav(place.audio / "002.wav", 9)
    outcomes = place.run(output={"output_dir": tmp_path / "B"})
    assert {outcome.reason for outcome in outcomes.values()} == {""}
    assert in_folder(tmp_path / "B")["000.txt"] == in_folder(tmp_path / "A")["000.txt"]


def test_a_long_file_may_end_while_one_of_its_clips_is_noted(tmp_path: Path):
    reads, goes_on = threading.Event(), threading.Event()

    class SlowClipStore:
        def has_room(self, job: Job) -> bool:
            return True

        def stored(self, job: Job) -> dict[int, tuple[str, str]]:
            if job.file_id == 2:
                reads.set()
                goes_on.wait(20)
            return {}

        def store(self, clips: object) -> None:
            raise AssertionError("nothing of a file that has ended is stored")

    def long_file(number: int) -> Job:
        audio = AudioFile(tmp_path / f"{number}.wav")
        job = Job(number, audio, Assembly(audio))
        job.extent_s = 2 * clip_cache.LONG_S
        return job

    cache, one, two = clip_cache.ClipCache(SlowClipStore(), lambda job: ""), long_file(1), long_file(2)
    cache.recall(one, Clip(1, 0, 0.0, np.zeros(16, np.int16)))
    notes: list[Exception | None] = []

    def note() -> None:
        try:
            cache.add(one, ClipText(1, 0, (), "en"))
            notes.append(None)
        except KeyError as err:
            notes.append(err)

    reader = threading.Thread(target=cache.recall, args=(two, Clip(2, 0, 0.0, np.zeros(16, np.int16))))
    reader.start()
    assert reads.wait(20)  # whoever wants the cache waits now
    ends = threading.Thread(target=cache.forget, args=(one,))
    ends.start()
    noted = threading.Thread(target=note)
    noted.start()
    goes_on.set()
    for thread in (reader, ends, noted):
        thread.join(20)
    cache.forget(one)
    cache.flush()
    assert notes == [None]
