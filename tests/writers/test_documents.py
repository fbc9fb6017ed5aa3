"""Documents: paragraphs, txt with time stamps, Markdown that shows the words as they are, Word files that open."""

import hashlib
import html
import io
import os
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import docx as python_docx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from renderings import TALK, transcript_of, transcripts, words
from runs import Place, told
from whisperbatch import api
from whisperbatch.cli import app
from whisperbatch.errors import UsageError
from whisperbatch.options import FORMATS, DocumentOptions, OutputOptions, SubtitleOptions, form
from whisperbatch.outputs.provenance import holds, is_shaped_otherwise
from whisperbatch.pipeline import write_outputs
from whisperbatch.records import Segment, Transcript
from whisperbatch.writers import Content, md, read_json, render
from whisperbatch.writers.content import encoded
from whisperbatch.writers.paragraphs import LONG, LONGEST, byline, clock, paragraphs


def spans(transcript: Transcript, pause_s: float = 2.0) -> list[tuple[float, str | None, str]]:
    return [(one.start_s, one.label, one.text) for one in paragraphs(transcript, pause_s)]


# paragraphs


def test_a_paragraph_is_a_turn_or_ends_at_a_pause():
    assert spans(TALK) == [
        (1.0, "SPEAKER_00", "Good day and welcome."),
        (3.2, "SPEAKER_01", "Thank you. It is *nice* to be here & there."),
        (12.0, "SPEAKER_01", "A pause later."),
        (3_725.0, None, "1. The end <of it>."),
    ]
    assert [text for _, _, text in spans(TALK, 0.35)][1:3] == ["Thank you.", "It is *nice* to be here & there."]
    assert len(spans(TALK, 60.0)) == 3


def test_a_pause_counts_from_the_end_of_the_word_before():
    made = transcript_of(Segment(0, 10, " Long."), Segment(1, 2, " Within."), Segment(11.9, 13, " After."))
    assert len(spans(made)) == 1
    assert len(spans(made, 1.9)) == 2


def test_a_long_paragraph_ends_with_a_sentence_and_not_inside_one():
    sentence = "This is a sentence by Dr. Who of no more than eleven words."
    made = transcript_of(*(words(sentence, 6.0 * k) for k in range(30)))
    texts = [text for _, _, text in spans(made)]
    assert len(texts) > 2
    assert all(text.endswith("words.") for text in texts)
    assert all(LONG - 1 <= len(text) < LONG + 2 * len(sentence) for text in texts[:-1])


def test_without_full_stops_a_paragraph_ends_with_a_segment():
    made = transcript_of(*(Segment(k, k + 1, " and so on without any stop") for k in range(200)))
    texts = [text for _, _, text in spans(made)]
    assert len(texts) > 1
    assert all(text.startswith("and") and text.endswith("stop") for text in texts)
    assert LONGEST <= len(texts[0]) < LONGEST + 40
    chinese = transcript_of(*(Segment(k, k + 1, "这是一个句子。") for k in range(200)))
    assert all(text.endswith("。") for _, _, text in spans(chinese))
    assert len(spans(chinese)) > 3


@settings(max_examples=100, deadline=None)
@given(transcripts())
def test_paragraphs_keep_all_words(transcript):
    made = paragraphs(transcript, 2.0)
    assert sorted("".join("".join(one.text for one in made).split())) == sorted("".join(transcript.text.split()))
    assert [one.start_s for one in made] == sorted(one.start_s for one in made)


def test_times_are_cut_and_hours_shown_when_there_are_some():
    assert [clock(s) for s in (0.0, 59.99, 754.5, 3_600.0, 360_000.0)] == [
        *("00:00", "00:59", "12:34", "01:00:00"), "100:00:00",
    ]  # fmt: skip
    assert byline(TALK) == "English, 01:02:10"
    assert byline(replace(TALK, language="", duration_s=0.0)) == ""


# txt


