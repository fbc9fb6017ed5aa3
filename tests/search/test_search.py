"""Search: what is found, what anybody may type, an index that follows the files, links into the review page."""

import json
import os
import sqlite3
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperbatch import cli
from whisperbatch.cli.commands import search
from whisperbatch.errors import RunError, UsageError
from whisperbatch.journal import Journal, Key, Output, Recording, TextRecipe
from whisperbatch.records import Segment, Transcript
from whisperbatch.review import link_into, shows
from whisperbatch.search import Index, parse
from whisperbatch.search import index as index_room
from whisperbatch.writers import render

TEXTS = {
    "harbour": ("The new harbour opens.", "Ferries leave the harbour at 12:30.", "It's a café, naïvely: don't_go!"),
    "german": ("Die Straßenbahn fährt über die Brücke.", "ÜBER alles."),
    "chinese": ("今天天气很好，我们去北京。", "你好"),
    "japanese": ("東京タワーに行きました。",),
    "korean": ("학교에 갑니다",),
    "thai": ("ฉันกินข้าวที่บ้าน",),
    "hindi": ("मैं हिन्दी बोलता हूँ",),
    "mixed": ("Das iPhone 15 in 北京 kostet 1.000 €.",),
}


def transcript(texts: tuple[str, ...], **traits: str) -> Transcript:
    segments = (Segment(float(n * 5), n * 5 + 4.0, f" {text}", **traits) for n, text in enumerate(texts))
    return Transcript("en", tuple(segments), 100.0)


