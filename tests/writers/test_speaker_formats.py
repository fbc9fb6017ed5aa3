"""Speakers in formats and options: what is written, read back, converted, and asked for."""

import json
from pathlib import Path

import pytest

from command_lines import parsed
from whisperbatch import api
from whisperbatch.cli import app, legacy, main
from whisperbatch.errors import FileError, UsageError
from whisperbatch.options import RunOptions, SpeakerOptions, parse_speakers
from whisperbatch.records import FileOptions, Segment, Speaker, Transcript, Turn, Word
from whisperbatch.sources.file_options import parse_json_line
from whisperbatch.writers import read_json, render
from whisperbatch.writers.speakers_json import overlaps

SPEAKERS = (Speaker("Ann Lee", 5.5, 0.9), Speaker("SPEAKER_01", 3.0, 0.5))
TURNS = (Turn(0.0, 4.5, 0, 0.95), Turn(4.0, 7.0, 1, 0.5), Turn(9.0, 10.0, 0, 0.7))
TALK = Transcript(
    "en",
    (
        Segment(0, 4, " So it is.", words=(Word(" So it is.", 0, 4, 0.9, "Ann Lee"),), speaker="Ann Lee"),
        Segment(4, 7, " Yes.", speaker="SPEAKER_01"),
    ),
    12.0,
    speakers=SPEAKERS,
    turns=TURNS,
    speaker_settings={"min_speakers": None, "max_speakers": 2},
)


def test_rttm_has_a_line_a_turn_with_nists_fields():
    assert render(TALK, "rttm", title="my talk") == (
        "SPEAKER my_talk 1 0.000 4.500 <NA> <NA> Ann_Lee <NA> <NA>\n"
        "SPEAKER my_talk 1 4.000 3.000 <NA> <NA> SPEAKER_01 <NA> <NA>\n"
        "SPEAKER my_talk 1 9.000 1.000 <NA> <NA> Ann_Lee <NA> <NA>\n"
    )
    assert all(len(line.split()) == 10 for line in render(TALK, "rttm", title="a\nb\tc").splitlines())


def test_rttm_of_a_transcript_without_turns_follows_its_labels():
    said = [Segment(0, 2, " a", speaker="A"), Segment(2.2, 4, " b", speaker="A"), Segment(6, 7, " c", speaker="A"),
            Segment(7, 8, " d"), Segment(8, 9, " e", channel="LEFT")]  # fmt: skip
    assert [line.split()[3:8:4] for line in render(Transcript("en", tuple(said), 9.0), "rttm").splitlines()] == [
        ["0.000", "A"],
        ["6.000", "A"],
        ["8.000", "LEFT"],
    ]
    assert render(Transcript("en", (Segment(0, 1, " a"),), 9.0), "rttm") == ""


def test_json_says_who_speaks_and_is_read_back_the_same():
    text = render(TALK, "json")
    block = json.loads(text)["whisperbatch"]
    assert block["speakers"][0] == {"label": "Ann Lee", "seconds": 5.5, "confidence": 0.9}
    assert block["turns"][1] == {"start": 4.0, "end": 7.0, "speaker": "SPEAKER_01", "confidence": 0.5}
    assert block["overlaps"] == [{"start": 4.0, "end": 4.5}]
    assert read_json(text) == TALK
    assert read_json(render(Transcript("en", (), 1.0, speakers=()), "json")).speakers == ()


def test_a_transcript_without_speakers_says_nothing_of_them():
    block = json.loads(render(Transcript("en", (), 1.0), "json"))["whisperbatch"]
    assert not {"speakers", "turns", "overlaps", "speaker_settings"} & set(block)


def test_speakers_that_got_the_same_name_are_one():
    found = read_json(render(TALK, "json").replace("SPEAKER_01", "Ann Lee"))
    assert found.speakers == (Speaker("Ann Lee", 8.5, 0.759),)
    assert {turn.speaker for turn in found.turns} == {0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"speakers": 3},
        {"speakers": [{"seconds": 1}]},
        {"speakers": [], "turns": [{"start": "x", "end": 1, "speaker": "A"}]},
        {"speakers": [], "turns": [{"start": 0, "end": 1e999, "speaker": "A"}]},
        {"speakers": [], "turns": 7},
        {"speaker_settings": [1]},
    ],
)
def test_a_block_that_makes_no_sense_is_one_sentence(wrong: dict):
    data = json.loads(render(TALK, "json"))
    data["whisperbatch"] |= wrong
    with pytest.raises(FileError, match="not a transcript"):
        read_json(json.dumps(data).replace("Infinity", "1e999"))


def test_a_turn_of_somebody_who_is_not_listed_adds_the_speaker():
    data = json.loads(render(TALK, "json"))
    data["whisperbatch"]["turns"].append({"start": 10, "end": 11, "speaker": "Bob"})
    found = read_json(json.dumps(data))
    assert [one.label for one in found.speakers or ()] == ["Ann Lee", "SPEAKER_01", "Bob"]
    assert found.turns[-1] == Turn(10, 11, 2, 0.0)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([(0, 4, 0), (1, 2, 1), (3, 6, 2)], [(1, 2), (3, 4)]),
        ([(0, 4, 0), (1, 3, 1), (2, 5, 2)], [(1, 4)]),
        ([(0, 4, 0), (1, 3, 0)], []),
        ([(0, 9, 0), (1, 3, 1), (3, 4, 2)], [(1, 4)]),
        ([], []),
    ],
)
def test_overlaps_are_where_two_speakers_talk(turns, expected):
    assert overlaps([Turn(*turn) for turn in turns]) == expected


