"""The engine alone, by batch size: no loading, no writing, nothing to wait for.

Stages are timed in a pass of their own: a device that works on its own is waited for after each of them, and a pass
that is timed as a whole should not wait.
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

MOST = 1024
MIN_WINDOWS = 4  # in a round
N_WAVES = 2  # a round decodes so many batches
LIKELY = 16  # the largest size that is expected to be measured where none is named
N_FALLS = 2  # larger sizes are not looked for once so many in a row gained nothing
GAIN = 1.02


@dataclass(frozen=True, slots=True)
class Spent:
    """One pass over clips: seconds, windows that the encoder saw, tokens, audio seconds, seconds by stage."""

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
        windows_s: Windows a second.
        clips_s: Clips a second; one may take several windows.
        rtfx: Audio seconds a second.
        tokens_s: Tokens a second.
        speed_up: Of windows a second over those of the smallest size measured.
        spread: (slowest - fastest) / median of the rounds.
        stages: Seconds a window by stage; what is left is the host's.
        peak_bytes: Most memory in use, of the device or else of this process so far; 0 where nobody tells.
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
    """All clips once, as a run would give them to the engine."""
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
    """A row for each size, or for 1, 2, 4, ... when none are named.

    Args:
        engine: What is measured.
        clips: What it decodes.
        sizes: Batch sizes, in order.
        rounds: How often each size is measured.
        on_row: Called with a size's row after each of its rounds, and with the round's number, from 1.
        on_expected: Called after the first batch, with how long all of it takes at its speed and the size up to which
            that counts; larger batches are faster, so it takes no longer than that.
        rows: Filled with the rows of all sizes measured, also when an exception ends the measurement.
    """
    spent: dict[int, list[Spent]] = {}
    split: dict[int, Spent] = {}
    peaks: dict[int, int] = {}
    rows = [] if rows is None else rows
    try:
        for size in _held(engine, sizes or _doubling(spent)):
            windows = _round(clips, size)
            warm = decode(engine, windows[:size])  # warms up
            if not spent:
                on_expected(*_expected(clips, sizes, rounds, warm))
            first = decode(engine, windows)
            if engine.capacity < size:  # out of memory in its midst
                break
            stages, peak = _split(engine, windows[:size]), _peak_bytes(engine)
            spent[size], split[size], peaks[size] = [first], stages, peak
            on_row(_row(size, spent, split, peaks), 1)
        for number in range(2, rounds + 1):  # in turn, so that what disturbs one disturbs all
            for size in spent:
                engine.resize(size)
                spent[size].append(decode(engine, _round(clips, size)))
                on_row(_row(size, spent, split, peaks), number)
    finally:
        rows[:] = [_row(size, spent, split, peaks) for size in peaks]
    if not rows:
        raise RunError("there is no memory for a single window of this model; try a smaller one")
    return rows


def _expected(clips: Sequence[Clip], sizes: Sequence[int], rounds: int, warm: Spent) -> tuple[float, int]:
    """Seconds that all sizes take at the speed of a first batch, and the largest of them."""
    asked = sizes or [2**k for k in range(LIKELY.bit_length())]
    n_clips = sum(2 * size + rounds * len(_round(clips, size)) for size in asked)  # twice: to warm up, for the stages
    return (n_clips - warm.n_clips) * warm.wall_s / warm.n_clips, asked[-1]


def by_itself(engine: Engine, clips: Sequence[Clip], rounds: int, smallest: BatchRow) -> BatchRow:
    """The row of an engine as it is; its speed-up is over the smallest size measured."""
    size = engine.capacity
    windows = _round(clips, size)
    decode(engine, windows[:size])  # warms up
    spent = {size: [decode(engine, windows) for _ in range(rounds)]}
    split = {size: _split(engine, windows[:size])}
    row = _row(size, spent, split, {size: 0})  # the most memory so far is that of the sizes before
    return replace(row, speed_up=row.windows_s / smallest.windows_s)


def _split(engine: Engine, clips: Sequence[Clip]) -> Spent:
    """A pass whose stages are timed."""
    engine.measure_stages(True)
    spent = decode(engine, clips)
    engine.measure_stages(False)
    return spent


def _round(clips: Sequence[Clip], size: int) -> list[Clip]:
    """What a round decodes: all clips, as often as it takes, so that every size gets the same mixture."""
    n = max(MIN_WINDOWS, N_WAVES * size)
    return repeated(clips, -(-n // len(clips)) * len(clips))


def _doubling(spent: Mapping[int, Sequence[Spent]]) -> Iterator[int]:
    size, n_falls, best = 1, 0, 0.0
    while size <= MOST and n_falls < N_FALLS:
        yield size
        speed = spent[size][0].n_windows / spent[size][0].wall_s if size in spent else 0.0
        n_falls = 0 if speed > GAIN * best else n_falls + 1
        best, size = max(best, speed), 2 * size


def _held(engine: Engine, sizes: Sequence[int] | Iterator[int]) -> Iterator[int]:
    """The sizes for which there is memory, the engine resized."""
    for size in sizes:
        engine.resize(size)
        if engine.capacity < size:
            return
        yield size


def _row(
    size: int, spent: Mapping[int, Sequence[Spent]], split: Mapping[int, Spent], peaks: Mapping[int, int]
) -> BatchRow:
    def windows_s(of: int) -> float:
        return statistics.median(one.n_windows / one.wall_s for one in spent[of])

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
    return used if sys.platform == "darwin" else used * 1024  # kilobytes but on macOS
