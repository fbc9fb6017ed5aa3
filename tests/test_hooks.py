"""Hooks: what they are given, that no shell sees it, how they fail, and that each runs at least once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from sounds import write_wav
from whisperbatch import api, cli, hooks
from whisperbatch.backends import local
from whisperbatch.backends.worker import options_of_worker
from whisperbatch.engine import EngineFacts
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.errors import UsageError
from whisperbatch.journal import Journal, Key
from whisperbatch.options import HookOptions, RunOptions, parse_hook
from whisperbatch.records import Status

# notes its arguments and standard input in a file of its own below REC, and does what BEHAVE says
RECORDER = """
import json, os, sys, tempfile, time
data = sys.stdin.read()
number, name = tempfile.mkstemp(dir=os.environ["REC"], prefix=f"{time.monotonic_ns():020d}-", suffix=".part")
with os.fdopen(number, "w") as file:
    json.dump({"argv": sys.argv[1:], "stdin": data}, file)
os.rename(name, name[:-5] + ".json")
exec(os.environ.get("BEHAVE", ""))
"""
ODD = [
    os.fsdecode(b"\xff.wav"),
    "a b.wav",
    "-rf.wav",
    "q'u\"o.wav",
    "new\nline.wav",
    "$(touch HIT);`touch HIT`.wav",
    "{id}{txt}.wav",
    "ü💡.wav",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place with a recorder of hooks, a folder for its notes, and the fake engine."""
    (tmp_path / "recorder.py").write_text(RECORDER)
    (tmp_path / "rec").mkdir()
    monkeypatch.setenv("REC", str(tmp_path / "rec"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(FakeEngine, "facts", EngineFacts("demo", None))
    fails = lambda clip: int(clip.samples[0]) == 99  # noqa: E731
    monkeypatch.setattr(local, "open_engine", lambda *given, **named: FakeEngine(4, fails=fails))
    return tmp_path


def run(*argv: str | Path, journal: str = "journal") -> int:
    places = [] if "--no-journal" in argv else ["--journal", journal]
    options = "--model demo --max-wait 0 --load-workers 1 --no-vad --retries 0".split()
    return cli.main(["transcribe", *map(str, argv), *options, *places])


def recorder(*arguments: str) -> str:
    return f"{sys.executable} recorder.py {' '.join(arguments)}"


def notes(here: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((here / "rec").glob("*.json"))]


def test_each_value_is_one_argument_whatever_it_holds(here: Path):
    for index, name in enumerate(ODD):
        write_wav(here / "in" / name, index + 1)
    command = recorder("{path} {txt} x{json}x {language} {status} '{id} {path}' {{path}}")
    assert run("in", "--on-done", command) == 0
    found = {told["argv"][0]: told["argv"] for told in notes(here)}
    assert set(found) == {str(here / "in" / name) for name in ODD}
    for path, argv in found.items():
        base = path.removesuffix(".wav")
        assert argv[1:5] == [f"{base}.txt", f"x{base}.jsonx", "en", "done"]
        mark, _, rest = argv[5].partition(" ")
        assert len(mark) == 32 and rest == path and argv[6:] == ["{path}"]
    assert len({argv[5] for argv in found.values()}) == len(ODD)
    assert not list(here.rglob("HIT"))


def test_a_command_without_placeholders_gets_the_outcome_as_a_line_of_json(here: Path):
    write_wav(here / "in" / "new\nline.wav", 1)
    assert run("in", "--on-done", recorder("--flag"), "--format", "txt,srt") == 0
    (told,) = notes(here)
    assert told["argv"] == ["--flag"] and told["stdin"].count("\n") == 1
    outcome = json.loads(told["stdin"])
    base = here / "in" / "new\nline"
    assert outcome["path"] == f"{base}.wav" and outcome["outputs"] == [f"{base}.txt", f"{base}.srt"]
    assert (outcome["status"], outcome["hook"], outcome["language"]) == ("done", "on-done", "en")
    assert len(outcome["id"]) == 32 and outcome["audio_seconds"] == 0.1


def test_the_outputs_are_on_disk_and_in_the_journal_when_it_runs(here: Path, monkeypatch):
    audio = write_wav(here / "in" / "a.wav", 1)
    look = (
        "import pathlib, sqlite3; told = json.loads(data);"
        "assert all(pathlib.Path(one).read_text() for one in told['outputs']);"
        "assert sqlite3.connect('journal').execute('SELECT state FROM file').fetchall() == [('done',)]"
    )
    monkeypatch.setenv("BEHAVE", look)
    assert run(audio, "--on-done", recorder(), "--report", "r.json") == 0
    assert json.loads(Path("r.json").read_text())["totals"]["hooks_failed"] == 0
    assert len(notes(here)) == 1


def test_each_copy_has_a_hook_and_so_has_a_recording_in_its_new_place(here: Path):
    for name in ("one", "two"):
        write_wav(here / "in" / f"{name}.wav", 7, 32_000)
    assert run("in", "--on-done", recorder("{path} {txt} {id}")) == 0
    (here / "in" / "two.wav").rename(here / "in" / "three.wav")
    assert run("in", "--on-done", recorder("{path} {txt} {id}")) == 0
    found = [told["argv"] for told in notes(here)]
    assert sorted(Path(path).stem for path, _, _ in found[:2]) == ["one", "two"] and len(found) == 3
    assert all(Path(text) == Path(path).with_suffix(".txt") for path, text, _ in found)
    assert Path(found[2][0]).stem == "three" and len({mark for _, _, mark in found}) == 3


def test_what_failed_has_its_own_command_with_the_reason(here: Path):
    write_wav(here / "in" / "bad.wav", 99)
    write_wav(here / "in" / "good.wav", 1)
    assert run("in", "--on-failed", recorder("{path} {status} {error} {id}")) == 1
    (told,) = notes(here)
    path, status, error, mark = told["argv"]
    assert (path, status, len(mark)) == (str(here / "in" / "bad.wav"), "failed", 32)
    assert error


def test_a_recording_that_was_done_before_has_no_hook(here: Path):
    write_wav(here / "in" / "a.wav", 1)
    assert run("in") == 0
    assert run("in", "--on-done", recorder()) == 0  # skipped: a hook changes no text, and so nothing is done again
    assert notes(here) == []
    assert run("in", "--on-done", recorder("{id}"), "--redo") == 0
    assert run("in", "--on-done", recorder("{id}"), "--redo") == 0
    one, two = notes(here)
    assert one == two  # same recording, settings and outputs
    assert run("in", "--on-done", recorder("{id}"), "--format", "srt,txt,json") == 0
    assert notes(here)[2] != one


def test_what_lasts_and_failed_before_has_no_hook_again(here: Path):
    (here / "in").mkdir()
    (here / "in" / "a.wav").write_bytes(b"nothing of the kind" * 100)
    for _ in range(2):
        assert run("in", "--on-failed", recorder("{path}")) == 1
    assert len(notes(here)) == 1


def test_a_hook_that_fails_is_reported_and_fails_nothing_else(here: Path, monkeypatch, capsys):
    write_wav(here / "in" / "a.wav", 1)
    monkeypatch.setenv("BEHAVE", "print('one\\n\\x1b[2Jno room', file=sys.stderr); sys.exit(7)")
    assert run("in", "--on-done", recorder(), "--report", "r.json", "--events", "e.jsonl") == 0
    said = capsys.readouterr().err
    assert "--on-done failed, exit code 7: one / \\x1b[2Jno room; the next run tries it again" in said
    assert "1 done; 1 hook failed" in said
    report = json.loads(Path("r.json").read_text())
    (told,) = report["hooks"]
    assert told["path"] == str(here / "in" / "a.wav") and told["hook"] == "on-done"
    assert (report["totals"]["hooks_failed"], report["totals"]["exit_code"]) == (1, 0)
    (event,) = [one for line in Path("e.jsonl").read_text().splitlines() if "hook" in (one := json.loads(line))]
    assert event["event"] == "notice" and event["id"] == told["id"] == json.loads(notes(here)[0]["stdin"])["id"]


def test_a_failing_hook_is_tried_by_the_next_runs_three_times_in_all(here: Path, monkeypatch, capsys):
    write_wav(here / "in" / "a.wav", 1)
    monkeypatch.setenv("BEHAVE", "sys.exit(1)")
    for _ in range(5):
        assert run("in", "--on-done", recorder("{id} {path}")) == 0
    assert len(notes(here)) == 3
    assert len({told["argv"][0] for told in notes(here)}) == 1
    assert "given up after 3 tries" in capsys.readouterr().err


def test_a_mended_command_is_run_for_the_recordings_that_a_run_meets(here: Path, monkeypatch):
    for name in ("a", "b"):
        write_wav(here / "in" / f"{name}.wav", ord(name))
    monkeypatch.setenv("BEHAVE", "sys.exit(1)")
    assert run("in", "--on-done", recorder("wrong {id}")) == 0
    monkeypatch.setenv("BEHAVE", "")
    assert run("in/a.wav", "--on-done", recorder("mended {id} {path}")) == 0
    *before, told = notes(here)
    assert told["argv"][0] == "mended" and told["argv"][2] == str(here / "in" / "a.wav")
    assert told["argv"][1] in [one["argv"][1] for one in before]
    write_wav(here / "else" / "c.wav", 7)
    assert run("else", "--on-done", recorder("wrong {id}")) == 0  # the same command as b's
    assert [one["argv"][0] for one in notes(here)[3:]] == ["wrong", "wrong"]
    with Journal(here / "journal") as journal:
        assert journal.hooks.n_due() == 0


def script(name: str, lines: str) -> str:
    """A shell script, which starts sooner than Python on a busy machine."""
    Path(name).write_text(f"#!/bin/sh\n{lines}\n")
    Path(name).chmod(0o755)
    return f"./{name}"


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_a_hook_that_hangs_is_killed_with_its_children(here: Path, capsys):
    write_wav(here / "in" / "a.wav", 1)
    hang = script("hang.sh", "sleep 600 & echo $! > pid; wait")
    assert run("in", "--on-done", hang, "--hook-timeout", "3.5") == 0
    assert "killed after 3.5 s (--hook-timeout)" in capsys.readouterr().err
    gone = Path("/proc") / Path("pid").read_text().strip()
    for _ in range(200):
        if not gone.exists() or "State:\tZ" in (gone / "status").read_text():
            return
        threading.Event().wait(0.05)
    raise AssertionError("the child is still there")


def test_a_flood_blocks_nothing_and_is_cut(here: Path, monkeypatch, capsys):
    write_wav(here / "in" / "a.wav", 1)
    flood = "[(sys.stdout.write('x' * 65536), sys.stderr.write('y' * 65536)) for _ in range(320)]"
    monkeypatch.setenv("BEHAVE", f"{flood}; sys.exit('the end')")
    assert run("in", "--on-done", recorder()) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "--on-done failed" in line]
    assert len(line) < 3_000 and "the end" in line


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_a_hook_that_reads_nothing_or_leaves_a_child_behind_ends_well(here: Path, capsys):
    write_wav(here / "in" / "a.wav", 1)
    leave = script("leave.sh", "sleep 5 &\nexit 3")
    assert run("in", "--on-done", leave, "--on-failed", "true") == 0
    assert "failed, exit code 3; the next" in capsys.readouterr().err


def test_no_more_run_at_once_than_asked(here: Path, monkeypatch):
    for index in range(8):
        write_wav(here / "in" / f"{index}.wav", index + 1)
    look = (
        "import pathlib; mine = pathlib.Path(f'on-{os.getpid()}'); mine.touch(); time.sleep(0.1);"
        "open('seen', 'a').write(f'{len(list(pathlib.Path().glob(chr(111) + chr(110) + chr(45) + chr(42))))}\\n');"
        "mine.unlink()"
    )
    monkeypatch.setenv("BEHAVE", look)
    assert run("in", "--on-done", recorder(), "--hook-jobs", "3") == 0
    seen = [int(one) for one in Path("seen").read_text().split()]
    assert len(seen) == 8 and 1 <= max(seen) <= 3


def test_the_end_has_a_command_after_the_report(here: Path, monkeypatch):
    write_wav(here / "in" / "bad.wav", 99)
    write_wav(here / "in" / "good.wav", 1)
    monkeypatch.setenv("BEHAVE", "json.load(open('r.json'))")
    assert run("in", "--on-end", recorder("{status} {done} {failed} {exit_code}"), "--report", "r.json") == 1
    assert notes(here)[0]["argv"] == ["failed", "1", "1", "1"]
    assert run("in", "--on-end", recorder(), "--report", "r.json") == 1
    told = json.loads(notes(here)[1]["stdin"])
    assert (told["hook"], told["skipped"], told["failures"][0]["path"]) == ("on-end", 1, "in/bad.wav")


def test_the_end_has_a_command_when_an_error_ends_the_run(here: Path, monkeypatch):
    write_wav(here / "in" / "a.wav", 1)

    def no_model(*given: object, **named: object) -> None:
        from whisperbatch.errors import ModelError

        raise ModelError("no such model")

    monkeypatch.setattr(local, "open_engine", no_model)
    assert run("in", "--on-end", recorder("{status} {exit_code} {interrupted}")) == 3
    assert notes(here)[0]["argv"] == ["failed", "3", "1"]


def test_from_python_a_command_may_be_a_list_and_the_end_has_its_command(here: Path):
    write_wav(here / "in" / "a b.wav", 1)
    done = [sys.executable, "recorder.py", "{path}", "two words"]
    (outcome,) = api.transcribe(
        "in", model="demo", vad=False, use_journal=False, on_done=done, on_end=recorder("{done}"), hook_timeout=30
    )
    assert outcome.status is Status.DONE
    assert [told["argv"] for told in notes(here)] == [[str(here / "in" / "a b.wav"), "two words"], ["1"]]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["--on-done", "echo 'x"], "quotation mark"),
        (["--on-done", ""], "is empty"),
        (["--on-done", "echo {pth}"], "did you mean {path}?"),
        (["--on-done", "echo {srt}"], "add --format srt"),
        (["--on-done", "echo {txt}", "--stdout"], "--stdout writes no files"),
        (["--on-failed", "echo {txt}"], "--on-failed does not know {txt}"),
        (["--on-end", "echo {path}"], "--on-end does not know {path}"),
        (["--on-done", "{path} x"], "must begin with a program"),
        (["--on-done", "no-such-program-here {path}"], "was not found"),
        (["--on-done", "echo", "--hook-timeout", "0"], "--hook-timeout"),
        (["--on-done", "echo", "--hook-timeout", "nan"], "--hook-timeout"),
        (["--on-done", "echo", "--hook-jobs", "0"], "--hook-jobs"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(here: Path, capsys, line: list[str], sentence: str):
    write_wav(here / "in" / "a.wav", 1)
    assert run("in", *line) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert sentence in said
    assert not (here / "journal").exists() and not (here / "in" / "a.txt").exists()


def test_the_command_line_and_python_make_the_same_options(monkeypatch, tmp_path: Path):
    from command_lines import parsed

    argv = ["--on-done", "echo 'a b' {path}", "--on-failed", "echo", "--on-end", "true", "--hook-timeout", "5"]
    options = parsed(monkeypatch, "watch", str(tmp_path), *argv, "--hook-jobs", "4")
    assert options.hooks == HookOptions(("echo", "a b", "{path}"), ("echo",), ("true",), 5.0, 4)
    same = {"on_done": ["echo", "a b", "{path}"], "on_failed": "echo", "on_end": "true", "hook_timeout": 5.0}
    assert api.run_options_from(**same, hook_jobs=4) == options
    assert parse_hook(None, "--on-done") == ()
    with pytest.raises(UsageError, match="NUL"):
        HookOptions(on_done=("echo", "a\0b"))


def test_workers_of_a_pool_run_no_hooks():
    options = RunOptions(hooks=HookOptions(on_done=("true",)))
    assert options_of_worker(options, device="cpu", n_load_workers=1).hooks == HookOptions()


def test_a_format_that_a_line_of_a_list_does_not_ask_for_is_a_sentence(here: Path, capsys):
    write_wav(here / "a.wav", 1)
    Path("list.jsonl").write_text(json.dumps({"path": "a.wav", "format": "srt"}) + "\n")
    assert run("--from-file", "list.jsonl", "--on-done", recorder("{txt}")) == 0
    assert "uses {txt}, which this recording does not have" in capsys.readouterr().err
    assert notes(here) == []


def test_a_fault_in_a_list_has_a_hook_too(here: Path):
    Path("list.jsonl").write_text('{"path": "nowhere.wav", "language": "zz"}\n')
    assert run("--from-file", "list.jsonl", "--on-failed", recorder("{path} {error}")) == 1
    assert notes(here)[0]["argv"][0] == str(here / "list.jsonl, line 1")


def test_a_moved_recording_is_named_where_it_is(here: Path):
    write_wav(here / "drop" / "a.wav", 1)
    argv = ["watch", "drop", "--until-idle", "1", "--settle", "0", "--move-done", "archive", "--journal", "journal"]
    options = "--model demo --max-wait 0 --load-workers 1 --no-vad".split()
    assert cli.main([*argv, *options, "--on-done", recorder("{path} {txt}")]) == 0
    assert notes(here)[0]["argv"] == [str(here / "archive" / "a.wav"), str(here / "archive" / "a.txt")]


def test_a_hook_of_a_recording_that_was_moved_meanwhile_is_still_run(here: Path, monkeypatch, capsys):
    write_wav(here / "drop" / "a.wav", 1)
    argv = ["watch", "drop", "--until-idle", "1", "--settle", "0", "--move-done", "archive", "--journal", "journal"]
    argv += [
        "--model",
        "demo",
        "--max-wait",
        "0",
        "--load-workers",
        "1",
        "--no-vad",
        "--on-done",
        recorder("{id} {path}"),
    ]
    monkeypatch.setenv("BEHAVE", "sys.exit(1)")
    assert cli.main(argv) == 0
    capsys.readouterr()
    assert cli.main(["status", "--journal", "journal"]) == 0
    assert "1 hook is due" in capsys.readouterr().out
    monkeypatch.setenv("BEHAVE", "")
    assert cli.main(argv) == 0  # it finds nothing in the drop folder
    one, two = notes(here)
    assert one == two and one["argv"][1] == str(here / "archive" / "a.wav")
    assert cli.main(["status", "--journal", "journal"]) == 0
    assert "due" not in capsys.readouterr().out


@pytest.mark.slow
def test_the_parent_of_a_pool_runs_the_hooks(here: Path):
    import pools

    names = pools.fill(here / "in", 12, poison=5)
    commands = ["--on-done", recorder("{id} {path} {txt}"), "--on-failed", recorder("{id} {path}")]
    run = pools.start(here / "in", "--device", "cpu:2", *commands)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 1, err
    assert sorted(Path(told["argv"][1]).name for told in notes(here)) == names
    (bad,) = [told for told in notes(here) if len(told["argv"]) == 2]
    assert bad["argv"][1].endswith(names[5])


def test_nothing_is_due_for_what_the_journal_forgot(here: Path, monkeypatch):
    write_wav(here / "in" / "a.wav", 1)
    monkeypatch.setenv("BEHAVE", "sys.exit(1)")
    assert run("in", "--on-done", recorder()) == 0
    with Journal(here / "journal") as journal:
        assert journal.hooks.n_due() == 1
    assert cli.main(["forget", "in", "--journal", "journal"]) == 0
    with Journal(here / "journal") as journal:
        assert journal.hooks.n_due() == 0


def test_another_run_that_is_alive_keeps_its_hooks(here: Path, monkeypatch):
    write_wav(here / "in" / "a.wav", 1)
    monkeypatch.setenv("BEHAVE", "sys.exit(1)")
    assert run("in", "--on-done", recorder("{id}")) == 0
    command = {"done": tuple(recorder("{id}").split())}
    with Journal(here / "journal") as one, Journal(here / "journal") as two:
        due = one.hooks.take(command)
        assert due is not None and due.tries == 1
        assert two.hooks.take(command) is None
        assert two.hooks.take_of(Key(here / "in" / "a.wav", here / "in").path, here / "in", command) == []
    with Journal(here / "journal") as three:
        assert three.hooks.take(command) == due


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_a_stop_waits_for_the_hooks_that_run_no_longer_than_they_may(here: Path):
    for index in range(6):
        write_wav(here / "in" / f"{index}.wav", index + 1)
    command = script("slow.sh", "echo $1 >> started; [ -e quick ] || exec sleep 600") + " {id}"
    options = api.run_options_from(
        model="demo", vad=False, journal="journal", on_done=command, hook_timeout=3.0, hook_jobs=1
    )
    stop, events = threading.Event(), []
    from whisperbatch.sources import from_paths

    with api.Transcriber(options) as transcriber:
        for n, _ in enumerate(transcriber.run(from_paths(["in"]), on_event=events.append, stop=stop)):
            if n == 5:
                stop.set()
    assert 1 <= len(Path("started").read_text().split()) <= 3
    (left,) = [e.data["text"] for e in events if e.kind == "notice" and "not run before the end" in e.data["text"]]
    assert "the next run catches up" in left
    Path("quick").touch()
    assert run("in", "--on-done", command) == 0
    assert len(set(Path("started").read_text().split())) == 6


def test_all_that_run_can_be_killed_and_what_starts_later_too(here: Path):
    call = hooks.call_of([sys.executable, "-c", "import time; time.sleep(600)"], {})
    running = hooks.RunningHooks()
    threading.Timer(0.3, running.kill).start()
    assert hooks.run(call, 60.0, running) == "signal 9, SIGKILL"
    assert hooks.run(call, 60.0, running) == "signal 9, SIGKILL"  # started after all were killed


KILLED = """
import sys, threading
from whisperbatch import cli
from whisperbatch.backends import local
from whisperbatch.engine import EngineFacts
from whisperbatch.engine.fake import FakeEngine
FakeEngine.facts = EngineFacts("demo", None)
wait = threading.Event()
local.open_engine = lambda *given, **named: FakeEngine(
    2, lambda clips: wait.wait(0.05) and None, lambda clip: int(clip.samples[0]) == 99
)
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals a process group")
def test_ctrl_c_does_not_hit_a_hook_and_the_run_waits_for_it(here: Path, monkeypatch):
    monkeypatch.setenv("BEHAVE", "time.sleep(2); open('ended', 'w').close()")
    write_wav(here / "in" / "a.wav", 1)
    argv = "watch in --model demo --max-wait 0 --load-workers 1 --no-vad --settle 0 --journal journal -q".split()
    command = [sys.executable, "-c", KILLED, *argv, "--on-done", recorder("{id}")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while not notes(here):
        assert process.poll() is None
        threading.Event().wait(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert Path("ended").exists()
    with Journal(here / "journal") as journal:
        assert journal.hooks.n_due() == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills")
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_ten_moments_each_hook_runs_at_least_once_with_the_same_id(here: Path, monkeypatch, seed: int):
    chance = np.random.default_rng(seed)
    monkeypatch.setenv("BEHAVE", "time.sleep(0.05)")
    names = [*ODD, *(f"{index:03d}.wav" for index in range(33))]
    for index, name in enumerate(names):
        write_wav(here / "in" / name, 99 if index % 8 == 7 else index + 1)
    argv = "transcribe in --model demo --batch-size 2 --max-wait 0 --load-workers 1 --no-vad --retries 0 -q".split()
    argv += ["--journal", "journal", "--hook-jobs", "2", "--retry-failed"]
    argv += ["--on-done", recorder("{id} {path} {txt} {status}"), "--on-failed", recorder("{id} {path} - {status}")]
    n_killed = 0
    for _ in range(10):
        began = len(notes(here))
        process = subprocess.Popen([sys.executable, "-c", KILLED, *argv], stderr=subprocess.DEVNULL)
        last_s = time.monotonic() + chance.uniform(0.0, 1.0)
        while process.poll() is None and len(notes(here)) < began + chance.integers(1, 5):
            threading.Event().wait(0.005)
        while process.poll() is None and time.monotonic() < last_s:
            threading.Event().wait(0.005)
        process.send_signal(signal.SIGKILL)
        n_killed += process.wait() == -signal.SIGKILL
    assert n_killed >= 3
    last = subprocess.run([sys.executable, "-c", KILLED, *argv], stderr=subprocess.DEVNULL, check=False)
    assert last.returncode == 1
    marks: dict[str, set[str]] = {}
    for told in notes(here):
        mark, path, text, status = told["argv"]
        marks.setdefault(path, set()).add(mark)
        is_bad = names.index(Path(path).name) % 8 == 7
        assert (text, status) == (("-", "failed") if is_bad else (f"{path.removesuffix('.wav')}.txt", "done"))
    assert set(marks) == {str(here / "in" / name) for name in names}
    assert all(len(found) == 1 for found in marks.values())
    with Journal(here / "journal") as journal:
        assert journal.hooks.n_due() == 0
