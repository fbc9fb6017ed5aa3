"""Processes of our own that run a module of this package, wherever they are started. Who calls: the parents of such."""

import os
import sys
from pathlib import Path
from typing import BinaryIO

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


def n_cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no such thing
        return os.cpu_count() or 1


def private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes from and to the parent, moved away from where a library might read or print."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return incoming, outgoing