def test_convert_makes_all_formats_with_the_names_of_the_json(tmp_path: Path):
    (tmp_path / "talk.json").write_text(render(TALK, "json"))
    assert main(["convert", str(tmp_path / "talk.json"), "--format", "txt,rttm,srt"]) == 0
    assert (tmp_path / "talk.txt").read_text() == "[Ann Lee]: So it is.\n[SPEAKER_01]: Yes.\n"
    assert (tmp_path / "talk.rttm").read_text() == render(TALK, "rttm", title="talk")


@pytest.mark.parametrize(
    ("given", "numbers"),
    [("auto", (None, None)), ("2", (2, 2)), ("2-4", (2, 4)), (3, (3, 3)), (1, (1, 1)), (True, (None, None)),
     ("off", None), (None, None), (False, None), (" AUTO ", (None, None))],
)  # fmt: skip
def test_how_many_speakers(given, numbers):
    assert parse_speakers(given) == numbers


@pytest.mark.parametrize("given", ["two", "0", "4-2", "-1", "1-", "99", "2-999", "1.5", "²", 0])
def test_numbers_of_speakers_that_make_no_sense_are_refused(given, tmp_path: Path, capsys):
    with pytest.raises(UsageError):
        api.run_options_from(speakers=given)
    assert app.run(["transcribe", str(tmp_path), f"--speakers={given}"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("command", ["transcribe", "watch"])
def test_speakers_from_the_command_line_and_from_python(monkeypatch, tmp_path: Path, command: str):
    (voices := tmp_path / "voices").mkdir()
    line = f"--speakers 2-4 --speaker-names {voices} --speaker-model weights".split()
    options = parsed(monkeypatch, command, str(tmp_path), *line)
    assert options.speakers == SpeakerOptions(True, 2, 4, "weights", voices)
    assert api.run_options_from(speakers="2-4", speaker_names=str(voices), speaker_model="weights") == options
    assert options.decode.word_timestamps
    assert not parsed(monkeypatch, command, str(tmp_path), "--speakers", "off").decode.word_timestamps


def test_without_a_value_auto_is_meant(monkeypatch, tmp_path: Path):
    for line in (["--speakers"], ["--speakers", "--format", "txt"], ["--speakers", "auto"]):
        assert parsed(monkeypatch, "transcribe", str(tmp_path), *line).speakers == SpeakerOptions(True)
    told = legacy.translate(["transcribe", "--speakers", "talk.wav"]).arguments
    assert told == ["transcribe", "--speakers=auto", "talk.wav"]


def test_the_settings_file_and_the_environment_may_ask_for_speakers(monkeypatch, tmp_path: Path):
    (tmp_path / "s.toml").write_text("speakers = 2\n")
    line = ["transcribe", str(tmp_path), "--config", str(tmp_path / "s.toml")]
    assert parsed(monkeypatch, *line).speakers == SpeakerOptions(True, 2, 2)
    assert parsed(monkeypatch, *line, "--speakers", "off").speakers == SpeakerOptions()
    monkeypatch.setenv("WHISPERBATCH_SPEAKERS", "auto")
    assert parsed(monkeypatch, *line).speakers == SpeakerOptions(True)


@pytest.mark.parametrize("flag", ["--speaker-names", "--speaker-model"])
def test_what_says_how_speakers_are_found_needs_speakers(flag: str, tmp_path: Path, capsys):
    assert app.run(["transcribe", str(tmp_path), flag, str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"whisperbatch: {flag} needs --speakers, as in --speakers auto\n"


def test_names_that_are_no_folder_are_refused(tmp_path: Path, capsys):
    assert app.run(["transcribe", str(tmp_path), "--speakers", "--speaker-names", str(tmp_path / "gone")]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_word_times_are_asked_for_by_speakers_alone_or_not():
    assert RunOptions(speakers=SpeakerOptions(True)).words_for_speakers
    assert not api.run_options_from(speakers=True, word_timestamps=True).words_for_speakers
    assert not api.run_options_from(speakers=True, subtitles="standard").words_for_speakers


@pytest.mark.parametrize(
    ("given", "expected"), [("2", (2, 2)), ('"2-4"', (2, 4)), ('"auto"', (None, None)), ("null", None)]
)
def test_a_line_of_a_list_says_how_many(given: str, expected):
    assert parse_json_line(b'{"path": "a.wav", "speakers": %s}' % given.encode())[1] == FileOptions(speakers=expected)


@pytest.mark.parametrize("given", ["true", "1.5", '"off"', '"many"', "0", "[2]", "-1", "1e9"])
def test_a_line_that_makes_no_sense_is_refused(given: str):
    with pytest.raises(UsageError):
        parse_json_line(b'{"path": "a.wav", "speakers": %s}' % given.encode())


def test_missing_weights_are_one_sentence_and_exit_code_2(tmp_path: Path, sample_audio: Path, capsys):
    given = ["--model", "demo", "--speakers", "--speaker-model", str(tmp_path), "-o", str(tmp_path / "out")]
    assert main(["transcribe", str(sample_audio), *given, "--no-journal", "--progress", "none"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "--speaker-model" in last
    assert not list((tmp_path / "out").rglob("*.*"))
