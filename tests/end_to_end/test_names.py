"""Names of any bytes: every file is found, its outputs lie in its folder, nothing collides, nothing raw is printed."""

import contextlib
import io
import json
import os
import re
import sys
import tempfile
import threading
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from corpus import WHOLE
from whisperbatch import pipeline
from whisperbatch.cli.failures import shown
from whisperbatch.cli.screen import BarScreen, LiveScreen, PlainScreen, Screen
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.events import EventLog
from whisperbatch.journal import Journal
from whisperbatch.options import BatchOptions, LoadOptions, OutputOptions, RunOptions, SpeechOptions
from whisperbatch.outputs.namer import Namer
from whisperbatch.records import AudioFile, Event, Outcome, Status
from whisperbatch.report import Report, ReportFile
from whisperbatch.sources import MEDIA_SUFFIXES, from_list, from_paths

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="such names cannot be elsewhere")

ODD = [
    *(
        "-rf.wav",
        "--help",
        "~.wav",
        "a b .wav",
        "a.wav ",
        "a..wav",
        "..wav",
        "a.wav.",
        "\n.wav",
        "a\nb.wav",
    ),
    *(
        "\x1b[31mred.wav",
        "\x1b]0;title\x07.wav",
        "\r.wav",
        "\x7f.wav",
        "\x9b31m.wav",
        "\u202egnp.wav",
    ),
    *(
        "\u200b.wav",
        "é.wav",
        "e\u0301.wav",
        "É.WAV",
        "\udcff\udcfe.wav",
        "\udc9b31m.wav",
        "{stem}.wav",
    ),
    *(
        "%d.wav",
        "[x].wav",
        "*.wav",
        "?.wav",
        "a\\b.wav",
        "a_b.wav",
        "a:b.wav",
        "http:x.wav",
        "CON.wav",
    ),
    *(
        "$(id).wav",
        "`id`.wav",
        "'; rm.wav",
        '"q".wav',
        "[red]x[bold].wav",
        "\ufeff.wav",
        "x" * 251 + ".wav",
    ),
    *(
        "é" * 125 + ".wav",
        "\udcff" * 251 + ".wav",
        "y" * 255,
        "talk.wav",
        "talk.mp3",
        "TALK.wav",
    ),
    *(
        "talk.wav.wav",
        "talk.txt",
    ),
]
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
OUR_OWN = re.compile(r"\r|\x1b\[[0-9;?]*[A-Za-z]")  # that tqdm and rich move the cursor with


def is_name(name: str) -> bool:
    try:
        raw = os.fsencode(name)
    except ValueError:  # half a character that is no byte either
        return False
    return 0 < len(raw) <= 255 and not {0, ord("/")} & set(raw) and name not in (".", "..")


bytewise = st.binary(min_size=1, max_size=251).map(os.fsdecode)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=120)
nasty = st.text(
    st.sampled_from("\x00\n\r\t\x1b\x9b\udcff\udc80 .-~*?[]{}\\'\"$`é\u0301É\u202eaA"), min_size=1, max_size=20
)
endings = st.sampled_from([".wav", ".WAV", ".mp3", ".wav ", ".wav.", "", ".txt", ".json"])
names = st.builds("{}{}".format, st.one_of(bytewise, texts, nasty), endings).filter(is_name)
some_names = st.lists(st.one_of(names, st.sampled_from(ODD)), min_size=1, max_size=12, unique=True)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("recording") / "x.wav"
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes(b"\1\0" * 1600)
    return path.read_bytes()


def by_folder(folder: Path, paths: list[Path]) -> Iterator[AudioFile]:
    return from_paths([folder])


def by_name(folder: Path, paths: list[Path]) -> Iterator[AudioFile]:
    return from_paths(paths)


def by_nul(folder: Path, paths: list[Path]) -> Iterator[AudioFile]:
    return from_list(io.BytesIO(b"\0".join(map(os.fsencode, paths))), nul=True)


def by_line(folder: Path, paths: list[Path]) -> Iterator[AudioFile]:
    return from_list(io.BytesIO(b"\n".join(map(os.fsencode, paths))))


def by_json(folder: Path, paths: list[Path]) -> Iterator[AudioFile]:
    return from_list(io.BytesIO("".join(json.dumps({"path": str(path)}) + "\n" for path in paths).encode()))


WAYS = {"folder": by_folder, "name": by_name, "nul": by_nul, "line": by_line, "json": by_json}


