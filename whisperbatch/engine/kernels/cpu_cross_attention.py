"""The decoder's cross-attention on a CPU: a few queries on keys and values cached in float32, bfloat16 or int8.

The code is compiled for the machine when the engine starts. A step reads all keys and values of its windows, hundreds
of megabytes, so memory bandwidth limits it: each byte should be read once, in order and prefetched, whatever the number
of queries. torch's batched products copy or convert the cache on the way, and cannot read int8.

Keys are packed in blocks of 16, a number of each key side by side, so that a vector holds the scores of 16 keys and
nothing is summed within a vector; bfloat16 in pairs, where the processor multiplies pairs (AVX512-BF16). Scores,
softmax and sums of one head of a window follow each other while the scores are in the nearest cache.

Sums are in float32 and each row is computed on its own: no text depends on its neighbours in the batch, or on the
number of threads. Measured on one core of a Xeon with AMX, 12 windows of base with beams of 5, one layer in bfloat16:
3.9 ms with keys one after the other and torch's softmax, 2.7 with this; in float32, torch 9.7 and this 5.8.
"""

import functools
import math

import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from torch import Tensor

from whisperbatch.engine.kernels.llvm_ir import CannotCompileError, Compiled, IrBuilder, features, parallel_for

WIDTH = 16  # numbers per vector, and keys per block
AHEAD = 2048  # prefetch distance in bytes: measured best of 0 to 65,536
LINE = 64  # bytes of a cache line
FLOAT = 4  # bytes
DEGREE = 6  # of the polynomial for the fraction of an exponent: an error of 1e-7
LOWEST = -3e38  # less than any score
LLVM_TYPES = {torch.float32: "float", torch.bfloat16: "i16", torch.int8: "i8"}


class CrossAttention:
    """Attention of ``n_group`` queries per window on packed keys and on values; any thread may call it."""

    def __init__(self, dtype: torch.dtype, n_heads: int, n_keys: int, d_head: int, n_group: int) -> None:
        """Compile the kernel for a cache in ``dtype``; CannotCompileError if this machine cannot."""
        self._n_pack = 2 if dtype == torch.bfloat16 and {"avx512f", "avx512bf16"} <= features() else 1
        self._n_keys, self._d_head, self._n_group = n_keys, d_head, n_group
        self._n_blocks = -(-n_keys // WIDTH)
        self._kernel = _KernelBuilder(dtype, n_heads, n_keys, d_head, n_group, self._n_pack).compiled()
        self._pack = _packing(dtype, n_heads, n_keys, d_head, self._n_pack)
        self._takes = torch.bfloat16 if self._n_pack == 2 else torch.float32

    @property
    def packed_shape(self) -> tuple[int, int, int, int]:
        """The shape of one head's packed keys."""
        return self._n_blocks, self._d_head // self._n_pack, WIDTH, self._n_pack

    def pack(self, k: Tensor, packed: Tensor, slots: Tensor) -> None:
        """Store keys (n, n_heads, n_keys, d_head) packed in slots, int32 (n,), of (n_slots, n_heads, *packed_shape)."""
        if k.stride(-1) != 1:
            k = k.contiguous()
        assert packed.is_contiguous()
        assert slots.is_contiguous()
        addresses, strides = [k.data_ptr(), packed.data_ptr(), slots.data_ptr()], k.stride()[:3]
        n_items = k.shape[0] * k.shape[1]
        parallel_for(n_items, lambda first, last: self._pack(*addresses, first, last, *strides))

    def unpack(self, packed: Tensor) -> Tensor:
        """The keys (..., n_keys, d_head) of packed ones."""
        return packed.transpose(-2, -3).flatten(-2).flatten(-3, -2)[..., : self._n_keys, :]

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, slots: Tensor, v_scale: Tensor | None = None) -> Tensor:
        """The attention output, of the shape and type of ``q``.

        Args:
            q: (n, n_heads, n_tokens, d_head), each head's numbers side by side.
            k: Packed keys, (n_slots, n_heads, *packed_shape).
            v: Values, (n_slots, n_heads, n_keys, d_head).
            slots: int32 (n,), the slot of each window.
            v_scale: float32 (n_slots, n_heads, n_keys): factors of the weights; None for int8 only.
        """
        n, n_heads, n_tokens, d_head = q.shape
        out = torch.empty(n, n_tokens, n_heads, d_head, dtype=q.dtype).transpose(1, 2)
        for first in range(0, n_tokens, self._n_group):
            some = q[:, :, first : first + self._n_group]
            self._attend(some, k, v, slots, v_scale, out[:, :, first : first + self._n_group])
        return out

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, slots: Tensor, v_scale: Tensor | None, out: Tensor) -> None:
        """Write the output of at most ``n_group`` queries per window to ``out``."""
        n, n_heads, n_tokens, d_head = q.shape
        into = out
        if n_tokens < self._n_group:
            q = F.pad(q, (0, 0, 0, self._n_group - n_tokens))
        if q.dtype != self._takes:
            q = q.to(self._takes)
        if q.stride(-1) != 1:
            q = q.contiguous()
        if n_tokens < self._n_group or out.dtype != torch.float32 or self._takes != out.dtype:
            into = torch.empty(n, self._n_group, n_heads, d_head).transpose(1, 2)
        assert all(tensor.is_contiguous() for tensor in (k, v, slots))
        addresses = [t.data_ptr() for t in (q, k, v, slots, v if v_scale is None else v_scale, into)]
        strides = [*q.stride()[:3], *into.stride()[:3]]

        def run(first: int, last: int) -> None:
            scratch = torch.empty(self._n_group, self._n_blocks * WIDTH)
            self._kernel(*addresses, scratch.data_ptr(), first, last, *strides)

        parallel_for(n * n_heads, run)
        if into is not out:
            out.copy_(into[:, :, :n_tokens])


