"""Bounded reads of a binary file: nothing beyond its end, nothing made that is larger than it."""

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
    """A file that is read from its front to its end, little-endian; ValueError where it ends early."""

    def __init__(self, file: Path) -> None:
        """Map it; pages are the system's own, and private where they are written to."""
        with file.open("rb") as stream:
            # trap: torch warns of memory that it may not write to, so it gets a private copy, made page by page
            self._memory = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """Whether all has been read."""
        return self._at == len(self._memory)

    def numbers(self, kinds: str) -> tuple[int, ...]:
        """Numbers by ``struct``'s letters."""
        return struct.unpack("<" + kinds, self.bytes(struct.calcsize("<" + kinds)))

    def number(self, kind: str) -> int:
        """One number."""
        return self.numbers(kind)[0]

    def bytes(self, n_bytes: int) -> bytes:
        """So many bytes."""
        first = self._skip(n_bytes)
        return self._memory[first : self._at]

    def tensor(self, dtype: torch.dtype, shape: Sequence[int]) -> Tensor:
        """A tensor of values as they are stored, on the file's own pages."""
        if len(shape) > MAX_AXES or any(size < 0 for size in shape):
            raise ValueError(f"a tensor of shape {tuple(shape)} is none of Whisper's")
        n_values = math.prod(shape)
        first = self._skip(n_values * dtype.itemsize)
        if n_values == 0:
            return torch.empty(tuple(shape), dtype=dtype)
        raw = torch.frombuffer(self._memory, dtype=torch.uint8, count=n_values * dtype.itemsize, offset=first)
        # a view asks for an address that is a multiple of the value's size, and formats do not align theirs
        return (raw if first % dtype.itemsize == 0 else raw.clone()).view(dtype).view(tuple(shape))

    def _skip(self, n_bytes: int) -> int:
        """Go on by so many bytes; where they began."""
        first = self._at
        if n_bytes < 0 or n_bytes > len(self._memory) - first:
            raise ValueError(SHORT)
        self._at += n_bytes
        return first
