"""Measure the engine alone, by batch size: no loading, no writing, no waiting.

Stages are timed in a separate pass, because that waits for the device after each stage, which would slow down a pass
that is timed as a whole.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from whisperbatch.bench.material import repeated
from whisperbatch.engine import Engine
from whisperbatch.errors import RunError
from whisperbatch.records import Clip, ClipFailed, ClipText

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # a module elsewhere

MAX_SIZE = 1024
MIN_WINDOWS = 4  # per round
N_WAVES = 2  # batches per round
LIKELY = 16  # largest size that the time estimate assumes if no sizes are given
N_FALLS = 2  # stop after this many larger sizes in a row without a gain
GAIN = 1.02


@dataclass(frozen=True, slots=True)
class Spent:
    """Measurements of one pass: seconds, clips, encoded windows, tokens, audio seconds, seconds by stage."""

    wall_s: float
    n_clips: int
    n_windows: int
    n_tokens: int
    audio_s: float
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch size's figures, medians over rounds.

    Attributes:
        batch_size: Clips at once.
        windows_s: Windows per second.
        clips_s: Clips per second; a clip may take several windows.
        rtfx: Audio seconds per second.
        tokens_s: Tokens per second.
        speed_up: Windows per second relative to the smallest size measured.
        spread: (slowest - fastest) / median of the rounds.
        stages: Seconds per window by stage; the rest is the host's.
        peak_bytes: Peak memory of the device, or else of this process so far; 0 if unknown.
    """

    batch_size: int
    windows_s: float
    clips_s: float
    rtfx: float
    tokens_s: float
    speed_up: float
    spread: float
    stages: Mapping[str, float]
    peak_bytes: int


def decode(engine: Engine, clips: Sequence[Clip]) -> Spent:
    """Decode all clips once, admitting them as a run does; RunError if a clip fails."""
    before, began_s = engine.work, time.perf_counter()
    left, n_done = list(clips), 0
    while left or not engine.idle:
        n = engine.capacity
        if n and left:
            engine.admit(left[:n])
            left = left[n:]
        for result in engine.step():
            if isinstance(result, ClipFailed):
                raise RunError(f"the engine failed while being measured: {result.error.message}")
            n_done += isinstance(result, ClipText)
    wall_s, after = time.perf_counter() - began_s, engine.work
    assert n_done == len(clips)
    stages = {name: seconds - before.stages.get(name, 0.0) for name, seconds in after.stages.items()}
    return Spent(
        wall_s,
        len(clips),
        after.n_windows - before.n_windows,
        after.n_tokens - before.n_tokens,
        sum(clip.duration_s for clip in clips),
        stages | {"host": max(0.0, wall_s - sum(stages.values()))},
    )


def by_batch_size(
    engine: Engine,
    clips: Sequence[Clip],
    sizes: Sequence[int],
    rounds: int,
    on_row: Callable[[BatchRow, int], None],
    on_expected: Callable[[float, int], None] = lambda seconds, largest: None,
    rows: list[BatchRow] | None = None,
) -> list[BatchRow]:
    """Measure each batch size, or 1, 2, 4, ... if none are given.

    Args:
        engine: The engine to measure.
        clips: Clips to decode.
        sizes: Batch sizes, in order.
        rounds: How often to measure each size.
        on_row: Called after each round of a size with its row and the number of the round, from 1.
        on_expected: Called after the first batch with the seconds that all sizes would take at its speed, and the
            largest size in that estimate; larger batches are faster, so it is an upper bound.
        rows: Filled with the rows of all sizes measured, even if an exception ends the measurement.
    """
    spent: dict[int, list[Spent]] = {}
    split: dict[int, Spent] = {}
    peaks: dict[int, int] = {}
    rows = [] if rows is None else rows
    try:
        for size in _fitting(engine, sizes or _doubling(spent)):
            windows = _round(clips, size)
            warm = decode(engine, windows[:size])  # warms up
            if not spent:
                on_expected(*_expected(clips, sizes, rounds, warm))
            first = decode(engine, windows)
            if engine.capacity < size:  # it ran out of memory in between
                break
            stages, peak = _split(engine, windows[:size]), _peak_bytes(engine)
            spent[size], split[size], peaks[size] = [first], stages, peak
            on_row(_row(size, spent, split, peaks), 1)
        for number in range(2, rounds + 1):  # in turn, so that a disturbance affects all sizes alike
            for size in spent:
                engine.resize(size)
                spent[size].append(decode(engine, _round(clips, size)))
                on_row(_row(size, spent, split, peaks), number)
    finally:
        rows[:] = [_row(size, spent, split, peaks) for size in peaks]
    if not rows:
        raise RunError("there is not enough memory for a single window of this model; try a smaller one")
    return rows