def test_txt_has_no_stamps_unless_asked_and_then_paragraphs():
    assert render(TALK, "txt") == render(TALK, "txt", documents=DocumentOptions(0.1))
    assert "[00:" not in render(TALK, "txt")
    assert render(TALK, "txt", documents=DocumentOptions(timestamps_in_text=True)) == (
        "[00:01] [SPEAKER_00]: Good day and welcome.\n\n"
        "[00:03] [SPEAKER_01]: Thank you. It is *nice* to be here & there.\n\n"
        "[00:12] [SPEAKER_01]: A pause later.\n\n"
        "[01:02:05] 1. The end <of it>.\n"
    )


# md


def test_md_has_headings_at_long_pauses_stamps_and_speakers_in_bold():
    assert render(TALK, "md", title="talk_1") == (
        "# talk_1\n\nEnglish, 01:02:10\n\n## 00:01\n\n[00:01] **SPEAKER_00:** Good day and welcome.\n\n"
        "[00:03] **SPEAKER_01:** Thank you. It is \\*nice\\* to be here & there.\n\n"
        "[00:12] **SPEAKER_01:** A pause later.\n\n## 01:02:05\n\n[01:02:05] 1\\. The end \\<of it>.\n"
    )
    plain = render(TALK, "md", documents=DocumentOptions(timestamps_in_text=False))
    assert plain.startswith("English, 01:02:10\n\n**SPEAKER_00:** Good day")
    assert plain.endswith("A pause later.\n\n* * *\n\n1\\. The end \\<of it>.\n")
    assert "[" not in plain
    assert "#" not in render(TALK, "md", documents=DocumentOptions(1_000.0))
    assert render(replace(transcript_of(), duration_s=0.0, language=""), "md") == ""


MARKS = st.sampled_from(
    "* ** _ __ a_b ` ``` ~ ~~ [ ] [a](b) [a]: ![a](b) < > <b> </b> <!-- --> & &amp; &#65; \\ \\* # ## + - = === --- "
    "*** 1. 2) | a|b $ $x$ ^ : :a: http://a.b www.a.b a@b.c ! !! \t \u00a0 \n é 日本 “ ” … x y".split(" ")
)


@settings(max_examples=300, deadline=None)
@given(st.lists(MARKS | st.text(st.characters(exclude_categories=["C", "Z"]), max_size=4), max_size=12))
@pytest.mark.parametrize("has_stamps", [False, True])
def test_md_shows_exactly_the_words(has_stamps, pieces):
    """Read by a CommonMark parser with GitHub's strikethrough and tables."""
    text = " ".join(" ".join(pieces).split())
    assume(text)
    made = transcript_of(Segment(0, 1, f" {text}", speaker="A*"))
    source = render(made, "md", documents=DocumentOptions(timestamps_in_text=has_stamps), title=text)
    parser = MarkdownIt("commonmark").enable(["strikethrough", "table"])
    shown = parser.render(source)
    head, body = shown.strip().split("\n")[0], shown.strip().split("\n")[-1]
    stamp = "[00:00] " if has_stamps else ""
    assert html.unescape(body) == f"<p>{stamp}<strong>A*:</strong> {text}</p>"
    assert html.unescape(head) == f"<h1>{text}</h1>"
    assert html.unescape(parser.render(md.escaped(text)).strip()) == f"<p>{text}</p>"


# docx


def opened(data: bytes):
    return python_docx.Document(io.BytesIO(data))


def runs(paragraph) -> list[tuple[str, str]]:
    return [(run.style.name, run.text) for run in paragraph.runs]


