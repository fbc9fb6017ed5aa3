"""Maxima and sums of exponentials of logits on a CPU, in two passes over a row that stays in the processor's cache.

The softmax's denominators and the most probable tokens follow from them. The code is compiled for the machine when the
engine starts and reads bfloat16 as it is stored; torch converts the logits to float32 and passes over them seven times.
Measured on one core of a Xeon with AMX, 60 rows of base: all rules and each row's six best tokens took torch 13.5 ms,
of a step of 60.

Each row is computed on its own: no text depends on its neighbours in the batch, or on the number of threads.
"""

import functools
import math
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from whisperbatch.engine.kernels.llvm_ir import CannotCompileError, Compiled, IrBuilder, parallel_for

WIDTH = 16  # numbers per vector, and the shortest part
N_VECTORS = 32  # vectors per block; a lane's maximum is over as many ids
FLOAT = 4  # bytes
DEGREE = 6  # of the polynomial for the fraction of an exponent: an error of 1e-7
LOWEST = -3e38  # stands for minus infinity, whose difference from itself is not a number
DTYPES = (torch.bfloat16, torch.float32)


class LogitSums:
    """Maxima and sums of logits whose vocabulary has some parts; any thread may call it.

    Attributes:
        members: int64 (n_lanes, n_ids), the ids of each lane; ``n_vocab`` where it has fewer.
        lanes: The lanes of each part.
    """

    def __init__(self, dtype: torch.dtype, edges: tuple[int, ...]) -> None:
        """Compile the kernel; CannotCompileError if this machine cannot.

        Args:
            dtype: Of the logits.
            edges: The first id of each part, and the end of the last one, which is ``n_vocab``.
        """
        self._n_parts, self._n_vocab = len(edges) - 1, edges[-1]
        parts = [_lanes(*part) for part in pairwise(edges)]
        ids = [[*lane, *[self._n_vocab] * (N_VECTORS - len(lane))] for part in parts for lane in part]
        self.members = torch.tensor(ids)
        ends = list(accumulate(map(len, parts)))
        self.lanes = [slice(end - len(part), end) for end, part in zip(ends, parts, strict=True)]
        self._kernel = _KernelBuilder(dtype, edges, len(ids)).compiled()

    def __call__(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reduce logits (n_rows, n_vocab), some of which may be minus infinity.

        Returns:
            float32 (n_rows, n_lanes), the maximum of each lane; float32 (n_rows, n_parts), the maximum of each part;
            and float32 (n_rows, n_parts), the sum of each part's exponentials, divided by that of its maximum.
        """
        assert logits.is_contiguous()
        assert logits.shape[1] == self._n_vocab
        n_rows = len(logits)
        maxima = torch.empty(n_rows, len(self.members))
        parts, sums = (torch.empty(n_rows, self._n_parts) for _ in range(2))
        addresses = [tensor.data_ptr() for tensor in (logits, maxima, parts, sums)]
        parallel_for(n_rows, lambda first, last: self._kernel(*addresses, first, last))
        return maxima, parts, sums


@functools.cache
def find(dtype: torch.dtype, edges: tuple[int, ...]) -> LogitSums | None:
    """The kernel for logits in ``dtype``, with the parts that ``edges`` bound; None where it cannot be used."""
    if dtype not in DTYPES or min(end - start for start, end in pairwise(edges)) < WIDTH:
        return None
    try:
        return LogitSums(dtype, edges)
    except CannotCompileError:
        return None


def _lanes(start: int, end: int) -> list[range]:
    """The ids of each lane of a part: blocks of whole vectors, then one vector with what is left."""
    n_whole = (end - start) // WIDTH * WIDTH
    blocks = [(first, min(first + N_VECTORS * WIDTH, n_whole)) for first in range(0, n_whole, N_VECTORS * WIDTH)]
    whole = [range(start + first + lane, start + stop, WIDTH) for first, stop in blocks for lane in range(WIDTH)]
    if start + n_whole == end:
        return whole
    return [*whole, *(range(at, at + (at >= start + n_whole)) for at in range(end - WIDTH, end))]


class _KernelBuilder:
    """Builds the kernel: a loop over rows and, in each, over the blocks of each part."""

    def __init__(self, dtype: torch.dtype, edges: tuple[int, ...], n_lanes: int) -> None:
        self._ir, self._dtype, self._edges, self._n_lanes = IrBuilder(WIDTH), dtype, edges, n_lanes

    def compiled(self) -> Compiled:
        """Compile the kernel, which works on the rows from ``first`` to ``last`` (exclusive)."""
        self._ir.loop("%last", [], self._row, first="%first")
        return self._ir.compiled(("logits", "maxima", "parts", "sums"), ("first", "last"))

    def _row(self, number: str, _: list[str]) -> list[str]:
        ir, n_parts = self._ir, len(self._edges) - 1
        logits, maxima, parts, sums = (
            ir.at(name, ir.index_op("mul", number, n_bytes))
            for name, n_bytes in (
                ("%logits", self._edges[-1] * self._dtype.itemsize),
                ("%maxima", self._n_lanes * FLOAT),
                ("%parts", n_parts * FLOAT),
                ("%sums", n_parts * FLOAT),
            )
        )
        for part, (start, end) in enumerate(pairwise(self._edges)):
            at = ir.at(logits, start * self._dtype.itemsize)
            most = self._maximum(at, maxima, end - start)
            ir.store("float", most, parts, part * FLOAT)
            ir.store("float", self._sum(at, most, end - start), sums, part * FLOAT)
            maxima = ir.at(maxima, len(_lanes(start, end)) * FLOAT)
        return []

    def _maximum(self, address: str, maxima: str, n_ids: int) -> str:
        """Store the maximum of each lane of a part; return that of the part."""
        ir, n_vectors = self._ir, n_ids // WIDTH
        n_blocks, n_last = divmod(n_vectors, N_VECTORS)
        held = ir.constant(LOWEST)
        infinite = f"<{', '.join(['float 0xFFF0000000000000'] * WIDTH)}>"

        def block(first: str, n_here: int, place: str) -> str:
            def turn(at: str, so_far: list[str]) -> list[str]:
                return [ir.maximum(so_far[0], self._read(address, ir.index_op("add", first, at)))]

            (found,) = ir.loop(n_here, [(ir.floats, infinite)], turn)
            ir.store(ir.floats, found, place)
            return found

        def whole(at: str, so_far: list[str]) -> list[str]:
            place = ir.at(maxima, ir.index_op("mul", at, WIDTH * FLOAT))
            return [ir.maximum(so_far[0], block(ir.index_op("mul", at, N_VECTORS), N_VECTORS, place))]

        if n_blocks:
            (held,) = ir.loop(n_blocks, [(ir.floats, held)], whole)
        if n_last:
            last = block(str(n_blocks * N_VECTORS), n_last, ir.at(maxima, n_blocks * WIDTH * FLOAT))
            held = ir.maximum(held, last)
        if n_ids % WIDTH:
            left = self._left(self._ending(address, n_ids), n_ids, infinite)
            ir.store(ir.floats, left, maxima, (n_blocks + bool(n_last)) * WIDTH * FLOAT)
            held = ir.maximum(held, left)
        found: str = ir.call("float", f"llvm.vector.reduce.fmax.v{WIDTH}f32", (ir.floats, held))
        return found

    def _sum(self, address: str, most: str, n_ids: int) -> str:
        """The sum of a part's exponentials, divided by that of its maximum."""
        ir = self._ir
        base = ir.broadcast("float", most)

        def weight(x: str) -> str:
            less = ir.float_op("fsub", x, base)
            return ir.power_of_two(ir.float_op("fmul", less, ir.constant(math.log2(math.e))), DEGREE)

        def add(at: str, held: list[str]) -> list[str]:
            return [ir.float_op("fadd", held[0], weight(self._read(address, at)))]

        start = "zeroinitializer"
        if n_ids % WIDTH:
            start = self._left(weight(self._ending(address, n_ids)), n_ids, "zeroinitializer")
        (total,) = ir.loop(n_ids // WIDTH, [(ir.floats, start)], add)
        return ir.reduce_sum(total)

    def _ending(self, address: str, n_ids: int) -> str:
        """A part's last numbers; the first of them are in a whole vector too."""
        return self._load(self._ir.at(address, (n_ids - WIDTH) * self._dtype.itemsize))

    def _left(self, vector: str, n_ids: int, other: str) -> str:
        """The lanes of the last numbers that no whole vector has; ``other`` in the rest."""
        is_left = ", ".join(f"i1 {str(lane >= WIDTH - n_ids % WIDTH).lower()}" for lane in range(WIDTH))
        floats = self._ir.floats
        return self._ir.emit(f"select <{WIDTH} x i1> <{is_left}>, {floats} {vector}, {floats} {other}")

    def _read(self, address: str, vector: str) -> str:
        return self._load(self._ir.at(address, self._ir.index_op("mul", vector, WIDTH * self._dtype.itemsize)))

    def _load(self, address: str) -> str:
        if self._dtype == torch.bfloat16:
            return self._ir.bfloat16_to_float32(self._ir.load(self._ir.bfloats, address))
        return self._ir.load(self._ir.floats, address)
