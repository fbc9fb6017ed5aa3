"""Collect facts about devices and cores for ``info``, even where no model could run."""

import os
import re
import shutil
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from whisperbatch.engine.placement import choose
from whisperbatch.options import EngineOptions
from whisperbatch.processes import n_cores

DRIVER = Path("/proc/driver/nvidia/version")
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # of a container: "200000 100000", or "max 100000" without a limit


def facts() -> dict[str, Any]:
    """Facts about devices and cores that ``info`` shows, by name."""
    with warnings.catch_warnings():  # torch warns about an old driver, which ``info`` reports itself
        warnings.simplefilter("ignore")
        has_cuda = torch.cuda.is_available()
    driver = None
    with suppress(OSError):
        found = re.search(r"Module\s+([\d.]+)", DRIVER.read_text(errors="replace"))
        driver = found and found[1]
    return {
        "has_nvidia": DRIVER.exists() or shutil.which("nvidia-smi") is not None,
        "driver": driver,
        "torch_cuda": torch.version.cuda,
        "has_cuda": has_cuda,
        "has_mps": torch.backends.mps.is_available(),
        "has_bfloat16": choose(EngineOptions(model="none", device="cpu")).compute_type == "bfloat16",
        "n_cores": os.cpu_count() or 1,
        "n_allowed": n_allowed(),
        "n_threads": torch.get_num_threads(),
    }


def n_allowed() -> float:
    """The number of cores that this process may use, by its affinity and its container's quota."""
    allowed = float(n_cores())
    with suppress(OSError, ValueError):
        quota, period = CPU_MAX.read_text().split()
        allowed = min(allowed, int(quota) / int(period))  # "max" means no limit; as it is not a number, int() fails
    return allowed
