"""What processes a process has, as Linux tells it."""

from contextlib import suppress
from pathlib import Path


def children(pid: int | str = "self") -> set[int]:
    """The process ids of a process's children; its threads may come and go meanwhile."""
    found: set[int] = set()
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found |= set(map(int, file.read_text().split()))
    return found
