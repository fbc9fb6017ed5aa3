"""The report of a run: counts, durations, real-time factor and exit code, and a JSON file with every outcome."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from whisperbatch import __version__
from whisperbatch.files import WholeFile
from whisperbatch.records import Outcome, Status

SCHEMA = 1
MAX_HOOKS = 1_000  # failed hooks that are listed; all are counted
EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_RUN, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


class Report:
    """How a run's files ended; for one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock."""
        self._clock = clock
        self._began_s = clock()
        self.counts: Counter[Status] = Counter()
        self.failures: list[Outcome] = []
        self.hooks: list[dict[str, Any]] = []
        self.n_hooks_failed = 0
        self.audio_s = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count a file that ended."""
        self.counts[outcome.status] += 1
        if outcome.status is Status.DONE and not outcome.reason:  # else it was rewritten from its JSON, in no time
            self.audio_s += outcome.audio_s
        elif outcome.status is Status.FAILED:
            self.failures.append(replace(outcome, error=None))  # its traceback would hold memory, for months of watch

    def add_hook(self, path: Path | None, data: Mapping[str, Any]) -> None:
        """Count a failed hook; ``data`` says which and why. The exit code stays as it is."""
        self.n_hooks_failed += 1
        if len(self.hooks) < MAX_HOOKS:
            one = {name: data.get(name) for name in ("hook", "id", "reason")}
            self.hooks.append({"path": None if path is None else str(path), **one})

    @property
    def n_files(self) -> int:
        """The number of files that have ended."""
        return self.counts.total()

    @property
    def wall_s(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began_s

    @property
    def real_time_factor(self) -> float:
        """RTFx: seconds of audio transcribed per second; 0 when nothing was."""
        return self.audio_s / self.wall_s if self.audio_s and self.wall_s > 0 else 0.0

    @property
    def exit_code(self) -> int:
        """0 when all files are done or skipped, 1 when some failed, 130 when some were interrupted."""
        if self.counts[Status.INTERRUPTED]:
            return EXIT_INTERRUPTED
        return EXIT_FAILED if self.counts[Status.FAILED] else EXIT_DONE

    def summary(self) -> str:
        """Return the totals in one line for people."""
        parts = [f"{self.counts[status]} {status.value}" for status in Status if self.counts[status]]
        line = ", ".join(parts) or "nothing to do"
        if self.n_hooks_failed:
            line += f"; {self.n_hooks_failed} {'hook' if self.n_hooks_failed == 1 else 'hooks'} failed"
        if self.audio_s:
            line += f"; {_spelled(self.audio_s)} of audio in {_spelled(self.wall_s)}"
            line += f" ({self.real_time_factor:.1f}x real time)"
        return line

    def as_dict(self) -> dict[str, Any]:
        """Return the totals and failures as plain values."""
        return {
            **{status.value: self.counts[status] for status in Status},
            "audio_seconds": round(self.audio_s, 3),
            "wall_seconds": round(self.wall_s, 3),
            "real_time_factor": round(self.real_time_factor, 2),
            "exit_code": self.exit_code,
            "hooks_failed": self.n_hooks_failed,
            "failures": [{"path": str(one.path), "reason": one.reason} for one in self.failures],
        }


class ReportFile:
    """A JSON file with every outcome and the totals; it appears whole, at the end of the run.

    Outcomes are written to a temporary file beside it as they come, so that a long run keeps none in memory.
    """

    def __init__(self, path: Path) -> None:
        """Open the temporary file; RunError when it cannot be written."""
        self._n_files = 0
        self._file = WholeFile(path, "the report")
        self._file.write(f'{{"schema": {SCHEMA}, "version": {json.dumps(__version__)}, "files": [')

    def add(self, outcome: Outcome) -> None:
        """Write the outcome of a file that ended."""
        self._file.write(("," if self._n_files else "") + "\n" + json.dumps(outcome.as_dict()))
        self._n_files += 1

    def close(self, report: Report, exit_code: int) -> None:
        """Write the totals and rename the file to its path; RunError when that fails."""
        totals = report.as_dict() | {"exit_code": exit_code}
        del totals["failures"]
        hooks = f'"hooks": {json.dumps(report.hooks)}, ' if report.hooks else ""
        self._file.write(f'\n], {hooks}"totals": {json.dumps(totals)}}}\n')
        self._file.place()

    def discard(self) -> None:
        """Remove the temporary file, unless ``close`` was called before."""
        self._file.discard()


def _spelled(seconds: float) -> str:
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
