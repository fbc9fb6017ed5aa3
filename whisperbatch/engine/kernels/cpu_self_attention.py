"""The decoder's self-attention for one step on a CPU, with beams that share each other's cached past.

A beam's past stays in the cache rows of the beams that it descends from; ``lineage`` holds the row of each position.
The code is compiled for the machine when the engine starts (``llvm_ir``). torch would have to copy the past of every
beam that replaces another, and copy again for its batched products: a quarter of a step of base with five beams. Here
nothing is copied, and a row reads only as many positions as it has tokens.

Sums are in float32 and each row and head is computed on its own: no text depends on its neighbours in the batch, or on
the number of threads.
"""

import functools
import math

import torch
from torch import Tensor

from whisperbatch.engine.kernels.llvm_ir import CannotCompileError, Compiled, IrBuilder, parallel_for

WIDTH = 16  # numbers per vector
FLOAT, SHORT = 4, 2  # bytes
DEGREE = 6  # of the polynomial for the fraction of an exponent: an error of 1e-7
NOTHING = -1e30  # a score whose weight is 0
DTYPES = (torch.bfloat16, torch.float32)


class BeamAttention:
    """Self-attention on caches of one shape; any thread may call it."""

    def __init__(self, dtype: torch.dtype, n_heads: int, n_context: int, d_head: int, n_group: int) -> None:
        """Compile the kernel; CannotCompileError if this machine cannot."""
        self._kernel = _KernelBuilder(dtype, n_heads, n_context, d_head, n_group).attention()
        self._n_heads, self._n_context = n_heads, n_context

    def self_attention(
        self, qkv: Tensor, k: Tensor, v: Tensor, lineage: Tensor, positions: Tensor, n_group: int
    ) -> Tensor:
        """Store the new keys and values, and return the attention output, (n, d_model).

        Args:
            qkv: (n, 3 * d_model), queries, keys and values at the new positions.
            k: The layer's cached keys, (n_rows, n_heads, n_context, d_head); written to.
            v: Its cached values, of the same shape; written to.
            lineage: int16 (n_rows, n_context), the row of the group that stores each position; written to.
            positions: int64 (n,), the new position of each row.
            n_group: Rows in a group.
        """
        qkv, at = qkv.contiguous(), positions.to(torch.int32)
        assert all(tensor.is_contiguous() for tensor in (k, v, lineage, at))
        out = torch.empty(len(qkv), qkv.shape[1] // 3, dtype=qkv.dtype)
        n_scores = -(-self._n_context // WIDTH) * WIDTH
        scores = torch.empty(len(qkv) * self._n_heads, n_scores)
        addresses = [tensor.data_ptr() for tensor in (qkv, k, v, lineage, at, scores, out)]
        parallel_for(len(scores), lambda first, last: self._kernel(*addresses, first, last))
        return out


@functools.cache
def find(dtype: torch.dtype, n_heads: int, n_context: int, d_head: int, n_group: int) -> BeamAttention | None:
    """The kernel for caches of a shape; None where it cannot be used."""
    if d_head % WIDTH or dtype not in DTYPES:
        return None
    try:
        return BeamAttention(dtype, n_heads, n_context, d_head, n_group)
    except CannotCompileError:
        return None


class _KernelBuilder:
    """Builds the kernel: a loop over rows and heads and, in each, over the row's past."""

    def __init__(self, dtype: torch.dtype, n_heads: int, n_context: int, d_head: int, n_group: int) -> None:
        self._ir, self._dtype, self._n_group = IrBuilder(WIDTH), dtype, n_group
        self._n_heads, self._n_context, self._d_head = n_heads, n_context, d_head
        self._size, self._places = dtype.itemsize, range(0, d_head, WIDTH)
        self._n_scores = -(-n_context // WIDTH) * WIDTH

    def attention(self) -> Compiled:
        """Build the whole kernel."""
        ir = self._ir

        def one(number: str, _: list[str]) -> list[str]:
            row, head = ir.index_op("udiv", number, self._n_heads), ir.index_op("urem", number, self._n_heads)
            place = ir.index_op("mul", row, FLOAT)
            now = ir.emit(f"sext i32 {ir.load('i32', ir.at('%positions', place))} to i64")
            line = ir.at("%lineage", ir.index_op("mul", row, self._n_context * SHORT))
            scores = ir.at("%scores", ir.index_op("mul", number, self._n_scores * FLOAT))
            q = self._keep(row, head, now, line)
            self._score(q, row, head, now, line, scores)
            scale = self._weigh(now, scores)
            self._sum(row, head, now, line, scores, scale)
            return []

        ir.loop("%last", [], one, first="%first")
        return ir.compiled(("qkv", "k", "v", "lineage", "positions", "scores", "out"), ("first", "last"))

    def _keep(self, row: str, head: str, now: str, line: str) -> list[str]:
        """Store the new keys and values in the cache; return the queries, scaled."""
        ir, d_model = self._ir, self._n_heads * self._d_head
        source = ir.at("%qkv", ir.index_op("mul", row, 3 * d_model * self._size))
        source = ir.at(source, ir.index_op("mul", head, self._d_head * self._size))
        for cache, first in (("%k", d_model), ("%v", 2 * d_model)):
            target = self._address(cache, row, head, now)
            for place in self._places:
                numbers = ir.load(self._kind, source, (first + place) * self._size)
                ir.store(self._kind, numbers, target, place * self._size)
        mine = ir.emit(f"trunc i64 {ir.index_op('urem', row, self._n_group)} to i16")
        ir.store("i16", mine, ir.at(line, ir.index_op("mul", now, SHORT)))
        scale = ir.constant(self._d_head**-0.5)
        return [ir.float_op("fmul", one, scale) for one in self._read(source)]

    def _score(self, q: list[str], row: str, head: str, now: str, line: str, scores: str) -> None:
        """Store the products of the queries with each past key, padded with ``NOTHING`` to a whole vector."""
        ir = self._ir
        last = ir.index_op("mul", ir.index_op("lshr", now, 4), WIDTH * FLOAT)
        ir.store(ir.floats, ir.constant(NOTHING), ir.at(scores, last))

        def key(at: str, _: list[str]) -> list[str]:
            first, *others = zip(self._read(self._past("%k", row, head, at, line)), q, strict=True)
            total = ir.float_op("fmul", *first)
            for one, other in others:
                total = ir.fma(one, other, total)
            ir.store("float", ir.reduce_sum(total), ir.at(scores, ir.index_op("mul", at, FLOAT)))
            return []

        ir.loop(ir.index_op("add", now, 1), [], key)

    def _weigh(self, now: str, scores: str) -> str:
        """Turn scores into weights, not yet divided by their sum; return a vector of one over that sum."""
        ir, name = self._ir, f"llvm.vector.reduce.fmax.v{WIDTH}f32"
        n_vectors = ir.index_op("lshr", ir.index_op("add", now, WIDTH), 4)

        def place(at: str) -> str:
            return ir.at(scores, ir.index_op("mul", at, WIDTH * FLOAT))

        def top(at: str, held: list[str]) -> list[str]:
            return [ir.maximum(held[0], ir.load(ir.floats, place(at)))]

        (most,) = ir.loop(n_vectors, [(ir.floats, ir.constant(NOTHING))], top)
        largest = ir.broadcast("float", ir.call("float", name, (ir.floats, most)))

        def weight(at: str, held: list[str]) -> list[str]:
            here = place(at)
            less = ir.float_op("fsub", ir.load(ir.floats, here), largest)
            made = ir.power_of_two(ir.float_op("fmul", less, ir.constant(math.log2(math.e))), DEGREE)
            ir.store(ir.floats, made, here)
            return [ir.float_op("fadd", held[0], made)]

        (sums,) = ir.loop(n_vectors, [(ir.floats, "zeroinitializer")], weight)
        return ir.float_op("fdiv", ir.constant(1.0), ir.broadcast("float", ir.reduce_sum(sums)))

    def _sum(self, row: str, head: str, now: str, line: str, scores: str, scale: str) -> None:
        """Write the weighted sum of past values to the output."""
        ir = self._ir

        def value(at: str, held: list[str]) -> list[str]:
            weight = ir.broadcast("float", ir.load("float", ir.at(scores, ir.index_op("mul", at, FLOAT))))
            read = self._read(self._past("%v", row, head, at, line))
            return [ir.fma(one, weight, so_far) for one, so_far in zip(read, held, strict=True)]

        carried = [(ir.floats, "zeroinitializer")] * len(self._places)
        summed = ir.loop(ir.index_op("add", now, 1), carried, value)
        out = ir.at("%out", ir.index_op("mul", row, self._n_heads * self._d_head * self._size))
        out = ir.at(out, ir.index_op("mul", head, self._d_head * self._size))
        for place, total in zip(self._places, summed, strict=True):
            made = ir.float_op("fmul", total, scale)
            made = ir.float32_to_bfloat16(made) if self._dtype == torch.bfloat16 else made
            ir.store(self._kind, made, out, place * self._size)

    def _past(self, cache: str, row: str, head: str, at: str, line: str) -> str:
        """The address of a past position, in whichever row of the group stores it."""
        ir = self._ir
        there = ir.emit(f"zext i16 {ir.load('i16', ir.at(line, ir.index_op('mul', at, SHORT)))} to i64")
        first = ir.index_op("sub", row, ir.index_op("urem", row, self._n_group))
        return self._address(cache, ir.index_op("add", first, there), head, at)

    def _address(self, cache: str, row: str, head: str, at: str) -> str:
        ir = self._ir
        place = ir.index_op("add", ir.index_op("mul", row, self._n_heads), head)
        place = ir.index_op("add", ir.index_op("mul", place, self._n_context), at)
        return ir.at(cache, ir.index_op("mul", place, self._d_head * self._size))

    def _read(self, address: str) -> list[str]:
        """One head's numbers in float32."""
        read = [self._ir.load(self._kind, address, place * self._size) for place in self._places]
        return [self._ir.bfloat16_to_float32(one) for one in read] if self._dtype == torch.bfloat16 else read

    @property
    def _kind(self) -> str:
        return self._ir.bfloats if self._dtype == torch.bfloat16 else self._ir.floats
