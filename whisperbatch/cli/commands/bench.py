"""``bench``: prints each row on standard error as it is measured, then tables on standard output."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from whisperbatch.bench import ArrivalRow, BatchRow, LoadRow, Report, measure
from whisperbatch.bench import plot as graph
from whisperbatch.cli import failures
from whisperbatch.cli.commands import run
from whisperbatch.cli.screen import clock
from whisperbatch.errors import UsageError
from whisperbatch.options import BenchOptions, RunOptions, parse_counts, parse_rate, parse_waits
from whisperbatch.report import EXIT_INTERRUPTED

WIDTH = 100  # width of tables outside a terminal
STAGES = ("features", "encoder", "prefill", "decoder", "rules", "search", "word times", "host")


def options_of(given: dict[str, Any]) -> BenchOptions:
    """Return the measurement's options from the command's parameters."""
    return BenchOptions(
        batch_sizes=parse_counts(given["batch_sizes"], "batch_sizes") if given["batch_sizes"] else (),
        rounds=given["rounds"],
        tokens_per_window=given["tokens_per_window"],
        arrivals=parse_rate(given["arrivals"]) if given["arrivals"] else None,
        n_arrivals=given["n_arrivals"],
        max_waits=parse_waits(given["max_waits"]),
        load_workers=parse_counts(given["compare_load_workers"], "compare_load_workers"),
        price_per_hour=given["price_per_hour"],
        profile=given["profile"],
    )


def bench(paths: Sequence[str], options: RunOptions, given: dict[str, Any]) -> None:
    """Measure, print, and write the files that the options name."""
    wanted, json_file = options_of(given), given["json"]
    if given["plot"] is not None:
        graph.require()
    if len(options.engine.devices) > 1 or options.engine.device == "all":
        raise UsageError(f"bench measures one device, but --device {options.engine.device} names several; name one")
    found = [audio.path for audio in run.sources_of(list(paths), [], null=False)] if paths else []
    if paths and not found:
        raise UsageError(run.NOTHING_FOUND)
    if found:
        failures.say(f"reading {len(found)} {'recording' if len(found) == 1 else 'recordings'}")
    report = measure(
        *(found, options, wanted),
        on_notice=failures.say,
        on_row=lambda report, row, number: _print_row(report, row, number, wanted.rounds),
        on_expected=lambda seconds, largest: _say_expected(seconds, largest, is_open=not wanted.batch_sizes),
    )
    data = json.dumps(report.as_dict(), indent=2) + "\n"
    if json_file == "-":
        sys.stdout.write(data)
    else:
        console = Console(width=None if sys.stdout.isatty() else WIDTH)
        for part in _parts(report):
            console.print(part)
        if json_file is not None:
            _write(Path(json_file), data)
    if given["plot"] is not None:
        graph.draw(report, given["plot"])
        failures.say(f"the graph is in {given['plot']}")
    if report.interrupted:
        failures.say("interrupted; the figures are those measured so far")
        raise typer.Exit(EXIT_INTERRUPTED)


def _write(path: Path, data: str) -> None:
    try:
        path.write_text(data)
    except OSError as err:
        raise UsageError(f"the figures cannot be written to {path}: {err.strerror}") from err


def _say_expected(seconds: float, largest: int, *, is_open: bool) -> None:
    """Print how long the measurement will take, after the first batch."""
    sizes = f" for batch sizes up to {largest}; larger ones follow while they are faster" if is_open else ""
    failures.say(
        f"expected time: at most about {clock(max(1.0, seconds))}{sizes}; Ctrl-C ends it and keeps the figures"
    )


def _print_row(report: Report, row: Any, number: int, rounds: int) -> None:
    """Print a row's figures as soon as they are known."""
    match row:
        case BatchRow() if row is report.by_itself:
            failures.say(f"auto (batch size {row.batch_size}): {row.windows_s:.2f} windows/s")
        case BatchRow():
            failures.say(f"batch size {row.batch_size}: {row.windows_s:.2f} windows/s (round {number} of {rounds})")
        case ArrivalRow():
            failures.say(f"waiting {row.max_wait_s:g} s: latency {row.p50_s:.2f} s")
        case LoadRow():
            failures.say(f"{row.n_workers} load workers: {row.rtfx:.0f} audio seconds per second")


