"""Diagnosis of this machine: what is wrong and how to fix it, as a pure function over facts."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

GB = 10**9
ENOUGH = {"model cache": 4 * GB, "spool folder": GB, "state folder": GB // 10}  # turbo and large-v3 take 1.6 and 3.1 GB


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about a machine; the defaults describe one with nothing wrong.

    Attributes:
        n_models: The number of cached models.
        is_hub_reachable: True if a model could be fetched; None if that was not checked.
        is_offline: HF_HUB_OFFLINE is set.
        has_nvidia: An NVIDIA driver or its tools are installed, whatever torch reports.
        driver: Version of the NVIDIA driver.
        torch_cuda: The CUDA version that torch is built for; None in a build for CPUs.
        has_cuda: torch can use a CUDA device.
        has_mps: torch can use an Apple GPU.
        has_bfloat16: The CPU multiplies bfloat16 natively.
        n_cores: The number of cores of the machine.
        n_allowed: The number of cores that this process may use; in a container this may be a fraction.
        n_threads: The number of threads that torch uses.
        omp: Value of the variable OMP_NUM_THREADS.
        free: Free bytes by folder, under the names in ``ENOUGH``.
        places: Paths of these folders.
        closed: Why a folder cannot be written to, for those that cannot.
        journal: Why the journal cannot be opened.
    """

    n_models: int = 1
    is_hub_reachable: bool | None = None
    is_offline: bool = False
    has_nvidia: bool = False
    driver: str | None = None
    torch_cuda: str | None = None
    has_cuda: bool = False
    has_mps: bool = False
    has_bfloat16: bool = True
    n_cores: int = 8
    n_allowed: float = 8.0
    n_threads: int = 8
    omp: str | None = None
    free: Mapping[str, int] = field(default_factory=dict)
    places: Mapping[str, Path] = field(default_factory=dict)
    closed: Mapping[str, str] = field(default_factory=dict)
    journal: str | None = None


def findings(facts: Facts) -> list[str]:
    """Return a sentence for each fault: what is wrong, and how to fix it."""
    return [*_models(facts), *_device(facts), *_threads(facts), *_folders(facts)]


def _models(facts: Facts) -> Iterator[str]:
    if facts.is_offline:
        yield "HF_HUB_OFFLINE is set, so models are not downloaded: unset it to download one"
    elif not facts.n_models and facts.is_hub_reachable is False:
        yield (
            "no model is cached and the hub cannot be reached: run 'whisperbatch fetch turbo' where there is a network "
            "and copy the cache, name a mirror in HF_ENDPOINT, or try --model demo"
        )
    elif not facts.n_models:
        yield "no model is cached: download one with 'whisperbatch fetch turbo' (1.6 GB), or try --model demo"


def _device(facts: Facts) -> Iterator[str]:
    if facts.has_cuda or facts.has_mps:
        return
    driver = f" (driver {facts.driver})" if facts.driver else ""
    if facts.has_nvidia and facts.torch_cuda is None:
        yield (
            f"there is an NVIDIA GPU{driver} but torch is a CPU-only build: install one for CUDA with 'pip install "
            "--force-reinstall torch', or run with --device cpu"
        )
    elif facts.has_nvidia:
        yield (
            f"there is an NVIDIA GPU{driver} but torch, built for CUDA {facts.torch_cuda}, cannot use it: update the "
            "driver, or install a torch for an older CUDA; in a container, start it with --gpus all"
        )
    if not facts.has_bfloat16:
        yield (
            "this CPU has neither AVX512-BF16 nor AMX, so the model computes in float32, which is slower: "
            "--compute-type int8, --beam-size 1 or a smaller model makes up for it"
        )


def _threads(facts: Facts) -> Iterator[str]:
    n_whole = max(1, math.ceil(facts.n_allowed))
    if facts.omp and facts.omp.isdigit() and int(facts.omp) < n_whole:
        yield (
            f"OMP_NUM_THREADS={facts.omp} limits the model to {facts.omp} of {n_whole} cores: unset it, unless other "
            "programs need them"
        )
    if facts.n_allowed < facts.n_cores:
        share = f"{facts.n_allowed:g} of {facts.n_cores} cores"
        if facts.n_threads > n_whole:
            yield (
                f"this process may use {share}, but torch starts {facts.n_threads} threads, which wait for each other: "
                f"set OMP_NUM_THREADS={n_whole}"
            )
        else:
            yield f"this process may use only {share}: allow more (docker run --cpus, taskset) for more speed"


def _folders(facts: Facts) -> Iterator[str]:
    instead = {
        "model cache": "name another with --model-dir or HF_HOME",
        "spool folder": "name another with --spool-dir or XDG_CACHE_HOME",
        "state folder": "name another with --journal or XDG_STATE_HOME",
    }
    for name, place in facts.places.items():
        if name in facts.closed:
            yield f"the {name} {place} cannot be written to ({facts.closed[name]}): fix that, or {instead[name]}"
        elif facts.free.get(name, ENOUGH[name]) < ENOUGH[name]:
            yield f"the {name} {place} has {facts.free[name] / GB:.2f} GB left: free some space, or {instead[name]}"
    if facts.journal is not None:
        yield facts.journal
