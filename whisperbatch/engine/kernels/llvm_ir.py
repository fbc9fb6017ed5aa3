"""Build CPU kernels in LLVM IR, compile them for this machine when the engine starts, and run them on threads.

llvmlite, which librosa depends on, compiles one in hundredths of a second. Vectors may be wider than the processor's:
LLVM splits them.
"""

import ctypes
import functools
import math
import os
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Any

import torch

FAULTS = (ImportError, AttributeError, TypeError, OSError, RuntimeError)  # llvmlite missing, or another release's
ATTRIBUTES = '#0 = { nounwind "prefer-vector-width"="512" "min-legal-vector-width"="512" }'
MAGIC = 1.5 * 2.0**23  # adding it to a float32 and subtracting it again rounds to the nearest whole number
LEAST_EXPONENT = -126.0  # the smallest of a normal float32
Carried = Sequence[tuple[str, str]]  # LLVM type and initial value of each value that a loop carries between iterations


class CannotCompileError(Exception):
    """This machine cannot compile kernels: llvmlite is missing, incompatible, or not allowed to."""


class IrBuilder:
    """Builds the body of one function; a value is represented by its name in LLVM IR."""

    def __init__(self, width: int) -> None:
        """Start an empty body whose vectors hold ``width`` 32-bit numbers."""
        self.width = width
        self.floats, self.ints, self.bfloats = (f"<{width} x {one}>" for one in ("float", "i32", "i16"))
        self.pairs = f"<{2 * width} x bfloat>"
        self._lines: list[str] = []
        self._declared: set[str] = set()
        self._n_names = 0

    def compiled(self, pointers: Sequence[str], numbers: Sequence[str]) -> "Compiled":
        """Compile the function with these arguments; CannotCompileError if this machine cannot."""
        takes = ", ".join([*(f"ptr %{one}" for one in pointers), *(f"i64 %{one}" for one in numbers)])
        lines = [
            *sorted(self._declared),
            f"define void @kernel({takes}) #0 {{",
            "entry:",
            *self._lines,
            "  ret void",
            "}",
        ]
        return Compiled("\n".join([*lines, f"attributes {ATTRIBUTES}"]), len(pointers), len(numbers))

    def call(self, kind: str, name: str, *arguments: tuple[str, str], flag: str = "") -> str:
        """Call an LLVM intrinsic with arguments, each a type and a value; return its result."""
        self._declared.add(f"declare {kind} @{name}({', '.join(kind for kind, _ in arguments)})")
        line = f"call {flag} {kind} @{name}({', '.join(' '.join(one) for one in arguments)})"
        if kind != "void":
            return self.emit(line)
        self._append(line)
        return ""

    def emit(self, instruction: str) -> str:
        """Append an instruction and return its value."""
        self._n_names += 1
        self._append(f"%v{self._n_names} = {instruction}")
        return f"%v{self._n_names}"

    def at(self, base: str, n_bytes: int | str) -> str:
        """The address ``n_bytes`` after ``base``."""
        return base if n_bytes == 0 else self.emit(f"getelementptr i8, ptr {base}, i64 {n_bytes}")

    def load(self, kind: str, address: str, n_bytes: int = 0) -> str:
        """The value stored ``n_bytes`` after an address."""
        return self.emit(f"load {kind}, ptr {self.at(address, n_bytes)}, align {_alignment(kind)}")

    def store(self, kind: str, value: str, address: str, n_bytes: int = 0) -> None:
        """Store a value ``n_bytes`` after an address."""
        self._append(f"store {kind} {value}, ptr {self.at(address, n_bytes)}, align {_alignment(kind)}")

    def broadcast(self, kind: str, value: str) -> str:
        """A vector with the same number in every lane."""
        vector = f"<{self.width} x {kind}>"
        first = self.emit(f"insertelement {vector} poison, {kind} {value}, i64 0")
        return self.emit(f"shufflevector {vector} {first}, {vector} poison, {self.ints} zeroinitializer")

    def constant(self, value: float) -> str:
        """A constant vector with the same number in every lane: int32 if ``value`` is an int, else float32."""
        if isinstance(value, int):
            return f"<{', '.join([f'i32 {value}'] * self.width)}>"
        rounded = struct.unpack("<f", struct.pack("<f", value))[0]
        bits = struct.unpack("<Q", struct.pack("<d", rounded))[0]  # as LLVM writes a float32
        return f"<{', '.join([f'float 0x{bits:016X}'] * self.width)}>"

    def cast(self, value: str, kind: str, to: str) -> str:
        """The same bits as another type."""
        return self.emit(f"bitcast {kind} {value} to {to}")

    def float_op(self, operation: str, a: str, b: str) -> str:
        """``fadd``, ``fsub``, ``fmul`` or ``fdiv`` of two vectors."""
        return self.emit(f"{operation} {self.floats} {a}, {b}")

    def int_op(self, operation: str, a: str, b: str | int) -> str:
        """An operation on two vectors of integers or bits."""
        return self.emit(f"{operation} {self.ints} {a}, {self.constant(b) if isinstance(b, int) else b}")

    def index_op(self, operation: str, a: str, b: str | int) -> str:
        """An operation on two scalar integers, such as byte offsets or loop counters."""
        return self.emit(f"{operation} i64 {a}, {b}")

    def fma(self, a: str, b: str, total: str) -> str:
        """``a * b + total``, rounded once."""
        kind = self.floats
        return self.call(kind, f"llvm.fma.v{self.width}f32", (kind, a), (kind, b), (kind, total))

    def dot_pairs(self, a: str, b: str, total: str) -> str:
        """``total`` plus, in each of 16 lanes, two bfloat16 products; only for processors with AVX512-BF16."""
        name = "llvm.x86.avx512bf16.dpbf16ps.512"
        return self.call(self.floats, name, (self.floats, total), (self.pairs, a), (self.pairs, b))

    def maximum(self, a: str, b: str) -> str:
        """The elementwise maximum of two vectors."""
        return self.call(self.floats, f"llvm.maxnum.v{self.width}f32", (self.floats, a), (self.floats, b))

    def reduce_sum(self, x: str) -> str:
        """The sum of a vector's numbers, added in whatever order is fastest."""
        first, name = ("float", "-0.0"), f"llvm.vector.reduce.fadd.v{self.width}f32"
        return self.call("float", name, first, (self.floats, x), flag="reassoc")

    def bfloat16_to_float32(self, x: str) -> str:
        """A bfloat16 vector as float32: a bfloat16 is the upper half of a float32."""
        wide = self.emit(f"zext {self.bfloats} {x} to {self.ints}")
        return self.cast(self.int_op("shl", wide, 16), self.ints, self.floats)

    def prefetch(self, address: str, n_bytes: int) -> None:
        """Prefetch the data ``n_bytes`` after an address; an invalid address does no harm."""
        how = [("i32", "0"), ("i32", "3"), ("i32", "1")]  # for reading, high locality, data
        self.call("void", "llvm.prefetch.p0", ("ptr", self.at(address, n_bytes)), *how)

    def float32_to_bfloat16(self, x: str) -> str:
        """A float32 vector as bfloat16, ties rounded to even."""
        bits = self.cast(x, self.floats, self.ints)
        odd = self.int_op("and", self.int_op("lshr", bits, 16), 1)
        upper = self.int_op("lshr", self.int_op("add", self.int_op("add", bits, odd), (1 << 15) - 1), 16)
        return self.emit(f"trunc {self.ints} {upper} to {self.bfloats}")

    def power_of_two(self, x: str, degree: int) -> str:
        """``2 ** x``, at least 2 ** -126: an exact power for the nearest integer, a polynomial for the remainder."""
        x = self.maximum(x, self.constant(LEAST_EXPONENT))
        moved = self.float_op("fadd", x, self.constant(MAGIC))
        left = self.float_op("fsub", x, self.float_op("fsub", moved, self.constant(MAGIC)))  # -0.5 to 0.5
        factors = [math.log(2) ** power / math.factorial(power) for power in range(degree + 1)]
        value = self.constant(factors.pop())
        while factors:
            value = self.fma(value, left, self.constant(factors.pop()))
        exponent = self.int_op("shl", self.cast(moved, self.floats, self.ints), 23)
        return self.cast(self.int_op("add", self.cast(value, self.floats, self.ints), exponent), self.ints, self.floats)

    def loop(
        self, stop: int | str, carried: Carried, body: Callable[[str, list[str]], list[str]], first: str = "0"
    ) -> list[str]:
        """Loop from ``first`` to ``stop`` (exclusive), at least once; return the last iteration's carried values.

        ``body`` takes the iteration's number and the carried values, and returns the values to carry on.
        """
        self._n_names += 1
        n = self._n_names
        self._label(f"before{n}")
        self._label(f"turn{n}")
        here, values = len(self._lines), [f"%c{n}.{i}" for i in range(len(carried))]
        new = body(f"%n{n}", values)
        self._label(f"next{n}")
        self._lines[here:here] = [
            f"  {value} = phi {kind} [{start}, %before{n}], [{after}, %next{n}]"
            for value, (kind, start), after in zip(
                [f"%n{n}", *values], [("i64", first), *carried], [f"%m{n}", *new], strict=True
            )
        ]
        self._append(f"%m{n} = add i64 %n{n}, 1")
        self._append(f"%is_last{n} = icmp eq i64 %m{n}, {stop}")
        self._append(f"br i1 %is_last{n}, label %after{n}, label %turn{n}")
        self._lines.append(f"after{n}:")
        return new

    def if_true(self, condition: str, write: Callable[[], None]) -> None:
        """Run the code that ``write`` appends only if an i1 is true."""
        self._n_names += 1
        n = self._n_names
        self._append(f"br i1 {condition}, label %then{n}, label %else{n}")
        self._lines.append(f"then{n}:")
        write()
        self._label(f"else{n}")

    def _append(self, line: str) -> None:
        self._lines.append(f"  {line}")

    def _label(self, name: str) -> None:
        self._append(f"br label %{name}")
        self._lines.append(f"{name}:")


