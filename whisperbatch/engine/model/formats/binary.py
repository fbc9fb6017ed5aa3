"""Read a binary file with bounds checks: never beyond its end, and never allocating more than its size."""

import math
import mmap
import struct
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

MAX_AXES = 4
SHORT = "the file ends early"


class Binary:
    """Reads a little-endian file from start to end; methods raise ValueError if it ends early."""

    def __init__(self, file: Path) -> None:
        """Map the file into memory; writes to the pages are private."""
        with file.open("rb") as stream:
            # trap: torch warns about read-only memory, so the map is copy-on-write
            self._memory = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """True if the whole file has been read."""
        return self._at == len(self._memory)

    def numbers(self, kinds: str) -> tuple[int, ...]:
        """Read numbers of the kinds given by ``struct``'s letters."""
        return struct.unpack("<" + kinds, self.bytes(struct.calcsize("<" + kinds)))

    def number(self, kind: str) -> int:
        """Read one number."""
        return self.numbers(kind)[0]

    def bytes(self, n_bytes: int) -> bytes:
        """Read ``n_bytes`` bytes."""
        first = self._skip(n_bytes)
        return self._memory[first : self._at]

    def tensor(self, dtype: torch.dtype, shape: Sequence[int]) -> Tensor:
        """Read a tensor of values as they are stored, on the file's own pages if their alignment allows."""
        if len(shape) > MAX_AXES or any(size < 0 for size in shape):
            raise ValueError(f"a tensor of shape {tuple(shape)} is not one of Whisper's")
        n_values = math.prod(shape)
        first = self._skip(n_values * dtype.itemsize)
        if n_values == 0:
            return torch.empty(tuple(shape), dtype=dtype)
        raw = torch.frombuffer(self._memory, dtype=torch.uint8, count=n_values * dtype.itemsize, offset=first)
        # a view needs an address that is a multiple of the value's size, which the formats do not guarantee
        return (raw if first % dtype.itemsize == 0 else raw.clone()).view(dtype).view(tuple(shape))

    def _skip(self, n_bytes: int) -> int:
        """Advance by ``n_bytes`` and return the offset of the first."""
        first = self._at
        if n_bytes < 0 or n_bytes > len(self._memory) - first:
            raise ValueError(SHORT)
        self._at += n_bytes
        return first
