"""Attention of all positions of a window on each other on a CPU, in code compiled for it when the engine starts.

Comes in: queries, keys and values side by side. Goes out: what the positions find. It is flash attention (Dao et al.
2022): scores of a block of queries and a block of keys stay in the processor's cache, sums are scaled anew where a
block has a larger score. Ours: scores lie with one key a line and one query a place, so that the softmax needs no sums
along a vector, and products of bfloat16 take pairs of numbers as they lie (AVX512-BF16).

Sums are in float32 and of a head of a window alone: no text depends on its neighbours, or on the number of threads.
Measured on two cores of an EPYC with AVX512-BF16 (Zen 4), eight windows of the tiny shape, a layer: torch in bfloat16
190 ms, here 79; in float32 190 and 147, with both held to AVX2 186 and 160. With AMX torch's own in bfloat16 is left.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from whisperbatch.engine.kernels.llvm_ir import FAULTS, Code, Compiled, features, spread
from whisperbatch.engine.placement import has_bfloat16_tiles

LANE = 4  # bytes: a float32, or two numbers of bfloat16
MOST_KEYS = 150  # a block's scores and values stay in the nearest cache
LOWEST = -3e38  # less than any score
LINE = 64  # bytes of the processor's cache: where a part of scratch memory starts


@dataclass(frozen=True, slots=True)
class Tiles:
    """How much is worked on at a time: as many sums as the processor has registers for, less a few."""

    width: int  # numbers a vector
    n_queries: int  # a block
    n_keys: int  # whose scores are summed together, of n_across vectors of queries
    n_few: int  # queries whose values are summed together, of n_across vectors of a head
    n_across: int

    def suit(self, d_head: int, n_positions: int) -> bool:
        """Whether heads of a size and so many positions can be cut into them, pairs of keys included."""
        return n_positions >= self.n_queries and not d_head % self.width and not n_positions % (2 * self.n_keys)


WIDE = Tiles(width=16, n_queries=64, n_keys=6, n_few=4, n_across=4)  # 32 registers of 512 bits
NARROW = Tiles(width=8, n_queries=48, n_keys=6, n_few=6, n_across=2)  # 16 of 256


class EncoderAttention:
    """Attention for windows of one shape; any thread may call it."""

    def __init__(self, dtype: torch.dtype, n_heads: int, d_head: int, n_positions: int, tiles: Tiles) -> None:
        """Compile; whatever is missing raises one of ``assembly.FAULTS``."""
        written = _Written(dtype, n_heads, d_head, n_positions, tiles)
        self._n_items, self._n_scratch = n_heads * written.n_blocks, written.n_scratch
        self._attend = written.compiled()

    def __call__(self, joined: Tensor) -> Tensor:
        """What positions find, (n, n_positions, d_model), by their queries, keys and values, three times as wide."""
        assert joined.is_contiguous()
        out = joined.new_empty(*joined.shape[:2], joined.shape[2] // 3)

        def run(first: int, last: int) -> None:
            scratch = torch.empty(self._n_scratch, dtype=torch.uint8)
            self._attend(joined.data_ptr(), out.data_ptr(), scratch.data_ptr(), first, last)

        spread(len(joined) * self._n_items, run)
        return out


@functools.cache
def find(
    device: torch.device, dtype: torch.dtype, n_heads: int, d_head: int, n_positions: int
) -> EncoderAttention | None:
    """The attention of a model's shape; None where torch's is faster or it can't be had."""
    if device.type != "cpu" or dtype not in (torch.float32, torch.bfloat16):
        return None
    try:
        tiles = _tiles(features(), dtype)
        if tiles is None or not tiles.suit(d_head, n_positions):
            return None
        return EncoderAttention(dtype, n_heads, d_head, n_positions, tiles)
    except FAULTS:
        return None


def _tiles(has: set[str], dtype: torch.dtype) -> Tiles | None:
    """What suits a processor; LLVM ends the process over an instruction that it lacks."""
    if dtype == torch.bfloat16:
        return WIDE if {"avx512f", "avx512bf16"} <= has and not has_bfloat16_tiles() else None
    return WIDE if "avx512f" in has else NARROW if {"avx2", "fma"} <= has else None