class Compiled:
    """A compiled function; any thread may call it, and it runs without Python's global lock."""

    def __init__(self, source: str, n_pointers: int, n_numbers: int) -> None:
        """Compile the function ``kernel`` of a module; CannotCompileError if this machine cannot."""
        try:
            self._engine, address = _compiled(source)  # the engine keeps the code alive
        except FAULTS as err:
            raise CannotCompileError(str(err)) from err
        takes = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * n_pointers, *[ctypes.c_int64] * n_numbers)
        self._function = takes(address)

    def __call__(self, *values: int) -> None:
        """Call it with addresses and numbers."""
        self._function(*values)


def _compiled(source: str) -> tuple[Any, int]:
    """LLVM's engine with the module compiled for this processor, and the address of its function ``kernel``."""
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
    return engine, engine.get_function_address("kernel")


def features() -> set[str]:
    """This processor's features, by LLVM's names; CannotCompileError without llvmlite."""
    try:
        import llvmlite.binding as llvm

        return {name for name, has in llvm.get_host_cpu_features().items() if has}
    except FAULTS as err:
        raise CannotCompileError(str(err)) from err


def processor_name() -> str:
    """This processor's kind, by LLVM's name; CannotCompileError without llvmlite."""
    try:
        import llvmlite.binding as llvm

        return str(llvm.get_host_cpu_name())
    except FAULTS as err:
        raise CannotCompileError(str(err)) from err


def parallel_for(n_items: int, run: Callable[[int, int], None]) -> None:
    """Split the items into ranges and call ``run(first, last)``, last exclusive, on as many threads as torch uses here.

    An exception from any range is raised once all threads have finished, since they work on the caller's memory.
    """
    n_threads = min(torch.get_num_threads(), n_items)
    edges = [n_items * n // n_threads for n in range(n_threads + 1)]
    others = [_threads().submit(run, *part) for part in pairwise(edges[1:])]
    try:
        run(0, edges[1])
    finally:
        wait(others)
    for other in others:
        other.result()


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, os.cpu_count() or 1), "kernel")


def _alignment(kind: str) -> int:
    """The alignment in bytes: one number's size, since vectors need not be aligned to their own."""
    return {"float": 4, "i32": 4, "i16": 2, "i8": 1}[kind.rpartition(" ")[2].rstrip(">")]
