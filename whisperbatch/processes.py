"""Processes of our own that run a module of this package, wherever they are started."""

import os
import secrets
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, BinaryIO

LENGTH = struct.Struct("<I")  # before each message on a pipe
RUN = secrets.token_hex(4)  # this process, in names of files: process ids come again, in containers at once

PACKAGE = Path(__file__).resolve().parent / "__init__.py"
# "-m" finds the package by the search path: the current folder would come in, or, through PYTHONPATH, all that lies
# beside the package would come before the standard library. So it is named by its place; the parent's path goes last.
START = """
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("whisperbatch", sys.argv[1])
sys.modules["whisperbatch"] = package = module_from_spec(spec)
spec.loader.exec_module(package)
sys.path += [folder for folder in sys.argv[3:] if folder not in sys.path]
import_module(sys.argv[2]).main()
"""


def command(module: str) -> list[str]:
    """The command line that calls ``main`` of a module of this package."""
    folders = [str(Path(folder).absolute()) for folder in sys.path if folder]
    return [sys.executable, "-P", "-c", START, str(PACKAGE), module, *folders]


def start(
    argv: Sequence[str], variables: Mapping[str, str], stderr: int | BinaryIO = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """A process with pipes from and to it, with ``variables`` beside ours; OSError when it cannot be started."""
    return subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, **variables},
        start_new_session=True,  # Ctrl-C in the terminal is the parent's to handle
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
    )


def read_exactly(stream: IO[bytes], n_bytes: int) -> bytes:
    """So many bytes; EOFError when the other end dies before."""
    data = stream.read(n_bytes)
    if len(data) < n_bytes:
        raise EOFError
    return data


def ending(code: int) -> str:
    """How a process ended, in words, by its return code as ``subprocess`` tells it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code}, {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"signal {-code}, unknown"


def has_ended(pid: int, run: str, *, unknown: bool) -> bool:
    """Whether the process of this machine that had that id and ``RUN`` is gone.

    ``unknown`` is the answer on Windows, where asking would end the process.
    """
    if pid == os.getpid():
        return run != RUN
    if os.name == "nt":
        return unknown
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    return False


def n_cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no such thing
        return os.cpu_count() or 1


def pipes_to_parent() -> tuple[BinaryIO, BinaryIO]:
    """In such a process, the pipes from and to the parent, moved away from where a library might read or print.

    Signals are the parent's to handle from then on: a service manager tells all its processes.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return incoming, outgoing
