"""Progress of a run on standard error: a live view, one line, plain lines, or failures only.

A screen receives the run's events, one at a time, from several threads. ``Tally`` counts them; each screen shows the
counts in its own way.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from whisperbatch.cli.failures import say, shown
from whisperbatch.cli.params.running import ProgressKind
from whisperbatch.pipeline.decision import ALREADY
from whisperbatch.records import NOTHING_HEARD, Event, Outcome, Status, Transcript
from whisperbatch.report import Report

STATE_S = 60.0
STATE_SHARE = 0.1  # a run with an end reports its progress again after this share of its time: 70 lines in ten hours
MAX_OPEN = 6  # lines of files being loaded or decoded
MAX_FAILED = 10  # lines of failed files, repeated at the end
MIN_BAR = 12  # columns
SURE_S, SURE_SHARE = 10.0, 0.05  # before both, the speed is that of a model warming up


class Tally:
    """Counts of a run so far."""

    def __init__(self) -> None:
        """Start the clock."""
        self.began_s = time.monotonic()
        self.n_found = self.n_ended = self.n_failed = self.n_loaded = 0
        self.n_interrupted = self._n_half_done = 0  # half done: loaded, then interrupted
        self.loaded_s = self.decoded_s = 0.0
        self._has_decoded = False  # the model has decoded something: silence would give too high a speed
        self.in_progress: dict[Path, tuple[float, float]] = {}  # seconds decoded and in all, 0 when unknown

    def add(self, event: Event) -> None:
        """Count an event."""
        path, data = event.path, event.data
        if event.kind == "queued":
            self.n_found += 1
        elif event.kind == "loading" and path is not None:
            self.in_progress[path] = (0.0, 0.0)
        elif event.kind == "loaded" and path in self.in_progress:
            self.n_loaded += 1
            self.loaded_s += data["duration_s"]
            self.in_progress[path] = (self.in_progress[path][0], data["duration_s"])
        elif event.kind == "progress":
            self.decoded_s += data["audio_s"]
            self._has_decoded = True
            if path in self.in_progress:
                self.in_progress[path] = (self.in_progress[path][0] + data["audio_s"], self.in_progress[path][1])
        elif event.kind == "finished":
            status = data["outcome"].status
            decoded_s, whole_s = (0.0, 0.0) if path is None else self.in_progress.pop(path, (0.0, 0.0))
            if status is Status.INTERRUPTED:  # a later run has to do it
                self.n_interrupted += 1
                self._n_half_done += whole_s > 0
                return
            self.n_ended += 1
            self.n_failed += status is Status.FAILED
            if status is Status.DONE:  # parts without speech count as decoded too
                self.decoded_s += max(0.0, whole_s - decoded_s)

    @property
    def whole_s(self) -> float:
        """Seconds of audio in all: exact for loaded files, estimated from their mean for the others."""
        if not self.n_loaded:
            return 0.0
        n_unknown = max(0, self.n_found - self.n_ended - len(self.in_progress) - self._n_half_done)
        return max(self.loaded_s * (1 + n_unknown / self.n_loaded), self.decoded_s)

    @property
    def speed(self) -> float:
        """Seconds of audio decoded per second so far (RTFx)."""
        wall_s = time.monotonic() - self.began_s
        return self.decoded_s / wall_s if wall_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until the run's end at its speed so far; None if that cannot be estimated yet."""
        if not self._has_decoded or not self.decoded_s:
            return None
        is_early = time.monotonic() - self.began_s < SURE_S and self.decoded_s < SURE_SHARE * self.whole_s
        return None if is_early else (self.whole_s - self.decoded_s) / self.speed

    def progress(self, *, is_endless: bool = False) -> Event:
        """Return the run's progress for programs; a watch has no end and so no time left."""
        left_s = None if is_endless or self.left_s is None else round(self.left_s)
        data: dict[str, Any] = {"n_files": self.n_found, "n_ended": self.n_ended, "n_failed": self.n_failed}
        data |= {"audio_seconds": round(self.decoded_s, 1), "audio_seconds_expected": round(self.whole_s, 1)}
        return Event("standing", None, data | {"real_time_factor": round(self.speed, 2), "seconds_left": left_s})


