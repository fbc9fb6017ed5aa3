"""The command line on Ray, with the fake engine."""

import os
import subprocess
import sys
from pathlib import Path

from pools import ENGINE

# the command line on Ray with the fake engine; the actors get it by value, since they cannot import it
DRIVER = f"""
import os, sys
from whisperbatch import cli
from whisperbatch.backends import ray_workers
def worker(options, is_blind="BLIND" in os.environ):
    exec({ENGINE!r}, {{}})
    if is_blind:
        import pathlib
        pathlib.Path.is_dir = lambda path: False
    return checking(options)
checking = ray_workers.folder_checking_worker
ray_workers.folder_checking_worker = worker
sys.exit(cli.main(sys.argv[1:]))
"""


def start_on_ray(
    folder: Path, *more: str, step_s: float = 0.0, address: str | None = None, actors: int | None = 2
) -> subprocess.Popen[bytes]:
    plain = "--model demo --no-vad --batch-size 2 --max-wait 0.1 --load-workers 2 --format txt,json --progress plain"
    places = ["--journal", str(folder.parent / "journal"), "--events", str(folder.parent / "events")]
    where = ["--backend", "ray", *(["--ray-address", address] if address else [])]
    where += ["--actors", str(actors), "--cpus-per-actor", "1"] if actors else ["--cpus-per-actor", "1"]
    command = [sys.executable, "-c", DRIVER, "transcribe", str(folder), *plain.split(), *places, *where, *more]
    environment = {**os.environ, "STEP_S": str(step_s)}
    return subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
