"""Damaged recordings for the load worker, without end: ``python tests/audio/fuzz_load.py --minutes 30 --seed 1``.

A decoder may crash, the pool has to survive it. Anything else is a defect, printed and its bytes kept: a file that
takes longer than ``--timeout``, an exception that is no LoadError, a sentence that is none for people, memory beyond
``--max-mb``, a wrong answer to the next whole recording.
"""

import argparse
import collections
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from damaged import fault_in, mutated
from seed_recordings import seeds
from whisperbatch.audio.worker_client import LoadWorker
from whisperbatch.errors import LoadError, WorkerDiedError
from whisperbatch.options import LoadOptions, SpeechOptions
from whisperbatch.records import Clip, ClipSettings

EVERY = 20  # files between two whole recordings
CLIPS, SEQUENTIAL = ClipSettings(), ClipSettings(long_form="sequential")


class Campaign:
    """Load workers with different options, taken in turn; what was found."""

    def __init__(self, folder: Path, kept: Path, timeout_s: float, max_mb: float, last: ExitStack) -> None:
        """Start the workers and load the whole recording that all answers are compared with."""
        self.kept, self.timeout_s, self.max_mb = kept, timeout_s, max_mb
        self.folder = folder
        self.recordings = list(seeds(folder))
        self.whole = [path.read_bytes() for path in self.recordings]
        self.good = folder / "pcm.wav"
        spools = LoadOptions(spool_dir=folder / "spool")
        ways = [
            (LoadOptions(), SpeechOptions(), CLIPS),
            (LoadOptions(channels="split"), SpeechOptions(vad=False), CLIPS),
            (spools, SpeechOptions(), SEQUENTIAL),
        ]
        self.workers = [
            (last.enter_context(LoadWorker(load, speech, timeout_s=timeout_s)), settings)
            for load, speech, settings in ways
        ]
        self.answers = [self.answer(worker, settings) for worker, settings in self.workers]
        self.counts: collections.Counter[str] = collections.Counter()
        self.peak_mb = self.slowest_s = 0.0

    def answer(self, worker: LoadWorker, settings: ClipSettings) -> list[object]:
        """What the whole recording gives."""
        return [
            (item.start_s, item.samples[: len(item.samples)].tobytes()) if isinstance(item, Clip) else item
            for item in worker.load(0, self.good, settings)
        ]

    def one(self, number: int, rng: np.random.Generator) -> Iterator[str]:
        """What is wrong with how the worker takes the next damaged file."""
        chosen, data = mutated(self.whole, rng)
        turn = number % len(self.workers)
        worker, settings = self.workers[turn]
        path = self.folder / f"damaged-{self.recordings[chosen].name}"
        path.write_bytes(data)
        began_s = time.monotonic()
        for fault in self._faults(worker, path, settings):
            name = f"{number}-{path.name}"
            (self.kept / name).write_bytes(data)
            yield f"{name} (way {turn}): {fault}"
        took_s = time.monotonic() - began_s
        self.slowest_s = max(self.slowest_s, took_s)
        if took_s > self.timeout_s:
            (self.kept / f"{number}-{path.name}").write_bytes(data)
            yield f"{number}-{path.name} (way {turn}): {took_s:.1f} s"
        if number % EVERY == 0 and self.answer(worker, settings) != self.answers[turn]:
            yield f"{number}: the whole recording after it is answered wrongly"

    def _faults(self, worker: LoadWorker, path: Path, settings: ClipSettings) -> Iterator[str]:
        worker.warm()
        forget_peak(worker)
        try:
            last = collections.deque(worker.load(1, path, settings), maxlen=1)[0]
            self.counts["loaded"] += 1
            if last.damage and (fault := fault_in(last.damage)):
                yield fault
        except WorkerDiedError as err:
            self.counts["crashed" if "crashed" in err.message else "hung"] += 1
            if "crashed" not in err.message:
                yield err.message
            elif "SIGSEGV" not in err.message:
                print(f"crash: {path.name}: {err.message}", flush=True)
        except LoadError as err:
            self.counts["refused"] += 1
            self.counts[f"  {err.message}"] += 1
            if fault := fault_in(err.message):
                yield fault
        except Exception as err:
            yield f"{type(err).__name__}: {err}"
        mb = peak(worker)
        self.peak_mb = max(self.peak_mb, mb)
        if mb > self.max_mb:
            yield f"{mb:.0f} MB of memory"


def forget_peak(worker: LoadWorker) -> None:
    """Have the process's peak of memory counted anew; Linux only."""
    if worker._process is not None and Path("/proc/self/clear_refs").exists():
        Path(f"/proc/{worker._process.pid}/clear_refs").write_text("5")


def peak(worker: LoadWorker) -> float:
    """Peak of the process's memory in MB; 0 where that cannot be known."""
    try:
        status = Path(f"/proc/{worker._process.pid}/status").read_text()  # type: ignore[union-attr]
        return int(status.split("VmHWM:")[1].split()[0]) / 1000
    except (OSError, IndexError, AttributeError):
        return 0.0


def main() -> int:
    """Run until the time is over; 1 when a defect was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--files", type=int, default=sys.maxsize, help="end after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file, to see one again")
    parser.add_argument("--timeout", type=float, default=20.0, help="seconds a file may take")
    parser.add_argument("--max-mb", type=float, default=1600.0)
    parser.add_argument("--keep", type=Path, default=None, help="where the bytes of defects are kept")
    given = parser.parse_args()
    kept = given.keep or Path(tempfile.mkdtemp(prefix="fuzz-load-"))
    kept.mkdir(parents=True, exist_ok=True)
    began_s, number, n_defects = time.monotonic(), given.first, 0
    with ExitStack() as last:
        folder = Path(last.enter_context(tempfile.TemporaryDirectory()))
        campaign = Campaign(folder, kept, given.timeout, given.max_mb, last)
        while time.monotonic() - began_s < given.minutes * 60 and number < given.first + given.files:
            for defect in campaign.one(number, np.random.default_rng([given.seed, number])):
                print(f"DEFECT seed {given.seed} {defect}", flush=True)
                n_defects += 1
            number += 1
    wall_s, n_files = time.monotonic() - began_s, number - given.first
    for told, n in sorted(campaign.counts.items()):
        print(f"{n:7} {told}")
    print(f"{n_files} files, {n_files / wall_s:.1f} a second, {campaign.counts['crashed']} crashes survived,", end=" ")
    print(f"peak {campaign.peak_mb:.0f} MB, slowest {campaign.slowest_s:.1f} s, {n_defects} defects; kept in {kept}")
    return 1 if n_defects else 0


if __name__ == "__main__":
    sys.exit(main())
