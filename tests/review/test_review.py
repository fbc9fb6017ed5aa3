"""The review page without a browser: what needs a listener, what lies in the page, where its recordings are found."""

import json
import os
import random
import re
import subprocess
import sys
import urllib.parse
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from whisperbatch.cli import main
from whisperbatch.cli.commands import review
from whisperbatch.errors import LoadError
from whisperbatch.records import Outcome, Segment, Status, Transcript, Word
from whisperbatch.report import Report
from whisperbatch.review import PageFile, attention, is_page
from whisperbatch.review.links import link
from whisperbatch.writers import read_json, render

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "--> ]]> &lt;/script&gt;",
    "\u2028\u2029\u202egpj.exe\u0000\x1b[31m",
    "{{FILES}}{{SCRIPT}}",
    "\udcff\ud800",
    '"\\',
]


def segment(start_s: float = 0.0, text: str = " Good morning.", **traits: Any) -> Segment:
    return Segment(start_s, start_s + 2.0, text, avg_logprob=traits.pop("avg_logprob", -0.2), **traits)


def transcript(*segments: Segment, **traits: Any) -> Transcript:
    return Transcript("en", segments or (segment(),), 60.0, **traits)


def done(found: Transcript | None, name: str = "talk.wav") -> Outcome:
    return Outcome(Path(name), Status.DONE, found, audio_s=60.0)


def write(page: Path, *outcomes: Outcome) -> str:
    file, report = PageFile(page, lambda found: render(found, "json")), Report()
    for outcome in outcomes:
        report.add(outcome)
        file.add(outcome)
    file.close(report, report.exit_code)
    file.discard()
    return page.read_text(encoding="utf-8")


def unpacked(data: Any) -> Any:
    """The data with tables as rows again."""
    if isinstance(data, dict) and list(data) == ["of", "rows"]:
        return [unpacked(dict(zip(data["of"], row, strict=True))) for row in data["rows"]]
    if isinstance(data, dict):
        return {name: unpacked(value) for name, value in data.items()}
    return data