def _expected(clips: Sequence[Clip], sizes: Sequence[int], rounds: int, warm: Spent) -> tuple[float, int]:
    """Estimate the seconds that all sizes take at the speed of a first batch; also returns the largest size."""
    planned = sizes or [2**k for k in range(LIKELY.bit_length())]
    n_clips = sum(2 * size + rounds * len(_round(clips, size)) for size in planned)  # twice: to warm up, for the stages
    return (n_clips - warm.n_clips) * warm.wall_s / warm.n_clips, planned[-1]


def by_itself(engine: Engine, clips: Sequence[Clip], rounds: int, smallest: BatchRow) -> BatchRow:
    """Measure an engine at its own batch size; its speed-up is relative to the smallest size measured."""
    size = engine.capacity
    windows = _round(clips, size)
    decode(engine, windows[:size])  # warms up
    spent = {size: [decode(engine, windows) for _ in range(rounds)]}
    split = {size: _split(engine, windows[:size])}
    row = _row(size, spent, split, {size: 0})  # the process peak would be that of earlier sizes
    return replace(row, speed_up=row.windows_s / smallest.windows_s)


def _split(engine: Engine, clips: Sequence[Clip]) -> Spent:
    """Run a pass with timed stages."""
    engine.measure_stages(True)
    spent = decode(engine, clips)
    engine.measure_stages(False)
    return spent


def _round(clips: Sequence[Clip], size: int) -> list[Clip]:
    """Return the clips of a round: all clips, repeated whole, so that every size gets the same mixture."""
    n = max(MIN_WINDOWS, N_WAVES * size)
    return repeated(clips, -(-n // len(clips)) * len(clips))


def _doubling(spent: Mapping[int, Sequence[Spent]]) -> Iterator[int]:
    size, n_falls, best = 1, 0, 0.0
    while size <= MAX_SIZE and n_falls < N_FALLS:
        yield size
        speed = spent[size][0].n_windows / spent[size][0].wall_s if size in spent else 0.0
        n_falls = 0 if speed > GAIN * best else n_falls + 1
        best, size = max(best, speed), 2 * size


def _fitting(engine: Engine, sizes: Sequence[int] | Iterator[int]) -> Iterator[int]:
    """Yield the sizes that fit in memory, with the engine resized to each."""
    for size in sizes:
        engine.resize(size)
        if engine.capacity < size:
            return
        yield size


def _row(
    size: int, spent: Mapping[int, Sequence[Spent]], split: Mapping[int, Spent], peaks: Mapping[int, int]
) -> BatchRow:
    def windows_s(of_size: int) -> float:
        return statistics.median(one.n_windows / one.wall_s for one in spent[of_size])

    rounds = spent[size]
    times = [one.wall_s / one.n_windows for one in rounds]
    stages = {name: seconds / split[size].n_windows for name, seconds in split[size].stages.items()}
    return BatchRow(
        size,
        windows_s(size),
        statistics.median(one.n_clips / one.wall_s for one in rounds),
        statistics.median(one.audio_s / one.wall_s for one in rounds),
        statistics.median(one.n_tokens / one.wall_s for one in rounds),
        windows_s(size) / windows_s(min(spent)),
        (max(times) - min(times)) / statistics.median(times),
        stages,
        peaks[size],
    )


def _peak_bytes(engine: Engine) -> int:
    if engine.work.peak_bytes is not None:
        return engine.work.peak_bytes
    if resource is None:
        return 0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024  # kilobytes except on macOS
