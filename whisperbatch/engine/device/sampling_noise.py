"""Sampling noise that depends only on the window, temperature, candidate and step, never on the batch.

Takes a key per row and the step, returns Gumbel noise: the largest of ``logits / temperature + noise`` is a sample of
the softmax (Gumbel 1954). The generator is counter-based (Salmon et al. 2011, "Parallel random numbers: as easy as 1,
2, 3"), mixed by MurmurHash3's finaliser (Appleby, public domain). It uses integers, equal on any device, so a window's
text depends neither on its batch nor on a restart.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor

_LOW = 0xFFFF_FFFF


def key(seed: int, samples: np.ndarray, start: int, temperature: float, candidate: int) -> int:
    """The key of a candidate: 32 bits of its seed, window (int16 samples and first frame), temperature and number."""
    digest = hashlib.blake2b(np.ascontiguousarray(samples).tobytes(), digest_size=4)
    digest.update(f"{seed} {start} {temperature:.6f} {candidate}".encode())
    return int.from_bytes(digest.digest(), "little")


def gumbel(keys: Tensor, steps: Tensor, n_vocab: int) -> Tensor:
    """Noise, float32 (n_rows, n_vocab), of keys and steps, int64 (n_rows,)."""
    rows = _mix(keys ^ _mix(steps + 1))
    bits = _mix((rows[:, None] + torch.arange(n_vocab, device=keys.device) * 0x9E37_79B9) & _LOW)
    uniform = (((bits >> 8).float() + 0.5) / 2**24).clamp_(max=1 - 2**-24)  # the largest of 2**24 rounds up to 1
    return -torch.log(-torch.log(uniform))


def _mix(x: Tensor) -> Tensor:
    x = x & _LOW
    x = ((x ^ (x >> 16)) * 0x85EB_CA6B) & _LOW
    x = ((x ^ (x >> 13)) * 0xC2B2_AE35) & _LOW
    return x ^ (x >> 16)
