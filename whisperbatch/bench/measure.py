"""A whole measurement, part by part."""

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from whisperbatch import __version__, demo
from whisperbatch.bench import arrivals, loading, material, stages, throughput
from whisperbatch.bench.arrivals import ArrivalRow
from whisperbatch.bench.loading import LoadRow
from whisperbatch.bench.stages import Profile
from whisperbatch.bench.throughput import BatchRow
from whisperbatch.engine import Engine, open_engine
from whisperbatch.errors import ModelError, UsageError
from whisperbatch.options import BenchOptions, RunOptions
from whisperbatch.records import Clip
from whisperbatch.speakers import Diarizer, open_diarizer

SCHEMA = 1
FORCED_TOKENS = 100  # a window, where nothing says otherwise: a window full of English speech has about as many


@dataclass(slots=True)
class Report:
    """What was measured; parts that were not asked for are empty.

    Attributes:
        model: Its name.
        device: Where it ran.
        compute_type: In which numbers.
        machine: In words.
        material: What was decoded, in words.
        caveats: Sentences without which the figures would mislead.
        batches: By batch size, in one engine.
        by_itself: What a run gets that names no batch size, which on a CPU may be several engines side by side.
        arrivals: By waiting time.
        loading: By load workers.
        profile: Where a run's time goes.
        price_per_hour: Of the machine.
        interrupted: Whether somebody ended the measurement; what is missing was not measured then.
    """

    model: str
    device: str
    compute_type: str
    machine: str
    material: str
    caveats: list[str] = field(default_factory=list)
    batches: list[BatchRow] = field(default_factory=list)
    by_itself: BatchRow | None = None
    arrivals: list[ArrivalRow] = field(default_factory=list)
    loading: list[LoadRow] = field(default_factory=list)
    profile: Profile | None = None
    price_per_hour: float | None = None
    interrupted: bool = False

    @property
    def best(self) -> BatchRow | None:
        """The batch size of most windows a second."""
        return max(self.batches, key=lambda row: row.windows_s, default=None)

    @property
    def rows(self) -> list[BatchRow]:
        """All batch sizes, the one that a run takes by itself at the end."""
        return [*self.batches, *([self.by_itself] if self.by_itself is not None else [])]

    def cost_of(self, row: BatchRow) -> float | None:
        """What an hour of audio costs at that batch size, with no other work on the machine."""
        return None if self.price_per_hour is None else self.price_per_hour / row.rtfx

    def saving_of(self, row: BatchRow) -> float:
        """The share of the smallest batch size's cost that is saved."""
        return 1.0 - self.batches[0].rtfx / row.rtfx

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        told: dict[str, Any] = {"schema": SCHEMA, "version": __version__} | asdict(self)
        plains = [*told["batches"], *([told["by_itself"]] if self.by_itself is not None else [])]
        for row, plain in zip(self.rows, plains, strict=True):
            plain |= {"cost_per_audio_hour": self.cost_of(row), "saving": self.saving_of(row)}
        return told


