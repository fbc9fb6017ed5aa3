"""CPU kernels written in LLVM IR, compiled for this machine when the engine starts, and run on threads.

llvmlite compiles them (librosa depends on it) in hundredths of a second. Vectors may be wider than the processor's:
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

import torch

FAULTS = (ImportError, AttributeError, TypeError, OSError, RuntimeError)  # no llvmlite, another, or no leave to compile
ATTRIBUTES = '#0 = { nounwind "prefer-vector-width"="512" "min-legal-vector-width"="512" }'
MAGIC = 1.5 * 2.0**23  # added to a float32 and taken away, it leaves the nearest whole number
LEAST_EXPONENT = -126.0  # of a float32 that is no denormal
Carried = Sequence[tuple[str, str]]  # LLVM's type and first value of what goes from one turn of a loop to the next


class Code:
    """A function's body as it grows; a value is the name that LLVM's language has for it."""

    def __init__(self, width: int) -> None:
        """Of vectors of ``width`` numbers of 32 bits."""
        self.width = width
        self.floats, self.ints, self.halves = (f"<{width} x {one}>" for one in ("float", "i32", "i16"))
        self.pairs = f"<{2 * width} x bfloat>"
        self._lines: list[str] = []
        self._declared: set[str] = set()
        self._n_names = 0

    def compiled(self, pointers: Sequence[str], numbers: Sequence[str]) -> "Compiled":
        """The function of such arguments; whatever is missing raises one of ``FAULTS``."""
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
        """What one of LLVM's own functions gives for arguments, each a type and a value."""
        self._declared.add(f"declare {kind} @{name}({', '.join(kind for kind, _ in arguments)})")
        line = f"call {flag} {kind} @{name}({', '.join(' '.join(one) for one in arguments)})"
        if kind != "void":
            return self.take(line)
        self._do(line)
        return ""

    def take(self, instruction: str) -> str:
        """An instruction's value."""
        self._n_names += 1
        self._do(f"%v{self._n_names} = {instruction}")
        return f"%v{self._n_names}"

    def at(self, base: str, n_bytes: int | str) -> str:
        """An address so many bytes after another."""
        return base if n_bytes == 0 else self.take(f"getelementptr i8, ptr {base}, i64 {n_bytes}")

    def load(self, kind: str, address: str, n_bytes: int = 0) -> str:
        """What lies so many bytes after an address."""
        return self.take(f"load {kind}, ptr {self.at(address, n_bytes)}, align {_alignment(kind)}")

    def store(self, kind: str, value: str, address: str, n_bytes: int = 0) -> None:
        """Put a value so many bytes after an address."""
        self._do(f"store {kind} {value}, ptr {self.at(address, n_bytes)}, align {_alignment(kind)}")

    def of_all(self, kind: str, value: str) -> str:
        """A vector that has one number everywhere."""
        vector = f"<{self.width} x {kind}>"
        first = self.take(f"insertelement {vector} poison, {kind} {value}, i64 0")
        return self.take(f"shufflevector {vector} {first}, {vector} poison, {self.ints} zeroinitializer")

    def constant(self, value: float) -> str:
        """A vector of one number everywhere, known beforehand: a float32, or a whole number where it is an int."""
        if isinstance(value, int):
            return f"<{', '.join([f'i32 {value}'] * self.width)}>"
        rounded = struct.unpack("<f", struct.pack("<f", value))[0]
        bits = struct.unpack("<Q", struct.pack("<d", rounded))[0]  # as LLVM writes a float32
        return f"<{', '.join([f'float 0x{bits:016X}'] * self.width)}>"

    def cast(self, value: str, kind: str, to: str) -> str:
        """The same bits as another type."""
        return self.take(f"bitcast {kind} {value} to {to}")

    def floating(self, operation: str, a: str, b: str) -> str:
        """``fadd``, ``fsub``, ``fmul`` or ``fdiv`` of two vectors."""
        return self.take(f"{operation} {self.floats} {a}, {b}")

    def whole(self, operation: str, a: str, b: str | int) -> str:
        """An operation on two vectors of whole numbers, or bits."""
        return self.take(f"{operation} {self.ints} {a}, {self.constant(b) if isinstance(b, int) else b}")

    def index(self, operation: str, a: str, b: str | int) -> str:
        """An operation on two whole numbers that count bytes or turns."""
        return self.take(f"{operation} i64 {a}, {b}")

    def sum_of_product(self, a: str, b: str, total: str) -> str:
        """``a * b + total``, rounded once."""
        kind = self.floats
        return self.call(kind, f"llvm.fma.v{self.width}f32", (kind, a), (kind, b), (kind, total))

    def sum_of_pairs(self, a: str, b: str, total: str) -> str:
        """``total`` and the products of two numbers of bfloat16 a place; 16 places, of a processor that has it."""
        name = "llvm.x86.avx512bf16.dpbf16ps.512"
        return self.call(self.floats, name, (self.floats, total), (self.pairs, a), (self.pairs, b))

    def larger(self, a: str, b: str) -> str:
        """The larger number of two vectors, each for itself."""
        return self.call(self.floats, f"llvm.maxnum.v{self.width}f32", (self.floats, a), (self.floats, b))

    def total(self, x: str) -> str:
        """A vector's numbers, added in whatever order is fastest."""
        first, name = ("float", "-0.0"), f"llvm.vector.reduce.fadd.v{self.width}f32"
        return self.call("float", name, first, (self.floats, x), flag="reassoc")

    def widened(self, x: str) -> str:
        """A vector of bfloat16 in float32, whose upper half it is."""
        wide = self.take(f"zext {self.halves} {x} to {self.ints}")
        return self.cast(self.whole("shl", wide, 16), self.ints, self.floats)

    def fetch(self, address: str, n_bytes: int) -> None:
        """Ask for what lies so many bytes later, to be read soon; an address of nothing is no fault."""
        how = [("i32", "0"), ("i32", "3"), ("i32", "1")]  # to read, to stay near, data
        self.call("void", "llvm.prefetch.p0", ("ptr", self.at(address, n_bytes)), *how)

    def rounded_halves(self, x: str) -> str:
        """A vector in bfloat16, a half to the even one."""
        bits = self.cast(x, self.floats, self.ints)
        odd = self.whole("and", self.whole("lshr", bits, 16), 1)
        upper = self.whole("lshr", self.whole("add", self.whole("add", bits, odd), (1 << 15) - 1), 16)
        return self.take(f"trunc {self.ints} {upper} to {self.halves}")

    def power_of_two(self, x: str, degree: int) -> str:
        """``2 ** x`` by a polynomial for what is left of the nearest whole number; at least 2 ** -126."""
        x = self.larger(x, self.constant(LEAST_EXPONENT))
        moved = self.floating("fadd", x, self.constant(MAGIC))
        left = self.floating("fsub", x, self.floating("fsub", moved, self.constant(MAGIC)))  # -0.5 to 0.5
        factors = [math.log(2) ** power / math.factorial(power) for power in range(degree + 1)]
        value = self.constant(factors.pop())
        while factors:
            value = self.sum_of_product(value, left, self.constant(factors.pop()))
        exponent = self.whole("shl", self.cast(moved, self.floats, self.ints), 23)
        return self.cast(self.whole("add", self.cast(value, self.floats, self.ints), exponent), self.ints, self.floats)

    def loop(
        self, n_turns: int | str, carried: Carried, turn: Callable[[str, list[str]], list[str]], first: str = "0"
    ) -> list[str]:
        """Turns from ``first`` to before ``n_turns``, one at least.

        ``turn`` takes the turn's number and what is carried, and gives what goes to the next; what the last one gave is
        given back.
        """
        self._n_names += 1
        n = self._n_names
        self._label(f"before{n}")
        self._label(f"turn{n}")
        here, values = len(self._lines), [f"%c{n}.{i}" for i in range(len(carried))]
        new = turn(f"%n{n}", values)
        self._label(f"next{n}")
        self._lines[here:here] = [
            f"  {value} = phi {kind} [{start}, %before{n}], [{after}, %next{n}]"
            for value, (kind, start), after in zip(
                [f"%n{n}", *values], [("i64", first), *carried], [f"%m{n}", *new], strict=True
            )
        ]
        self._do(f"%m{n} = add i64 %n{n}, 1")
        self._do(f"%is_last{n} = icmp eq i64 %m{n}, {n_turns}")
        self._do(f"br i1 %is_last{n}, label %after{n}, label %turn{n}")
        self._lines.append(f"after{n}:")
        return new

    def only_if(self, condition: str, write: Callable[[], None]) -> None:
        """What ``write`` writes, where an i1 is true."""
        self._n_names += 1
        n = self._n_names
        self._do(f"br i1 {condition}, label %then{n}, label %else{n}")
        self._lines.append(f"then{n}:")
        write()
        self._label(f"else{n}")

    def _do(self, line: str) -> None:
        self._lines.append(f"  {line}")

    def _label(self, name: str) -> None:
        self._do(f"br label %{name}")
        self._lines.append(f"{name}:")


