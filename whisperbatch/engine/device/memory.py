"""Find out how much memory an engine may fill."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch

_ROOT = Path("/")


def free_bytes(device: torch.device) -> float | None:
    """Memory that may be filled, with a margin left; None if it is unknown.

    On a CPU that is half of the machine's free memory, since load workers, queues and other programs need some.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return 0.8 * free
    known = [n_bytes for n_bytes in (_machine_bytes(), *_container_bytes()) if n_bytes is not None]
    return 0.5 * min(known) if known else None


def _machine_bytes() -> float | None:
    """Memory that programs could use without swapping; the file cache counts as free."""
    with suppress(OSError, ValueError):
        return 1024.0 * _fields(_ROOT / "proc/meminfo")["MemAvailable:"]
    with suppress(AttributeError, ValueError, OSError):  # macOS and Windows have no such setting
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return None


def _container_bytes() -> Iterator[float]:
    """The memory left under the limits of this process's control groups, version 2 and 1."""
    with suppress(OSError):
        for line in (_ROOT / "proc/self/cgroup").read_text().splitlines():
            _, kinds, name = line.split(":", 2)
            if kinds and "memory" not in kinds.split(","):
                continue
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes") if kinds else ("memory.max", "memory.current")
            top = _ROOT / "sys/fs/cgroup" / ("memory" if kinds else "")
            own = top / name.lstrip("/")
            for group in (own, *own.parents) if own.is_relative_to(top) else ():
                with suppress(OSError, ValueError):  # no limit there, or another group's as the container sees it
                    most, used = (int((group / file).read_text()) for file in files)
                    cached = _fields(group / "memory.stat").get("inactive_file", 0)
                    yield float(max(0, most - used + cached))


def _fields(file: Path) -> dict[str, int]:
    """The numbers by name in a file with a name and a number on each line."""
    return {name: int(number) for name, number, *_ in map(str.split, file.read_text().splitlines())}
