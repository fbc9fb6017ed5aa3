"""Measure how fast recordings are decoded and searched for speech, by the number of load workers."""

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whisperbatch.audio.worker_client import LoadWorker
from whisperbatch.errors import FileError
from whisperbatch.options import RunOptions
from whisperbatch.records import FileLoaded

MIN_FILES = 4  # per worker; recordings are loaded repeatedly


@dataclass(frozen=True, slots=True)
class LoadRow:
    """Audio seconds loaded per second by ``n_workers`` load workers, with speech detection and without."""

    n_workers: int
    rtfx: float
    rtfx_without_vad: float


def by_workers(paths: Sequence[Path], options: RunOptions, n_workers: int) -> LoadRow:
    """Measure ``n_workers`` load workers."""
    without = replace(options.speech, vad=False)
    return LoadRow(
        n_workers,
        _rtfx(paths, options, n_workers),
        _rtfx(paths, replace(options, speech=without), n_workers) if options.speech.vad else 0.0,
    )


def _rtfx(paths: Sequence[Path], options: RunOptions, n_workers: int) -> float:
    todo: queue.SimpleQueue[Path] = queue.SimpleQueue()
    seconds: list[float] = []
    workers = [LoadWorker(options.load, options.speech) for _ in range(n_workers)]
    try:
        for worker in workers:  # starts the process and fills the disk's cache
            _load(worker, paths[0], options)
        for k in range(max(len(paths), MIN_FILES * n_workers)):
            todo.put(paths[k % len(paths)])
        threads = [threading.Thread(target=_work, args=(worker, todo, options, seconds)) for worker in workers]
        began_s = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(seconds) / (time.perf_counter() - began_s)
    finally:
        for worker in workers:
            worker.close()


def _work(worker: LoadWorker, todo: "queue.SimpleQueue[Path]", options: RunOptions, seconds: list[float]) -> None:
    while True:
        try:
            path = todo.get_nowait()
        except queue.Empty:
            return
        seconds.append(_load(worker, path, options))


def _load(worker: LoadWorker, path: Path, options: RunOptions) -> float:
    """Load a recording and drop it; returns its seconds, 0 if it can't be read."""
    try:
        ends = [item for item in worker.load(0, path, options.clip) if isinstance(item, FileLoaded)]
    except FileError:
        return 0.0
    return ends[0].duration_s
