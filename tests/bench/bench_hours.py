"""What an hour of audio costs in runs of 1, 10 and 100 hours: ``python tests/bench/bench_hours.py``.

The whole command line with the fake engine: sources, journal, load processes, batcher, writers. Told are the wall and
processor seconds an hour of audio, without the start (a run of nothing), and the command's memory. Nothing is asserted.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import numpy as np

from pools import DRIVER
from sounds import write_wav

FILE_S = 120.0
N_DISTINCT = 10  # files whose content differs; the rest are links to them
SAMPLE_RATE = 16_000


def fill(folder: Path, hours: float) -> int:
    """Recordings of two minutes of quiet noise with pauses; how many."""
    n_files = max(1, round(hours * 3600 / FILE_S))
    rng = np.random.default_rng(0)
    for index in range(n_files):
        path = folder / f"{index // 500:03d}" / f"{index:06d}.wav"
        if index < N_DISTINCT:
            wave = rng.normal(size=int(FILE_S * SAMPLE_RATE)) * 300
            write_wav(path, wave * (np.arange(len(wave)) // (4 * SAMPLE_RATE) % 5 > 0))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(folder / "000" / f"{index % N_DISTINCT:06d}.wav", path)
    return n_files


def run(base: Path, hours: float, *more: str) -> tuple[float, float]:
    """Wall and processor seconds of a run over so many hours."""
    folder = base / f"audio-{hours:g}"
    folder.mkdir()
    n_files = fill(folder, hours) if hours else 0
    if not hours:
        write_wav(folder / "nothing.wav", np.zeros(1))
    options = "--model demo --batch-size 16 --progress none --format txt,json".split()
    places = ["--journal", str(base / f"journal-{hours:g}"), "--output-dir", str(base / f"out-{hours:g}")]
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, "-c", DRIVER, "transcribe", str(folder), *options, *places, *more], check=True)
    wall_s, after = time.monotonic() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert len(list((base / f"out-{hours:g}").rglob("*.json"))) == max(1, n_files)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", default="1,10,100")
    given, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as base:
        start_wall_s, start_cpu_s = run(Path(base), 0.0, *more)
        print(f"start: {start_wall_s:.1f} s, {start_cpu_s:.1f} s of a processor", flush=True)
        print("hours  wall seconds an hour  processor seconds an hour", flush=True)
        for hours in map(float, given.hours.split(",")):
            wall_s, cpu_s = run(Path(base), hours, *more)
            per_hour = (wall_s - start_wall_s) / hours, (cpu_s - start_cpu_s) / hours
            print(f"{hours:5g}  {per_hour[0]:20.2f}  {per_hour[1]:25.2f}", flush=True)


if __name__ == "__main__":
    main()
