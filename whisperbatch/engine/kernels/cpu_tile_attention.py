"""The encoder's self-attention on CPUs that multiply bfloat16 a tile at a time (AMX).

As ``cpu_encoder_attention``, with one key per line and one query per vector lane, but the products are of tiles: 16
lines of 32 numbers. A block's scores of all keys fit in the processor's second cache, so that nothing is rescaled.
Measured on one core of a Xeon with AMX, one window of base, one layer: torch 20 ms, this kernel 13.

Linux lets a process use tiles once it has asked to. Intel's manual (SDM, volume 1, chapter 18) describes tiles and
their layout in memory; the second factor has two numbers of each column in a lane.
"""

import ctypes
import functools
import struct
import sys

import torch

from whisperbatch.engine.kernels.cpu_encoder_attention import LANE, LOWEST, AttentionBuilder, EncoderAttention, Tiles
from whisperbatch.engine.kernels.llvm_ir import CannotCompileError, Compiled, features

N_LINES, N_PAIRED = 16, 32  # lines of a tile, and numbers in a line of the first factor
ARCH_PRCTL, ASK_FOR, TILES = 158, 0x1023, 18  # Linux on x86-64: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)
NEEDS = {"avx512f", "amx-tile", "amx-bf16"}
BLOCK = Tiles(width=16, n_queries=32, n_keys=2, n_few=1, n_across=2)
FIRST, SECOND = (4, 5), (6, 7)  # tiles that hold factors; 0 to 3 hold sums
# palette 1; then for 8 tiles the bytes of a line, and the lines
CONFIGURATION = struct.pack("<BB14x16H16B", 1, 0, *[2 * N_PAIRED] * 8, *[0] * 8, *[N_LINES] * 8, *[0] * 8)


@functools.cache
def find(
    device: torch.device, dtype: torch.dtype, n_heads: int, d_head: int, n_positions: int
) -> EncoderAttention | None:
    """The kernel for a model's shape; None where tiles cannot be used."""
    if device.type != "cpu" or dtype != torch.bfloat16:
        return None
    if d_head % N_PAIRED or n_positions % 2 or n_positions < BLOCK.n_queries:
        return None
    try:
        if not features() >= NEEDS or not _may_use_tiles():
            return None
        return EncoderAttention(TileAttentionBuilder(n_heads, d_head, n_positions))
    except CannotCompileError:
        return None


def _may_use_tiles() -> bool:
    """Ask Linux for the use of tiles by all threads of this process."""
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).syscall(ARCH_PRCTL, ASK_FOR, TILES) == 0)
    except (AttributeError, OSError):
        return False


