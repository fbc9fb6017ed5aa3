"""Attention of few queries on cached keys and values on a CPU, compiled for the machine when the engine starts.

Comes in: what is cached, in bfloat16 or 8 bits. Goes out: functions of the addresses of tensors. A step reads every key
and value that its windows have, hundreds of megabytes, so that memory sets its pace: what counts is to read each byte
once, in order and ahead of time, whatever the number of queries. torch's batched products copy or convert on the way,
and have no 8 bits.

Sums are in float32, and of a row alone: no text depends on its neighbours, or on the number of threads. Measured on one
core of a Xeon with AMX, 32 windows of the tiny shape, keys and values of a layer, one query (beams of 5): torch in
bfloat16 7.2 ms (8.9), here in bfloat16 5.5 (7.3).
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from whisperbatch.engine.kernels.llvm_ir import FAULTS, Code, Compiled, spread

WIDTH = 16  # numbers a vector
AHEAD = 2048  # bytes from what is multiplied to what is fetched: measured best of 0 to 65,536
LINE = 64  # bytes that are fetched at once
FLOAT = 4  # bytes
LLVM_TYPES = {torch.bfloat16: "i16", torch.int8: "i8"}


class Kernels:
    """Scores and sums for rows of ``n_group`` queries; any thread may call them.

    A row is a head of a window: its queries (n_group, d_head) and sums are float32, its keys and values
    (n_keys, d_head) of the type that is cached, its scores and weights (n_group, n_keys) float32.
    """

    def __init__(self, dtype: torch.dtype, d_head: int, n_group: int) -> None:
        """Compile; whatever is missing raises one of ``assembly.FAULTS``."""
        self._scores = _Written(dtype, d_head, n_group).scores()
        self._sums = _Written(dtype, d_head, n_group).sums()

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        """``q @ k.T`` of (n, n_heads, n_group, d_head) and (n, n_heads, n_keys, d_head)."""
        out = torch.empty(*q.shape[:3], k.shape[2])
        self._run(self._scores, (q, k, out), k.shape)
        return out

    def sums(self, weights: Tensor, v: Tensor) -> Tensor:
        """``weights @ v`` of (n, n_heads, n_group, n_keys) and (n, n_heads, n_keys, d_head)."""
        out = torch.empty(*weights.shape[:3], v.shape[3])
        self._run(self._sums, (weights, v, out), v.shape)
        return out

    def _run(self, kernel: Compiled, tensors: tuple[Tensor, ...], shape: torch.Size) -> None:
        """Run over all rows."""
        assert all(tensor.is_contiguous() for tensor in tensors)
        addresses = [tensor.data_ptr() for tensor in tensors]
        spread(shape[0] * shape[1], lambda first, last: kernel(*addresses, first, last, shape[2]))


@functools.cache
def find(dtype: torch.dtype, d_head: int, n_group: int) -> Kernels | None:
    """The kernels for what is cached in ``dtype``; None where they can't be had."""
    if d_head % WIDTH or dtype not in LLVM_TYPES:
        return None
    try:
        return Kernels(dtype, d_head, n_group)
    except FAULTS:
        return None


class _Written:
    """A function in LLVM's language: a loop over rows and, in each, over its keys."""

    def __init__(self, dtype: torch.dtype, d_head: int, n_group: int) -> None:
        self._code, self._dtype, self._d_head, self._n_group = Code(WIDTH), dtype, d_head, n_group
        self._n_vectors, self._row = d_head // WIDTH, d_head * dtype.itemsize

    def scores(self) -> Compiled:
        """Products of each key with all queries, each stored in its place."""
        code = self._code

        def row(queries: str, keys: str, out: str) -> None:
            q = [code.load(code.floats, queries, at) for at in self._places()]

            def key(at: str, _: list[str]) -> list[str]:
                read, place = self._read(keys, at), code.at(out, code.index("mul", at, FLOAT))
                for group in range(self._n_group):
                    first, *others = zip(read, q[group * self._n_vectors : (group + 1) * self._n_vectors], strict=True)
                    total = code.floating("fmul", *first)
                    for one, other in others:
                        total = code.sum_of_product(one, other, total)
                    start = code.index("mul", "%n_keys", group * FLOAT)
                    code.store("float", code.total(total), code.at(place, start))
                return []

            code.loop("%n_keys", [], key)

        return self._of_rows(self._d_head, None, row)

    def sums(self) -> Compiled:
        """Values, each weighted for all queries, added to what is summed."""
        code = self._code

        def row(weights: str, values: str, out: str) -> None:
            def key(at: str, held: list[str]) -> list[str]:
                read, place = self._read(values, at), code.at(weights, code.index("mul", at, FLOAT))
                new = []
                for group in range(self._n_group):
                    start = code.index("mul", "%n_keys", group * FLOAT)
                    weight = code.of_all("float", code.load("float", code.at(place, start)))
                    new += [
                        code.sum_of_product(one, weight, held[group * self._n_vectors + i])
                        for i, one in enumerate(read)
                    ]
                return new

            places = self._places()
            summed = code.loop("%n_keys", [(code.floats, "zeroinitializer")] * len(places), key)
            for at, total in zip(places, summed, strict=True):
                code.store(code.floats, total, out, at)

        return self._of_rows(None, self._d_head, row)

    def _of_rows(self, few: int | None, out: int | None, each: Callable[[str, str, str], None]) -> Compiled:
        """The loop; ``few`` and ``out`` are numbers a query of what is read beside keys and of what is written.

        None: as many as there are keys.
        """
        code = self._code

        def row(at: str, _: list[str]) -> list[str]:
            sizes = [
                code.index("mul", "%n_keys" if one is None else str(one), self._n_group * FLOAT) for one in (few, out)
            ]
            sizes.insert(1, code.index("mul", "%n_keys", self._row))
            names = ("%few", "%keys", "%out")
            each(*(code.at(name, code.index("mul", at, size)) for name, size in zip(names, sizes, strict=True)))
            return []

        code.loop("%last", [], row, first="%first")
        return code.compiled(("few", "keys", "out"), ("first", "last", "n_keys"))

    def _places(self) -> list[int]:
        """Bytes to each vector of a row's queries, a query after the other."""
        return [
            (group * self._d_head + i * WIDTH) * FLOAT for group in range(self._n_group) for i in range(self._n_vectors)
        ]

    def _read(self, keys: str, at: str) -> list[str]:
        """A key's vectors in float32; the key that comes later is asked for, and one beyond the last is no fault."""
        code = self._code
        key = code.at(keys, code.index("mul", at, self._row))
        for line in range(0, self._row, LINE):
            code.fetch(key, AHEAD + line)
        kind = f"<{WIDTH} x {LLVM_TYPES[self._dtype]}>"
        loaded = [code.load(kind, key, i * WIDTH * self._dtype.itemsize) for i in range(self._n_vectors)]
        if self._dtype == torch.bfloat16:
            return [code.widened(one) for one in loaded]
        wide = [code.take(f"sext {kind} {one} to {code.ints}") for one in loaded]
        return [code.take(f"sitofp {code.ints} {one} to {code.floats}") for one in wide]
