"""How a run grows with its workers: ``python tests/bench/bench_workers.py [--ray]`` prints a table.

Workers have the fake engine, which takes a fixed time for each clip and no core, so that a machine of two cores shows
what four devices would give. Told is the time from the first batch to the last file, and the whole command's.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import ray_runs
from pools import events, fill, start


def run(folder: Path, n_workers: int, step_s: float, *, on_ray: bool) -> tuple[float, float]:
    """Seconds from the first batch to the last file, and of the whole command."""
    for old in (
        *folder.glob("*.txt"),
        *folder.glob("*.json"),
        *folder.parent.glob("events*"),
        *folder.parent.glob("jo*"),
    ):
        old.unlink()
    began_s = time.monotonic()
    if on_ray:
        process = ray_runs.start_on_ray(folder, step_s=step_s, actors=n_workers)
    else:
        process = start(folder, "--device", f"cpu:{n_workers}", step_s=step_s)
    _, told = process.communicate()
    if process.returncode:
        raise SystemExit(told.decode())
    whole_s = time.monotonic() - began_s
    times = {kind: [one["time"] for one in events(folder) if one["event"] == kind] for kind in ("batch", "done")}
    return max(times["done"]) - min(times["batch"]), whole_s


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--files", type=int, default=240)
    parser.add_argument("--step", type=float, default=0.25, help="seconds a clip")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        fill(folder := Path(base) / "audio", given.files)
        print("workers  seconds  times one  whole command  times one", flush=True)
        first: tuple[float, float] | None = None
        for n_workers in (1, 2, 4):
            work_s, whole_s = run(folder, n_workers, given.step, on_ray=given.ray)
            first = first or (work_s, whole_s)
            ratios = f"{first[0] / work_s:9.2f}  {whole_s:13.1f}  {first[1] / whole_s:9.2f}"
            print(f"{n_workers:7}  {work_s:7.1f}  {ratios}", flush=True)


if __name__ == "__main__":
    main()
