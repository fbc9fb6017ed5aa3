"""Signals and streams that close, on the whole command line with the fake engine: the state on disk stays true."""

import json
import os
import signal
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends signals")

# the command line, with an engine that says what it does and waits in each step for a line on standard input
DRIVER = """
import contextlib, os, sys, threading
from whisperbatch import cli
from whisperbatch.backends import local
from whisperbatch.engine import EngineFacts
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.pipeline.open_files import OpenFiles

def tell(what):
    with contextlib.suppress(OSError):
        os.write(2, (what + "\\n").encode())

def before_step(clips):
    tell("step " + str(len(engine.batches)))
    sys.stdin.readline()

def interrupt(files, *given, **named):
    held(files, *given, **named)
    tell("nothing more is taken in")

held, OpenFiles.interrupt = OpenFiles.interrupt, interrupt
FakeEngine.facts = EngineFacts("demo")
engine = FakeEngine(2, before_step)

def open_engine(*given, **named):
    tell("opening")
    sys.stdin.readline()
    return engine

local.open_engine = open_engine
sys.exit(cli.main(sys.argv[1:]))
"""
N_FILES = 6


STOPPING = "Stopping after the files in progress. Press Ctrl-C again to stop now.\n"


class Driven:
    """A run that goes on by a line on its standard input."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.folder = folder
        options = "--model demo --max-wait 60 --batch-size 2 --load-workers 1 --journal journal".split()
        command = [sys.executable, "-c", DRIVER, "transcribe", "in", "--no-vad", *options, *more]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder)
        self.told = ""

    def until(self, what: str) -> None:
        assert self.process.stderr is not None
        while what not in self.told:
            line = self.process.stderr.readline().decode()
            assert line, self.told
            self.told += line

    def go_on(self, n: int = 1) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n" * n)
        self.process.stdin.flush()

    def end(self) -> int:
        assert self.process.stderr is not None
        self.told += self.process.stderr.read().decode()
        return self.process.wait(60)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None and not pipe.closed:
                with suppress(BrokenPipeError):
                    pipe.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for index in range(N_FILES):
        with wave.open(str(tmp_path / "in" / f"{index}.wav"), "wb") as out:
            out.setparams((1, 2, 16_000, 0, "NONE", ""))
            out.writeframes(bytes([index]) * 3_200)
    return tmp_path


@pytest.fixture
def driven(folder: Path) -> Iterator[Driven]:
    run = Driven(folder)
    yield run
    run.close()


def status(folder: Path) -> dict[str, int]:
    command = [sys.executable, "-m", "whisperbatch", "status", "--json", "--journal", str(folder / "journal")]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {name: told[name] for name in ("done", "failed", "in_hand")}


def whole_sets(folder: Path) -> int:
    """How many files have their outputs; asserts that none has a part of them, and that nothing else lies there."""
    names = sorted(path.name for path in (folder / "in").iterdir())
    stems = {name.removesuffix(".txt") for name in names if name.endswith(".txt")}
    assert names == sorted([f"{i}.wav" for i in range(N_FILES)] + [f"{s}.{k}" for s in stems for k in ("txt", "json")])
    return len(stems)


def finish(folder: Path) -> None:
    """A later run does the rest, each file once."""
    n_done, run = whole_sets(folder), Driven(folder, "--events", "events")
    try:
        run.go_on(N_FILES + 1)
        assert run.end() == 0, run.told
        kinds = [json.loads(line)["event"] for line in (folder / "events").read_text().splitlines()]
        assert (kinds.count("done"), kinds.count("skipped")) == (N_FILES - n_done, n_done)
        assert whole_sets(folder) == N_FILES
    finally:
        run.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_what_is_in_the_engine(driven: Driven, number: int):
    driven.until("opening")
    driven.go_on(2)
    driven.until("step 2")
    driven.process.send_signal(number)
    driven.until(STOPPING)
    driven.until("nothing more is taken in")
    driven.go_on()
    assert driven.end() == 130, driven.told
    assert "Traceback" not in driven.told
    assert "4 done, 2 interrupted" in driven.told
    assert driven.told.splitlines()[-1] == "run the same command to continue"
    assert whole_sets(driven.folder) == 4
    assert status(driven.folder) == {"done": 4, "failed": 0, "in_hand": 0}
    finish(driven.folder)


@pytest.mark.parametrize("when", ["opening", "step 1", "step 3"])
def test_a_signal_at_any_time_leaves_the_journal_true(driven: Driven, when: str):
    driven.until("opening")
    if when != "opening":
        driven.go_on(int(when[-1]))
        driven.until(when)
    driven.process.send_signal(signal.SIGTERM)
    driven.until(STOPPING)
    driven.until("nothing more is taken in")
    driven.go_on(N_FILES)
    assert driven.end() == 130, driven.told
    assert whole_sets(driven.folder) == status(driven.folder)["done"] == {"opening": 0, "step 1": 2, "step 3": 6}[when]
    finish(driven.folder)


def test_the_second_signal_leaves_at_once(driven: Driven):
    driven.until("opening")
    driven.go_on(2)
    driven.until("step 2")
    driven.process.send_signal(signal.SIGINT)
    driven.until(STOPPING)
    for name in "01":
        driven.until(f"done: in/{name}.wav")
    driven.process.send_signal(signal.SIGINT)
    assert driven.process.wait(10) == 130  # the engine still waits in its step
    assert driven.end() == 130
    assert driven.told.splitlines()[-1] == "interrupted; run the same command to continue"
    assert status(driven.folder) == {"done": 2, "failed": 0, "in_hand": 0}
    finish(driven.folder)


def test_a_hang_up_is_survived(driven: Driven):
    driven.until("opening")
    driven.go_on(2)
    driven.until("step 2")
    driven.process.send_signal(signal.SIGHUP)
    driven.go_on(N_FILES)
    assert driven.end() == 0, driven.told
    assert whole_sets(driven.folder) == N_FILES


def test_a_terminal_that_goes_away_is_survived(folder: Path):
    import pty

    leader, follower = pty.openpty()
    driver = DRIVER.replace("sys.stdin.readline()", "threading.Event().wait(0.3)")
    command = [
        sys.executable,
        "-c",
        driver,
        *"transcribe in --no-vad --model demo --batch-size 2 --journal journal".split(),
    ]
    streams = {"stdin": follower, "stdout": follower, "stderr": follower}
    run = subprocess.Popen(command, cwd=folder, start_new_session=True, **streams)
    os.close(follower)
    seen = b""
    while b"step 1" not in seen:
        seen += os.read(leader, 4096)
    os.close(leader)
    run.send_signal(signal.SIGHUP)
    assert run.wait(60) == 0
    assert whole_sets(folder) == N_FILES


def test_closed_streams_are_survived(folder: Path):
    run = Driven(folder, "--events", "-")
    try:
        run.until("opening")
        for stream in (run.process.stdout, run.process.stderr):
            assert stream is not None
            stream.close()
        run.go_on(N_FILES + 1)
        assert run.process.wait(60) == 0
        assert whole_sets(folder) == N_FILES
    finally:
        run.close()


OPEN_LIST = """
import sys
from whisperbatch import cli
from whisperbatch.backends import local
from whisperbatch.engine import EngineFacts
from whisperbatch.engine.fake import FakeEngine

