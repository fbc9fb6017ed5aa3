"""Hooks: run the user's commands when a recording or the run has ended, without a shell and with a time limit.

A command gets its values through placeholders in its arguments or, when it has none, as one line of JSON on standard
input. Its standard output is dropped; the last lines of its standard error are kept for the report.
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
from whisperbatch.processes import describe_exit

N_STDERR = 2_000  # bytes of standard error that are kept
N_LINES = 3  # lines of it that are reported
DRAIN_S = 1.0  # how long to wait for the rest of standard error, when a child of the command holds it open


@dataclass(frozen=True, slots=True)
class Call:
    """A command ready to run: its arguments, and its standard input or None."""

    argv: tuple[str, ...]
    data: bytes | None


def call_of(command: Sequence[str], values: Mapping[str, Any]) -> Call:
    """Fill in a command's placeholders from ``values``: an outcome, or a run's totals, as plain values.

    Raises:
        FileError: A placeholder names an output that this recording does not have.
    """
    if not placeholders(command):
        return Call(_filled(command, {}), json.dumps(values).encode() + b"\n")
    return Call(_filled(command, _placeholder_values(values)), None)


class RunningHooks:
    """The commands that are running now; any thread may call it."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._is_over = False

    @contextmanager
    def track(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Count the command as running; kill it at once if ``kill`` was called before."""
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
        """Kill all running commands, and each one that starts later."""
        with self._lock:
            self._is_over = True
            for process in self._processes:
                kill(process)


def run(call: Call, timeout_s: float, running: RunningHooks) -> str | None:
    """Run the command, killing it after ``timeout_s``; return why it failed, or None after exit code 0."""
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
    stderr = _StderrTail(process.stderr)  # type: ignore[arg-type]  # a pipe, since Popen was given PIPE
    is_late = False
    with running.track(process):
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            is_late = True
            kill(process)
            process.wait()
    if is_late:
        return f"killed after {timeout_s:g} s (--hook-timeout){stderr.suffix()}"
    return f"{describe_exit(process.returncode)}{stderr.suffix()}" if process.returncode else None


def run_at_end(options: HookOptions, totals: Mapping[str, Any]) -> str | None:
    """Run the ``on_end`` command, if there is one, with the run's totals; return why it failed, or None."""
    if not options.on_end:
        return None
    return run(call_of(options.on_end, totals), options.hook_timeout_s, RunningHooks())


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command and its process group, unless it has ended and its id may belong to another process by now."""
    if process.returncode is not None:
        return
    with suppress(OSError):
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


class _StderrTail:
    """The end of a command's standard error, which is read completely so that the command never blocks."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._last = b""
        self._thread = threading.Thread(target=self._drain, name="whisperbatch-hook-stderr", daemon=True)
        self._thread.start()

    def suffix(self) -> str:
        """The last lines, to append to a message; empty when there are none."""
        self._thread.join(DRAIN_S)
        text = self._last.decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return ": " + " / ".join(lines[-N_LINES:]) if lines else ""

    def _drain(self) -> None:
        with suppress(OSError, ValueError), self._stream:
            while part := os.read(self._stream.fileno(), 65_536):
                self._last = (self._last + part)[-N_STDERR:]


def _input(data: bytes | None) -> BinaryIO:
    """The command's standard input: a file, since a command that never reads a pipe would block us."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  (the caller closes it)
    file.write(data or b"")
    file.seek(0)
    return file


def _placeholder_values(values: Mapping[str, Any]) -> dict[str, str]:
    """The text of each placeholder; ``path`` is where the recording is now, if it was moved."""
    texts = {name: str(value) for name, value in values.items() if isinstance(value, str | int)}
    outputs = {Path(path).suffix[1:]: path for path in values.get("outputs", ())}
    texts |= {name: path for name, path in outputs.items() if name in FORMATS}
    if "path" in texts:
        texts["path"] = str(values.get("moved_to") or values["path"])
    return {"language": ""} | texts | {"error": str(values.get("reason") or "")}


def _filled(command: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    def value(match: Any) -> str:
        literal, name = match.groups()
        if name is None:
            return f"{{{literal}}}"
        if name not in values:
            raise FileError(f"it uses {{{name}}}, which this recording does not have")
        return values[name]

    return tuple(PLACEHOLDER.sub(value, part) for part in command)