def measure(
    paths: Sequence[Path],
    options: RunOptions,
    bench: BenchOptions,
    *,
    on_notice: Callable[[str], None],
    on_row: Callable[[Report, Any, int], None],
    on_expected: Callable[[float, int], None] = lambda seconds, largest: None,
) -> Report:
    """Measure all that ``bench`` asks for; a KeyboardInterrupt leaves what was measured before it.

    Args:
        paths: Recordings; empty measures with windows of noise and forced tokens.
        options: The run's: model, device, decoding, speech detection, batch size and wait.
        bench: What is compared.
        on_notice: Called with a sentence that the user should read.
        on_row: Called with the report so far, each new row and the number of its round.
        on_expected: Called with the seconds that batch sizes take at most, and the largest size that this counts.

    Raises:
        KeyboardInterrupt: Nothing had been measured.
        UsageError: There is nothing to measure with.
        ModelError, RunError: The model cannot be had, or does not fit.
    """
    n_tokens = bench.tokens_per_window
    if n_tokens is None and (not paths or options.engine.has_random_weights):
        n_tokens = FORCED_TOKENS
    if (bench.profile or options.speakers.enabled) and not paths:
        flag = "--profile" if bench.profile else "--speakers"
        raise UsageError(f"{flag} is of a whole run; name recordings to measure it with")
    diarizer = _diarizer(options)
    decode = options.decode if n_tokens is None else material.forced(options.decode, n_tokens)
    options = replace(options, decode=decode)
    clips = material.clips_of(paths, options) if paths else material.noise(options)
    with _engine(options, 1, on_notice) as engine:
        report = _described(engine, options, len(paths), len(clips), n_tokens)
        report.price_per_hour = bench.price_per_hour
        try:
            throughput.by_batch_size(
                *(engine, clips, bench.batch_sizes, bench.rounds),
                lambda row, number: on_row(report, row, number),
                on_expected,
                report.batches,
            )
            _beside(report, engine, paths, clips, options, bench, on_row, diarizer)
        except KeyboardInterrupt:
            if not report.batches:
                raise
            return _interrupted(report)
    if not bench.batch_sizes and options.batch.max_batch_size is None:
        on_notice("measuring the batch size that a run takes by itself")
        try:
            with _engine(options, None, lambda text: None) as engine:  # the one before has told
                report.by_itself = throughput.by_itself(engine, clips, bench.rounds, report.batches[0])
        except KeyboardInterrupt:
            return _interrupted(report)
        on_row(report, report.by_itself, bench.rounds)
    return report


def _interrupted(report: Report) -> Report:
    """The report, with a sentence that it is not whole."""
    report.interrupted = True
    report.caveats.append("interrupted: later measurements are missing, and medians are of fewer rounds")
    return report


def _beside(
    report: Report,
    engine: Engine,
    paths: Sequence[Path],
    clips: Sequence[Clip],
    options: RunOptions,
    bench: BenchOptions,
    on_row: Callable[[Report, Any, int], None],
    diarizer: Diarizer | None,
) -> None:
    """Measure what goes by the best batch size: waiting times, load workers, a whole run."""
    assert report.best is not None
    size = options.batch.max_batch_size or report.best.batch_size
    engine.resize(size)
    here = next((row for row in report.batches if row.batch_size == size), report.best)
    for max_wait_s in bench.max_waits if bench.arrivals is not None else ():
        assert bench.arrivals is not None
        row = arrivals.latency(engine, clips, bench.arrivals, bench.n_arrivals, max_wait_s, here.clips_s)
        report.arrivals.append(row)
        on_row(report, row, 1)
    for n_workers in bench.load_workers if paths else ():
        report.loading.append(loading.by_workers(paths, options, n_workers))
        on_row(report, report.loading[-1], 1)
    if bench.profile or diarizer is not None:
        engine.measure_stages(True)
        report.profile = stages.profile(engine, paths, options, diarizer)


def _diarizer(options: RunOptions) -> Diarizer | None:
    """What finds speakers, when that is measured too; UsageError when it cannot be had."""
    if not options.speakers.enabled:
        return None
    try:
        return open_diarizer(options.speakers, offline=options.engine.offline)
    except ModelError as err:
        raise UsageError(err.message, err.path) from err


@contextmanager
def _engine(options: RunOptions, max_batch_size: int | None, on_notice: Callable[[str], None]) -> Iterator[Engine]:
    engine = open_engine(
        options.engine,
        options.clip,
        max_batch_size=max_batch_size,
        demo=demo.FOLDER,
        on_notice=on_notice,
        decode=options.decode,
    )
    try:
        yield engine
    finally:
        engine.close()


def _described(engine: Engine, options: RunOptions, n_files: int, n_clips: int, n_tokens: int | None) -> Report:
    facts = engine.facts
    caveats = []
    if options.engine.has_random_weights:
        caveats.append(f"{facts.model} has random weights: its speed means something, its text nothing")
    if n_tokens is not None:
        caveats.append(f"{n_tokens} tokens were forced in each window, whatever was said in it")
    return Report(
        facts.model,
        facts.device,
        facts.compute_type,
        f"{platform.system()} {platform.machine()}, {engine.device_name}",
        f"{n_clips} clips of {n_files} recordings" if n_files else "windows of noise, 30 seconds each",
        caveats,
    )