FakeEngine.facts = EngineFacts("demo")
local.open_engine = lambda *given, **named: FakeEngine(2, fails=lambda clip: "--fail-fast" in sys.argv)
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("more", "told", "code"), [((), "done: in/0.wav", 130), (("--fail-fast",), "ends the run", 3)])
def test_a_list_that_nobody_has_closed_does_not_keep_a_run_from_ending(
    folder: Path, more: tuple[str, ...], told: str, code: int
):
    options = "--model demo --no-vad --max-wait 0.1 --load-workers 1 --no-journal".split()
    command = [sys.executable, "-c", OPEN_LIST, "transcribe", "-", *options, *more]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"in/0.wav\n")
        process.stdin.flush()
        seen = b""
        while told.encode() not in seen:
            line = process.stderr.readline()
            assert line, seen
            seen += line
        if code == 130:
            process.send_signal(signal.SIGINT)
        seen += process.stderr.read()  # the list is still open
        assert process.wait(60) == code, seen
        assert b"Fatal" not in seen


@pytest.mark.parametrize(("closed", "code"), [("0", 0), ("1", 0), ("2", 0), ("0 1 2", 0), ("stdin", 2)])
def test_a_standard_stream_that_is_closed_is_an_empty_one(folder: Path, closed: str, code: int):
    options = "--model demo --no-vad --load-workers 1 --journal journal --overwrite".split()
    numbers = [int(number) for number in closed.split() if number.isdecimal()] or [0]
    close = "import os, sys; [os.close(int(n)) for n in sys.argv[1].split()]; os.execv(sys.executable, sys.argv[2:])"
    what = "-" if closed == "stdin" else "in"
    command = [sys.executable, "-c", OPEN_LIST, "transcribe", what, *options]
    line = [sys.executable, "-c", close, " ".join(map(str, numbers)), *command]
    done = subprocess.run(line, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == b""
    assert b"Error" not in done.stderr
    assert whole_sets(folder) == (0 if code else N_FILES)
    assert status(folder)["done"] == (0 if code else N_FILES)