def write(path: Path, *texts: str, **traits: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(transcript(texts, **traits), "json"))
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a transcript for each of TEXTS, and an index and journal of its own."""
    monkeypatch.chdir(tmp_path)
    for name, texts in TEXTS.items():
        write(tmp_path / "in" / f"{name}.json", *texts)
    return tmp_path


@pytest.fixture
def found(here: Path, capsys: pytest.CaptureFixture[str]):
    """The names and texts that a search of a folder finds."""

    def look(words: str, *more: str, folder: str = "in") -> list[tuple[str, str]]:
        capsys.readouterr()
        code = cli.main(["search", words, folder, "--journal", "journal", "--json", *more])
        hits = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert code == (0 if hits else 1)
        for hit in hits:
            assert hit["matches"], hit
        return [(Path(hit["path"]).stem, hit["text"]) for hit in hits]

    return look


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("harbour", ["harbour", "harbour"]),
        ("HARBOUR ferries", ["harbour"]),
        ("ferries harbour", ["harbour"]),
        ('"new harbour"', ["harbour"]),
        ('"harbour new"', []),
        ("harb*", ["harbour", "harbour"]),
        ("harb", []),
        ('"the harb"*', ["harbour"]),
        ("cafe", ["harbour"]),
        ("CAFÉ", ["harbour"]),
        ("cafe\u0301", ["harbour"]),
        ("don't", ["harbour"]),
        ("don", ["harbour"]),
        ("12:30", ["harbour"]),
        ("uber", ["german", "german"]),
        ("straßenbahn", ["german"]),
        ("天气", ["chinese"]),
        ("气", ["chinese"]),
        ("北京", ["chinese", "mixed"]),
        ("北京 iphone", ["mixed"]),
        ("京北", []),
        ("好", ["chinese", "chinese"]),
        ("タワー", ["japanese"]),
        ("ﾀﾜｰ", ["japanese"]),
        ("学校", []),
        ("학교", ["korean"]),
        ("กิน", ["thai"]),
        ("ข้าว", ["thai"]),
        ("हिन्दी", ["hindi"]),
        ("हिन", []),
        ("हिन*", ["hindi"]),
        ("１５", ["mixed"]),
        ("NOT", []),
        ("harbour OR nothing", []),
        ("words:harbour", []),
    ],
)
def test_what_is_found(found, words: str, names: list[str]):
    assert sorted(name for name, _ in found(words)) == names


@given(words=st.text(max_size=40) | st.text(alphabet="\"*():^-+{}ab AND OR NEAR,'.%_", max_size=30))
def test_nothing_that_is_typed_is_an_error_of_the_database(words: str):
    with Index(Path(":memory:"), lambda path: transcript(("a b AND or near",))) as index:
        index.update([(Path(__file__), 1, 1)], lambda: None)
        try:
            query = parse(words)
        except UsageError:
            return
        for hit in index.find(query, 10):
            assert query.spans(hit.text)


@given(text=st.text(max_size=60))
def test_a_text_is_found_by_its_own_words(text: str):
    try:
        query = parse(text.replace('"', " ").replace("*", " "))
    except UsageError:
        return
    letters = "".join(word for term in query.terms for word in term.words)
    if max(map(ord, letters)) > 0x24F:  # SQLite's table of letters is older than Python's
        return
    with Index(Path(":memory:"), lambda path: transcript((text,))) as index:
        index.update([(Path(__file__), 1, 1)], lambda: None)
        assert len(index.find(query, 10)) == 1


def test_what_is_found_is_shown_with_time_and_speaker(here: Path, capsys):
    write(here / "two" / "call\x1b[2J.json", "Hello\x1b]0;x there.", "Good-bye there.", speaker="Ann", channel="left")
    assert cli.main(["search", "there", "two", "--journal", "journal"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "two/call\\x1b[2J.json:0:00:00: Ann on left: Hello\\x1b]0;x there.",
        "two/call\\x1b[2J.json:0:00:05: Ann on left: Good-bye there.",
    ]
    assert cli.main(["search", "there", "two", "--journal", "journal", "--limit", "1"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 and "only the first 1" in err
    assert cli.main(["search", "nowhere", "two", "--journal", "journal"]) == 1
    assert "not found in 1 transcript" in capsys.readouterr().err


def test_on_a_terminal_the_words_are_marked_and_markup_is_text(here: Path, monkeypatch, capsys):
    write(here / "two" / "a.json", "A [bold]new[/bold] :smile: harbour.")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert cli.main(["search", "harbour new", "two", "--journal", "journal"]) == 0
    out = capsys.readouterr().out
    assert "A [bold]" in out and ":smile:" in out
    assert "\x1b[1;7mharbour\x1b[0m" in out and "\x1b[1;7mnew\x1b[0m" in out


def test_only_what_has_changed_is_read_again(here: Path, found, monkeypatch):
    read: list[str] = []
    real = search._read
    monkeypatch.setattr(search, "_read", lambda path: read.append(path.stem) or real(path))
    assert len(found("harbour")) == 2
    assert sorted(read) == sorted(TEXTS)
    read.clear()
    assert len(found("harbour")) == 2
    assert read == []
    write(here / "in" / "harbour.json", "The old port.")
    (here / "in" / "german.json").unlink()
    write(here / "in" / "more.json", "A harbour more.")
    assert found("harbour") == [("more", "A harbour more.")]
    assert sorted(read) == ["harbour", "more"]
    assert found("uber") == [] and found("port") == [("harbour", "The old port.")]
    os.utime(here / "in" / "more.json", ns=(1, 1))
    assert found("port") and read[2:] == ["more"]
    with sqlite3.connect(here / "search.sqlite3") as database:
        assert database.execute("SELECT count(*) FROM file").fetchone() == (len(TEXTS),)
        (n_segments,) = database.execute("SELECT count(*) FROM segment").fetchone()
        assert database.execute("SELECT count(*) FROM spoken").fetchone() == (n_segments,)


def test_a_search_looks_where_it_is_told_to(here: Path, found):
    write(here / "else" / "other.json", "Another harbour.")
    assert len(found("harbour")) == 2
    assert found("harbour", folder="else") == [("other", "Another harbour.")]
    assert len(found("harbour", "else")) == 3
    assert len(found("harbour")) == 2


def known(journal: Path, *transcripts: Path) -> None:
    """A journal in which the transcripts are outputs of recordings."""
    with Journal(journal) as book:
        for path in transcripts:
            audio = path.with_suffix(".wav")
            entry = book.claim(Key(audio, path.parent)).entry
            outputs = [Output(one, one.suffix[1:], 1, 1) for one in (path, path.with_suffix(".txt"))]
            book.intend(entry, Recording(1, 1, None), TextRecipe("demo", None, "{}"), path.stem, "en", outputs)
            book.done(entry, outputs, 1.0, 1.0)


def test_without_paths_it_looks_in_all_that_the_journal_knows(here: Path, capsys):
    known(here / "journal", here / "in" / "harbour.json", here / "in" / "german.json", here / "gone.json")
    assert cli.main(["search", "harbour", "--journal", "journal"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert cli.main(["search", "天气", "--journal", "journal"]) == 1
    assert cli.main(["search", "harbour", "--journal", "no/journal"]) == 2
    assert "there is no journal at no/journal" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["two", "words"], 'whisperbatch search "two words"'),
        (["...", "in"], "no word to search for"),
        (["a", "in", "--limit", "-1"], "--limit"),
        (["a", "empty"], "no transcripts found"),
        ([" ".join("abcdefghij" * 11), "in"], "too many words"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(here: Path, capsys, argv: list[str], sentence: str):
    (here / "empty").mkdir()
    (here / "empty" / "package.json").write_text("{}")
    assert cli.main(["search", *argv, "--journal", "journal"]) == 2
    assert sentence in capsys.readouterr().err


def test_json_of_another_kind_is_left_out_and_said_only_when_it_was_named(here: Path, found, capsys):
    (here / "in" / "package.json").write_text('{"harbour": 1}')
    (here / "in" / "half.json").write_text('{"segments": [{"start": 0, "text": "\\ud800 harbour"}]}')
    assert ("half", "? harbour") in found("harbour")
    assert "package" not in capsys.readouterr().err
    assert cli.main(["search", "harbour", "in/package.json", "in", "--journal", "journal"]) == 0
    os.utime(here / "in" / "package.json", ns=(1, 1))
    assert cli.main(["search", "harbour", "in/package.json", "in", "--journal", "journal"]) == 0
    assert "package.json: this is not a transcript" in capsys.readouterr().err


def test_subtitles_from_elsewhere_are_searched_where_there_is_no_json(here: Path, found):
    cue = "1\n00:00:02,000 --> 00:00:04,000\nAnother harbour.\n"
    (here / "in" / "other.srt").write_text(cue)
    (here / "in" / "harbour.srt").write_text(cue)
    (here / "in" / "note.txt").write_text("a harbour, and no transcript")
    assert ("other", "Another harbour.") in found("harbour") and len(found("harbour")) == 3


def test_an_index_that_is_damaged_or_old_is_made_anew_and_another_programs_is_left_alone(here: Path, found, capsys):
    assert len(found("harbour")) == 2
    place = here / "search.sqlite3"
    with sqlite3.connect(place) as database:
        database.execute("PRAGMA user_version = 99")
    assert len(found("harbour")) == 2
    data = place.read_bytes()
    place.write_bytes(data[:100] + b"x" * (len(data) - 100))
    assert len(found("harbour")) == 2
    place.unlink()
    with sqlite3.connect(place) as database:
        database.execute("CREATE TABLE theirs (x)")
    before = place.read_bytes()
    assert cli.main(["search", "harbour", "in", "--journal", "journal"]) == 3
    assert "another program" in capsys.readouterr().err and place.read_bytes() == before
    place.write_bytes(b"no database at all, but somebody's text" * 100)
    assert cli.main(["search", "harbour", "in", "--journal", "journal"]) == 3
    assert place.read_bytes().startswith(b"no database")


def test_an_sqlite_without_fts5_is_one_sentence(here: Path, monkeypatch, capsys):
    monkeypatch.setattr(index_room, "_SCHEMA", index_room._SCHEMA.replace("fts5 (", "fts5_that_is_missing ("))
    assert cli.main(["search", "harbour", "in", "--journal", "journal"]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "FTS5" in line


def test_searches_at_once_make_one_index(here: Path):
    for number in range(300):
        write(here / "many" / f"{number:03d}.json", f"number {number} of the harbour")
    code = "import sys; from whisperbatch import cli; sys.exit(cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "search", "harbour", "many", "--journal", "journal", "--limit", "0"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    for run in runs:
        out, err = run.communicate(timeout=120)
        assert (run.returncode, len(out.splitlines())) == (0, 300), err
    with sqlite3.connect(here / "search.sqlite3") as database:
        assert database.execute("SELECT count(*) FROM segment").fetchone() == (300,)


def test_an_interruption_keeps_what_was_read(here: Path):
    read: list[Path] = []

    def take(path: Path) -> Transcript:
        read.append(path)
        if len(read) == 450:
            raise KeyboardInterrupt
        return transcript(("one",))

    files = [(here / f"{number}.json", 1, 1) for number in range(500)]
    for path, _, _ in files:
        path.touch()
    with Index(here / "index", take) as index, pytest.raises(KeyboardInterrupt):
        index.update(files, lambda: None)
    with Index(here / "index", take) as index:
        assert index.update(files, lambda: None).n_read == 100
        assert len(index.find(parse("one"), -1)) == 500


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_only_its_owner_may_read_the_index(here: Path, found):
    found("harbour")
    assert [path.stat().st_mode & 0o077 for path in here.glob("search.sqlite3*")] == [0]


def test_a_place_that_is_closed_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be used"):
        Index(tmp_path / "file" / "index", lambda path: transcript(()))


def test_open_finds_the_page_that_shows_the_transcript(here: Path, monkeypatch, capsys):
    opened: list[str] = []
    monkeypatch.setattr(search.webbrowser, "open", opened.append)
    odd = write(here / "in" / "deep" / "ü <b> & 100%.json", "A lighthouse.", "And a lighthouse more.")
    argv = ["search", "more lighthouse", "in", "--journal", "journal", "--open"]
    assert cli.main(argv) == 1
    assert "make one with: whisperbatch review in/deep --output in/deep/review.html" in capsys.readouterr().err
    assert cli.main(["review", "in/harbour.json", "-o", "in/deep/other.html"]) == 0
    assert cli.main(argv) == 1
    assert cli.main(["review", "in", "-o", "in/run.html"]) == 0
    assert cli.main(argv) == 0
    (address,) = opened
    page, _, fragment = address.partition("#")
    assert page == (here / "in" / "run.html").as_uri()
    assert urllib.parse.parse_qs(fragment) == {"t": ["5.00"], "file": [str(odd)]}
    assert address == link_into(here / "in" / "run.html", odd, 5.0)
    assert shows(here / "in" / "run.html", Path("ü <b> & 100%.json")) and not shows(odd, odd)
    assert not shows(here / "in" / "run.html", Path("100%.json"))
