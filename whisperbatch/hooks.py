"""Commands to run when a recording or the run has ended: filled in, started without a shell, and timed.

A command gets its values as arguments, or, when it has no placeholder, as one line of JSON on
standard input. Its standard output is dropped; of its standard error the last lines are kept for the report.
"""

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from whisperbatch.errors import FileError
from whisperbatch.options import FORMATS, PLACEHOLDER, HookOptions, placeholders
from whisperbatch.processes import ending

N_COMPLAINT = 2_000  # bytes of standard error that are kept
N_LINES = 3  # of them that are reported
DRAIN_S = 1.0  # for the last of standard error, when a child of the command holds it open


@dataclass(frozen=True, slots=True)
class Call:
    """A command ready to run: its arguments, and what it gets on standard input, None for nothing."""

    argv: tuple[str, ...]
    data: bytes | None


def call_of(command: Sequence[str], told: Mapping[str, Any]) -> Call:
    """The command with its placeholders filled in from ``told``, an outcome or a run's totals as plain values.

    Raises:
        FileError: A placeholder names an output that this recording does not have.
    """
    if not placeholders(command):
        return Call(_filled(command, {}), json.dumps(told).encode() + b"\n")
    return Call(_filled(command, _values(told)), None)


class Running:
    """The commands that run at this moment; any thread may call it."""

    def __init__(self) -> None:
        """None yet."""
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._is_over = False

    @contextmanager
    def having(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Count the command as running; it is killed at once when all have been killed before."""
        with self._lock:
            self._processes.add(process)
            if self._is_over:
                kill(process)
        try:
            yield
        finally:
            with self._lock:
                self._processes.discard(process)

    def kill(self) -> None:
        """Kill all that run, and each that starts later."""
        with self._lock:
            self._is_over = True
            for process in self._processes:
                kill(process)


def run(call: Call, timeout_s: float, running: Running) -> str | None:
    """Why the command failed, in words; None when it ended with exit code 0. It is killed after ``timeout_s``."""
    try:
        with _input(call.data) as stdin:
            process = subprocess.Popen(
                call.argv,
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C in the terminal is the run's to handle, and a group can be killed
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
    except (OSError, ValueError) as err:
        return f"it could not be started: {getattr(err, 'strerror', None) or err}"
    complaint = _Complaint(process.stderr)  # type: ignore[arg-type]  # a pipe, as asked for
    is_late = False
    with running.having(process):
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            is_late = True
            kill(process)
            process.wait()
    if is_late:
        return f"killed after {timeout_s:g} s (--hook-timeout){complaint.said()}"
    return f"{ending(process.returncode)}{complaint.said()}" if process.returncode else None


def run_at_end(options: HookOptions, told: Mapping[str, Any]) -> str | None:
    """Run the command for the end of a run, with its totals; why it failed, None when all went well."""
    if not options.on_end:
        return None
    return run(call_of(options.on_end, told), options.hook_timeout_s, Running())


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command and all of its process group, unless it has ended and its number may be another's by now."""
    if process.returncode is not None:
        return
    with suppress(OSError):
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


class _Complaint:
    """The end of what a command writes to standard error, which is read to its end so that nothing blocks."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._last = b""
        self._thread = threading.Thread(target=self._drain, name="whisperbatch-hook-stderr", daemon=True)
        self._thread.start()

    def said(self) -> str:
        """The last lines, to be put behind what went wrong; empty when there are none."""
        self._thread.join(DRAIN_S)
        text = self._last.decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return ": " + " / ".join(lines[-N_LINES:]) if lines else ""

    def _drain(self) -> None:
        with suppress(OSError, ValueError), self._stream:
            while part := os.read(self._stream.fileno(), 65_536):
                self._last = (self._last + part)[-N_COMPLAINT:]


def _input(data: bytes | None) -> BinaryIO:
    """What the command reads: a file, which no command that leaves it unread can block."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  (the caller closes it)
    file.write(data or b"")
    file.seek(0)
    return file


def _values(told: Mapping[str, Any]) -> dict[str, str]:
    """What each placeholder stands for; where the recording is now, if it was moved."""
    values = {name: str(value) for name, value in told.items() if isinstance(value, str | int)}
    outputs = {Path(path).suffix[1:]: path for path in told.get("outputs", ())}
    values |= {name: path for name, path in outputs.items() if name in FORMATS}
    if "path" in values:
        values["path"] = str(told.get("moved_to") or told["path"])
    return {"language": ""} | values | {"error": str(told.get("reason") or "")}


def _filled(command: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    def value(match: Any) -> str:
        literal, name = match.groups()
        if name is None:
            return f"{{{literal}}}"
        if name not in values:
            raise FileError(f"it names {{{name}}}, which this recording does not have")
        return values[name]

    return tuple(PLACEHOLDER.sub(value, part) for part in command)
