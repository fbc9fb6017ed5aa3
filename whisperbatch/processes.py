"""Child processes that run a module of this package, from any working folder; ids, exit codes and cores."""

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
RUN = secrets.token_hex(4)  # identifies this process in file names: process ids are reused, and equal across containers

PACKAGE = Path(__file__).resolve().parent / "__init__.py"
# "-m" finds the package through the search path: that would add the current folder or, through PYTHONPATH, put all that
# is beside the package before the standard library. So the package is loaded by its path; the parent's path goes last.
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
    """Return the command line that calls ``main`` of a module of this package."""
    folders = [str(Path(folder).absolute()) for folder in sys.path if folder]
    return [sys.executable, "-P", "-c", START, str(PACKAGE), module, *folders]


def start(
    argv: Sequence[str], variables: Mapping[str, str], stderr: int | BinaryIO = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a process with pipes, with ``variables`` added to our environment; OSError when it cannot be started."""
    return subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, **variables},
        start_new_session=True,  # only the parent is to handle Ctrl-C in the terminal
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
    )


def read_exactly(stream: IO[bytes], n_bytes: int) -> bytes:
    """Read exactly ``n_bytes``; EOFError when the other end dies before."""
    data = stream.read(n_bytes)
    if len(data) < n_bytes:
        raise EOFError
    return data


def describe_exit(code: int) -> str:
    """Describe how a process ended, from its return code as ``subprocess`` has it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code}, {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"signal {-code}, unknown"


def has_ended(pid: int, run: str, *, unknown: bool) -> bool:
    """True if the process with that id and ``RUN`` on this machine has ended.

    ``unknown`` is returned on Windows, where ``os.kill`` would end the process.
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
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def pipes_to_parent() -> tuple[BinaryIO, BinaryIO]:
    """In a child process: the pipes from and to the parent, moved away from where a library might read or print.

    From then on the child ignores SIGINT and SIGTERM: a service manager sends them to all processes, and the parent
    handles them.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return incoming, outgoing
