"""Attention of few queries on cached keys and values on a CPU, compiled for the machine when the engine starts.

Comes in: what is cached, in bfloat16 or 8 bits. Goes out: functions of the addresses of tensors. Who calls:
``engine/heard``. A step reads every key and value that its windows have, hundreds of megabytes, so that memory sets its
pace: what counts is to read each byte once, in order and ahead of time, whatever the number of queries. torch's batched
products copy or convert on the way, and have no 8 bits.

The code is LLVM's, put together here and compiled by llvmlite, which librosa brings along; it takes hundredths of a
second. Vectors are 16 numbers wide, which LLVM breaks up for processors that have narrower ones. Sums are in float32,
and of a row alone: no text depends on its neighbours, or on the number of threads. Measured on one core of a Xeon with
AMX, 32 windows of the tiny shape, keys and values of a layer, one query (beams of 5): torch in bfloat16 7.2 ms (8.9),
here in bfloat16 5.5 (7.3).
"""

import ctypes
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

import torch
from torch import Tensor

WIDTH = 16  # numbers a vector
AHEAD = 2048  # bytes from what is multiplied to what is fetched: measured best of 0 to 65,536
LINE = 64  # bytes that are fetched at once
LLVM_TYPES = {torch.bfloat16: "i16", torch.int8: "i8"}
VECTOR = f"<{WIDTH} x float>"

FAULTS = (ImportError, AttributeError, TypeError, OSError, RuntimeError)  # no llvmlite, another, or no leave to compile
Kernel = Callable[..., None]


class Kernels:
    """Scores and sums for rows of ``n_group`` queries; any thread may call them.

    A row is a head of a window: its queries (n_group, d_head) and sums are float32, its keys and values
    (n_keys, d_head) of the type that is cached, its scores and weights (n_group, n_keys) float32.
    """

    def __init__(self, dtype: torch.dtype, d_head: int, n_group: int) -> None:
        """Compile; whatever is missing raises."""
        self._engine, (self._scores, self._sums) = _compiled(_source(dtype, d_head, n_group))

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

    def _run(self, kernel: Kernel, tensors: tuple[Tensor, ...], shape: torch.Size) -> None:
        """Run over all rows, on as many threads as torch would take in this one."""
        assert all(tensor.is_contiguous() for tensor in tensors)
        addresses, n_rows = [tensor.data_ptr() for tensor in tensors], shape[0] * shape[1]
        n_threads = min(torch.get_num_threads(), n_rows)
        edges = [n_rows * n // n_threads for n in range(n_threads + 1)]
        others = [_threads().submit(kernel, *addresses, *part, shape[2]) for part in pairwise(edges[1:])]
        kernel(*addresses, 0, edges[1], shape[2])
        wait(others)


@functools.cache
def find(dtype: torch.dtype, d_head: int, n_group: int) -> Kernels | None:
    """The kernels for what is cached in ``dtype``; None where they can't be had."""
    if d_head % WIDTH or dtype not in LLVM_TYPES:
        return None
    try:
        return Kernels(dtype, d_head, n_group)
    except FAULTS:
        return None


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, os.cpu_count() or 1), "kernel")


def _compiled(source: str) -> tuple[object, list[Kernel]]:
    """What keeps the code alive, and its functions."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )
    module = llvm.parse_assembly(source)
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    takes = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, *[ctypes.c_int64] * 3)  # lets go of Python's lock
    return engine, [takes(engine.get_function_address(name)) for name in ("scores", "sums")]


def _source(dtype: torch.dtype, d_head: int, n_group: int) -> str:
    """Both functions in LLVM's language."""
    n_vectors, row = d_head // WIDTH, d_head * dtype.itemsize
    at = [(g, i) for g in range(n_group) for i in range(n_vectors)]
    read = [*_fetch(row), *(line for i in range(n_vectors) for line in _read(dtype, i))]
    queries = [
        line
        for g, i in at
        for line in (
            f"%qa{g}.{i} = getelementptr float, ptr %few, i64 {g * d_head + i * WIDTH}",
            f"%q{g}.{i} = load {VECTOR}, ptr %qa{g}.{i}, align 4",
        )
    ]
    scores = [line for g in range(n_group) for line in _score(g, n_vectors)]
    starts = [f"%s{g}.{i} = phi {VECTOR} [zeroinitializer, %row], [%t{g}.{i}, %key]" for g, i in at]
    sums = [line for g in range(n_group) for line in _sum(g, n_vectors)]
    stores = [
        line
        for g, i in at
        for line in (
            f"%oa{g}.{i} = getelementptr float, ptr %out, i64 {g * d_head + i * WIDTH}",
            f"store {VECTOR} %t{g}.{i}, ptr %oa{g}.{i}, align 4",
        )
    ]
    few, many = f"{n_group * d_head}", f"%n_wide, {n_group}"
    return "\n".join(
        [
            "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)",
            f"declare float @llvm.vector.reduce.fadd.v{WIDTH}f32(float, {VECTOR})",
            f"declare {VECTOR} @llvm.fma.v{WIDTH}f32({VECTOR}, {VECTOR}, {VECTOR})",
            *_function("scores", row, few=few, out=many, before=queries, phis=[], each=[*read, *scores], after=[]),
            *_function("sums", row, few=many, out=few, before=[], phis=starts, each=[*read, *sums], after=stores),
            'attributes #0 = { nounwind "prefer-vector-width"="512" "min-legal-vector-width"="512" }',
        ]
    )