class Screen:
    """Failures and notices only; the other screens add to it."""

    def __init__(self, report: Report, verbose: bool = False) -> None:
        """Show nothing yet."""
        self.report = report
        self.verbose = verbose
        self.tally = Tally()
        self.is_quiet = False  # hide notices that are not about a file
        self.is_endless = False  # the run watches drop folders
        self.lists_failed: str | None = "whisperbatch status"  # the command that lists them; None without a journal
        self._failed: list[str] = []  # the first lines of failures

    def on_event(self, event: Event) -> None:
        """Count and show one event of the run."""
        self.tally.add(event)
        if event.kind == "finished":
            self.finished(event.data["outcome"])
        elif event.kind == "notice" and not (self.is_quiet and event.path is None):
            self.line(event.data["text"] if event.path is None else f"{event.path}: {event.data['text']}")
        elif event.kind == "batch" and self.verbose:
            d = event.data
            self.line(f"batch: {d['n_clips']} clips of {d['n_files']} files, {d['audio_s']:.1f} s of audio")
        elif event.kind == "standing":
            self.state()
        self.refresh()

    def finished(self, outcome: Outcome) -> None:
        """Show how a file ended."""
        if outcome.status is Status.FAILED:
            error = outcome.error
            place = f" ({error.path})" if error is not None and error.path not in (None, outcome.path) else ""
            line = f"failed: {outcome.path}: {outcome.reason}{place}"
            self._failed += [line] if len(self._failed) < MAX_FAILED else []
            self.line(line)
        elif outcome.status is Status.INTERRUPTED and self.verbose:
            self.line(f"interrupted: {outcome.path}")
        elif outcome.transcript is not None:
            for warning in self.warnings(outcome.transcript):
                self.line(f"{outcome.path}: {warning}")

    def repeated_failures(self) -> list[str]:
        """Return the first failures to show again at the end, because they may have scrolled out of the terminal."""
        n_more = self.report.counts[Status.FAILED] - len(self._failed)
        if n_more <= 0:
            return self._failed
        return [*self._failed, f"and {n_more} more" + (f"; all: {self.lists_failed}" if self.lists_failed else "")]

    def warnings(self, transcript: Transcript) -> Sequence[str]:
        """Return the warnings of a transcript to show, a line each."""
        return transcript.warnings

    def state(self) -> None:
        """Show the run's progress; called once a minute, and ever less often if the run has an end."""

    def watch_state(self) -> str:
        """Return the state of a watch in a line."""
        counts, tally = self.report.counts, self.tally
        parts = [f"{counts[status]} {status.value}" for status in Status if counts[status] or status is Status.DONE]
        n_open = max(0, tally.n_found - tally.n_ended - tally.n_interrupted)
        parts += [f"{n_open} in progress"] if n_open else ["nothing in progress"]
        return f"watching: {', '.join(parts)}; {clock(tally.decoded_s)} of audio since the start"

    def progress(self) -> list[str]:
        """Return what is known of a run's progress: files, seconds of audio, RTFx, time left."""
        tally, whole_s, left_s = self.tally, self.tally.whole_s, self.tally.left_s
        parts = [f"{tally.n_ended}/{tally.n_found} files"]
        parts += [f"{tally.n_failed} failed"] if tally.n_failed else []
        parts += [f"{clock(tally.decoded_s)}/{clock(whole_s)} audio"] if whole_s else []
        if left_s is not None and not self.is_endless:  # the speed of a watch depends on how often files arrive
            parts += [f"{tally.speed:.1f}x", f"{clock(left_s)} left"]
        return parts

    def has_summary(self, whole: bool) -> bool:
        """Return True if files have ended, so that counts say more than the error (if any) that ended the run."""
        n_ended = self.report.n_files - (0 if whole else self.report.counts[Status.INTERRUPTED])
        return n_ended > 0

    def line(self, text: str) -> None:
        """Show a line."""
        say(text)

    def refresh(self) -> None:
        """Redraw the counts."""

    def close(self, whole: bool) -> None:
        """End the view; ``whole`` is True if no error ended the run."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the view; a closed terminal raises nothing."""
        with suppress(OSError):
            self.close(kind is None)