def _parts(report: Report) -> list[Any]:
    parts: list[Any] = [
        f"{report.model} on {report.device} in {report.compute_type}; {report.machine}",
        f"decoded: {report.material}",
        *report.caveats,
        _batches(report),
        _stages(report),
    ]
    if report.arrivals:
        parts.append(_arrivals(report))
    if report.loading:
        parts.append(_loading(report))
    if report.profile is not None:
        parts.append(_profile(report))
    return parts


def _batches(report: Report) -> Table:
    has_price = report.price_per_hour is not None
    names = ["batch size", "windows/s", "speed-up", "RTFx", "tokens/s", "spread", "memory"]
    table = _table("The engine alone, by batch size", [*names, *(["per audio hour", "saved"] if has_price else [])])
    fastest = max(report.rows, key=lambda row: row.windows_s)
    for row in report.rows:
        cells = [
            f"{_name(report, row)}{' *' if row is fastest else ''}",
            f"{row.windows_s:.2f}",
            f"{row.speed_up:.2f}",
            f"{row.rtfx:.1f}",
            f"{row.tokens_s:.0f}",
            f"{row.spread:.0%}",
            f"{row.peak_bytes / 1e9:.1f} GB" if row.peak_bytes else "-",
        ]
        cost = report.cost_of(row)
        table.add_row(*cells, *([f"{cost:.4f}", f"{report.saving_of(row):.0%}"] if cost is not None else []))
    table.caption = "* the fastest; RTFx is audio seconds per second; medians over rounds"
    if report.by_itself is not None:
        table.caption += "\nauto: the size that a run chooses; on a CPU perhaps several engines side by side"
    return table


def _name(report: Report, row: BatchRow) -> str:
    return f"auto: {row.batch_size}" if row is report.by_itself else str(row.batch_size)


def _stages(report: Report) -> Table:
    names = [name for name in STAGES if any(row.stages.get(name) for row in report.rows)]
    table = _table("Milliseconds per window, by stage", ["batch size", *names])
    for row in report.rows:
        table.add_row(_name(report, row), *(f"{1000 * row.stages.get(name, 0.0):.1f}" for name in names))
    return table


def _arrivals(report: Report) -> Table:
    table = _table("Latency while clips arrive at random", ["max wait", "latency p50", "p95", "batch fill", "keeps up"])
    for row in report.arrivals:
        table.add_row(
            f"{row.max_wait_s:g} s",
            f"{row.p50_s:.2f} s",
            f"{row.p95_s:.2f} s",
            f"{row.fill:.0%}",
            "yes" if row.keeps_up else "no: clips arrive faster than they are decoded",
        )
    return table


def _loading(report: Report) -> Table:
    table = _table("Load workers", ["workers", "audio s/s", "without speech detection"])
    for row in report.loading:
        bare = f"{row.rtfx_without_vad:.0f}" if row.rtfx_without_vad else "-"
        table.add_row(str(row.n_workers), f"{row.rtfx:.0f}", bare)
    return table


def _profile(report: Report) -> Table:
    found = report.profile
    assert found is not None
    table = _table("A whole run", ["what", "seconds", "share"])
    rows = [(name, found.engine[name]) for name in STAGES if found.engine.get(name)]
    for name, seconds in [*rows, ("idle: waiting for clips", found.idle_s)]:
        table.add_row(name, f"{seconds:.2f}", f"{seconds / found.wall_s:.0%}")
    table.add_section()
    table.add_row("all", f"{found.wall_s:.2f}", f"RTFx {found.audio_s / found.wall_s:.1f}")
    table.add_row("in parallel: writing", f"{found.write_s:.2f}", "")
    if found.speakers_s is not None:
        table.add_row("in parallel: speakers", f"{found.speakers_s:.2f}", f"{found.speakers_s / found.wall_s:.0%}")
    if found.n_failed:
        table.caption = f"{found.n_failed} recordings failed and are not included"
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    for name in columns:
        table.add_column(name, justify="right")
    return table