@functools.cache
def find(dtype: torch.dtype, n_heads: int, n_keys: int, d_head: int, n_group: int) -> CrossAttention | None:
    """The kernel for a cache in ``dtype``; None where it cannot be used."""
    if d_head % WIDTH or dtype not in LLVM_TYPES:
        return None
    try:
        return CrossAttention(dtype, n_heads, n_keys, d_head, n_group)
    except CannotCompileError:
        return None


def _packing(dtype: torch.dtype, n_heads: int, n_keys: int, d_head: int, n_pack: int) -> Compiled:
    """Compile the code that packs keys; the last key fills up its block."""
    ir, n_blocks, size = IrBuilder(WIDTH), -(-n_keys // WIDTH), dtype.itemsize
    kind, n_bytes = f"i{8 * n_pack * size}", n_pack * size

    def block(keys: str, into: str, step: str, n_here: int) -> None:
        def lane(at: str, _: list[str]) -> list[str]:
            source = ir.at(keys, ir.index_op("mul", at, n_bytes))
            vector = "poison"
            for key in range(WIDTH):
                one = ir.load(kind, ir.at(source, ir.index_op("mul", step, min(key, n_here - 1))))
                vector = ir.emit(f"insertelement <{WIDTH} x {kind}> {vector}, {kind} {one}, i64 {key}")
            ir.store(f"<{WIDTH} x {kind}>", vector, ir.at(into, ir.index_op("mul", at, WIDTH * n_bytes)))
            return []

        ir.loop(d_head // n_pack, [], lane)

    def head(number: str, _: list[str]) -> list[str]:
        window, head = (ir.index_op(operation, number, n_heads) for operation in ("udiv", "urem"))
        slot = ir.emit(f"sext i32 {ir.load('i32', ir.at('%slots', ir.index_op('mul', window, FLOAT)))} to i64")
        place = ir.index_op("add", ir.index_op("mul", slot, n_heads), head)
        into = ir.at("%packed", ir.index_op("mul", place, n_blocks * WIDTH * d_head * size))
        first = ir.index_op("add", ir.index_op("mul", window, "%of_window"), ir.index_op("mul", head, "%of_head"))
        keys, step = ir.at("%k", ir.index_op("mul", first, size)), ir.index_op("mul", "%of_key", size)

        def turn(at: str, _: list[str], n_here: int = WIDTH) -> list[str]:
            start = ir.at(keys, ir.index_op("mul", step, ir.index_op("mul", at, WIDTH)))
            block(start, ir.at(into, ir.index_op("mul", at, WIDTH * d_head * size)), step, n_here)
            return []

        if n_blocks > 1:
            ir.loop(n_blocks - 1, [], turn)
        turn(str(n_blocks - 1), [], n_keys - (n_blocks - 1) * WIDTH)
        return []

    ir.loop("%last", [], head, first="%first")
    return ir.compiled(("k", "packed", "slots"), ("first", "last", "of_window", "of_head", "of_key"))


class _KernelBuilder:
    """Builds the kernel: a loop over heads of windows and, in each, three loops over its keys."""

    def __init__(self, dtype: torch.dtype, n_heads: int, n_keys: int, d_head: int, n_group: int, n_pack: int) -> None:
        self._ir, self._dtype, self._n_pack = IrBuilder(WIDTH), dtype, n_pack
        self._n_heads, self._n_keys, self._d_head, self._n_group = n_heads, n_keys, d_head, n_group
        self._n_blocks, self._n_vectors = -(-n_keys // WIDTH), d_head // WIDTH
        self._block = WIDTH * d_head * dtype.itemsize  # bytes
        self._scores = self._n_blocks * WIDTH * FLOAT  # bytes of one query's scores
        self._groups = range(n_group)
        # sums that fit in the registers: 32 of 512 bits, or with AVX2 16 of which two hold a vector
        n_sums = 24 if "avx512f" in features() else 6
        self._n_together = 2 if 2 * n_group <= n_sums else 1  # blocks of keys
        self._n_columns = max(1, min(self._n_vectors, n_sums // n_group))  # vectors of values

    def compiled(self) -> Compiled:
        """Compile the kernel, which works on the heads from ``first`` to ``last`` (exclusive)."""
        self._ir.loop("%last", [], self._head, first="%first")
        strides = [f"{name}_{axis}" for name in ("q", "out") for axis in ("window", "head", "query")]
        pointers = ("q", "k", "v", "slots", "v_scale", "out", "scratch")
        return self._ir.compiled(pointers, ("first", "last", *strides))

    def _head(self, number: str, _: list[str]) -> list[str]:
        ir = self._ir
        window, head = (ir.index_op(operation, number, self._n_heads) for operation in ("udiv", "urem"))
        slot = ir.emit(f"sext i32 {ir.load('i32', ir.at('%slots', ir.index_op('mul', window, FLOAT)))} to i64")
        place = ir.index_op("add", ir.index_op("mul", slot, self._n_heads), head)
        keys = ir.at("%k", ir.index_op("mul", place, self._n_blocks * self._block))
        values = ir.at("%v", ir.index_op("mul", place, self._n_keys * self._d_head * self._dtype.itemsize))
        v_scale = ir.at("%v_scale", ir.index_op("mul", place, self._n_keys * FLOAT))
        maxima = self._score(self._queries("q", window, head), keys)
        totals = self._weigh(maxima, v_scale)
        self._sum(values, totals, self._queries("out", window, head))
        return []

    def _queries(self, name: str, window: str, head: str) -> list[str]:
        """The addresses of each query's numbers in ``%q`` or ``%out``."""
        ir = self._ir
        size = 2 if name == "q" and self._n_pack == 2 else FLOAT
        parts = [ir.index_op("mul", n, f"%{name}_{axis}") for n, axis in ((window, "window"), (head, "head"))]
        first = ir.at(f"%{name}", ir.index_op("mul", ir.index_op("add", *parts), size))
        step = ir.index_op("mul", f"%{name}_query", size)
        return [ir.at(first, ir.index_op("mul", step, group)) for group in self._groups]

    def _score(self, queries: list[str], keys: str) -> list[str]:
        """Store the products of each query with each key; return the largest as vectors with the same in every lane."""
        ir, n_lanes = self._ir, self._d_head // self._n_pack

        def blocks(at: str, n_together: int, held: list[str]) -> list[str]:
            base = ir.at(keys, ir.index_op("mul", at, self._block))

            def lane(number: str, sums: list[str]) -> list[str]:
                offset = ir.index_op("mul", number, WIDTH * self._n_pack * self._dtype.itemsize)
                read = [self._read_keys(ir.at(ir.at(base, n * self._block), offset)) for n in range(n_together)]
                new = []
                for group in self._groups:
                    single = self._single(ir.at(queries[group], ir.index_op("mul", number, FLOAT)))
                    for n, one in enumerate(read):
                        multiply = ir.dot_pairs if self._n_pack == 2 else ir.fma
                        new.append(multiply(one, single, sums[group * n_together + n]))
                return new

            zeros = [(ir.floats, "zeroinitializer")] * (self._n_group * n_together)
            sums = ir.loop(n_lanes, zeros, lane)
            for group in self._groups:
                for n in range(n_together):
                    place = ir.at("%scratch", group * self._scores + n * WIDTH * FLOAT)
                    total = sums[group * n_together + n]
                    ir.store(ir.floats, total, ir.at(place, ir.index_op("mul", at, WIDTH * FLOAT)))
                    held = [*held[:group], ir.maximum(held[group], total), *held[group + 1 :]]
            return held

        held = [ir.constant(LOWEST)] * self._n_group
        n, start = self._n_together, [(ir.floats, one) for one in held]
        if self._n_blocks >= n:
            held = ir.loop(self._n_blocks // n, start, lambda at, held: blocks(ir.index_op("mul", at, n), n, held))
        if self._n_blocks % n:
            held = blocks(str(self._n_blocks - 1), 1, held)
        name = f"llvm.vector.reduce.fmax.v{WIDTH}f32"
        return [ir.broadcast("float", ir.call("float", name, (ir.floats, one))) for one in held]

    def _single(self, address: str) -> str:
        """One number of a query in every lane, or a pair of them."""
        ir = self._ir
        if self._n_pack == 2:
            return ir.cast(ir.broadcast("i32", ir.load("i32", address)), ir.ints, ir.pairs)
        return ir.broadcast("float", ir.load("float", address))

    def _read_keys(self, address: str) -> str:
        """One number, or a pair of them, of each of 16 keys; also prefetches a later block, which does no harm."""
        ir = self._ir
        ir.prefetch(address, AHEAD)
        if self._n_pack == 2:
            return ir.cast(ir.load(ir.ints, address), ir.ints, ir.pairs)
        return self._read(address)

    def _weigh(self, maxima: list[str], v_scale: str) -> list[str]:
        """Turn scores into weights, not yet divided by their sums; return vectors of one over those sums."""
        ir = self._ir
        factor = ir.constant(self._d_head**-0.5 * math.log2(math.e))

        def weigh(group: int, at: str, *, is_last: bool) -> str:
            offset = ir.index_op("mul", at, WIDTH * FLOAT)
            place = ir.at(ir.at("%scratch", group * self._scores), offset)
            less = ir.float_op("fsub", ir.load(ir.floats, place), maxima[group])
            made = ir.power_of_two(ir.float_op("fmul", less, factor), DEGREE)
            n_here = self._n_keys - (self._n_blocks - 1) * WIDTH
            if is_last and n_here < WIDTH:
                is_key = ", ".join(f"i1 {str(lane < n_here).lower()}" for lane in range(WIDTH))
                made = ir.emit(f"select <{WIDTH} x i1> <{is_key}>, {ir.floats} {made}, {ir.floats} zeroinitializer")
            ir.store(ir.floats, made, place)
            return made

        def turn(at: str, held: list[str]) -> list[str]:
            return [ir.float_op("fadd", held[g], weigh(g, at, is_last=False)) for g in self._groups]

        totals = ["zeroinitializer"] * self._n_group
        if self._n_blocks > 1:
            totals = ir.loop(self._n_blocks - 1, [(ir.floats, "zeroinitializer")] * self._n_group, turn)
        last = [weigh(group, str(self._n_blocks - 1), is_last=True) for group in self._groups]
        sums = [ir.reduce_sum(ir.float_op("fadd", *pair)) for pair in zip(totals, last, strict=True)]
        if self._dtype == torch.int8:
            self._scale_weights(v_scale)
        return [ir.float_op("fdiv", ir.constant(1.0), ir.broadcast("float", one)) for one in sums]

    def _scale_weights(self, v_scale: str) -> None:
        ir = self._ir

        def turn(at: str, _: list[str]) -> list[str]:
            offset = ir.index_op("mul", at, FLOAT)
            scale = ir.load("float", ir.at(v_scale, offset))
            for group in self._groups:
                place = ir.at(ir.at("%scratch", group * self._scores), offset)
                ir.store("float", ir.emit(f"fmul float {ir.load('float', place)}, {scale}"), place)
            return []

        ir.loop(self._n_keys, [], turn)

    def _sum(self, values: str, totals: list[str], outputs: list[str]) -> None:
        """Write the weighted sums of the values."""
        ir, row = self._ir, self._d_head * self._dtype.itemsize

        def columns(first: int, n: int) -> None:
            def key(at: str, held: list[str]) -> list[str]:
                value = ir.at(values, ir.index_op("mul", at, row))
                for line in range(0, row if first == 0 else 0, LINE):
                    ir.prefetch(value, AHEAD + line)
                read = [self._read(ir.at(value, (first + i) * WIDTH * self._dtype.itemsize)) for i in range(n)]
                place, new = ir.index_op("mul", at, FLOAT), []
                for group in self._groups:
                    weight = ir.load("float", ir.at(ir.at("%scratch", group * self._scores), place))
                    weight = ir.broadcast("float", weight)
                    new += [ir.fma(one, weight, held[group * n + i]) for i, one in enumerate(read)]
                return new

            summed = ir.loop(self._n_keys, [(ir.floats, "zeroinitializer")] * (self._n_group * n), key)
            for group in self._groups:
                for i in range(n):
                    total = ir.float_op("fmul", summed[group * n + i], totals[group])
                    ir.store(ir.floats, total, outputs[group], (first + i) * WIDTH * FLOAT)

        for first in range(0, self._n_vectors, self._n_columns):
            columns(first, min(self._n_columns, self._n_vectors - first))

    def _read(self, address: str) -> str:
        """A vector of numbers in float32."""
        ir, kind = self._ir, f"<{WIDTH} x {LLVM_TYPES[self._dtype]}>"
        loaded = ir.load(kind, address)
        if self._dtype == torch.float32:
            return loaded
        if self._dtype == torch.bfloat16:
            return ir.bfloat16_to_float32(loaded)
        return ir.emit(f"sitofp {ir.ints} {ir.emit(f'sext {kind} {loaded} to {ir.ints}')} to {ir.floats}")
