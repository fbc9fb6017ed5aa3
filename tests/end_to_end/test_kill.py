"""Runs that are killed at any moment, or side by side: nothing lost, nothing half written, nothing done twice."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from sounds import write_wav

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="kills")]

# the command line with the fake engine; FAULT=place:n kills the process when it comes to a place for the n-th time
DRIVER = """
import itertools, os, signal, sys, threading
from whisperbatch import cli, journal
from whisperbatch.backends import local
from whisperbatch.engine import EngineFacts
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.pipeline import clip_cache

place, _, n = os.environ.get("FAULT", "").partition(":")
def faulty(owner, name, after):
    real, count = getattr(owner, name), itertools.count(1)
    def call(*given, **named):
        if place == f"{name} {'after' if after else 'before'}" and next(count) == int(n):
            if after:
                real(*given, **named)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)
    setattr(owner, name, call)
for owner, name in ((journal.Journal, "claim"), (journal.Journal, "intend"), (os, "link"),
                    (journal.Journal, "done"), (journal.Journal, "keep_clips")):
    for after in (False, True):
        faulty(owner, name, after)

clip_cache.ClipCache.__init__.__defaults__ = (60.0,)
FakeEngine.facts = EngineFacts("demo", None)
wait = float(os.environ.get("STEP_S", "0"))
engine = FakeEngine(2, lambda clips: threading.Event().wait(wait))
local.open_engine = lambda *given, **named: engine
sys.exit(cli.main(sys.argv[1:]))
"""


MARK = "WHISPERBATCH_TEST"  # a variable that tells the processes of a test


def fill(folder: Path, n_files: int, long_s: int = 0) -> Path:
    folder.mkdir(parents=True)
    for index in range(n_files):
        write_wav(folder / f"{index:03d}.wav", np.full(1_600, index + 1))
    if long_s:
        write_wav(folder / "007_long.wav", np.random.default_rng(0).integers(-900, 900, 16_000 * long_s))
    return folder


def start(
    folder: Path, number: int = 0, fault: str = "", step_s: float = 0.0, long_form: str = "clips"
) -> subprocess.Popen[bytes]:
    options = "--model demo --batch-size 2 --max-wait 0 --load-workers 1 --format txt,srt,docx,json -q".split()
    places = ["--journal", str(folder.parent / "journal"), "--events", str(folder.parent / f"events-{number:03d}")]
    places += ["--long-form", long_form, "--spool-dir", str(folder.parent / "spool")]
    environment = {**os.environ, "FAULT": fault, "STEP_S": str(step_s), MARK: str(folder)}
    command = [sys.executable, "-c", DRIVER, "transcribe", str(folder), "--no-vad", *options, *places]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".wav"}


def events(folder: Path) -> list[tuple[str, str]]:
    """(event, file name) of all runs, in order; a line that a kill cut off is left out."""
    lines = [line for path in sorted(folder.parent.glob("events-*")) for line in path.read_bytes().split(b"\n")[:-1]]
    told = [json.loads(line) for line in lines]
    return [(one["event"], Path(one["path"]).name) for one in told if "path" in one]


def check(folder: Path, undisturbed: dict[str, bytes]) -> None:
    """One whole set a file, as of an undisturbed run; nothing else left; nothing done again after it was done."""
    assert contents(folder) == undisturbed  # no temporary file is left, since none is known to it
    assert_nothing_left(folder)
    done: set[str] = set()
    for kind, name in events(folder):
        assert not (kind == "started" and name in done), name
        if kind == "done":
            done.add(name)


def assert_nothing_left(folder: Path) -> None:
    """No lock file, no spool, no process; a load process that lost its parent has a moment to notice."""
    assert [path.name for path in folder.parent.glob("journal*")] == ["journal"]
    spool = folder.parent / "spool"
    assert not spool.exists() or list(spool.iterdir()) == []
    patience = threading.Event()
    for _ in range(100):
        if not (left := processes(folder)):
            return
        patience.wait(0.1)
    raise AssertionError(left)


def processes(folder: Path) -> list[str]:
    """The command lines of all processes that runs over a folder have started, those of load processes included."""
    mark, found = f"{MARK}={folder}".encode(), []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended, or is another user's
            if mark in (place / "environ").read_bytes().split(b"\0"):
                found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200])
    return found


class Watcher(threading.Thread):
    """Looks at the outputs all the time; one under its final name must be whole."""

    def __init__(self, folder: Path, whole: dict[str, bytes]) -> None:
        super().__init__(daemon=True)
        self.folder, self.whole, self.bad, self.ended = folder, whole, [], threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.002):
            for path in self.folder.iterdir():
                if path.name in self.whole and path.read_bytes() != self.whole[path.name]:
                    self.bad.append(path.name)


@pytest.fixture
def undisturbed(tmp_path: Path) -> dict[str, bytes]:
    folder = fill(tmp_path / "undisturbed" / "in", 40, long_s=300)
    assert start(folder).wait(120) == 0
    return contents(folder)


def test_killed_at_thirty_moments_and_started_again(tmp_path: Path, undisturbed: dict[str, bytes]):
    seed = random.randrange(10**6)
    print("seed", seed)
    chance = random.Random(seed)
    folder = fill(tmp_path / "killed" / "in", 40, long_s=300)
    watcher = Watcher(folder, undisturbed)
    watcher.start()
    for number in range(30):
        run = start(folder, number, step_s=0.25)
        log = folder.parent / f"events-{number:03d}"
        if chance.random() < 0.8:  # else it may be killed while it starts
            while not (log.exists() and log.stat().st_size) and run.poll() is None:
                threading.Event().wait(0.01)
        threading.Event().wait(chance.uniform(0.0, 1.2))
        run.send_signal(signal.SIGKILL)
        run.wait()
    n_done = Counter(kind for kind, _ in events(folder))["done"]
    assert start(folder, 999).wait(120) == 0
    watcher.ended.set()
    watcher.join()
    assert watcher.bad == []
    assert n_done >= 5
    check(folder, undisturbed)


def test_killed_while_it_spools_and_started_again(tmp_path: Path):
    """In sequential mode each file's samples lie on disk while it runs."""
    expected = fill(tmp_path / "undisturbed" / "in", 12, long_s=100)
    assert start(expected, long_form="sequential").wait(120) == 0
    seed = random.randrange(10**6)
    print("seed", seed)
    chance, folder, n_workers = random.Random(seed), fill(tmp_path / "killed" / "in", 12, long_s=100), 0
    for number in range(6):
        run = start(folder, number, step_s=0.4, long_form="sequential")
        log = folder.parent / f"events-{number:03d}"
        while not (log.exists() and log.stat().st_size) and run.poll() is None:
            threading.Event().wait(0.01)
        threading.Event().wait(chance.uniform(0.0, 1.0))
        n_workers += len(processes(folder)) - 1
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert n_workers >= 3 or not Path("/proc").is_dir()  # else no load process was there to be left
    assert not all((folder / f"{path.stem}.json").exists() for path in folder.glob("*.wav"))
    assert start(folder, 999, long_form="sequential").wait(120) == 0
    check(folder, contents(expected))


