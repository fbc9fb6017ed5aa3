"""The encoder's self-attention on a CPU: flash attention, compiled for the processor when the engine starts.

As in Dao et al. 2022, the scores of a block of queries and a block of keys stay in the processor's cache, and the sums
are rescaled when a block has a larger score. Specific to this version: scores are stored with one key per line and one
query per vector lane, so the softmax needs no sums within a vector, and bfloat16 products take pairs of numbers as they
are stored (AVX512-BF16).

Sums are in float32 and each head of a window is computed on its own: no text depends on its neighbours in the batch, or
on the number of threads. Measured on two cores of an EPYC with AVX512-BF16 (Zen 4), eight windows of the tiny shape,
one layer: torch in bfloat16 190 ms, this kernel 79; in float32 190 and 147; both limited to AVX2, 186 and 160. On
processors with AMX, bfloat16 is up to ``cpu_tile_attention``.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from whisperbatch.engine.kernels.llvm_ir import CannotCompileError, Compiled, IrBuilder, features, parallel_for
from whisperbatch.engine.placement import has_bfloat16_tiles

LANE = 4  # bytes: a float32, or two numbers of bfloat16
MOST_KEYS = 150  # a block's scores and values stay in the nearest cache
LOWEST = -3e38  # less than any score
LINE = 64  # bytes of a cache line, to which the parts of scratch memory are aligned


@dataclass(frozen=True, slots=True)
class Tiles:
    """Tile sizes: a tile has as many sums as the processor has registers, less a few.

    Attributes:
        width: Numbers per vector.
        n_queries: Queries per block.
        n_keys: Keys per tile of scores, with ``n_across`` vectors of queries.
        n_few: Queries per tile of the output, with ``n_across`` vectors of a head.
        n_across: Vectors per tile.
    """

    width: int
    n_queries: int
    n_keys: int
    n_few: int
    n_across: int

    def suit(self, d_head: int, n_positions: int) -> bool:
        """True if heads of size ``d_head`` and ``n_positions`` divide into these tiles, with keys in pairs."""
        return n_positions >= self.n_queries and not d_head % self.width and not n_positions % (2 * self.n_keys)


WIDE = Tiles(width=16, n_queries=64, n_keys=6, n_few=4, n_across=4)  # 32 registers of 512 bits
NARROW = Tiles(width=8, n_queries=48, n_keys=6, n_few=6, n_across=2)  # 16 of 256


class EncoderAttention:
    """Self-attention for windows of one shape; any thread may call it."""

    def __init__(self, builder: "AttentionBuilder") -> None:
        """Compile the kernel; CannotCompileError if this machine cannot."""
        self._n_items, self._n_scratch = builder.n_heads * builder.n_blocks, builder.n_scratch
        self._attend = builder.compiled()

    def __call__(self, joined: Tensor) -> Tensor:
        """The output, (n, n_positions, d_model), of joined queries, keys and values, (n, n_positions, 3 * d_model)."""
        assert joined.is_contiguous()
        out = joined.new_empty(*joined.shape[:2], joined.shape[2] // 3)

        def run(first: int, last: int) -> None:
            scratch = torch.empty(self._n_scratch, dtype=torch.uint8)
            self._attend(joined.data_ptr(), out.data_ptr(), scratch.data_ptr(), first, last)

        parallel_for(len(joined) * self._n_items, run)
        return out


@functools.cache
def find(
    device: torch.device, dtype: torch.dtype, n_heads: int, d_head: int, n_positions: int
) -> EncoderAttention | None:
    """The kernel for a model's shape; None where torch is faster or the kernel cannot be used."""
    if device.type != "cpu" or dtype not in (torch.float32, torch.bfloat16):
        return None
    try:
        tiles = _tiles(features(), dtype)
        if tiles is None or not tiles.suit(d_head, n_positions):
            return None
        return EncoderAttention(AttentionBuilder(dtype, n_heads, d_head, n_positions, tiles))
    except CannotCompileError:
        return None


def _tiles(has: set[str], dtype: torch.dtype) -> Tiles | None:
    """The tiles for a processor with these features; LLVM aborts the process on an instruction that it lacks."""
    if dtype == torch.bfloat16:
        return WIDE if {"avx512f", "avx512bf16"} <= has and not has_bfloat16_tiles() else None
    return WIDE if "avx512f" in has else NARROW if {"avx2", "fma"} <= has else None