class PlainScreen(Screen):
    """One line for each file, and a summary."""

    def finished(self, outcome: Outcome) -> None:
        """Show how a file ended."""
        super().finished(outcome)
        if outcome.status is Status.DONE and outcome.transcript is not None:
            has_text = any(segment.text.strip() for segment in outcome.transcript.segments)
            language = outcome.transcript.language if has_text else NOTHING_HEARD
            how = f", {outcome.reason}" if outcome.reason else ""
            self.line(f"done: {outcome.path} ({outcome.audio_s:.1f} s, {language}{how})")
        elif outcome.status is Status.SKIPPED:
            self.line(f"skipped: {outcome.path} ({outcome.reason})")

    def warnings(self, transcript: Transcript) -> Sequence[str]:
        """Return all warnings but those that the line of a done file shows."""
        return [warning for warning in transcript.warnings if warning != NOTHING_HEARD]

    def state(self) -> None:
        """Show the run's progress."""
        self.line(self.watch_state() if self.is_endless else f"so far: {', '.join(self.progress())}")

    def close(self, whole: bool) -> None:
        """Show the summary."""
        if self.has_summary(whole):
            self.line(self.report.summary())


class BarScreen(Screen):
    """tqdm's progress bar, in seconds of audio."""

    def __init__(self, report: Report, verbose: bool = False) -> None:
        """Open the bar."""
        super().__init__(report, verbose)
        from tqdm import tqdm

        self._bar: Any = tqdm(total=0, unit="s", unit_scale=True, file=sys.stderr, dynamic_ncols=True, desc="audio")

    def line(self, text: str) -> None:
        """Show a line above the bar."""
        self._bar.write(shown(text), file=sys.stderr)

    def refresh(self) -> None:
        """Move the bar."""
        self._bar.total = round(self.tally.whole_s, 1)
        self._bar.set_postfix_str(f"{self.tally.n_ended}/{self.tally.n_found} files", refresh=False)
        self._bar.n = round(self.tally.decoded_s, 1)
        self._bar.refresh()

    def close(self, whole: bool) -> None:
        """Close the bar and show the summary."""
        self._bar.close()
        if self.has_summary(whole):
            say(self.report.summary())
            for line in self.repeated_failures():
                say(line)