class Blocks(HTMLParser):
    """The blocks of JSON, as a parser of HTML finds them, and every other element."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: dict[str, list[Any]] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._kind: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        traits = dict(attrs)
        self._kind = traits.get("class") if traits.get("type") == "application/json" else None
        self.elements.append((tag, traits))

    def handle_data(self, data: str) -> None:
        if self._kind is not None and data.strip():
            self.found.setdefault(self._kind, []).append(unpacked(json.loads(data)))
            self._kind = None


def kinds(found: Transcript) -> list[str]:
    return [reason.kind for reason in attention(done(found), found).reasons]


# ---- what needs a listener


@pytest.mark.parametrize(
    ("found", "spans_s"),
    [
        (transcript(segment(10.0), segment(30.0, ""), segment(58.5)), ((0.0, 10.0), (12.0, 58.5))),
        (transcript(segment(0.5), segment(1.0)), ((3.0, 60.0),)),
        (transcript(segment(text="")), ((0.0, 60.0),)),
        (transcript(suspects=({"start": 7.5, "end": 9.0, "reason": "speech without text"},)), ((7.5, 9.0),)),
        (transcript(suspects=({"start": "x", "reason": "speech without text"},)), ((2.0, 60.0),)),
    ],
)
def test_missing_speech_has_its_times(found: Transcript, spans_s: tuple[tuple[float, float], ...]):
    found = replace(found, speech_s=50.0, covered_s=10.0)
    (reason,) = [one for one in attention(done(found), found).reasons if one.kind == "coverage"]
    assert reason.spans_s == spans_s


def test_of_many_stretches_without_speech_the_longest_are_named_in_their_order():
    starts_s = [10.0 * k + (k > 40) for k in range(100)]
    found = transcript(*map(segment, starts_s), speech_s=500.0, covered_s=10.0)
    (reason,) = attention(done(found), found).reasons
    assert len(reason.spans_s) == 20
    assert (402.0, 411.0) in reason.spans_s
    assert list(reason.spans_s) == sorted(reason.spans_s)


def test_a_mark_as_checked_goes_from_json_to_page_and_only_when_it_is_set(tmp_path: Path):
    plain = render(transcript(), "json")
    assert "checked" not in json.loads(plain)["whisperbatch"]
    data = json.loads(plain)
    data["whisperbatch"]["checked"] = True
    found = read_json(json.dumps(data))
    assert found == replace(transcript(), is_checked=True)
    assert json.loads(render(found, "json")) == data
    blocks = Blocks(write(tmp_path / "page.html", done(found), done(transcript(), "other.wav"))).found
    assert [one["checked"] for one in blocks["file"]] == [True, False]


def test_a_page_is_called_by_its_name_or_its_folders(tmp_path: Path):
    folder = tmp_path / "June <talks>"
    folder.mkdir()
    assert "<title>Transcripts to review: June &lt;talks&gt;</title>" in write(folder / "review.html", done(None))
    assert "<title>Transcripts to review: week 3</title>" in write(folder / "week 3.html", done(None))


def test_clear_speech_needs_nobody():
    found = transcript(speech_s=50.0, covered_s=48.5, language_probability=0.98)
    assert attention(done(found), found).reasons == ()
    assert attention(done(found), found).weight == 0.0


@pytest.mark.parametrize(
    ("found", "kind", "at_s"),
    [
        (transcript(speech_s=50.0, covered_s=40.0), "coverage", None),
        (transcript(segment(text="")), "coverage", None),
        (transcript(segment(), segment(4.0, avg_logprob=-1.2), segment(8.0, avg_logprob=-1.4)), "logprob", 8.0),
        (transcript(segment(), segment(4.0, compression_ratio=3.0)), "loop", 4.0),
        (transcript(segment(6.0, no_speech_prob=0.8)), "silence", 6.0),
        (transcript(suspects=({"start": 7.5, "end": 9.0, "reason": "speech without text"},)), "suspect", 7.5),
        (transcript(language_probability=0.4), "language", None),
        (transcript(warnings=("damaged: 3 s could not be decoded.",)), "damage", None),
        (transcript(warnings=("the right channel was taken",)), "notice", None),
        (transcript(speech_s=0.0, covered_s=0.0, warnings=("nothing heard",)), "coverage", None),
        (
            transcript(segment(words=tuple(Word(" a", k, k + 0.5, 0.1 if k == 5 else 0.4) for k in range(9)))),
            "words",
            5.0,
        ),
    ],
)
def test_each_doubt_is_told_with_its_place(found: Transcript, kind: str, at_s: float | None):
    (reason,) = attention(done(found), found).reasons
    assert (reason.kind, reason.at_s) == (kind, at_s)
    assert reason.text.endswith(".") and not reason.text.endswith("..")
    assert reason.weight > 0


@pytest.mark.parametrize(
    "found",
    [
        transcript(segment(avg_logprob=-1.0)),
        transcript(segment(compression_ratio=2.4)),
        transcript(segment(no_speech_prob=0.6)),
        transcript(
            segment(text=" ", avg_logprob=-3.0, no_speech_prob=0.9), segment()
        ),  # what shows no text is in no doubt
        transcript(speech_s=50.0, covered_s=48.0),
        transcript(segment(text=""), speech_s=0.0, covered_s=0.0),  # silence was looked for, and found
        transcript(language_probability=0.7),
        transcript(segment(words=(Word(" a", 0, 1, 0.1),))),
    ],
)
def test_at_its_limit_nothing_is_told(found: Transcript):
    assert kinds(found) == []


def test_what_failed_comes_first_and_more_doubt_before_less():
    error = LoadError("this is no recording", Path("x.wav"))
    failed = attention(Outcome(Path("x.wav"), Status.FAILED, error=error, reason=error.message), None)
    worst = transcript(
        *(segment(2.0 * k, avg_logprob=-2.0, compression_ratio=9.0, no_speech_prob=0.9) for k in range(5000)),
        speech_s=9e3,
        covered_s=0.0,
        language_probability=0.1,
    )
    bad, mild = transcript(speech_s=50.0, covered_s=10.0), transcript(speech_s=50.0, covered_s=47.0)
    weights = [failed.weight, *(attention(done(one), one).weight for one in (worst, bad, mild))]
    assert weights == sorted(weights, reverse=True)
    assert len(set(weights)) == 4
    assert failed.reasons[0].text == "Failed: this is no recording."


def test_absurd_numbers_in_a_foreign_file_break_nothing(tmp_path: Path):
    suspects = [
        {"start": start, "end": None, "reason": ["x"]} for start in (float("nan"), 10**400, "1", None, -1, True)
    ]
    huge = {"speech_seconds": 1e308, "covered_seconds": -1e308, "duration": 1e308, "suspects": suspects}
    data = {"segments": [{"start": 0, "end": 1e308, "text": "a", "avg_logprob": -1e308}] * 3, "whisperbatch": huge}
    found = read_json(json.dumps(data))
    text = write(tmp_path / "page.html", done(found))
    (told,) = Blocks(text).found["file"]
    assert {"suspect", "coverage", "logprob"} <= {reason["kind"] for reason in told["reasons"]}


# ---- what lies in the page


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_or_text_stays_data(tmp_path: Path, text: str):
    harmless = Blocks(write(tmp_path / "a.html", done(transcript())))
    found = transcript(segment(text=text, speaker=text), warnings=(text,), settings={text: text}, model=text)
    page = Blocks(write(tmp_path / "b.html", done(found, text.replace("/", "_") or "x")))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in harmless.elements]
    assert page.found["transcript"][0]["segments"][0]["text"] == text
    assert page.found["file"][0]["name"] == text.replace("/", "_")


@pytest.mark.parametrize("name", ["<b>&amp;.html", "a\u202eb\x1b.html", "{{FILES}}.html", "b\udcff.html"])
def test_the_pages_own_name_stays_text(tmp_path: Path, name: str):
    try:
        text = write(tmp_path / name, done(transcript()))
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system has no such names")
    harmless = Blocks(write(tmp_path / "a.html", done(transcript())))
    page = Blocks(text)
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in harmless.elements]
    assert len(page.found["file"]) == 1
    assert not re.search("[\x1b\u202e]", text)


def test_the_page_asks_for_nothing_from_elsewhere(tmp_path: Path):
    text = write(tmp_path / "a.html", done(transcript()))
    page = Blocks(text)
    policy = next(t["content"] for tag, t in page.elements if t.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert not {"'unsafe-inline'", "http:", "https:", "*"} & set(policy.replace(";", " ").split())
    outward = [t[name] for _, t in page.elements for name in ("src", "href", "action", "data") if t.get(name)]
    assert set(outward) <= {"data:,", "#detail"}
    assert not re.search(r"\b(https?:)?//[a-z0-9]", re.sub(r"(?m)^\s*//.*$", "", text.split("<script>")[-1]))


def test_a_page_is_whole_or_not_there(tmp_path: Path):
    page = tmp_path / "run.html"
    file = PageFile(page, lambda found: render(found, "json"))
    file.add(done(transcript()))
    assert not page.exists()
    file.discard()
    assert list(tmp_path.iterdir()) == []
    write(page, done(transcript()), done(None, "b.wav"))
    assert list(tmp_path.iterdir()) == [page]
    assert is_page(page)
    assert not is_page(tmp_path)
    found = Blocks(page.read_text(encoding="utf-8")).found
    assert [one is None for one in found["transcript"]] == [False, True]
    assert (found["totals"][0]["done"], found["totals"][0]["exit_code"]) == (2, 0)


def test_a_run_with_many_files_holds_none_of_them(tmp_path: Path):
    import tracemalloc

    words = tuple(Word(f" word{k}", k / 10, k / 10 + 0.1, 0.9) for k in range(2000))
    found = transcript(segment(text="".join(word.word for word in words), words=words))
    file = PageFile(tmp_path / "run.html", lambda found: render(found, "json"))
    file.add(done(found))
    tracemalloc.start()
    file.add(done(found))
    first = tracemalloc.get_traced_memory()[0]
    for _ in range(30):
        file.add(done(found))
    grown = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    file.discard()
    assert grown < 100_000, "a transcript of these takes 140,000 bytes as JSON"


# ---- where recordings are found


@pytest.mark.parametrize(
    ("file", "folder", "url"),
    [
        ("/a/b/talk.wav", "/a/b", "talk.wav"),
        ("/a/c/talk.wav", "/a/b", "../c/talk.wav"),
        ("/a/b/c:d.wav", "/a/b", "c%3Ad.wav"),
        ("/a/b/100% #1?.wav", "/a/b", "100%25%20%231%3F.wav"),
        ("/data/talk 1.wav", "/home/b", "file:///data/talk%201.wav"),
        ("/talk.wav", "/", "talk.wav"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="drives")
def test_a_recording_is_linked_from_the_pages_place(file: str, folder: str, url: str):
    assert link(Path(file), Path(folder)) == url


@pytest.mark.skipif(os.name == "nt", reason="bytes")
def test_every_name_of_bytes_comes_back_from_its_link(tmp_path: Path):
    draw = random.Random(7)
    for _ in range(300):
        name = bytes(draw.choice([byte for byte in range(1, 256) if byte != 0x2F]) for _ in range(draw.randint(3, 20)))
        file = Path("/srv/x", os.fsdecode(name))
        if os.fspath(file).endswith("/"):
            continue
        joined = urllib.parse.urljoin("file:///srv/y/page.html", link(file, Path("/srv/y")))
        assert joined.isascii()
        assert urllib.parse.unquote_to_bytes(urllib.parse.urlsplit(joined).path) == b"/srv/x/" + name


# ---- the commands


def test_review_makes_a_page_of_everybodys_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    (folder / "talk.json").write_text(render(transcript(language_probability=0.3), "json"))
    (folder / "talk.wav").write_bytes(b"RIFF")
    words = [{"word": "Hi", "start": 0.0, "end": 0.4, "score": 0.2}, {"word": "1"}]
    (folder / "x.mp3.json").write_text(
        json.dumps({"segments": [{"start": 0.0, "end": 1.0, "text": " Hi 1", "words": words}], "word_segments": words})
    )
    (folder / "x.mp3").write_bytes(b"ID3")
    (folder / "x.flac").write_bytes(b"fLaC")
    (tmp_path / "in" / "report.json").write_text('{"files": []}')
    (tmp_path / "bad.json").write_text("{")
    assert main(["review", "in", "in/deep/talk.json"]) == 0
    found = Blocks((tmp_path / "review.html").read_text(encoding="utf-8")).found
    assert [told["audio"] for told in found["file"]] == ["in/deep/talk.wav", "in/deep/x.mp3"]
    assert found["file"][0]["language_probability"] == 0.3
    assert [told["avg_logprob"] for told in found["file"]] == [-0.2, None]  # whisperX tells none
    assert [word["word"] for word in found["transcript"][1]["segments"][0]["words"]] == [" Hi", " 1"]
    assert main(["review", "in", "bad.json"]) == 1
    found = Blocks((tmp_path / "review.html").read_text(encoding="utf-8")).found
    assert found["file"][2]["reasons"][0]["kind"] == "failed"


@pytest.mark.parametrize("others", [(), ("talk.en.wav",)])
def test_a_transcript_that_has_its_language_in_its_name_finds_its_recording(tmp_path: Path, others: tuple[str, ...]):
    (tmp_path / "talk.en.json").write_text(render(transcript(), "json"))
    for name in ("talk.wav", *others):
        (tmp_path / name).write_bytes(b"RIFF")
    page = tmp_path / "page.html"
    assert main(["review", str(tmp_path), "--output", str(page)]) == 0
    (told,) = Blocks(page.read_text(encoding="utf-8")).found["file"]
    assert told["audio"] == (*others, "talk.wav")[0]


def test_review_replaces_pages_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "a.json").write_text(render(transcript(), "json"))
    page = tmp_path / "mine.html"
    page.write_text("<p>mine")
    command = ["review", str(tmp_path), "--output", str(page)]
    assert main(command) == 1
    assert page.read_text() == "<p>mine"
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert is_page(page)
    assert main(command) == 0  # ours by now


def test_a_folder_may_have_the_commands_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "review").mkdir()
    (tmp_path / "review" / "a.json").write_text(render(transcript(), "json"))
    assert main(["review", "review"]) == 0
    assert is_page(tmp_path / "review.html")


@pytest.mark.parametrize(("argument", "sentence"), [("gone", "no file or folder"), (".", "no transcripts found")])
def test_review_of_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argument: str, sentence: str
):
    monkeypatch.chdir(tmp_path)
    assert main(["review", argument]) == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_page_is_not_replaced_where_no_transcript_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_text(render(transcript(), "json"))
    assert main(["review", "a.json"]) == 0
    page = (tmp_path / "review.html").read_bytes()
    (tmp_path / "rows.json").write_text("[1, 2")
    (tmp_path / "none").mkdir()
    capsys.readouterr()
    for argument, code in (("rows.json", 1), ("none", 2), ("gone", 2)):
        assert main(["review", argument]) == code
        assert len(capsys.readouterr().err.splitlines()) == 1
        assert (tmp_path / "review.html").read_bytes() == page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "none", "review.html", "rows.json"]


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Transcripts in a tree of their own, the recordings of another name for the tree; two have one name."""
    monkeypatch.chdir(tmp_path)
    for place, size in (("a/talk.wav", 5), ("b/talk.wav", 7), ("b/2_lecture.mp3", 9)):
        for top in ("rec", "out"):
            (tmp_path / top / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "rec" / place).write_bytes(b"x" * size)
        told = replace(transcript(), size=size, sha256=f"{size:064x}")
        (tmp_path / "out" / place).with_suffix(".json").write_text(render(told, "json"))
    return tmp_path