def test_docx_has_a_title_paragraphs_stamps_speakers_and_marked_words():
    document = opened(render(TALK, "docx", title="talk"))
    title, about, *turns = document.paragraphs
    assert (title.style.name, title.text) == ("Title", "talk")
    assert (about.style.name, about.text) == ("Subtitle", "English, 01:02:10. Shaded words: probability below 0.5")
    assert [turn.text for turn in turns] == [
        "[00:01]\tSPEAKER_00: Good day and welcome.",
        "[00:03]\tSPEAKER_01: Thank you. It is *nice* to be here & there.",
        "[00:12]\tSPEAKER_01: A pause later.",
        "[01:02:05]\t1. The end <of it>.",
    ]
    assert runs(turns[1]) == [
        ("Timestamp", "[00:03]"), ("Default Paragraph Font", "\t"), ("Speaker", "SPEAKER_01:"),
        ("Default Paragraph Font", " "), ("Uncertain", "Thank"), ("Default Paragraph Font", " "), ("Uncertain", "you."),
        ("Default Paragraph Font", " It is *nice* to be here & there."),
    ]  # fmt: skip
    assert document.styles["Speaker"].font.bold
    assert (document.core_properties.title, document.core_properties.language) == ("talk", "en")


def test_docx_without_stamps_or_doubts_says_nothing_of_them():
    sure = transcript_of(words("All is well."))
    document = opened(render(sure, "docx", documents=DocumentOptions(timestamps_in_text=False)))
    assert [one.text for one in document.paragraphs][-1] == "All is well."
    assert "Shaded" not in document.paragraphs[0].text
    assert {one.style.name for one in document.paragraphs} <= {"Subtitle", "Turn"}
    empty = opened(render(transcript_of(), "docx"))
    assert all(not one.text.strip() or one.style.name == "Subtitle" for one in empty.paragraphs)


def test_docx_is_the_same_everywhere_and_always():
    """A change of these bytes makes every docx that was written before look edited: raise it knowingly."""
    data = render(TALK, "docx", title="talk")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        entries = archive.infolist()
    assert entries[0].filename == "[Content_Types].xml"
    assert {(one.date_time, one.compress_type, one.create_system) for one in entries} == {
        ((1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED, 0)
    }
    assert hashlib.sha256(data).hexdigest()[:16] == "59f08164c2d29cb3"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30), st.text(max_size=8), st.sampled_from(["en", "ar", "", '"><x', "zh", "\ud800"]))
def test_docx_opens_whatever_the_text_holds(text, label, language):
    made = replace(transcript_of(Segment(0, 1, f" {text} x", speaker=label)), language=language)
    document = opened(render(made, "docx", title=label))
    assert document.paragraphs[-1].text.endswith("x")


def test_arabic_runs_from_right_to_left():
    made = transcript_of(Segment(0, 1, " مرحبا"))
    with zipfile.ZipFile(io.BytesIO(render(replace(made, language="ar"), "docx"))) as archive:
        assert b"<w:bidi/>" in archive.read("word/styles.xml")
    with zipfile.ZipFile(io.BytesIO(render(replace(made, language="en"), "docx"))) as archive:
        assert b"<w:bidi/>" not in archive.read("word/styles.xml")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("soffice") is None, reason="needs LibreOffice (Debian: libreoffice-writer-nogui)")