class LiveScreen(Screen):
    """rich's live view: an overall bar, the files in progress, failures as they happen, a closing table."""

    def __init__(self, report: Report, verbose: bool = False) -> None:
        """Open the view."""
        super().__init__(report, verbose)
        from whisperbatch.cli.terminal import OneAtATime, live

        self._n_outputs = self._n_already = 0
        self._output: Path | None = None  # the first output
        self._console = OneAtATime(stderr=True, highlight=False)
        self._live = ExitStack()
        self._live.enter_context(live(self, self._console))

    def __rich__(self) -> Any:
        """Return the current view; called by rich's thread."""
        from rich.console import Group
        from rich.text import Text

        tally = self.tally
        if self.is_endless and tally.n_found == tally.n_ended + tally.n_interrupted:
            return Text(self.watch_state(), style="dim")
        lines: list[Any] = [self._overall()]
        in_progress = sorted(tally.in_progress.copy().items(), key=lambda one: (not one[1][0], not one[1][1]))
        for path, (decoded_s, whole_s) in in_progress[:MAX_OPEN]:  # decoding first, then loaded, then loading
            share = f"{decoded_s / whole_s:4.0%}" if whole_s else " ..."
            lines.append(Text(f"  {share}  {shown(path)}", overflow="ellipsis", no_wrap=True, style="dim"))
        if len(in_progress) > MAX_OPEN:
            lines.append(Text(f"        and {len(in_progress) - MAX_OPEN} more", style="dim"))
        return Group(*lines)

    def _overall(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        tally, parts = self.tally, self.progress()
        bar = ProgressBar(total=tally.whole_s or 1.0, completed=tally.decoded_s, pulse=not tally.decoded_s)
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(ratio=1, min_width=MIN_BAR)
        if MIN_BAR + 1 + len("  ".join(parts)) > self._console.width:
            row.add_row(bar)
            return Group(row, *map(Text, _packed(parts, self._console.width)))
        row.add_column(no_wrap=True)
        row.add_row(bar, "  ".join(parts))
        return row

    def finished(self, outcome: Outcome) -> None:
        """Show a failure above the view."""
        super().finished(outcome)
        self._n_outputs += len(outcome.outputs) if outcome.status is Status.DONE else 0
        if outcome.status is Status.DONE and self._output is None:
            self._output = next(iter(outcome.outputs), None)
        self._n_already += outcome.reason == ALREADY

    def line(self, text: str) -> None:
        """Show a line above the view."""
        from rich.text import Text

        style = "red" if text.startswith("failed:") else ""
        self._console.print(Text(shown(text), style=style, overflow="fold"))

    def close(self, whole: bool) -> None:
        """Leave the closing table."""
        self._live.close()
        if self.has_summary(whole):
            self._console.print(self._closing())
            for line in self._where():
                self._console.print(line, overflow="fold", markup=False)
            for line in self.repeated_failures():
                self.line(line)

    def _where(self) -> Iterator[str]:
        """Yield what the table leaves open: where the transcripts are, or why nothing was done."""
        if self._output is not None:
            more = f" and {self._n_outputs - 1} more" if self._n_outputs > 1 else ""
            yield f"wrote {shown(self._output)}{more}"
        elif self._n_already == self.report.n_files:
            yield "nothing to do: all files are done already; --redo transcribes them again"

    def _closing(self) -> Any:
        from rich import box
        from rich.table import Table

        report = self.report
        table = Table(box=box.SIMPLE_HEAD)
        for status in Status:
            if report.counts[status] or status is Status.DONE:
                table.add_column(status.value, justify="right", style="red" if status is Status.FAILED else "")
        cells = [str(report.counts[s]) for s in Status if report.counts[s] or s is Status.DONE]
        figures = {"audio": clock(report.audio_s), "time": clock(report.wall_s)}
        figures["speed"] = f"{report.real_time_factor:.1f}x"
        for name, cell in figures.items() if report.audio_s else ():
            table.add_column(name, justify="right")
            cells.append(cell)
        table.add_row(*cells)
        return table


def _packed(parts: Sequence[str], width: int) -> list[str]:
    """Put the parts on as few lines as possible without breaking one."""
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + 2 + len(part) > width:
            lines.append("")
        lines[-1] += ("  " if lines[-1] else "") + part
    return lines


@contextmanager
def reporting_progress(listen: Callable[[Event], None], screen: Screen) -> Iterator[None]:
    """Send ``listen`` the run's progress once a minute, and ever less often if the run has an end."""
    began_s, ended, is_endless = time.monotonic(), threading.Event(), screen.is_endless

    def work() -> None:
        while not ended.wait(STATE_S if is_endless else max(STATE_S, STATE_SHARE * (time.monotonic() - began_s))):
            listen(screen.tally.progress(is_endless=is_endless))

    threading.Thread(target=work, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def clock(seconds: float) -> str:
    """Format seconds as ``M:SS`` or ``H:MM:SS``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def open_screen(kind: ProgressKind, quiet: bool, verbose: bool, report: Report) -> Screen:
    """Return the screen of a kind; ``AUTO`` means the live view in a terminal and plain lines elsewhere."""
    if quiet or kind is ProgressKind.NONE:
        screen = Screen(report, verbose)
        screen.is_quiet = quiet
        return screen
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    if kind is ProgressKind.AUTO:
        kind = ProgressKind.LIVE if is_terminal else ProgressKind.PLAIN
    screens = {ProgressKind.LIVE: LiveScreen, ProgressKind.BAR: BarScreen, ProgressKind.PLAIN: PlainScreen}
    return screens[kind](report, verbose)
