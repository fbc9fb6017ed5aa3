"""Replacement rules over runs: what is rendered again from JSON, what is transcribed again, whose files stay."""

import json
from pathlib import Path

import pytest

from runs import DONE, SKIPPED, Place, told
from whisperbatch import api
from whisperbatch.cli import main
from whisperbatch.errors import RunError
from whisperbatch.options import SubtitleOptions, read_rules
from whisperbatch.outputs import atomic
from whisperbatch.pipeline import write_outputs
from whisperbatch.records import AudioFile, Event, FileOptions
from whisperbatch.replacement_rules import Rules

ALL = {"formats": ("txt", "srt", "json")}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def rules(folder: Path, text: str) -> Rules:
    (folder / "names.txt").write_text(text)
    return read_rules([folder / "names.txt"])


def texts(place: Place, suffix: str = ".txt") -> str:
    return "".join(path.read_text() for path in sorted(place.audio.glob(f"*{suffix}")))


def test_the_text_is_replaced_before_anything_is_written(place: Place, tmp_path: Path):
    asked = rules(tmp_path, "clip 0 -> stretch\n")
    outcomes = place.run(output={**ALL, "replace": asked})
    assert told(outcomes) == DONE
    for suffix in (".txt", ".srt"):
        assert texts(place, suffix).count("stretch at 0.00 s") == 3
        assert "clip" not in texts(place, suffix)
    data = json.loads((place.audio / "000.json").read_text())
    assert data["whisperbatch"]["replacements"] == asked.digest
    assert data["segments"][0]["original"].startswith(" clip 0 at")
    assert data["segments"][0]["tokens"] == [0]
    assert outcomes["000.wav"].transcript.text.startswith(" stretch")
    assert told(place.run(output={**ALL, "replace": asked})) == SKIPPED


@pytest.mark.parametrize("with_journal", [True, False])
def test_other_rules_are_applied_to_the_json_without_the_model(place: Place, tmp_path: Path, with_journal: bool):
    place.run(output=ALL, with_journal=with_journal)
    plain = place.contents()
    for text, word in (("clip -> stretch", "stretch"), ("clip -> piece\n", "piece")):
        asked = {**ALL, "replace": rules(tmp_path, text)}
        outcomes = place.run(output=asked, with_journal=with_journal)
        assert told(outcomes) == DONE
        assert {outcome.reason for outcome in outcomes.values()} == {"made from its JSON"}
        for suffix in (".txt", ".srt"):
            assert texts(place, suffix).count(f"{word} 0 at") == 3
        assert told(place.run(output=asked, with_journal=with_journal)) == SKIPPED
    assert told(place.run(output=ALL, with_journal=with_journal)) == DONE
    assert place.contents() == plain
    assert place.n_opened == 1


def test_without_a_journal_a_json_that_we_did_not_write_so_stays(place: Place, tmp_path: Path):
    place.run(output=ALL, with_journal=False)
    page = place.audio / "000.json"
    page.write_text(json.dumps(json.loads(page.read_text()), separators=(",", ":")))  # as a review page saves it
    saved = page.read_text()
    place.run(output={**ALL, "replace": rules(tmp_path, "clip -> stretch")}, with_journal=False)
    assert page.read_text() == saved
    assert texts(place).count("stretch 0 at") == 3
    assert place.n_opened == 1


def test_a_comment_more_or_another_place_of_the_file_does_nothing_again(place: Place, tmp_path: Path):
    place.run(output={**ALL, "replace": rules(tmp_path, "clip -> stretch")})
    (tmp_path / "other").mkdir()
    other = rules(tmp_path / "other", "# names\n\nclip   ->  stretch\n")
    assert told(place.run(output={**ALL, "replace": other})) == SKIPPED


def test_without_json_it_says_that_it_transcribes_again(place: Place, tmp_path: Path):
    place.run(output={"formats": ("txt",)})
    (place.audio / "001.txt").write_text("by hand\n")
    events: list[Event] = []
    asked = {"formats": ("txt",), "replace": rules(tmp_path, "clip -> stretch")}
    outcomes = place.run(output=asked, on_event=events.append)
    assert told(outcomes) == {"000": "done", "001": "skipped", "002": "done"}
    assert place.n_opened == 2
    assert texts(place).count("stretch") == 2
    assert (place.audio / "001.txt").read_text() == "by hand\n"
    said = {event.path.name: event.data["text"] for event in events if event.kind == "notice"}
    assert set(said) == {"000.wav", "002.wav"}
    assert "there is no JSON to apply them to; transcribing again" in said["000.wav"]


def test_corrections_by_hand_are_kept(place: Place, tmp_path: Path):
    place.run(output=ALL)
    (place.audio / "000.txt").write_text("by hand\n")
    data = json.loads((place.audio / "001.json").read_text())
    data["segments"][0]["text"] = " clip, corrected"
    (place.audio / "001.json").write_text(json.dumps(data))
    outcomes = place.run(output={**ALL, "replace": rules(tmp_path, "clip -> stretch")})
    assert told(outcomes) == DONE
    assert place.n_opened == 1
    assert (place.audio / "000.txt").read_text() == "by hand\n"
    assert "stretch 0" in (place.audio / "000.srt").read_text()
    assert json.loads((place.audio / "001.json").read_text()) == data
    assert (place.audio / "001.txt").read_text() == "stretch, corrected\n"


