"""Transcripts of other tools: subtitles and text with time stamps, read for ``convert`` and ``review``."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renderings import TALK, transcript_of, transcripts
from whisperbatch.cli import app
from whisperbatch.errors import FileError
from whisperbatch.options import DocumentOptions, SubtitleOptions
from whisperbatch.records import Segment
from whisperbatch.sources.media import is_transcript
from whisperbatch.writers import importing, read_json, render
from whisperbatch.writers.importing import read_transcript


def read(name: str, text: str | bytes):
    return read_transcript(Path(name), text if isinstance(text, bytes) else text.encode())


def cues(transcript) -> list[tuple[float, float, str, str | None]]:
    return [(one.start_s, one.end_s, one.text.strip(), one.speaker) for one in transcript.segments]


@pytest.mark.parametrize("name", ["srt", "vtt", "ass"])
def test_our_own_subtitles_come_back(name: str):
    made = read(f"talk.de.{name}", render(TALK, name))
    assert cues(made) == [(one.start_s, round(one.end_s, 3), one.text.strip(), one.speaker) for one in TALK.segments]
    assert (made.language, made.duration_s) == ("de", 3_726.0)
    assert render(made, name) == render(TALK, name)
    assert read_json(render(made, "json")) == made


@pytest.mark.parametrize("name", ["srt", "vtt", "ass"])
def test_highlighted_words_come_back_once(name: str):
    shaping = SubtitleOptions(highlight_words=True)
    spoken = replace(TALK, segments=TALK.segments[:3])
    assert cues(read(f"a.{name}", render(spoken, name, shaping))) == cues(read(f"a.{name}", render(spoken, name)))
    twice = transcript_of(Segment(0, 1, " No."), Segment(1, 2, " No."))
    assert len(read(f"a.{name}", render(twice, name)).segments) == 2


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from("42 7 a{b} {c} &amp; < > x<y 1:02 00:00:01,000 \\N \\h 日本 – …".split()),
        min_size=1,
        max_size=8,
    )
)
@pytest.mark.parametrize("name", ["srt", "ass"])
def test_words_that_look_like_marks_are_kept(name: str, pieces: list[str]):
    text = " ".join(pieces)
    made = transcript_of(Segment(0, 1, f" {text}"), Segment(1, 2, " 3"), Segment(2, 3, f" {text}"))
    assert [cue[2] for cue in cues(read(f"a.{name}", render(made, name)))] == [text, "3", text]


@settings(max_examples=100, deadline=None)
@given(transcripts(), st.booleans())
def test_any_subtitles_of_ours_are_read(transcript, highlight):
    shaping = SubtitleOptions(highlight_words=highlight)
    for name in ("srt", "vtt", "ass"):
        try:
            made = read(f"a.{name}", render(transcript, name, shaping))
        except FileError:
            continue
        assert all(0 <= one.start_s <= one.end_s for one in made.segments)


def test_srt_of_other_tools_is_read():
    text = (
        '\ufeff1\r\n00:00:01,000 --> 00:00:02,500 X1:1\r\n<i>Hello</i> {\\an8}there,\r\n<font color="red">you</font>'
        "\r\n\r\n\r\n2\r\n00:00:03.000 --> 00:00:04.000\r\n- It costs\r\n42\r\n\r\n"
        "00:00:05,000 --> 00:00:06,000\r\n这是\r\n一个\r\n\r\n4\r\n00:00:07,000 --> 00:00:08,000\r\n\r\n"
        "5\r\n00:00:09,000 --> 00:00:08,000\r\n1984"
    )
    for data in (text.encode(), text[1:].encode("utf-16")):
        assert cues(read("talk.srt", data)) == [
            (1.0, 2.5, "Hello there, you", None), (3.0, 4.0, "- It costs 42", None), (5.0, 6.0, "这是一个", None),
            (9.0, 9.0, "1984", None),
        ]  # fmt: skip


def test_vtt_of_other_tools_is_read():
    text = (
        "WEBVTT Kind: captions\nLanguage: en\n\nSTYLE\n::cue { color: red }\n\nNOTE made by hand\n\n"
        "intro\n00:01.000 --> 00:02.000 align:start position:0%\n"
        "<v.loud Ann Lee>Hello &amp; <00:01.500><c.x>welcome</c>\n\n"
        "NOTE\nnot text\n\n01:00:03.000 --> 01:00:04.000\nIt costs\n42\n"
    )
    assert cues(read("talk.en-GB.vtt", text)) == [
        (1.0, 2.0, "Hello & welcome", "Ann Lee"),
        (3603.0, 3604.0, "It costs 42", None),
    ]
    assert read("talk.en-GB.vtt", text).language == "en"


def test_ass_of_other_tools_is_read():
    text = (
        "[Script Info]\nTitle: x\n\n[V4+ Styles]\nStyle: Default,broken\n\n[Events]\nFormat: Layer, Start\n"
        "Dialogue: 0,0:00:05.00,0:00:06.00,Default,Ann,0,0,0,,Second {\\b1}bold{\\b0}, with commas\\Nand lines\n"
        "Comment: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,hidden\n"
        "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,x,0,0,,First\n"
        "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 100{\\p0}\n\n[Fonts]\nfontname: x\n"
    )
    assert cues(read("talk.ass", text)) == [
        (1.0, 2.0, "First", None),
        (5.0, 6.0, "Second bold, with commas and lines", "Ann"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "[00:12] Hello\nand on.\n\n[01:00:00] 10:30 is late.",
            [(12.0, 13.0, "Hello and on."), (3600.0, 3601.0, "10:30 is late.")],
        ),
        ("00:00:12 Hello\n00:00:13.5 [A B]: You", [(12.0, 13.0, "Hello"), (13.5, 14.5, "You")]),
        ("[00:00.000 --> 00:02.500]   As whisper prints", [(0.0, 2.5, "As whisper prints")]),
        ("(1:02)\nOn the next line", [(62.0, 62.0 + 16 / 15, "On the next line")]),
    ],
)
def test_text_with_stamps_is_read(text: str, found: list):
    assert [cue[:3] for cue in cues(read("talk.txt", text))] == found


def test_our_own_text_with_stamps_comes_back():
    timed = DocumentOptions(timestamps_in_text=True)
    made = read("talk.txt", render(TALK, "txt", documents=timed))
    assert render(made, "txt", documents=timed) == render(TALK, "txt", documents=timed)
    assert made.segments[1].speaker == "SPEAKER_01"


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.srt", b"", "no subtitles"),
        ("a.srt", b"some words\n", "no subtitles"),
        ("a.srt", b"\xff\x00\xfe", "UTF-8"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nGr\xfc\xdfe".encode("latin-1"), "UTF-8"),
        ("a.vtt", b"WEBVTT\n\n", "no subtitles"),
        ("a.ass", b"Dialogue: 0,x,y,Default,,0,0,0,,a", "no subtitles"),
        ("a.ass", b"Dialogue: ", "no subtitles"),
        ("a.txt", b"Notes of 00:12\n", "must begin with a time stamp"),
        ("a.txt", b"", "must begin with a time stamp"),
        ("a.json", b"{}", "this is not a transcript"),
        ("a.srt", b"x" * (importing.MAX_TEXT + 1), "larger than 16 MiB"),
    ],
)
def test_a_file_that_is_not_a_transcript_gets_one_sentence(name: str, data: bytes, sentence: str):
    with pytest.raises(FileError, match=sentence) as caught:
        read(name, data)
    assert str(caught.value).startswith(name)


N = 200_000


@pytest.mark.parametrize(
    "text",
    [
        "00:00:01,000 --> 00:00:02,000\nx" + "\n" * N + "y",
        "00:00:01,000 --> 00:00:02,000\n" + "<a" * N,
        "00:00:01,000 --> 00:00:02,000\n" + "{\\" * N,
        "00:00:01,000 --> 00:00:02,000\n" + "x\n 1 " * N,
        "00:00:01,000 --> 00:00:02,000\n" + "[" * N + "0:00.1" + " " * N,
        "1\n" * N + "00:00:01,000 --> 00:00:02,000\nx",
        "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,," + "{" * N + "\\p",
        "[00:01] " + "x\n" * N,
        "[00:01] x\n" * (N // 10),
    ],
)
@pytest.mark.parametrize("name", ["a.srt", "a.vtt", "a.ass", "a.txt"])
def test_hostile_text_takes_no_longer_than_its_size(name: str, text: str):
    """What takes quadratic time here would take hours, and the test would never end."""
    with suppress(FileError):
        assert read(name, text).segments


# convert and review


SRT = "1\n00:00:01,000 --> 00:00:02,000\nFrom elsewhere.\n\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_convert_reads_subtitles_that_are_named(folder: Path, capfd):
    (folder / "talk.srt").write_text(SRT)
    assert app.run(["convert", "talk.srt", "--format", "json,vtt,docx,md,tsv"]) == 0
    assert (folder / "talk.vtt").read_text() == "WEBVTT\n\n00:01.000 --> 00:02.000\nFrom elsewhere.\n\n"
    assert json.loads((folder / "talk.json").read_text())["text"] == "From elsewhere."
    assert (folder / "talk.srt").read_text() == SRT
    assert app.run(["convert", "talk.srt", "--format", "vtt", "--subtitles", "standard", "--overwrite"]) == 1
    assert "talk.srt: its subtitles cannot be shaped" in capfd.readouterr().err
    (folder / "bad.srt").write_text("nothing")
    assert app.run(["convert", "bad.srt", "--format", "vtt"]) == 1
    assert "bad.srt: this is not a transcript; no subtitles were found in it" in capfd.readouterr().err


def test_in_a_folder_json_comes_first_and_its_outputs_are_not_read(folder: Path, capfd):
    (folder / "in").mkdir()
    (folder / "in" / "ours.json").write_text(render(TALK, "json"))
    for name in ("srt", "vtt", "txt"):
        (folder / "in" / f"ours.{name}").write_text(SRT)
    for name in ("srt", "vtt"):
        (folder / "in" / f"theirs.{name}").write_text(
            SRT if name == "srt" else "WEBVTT\n\n00:05.000 --> 00:06.000\nWorse.\n"
        )
    (folder / "in" / "notes.txt").write_text("Buy milk.")
    (folder / "in" / "timed.txt").write_text("[00:01] Text.")
    (folder / "in" / "broken.ass").write_text("nothing")
    assert app.run(["convert", "in", "--format", "tsv", "-o", "out"]) == 0
    told = capfd.readouterr().err
    assert {path.name for path in (folder / "out").iterdir()} == {"ours.tsv", "theirs.tsv", "timed.tsv"}
    assert "From elsewhere." in (folder / "out" / "theirs.tsv").read_text()
    assert (folder / "out" / "ours.tsv").read_text() == render(TALK, "tsv")
    assert "ignored 1 file that is not a transcript: in/broken.ass" in told
    assert "notes.txt" not in told


def test_a_pattern_means_the_kind_it_names(folder: Path):
    (folder / "ours.json").write_text(render(TALK, "json"))
    (folder / "ours.srt").write_text(SRT)
    assert app.run(["convert", "*", "--format", "tsv"]) == 0
    assert (folder / "ours.tsv").read_text() == render(TALK, "tsv")
    assert app.run(["convert", "*.srt", "--format", "tsv", "--overwrite"]) == 0
    assert "From elsewhere." in (folder / "ours.tsv").read_text()


def test_review_shows_subtitles_beside_their_recording(folder: Path, capfd):
    (folder / "in").mkdir()
    (folder / "in" / "talk.de.srt").write_text(SRT)
    (folder / "in" / "talk.wav").write_bytes(b"RIFF")
    (folder / "in" / "alone.vtt").write_text("WEBVTT\n\n00:05.000 --> 00:06.000\nAlone.\n")
    (folder / "in" / "notes.txt").write_text("Buy milk.")
    assert app.run(["review", "in"]) == 0
    page = (folder / "review.html").read_text()
    files = [json.loads(part.split("</script>")[0]) for part in page.split('class="file">')[1:]]
    assert {(one["name"], one["audio"]) for one in files} == {("talk.wav", "in/talk.wav"), ("alone.vtt", None)}
    assert "From elsewhere." in page
    assert "1 of 2 recordings not found" in capfd.readouterr().err
    assert app.run(["review", "in/notes.txt", "in/alone.vtt", "--output", "b.html"]) == 1
    assert "in/notes.txt: this is not a transcript; its text must begin with a time stamp" in capfd.readouterr().err


def test_names_that_may_be_transcripts():
    assert all(is_transcript(f"talk.{name}") for name in ("json", "JSON", "srt", "vtt", "ass", "txt"))
    assert not any(is_transcript(name) for name in (".talk.srt", "~talk.json", "talk.wav", "json", "talk.docx"))


def test_a_word_keeps_its_place_when_segments_are_joined():
    made = read("a.srt", SRT + SRT.replace("00:00:0", "00:01:0"))
    assert made.text == "From elsewhere. From elsewhere."
