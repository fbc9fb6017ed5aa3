"""A drop folder for long: ``python tests/bench/bench_watch.py [--minutes 60]`` prints a table; nothing is asserted.

The whole command line with the fake engine and real load processes, in a process of its own. A steady trickle of short
recordings, a failing one now and then, the old ones removed; then nothing for a while. Told are the anonymous memory
and open files of the command, those of its load processes, and how much of a core all of them use while nothing comes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import wave
from collections import deque
from pathlib import Path

DRIVER = """
import sys
from whisperbatch import cli
from whisperbatch.backends import local
from whisperbatch.engine import EngineFacts
from whisperbatch.engine.fake import FakeEngine
FakeEngine.facts = EngineFacts("demo")
local.open_engine = lambda *given, **named: FakeEngine(16)
sys.exit(cli.main(sys.argv[1:]))
"""
IDLE_S = 60.0
N_KEPT = 200  # recordings that lie in the folder at a time
MB = 1 << 20
wait = threading.Event().wait


def children(pid: int) -> list[int]:
    return [int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()]


def anonymous(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) * 1024


def n_open(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def record(path: Path, value: int) -> None:
    part = path.with_name(path.name + ".part")
    if value % 50 == 49:
        part.write_bytes(b"this is no recording")
    else:
        with wave.open(str(part), "wb") as out:
            out.setparams((1, 2, 16_000, 0, "NONE", ""))
            out.writeframes(value.to_bytes(2, "little") * 16_000)
    part.rename(path)


class Watched:
    """The command, and what it uses."""

    def __init__(self, base: Path, *more: str) -> None:
        self.place = base / "drop"
        self.place.mkdir()
        options = "--model demo --no-vad --load-workers 1 --settle 1 --progress plain --journal".split()
        self.log = (base / "log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, "watch", str(self.place), *options, str(base / "journal"), *more],
            stderr=self.log,
        )
        self.kept: deque[Path] = deque()
        self.n_brought = 0

    def bring(self) -> None:
        path = self.place / f"{self.n_brought:06d}.wav"
        record(path, self.n_brought)
        self.kept.append(path)
        self.n_brought += 1
        if len(self.kept) > N_KEPT:
            old = self.kept.popleft()
            for one in (old, old.with_suffix(".txt"), old.with_suffix(".json")):
                one.unlink(missing_ok=True)

    def n_ended(self) -> int:
        lines = Path(self.log.name).read_bytes().splitlines()
        return sum(line.startswith((b"done:", b"failed:", b"skipped:")) for line in lines)

    def figures(self) -> tuple[int, int, int, int]:
        """Bytes and open files, of the command and of its load processes."""
        pid, inner = self.process.pid, children(self.process.pid)
        return anonymous(pid), n_open(pid), sum(map(anonymous, inner)), sum(map(n_open, inner))

    def idle(self, seconds: float) -> float:
        """Which part of a core everything uses while nothing comes."""
        pids = [self.process.pid, *children(self.process.pid)]
        before = sum(map(cpu_s, pids))
        wait(seconds)
        return (sum(map(cpu_s, pids)) - before) / seconds

    def end(self) -> int:
        self.process.terminate()
        code = self.process.wait(60)
        self.log.close()
        return code


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two recordings")
    given, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as base:
        watched = Watched(Path(base), *more)
        wait(10)
        idle_s = min(IDLE_S, given.minutes * 60 / 4)
        print(f"idle at the start: {watched.idle(idle_s):.2%} of a core", flush=True)
        print("minute  brought  ended  MB   files  MB and files of load processes", flush=True)
        n_minutes = 0
        while n_minutes < given.minutes:
            for _ in range(round(60 / given.pause)):
                watched.bring()
                wait(given.pause)
            n_minutes += 1
            own, n_own, inner, n_inner = watched.figures()
            told = f"{n_minutes:6}  {watched.n_brought:7}  {watched.n_ended():5}  {own / MB:.1f}  {n_own}"
            print(f"{told}  {inner / MB:.1f}  {n_inner}", flush=True)
        wait(10)
        print(f"idle at the end: {watched.idle(idle_s):.2%} of a core", flush=True)
        n_ended = watched.n_ended()
        print(f"exit code {watched.end()}; {watched.n_brought} brought, {n_ended} ended", flush=True)


if __name__ == "__main__":
    main()