class Compiled:
    """A function, compiled; any thread may call it, and Python's lock is let go of meanwhile."""

    def __init__(self, source: str, n_pointers: int, n_numbers: int) -> None:
        """Compile a module's ``kernel``."""
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
        )
        module = llvm.parse_assembly(source)
        module.verify()
        self._engine = llvm.create_mcjit_compiler(module, machine)  # which keeps the code alive
        self._engine.finalize_object()
        takes = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * n_pointers, *[ctypes.c_int64] * n_numbers)
        self._function = takes(self._engine.get_function_address("kernel"))

    def __call__(self, *values: int) -> None:
        """Call it with addresses and numbers."""
        self._function(*values)


def features() -> set[str]:
    """What LLVM knows this processor to have, in its words; one of ``FAULTS`` where there is no LLVM."""
    import llvmlite.binding as llvm

    return {name for name, has in llvm.get_host_cpu_features().items() if has}


def spread(n_items: int, run: Callable[[int, int], None]) -> None:
    """Call ``run`` with first and last item (exclusive) of parts, on as many threads as torch would take here.

    What ``run`` raises in any of them is raised, once all have ended: they work on the caller's memory.
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
    """Of what need not lie on a vector's own boundary: the size of one number."""
    return {"float": 4, "i32": 4, "i16": 2, "i8": 1}[kind.rpartition(" ")[2].rstrip(">")]