def test_libreoffice_reads_what_the_docx_says(tmp_path: Path):
    (tmp_path / "talk.docx").write_bytes(render(TALK, "docx", title="A talk"))
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    line = ["soffice", profile, "--headless", "--convert-to", "txt:Text (encoded):UTF8", "talk.docx"]
    subprocess.run(line, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    shown = (tmp_path / "talk.txt").read_text(encoding="utf-8-sig").splitlines()
    assert shown == [one.text for one in opened((tmp_path / "talk.docx").read_bytes()).paragraphs]


# options and proof


def test_a_form_names_all_that_the_bytes_depend_on():
    plain, timed = OutputOptions(), OutputOptions(documents=DocumentOptions(timestamps_in_text=True))
    slow = OutputOptions(documents=DocumentOptions(5.0))
    shaped = OutputOptions(subtitles=SubtitleOptions(min_cue_s=1.0))
    assert all(form(name, plain) == name for name in FORMATS)
    assert [name for name in FORMATS if form(name, timed) != name] == ["txt"]
    assert [name for name in FORMATS if form(name, slow) != name] == ["md", "docx"]
    assert {name for name in FORMATS if form(name, shaped) != name} == {"vtt", "srt", "ass"}
    both = OutputOptions(documents=DocumentOptions(5.0, True))
    assert len({form("txt", options) for options in (plain, timed, both)}) == 3
    assert (
        form("srt", OutputOptions(subtitles=SubtitleOptions(max_line_width=42))) == "srt#dc3a3a7b"
    )  # as journals have it


def test_documents_are_known_as_ours_in_every_usual_form(tmp_path: Path):
    for name in ("txt", "md", "docx"):
        path = tmp_path / f"talk.{name}"
        for documents in (
            DocumentOptions(),
            DocumentOptions(7.0),
            DocumentOptions(2.0, True),
            DocumentOptions(7.0, False),
        ):
            options = OutputOptions(documents=documents)
            path.write_bytes(encoded(render(TALK, name, documents=documents, title="talk")))
            assert holds(path, name, TALK, options)
            assert not is_shaped_otherwise(path, name, TALK, options)
        path.write_bytes(encoded(render(TALK, name, documents=DocumentOptions(2.0, True), title="talk")))
        assert is_shaped_otherwise(path, name, TALK, OutputOptions(documents=DocumentOptions(9.0, False)))
        path.write_bytes(path.read_bytes() + b"!")
        assert not is_shaped_otherwise(path, name, TALK, OutputOptions(documents=DocumentOptions(9.0, False)))


def test_the_command_line_and_python_say_the_same():
    made = api.run_options_from(formats="docx", paragraph_pause=3, timestamps_in_text=False).output
    assert made.documents == DocumentOptions(3, False)
    for pause in (0, -1, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="`paragraph_pause` must be above 0"):
            DocumentOptions(pause)


# runs


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("with_journal", [True, False])
@pytest.mark.parametrize("name", ["txt", "md", "docx"])
def test_other_paragraph_options_make_a_document_anew_without_the_model(place: Place, name: str, with_journal: bool):
    formats = (name, "json")
    assert set(told(place.run(output={"formats": formats}, with_journal=with_journal)).values()) == {"done"}
    before = {path.name: path.read_bytes() for path in place.audio.glob(f"*.{name}")}
    (place.audio / f"001.{name}").write_bytes(b"by hand")
    os.utime(place.audio / f"001.{name}", (2_000_000_000, 2_000_000_000))
    documents = DocumentOptions(timestamps_in_text=name == "txt")
    n_opened = place.n_opened
    changed = {"formats": formats, "documents": documents}
    outcomes = told(place.run(output=changed, with_journal=with_journal))
    assert outcomes == {"000": "done", "001": "skipped", "002": "done"}
    assert place.n_opened == n_opened
    assert (place.audio / f"000.{name}").read_bytes() != before[f"000.{name}"]
    assert (place.audio / f"001.{name}").read_bytes() == b"by hand"
    transcript = read_json((place.audio / "000.json").read_bytes())
    assert (place.audio / f"000.{name}").read_bytes() == encoded(
        render(transcript, name, documents=documents, title="000")
    )
    assert set(told(place.run(output=changed, with_journal=with_journal)).values()) == {"skipped"}


def test_a_missing_document_is_made_from_the_json(place: Place):
    place.run(output={"formats": ("docx", "md", "json")})
    before = {path.name: path.read_bytes() for path in place.audio.iterdir()}
    (place.audio / "000.docx").unlink()
    (place.audio / "002.md").unlink()
    outcomes = told(place.run(output={"formats": ("docx", "md", "json")}))
    assert outcomes == {"000": "done", "001": "skipped", "002": "done"}
    assert place.n_opened == 1
    assert {path.name: path.read_bytes() for path in place.audio.iterdir()} == before


def test_a_document_that_is_not_ours_is_left_alone(place: Place):
    (place.audio / "000.docx").write_bytes(b"somebody's")
    place.run(output={"formats": ("docx", "json")})
    assert (place.audio / "000.docx").read_bytes() == b"somebody's"
    assert opened((place.audio / "000.wav.docx").read_bytes()).paragraphs[0].text == "000.wav"


# convert and --stdout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk.json").write_text(render(TALK, "json"))
    return tmp_path


def test_convert_makes_documents_as_asked(folder: Path):
    line = ["convert", "talk.json", "--format", "docx,md,txt", "--paragraph-pause", "60", "--timestamps-in-text"]
    assert app.run(line) == 0
    documents = DocumentOptions(60.0, True)
    for name in ("docx", "md", "txt"):
        made = encoded(render(TALK, name, documents=documents, title="talk"))
        assert (folder / f"talk.{name}").read_bytes() == made


def test_options_without_effect_and_without_sense_are_said(folder: Path, capfd):
    assert app.run(["convert", "talk.json", "--format", "srt", "--paragraph-pause", "3"]) == 0
    assert "paragraph options have no effect on srt; add --format docx or md" in capfd.readouterr().err
    assert app.run(["convert", "talk.json", "--format", "md", "--no-timestamps-in-text"]) == 0
    assert "no effect" not in capfd.readouterr().err
    assert app.run(["convert", "talk.json", "--format", "docx", "--paragraph-pause", "0"]) == 2
    assert not (folder / "talk.docx").exists()


def test_docx_is_printed_for_one_file_and_not_among_others(folder: Path, capfdbinary, monkeypatch):
    assert app.run(["convert", "talk.json", "--format", "docx", "--stdout"]) == 0
    assert capfdbinary.readouterr().out == render(TALK, "docx", title="talk")
    (folder / "more.json").write_text(render(TALK, "json"))
    assert app.run(["convert", "talk.json", "more.json", "--format", "docx", "--stdout"]) == 2
    assert capfdbinary.readouterr().out == b""
    assert app.run(["transcribe", str(folder), "--model", "demo", "--format", "docx", "--stdout"]) == 2
    printed = capfdbinary.readouterr()
    assert (printed.out, b"--stdout can print docx for a single file only" in printed.err) == (b"", True)
    (folder / "list.jsonl").write_text('{"path": "talk.json", "format": "docx"}\n{"path": "more.json"}\n')
    assert app.run(["convert", "--from-file", "list.jsonl", "--format", "md", "--stdout"]) == 1
    assert b"==> more.json <==" in capfdbinary.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert app.run(["convert", "talk.json", "--format", "docx", "--stdout"]) == 2
    assert b"terminal" in capfdbinary.readouterr().err


def test_settings_and_variables_are_heard(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "my.toml").write_text("paragraph-pause = 60\ntimestamps-in-text = false\n")
    assert app.run(["convert", "talk.json", "--format", "md", "--config", "my.toml"]) == 0
    assert (folder / "talk.md").read_text() == render(TALK, "md", documents=DocumentOptions(60.0, False), title="talk")
    monkeypatch.setenv("WHISPERBATCH_TIMESTAMPS_IN_TEXT", "true")
    assert app.run(["convert", "talk.json", "--format", "txt", "--config", "my.toml"]) == 0
    assert (folder / "talk.txt").read_text() == render(TALK, "txt", documents=DocumentOptions(60.0, True))


def test_a_document_whose_name_was_just_taken_has_its_new_name_for_a_title(
    place: Place, monkeypatch: pytest.MonkeyPatch
):
    real = write_outputs.write_all

    def taken(texts: dict[Path, Content], **named: object) -> object:
        monkeypatch.setattr(write_outputs, "write_all", real)
        for path in texts:
            path.write_bytes(b"theirs")
        return real(texts, **named)

    monkeypatch.setattr(write_outputs, "write_all", taken)
    assert set(told(place.run(output={"formats": ("docx", "json")})).values()) == {"done"}
    (moved,) = place.audio.glob("*.wav.docx")
    assert opened(moved.read_bytes()).paragraphs[0].text == moved.stem
    assert (place.audio / moved.name.replace(".wav.", ".")).read_bytes() == b"theirs"
    assert set(told(place.run(output={"formats": ("docx", "json")})).values()) == {"skipped"}
