"""Settings beside recordings: which count, in which order, what hostile ones do, and what becomes of them in a run."""

import io
import os
import threading
from pathlib import Path

import pytest

from runs import Place, told
from whisperbatch import api
from whisperbatch.cli import main
from whisperbatch.options import WatchOptions
from whisperbatch.records import AudioFile, FileOptions
from whisperbatch.sources import from_list, from_paths, watch, with_sidecars
from whisperbatch.sources.drop_folder import SettleTracker
from whisperbatch.sources.sidecars import Sidecars


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Recordings in three folders, one below the other."""
    monkeypatch.chdir(tmp_path)
    for folder in ("top", "top/a", "top/a/b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "talk.mp3").write_bytes(b"x")
    return tmp_path / "top"


def put(place: Path, text: str | bytes) -> Path:
    place.write_bytes(text.encode() if isinstance(text, str) else text)
    return place


def asked(*paths: str | Path, wanted: bool = True) -> dict[str, FileOptions]:
    return {str(audio.path): audio.options for audio in with_sidecars(from_paths(paths), wanted)}


def of(folder: Path, name: str = "talk.mp3") -> FileOptions:
    return asked(folder)[str(folder / name)]


def test_all_keys(tree: Path):
    put(tree / "names.txt", "a -> b")
    put(
        tree / "talk.whisperbatch.toml",
        'language = "German"\ntask = "translate"\nprompt = ""\nhotwords = ["Aase", "Tromsø"]\n'
        'replace = "names.txt"\nformats = ["srt", "json"]\n',
    )
    found = of(tree)
    assert (found.language, found.task, found.prompt, found.hotwords) == ("de", "translate", "", "Aase, Tromsø")
    assert (found.formats, found.fault) == (("srt", "json"), None)
    assert found.replace is not None
    assert [rule.where for rule in found.replace.rules] == ["names.txt, line 1"]


def test_the_nearest_wins_key_by_key(tree: Path):
    put(tree / "whisperbatch.toml", 'language = "de"\nprompt = "top"\nhotwords = "top"\ntask = "transcribe"\n')
    put(tree / "a" / "whisperbatch.toml", 'prompt = "a"\nhotwords = "a"\n')
    put(tree / "a" / "b" / "talk.whisperbatch.toml", 'hotwords = "talk"\n')
    put(tree / "a" / "b" / "other.mp3", "x")
    found = asked(tree)
    keys = ("language", "prompt", "hotwords")
    assert {
        str(Path(path).relative_to(tree)): tuple(getattr(asks, key) for key in keys) for path, asks in found.items()
    } == {
        "talk.mp3": ("de", "top", "top"),
        "a/talk.mp3": ("de", "a", "a"),
        "a/b/talk.mp3": ("de", "a", "talk"),
        "a/b/other.mp3": ("de", "a", "a"),
    }


@pytest.mark.parametrize("named", [".", "a", "./a", "a/"])
def test_folders_above_the_named_one_do_not_count(tree: Path, monkeypatch: pytest.MonkeyPatch, named: str):
    monkeypatch.chdir(tree)
    put(tree / "whisperbatch.toml", 'language = "de"\n')
    put(tree / "a" / "whisperbatch.toml", 'prompt = "a"\n')
    (found,) = (asks for path, asks in asked(named).items() if Path(path).parent.name == "b")
    assert (found.language, found.prompt) == ("de" if named == "." else None, "a")


def test_a_file_that_is_named_itself_has_its_own_folder(tree: Path):
    put(tree / "whisperbatch.toml", 'language = "de"\n')
    put(tree / "a" / "whisperbatch.toml", 'prompt = "a"\n')
    put(tree / "a" / "talk.whisperbatch.toml", 'hotwords = "talk"\n')
    (found,) = asked(tree / "a" / "talk.mp3").values()
    assert found == FileOptions(prompt="a", hotwords="talk")


def test_a_line_of_json_comes_before_sidecars(tree: Path):
    put(tree / "names.txt", "a -> b")
    put(tree / "whisperbatch.toml", 'language = "de"\nprompt = "sidecar"\n')
    lists = put(tree / "list.jsonl", '{"path": "top", "prompt": "line", "hotwords": "Aase", "replace": "names.txt"}\n')
    with lists.open("rb") as stream:
        files = list(with_sidecars(from_list(stream, rules_base=lists.parent), True))
    assert {(one.options.language, one.options.prompt, one.options.hotwords) for one in files} == {
        ("de", "line", "Aase")
    }
    assert all(one.options.replace is not None and one.options.replace.rules for one in files)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"path": "top", "replace": "missing.txt"}', "missing.txt cannot be read: No such file"),
        ('{"path": "top", "replace": 5}', '"replace" must be the name of a file or a list of names'),
        ('{"path": "top", "replace": ["bad.txt"]}', "bad.txt, line 1: expected a rule"),
        ('{"path": "top", "hotwords": 5}', '"hotwords" must be a string'),
        ('{"path": "top", "hotwords": ["\\ud800"]}', '"hotwords" is not valid Unicode'),
    ],
)
def test_a_line_whose_rules_or_hotwords_make_no_sense_fails_alone(tree: Path, line: str, fault: str):
    put(tree / "bad.txt", "no rule")
    lists = put(tree / "list.jsonl", f"{line}\ntop/a/talk.mp3\n")
    with lists.open("rb") as stream:
        bad, good = from_list(stream, rules_base=lists.parent, name="list.jsonl")
    assert fault in (bad.options.fault or "")
    assert (str(bad.path), good.options) == ("list.jsonl, line 1", FileOptions())


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("language = 5\n", '"language" must be a string'),
        ('language = "klingon"\n', "\"language\": unknown language 'klingon'"),
        ('task = "sing"\n', "\"task\": unknown task 'sing'"),
        ('formats = "docx9"\n', "\"formats\": unknown format 'docx9'"),
        ("formats = [1]\n", '"formats" must be a name'),
        ("hotwords = [1]\n", '"hotwords" must be a string or a list of strings'),
        ('model = "small"\n', "unknown key 'model'; known are language, task"),
        ("language = \n", "is not valid TOML"),
        ("[" * 20_000, "is not valid TOML"),
        (b"\xff", "is not UTF-8 text"),
        (b"#" * 64_001, "cannot be read: is larger than 64 kB"),
        ('replace = "missing.txt"\n', '"replace": the replacement rules in'),
        ('replace = "bad.txt"\n', "bad.txt, line 1: expected a rule"),
        ('replace = "/etc/passwd"\n', '"replace": /etc/passwd is outside'),
        ('replace = "../outside.txt"\n', '"replace": ../outside.txt is outside'),
        ('replace = "a/../../outside.txt"\n', "is outside"),
        ('replace = "link.txt"\n', '"replace": link.txt is outside'),
        ('replace = "circle"\n', '"replace": '),
        ('replace = "a\\u0000b"\n', '"replace" is not a valid path'),
        ('replace = "pipe"\n', "cannot be read: is not a regular file"),
    ],
)
def test_one_that_makes_no_sense_fails_what_it_is_for(tree: Path, content: str | bytes, fault: str):
    put(tree / "bad.txt", "no rule")
    put(tree.parent / "outside.txt", "a -> b")
    (tree / "link.txt").symlink_to(tree.parent / "outside.txt")
    (tree / "circle").symlink_to("circle")
    os.mkfifo(tree / "pipe")
    sidecar = put(tree / "talk.whisperbatch.toml", content)
    found = asked(tree)
    told_of = found.pop(str(tree / "talk.mp3")).fault or ""
    assert told_of.startswith(f"{sidecar}: ")
    assert fault in told_of
    assert "\n" not in told_of
    assert set(found.values()) == {FileOptions()}


@pytest.mark.parametrize("kind", ["folder", "pipe", "link in a circle"])
def test_what_is_no_regular_file_is_not_opened(tree: Path, kind: str):
    sidecar = tree / "talk.whisperbatch.toml"
    if kind == "folder":
        sidecar.mkdir()
    elif kind == "pipe":
        os.mkfifo(sidecar)
    else:
        sidecar.symlink_to(sidecar.name)
    assert (of(tree).fault or "").startswith(f"{sidecar}: cannot be read: ")


def test_rules_may_lie_anywhere_below_the_named_folder(tree: Path):
    put(tree / "names.txt", "a -> b")
    put(tree / "a" / "b" / "talk.whisperbatch.toml", 'replace = ["../../names.txt"]\n')
    assert of(tree / "a" / "b").fault
    found = asked(tree)[str(tree / "a" / "b" / "talk.mp3")]
    assert (found.fault, found.replace is not None) == (None, True)


def test_a_broken_one_of_a_folder_is_told_for_each_file_it_is_for(tree: Path):
    put(tree / "a" / "whisperbatch.toml", "language =\n")
    found = asked(tree)
    assert {Path(path).parent.name: asks.fault is not None for path, asks in found.items()} == {
        "top": False,
        "a": True,
        "b": True,
    }


def test_no_sidecars_leaves_them_out(tree: Path):
    put(tree / "whisperbatch.toml", "language =\n")
    assert set(asked(tree, wanted=False).values()) == {FileOptions()}


def test_a_name_too_long_for_a_sidecar_has_none(tree: Path):
    put(tree / f"{'n' * 250}.wav", "x")
    assert of(tree, f"{'n' * 250}.wav") == FileOptions()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def run(place: Place, **more):
    seen: dict[int, tuple] = {}

    def look(clips):
        seen.update({clip.file_id: (clip.settings.prompt, clip.settings.hotwords) for clip in clips})

    source = with_sidecars(from_paths([place.audio]), True)
    outcomes = place.run(source=source, before_step=look, **more)
    return told(outcomes), sorted(seen.values(), key=str), outcomes


def test_what_they_ask_for_reaches_the_engine_and_counts_for_what_is_done(place: Place):
    put(place.audio / "001.whisperbatch.toml", 'prompt = "P"\nhotwords = "Aase"\n')
    clip = {"clip": {"hotwords": "Oslo"}}
    statuses, seen, _ = run(place, **clip)
    assert set(statuses.values()) == {"done"}
    assert seen == [("P", "Aase"), (None, "Oslo"), (None, "Oslo")]
    assert set(run(place, **clip)[0].values()) == {"skipped"}
    put(place.audio / "001.whisperbatch.toml", 'prompt = "P"\nhotwords = "Tromsø"\n')
    statuses, seen, _ = run(place, **clip)
    assert statuses == {"000": "skipped", "001": "done", "002": "skipped"}
    assert seen == [("P", "Tromsø")]
    put(place.audio / "whisperbatch.toml", 'formats = ["srt", "txt", "json"]\n')
    statuses, seen, _ = run(place, **clip)
    assert (set(statuses.values()), seen) == ({"done"}, [])
    assert len(list(place.audio.glob("*.srt"))) == 3


def test_a_broken_one_fails_its_file_alone_and_it_is_done_once_it_is_mended(place: Place):
    sidecar = put(place.audio / "001.whisperbatch.toml", "prompt =\n")
    statuses, _, outcomes = run(place)
    assert statuses == {"000": "done", "001": "failed", "002": "done"}
    assert outcomes["001.wav"].reason.startswith(f"{sidecar}: is not valid TOML")
    sidecar.unlink()
    assert run(place)[0] == {"000": "skipped", "001": "done", "002": "skipped"}


def test_other_rules_in_one_need_no_model(place: Place):
    put(place.audio / "names.txt", "clip -> stretch")
    run(place)
    put(place.audio / "001.whisperbatch.toml", 'replace = "names.txt"\n')
    assert run(place)[0] == {"000": "skipped", "001": "done", "002": "skipped"}
    assert (place.audio / "001.txt").read_text().startswith("stretch 0 at")
    put(place.audio / "names.txt", "clip -> piece")
    assert run(place)[0] == {"000": "skipped", "001": "done", "002": "skipped"}
    assert (place.audio / "001.txt").read_text().startswith("piece 0 at")
    assert place.n_opened == 1


def test_a_file_waits_until_its_sidecar_stands_still_too():
    settling, path = SettleTracker(2.0), Path("talk.mp3")

    def look(now_s: float, **asks: str) -> list[AudioFile]:
        return settling.look([AudioFile(path, size=1, mtime_ns=1, options=FileOptions(**asks))], now_s)

    assert look(0.0) == []
    assert look(1.9, fault="half of it") == []
    assert look(2.5, prompt="P") == []
    (audio,) = look(4.5, prompt="P")
    assert audio.options.prompt == "P"
    assert look(9.0, prompt="P") == []
    assert look(10.0, prompt="Q") == []
    (audio,) = look(12.0, prompt="Q")
    assert audio.options.prompt == "Q"


@pytest.mark.parametrize("wanted", [True, False])
def test_a_drop_folder_reads_them(tree: Path, wanted: bool):
    put(tree / "whisperbatch.toml", 'language = "de"\n')
    options = WatchOptions(settle_s=0.0, until_idle_s=0.1, poll=True)
    found = list(watch([tree], options, threading.Event(), sidecars=wanted))
    assert [one.options.language for one in found] == (["de"] if wanted else [None]) * 3


def test_one_that_changes_is_read_again_at_the_next_look(tree: Path):
    sidecars, audio = Sidecars(), AudioFile(tree / "talk.mp3", tree)
    place = put(tree / "whisperbatch.toml", 'language = "de"\n')
    assert sidecars.applied(audio).options.language == "de"
    put(place, 'language = "english"\n')
    sidecars.look_again()
    assert sidecars.applied(audio).options.language == "en"
    place.unlink()
    sidecars.look_again()
    assert sidecars.applied(audio).options == FileOptions()


def test_the_command_line_and_python_turn_them_off(tree: Path, monkeypatch: pytest.MonkeyPatch, capfd):
    put(tree / "whisperbatch.toml", "language =\n")
    command = ["transcribe", str(tree), "--model", "demo", "--dry-run", "--no-journal"]
    assert main(command) == 0
    assert capfd.readouterr().out.count("is not valid TOML") == 3
    assert main([*command, "--no-sidecars"]) == 0
    assert "TOML" not in capfd.readouterr().out
    seen: list[list[str | None]] = []
    monkeypatch.setattr(
        api.Transcriber,
        "run",
        lambda self, source, **more: seen.append([one.options.fault for one in source]) or iter(()),
    )
    for wanted in (True, False):
        list(api.transcribe(tree, model="demo", sidecars=wanted))
        with api.Transcriber(model="demo", sidecars=wanted) as transcriber:
            list(transcriber.transcribe(tree))
    assert [all(faults) for faults in seen] == [True, True, False, False]


def test_rules_in_a_list_lie_beside_the_list(tree: Path, monkeypatch: pytest.MonkeyPatch, capfd):
    (tree.parent / "lists").mkdir()
    put(tree.parent / "lists" / "names.txt", "a -> b")
    put(tree.parent / "lists" / "l.jsonl", '{"path": "top/talk.mp3", "replace": "names.txt"}\n')
    command = ["transcribe", "--model", "demo", "--dry-run", "--no-journal"]
    assert main([*command, "--from-file", "lists/l.jsonl"]) == 0
    assert "would transcribe" in capfd.readouterr().out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((tree.parent / "lists" / "l.jsonl").read_bytes())))
    assert main([*command, "-"]) == 0  # of a list that is read from standard input, in the current folder
    assert "names.txt cannot be read" in capfd.readouterr().out