class AttentionBuilder:
    """Builds the kernel. An item is one block of queries of one head of one window.

    Scratch memory holds the head's values, lanes (n_positions / n_pack, d_head); the block's queries (d_head / n_pack,
    n_queries); the scores (n_keys of a block, n_queries), overwritten by the weights (n_keys / n_pack, n_queries); the
    sums (n_queries, d_head); and one scale per query. A lane is 32 bits: one float32, or two bfloat16.
    """

    def __init__(self, dtype: torch.dtype, n_heads: int, d_head: int, n_positions: int, tiles: Tiles) -> None:
        """Lay out scratch memory."""
        self._ir, self._tiles = IrBuilder(tiles.width), tiles
        self._is_packed = dtype == torch.bfloat16
        self._n_pack, self._size = LANE // dtype.itemsize, dtype.itemsize
        self.n_heads, self._d_head, self._n_positions = n_heads, d_head, n_positions
        self._d_model = n_heads * d_head
        self._row = 3 * self._d_model * self._size  # bytes of a position
        self._degree = 4 if self._is_packed else 6  # of the polynomial: errors of 4e-5 and 2e-7
        self._scale = d_head**-0.5 * math.log2(math.e)  # powers of two in place of e
        self._n_keys = next(n for n in range(MOST_KEYS, 0, -1) if not n_positions % n and not n % (2 * tiles.n_keys))
        self._vectors, self._n_vectors = tiles.n_queries // tiles.width, d_head // tiles.width
        self.n_blocks = -(-n_positions // tiles.n_queries)
        self._lay_out(
            {
                "values": n_positions * d_head // self._n_pack,
                "queries": tiles.n_queries * d_head // self._n_pack,
                "scores": self._n_keys * tiles.n_queries,
                "sums": tiles.n_queries * d_head,
                "scales": tiles.n_queries,
            }
        )

    def _lay_out(self, parts: Mapping[str, int]) -> None:
        """Give each part of scratch memory, a number of lanes, its place."""
        self._offsets: dict[str, int] = {}
        self.n_scratch = 0
        for name, n_lanes in parts.items():
            self._offsets[name] = self.n_scratch
            self.n_scratch += -(-n_lanes * LANE // LINE) * LINE

    def compiled(self) -> Compiled:
        """Compile the kernel, which works on the items from ``first`` to ``last`` (exclusive)."""
        self._at = {name: self._ir.at("%scratch", offset) for name, offset in self._offsets.items()}
        self._ir.loop("%last", [], self._item, first="%first")
        return self._ir.compiled(("joined", "out", "scratch"), ("first", "last"))

    def _item(self, item: str, _: list[str]) -> list[str]:
        ir, size, n_queries = self._ir, self._size, self._tiles.n_queries
        head, block = (ir.index_op(operation, item, self.n_blocks) for operation in ("udiv", "urem"))
        window, part = (ir.index_op(operation, head, self.n_heads) for operation in ("udiv", "urem"))
        window_at = ir.index_op("mul", window, self._n_positions * self._row)
        queries = ir.at("%joined", ir.index_op("add", window_at, ir.index_op("mul", part, self._d_head * size)))
        keys, values = ir.at(queries, self._d_model * size), ir.at(queries, 2 * self._d_model * size)
        starts = ir.emit(f"icmp eq i64 {block}, 0"), ir.emit(f"icmp eq i64 {item}, %first")
        ir.if_true(ir.emit(f"or i1 {starts[0]}, {starts[1]}"), lambda: self._pack_head(keys, values))
        wanted, last = ir.index_op("mul", block, n_queries), self._n_positions - n_queries
        is_past = ir.emit(f"icmp ugt i64 {wanted}, {last}")
        first = ir.emit(f"select i1 {is_past}, i64 {last}, i64 {wanted}")  # the last block may overlap the one before
        self._pack_queries(ir.at(queries, ir.index_op("mul", first, self._row)))
        totals = self._attend(keys)
        row = ir.index_op("add", ir.index_op("mul", window, self._n_positions), first)
        out = ir.index_op(
            "add", ir.index_op("mul", row, self._d_model * size), ir.index_op("mul", part, self._d_head * size)
        )
        self._finish(ir.at("%out", out), totals)
        return []

    def _attend(self, keys: str) -> list[str]:
        """Sum the weighted values of all keys in scratch memory; return the totals of the queries' weights."""
        ir, n = self._ir, self._vectors
        start = [(ir.floats, ir.constant(LOWEST))] * n + [(ir.floats, "zeroinitializer")] * n
        found = ir.loop(
            self._n_positions // self._n_keys, start, lambda at, held: self._block(keys, at, held[:n], held[n:])
        )
        return found[n:]

    def _pack_head(self, keys: str, values: str) -> None:
        """Copy a head's values to scratch memory, in bfloat16 with those of two keys in each lane."""
        ir = self._ir

        def turn(row: str, _: list[str]) -> list[str]:
            source = ir.at(values, ir.index_op("mul", row, self._n_pack * self._row))
            target = ir.at(self._at["values"], ir.index_op("mul", row, self._d_head * LANE))
            for i in range(self._n_vectors):
                at = i * ir.width * self._size
                if self._is_packed:
                    two = [ir.load(ir.bfloats, source, at + n * self._row) for n in (0, 1)]
                    low, high = (ir.emit(f"zext {ir.bfloats} {one} to {ir.ints}") for one in two)
                    lanes = ir.int_op("or", low, ir.int_op("shl", high, 16))
                else:
                    lanes = ir.load(ir.ints, source, at)
                ir.store(ir.ints, lanes, target, i * ir.width * LANE)
            return []

        ir.loop(self._n_positions // self._n_pack, [], turn)

    def _pack_queries(self, queries: str) -> None:
        """Copy a block's queries to scratch memory, transposed, and set its sums to zero."""
        ir, n_queries = self._ir, self._tiles.n_queries

        def turn(query: str, _: list[str]) -> list[str]:
            source = ir.at(queries, ir.index_op("mul", query, self._row))
            target = ir.at(self._at["queries"], ir.index_op("mul", query, LANE))
            sums = ir.at(self._at["sums"], ir.index_op("mul", query, self._d_head * LANE))
            for i in range(self._d_head // self._n_pack):
                ir.store("i32", ir.load("i32", source, i * LANE), target, i * n_queries * LANE)
            for i in range(self._n_vectors):
                ir.store(ir.floats, "zeroinitializer", sums, i * ir.width * LANE)
            return []

        ir.loop(n_queries, [], turn)

    def _block(self, keys: str, at: str, largest: list[str], totals: list[str]) -> list[str]:
        """Process a block of keys; return the queries' updated largest scores and totals of weights."""
        ir, line = self._ir, self._ir.width * LANE
        values = ir.at(self._at["values"], ir.index_op("mul", at, self._n_keys * self._d_head * self._size))
        new = self._scores(ir.at(keys, ir.index_op("mul", at, self._n_keys * self._row)), largest)
        scales = [self._weight(old, one) for old, one in zip(largest, new, strict=True)]
        for i, scale in enumerate(scales):
            ir.store(ir.floats, scale, self._at["scales"], i * line)
        own = self._weights(new)
        self._sum(values)
        return [*new, *(ir.fma(*one) for one in zip(totals, scales, own, strict=True))]

    def _scores(self, keys: str, largest: list[str]) -> list[str]:
        """Store the scores of a block of keys; return the largest so far."""
        ir, tiles = self._ir, self._tiles
        line, across = ir.width * LANE, math.gcd(tiles.n_across, self._vectors)

        def tile(at: str, held: list[str]) -> list[str]:
            few = ir.at(keys, ir.index_op("mul", at, tiles.n_keys * self._row))
            scores = ir.at(self._at["scores"], ir.index_op("mul", at, tiles.n_keys * tiles.n_queries * LANE))
            for first in range(0, self._vectors, across):
                queries = ir.at(self._at["queries"], first * line)
                sums = self._products(
                    tiles.n_keys,
                    self._d_head // self._n_pack,
                    (queries, tiles.n_queries * LANE, across),
                    (few, LANE, self._row),
                )
                for n, total in enumerate(sums):
                    key, i = n // across, first + n % across
                    ir.store(ir.floats, total, scores, (key * self._vectors + i) * line)
                    held = [*held[:i], ir.maximum(held[i], total), *held[i + 1 :]]
            return held

        return ir.loop(self._n_keys // tiles.n_keys, [(ir.floats, one) for one in largest], tile)

    def _weights(self, largest: list[str]) -> list[str]:
        """Turn scores into weights in place; return their totals."""
        ir, line = self._ir, self._ir.width * LANE
        row = self._vectors * line

        def turn(at: str, held: list[str]) -> list[str]:
            source = ir.at(self._at["scores"], ir.index_op("mul", at, self._n_pack * row))
            target = ir.at(self._at["scores"], ir.index_op("mul", at, row))
            for i, most in enumerate(largest):
                loaded = [ir.load(ir.floats, source, n * row + i * line) for n in range(self._n_pack)]
                weights = [self._weight(one, most) for one in loaded]
                total = functools.reduce(functools.partial(ir.float_op, "fadd"), weights)
                held = [*held[:i], ir.float_op("fadd", held[i], total), *held[i + 1 :]]
                bits = [ir.cast(one, ir.floats, ir.ints) for one in weights]
                if self._is_packed:
                    low, high = (ir.int_op("add", one, 1 << 15) for one in bits)  # rounded, ties up
                    bits = [ir.int_op("or", ir.int_op("lshr", low, 16), ir.int_op("and", high, -(1 << 16)))]
                ir.store(ir.ints, bits[0], target, i * line)
            return held

        return ir.loop(self._n_keys // self._n_pack, [(ir.floats, "zeroinitializer")] * len(largest), turn)

    def _weight(self, score: str, largest: str) -> str:
        """The softmax weight of a score, not yet divided by the total: ``exp(score - largest)``."""
        less = self._ir.float_op("fsub", score, largest)
        return self._ir.power_of_two(self._ir.float_op("fmul", less, self._ir.constant(self._scale)), self._degree)

    def _sum(self, values: str) -> None:
        """Rescale the sums so far and add the weighted values of a block of keys."""
        ir, tiles = self._ir, self._tiles
        line, across = ir.width * LANE, math.gcd(tiles.n_across, self._n_vectors)

        def tile(at: str, _: list[str]) -> list[str]:
            few = ir.index_op("mul", at, tiles.n_few * LANE)
            weights, scales = (ir.at(self._at[name], few) for name in ("scores", "scales"))
            factors = [ir.broadcast("float", ir.load("float", scales, n * LANE)) for n in range(tiles.n_few)]
            sums = ir.at(self._at["sums"], ir.index_op("mul", few, self._d_head))
            for first in range(0, self._n_vectors, across):
                places = [
                    (n, (n * self._n_vectors + first + i) * line) for n in range(tiles.n_few) for i in range(across)
                ]
                summed = self._products(
                    tiles.n_few,
                    self._n_keys // self._n_pack,
                    (ir.at(values, first * line), self._d_head * LANE, across),
                    (weights, tiles.n_queries * LANE, LANE),
                )
                for own, (n, to) in zip(
                    summed, places, strict=True
                ):  # adding per block loses less precision than one long sum
                    total = ir.fma(ir.load(ir.floats, sums, to), factors[n], own)
                    ir.store(ir.floats, total, sums, to)
            return []

        ir.loop(tiles.n_queries // tiles.n_few, [], tile)

    def _products(
        self,
        n_rows: int,
        n_lanes: int,
        vectors: tuple[str, int, int],
        singles: tuple[str, int, int],
    ) -> list[str]:
        """Multiply every vector with every row and sum over lanes: a small matrix product in registers.

        Args:
            n_rows: Number of rows; the result lists all sums of the first row, then of the next.
            n_lanes: Number of products in a sum.
            vectors: The vectors' address, the bytes from one lane to the next, and the number of vectors.
            singles: The address of the first row's first lane, the bytes to the next lane, and to the next row.
        """
        ir = self._ir
        vectors_at, vectors_step, across = vectors
        singles_at, singles_step, singles_row = singles
        multiply = ir.dot_pairs if self._is_packed else ir.fma
        kind = ir.pairs if self._is_packed else ir.floats

        def turn(lane: str, held: list[str]) -> list[str]:
            many = ir.at(vectors_at, ir.index_op("mul", lane, vectors_step))
            loaded = [ir.load(ir.ints, many, i * ir.width * LANE) for i in range(across)]
            loaded = [ir.cast(one, ir.ints, kind) for one in loaded]
            few, new = ir.at(singles_at, ir.index_op("mul", lane, singles_step)), []
            for row in range(n_rows):
                single = ir.cast(ir.broadcast("i32", ir.load("i32", few, row * singles_row)), ir.ints, kind)
                new += [multiply(one, single, held[row * across + i]) for i, one in enumerate(loaded)]
            return new

        return ir.loop(n_lanes, [(ir.floats, "zeroinitializer")] * (n_rows * across), turn)

    def _finish(self, out: str, totals: list[str]) -> None:
        """Divide the sums by the totals of their weights and write them in the output's type."""
        ir, line = self._ir, self._ir.width * LANE
        for i, total in enumerate(totals):
            ir.store(ir.floats, ir.float_op("fdiv", ir.constant(1.0), total), self._at["scales"], i * line)

        def turn(query: str, _: list[str]) -> list[str]:
            scale_at = ir.at(self._at["scales"], ir.index_op("mul", query, LANE))
            scale = ir.broadcast("float", ir.load("float", scale_at))
            sums = ir.at(self._at["sums"], ir.index_op("mul", query, self._d_head * LANE))
            target = ir.at(out, ir.index_op("mul", query, self._d_model * self._size))
            for i in range(self._n_vectors):
                found = ir.float_op("fmul", ir.load(ir.floats, sums, i * line), scale)
                kind, given = (ir.bfloats, ir.float32_to_bfloat16(found)) if self._is_packed else (ir.floats, found)
                ir.store(kind, given, target, i * ir.width * self._size)
            return []

        ir.loop(self._tiles.n_queries, [], turn)
