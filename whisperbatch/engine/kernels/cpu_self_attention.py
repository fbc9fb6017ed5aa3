"""Self-attention of a step on a CPU, where a beam's past is stored in the rows of the beams that it went on from.

Comes in: what rows say now, the caches, and in whose row each position of a row's past is. Goes out: what rows find.
The code is compiled for the machine when the engine starts (``llvm_ir``). torch would have to copy the past of every
beam that takes another's place, and again for its batched products: a quarter of a step of base with five beams. Here
nothing is copied, and a row reads no more than it has said.

Sums are in float32 and of a row and head alone: no text depends on its neighbours, or on the number of threads.
"""

import functools
import math

import torch
from torch import Tensor

from whisperbatch.engine.kernels.llvm_ir import FAULTS, Code, Compiled, spread

WIDTH = 16  # numbers a vector
FLOAT, SHORT = 4, 2  # bytes
DEGREE = 6  # of the polynomial for what is left of an exponent: an error of 1e-7
NOTHING = -1e30  # a score whose weight is 0
DTYPES = (torch.bfloat16, torch.float32)


class BeamAttention:
    """Attention on caches of one shape; any thread may call it."""

    def __init__(self, dtype: torch.dtype, n_heads: int, n_context: int, d_head: int, n_group: int) -> None:
        """Compile; whatever is missing raises one of ``assembly.FAULTS``."""
        self._kernel = _Written(dtype, n_heads, n_context, d_head, n_group).attention()
        self._n_heads, self._n_context = n_heads, n_context

    def said(self, qkv: Tensor, k: Tensor, v: Tensor, lineage: Tensor, positions: Tensor, n_group: int) -> Tensor:
        """What rows find, (n, d_model), once their keys and values are kept.

        Args:
            qkv: (n, 3 * d_model), queries, keys and values of now.
            k: The layer's keys, (n_rows, n_heads, n_context, d_head); written to.
            v: Its values, likewise.
            lineage: int16 (n_rows, n_context), which row of the group each position is in; written to.
            positions: int64 (n,), of now.
            n_group: Rows a group.
        """
        qkv, at = qkv.contiguous(), positions.to(torch.int32)
        assert all(tensor.is_contiguous() for tensor in (k, v, lineage, at))
        out = torch.empty(len(qkv), qkv.shape[1] // 3, dtype=qkv.dtype)
        n_scores = -(-self._n_context // WIDTH) * WIDTH
        scores = torch.empty(len(qkv) * self._n_heads, n_scores)
        addresses = [tensor.data_ptr() for tensor in (qkv, k, v, lineage, at, scores, out)]
        spread(len(scores), lambda first, last: self._kernel(*addresses, first, last))
        return out


@functools.cache
def find(dtype: torch.dtype, n_heads: int, n_context: int, d_head: int, n_group: int) -> BeamAttention | None:
    """The attention for caches of a shape; None where it can't be had."""
    if d_head % WIDTH or dtype not in DTYPES:
        return None
    try:
        return BeamAttention(dtype, n_heads, n_context, d_head, n_group)
    except FAULTS:
        return None


class _Written:
    """The function in LLVM's language: a loop over rows and heads and, in each, over its past."""

    def __init__(self, dtype: torch.dtype, n_heads: int, n_context: int, d_head: int, n_group: int) -> None:
        self._code, self._dtype, self._n_group = Code(WIDTH), dtype, n_group
        self._n_heads, self._n_context, self._d_head = n_heads, n_context, d_head
        self._size, self._places = dtype.itemsize, range(0, d_head, WIDTH)
        self._n_scores = -(-n_context // WIDTH) * WIDTH

    def attention(self) -> Compiled:
        """The whole of it."""
        code = self._code

        def one(number: str, _: list[str]) -> list[str]:
            row, head = code.index("udiv", number, self._n_heads), code.index("urem", number, self._n_heads)
            place = code.index("mul", row, FLOAT)
            now = code.take(f"sext i32 {code.load('i32', code.at('%positions', place))} to i64")
            line = code.at("%lineage", code.index("mul", row, self._n_context * SHORT))
            scores = code.at("%scores", code.index("mul", number, self._n_scores * FLOAT))
            q = self._keep(row, head, now, line)
            self._score(q, row, head, now, line, scores)
            scale = self._weigh(now, scores)
            self._sum(row, head, now, line, scores, scale)
            return []

        code.loop("%last", [], one, first="%first")
        return code.compiled(("qkv", "k", "v", "lineage", "positions", "scores", "out"), ("first", "last"))

    def _keep(self, row: str, head: str, now: str, line: str) -> list[str]:
        """Put keys and values of now into their place; the queries, scaled."""
        code, d_model = self._code, self._n_heads * self._d_head
        said = code.at("%qkv", code.index("mul", row, 3 * d_model * self._size))
        said = code.at(said, code.index("mul", head, self._d_head * self._size))
        for cache, first in (("%k", d_model), ("%v", 2 * d_model)):
            kept = self._address(cache, row, head, now)
            for place in self._places:
                numbers = code.load(self._kind, said, (first + place) * self._size)
                code.store(self._kind, numbers, kept, place * self._size)
        mine = code.take(f"trunc i64 {code.index('urem', row, self._n_group)} to i16")
        code.store("i16", mine, code.at(line, code.index("mul", now, SHORT)))
        scale = code.constant(self._d_head**-0.5)
        return [code.floating("fmul", one, scale) for one in self._read(said)]

    def _score(self, q: list[str], row: str, head: str, now: str, line: str, scores: str) -> None:
        """Products of the queries with each key of the past, and ``NOTHING`` up to a whole vector."""
        code = self._code
        last = code.index("mul", code.index("lshr", now, 4), WIDTH * FLOAT)
        code.store(code.floats, code.constant(NOTHING), code.at(scores, last))

        def key(at: str, _: list[str]) -> list[str]:
            first, *others = zip(self._read(self._past("%k", row, head, at, line)), q, strict=True)
            total = code.floating("fmul", *first)
            for one, other in others:
                total = code.sum_of_product(one, other, total)
            code.store("float", code.total(total), code.at(scores, code.index("mul", at, FLOAT)))
            return []

        code.loop(code.index("add", now, 1), [], key)

    def _weigh(self, now: str, scores: str) -> str:
        """Scores to weights, not yet divided by their sum; one over that sum, in a vector."""
        code, name = self._code, f"llvm.vector.reduce.fmax.v{WIDTH}f32"
        n_vectors = code.index("lshr", code.index("add", now, WIDTH), 4)

        def place(at: str) -> str:
            return code.at(scores, code.index("mul", at, WIDTH * FLOAT))

        def top(at: str, held: list[str]) -> list[str]:
            return [code.larger(held[0], code.load(code.floats, place(at)))]

        (most,) = code.loop(n_vectors, [(code.floats, code.constant(NOTHING))], top)
        largest = code.of_all("float", code.call("float", name, (code.floats, most)))

        def weight(at: str, held: list[str]) -> list[str]:
            here = place(at)
            less = code.floating("fsub", code.load(code.floats, here), largest)
            made = code.power_of_two(code.floating("fmul", less, code.constant(math.log2(math.e))), DEGREE)
            code.store(code.floats, made, here)
            return [code.floating("fadd", held[0], made)]

        (sums,) = code.loop(n_vectors, [(code.floats, "zeroinitializer")], weight)
        return code.floating("fdiv", code.constant(1.0), code.of_all("float", code.total(sums)))

    def _sum(self, row: str, head: str, now: str, line: str, scores: str, scale: str) -> None:
        """Values of the past, weighted, and summed into the output."""
        code = self._code

        def value(at: str, held: list[str]) -> list[str]:
            weight = code.of_all("float", code.load("float", code.at(scores, code.index("mul", at, FLOAT))))
            read = self._read(self._past("%v", row, head, at, line))
            return [code.sum_of_product(one, weight, so_far) for one, so_far in zip(read, held, strict=True)]

        carried = [(code.floats, "zeroinitializer")] * len(self._places)
        summed = code.loop(code.index("add", now, 1), carried, value)
        out = code.at("%out", code.index("mul", row, self._n_heads * self._d_head * self._size))
        out = code.at(out, code.index("mul", head, self._d_head * self._size))
        for place, total in zip(self._places, summed, strict=True):
            made = code.floating("fmul", total, scale)
            made = code.rounded_halves(made) if self._dtype == torch.bfloat16 else made
            code.store(self._kind, made, out, place * self._size)

    def _past(self, cache: str, row: str, head: str, at: str, line: str) -> str:
        """The address of a position of a row's past, in whichever row of its group it is."""
        code = self._code
        there = code.take(f"zext i16 {code.load('i16', code.at(line, code.index('mul', at, SHORT)))} to i64")
        first = code.index("sub", row, code.index("urem", row, self._n_group))
        return self._address(cache, code.index("add", first, there), head, at)

    def _address(self, cache: str, row: str, head: str, at: str) -> str:
        code = self._code
        place = code.index("add", code.index("mul", row, self._n_heads), head)
        place = code.index("add", code.index("mul", place, self._n_context), at)
        return code.at(cache, code.index("mul", place, self._d_head * self._size))

    def _read(self, address: str) -> list[str]:
        """A head's numbers in float32."""
        read = [self._code.load(self._kind, address, place * self._size) for place in self._places]
        return [self._code.widened(one) for one in read] if self._dtype == torch.bfloat16 else read

    @property
    def _kind(self) -> str:
        return self._code.halves if self._dtype == torch.bfloat16 else self._code.floats
