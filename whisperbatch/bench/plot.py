"""Draw throughput against batch size, as PNG, SVG or PDF by the file's extension.

matplotlib comes with the extra ``plot`` and is imported only here.
"""

from pathlib import Path

from whisperbatch.bench.measure import Report
from whisperbatch.errors import UsageError

INK, ACCENT, GRID = "#333333", "#0b6e99", "#dddddd"


def require() -> None:
    """Raise UsageError if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as err:
        raise UsageError("--plot needs matplotlib: pip install matplotlib") from err


def draw(report: Report, path: Path) -> None:
    """Write the graph of the batch sizes; UsageError if its type is unknown or it cannot be written."""
    require()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sizes = [row.batch_size for row in report.batches]
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(sizes, [row.windows_s for row in report.batches], color=ACCENT, marker="o", linewidth=2)
    for row in report.batches:
        axes.annotate(
            f"{row.speed_up:.1f}x",
            (row.batch_size, row.windows_s),
            textcoords="offset points",
            xytext=(0, 8),
            ha="center",
            color=INK,
        )
    if (own := report.by_itself) is not None:
        axes.axhline(own.windows_s, color=INK, linestyle="--", linewidth=1)
        axes.annotate(
            f"auto ({own.batch_size} at once): {own.speed_up:.1f}x",
            (sizes[0], own.windows_s),
            textcoords="offset points",
            xytext=(0, 4),
            color=INK,
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_ylim(bottom=0, top=1.2 * max(row.windows_s for row in report.rows))
    axes.set_xlabel("batch size (clips)")
    axes.set_ylabel("windows of 30 s per second")
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_title(f"{report.model}, {report.device}, {report.compute_type}", loc="left", color=INK)
    notes = "\n".join([report.material, *report.caveats])
    figure.text(0.01, -0.01, notes, fontsize=7, color=INK, va="top")
    try:
        figure.savefig(path, dpi=150, bbox_inches="tight")
    except (ValueError, OSError) as err:
        raise UsageError(f"the graph cannot be written to {path}: {str(err).partition(chr(10))[0]}") from err
