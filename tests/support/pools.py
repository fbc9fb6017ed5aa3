"""Worker pools whose workers have the fake engine: as processes, and as a command line that uses such processes."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sounds import write_wav
from whisperbatch.api import run_options_from
from whisperbatch.options import RunOptions

MARK = "WHISPERBATCH_TEST"  # a variable that tells the processes of a test
# a clip of a file whose samples are all 99 kills the process that decodes it; STEP_S is the engine's time for a clip
ENGINE = """
import os, signal, threading
from whisperbatch.backends import local
from whisperbatch.engine import EngineFacts
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.speakers.fake import FakeDiarizer

FakeEngine.facts = EngineFacts("demo", None)
pause = threading.Event()
def step(clips):
    if any(int(clip.samples[0]) == 99 for clip in clips):
        os.kill(os.getpid(), signal.SIGKILL)
    pause.wait(float(os.environ.get("STEP_S", "0")) * len(clips))
def open_engine(options, *given, max_batch_size=None, **named):
    return FakeEngine(max_batch_size or 4, step)
local.open_engine = open_engine
local.open_diarizer = lambda options, **named: FakeDiarizer()
if "LONG_S" in os.environ:
    from whisperbatch.pipeline import clip_cache
    clip_cache.ClipCache.__init__.__defaults__ = (float(os.environ["LONG_S"]),)
"""
WORKER = f"{ENGINE}\nfrom whisperbatch.backends import process_workers\nprocess_workers.main()\n"
DRIVER = f"""
import sys
{ENGINE}
from whisperbatch.backends import process_workers
WORKER = {WORKER!r}
process_workers.command = lambda module: [sys.executable, "-c", WORKER]
from whisperbatch import cli
sys.exit(cli.main(sys.argv[1:]))
"""


def fill(folder: Path, n_files: int, poison: int | None = None) -> list[str]:
    """Files of 0.1 to 0.5 s, each with a sample value of its own; their names."""
    names = [f"{index:03d}.wav" for index in range(n_files)]
    for index, name in enumerate(names):
        value = 99 if index == poison else 1_000 + index
        write_wav(folder / name, np.full(1_600 * (1 + index % 5), value))
    return names


def talk(folder: Path, n_files: int) -> None:
    """Recordings in which low and high tones take turns: two speakers, to the fake diarizer."""
    for index in range(n_files):
        at = np.arange(16_000 * (2 + index)) / 16_000
        parts = [8_000 * np.sin(2 * np.pi * hz * at) for hz in (100, 900)[:: 1 - 2 * (index % 2)]]
        write_wav(folder / f"{index:03d}.wav", np.concatenate(parts))


def options(**flat: object) -> RunOptions:
    """Options of a run with the fake engine."""
    plain: dict[str, object] = {"vad": False, "load_workers": 2, "batch_size": 2, "max_wait": 0.1}
    return run_options_from(**({"model": "demo", "formats": "txt,json"} | plain | flat))


def start(folder: Path, *more: str, step_s: float = 0.0, command: str = "transcribe") -> subprocess.Popen[bytes]:
    """The command line over a folder, journal and events beside it."""
    plain = "--model demo --no-vad --batch-size 2 --max-wait 0.1 --load-workers 2 --format txt,json --progress plain"
    places = ["--journal", str(folder.parent / "journal"), "--events", str(folder.parent / "events")]
    environment = {**os.environ, "STEP_S": str(step_s), MARK: str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, command, str(folder), *plain.split(), *places, *more],
        stderr=subprocess.PIPE,
        env=environment,
    )


def events(folder: Path) -> list[dict]:
    """What the runs over a folder have told; a line that a kill cut off is left out."""
    file = folder.parent / "events"
    return [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]] if file.exists() else []


def names_of(told: list[dict], kind: str) -> list[str]:
    return sorted(Path(one["path"]).name for one in told if one["event"] == kind)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.suffix != ".wav"}


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if holds():
            return
        pause.wait(0.05)
    raise AssertionError("it did not come to pass")


def processes(folder: Path) -> dict[int, str]:
    """The command lines of all processes that runs over a folder have started, by process id."""
    mark, found = f"{MARK}={folder}".encode(), {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (place / "environ").read_bytes().split(b"\0"):
                found[int(place.name)] = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return {pid: line for pid, line in found.items() if line}


def pool_workers(folder: Path) -> list[int]:
    return [pid for pid, line in processes(folder).items() if line.endswith("process_workers.main()\n ")]
