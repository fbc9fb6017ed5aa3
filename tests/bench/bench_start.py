"""How long the first text takes: ``python tests/bench/bench_start.py``.

The whole command line over sample_audio with the demo model, files cached; from its start to its first file found, to
the first clips in the engine, to the first transcript on disk, to its end; the command's own event log tells when.
Beside it the bare import of torch, which no such program is without. Medians of several rounds, the first left out.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLES = Path(__file__).resolve().parent.parent.parent / "sample_audio"
MARKS = {"queued": "first file found", "batch": "first clips in the engine", "done": "first transcript on disk"}


def once(audio: Path, *more: str) -> dict[str, float]:
    """Seconds from the start of a run to each mark."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "events"
        places = ["--output-dir", str(Path(scratch) / "out"), "--no-journal", "--events", str(log), "--quiet"]
        began_s = time.time()
        command = [sys.executable, "-m", "whisperbatch", "transcribe", str(audio), "--model", "demo", *places, *more]
        subprocess.run(command, check=True, capture_output=True)
        end_s, found = time.time() - began_s, dict[str, float]()
        for event in map(json.loads, log.read_text().splitlines()):
            if event["event"] in MARKS:
                found.setdefault(MARKS[event["event"]], event["time"] - began_s)
    return found | {"end": end_s}


def bare_import() -> float:
    """Seconds of a process that imports torch and does nothing."""
    began_s = time.time()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.time() - began_s


def main() -> None:
    """Time the runs in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--audio", type=Path, default=SAMPLES)
    given, more = parser.parse_known_args()
    rounds = [once(given.audio, *more) | {"import of torch alone": bare_import()} for _ in range(given.rounds + 1)][1:]
    for name in rounds[0]:
        times = [one[name] for one in rounds]
        print(f"{name:26} {statistics.median(times):6.2f} s   ({min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    main()
