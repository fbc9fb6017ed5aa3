"""Choose the device and the compute type; report what this machine offers; manage its memory and threads.

The choices for MPS have not yet been tried on such a device.
"""

import contextlib
import ctypes
import math
import mmap
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from whisperbatch.errors import UsageError
from whisperbatch.options import EngineOptions

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
HUGE_PAGE = 2**21  # bytes
EIGHT_BITS = "int8_"  # prefix of the type that everything else is in
EIGHT_BITS_ON_CUDA = "int8_float16"


@dataclass(frozen=True, slots=True)
class Placement:
    """A torch device and the number type to compute in."""

    device: torch.device
    compute_type: str

    @property
    def dtype(self) -> torch.dtype:
        """The torch dtype of ``compute_type``."""
        return DTYPES[self.compute_type.removeprefix(EIGHT_BITS)]

    @property
    def in_eight_bits(self) -> bool:
        """True if the cross-attention cache is kept in 8 bits."""
        return self.compute_type.startswith(EIGHT_BITS)


def choose(options: EngineOptions) -> Placement:
    """Return the device and compute type that the options mean here; raise UsageError if there is no such device."""
    name = options.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name.startswith("cuda"):
        _require_cuda(name)
    if name == "mps" and not torch.backends.mps.is_available():
        raise UsageError("this machine has no MPS device that torch can use; try --device cpu")
    whole = _fastest(name)
    compute_type = {"auto": whole, "int8": f"{EIGHT_BITS}{whole}"}.get(options.compute_type, options.compute_type)
    place = Placement(torch.device(name), compute_type)
    if place.in_eight_bits and (device := "cuda" if compute_type == EIGHT_BITS_ON_CUDA else "cpu") != place.device.type:
        other = {"cuda": EIGHT_BITS_ON_CUDA, "cpu": f"{EIGHT_BITS}{whole}"}.get(place.device.type, "float16")
        device = "cpu and cuda" if options.compute_type == "int8" else device
        raise UsageError(f"--compute-type {options.compute_type} is for --device {device}; on {name} try {other}")
    return place


def every() -> tuple[str, ...]:
    """Return all CUDA devices of this machine, or only ``auto`` if there is none."""
    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count())) or ("auto",)


def _require_cuda(name: str) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        there = f"{count} of them" if count else "none"
        raise UsageError(f"--device {name} needs a CUDA device and torch sees {there}; try --device cpu")


def _fastest(name: str) -> str:
    if name.startswith(("cuda", "mps")):
        return "float16"
    if name == "cpu" and _has_bfloat16():
        return "bfloat16"
    return "float32"


def has_byte_products() -> bool:
    """Return True if the CPU multiplies bytes natively (AVX512-VNNI, AVX-VNNI or AMX), with sums in 32 bits."""
    return _has_any("avx512_vnni", "avx_vnni", "amx_int8")


def _has_bfloat16() -> bool:
    """Return True if the CPU multiplies bfloat16 natively (AVX512-BF16 or AMX)."""
    return _has_any("avx512_bf16", "amx_bf16")


def has_bfloat16_tiles() -> bool:
    """Return True if the CPU multiplies bfloat16 a tile at a time (AMX)."""
    return _has_any("amx_bf16")


def _has_any(*names: str) -> bool:
    get_capabilities = getattr(torch.cpu, "get_capabilities", None)  # since torch 2.9
    found = get_capabilities() if get_capabilities is not None else {}
    return any(found.get(name) for name in names)