class _Written:
    """The function in LLVM's language. An item is a block of queries of a head of a window.

    In scratch memory: the head's values, lanes (n_positions / n_pack, d_head); the block's queries (d_head / n_pack,
    n_queries); scores (n_keys of a block, n_queries), and as they become weights (that / n_pack, n_queries); sums
    (n_queries, d_head); a scale a query. A lane is 32 bits: one number, or two of bfloat16.
    """

    def __init__(self, dtype: torch.dtype, n_heads: int, d_head: int, n_positions: int, tiles: Tiles) -> None:
        self._code, self._tiles = Code(tiles.width), tiles
        self._is_packed = dtype == torch.bfloat16
        self._n_pack, self._size = LANE // dtype.itemsize, dtype.itemsize
        self._n_heads, self._d_head, self._n_positions = n_heads, d_head, n_positions
        self._d_model = n_heads * d_head
        self._row = 3 * self._d_model * self._size  # bytes of a position
        self._degree = 4 if self._is_packed else 6  # of the polynomial: errors of 4e-5 and 2e-7
        self._scale = d_head**-0.5 * math.log2(math.e)  # powers of two in place of e
        self._n_keys = next(n for n in range(MOST_KEYS, 0, -1) if not n_positions % n and not n % (2 * tiles.n_keys))
        self._vectors, self._n_vectors = tiles.n_queries // tiles.width, d_head // tiles.width
        self.n_blocks = -(-n_positions // tiles.n_queries)
        parts = {
            "values": n_positions * d_head // self._n_pack,
            "queries": tiles.n_queries * d_head // self._n_pack,
            "scores": self._n_keys * tiles.n_queries,
            "sums": tiles.n_queries * d_head,
            "scales": tiles.n_queries,
        }
        self._offsets, self.n_scratch = {}, 0
        for name, n_lanes in parts.items():
            self._offsets[name] = self.n_scratch
            self.n_scratch += -(-n_lanes * LANE // LINE) * LINE

    def compiled(self) -> Compiled:
        """The function, from first to last item (exclusive)."""
        self._at = {name: self._code.at("%scratch", offset) for name, offset in self._offsets.items()}
        self._code.loop("%last", [], self._item, first="%first")
        return self._code.compiled(("joined", "out", "scratch"), ("first", "last"))

    def _item(self, item: str, _: list[str]) -> list[str]:
        code, size, n_queries = self._code, self._size, self._tiles.n_queries
        head, block = (code.index(operation, item, self.n_blocks) for operation in ("udiv", "urem"))
        window, part = (code.index(operation, head, self._n_heads) for operation in ("udiv", "urem"))
        window_at = code.index("mul", window, self._n_positions * self._row)
        queries = code.at("%joined", code.index("add", window_at, code.index("mul", part, self._d_head * size)))
        keys, values = code.at(queries, self._d_model * size), code.at(queries, 2 * self._d_model * size)
        starts = code.take(f"icmp eq i64 {block}, 0"), code.take(f"icmp eq i64 {item}, %first")
        code.only_if(code.take(f"or i1 {starts[0]}, {starts[1]}"), lambda: self._pack_values(values))
        wanted, last = code.index("mul", block, n_queries), self._n_positions - n_queries
        is_past = code.take(f"icmp ugt i64 {wanted}, {last}")
        first = code.take(f"select i1 {is_past}, i64 {last}, i64 {wanted}")  # the last block may overlap the one before
        self._pack_queries(code.at(queries, code.index("mul", first, self._row)))
        n = self._vectors
        start = [(code.floats, code.constant(LOWEST))] * n + [(code.floats, "zeroinitializer")] * n
        found = code.loop(
            self._n_positions // self._n_keys, start, lambda at, held: self._block(keys, at, held[:n], held[n:])
        )
        row = code.index("add", code.index("mul", window, self._n_positions), first)
        out = code.index(
            "add", code.index("mul", row, self._d_model * size), code.index("mul", part, self._d_head * size)
        )
        self._finish(code.at("%out", out), found[n:])
        return []

    def _pack_values(self, values: str) -> None:
        """A head's values together, those of two keys in a lane where numbers are bfloat16."""
        code = self._code

        def turn(row: str, _: list[str]) -> list[str]:
            source = code.at(values, code.index("mul", row, self._n_pack * self._row))
            target = code.at(self._at["values"], code.index("mul", row, self._d_head * LANE))
            for i in range(self._n_vectors):
                at = i * code.width * self._size
                if self._is_packed:
                    two = [code.load(code.halves, source, at + n * self._row) for n in (0, 1)]
                    low, high = (code.take(f"zext {code.halves} {one} to {code.ints}") for one in two)
                    lanes = code.whole("or", low, code.whole("shl", high, 16))
                else:
                    lanes = code.load(code.ints, source, at)
                code.store(code.ints, lanes, target, i * code.width * LANE)
            return []

        code.loop(self._n_positions // self._n_pack, [], turn)

    def _pack_queries(self, queries: str) -> None:
        """A block's queries across, and nothing in its sums."""
        code, n_queries = self._code, self._tiles.n_queries

        def turn(query: str, _: list[str]) -> list[str]:
            source = code.at(queries, code.index("mul", query, self._row))
            target = code.at(self._at["queries"], code.index("mul", query, LANE))
            sums = code.at(self._at["sums"], code.index("mul", query, self._d_head * LANE))
            for i in range(self._d_head // self._n_pack):
                code.store("i32", code.load("i32", source, i * LANE), target, i * n_queries * LANE)
            for i in range(self._n_vectors):
                code.store(code.floats, "zeroinitializer", sums, i * code.width * LANE)
            return []

        code.loop(n_queries, [], turn)

    def _block(self, keys: str, at: str, largest: list[str], totals: list[str]) -> list[str]:
        """A block of keys: what its queries' largest scores and totals of weights are with it."""
        code, line = self._code, self._code.width * LANE
        values = code.at(self._at["values"], code.index("mul", at, self._n_keys * self._d_head * self._size))
        new = self._scores(code.at(keys, code.index("mul", at, self._n_keys * self._row)), largest)
        scales = [self._weight(old, one) for old, one in zip(largest, new, strict=True)]
        for i, scale in enumerate(scales):
            code.store(code.floats, scale, self._at["scales"], i * line)
        own = self._weights(new)
        self._sum(values)
        return [*new, *(code.sum_of_product(*one) for one in zip(totals, scales, own, strict=True))]

    def _scores(self, keys: str, largest: list[str]) -> list[str]:
        """Scores of a block of keys in their place; the largest so far."""
        code, tiles = self._code, self._tiles
        line, across = code.width * LANE, math.gcd(tiles.n_across, self._vectors)

        def tile(at: str, held: list[str]) -> list[str]:
            few = code.at(keys, code.index("mul", at, tiles.n_keys * self._row))
            scores = code.at(self._at["scores"], code.index("mul", at, tiles.n_keys * tiles.n_queries * LANE))
            for first in range(0, self._vectors, across):
                queries = code.at(self._at["queries"], first * line)
                sums = self._products(
                    tiles.n_keys,
                    self._d_head // self._n_pack,
                    (queries, tiles.n_queries * LANE, across),
                    (few, LANE, self._row),
                )
                for n, total in enumerate(sums):
                    key, i = n // across, first + n % across
                    code.store(code.floats, total, scores, (key * self._vectors + i) * line)
                    held = [*held[:i], code.larger(held[i], total), *held[i + 1 :]]
            return held

        return code.loop(self._n_keys // tiles.n_keys, [(code.floats, one) for one in largest], tile)

    def _weights(self, largest: list[str]) -> list[str]:
        """Scores to weights, in their place; their totals."""
        code, line = self._code, self._code.width * LANE
        row = self._vectors * line

        def turn(at: str, held: list[str]) -> list[str]:
            source = code.at(self._at["scores"], code.index("mul", at, self._n_pack * row))
            target = code.at(self._at["scores"], code.index("mul", at, row))
            for i, most in enumerate(largest):
                loaded = [code.load(code.floats, source, n * row + i * line) for n in range(self._n_pack)]
                weights = [self._weight(one, most) for one in loaded]
                total = functools.reduce(functools.partial(code.floating, "fadd"), weights)
                held = [*held[:i], code.floating("fadd", held[i], total), *held[i + 1 :]]
                bits = [code.cast(one, code.floats, code.ints) for one in weights]
                if self._is_packed:
                    low, high = (code.whole("add", one, 1 << 15) for one in bits)  # rounded, a half upwards
                    bits = [code.whole("or", code.whole("lshr", low, 16), code.whole("and", high, -(1 << 16)))]
                code.store(code.ints, bits[0], target, i * line)
            return held

        return code.loop(self._n_keys // self._n_pack, [(code.floats, "zeroinitializer")] * len(largest), turn)

    def _weight(self, score: str, largest: str) -> str:
        """The power of a score's distance from the largest."""
        less = self._code.floating("fsub", score, largest)
        return self._code.power_of_two(
            self._code.floating("fmul", less, self._code.constant(self._scale)), self._degree
        )

    def _sum(self, values: str) -> None:
        """Values of a block of keys, weighted, added to what is summed and scaled anew."""
        code, tiles = self._code, self._tiles
        line, across = code.width * LANE, math.gcd(tiles.n_across, self._n_vectors)

        def tile(at: str, _: list[str]) -> list[str]:
            few = code.index("mul", at, tiles.n_few * LANE)
            weights, scales = (code.at(self._at[name], few) for name in ("scores", "scales"))
            factors = [code.of_all("float", code.load("float", scales, n * LANE)) for n in range(tiles.n_few)]
            sums = code.at(self._at["sums"], code.index("mul", few, self._d_head))
            for first in range(0, self._n_vectors, across):
                places = [
                    (n, (n * self._n_vectors + first + i) * line) for n in range(tiles.n_few) for i in range(across)
                ]
                summed = self._products(
                    tiles.n_few,
                    self._n_keys // self._n_pack,
                    (code.at(values, first * line), self._d_head * LANE, across),
                    (weights, tiles.n_queries * LANE, LANE),
                )
                for own, (n, to) in zip(summed, places, strict=True):  # so less is rounded off than in one long sum
                    total = code.sum_of_product(code.load(code.floats, sums, to), factors[n], own)
                    code.store(code.floats, total, sums, to)
            return []

        code.loop(tiles.n_queries // tiles.n_few, [], tile)

    def _products(
        self,
        n_rows: int,
        n_lanes: int,
        vectors: tuple[str, int, int],
        singles: tuple[str, int, int],
    ) -> list[str]:
        """Sums of products of vectors, side by side, with lanes of several rows, each of them with each.

        Args:
            n_rows: How many rows; all sums of one are together.
            n_lanes: How many products a sum has.
            vectors: Their address, bytes from one lane's to the next one's, and how many there are.
            singles: The address of the first row's first lane, bytes to the next lane, and to the next row.
        """
        code = self._code
        vectors_at, vectors_step, across = vectors
        singles_at, singles_step, singles_row = singles
        multiply = code.sum_of_pairs if self._is_packed else code.sum_of_product
        kind = code.pairs if self._is_packed else code.floats

        def turn(lane: str, held: list[str]) -> list[str]:
            many = code.at(vectors_at, code.index("mul", lane, vectors_step))
            loaded = [code.load(code.ints, many, i * code.width * LANE) for i in range(across)]
            loaded = [code.cast(one, code.ints, kind) for one in loaded]
            few, new = code.at(singles_at, code.index("mul", lane, singles_step)), []
            for row in range(n_rows):
                single = code.cast(code.of_all("i32", code.load("i32", few, row * singles_row)), code.ints, kind)
                new += [multiply(one, single, held[row * across + i]) for i, one in enumerate(loaded)]
            return new

        return code.loop(n_lanes, [(code.floats, "zeroinitializer")] * (n_rows * across), turn)

    def _finish(self, out: str, totals: list[str]) -> None:
        """Sums by the totals of their weights, in the numbers that go out."""
        code, line = self._code, self._code.width * LANE
        for i, total in enumerate(totals):
            code.store(code.floats, code.floating("fdiv", code.constant(1.0), total), self._at["scales"], i * line)

        def turn(query: str, _: list[str]) -> list[str]:
            scale_at = code.at(self._at["scales"], code.index("mul", query, LANE))
            scale = code.of_all("float", code.load("float", scale_at))
            sums = code.at(self._at["sums"], code.index("mul", query, self._d_head * LANE))
            target = code.at(out, code.index("mul", query, self._d_model * self._size))
            for i in range(self._n_vectors):
                found = code.floating("fmul", code.load(code.floats, sums, i * line), scale)
                kind, given = (code.halves, code.rounded_halves(found)) if self._is_packed else (code.floats, found)
                code.store(kind, given, target, i * code.width * self._size)
            return []

        code.loop(self._tiles.n_queries, [], turn)
