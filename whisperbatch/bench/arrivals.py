"""Latency and fill of batches while clips come by themselves, through the batcher that runs have.

Arrivals are Poisson's, seeded, the same for every waiting time that is compared.
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
    """Figures of one waiting time; latency is from a clip's arrival to its text.

    Attributes:
        max_wait_s: Seconds that the first clip of a batch waits while the engine is idle.
        p50_s: Median latency.
        p95_s: What 95 of 100 clips stay below.
        fill: Mean size of the batches that went to an idle engine, as a share of a full one.
        keeps_up: Whether the engine alone does more clips a second than come; else latency grows for ever.
    """

    max_wait_s: float
    p50_s: float
    p95_s: float
    fill: float
    keeps_up: bool


def latency(
    engine: Engine, clips: Sequence[Clip], rate: float, n: int, max_wait_s: float, most_a_second: float
) -> ArrivalRow:
    """The row of one waiting time: ``n`` clips at ``rate`` a second into an engine of its present size.

    ``most_a_second`` is what the engine does of them when none is waited for.
    """
    size = engine.capacity
    came_s: dict[int, float] = {}
    fresh: list[int] = []
    queue: Batcher[Clip] = Batcher(size, max_wait_s, max_items=n)
    rng, waiting, over = random.Random(0), repeated(clips, n), threading.Event()

    def arrive() -> None:
        next_s = time.monotonic()
        for clip in waiting:
            next_s += rng.expovariate(rate)
            if over.wait(max(0.0, next_s - time.monotonic())):
                return
            came_s[clip.file_id] = time.monotonic()
            queue.put(clip)
        queue.close()

    producer = threading.Thread(target=arrive, daemon=True)
    producer.start()
    try:
        latencies = _latencies(engine, queue, n, came_s, fresh)
    finally:
        over.set()
    producer.join()
    sorted_s = sorted(latencies)
    return ArrivalRow(
        max_wait_s,
        statistics.median(sorted_s),
        sorted_s[math.ceil(0.95 * n) - 1],
        statistics.mean(fresh) / size,
        rate <= most_a_second,
    )


def _latencies(
    engine: Engine, queue: Batcher[Clip], n: int, came_s: Mapping[int, float], fresh: list[int]
) -> list[float]:
    """Each clip's latency as its text comes; ``fresh`` gets the sizes of the batches that an idle engine took."""
    found: list[float] = []
    while len(found) < n:
        is_idle, limit = engine.idle, engine.capacity
        taken = queue.take(limit, idle=is_idle) if limit else []
        fresh += [len(taken)] if is_idle and taken else []
        engine.admit(taken)
        for result in engine.step():
            if isinstance(result, ClipFailed):
                raise RunError(f"the engine failed while being measured: {result.error.message}")
            if isinstance(result, ClipText):
                found.append(time.monotonic() - came_s[result.file_id])
    return found