def name_of(device: torch.device) -> str:
    """Describe a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device; for CUDA the host does not wait for the device's pending work.

    Trap: this works only from pinned memory, which must not be reused before the copy is done. Here it can't be:
    nothing else refers to the pinned tensor, and torch keeps its memory until the copy is done.
    """
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class Snapshot:
    """The values of a tensor once the device has done all work queued so far; the host does not wait meanwhile."""

    def __init__(self, tensor: Tensor) -> None:
        """Queue the copy."""
        self._values = None
        if tensor.device.type == "cuda":
            self._copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._copy.copy_(tensor, non_blocking=True)
            self.made = torch.cuda.Event()
            self.made.record(torch.cuda.current_stream(tensor.device))
        else:
            self._values = tensor.tolist()

    def tolist(self) -> list[Any]:
        """Wait for the values and return them."""
        if self._values is None:
            self.made.synchronize()
            self._values = self._copy.tolist()
        return self._values


class SnapshotReader:
    """Reads tensors as they were at a snapshot, without waiting for work that was queued since."""

    def __init__(self, device: torch.device) -> None:
        """Read from one device, on one thread."""
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._device = device

    def wait(self) -> None:
        """Have later reads wait for all work queued until now, because it moved what they read."""
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._device))

    @contextlib.contextmanager
    def since(self, snapshot: Snapshot) -> Iterator[None]:
        """Read inside, and create nothing; only values that have not changed since the snapshot are valid."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(snapshot.made)
            yield


def shorten_switch_interval() -> None:
    """Have threads that run Python code give way to others after 0.5 ms instead of 5.

    The engine's thread takes Python's lock for each launch; with threads that receive decoded audio running, it would
    wait for them longer than a launch takes.
    """
    sys.setswitchinterval(min(sys.getswitchinterval(), 0.0005))


def n_threads() -> int:
    """Return the number of threads that torch uses here."""
    return torch.get_num_threads()


def share_cores() -> Callable[[int], None]:
    """Return a function that limits torch in the calling thread to its share of the threads.

    It takes the number of threads that work at the same time.
    """
    most = n_threads()
    return lambda n_working: torch.set_num_threads(max(1, most // n_working))


def zeros(shape: Sequence[int], dtype: torch.dtype, device: torch.device, *, huge: bool = True) -> Tensor:
    """Return zeros that take memory only as they are written; ``huge``: on huge pages where Linux offers them.

    Huge pages suit tensors that are large, live long and are read whole at every step (one core, sums of 300 MB: 15.5
    GB/s against 11.6); small pages suit scattered writes. Raises MemoryError when there is no room.
    """
    n_bytes = math.prod(shape) * dtype.itemsize
    if device.type != "cpu" or n_bytes < HUGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.zeros(shape, dtype=dtype, device=device)
    try:
        memory = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # shared mappings get small pages
    except OSError as err:
        raise MemoryError(f"no room for {n_bytes} bytes") from err
    with contextlib.suppress(OSError):  # a kernel without huge pages
        memory.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).view(*shape)  # the view keeps the mapping alive


def keep_freed_memory() -> None:
    """Let malloc keep large freed blocks for reuse instead of returning them to the system.

    The encoder's states are such blocks, and the system clears fresh ones a page at a time (two cores, tiny shape, six
    runs each: 139 ms a window on average, 131 with this). Call it once a model is loaded, so that memory which only
    loading needs is returned.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None  # glibc has it
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def describe() -> list[dict[str, str]]:
    """Return the devices of this machine as plain rows: device, name, memory, compute_types."""
    place = choose(EngineOptions(model="none", device="cpu"))
    rows = [
        {
            "device": "cpu",
            "name": f"{os.cpu_count()} cores, {torch.get_num_threads()} threads",
            "memory": "",
            "compute_types": f"float32, bfloat16, each also with int8_ (auto: {place.compute_type})",
        }
    ]
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(index)
        rows.append(
            {
                "device": f"cuda:{index}",
                "name": properties.name,
                "memory": f"{properties.total_memory / 2**30:.0f} GiB",
                "compute_types": "float32, float16, bfloat16, int8_float16 (auto: float16)",
            }
        )
    if torch.backends.mps.is_available():
        rows.append(
            {
                "device": "mps",
                "name": "Apple GPU",
                "memory": "",
                "compute_types": "float32, float16 (auto: float16)",
            }
        )
    return rows
