"""Ways to damage a recording, by a seed; and what a sentence for people may not hold."""

import re
from collections.abc import Sequence

import numpy as np

# what a program tells programmers
RAW = re.compile(
    r"Traceback|Errno|Error number|errno|\b[A-Za-z]*(Error|Exception)\b|0x[0-9a-f]|\\x|\bNone\b|[\r\n\t\x00]"
)
MAGIC = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF)
N_HEAD = 400  # bytes in which most that steers a decoder lies
MAX_BYTES = 1 << 21


def fault_in(sentence: str) -> str | None:
    """What in a sentence is not for people; None when it is fine."""
    found = RAW.search(sentence)
    if found:
        return f"{found[0]!r} in {sentence!r}"
    return None if 0 < len(sentence) < 300 else f"{len(sentence)} characters"


def _place(rng: np.random.Generator, n: int) -> int:
    """Somewhere, half of the time near the start or the end."""
    where, near = rng.integers(4), min(n, N_HEAD)
    if where < 2:
        return int(rng.integers(n))
    return int(rng.integers(near)) if where == 2 else n - 1 - int(rng.integers(near))


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    """One to thirty bits turned over."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 30))):
        out[_place(rng, len(out))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    """The beginning."""
    return data[: _place(rng, len(data)) + 1]


def behead(data: bytes, rng: np.random.Generator) -> bytes:
    """The end."""
    return data[_place(rng, len(data)) :]


def put_number(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four numbers that programs stumble over, put in the place of others."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        size = int(rng.choice([1, 2, 4, 4, 8]))
        at = _place(rng, len(out)) & ~(size - 1 if rng.integers(2) else 0)
        value = int(rng.choice(np.array(MAGIC, np.uint64))) & ((1 << 8 * size) - 1)
        out[at : at + size] = value.to_bytes(size, "big" if rng.integers(2) else "little")
    return bytes(out)


def put_noise(data: bytes, rng: np.random.Generator) -> bytes:
    """A stretch of noise in the place of what was there."""
    at, n = _place(rng, len(data)), int(rng.integers(1, 2000))
    return data[:at] + rng.bytes(n) + data[at + n :]


def cut_out(data: bytes, rng: np.random.Generator) -> bytes:
    """A stretch left out."""
    at = _place(rng, len(data))
    return data[:at] + data[at + int(rng.integers(1, 2000)) :]


def repeat(data: bytes, rng: np.random.Generator) -> bytes:
    """A stretch several times."""
    at, n = _place(rng, len(data)), int(rng.integers(1, 500))
    return data[:at] + data[at : at + n] * int(rng.integers(2, 40)) + data[at:]


def insert(data: bytes, rng: np.random.Generator) -> bytes:
    """Noise between."""
    at = _place(rng, len(data))
    return data[:at] + rng.bytes(int(rng.integers(1, 300))) + data[at:]


def zero(data: bytes, rng: np.random.Generator) -> bytes:
    """A stretch of zeros in the place of what was there."""
    at, n = _place(rng, len(data)), int(rng.integers(1, 4000))
    return (data[:at] + bytes(n) + data[at + n :])[: max(len(data), 1)]


WAYS = (flip, flip, truncate, behead, put_number, put_number, put_number, put_noise, cut_out, repeat, insert, zero)


def mutated(whole: Sequence[bytes], rng: np.random.Generator) -> tuple[int, bytes]:
    """Which of the recordings, and its bytes damaged in one to three ways, or joined to another's."""
    chosen = int(rng.integers(len(whole)))
    data = whole[chosen]
    if rng.integers(12) == 0:
        other = whole[int(rng.integers(len(whole)))]
        data = data[: _place(rng, len(data))] + other[_place(rng, len(other)) :]
    for _ in range(int(rng.integers(1, 4))):
        if data:
            data = WAYS[int(rng.integers(len(WAYS)))](data, rng)
    return chosen, data[:MAX_BYTES]