def told_by(page: Path) -> list[dict[str, Any]]:
    return Blocks(page.read_text(encoding="utf-8")).found["file"]


def test_a_transcript_without_its_recording_has_no_player_and_it_is_said(
    apart: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["review", "out"]) == 0
    assert [told["audio"] for told in told_by(apart / "review.html")] == [None, None, None]
    assert capsys.readouterr().err.splitlines()[-1] == "3 of 3 recordings not found; use --recordings DIR"
    assert main(["review", "out", "--recordings", "gone"]) == 2


def test_recordings_are_found_by_their_place_their_name_and_their_size(apart: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["review", "out", "--recordings", "rec"]) == 0
    places = [told["audio"] for told in told_by(apart / "review.html")]
    assert places == ["rec/a/talk.wav", "rec/b/2_lecture.mp3", "rec/b/talk.wav"]
    assert "not found" not in capsys.readouterr().err
    (apart / "rec").rename(apart / "rec2")
    (apart / "rec2" / "a").rename(apart / "rec2" / "x")
    (apart / "rec2" / "b").rename(apart / "rec2" / "y")
    assert main(["review", "out", "out/a/talk.json", "--recordings", "rec2"]) == 0
    places = [told["audio"] for told in told_by(apart / "review.html")]
    assert places == ["rec2/x/talk.wav", "rec2/y/2_lecture.mp3", "rec2/y/talk.wav"]
    (apart / "rec2" / "x" / "talk.wav").write_bytes(b"another one")
    assert main(["review", "out", "--recordings", "rec2"]) == 0
    assert told_by(apart / "review.html")[0]["audio"] is None  # two of its name, and none of its size
    assert capsys.readouterr().err.splitlines()[-1] == "1 of 3 recordings not found; use --recordings DIR"


