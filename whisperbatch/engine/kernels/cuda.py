"""Find the CUDA kernels that this machine can run, after checking their results against torch.

Triton comes with torch's CUDA builds for Linux, compiles a kernel for the GPU when it is first used, and caches it for
later starts. Where it is missing, cannot compile (it needs a C compiler), or gives other results than torch, torch's
own operations are used.
"""

import functools
from subprocess import SubprocessError
from typing import Protocol

import torch
from torch import Tensor

LEAST_HEAD = 16  # the smallest head size that Triton multiplies; it must also be a power of two
LIMITS = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 4e-2}  # largest errors of values near 1
BYTES_LIMIT = 0.03  # the same with an 8-bit cache
# compiler missing or not allowed to run, incompatible Triton
FAULTS = (OSError, RuntimeError, TypeError, ValueError, AttributeError, SubprocessError)
Scales = tuple[Tensor, Tensor]  # of the keys and of the values of an 8-bit cache


class CudaKernels(Protocol):
    """The kernels that a model calls; ``triton_kernels.Kernels`` implements them and documents the arguments."""

    def cross_attention(
        self, q: Tensor, k: Tensor, v: Tensor, slots: Tensor | None, scales: Scales | None = None
    ) -> Tensor:
        """Cross-attention of queries on cached keys and values."""
        ...

    def self_attention(
        self, qkv: Tensor, k: Tensor, v: Tensor, lineage: Tensor, positions: Tensor, n_group: int
    ) -> Tensor:
        """Store the new keys and values, and return the self-attention output."""
        ...

    def put(self, slots: Tensor, new_k: Tensor, new_v: Tensor, k: Tensor, v: Tensor) -> None:
        """Store keys and values in slots."""
        ...

    def put_bytes(self, slots: Tensor, new_k: Tensor, new_v: Tensor, k: Tensor, v: Tensor, scales: Scales) -> None:
        """Store keys and values in slots, in 8 bits."""
        ...

    def sum_and_norm(
        self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, epsilon: float, limit: float | None
    ) -> tuple[Tensor, Tensor]:
        """The sum of two states, and its layer norm."""
        ...


@functools.cache
def find(device: torch.device, dtype: torch.dtype, d_head: int) -> CudaKernels | None:
    """The kernels for a device and head size; None if they are unavailable or give wrong results."""
    if device.type != "cuda" or d_head < LEAST_HEAD or d_head & (d_head - 1):
        return None
    try:
        from triton import TritonError

        from whisperbatch.engine.kernels.triton_kernels import Kernels
    except ImportError:
        return None
    try:
        kernels = Kernels()
        return kernels if is_right(kernels, device, dtype, d_head) else None
    except (*FAULTS, TritonError):
        return None


@torch.inference_mode()
def is_right(kernels: CudaKernels, device: torch.device, dtype: torch.dtype, d_head: int, n_heads: int = 3) -> bool:
    """True if the kernels give torch's results on numbers like a model's."""
    generator = torch.Generator(device).manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device).to(dtype)

    def are_near(found: Tensor, q: Tensor, k: Tensor, v: Tensor) -> bool:
        exact = torch.nn.functional.scaled_dot_product_attention(q.double(), k.double(), v.double())
        return bool((found.double() - exact).abs().max() < LIMITS[dtype])  # False for nan

    x, y, weight, bias = random(5, 320), random(5, 320), random(320), random(320)
    total, normed = kernels.sum_and_norm(x, y, weight, bias, 1e-5, 2.0)
    exact = (x + y).clamp(-2.0, 2.0)
    norm = torch.nn.functional.layer_norm(exact.double(), (320,), weight.double(), bias.double(), 1e-5)
    if not ((total - exact).abs().max() < LIMITS[dtype] and (normed.double() - norm).abs().max() < 4 * LIMITS[dtype]):
        return False
    n_slots, n_group, n_audio, n_context, position = 3, 2, 150, 448, 70
    slots = torch.tensor([2, 0], device=device)
    new_k, new_v = (random(2, n_audio, n_heads, d_head).transpose(1, 2) for _ in "kv")
    k, v = (torch.zeros(n_slots, n_heads, n_audio, d_head, dtype=dtype, device=device) for _ in "kv")
    kernels.put(slots, new_k, new_v, k, v)
    q = random(2, 20, n_heads, d_head).transpose(1, 2)
    if not are_near(kernels.cross_attention(q, k, v, slots), q, new_k, new_v):
        return False
    few = q[:, :, :n_group]
    if not are_near(kernels.cross_attention(few, k, v, None), few, k[:2], v[:2]):
        return False
    own_k, own_v = (random(2 * n_group, n_heads, n_context, d_head) for _ in "kv")
    lineage = torch.randint(n_group, (2 * n_group, n_context), generator=generator, device=device).to(torch.int16)
    qkv, positions = random(2 * n_group, 3 * n_heads * d_head), torch.full((2 * n_group,), position, device=device)
    rows = torch.arange(2 * n_group, device=device)
    origin = (rows // n_group * n_group)[:, None] + lineage[:, :position].long()
    q, *new = (part.view(2 * n_group, n_heads, 1, d_head) for part in qkv.chunk(3, dim=-1))
    at = torch.arange(position, device=device)
    past = (held[origin, :, at].transpose(1, 2) for held in (own_k, own_v))
    whole = [torch.cat([one, now], dim=2) for one, now in zip(past, new, strict=True)]
    found = kernels.self_attention(qkv, own_k, own_v, lineage, positions, n_group).view(q.shape)
    is_kept = all(
        torch.equal(held[:, :, position], now[:, :, 0]) for held, now in zip((own_k, own_v), new, strict=True)
    )
    return is_kept and bool((lineage[:, position] == rows % n_group).all()) and are_near(found, q, *whole)


@functools.cache
def find_for_bytes(device: torch.device, d_head: int) -> CudaKernels | None:
    """The kernels, if those for an 8-bit cache give the right results too; else None."""
    kernels = find(device, torch.float16, d_head)
    try:
        return kernels if kernels is not None and is_right_in_bytes(kernels, device, d_head) else None
    except RuntimeError:
        return None


@torch.inference_mode()
def is_right_in_bytes(kernels: CudaKernels, device: torch.device, d_head: int) -> bool:
    """True if attention on the 8-bit cache is close to torch's on the original numbers."""
    generator = torch.Generator(device).manual_seed(0)
    shape, slots = (2, 150, 3, d_head), torch.tensor([2, 0], device=device)
    new_k, new_v, q = (torch.randn(shape, generator=generator, device=device).half().transpose(1, 2) for _ in "kvq")
    k, v = (torch.zeros(3, 3, 150, d_head, dtype=torch.uint8, device=device) for _ in "kv")
    scales = torch.zeros(3, 3, 1, d_head, device=device), torch.zeros(3, 3, 150, 1, device=device)
    kernels.put_bytes(slots, new_k, new_v, k, v, scales)
    q = q[:, :, :5]
    exact = torch.nn.functional.scaled_dot_product_attention(q.double(), new_k.double(), new_v.double())
    found = kernels.cross_attention(q, k, v, slots, scales)
    return bool((found.double() - exact).abs().max() < BYTES_LIMIT)