def _function(
    name: str, row: int, *, few: str, out: str, before: list[str], phis: list[str], each: list[str], after: list[str]
) -> list[str]:
    """A loop over rows and, in each, over its keys: ``%key_at`` is the key, ``%few`` and ``%out`` are the row's."""

    def size(of: str) -> str:
        return f"mul i64 {of}" if "," in of else f"add i64 0, {of}"

    return f"""
define void @{name}(ptr %few_all, ptr %keys_all, ptr %out_all, i64 %first, i64 %last, i64 %n_wide) #0 {{
entry:
  %few_size = {size(few)}
  %out_size = {size(out)}
  %row_bytes = mul i64 %n_wide, {row}
  %none = icmp sge i64 %first, %last
  br i1 %none, label %done, label %row
row:
  %r = phi i64 [%first, %entry], [%r_next, %row_end]
  %few_before = mul i64 %r, %few_size
  %few = getelementptr float, ptr %few_all, i64 %few_before
  %out_before = mul i64 %r, %out_size
  %out = getelementptr float, ptr %out_all, i64 %out_before
  %keys_before = mul i64 %r, %row_bytes
  %keys = getelementptr i8, ptr %keys_all, i64 %keys_before
  {_lines(before)}
  br label %key
key:
  %j = phi i64 [0, %row], [%j_next, %key]
  {_lines(phis)}
  %key_before = mul i64 %j, {row}
  %key_at = getelementptr i8, ptr %keys, i64 %key_before
  {_lines(each)}
  %j_next = add i64 %j, 1
  %is_last = icmp eq i64 %j_next, %n_wide
  br i1 %is_last, label %row_end, label %key
row_end:
  {_lines(after)}
  %r_next = add i64 %r, 1
  %is_end = icmp eq i64 %r_next, %last
  br i1 %is_end, label %done, label %row
done:
  ret void
}}""".splitlines()


def _lines(lines: list[str]) -> str:
    return "\n  ".join(lines)


def _fetch(row: int) -> list[str]:
    """Ask for the key that comes so many bytes later; an address beyond the last one is no fault."""
    return [
        line
        for at in range(0, row, LINE)
        for line in (
            f"%f{at} = getelementptr i8, ptr %key_at, i64 {AHEAD + at}",
            f"call void @llvm.prefetch.p0(ptr %f{at}, i32 0, i32 3, i32 1)",
        )
    ]


def _read(dtype: torch.dtype, i: int) -> list[str]:
    """A key's vector ``i`` in float32, ``%k{i}``; bfloat16 is the upper half of a float32."""
    widened = {
        torch.bfloat16: [
            f"%w{i} = zext <{WIDTH} x i16> %n{i} to <{WIDTH} x i32>",
            f"%u{i} = shl <{WIDTH} x i32> %w{i}, <{', '.join(['i32 16'] * WIDTH)}>",
            f"%k{i} = bitcast <{WIDTH} x i32> %u{i} to {VECTOR}",
        ],
        torch.int8: [
            f"%w{i} = sext <{WIDTH} x i8> %n{i} to <{WIDTH} x i32>",
            f"%k{i} = sitofp <{WIDTH} x i32> %w{i} to {VECTOR}",
        ],
    }
    return [
        f"%ka{i} = getelementptr i8, ptr %key_at, i64 {i * WIDTH * dtype.itemsize}",
        f"%n{i} = load <{WIDTH} x {LLVM_TYPES[dtype]}>, ptr %ka{i}, align 1",
        *widened[dtype],
    ]


def _score(g: int, n_vectors: int) -> list[str]:
    """The product of the key with query ``g``, stored in its place."""
    fma = f"call {VECTOR} @llvm.fma.v{WIDTH}f32"
    lines = [f"%m{g}.0 = fmul {VECTOR} %k0, %q{g}.0"]
    lines += [
        f"%m{g}.{i} = {fma}({VECTOR} %k{i}, {VECTOR} %q{g}.{i}, {VECTOR} %m{g}.{i - 1})" for i in range(1, n_vectors)
    ]
    return [
        *lines,
        f"%d{g} = call reassoc float @llvm.vector.reduce.fadd.v{WIDTH}f32(float -0.0, {VECTOR} %m{g}.{n_vectors - 1})",
        f"%ob{g} = mul i64 %n_wide, {g}",
        f"%oj{g} = add i64 %ob{g}, %j",
        f"%op{g} = getelementptr float, ptr %out, i64 %oj{g}",
        f"store float %d{g}, ptr %op{g}, align 4",
    ]


def _sum(g: int, n_vectors: int) -> list[str]:
    """The value, weighted for query ``g``, added to what is summed."""
    fma = f"call {VECTOR} @llvm.fma.v{WIDTH}f32"
    return [
        f"%wb{g} = mul i64 %n_wide, {g}",
        f"%wj{g} = add i64 %wb{g}, %j",
        f"%wp{g} = getelementptr float, ptr %few, i64 %wj{g}",
        f"%x{g} = load float, ptr %wp{g}, align 4",
        f"%y{g} = insertelement {VECTOR} poison, float %x{g}, i64 0",
        f"%z{g} = shufflevector {VECTOR} %y{g}, {VECTOR} poison, <{WIDTH} x i32> zeroinitializer",
        *(f"%t{g}.{i} = {fma}({VECTOR} %k{i}, {VECTOR} %z{g}, {VECTOR} %s{g}.{i})" for i in range(n_vectors)),
    ]