def test_the_journal_knows_where_a_recording_was(tmp_path: Path, sample_audio: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rec").mkdir()
    (tmp_path / "rec" / "2_lecture.wav").write_bytes((sample_audio / "garden.wav").read_bytes())
    command = ["transcribe", "rec", "--model", "demo", "-f", "json", "--output-dir", "out", "--journal", "j"]
    assert main(command) == 0
    assert main(["review", "out", "--journal", "j"]) == 0
    assert [told["audio"] for told in told_by(tmp_path / "review.html")] == ["rec/2_lecture.wav"]
    (tmp_path / "out" / "2_lecture.json").rename(tmp_path / "out" / "2_lecture.corrected.json")
    assert main(["review", "out", "--journal", "j"]) == 0
    assert [told["audio"] for told in told_by(tmp_path / "review.html")] == ["rec/2_lecture.wav"]
    (tmp_path / "j").write_bytes(b"not a journal" * 100)
    assert main(["review", "out", "--journal", "j"]) == 0
    assert [told["audio"] for told in told_by(tmp_path / "review.html")] == [None]


def test_a_transcript_that_goes_while_the_page_is_made_fails_alone(
    apart: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    gone, newest = apart / "out" / "a" / "talk.json", review._newest

    def slow(entries: Any) -> Any:
        gone.unlink()
        return newest(entries)

    monkeypatch.setattr(review, "_newest", slow)
    assert main(["review", "out", "--recordings", "rec"]) == 1
    assert [told["status"] for told in told_by(apart / "review.html")] == ["failed", "done", "done"]
    assert "out/a/talk.json: cannot be read: No such file or directory" in capsys.readouterr().err


def test_a_recording_is_shown_once_by_its_newest_transcript(apart: Path, capsys: pytest.CaptureFixture[str]):
    old = apart / "out" / "a" / "talk.json"
    new = apart / "out" / "a" / "talk.wav.json"
    new.write_bytes(old.read_bytes())
    os.utime(old, (1, 1))
    for more, recording in (([], None), (["--recordings", "rec"], "rec/a/talk.wav")):
        assert main(["review", "out/a", *more]) == 0
        (told,) = told_by(apart / "review.html")
        assert (told["outputs"], told["audio"]) == (["out/a/talk.wav.json"], recording)
        assert "1 transcript is left out, such as out/a/talk.json: there is a newer one" in capsys.readouterr().err
    os.utime(new, (0, 0))
    assert main(["review", "out/a"]) == 0
    assert told_by(apart / "review.html")[0]["outputs"] == ["out/a/talk.json"]
    for language in ("en", "de"):  # one for each language is not a newer one
        (apart / f"talk.{language}.json").write_text(render(replace(transcript(), language=language), "json"))
    assert main(["review", "talk.en.json", "talk.de.json"]) == 0
    assert len(told_by(apart / "review.html")) == 2


def test_a_runs_page_has_what_was_done_before(tmp_path: Path, sample_audio: Path):
    for name in ("garden.wav", "silence.flac"):
        (tmp_path / name).write_bytes((sample_audio / name).read_bytes())
    (tmp_path / "broken.mp3").write_bytes(b"no recording" * 20)
    command = ["transcribe", str(tmp_path), "--model", "demo", "--format", "txt,json", "--journal", str(tmp_path / "j")]
    page = tmp_path / "run.HTML"
    assert main([*command, "--report", str(page)]) == 1
    first = Blocks(page.read_text(encoding="utf-8")).found
    assert main([*command, "--report", str(page)]) == 1
    second = Blocks(page.read_text(encoding="utf-8")).found
    for found in (first, second):
        told = {one["name"]: (one, text) for one, text in zip(found["file"], found["transcript"], strict=True)}
        assert told["broken.mp3"][0]["reasons"][0]["kind"] == "failed"
        assert told["broken.mp3"][1] is None
        assert told["garden.wav"][1] == json.loads((tmp_path / "garden.json").read_text())
        assert told["garden.wav"][0]["audio"] == "garden.wav"
    assert {one["status"] for one in second["file"]} == {"skipped", "failed"}
    told = [{one["name"]: one["audio_seconds"] for one in found["file"]} for found in (first, second)]
    assert told[0] == told[1]


def test_the_wheel_has_the_pages_source(tmp_path: Path):
    pytest.importorskip("hatchling")
    repository = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"whisperbatch/review/page.{kind}" for kind in ("html", "css", "js")} <= set(names)
