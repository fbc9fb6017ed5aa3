"""Remember how long decoder steps take on this machine, so that later starts need not measure them again.

The times are in a small file in the user's cache, by processor, versions, model sizes and options. Other work on the
machine only slows a step down, so the first few starts each measure it and the shortest time counts from then on. A
file that cannot be read or written costs nothing but the measuring.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from whisperbatch import __version__
from whisperbatch.engine.kernels import llvm_ir
from whisperbatch.errors import RunError
from whisperbatch.files import WholeFile, cache_folder, read_bounded

FILE = "step-times.json"
N_MEASURED = 3  # starts that measure
MOST_KINDS = 200  # kinds of step to remember; the oldest are forgotten
MOST_BYTES = 1 << 20


def default_path() -> Path:
    """Return the file in the user's cache."""
    return cache_folder() / FILE


def processor() -> str:
    """This processor, what torch may use of it, and the versions whose code a step runs."""
    try:
        name = llvm_ir.processor_name()
    except llvm_ir.CannotCompileError:
        name = "unknown"
    uses = torch.backends.cpu.get_cpu_capability()
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    return f"{name} {uses} {limit} torch {torch.__version__} whisperbatch {__version__}"


class StepTimes:
    """Times of steps in one file; for one thread."""

    def __init__(self, folder: Path | None = None) -> None:
        """Read the file in ``folder``, by default in the user's cache."""
        self._path = default_path() if folder is None else folder / FILE
        self._seconds: dict[str, list[float]] = {}
        with suppress(OSError, ValueError, TypeError, AttributeError):  # also of another user, or of another release
            found = json.loads(read_bounded(self._path, MOST_BYTES))
            self._seconds = {str(kind): [float(one) for one in times] for kind, times in found.items()}

    def shortest(self, kind: str, measure: Callable[[], float | None]) -> float | None:
        """Return the shortest time of a kind of step, in seconds.

        Args:
            kind: What the time depends on besides ``processor``.
            measure: Called unless enough times are known; returns None if memory runs out, which is not remembered.
        """
        key = f"{processor()}; {kind}"
        known = self._seconds.get(key, [])
        if len(known) >= N_MEASURED:
            return min(known)
        measured_s = measure()
        if measured_s is None:
            return None
        self._seconds.pop(key, None)  # the newest last
        self._seconds[key] = [*known, measured_s]
        self._write()
        return min(self._seconds[key])

    def _write(self) -> None:
        kept = dict(list(self._seconds.items())[-MOST_KINDS:])
        with suppress(OSError, RunError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = WholeFile(self._path, "the file of step times")
            try:
                file.write(json.dumps(kept, indent=1))
                file.place()
            finally:
                file.discard()