@pytest.mark.parametrize(
    "fault",
    [f"{name} {when}:{n}" for name in ("claim", "intend", "done") for when in ("before", "after") for n in (1, 5)]
    + [f"link before:{n}" for n in (1, 2, 3, 8)]
    + ["link after:1", "link after:6", "keep_clips before:1", "keep_clips after:2"],
)
def test_killed_between_intent_renames_and_commit(tmp_path: Path, fault: str):
    expected = fill(tmp_path / "undisturbed" / "in", 4, long_s=100)
    assert start(expected).wait(60) == 0
    folder = fill(tmp_path / "killed" / "in", 4, long_s=100)
    assert start(folder, 0, fault).wait(60) == -signal.SIGKILL
    assert start(folder, 1).wait(60) == 0
    check(folder, contents(expected))


def test_three_runs_share_a_folder_and_take_over_from_one_that_is_killed(tmp_path: Path):
    folder = fill(tmp_path / "shared" / "in", 60)
    runs = [start(folder, number, step_s=0.1) for number in range(3)]
    log = folder.parent / "events-000"
    while not (log.exists() and b'"done"' in log.read_bytes()):
        assert runs[0].poll() is None
        threading.Event().wait(0.02)
    runs[0].kill()
    assert [run.wait(120) for run in runs] == [-signal.SIGKILL, 0, 0]
    ends = Counter((kind, name) for kind, name in events(folder) if kind == "done")
    assert set(ends.values()) == {1}
    assert len(contents(folder)) == 240
    # what the killed one had done and not told of is known to the others as done
    assert len(ends) >= 60 - 2
    told = [{name for kind, name in events(folder) if kind in ("done", "skipped")}]
    assert all(len(names) == 60 for names in told)
    assert_nothing_left(folder)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def fill_with_copies(folder: Path) -> Path:
    """Two recordings, each four times; large ones, of which a sample is taken."""
    folder.mkdir(parents=True)
    for index in range(8):
        write_wav(folder / f"{index:03d}.wav", np.full(200_000, index % 2 + 1))
    return folder


@pytest.mark.parametrize("fault", ["claim after:3", "intend after:1", "link after:3", "done before:1", "done after:2"])
def test_killed_among_copies_each_has_its_transcript_in_the_end(tmp_path: Path, fault: str):
    expected = fill_with_copies(tmp_path / "undisturbed" / "in")
    assert start(expected).wait(60) == 0
    assert len([kind for kind, _ in events(expected) if kind == "started"]) == 2
    folder = fill_with_copies(tmp_path / "killed" / "in")
    assert start(folder, 0, fault).wait(60) == -signal.SIGKILL
    assert start(folder, 1).wait(60) == 0
    check(folder, contents(expected))
    assert len([kind for kind, _ in events(folder) if kind == "started"]) <= 4


def test_two_runs_share_a_folder_of_copies_and_one_that_is_killed_leaves_none_waiting(tmp_path: Path):
    expected = fill_with_copies(tmp_path / "undisturbed" / "in")
    assert start(expected).wait(60) == 0
    folder = fill_with_copies(tmp_path / "shared" / "in")
    runs = [start(folder, number, step_s=1.0) for number in range(2)]
    log = folder.parent / "events-000"
    while not (log.exists() and b'"started"' in log.read_bytes()):
        assert runs[0].poll() is None
        threading.Event().wait(0.02)
    runs[0].kill()
    assert [run.wait(120) for run in runs] == [-signal.SIGKILL, 0]
    check(folder, contents(expected))
