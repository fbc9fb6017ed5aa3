"""Measure latency and batch fill while clips arrive one by one, through the batcher that runs use.

Arrivals are a seeded Poisson process, the same for every waiting time that is compared.
"""

import math
import random
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from whisperbatch.batcher import Batcher
from whisperbatch.bench.material import repeated
from whisperbatch.engine import Engine
from whisperbatch.errors import RunError
from whisperbatch.records import Clip, ClipFailed, ClipText


@dataclass(frozen=True, slots=True)
class ArrivalRow:
    """Figures for one waiting time; latency is from a clip's arrival to its text.

    Attributes:
        max_wait_s: Seconds that the first clip of a batch waits while the engine is idle.
        p50_s: Median latency.
        p95_s: 95th percentile of latency.
        fill: Mean size of the batches that went to an idle engine, as a share of a full batch.
        keeps_up: True if the engine alone decodes more clips per second than arrive; otherwise latency grows for ever.
    """

    max_wait_s: float
    p50_s: float
    p95_s: float
    fill: float
    keeps_up: bool


def latency(
    engine: Engine, clips: Sequence[Clip], rate: float, n: int, max_wait_s: float, clips_s: float
) -> ArrivalRow:
    """Measure one waiting time: ``n`` clips at ``rate`` per second, at the engine's present batch size.

    ``clips_s`` is the engine's throughput in clips per second when it never waits.
    """
    size = engine.capacity
    arrived_s: dict[int, float] = {}
    first_sizes: list[int] = []
    queue: Batcher[Clip] = Batcher(size, max_wait_s, max_items=n)
    rng, waiting, is_over = random.Random(0), repeated(clips, n), threading.Event()

    def arrive() -> None:
        next_s = time.monotonic()
        for clip in waiting:
            next_s += rng.expovariate(rate)
            if is_over.wait(max(0.0, next_s - time.monotonic())):
                return
            arrived_s[clip.file_id] = time.monotonic()
            queue.put(clip)
        queue.close()

    producer = threading.Thread(target=arrive, daemon=True)
    producer.start()
    try:
        latencies = _latencies(engine, queue, n, arrived_s, first_sizes)
    finally:
        is_over.set()
    producer.join()
    sorted_s = sorted(latencies)
    return ArrivalRow(
        max_wait_s,
        statistics.median(sorted_s),
        sorted_s[math.ceil(0.95 * n) - 1],
        statistics.mean(first_sizes) / size,
        rate <= clips_s,
    )


def _latencies(
    engine: Engine, queue: Batcher[Clip], n: int, arrived_s: Mapping[int, float], first_sizes: list[int]
) -> list[float]:
    """Return each clip's latency; appends the sizes of batches that an idle engine took to ``first_sizes``."""
    found: list[float] = []
    while len(found) < n:
        is_idle, limit = engine.idle, engine.capacity
        taken = queue.take(limit, idle=is_idle) if limit else []
        first_sizes += [len(taken)] if is_idle and taken else []
        engine.admit(taken)
        for result in engine.step():
            if isinstance(result, ClipFailed):
                raise RunError(f"the engine failed while being measured: {result.error.message}")
            if isinstance(result, ClipText):
                found.append(time.monotonic() - arrived_s[result.file_id])
    return found