def taken(way: str, name: str) -> bool:
    """Whether a file of that name is found in that way."""
    if way == "folder":
        return not name.startswith((".", "~")) and Path(name).suffix.lower() in MEDIA_SUFFIXES
    return way != "line" or not ("\n" in name or name.endswith("\r"))  # such names need NUL between them


def told(kind: Callable[[Report], Screen], events: list[Event], report: Report) -> str:
    """What a screen prints of a run."""
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream), kind(report, True) as screen:  # type: ignore[call-arg]
        for event in events:
            screen.on_event(event)
    return stream.getvalue()


def transcribe(
    source: Iterator[AudioFile], output_dir: Path | None, book: Journal
) -> tuple[list[Outcome], list[Event]]:
    options = RunOptions(
        batch=BatchOptions(16, 0.0),
        load=LoadOptions(1),
        speech=SpeechOptions(vad=False),
        output=OutputOptions(formats=("txt", "json"), output_dir=output_dir),
    )
    events: list[Event] = []
    outcomes = list(
        pipeline.run(
            source,
            options,
            open_engine=FakeEngine,
            namer=Namer(options.output, MEDIA_SUFFIXES),
            on_event=events.append,
            stop=threading.Event(),
            journal=book,
        )
    )
    return outcomes, events


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=(WHOLE and 50) or 6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=some_names)
@example(found=ODD)
def test_every_file_is_found_and_its_outputs_lie_where_they_should(
    recording: bytes, way: str, elsewhere: bool, found: list[str]
):
    with tempfile.TemporaryDirectory() as top_:
        top = os.path.realpath(top_)
        folder, output_dir = Path(top) / "in" / "deep", Path(top) / "out"
        folder.mkdir(parents=True)
        for name in found:
            (folder / name).write_bytes(recording)
        paths = [folder / name for name in found if taken(way, name)]
        with Journal(Path(top) / "journal") as book:
            outcomes, events = transcribe(WAYS[way](folder, paths), output_dir if elsewhere else None, book)
            assert sorted(entry.key.path for entry in book.entries()) == sorted(paths)
        assert sorted(outcome.path for outcome in outcomes) == sorted(paths)
        assert {outcome.status for outcome in outcomes} <= {Status.DONE}, [o.error for o in outcomes]
        outputs = [path for outcome in outcomes for path in outcome.outputs]
        assert len(outputs) == len(set(outputs)) == 2 * len(paths)
        base = output_dir if elsewhere else folder
        assert all(path.is_file() and Path(os.path.realpath(path)).is_relative_to(base) for path in outputs)
        assert elsewhere or {path.parent for path in outputs} <= {folder}
        assert {name: (folder / name).read_bytes() for name in found} == dict.fromkeys(found, recording)
        assert len(list(folder.iterdir())) == len(found) + (0 if elsewhere else len(outputs))
        assert_nothing_raw_is_told(outcomes, events, Path(top))


def assert_nothing_raw_is_told(outcomes: list[Outcome], events: list[Event], top: Path) -> None:
    """On the screens, in the event log and in the report."""
    report = Report()
    for outcome in outcomes:
        report.add(outcome)
    for outcome in outcomes:
        events.append(Event("finished", outcome.path, {"outcome": outcome}))
        events.append(Event("notice", outcome.path, {"text": "a notice"}))
    for kind in (Screen, PlainScreen, BarScreen, LiveScreen):
        found = RAW.search(OUR_OWN.sub("", told(kind, events, report)))  # type: ignore[arg-type]
        assert found is None, (kind, found)
    stream = io.BytesIO()
    log = EventLog(stream)
    for event in events:
        log.on_event(event)
    lines = stream.getvalue().decode("ascii").splitlines()
    assert not any(RAW.search(line) for line in lines)
    paths = {json.loads(line)["path"] for line in lines if json.loads(line)["event"] == "done"}
    assert paths == {str(outcome.path) for outcome in outcomes}
    file = ReportFile(top / "report.json")
    for outcome in outcomes:
        file.add(outcome)
    file.close(report, report.exit_code)
    data = (top / "report.json").read_bytes().decode("ascii")
    assert not RAW.search(data)
    assert [Path(one["path"]) for one in json.loads(data)["files"]] == [outcome.path for outcome in outcomes]


@given(text=st.one_of(bytewise, texts, nasty))
def test_what_is_shown_is_one_line_without_controls(text: str):
    assert not RAW.search(shown(text))
    assert "\n" not in shown(text)
    assert "\t" not in shown(text)
    assert shown(text).encode()


def test_the_names_are_worth_their_name():
    assert all(map(is_name, ODD))
    assert sum(bool(RAW.search(name)) for name in ODD) >= 9
