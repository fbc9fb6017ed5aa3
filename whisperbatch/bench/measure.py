"""Run a whole benchmark, part by part."""

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
FORCED_TOKENS = 100  # per window by default: a window full of English speech has about as many


@dataclass(slots=True)
class Report:
    """Results; parts that were not requested are empty.

    Attributes:
        model: Model name.
        device: Device it ran on.
        compute_type: Number type of the weights and activations.
        machine: Description of the machine.
        material: Description of what was decoded.
        caveats: Sentences without which the figures would mislead.
        batches: Figures by batch size, in one engine.
        by_itself: Figures at the batch size that a run chooses; on a CPU that may be several engines in parallel.
        arrivals: Figures by waiting time.
        loading: Figures by number of load workers.
        profile: Time of a whole run by stage.
        price_per_hour: Price of the machine per hour.
        interrupted: True if the benchmark was interrupted; missing parts were not measured.
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
        """The batch size with the most windows per second."""
        return max(self.batches, key=lambda row: row.windows_s, default=None)

    @property
    def rows(self) -> list[BatchRow]:
        """All batch sizes, with the one that a run chooses by itself at the end."""
        return [*self.batches, *([self.by_itself] if self.by_itself is not None else [])]

    def cost_of(self, row: BatchRow) -> float | None:
        """The cost of an hour of audio at that batch size, with no other work on the machine."""
        return None if self.price_per_hour is None else self.price_per_hour / row.rtfx

    def saving_of(self, row: BatchRow) -> float:
        """The share of the smallest batch size's cost that this one saves."""
        return 1.0 - self.batches[0].rtfx / row.rtfx

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        values: dict[str, Any] = {"schema": SCHEMA, "version": __version__} | asdict(self)
        plain_rows = [*values["batches"], *([values["by_itself"]] if self.by_itself is not None else [])]
        for row, plain in zip(self.rows, plain_rows, strict=True):
            plain |= {"cost_per_audio_hour": self.cost_of(row), "saving": self.saving_of(row)}
        return values


def measure(
    paths: Sequence[Path],
    options: RunOptions,
    bench: BenchOptions,
    *,
    on_notice: Callable[[str], None],
    on_row: Callable[[Report, Any, int], None],
    on_expected: Callable[[float, int], None] = lambda seconds, largest: None,
) -> Report:
    """Measure everything that ``bench`` requests; after a KeyboardInterrupt, returns what was measured before it.

    Args:
        paths: Recordings; if empty, windows of noise and forced tokens are used.
        options: Options of the run: model, device, decoding, speech detection, batch size and wait.
        bench: What to compare.
        on_notice: Called with a sentence for the user.
        on_row: Called with the report so far, each new row and the number of its round.
        on_expected: Called with the most seconds that the batch sizes will take, and the largest size in that estimate.

    Raises:
        KeyboardInterrupt: Nothing had been measured.
        UsageError: There is nothing to measure with.
        ModelError, RunError: The model is unavailable, or does not fit.
    """
    n_tokens = bench.tokens_per_window
    if n_tokens is None and (not paths or options.engine.has_random_weights):
        n_tokens = FORCED_TOKENS
    if (bench.profile or options.speakers.enabled) and not paths:
        flag = "--profile" if bench.profile else "--speakers"
        raise UsageError(f"{flag} measures a whole run, so it needs recordings")
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
            _at_best_size(report, engine, paths, clips, options, bench, on_row, diarizer)
        except KeyboardInterrupt:
            if not report.batches:
                raise
            return _interrupted(report)
    if not bench.batch_sizes and options.batch.max_batch_size is None:
        on_notice("measuring the batch size that a run chooses by itself")
        try:
            with _engine(options, None, lambda text: None) as engine:  # the first engine has already given its notices
                report.by_itself = throughput.by_itself(engine, clips, bench.rounds, report.batches[0])
        except KeyboardInterrupt:
            return _interrupted(report)
        on_row(report, report.by_itself, bench.rounds)
    return report


def _interrupted(report: Report) -> Report:
    """Mark the report as incomplete."""
    report.interrupted = True
    report.caveats.append("interrupted: later measurements are missing, and medians cover fewer rounds")
    return report


def _at_best_size(
    report: Report,
    engine: Engine,
    paths: Sequence[Path],
    clips: Sequence[Clip],
    options: RunOptions,
    bench: BenchOptions,
    on_row: Callable[[Report, Any, int], None],
    diarizer: Diarizer | None,
) -> None:
    """Measure the parts that use the best batch size: waiting times, load workers, a whole run."""
    assert report.best is not None
    size = options.batch.max_batch_size or report.best.batch_size
    engine.resize(size)
    at_size = next((row for row in report.batches if row.batch_size == size), report.best)
    for max_wait_s in bench.max_waits if bench.arrivals is not None else ():
        assert bench.arrivals is not None
        row = arrivals.latency(engine, clips, bench.arrivals, bench.n_arrivals, max_wait_s, at_size.clips_s)
        report.arrivals.append(row)
        on_row(report, row, 1)
    for n_workers in bench.load_workers if paths else ():
        report.loading.append(loading.by_workers(paths, options, n_workers))
        on_row(report, report.loading[-1], 1)
    if bench.profile or diarizer is not None:
        engine.measure_stages(True)
        report.profile = stages.profile(engine, paths, options, diarizer)


def _diarizer(options: RunOptions) -> Diarizer | None:
    """Open the diarizer if speakers are measured too; UsageError if it is unavailable."""
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
        caveats.append(f"{facts.model} has random weights: its speed is meaningful, its text is not")
    if n_tokens is not None:
        caveats.append(f"{n_tokens} tokens were forced in each window, whatever its speech")
    return Report(
        facts.model,
        facts.device,
        facts.compute_type,
        f"{platform.system()} {platform.machine()}, {engine.device_name}",
        f"{n_clips} clips of {n_files} recordings" if n_files else "windows of noise, 30 seconds each",
        caveats,
    )