class TileAttentionBuilder(AttentionBuilder):
    """Builds the kernel. An item is one block of queries of one head of one window.

    Scratch memory holds the head's values, transposed (d_head, n_padded); its last keys, (32, d_head); the block's
    queries, lanes (d_head / 2, n_queries); the scores (n_padded, n_queries), overwritten by the weights in pairs; the
    sums (d_head, n_queries), overwritten in bfloat16.
    """

    def __init__(self, n_heads: int, d_head: int, n_positions: int) -> None:
        """Lay out scratch memory."""
        super().__init__(torch.bfloat16, n_heads, d_head, n_positions, BLOCK)
        self._n_padded = -(-n_positions // N_PAIRED) * N_PAIRED
        self._n_keys = n_positions
        self._lay_out(
            {
                "values": self._n_padded * d_head // 2,
                "last": N_PAIRED * d_head // 2,
                "queries": BLOCK.n_queries * d_head // 2,
                "scores": self._n_padded * BLOCK.n_queries,
                "sums": d_head * BLOCK.n_queries,
                "configuration": len(CONFIGURATION) // LANE,
            }
        )

    def compiled(self) -> Compiled:
        """Compile the kernel, which works on the items from ``first`` to ``last`` (exclusive)."""
        ir = self._ir
        place = ir.at("%scratch", self._offsets["configuration"])
        for at, word in enumerate(struct.unpack(f"<{len(CONFIGURATION) // LANE}i", CONFIGURATION)):
            ir.store("i32", str(word), place, at * LANE)
        ir.call("void", "llvm.x86.ldtilecfg", ("ptr", place))
        self._at = {name: ir.at("%scratch", offset) for name, offset in self._offsets.items()}
        ir.loop("%last", [], self._item, first="%first")
        ir.call("void", "llvm.x86.tilerelease")
        return ir.compiled(("joined", "out", "scratch"), ("first", "last"))

    def _pack_head(self, keys: str, values: str) -> None:
        """Copy a head's values to scratch memory, transposed, and its last keys, filled up to a whole tile."""
        ir, n_bytes = self._ir, 2 * self._n_padded
        n_blocks, n_left = divmod(self._n_keys, ir.width)

        def transpose(source: str, target: str, n_here: int) -> None:
            def column(at: str, _: list[str]) -> list[str]:
                first, vector = ir.at(source, ir.index_op("mul", at, 2)), "zeroinitializer"
                for key in range(n_here):
                    one = ir.load("i16", first, key * self._row)
                    vector = ir.emit(f"insertelement {ir.bfloats} {vector}, i16 {one}, i64 {key}")
                ir.store(ir.bfloats, vector, ir.at(target, ir.index_op("mul", at, n_bytes)))
                return []

            ir.loop(self._d_head, [], column)

        def turn(at: str, _: list[str]) -> list[str]:
            source = ir.at(values, ir.index_op("mul", at, ir.width * self._row))
            transpose(source, ir.at(self._at["values"], ir.index_op("mul", at, 2 * ir.width)), ir.width)
            return []

        ir.loop(n_blocks, [], turn)
        for block in range(n_blocks, self._n_padded // ir.width):
            here = max(0, n_left if block == n_blocks else 0)
            transpose(
                ir.at(values, block * ir.width * self._row), ir.at(self._at["values"], 2 * block * ir.width), here
            )
        self._copy_last_keys(keys)

    def _copy_last_keys(self, keys: str) -> None:
        ir, n_last = self._ir, self._n_keys % N_PAIRED
        for key in range(N_PAIRED if n_last else 0):
            for i in range(0, self._d_head, ir.width):
                number = "zeroinitializer"
                if key < n_last:
                    number = ir.load(ir.bfloats, keys, (self._n_keys - n_last + key) * self._row + 2 * i)
                ir.store(ir.bfloats, number, self._at["last"], 2 * (key * self._d_head + i))

    def _attend(self, keys: str) -> list[str]:
        """Sum the weighted values of all keys in scratch memory; return the totals of the queries' weights."""
        ir, line = self._ir, BLOCK.n_queries * LANE
        n_blocks = self._n_keys // N_PAIRED

        def block(at: str, _: list[str]) -> list[str]:
            lines = ir.at(self._at["scores"], ir.index_op("mul", at, N_PAIRED * line))
            self._tile_scores(ir.at(keys, ir.index_op("mul", at, N_PAIRED * self._row)), self._row, lines)
            return []

        ir.loop(n_blocks, [], block)
        if self._n_keys % N_PAIRED:
            last = ir.at(self._at["scores"], n_blocks * N_PAIRED * line)
            self._tile_scores(self._at["last"], 2 * self._d_head, last)
        totals = self._weights(self._largest())
        for pair in range(self._n_keys // 2, self._n_padded // 2):
            for i in range(self._vectors):
                ir.store(ir.ints, "zeroinitializer", self._at["scores"], pair * line + i * ir.width * LANE)
        for first in range(0, self._d_head, 2 * N_LINES):
            self._tile_sums(first)
        return totals

    def _largest(self) -> list[str]:
        """The largest score of each query."""
        ir, line, n_lines = self._ir, BLOCK.n_queries * LANE, 4 if not self._n_keys % 4 else 2

        def turn(at: str, held: list[str]) -> list[str]:
            lines = ir.at(self._at["scores"], ir.index_op("mul", at, n_lines * line))
            read = [ir.load(ir.floats, lines, n * ir.width * LANE) for n in range(len(held))]
            return [ir.maximum(*both) for both in zip(held, read, strict=True)]

        start = [(ir.floats, ir.constant(LOWEST))] * (n_lines * self._vectors)
        found = ir.loop(self._n_keys // n_lines, start, turn)
        return [functools.reduce(ir.maximum, found[i :: self._vectors]) for i in range(self._vectors)]

    def _tile_scores(self, keys: str, step: int, scores: str) -> None:
        """Store the products of 32 keys, ``step`` bytes apart, with the block's queries."""
        line = BLOCK.n_queries * LANE
        for tile in range(4):
            self._tile("zero", tile)
        for first in range(0, self._d_head, N_PAIRED):
            for n, tile in enumerate(FIRST):
                self._tile("loadd64", tile, (keys, n * N_LINES * step + 2 * first), step)
            for n, tile in enumerate(SECOND):
                self._tile("loadd64", tile, (self._at["queries"], first // 2 * line + n * N_LINES * LANE), line)
            self._multiply_tiles()
        for tile in range(4):
            self._tile("stored64", tile, (scores, tile // 2 * N_LINES * line + tile % 2 * N_LINES * LANE), line)

    def _tile_sums(self, first: int) -> None:
        """Sum the weighted values of all keys, for 32 numbers of a head from ``first`` on."""
        ir, line, n_bytes = self._ir, BLOCK.n_queries * LANE, 2 * self._n_padded
        for tile in range(4):
            self._tile("zero", tile)

        def turn(at: str, _: list[str]) -> list[str]:
            values = ir.at(self._at["values"], ir.index_op("mul", at, 2 * N_PAIRED))
            weights = ir.at(self._at["scores"], ir.index_op("mul", at, N_LINES * line))
            for n, tile in enumerate(FIRST):
                self._tile("loadd64", tile, (values, (first + n * N_LINES) * n_bytes), n_bytes)
            for n, tile in enumerate(SECOND):
                self._tile("loadd64", tile, (weights, n * N_LINES * LANE), line)
            self._multiply_tiles()
            return []

        ir.loop(self._n_padded // N_PAIRED, [], turn)
        for tile in range(4):
            at = (first + tile // 2 * N_LINES) * line + tile % 2 * N_LINES * LANE
            self._tile("stored64", tile, (self._at["sums"], at), line)

    def _tile(self, what: str, tile: int, place: tuple[str, int] | None = None, step: int = 0) -> None:
        """Zero, load or store a tile whose lines are ``step`` bytes apart, the first of them at an address."""
        arguments = [("i8", str(tile))]
        if place is not None:
            arguments += [("ptr", self._ir.at(*place)), ("i64", str(step))]
        self._ir.call("void", f"llvm.x86.tile{what}", *arguments)

    def _multiply_tiles(self) -> None:
        for tile in range(4):
            factors = [("i8", str(one)) for one in (tile, FIRST[tile // 2], SECOND[tile % 2])]
            self._ir.call("void", "llvm.x86.tdpbf16ps", *factors)

    def _finish(self, out: str, totals: list[str]) -> None:
        """Divide the sums by the totals of their weights and write them in bfloat16, one query after the other."""
        ir, line, sums = self._ir, BLOCK.n_queries * LANE, self._at["sums"]
        factors = [ir.float_op("fdiv", ir.constant(1.0), total) for total in totals]

        def divide(at: str, _: list[str]) -> list[str]:
            source, target = (ir.at(sums, ir.index_op("mul", at, n_bytes)) for n_bytes in (line, line // 2))
            read = [ir.load(ir.floats, source, i * ir.width * LANE) for i in range(self._vectors)]
            for i, factor in enumerate(factors):
                found = ir.float32_to_bfloat16(ir.float_op("fmul", read[i], factor))
                ir.store(ir.bfloats, found, target, i * ir.width * 2)
            return []

        ir.loop(self._d_head, [], divide)

        def query(at: str, _: list[str]) -> list[str]:
            source = ir.at(sums, ir.index_op("mul", at, 2))
            target = ir.at(out, ir.index_op("mul", at, self._d_model * 2))
            for first in range(0, self._d_head, ir.width):
                vector = "poison"
                for n in range(ir.width):
                    one = ir.load("i16", source, (first + n) * line // 2)
                    vector = ir.emit(f"insertelement {ir.bfloats} {vector}, i16 {one}, i64 {n}")
                ir.store(ir.bfloats, vector, target, 2 * first)
            return []

        ir.loop(BLOCK.n_queries, [], query)