def test_shape_and_rules_are_both_part_of_the_form(place: Place, tmp_path: Path):
    shape, asked = SubtitleOptions(min_cue_s=5.0), rules(tmp_path, "clip -> stretch")
    both = {**ALL, "subtitles": shape, "replace": asked}
    place.run(output=ALL)
    assert told(place.run(output=both)) == DONE
    assert told(place.run(output=both)) == SKIPPED
    for one in ({**ALL, "subtitles": shape}, {**ALL, "replace": asked}):
        assert told(place.run(output=one)) == DONE
    assert place.n_opened == 1


def test_a_run_that_was_ended_while_it_rendered_anew_needs_no_model_to_go_on(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place.run(output=ALL)
    asked = {**ALL, "replace": rules(tmp_path, "clip -> stretch")}

    def writes_one(texts, **more):
        path, text = next(iter(texts.items()))
        atomic.write_all({path: text}, **more)
        raise RunError("killed")

    monkeypatch.setattr(write_outputs, "write_all", writes_one)
    with pytest.raises(RunError, match="killed"):
        place.run(output=asked)
    monkeypatch.undo()
    assert "stretch" in texts(place, ".txt")
    assert "clip" in texts(place, ".json")
    assert told(place.run(output=asked)) == DONE
    assert texts(place).count("stretch 0 at") == texts(place, ".srt").count("stretch 0 at") == 3
    assert place.n_opened == 1
    assert told(place.run(output=asked)) == SKIPPED


def test_a_transcript_in_another_folder_is_replaced_anew(place: Place, tmp_path: Path):
    place.run(output={**ALL, "replace": rules(tmp_path, "clip -> stretch")})
    place.run(output={**ALL, "output_dir": tmp_path / "B", "replace": rules(tmp_path, "clip -> piece")})
    assert place.n_opened == 1
    assert (tmp_path / "B" / "000.txt").read_text().startswith("piece 0 at")


def test_a_file_may_ask_for_rules_of_its_own(place: Place, tmp_path: Path):
    own = rules(tmp_path, "clip -> own")
    files = [
        AudioFile(path, place.audio, path.stat().st_size, path.stat().st_mtime_ns) for path in place.audio.iterdir()
    ]
    asking = [AudioFile(one.path, one.root, one.size, one.mtime_ns, FileOptions(replace=own)) for one in files[:1]]
    output = {**ALL, "replace": rules(tmp_path, "clip -> all")}
    place.run(output=output, source=iter([*asking, *files[1:]]))
    assert texts(place).count("own 0") == 1
    assert texts(place).count("all 0") == 2
    assert told(place.run(output=output, source=iter([*asking, *files[1:]]))) == SKIPPED


def test_convert_replaces_and_undoes(place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    place.run(output=ALL)
    plain = texts(place)
    rules(tmp_path, "clip -> stretch")
    command = ["convert", str(place.audio), "--format", "txt,json", "--overwrite"]
    into = ["--output-dir", str(tmp_path / "B")]
    assert main([*command, *into, "--replace", str(tmp_path / "names.txt")]) == 0
    assert (tmp_path / "B" / "000.txt").read_text().startswith("stretch 0 at")
    again = ["convert", str(tmp_path / "B"), "--format", "txt", "--overwrite"]
    assert main(again) == 0
    assert (tmp_path / "B" / "000.txt").read_text().startswith("stretch 0 at")
    (tmp_path / "empty.txt").write_text("")
    assert main([*again, "--replace", str(tmp_path / "empty.txt")]) == 0
    assert "".join(path.read_text() for path in sorted((tmp_path / "B").glob("*.txt"))) == plain


def test_the_python_face_takes_files_of_rules(tmp_path: Path):
    one = rules(tmp_path, "clip -> stretch")
    names = tmp_path / "names.txt"
    for given in (one, names, str(names), [names]):
        assert api.run_options_from(replace=given).output.replace == one
    assert api.run_options_from().output.replace is None


def test_hotwords_come_from_a_file_too(tmp_path: Path):
    file = tmp_path / "terms.txt"
    file.write_text("﻿Tromsø\n# places\n\n  Aase   Nordmo \n", encoding="utf-8")
    assert api.run_options_from(hotwords="Oslo", hotwords_file=file).clip.hotwords == "Oslo, Tromsø, Aase Nordmo"
    assert api.run_options_from(hotwords_file=file).clip.hotwords == "Tromsø, Aase Nordmo"
    assert api.run_options_from(hotwords="Oslo").clip.hotwords == "Oslo"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"\xff\xfe", "are not UTF-8 text"),
        (b"a" * 64_001, "cannot be read: is larger than 64 kB"),
        (None, "is a folder"),
    ],
)
def test_hotwords_that_cannot_be_read_end_the_command(tmp_path: Path, capfd, data: bytes | None, sentence: str):
    file = tmp_path / "terms.txt"
    file.mkdir() if data is None else file.write_bytes(data)
    assert main(["transcribe", str(tmp_path), "--model", "demo", "--hotwords-file", str(file)]) == 2
    assert sentence in capfd.readouterr().err
