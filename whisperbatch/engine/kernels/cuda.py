"""Whether this machine runs parts of a model on CUDA in kernels of our own, and those.

Comes in: a device and the model's numbers. Goes out: kernels that were tried and found right, or None. Triton comes
with torch's CUDA builds for Linux, compiles for the card at hand when a kernel is first used, and keeps that for later
starts; where it is missing, can't compile (it needs a C compiler), or gives another result than torch, torch's own
products do the work.
"""

import functools
from subprocess import SubprocessError
from typing import Protocol

import torch
from torch import Tensor

LEAST_HEAD = 16  # and a power of two: what Triton multiplies
LIMITS = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 4e-2}  # of values that are about 1
BYTES_LIMIT = 0.03  # likewise, in 8 bits
# no compiler, no leave to run it, another Triton
FAULTS = (OSError, RuntimeError, TypeError, ValueError, AttributeError, SubprocessError)
Scales = tuple[Tensor, Tensor]  # of keys and of values that are held in bytes


class CudaKernels(Protocol):
    """Kernels; see ``triton_kernels.Kernels``, which they are, for what they take."""

    def heard(self, q: Tensor, k: Tensor, v: Tensor, slots: Tensor | None, scales: Scales | None = None) -> Tensor:
        """What queries find in what is heard."""
        ...

    def said(self, qkv: Tensor, k: Tensor, v: Tensor, lineage: Tensor, positions: Tensor, n_group: int) -> Tensor:
        """Keep what rows say now, and what they find in what they have said."""
        ...

    def put(self, slots: Tensor, new_k: Tensor, new_v: Tensor, k: Tensor, v: Tensor) -> None:
        """Put keys and values into slots."""
        ...

    def put_bytes(self, slots: Tensor, new_k: Tensor, new_v: Tensor, k: Tensor, v: Tensor, scales: Scales) -> None:
        """The same in 8 bits."""
        ...

    def sum_and_norm(
        self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, epsilon: float, limit: float | None
    ) -> tuple[Tensor, Tensor]:
        """A sum of states, and that normed."""
        ...


@functools.cache
def find(device: torch.device, dtype: torch.dtype, d_head: int) -> CudaKernels | None:
    """The kernels for a device and heads of a size, if it has them and they are right."""
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
    """Whether kernels give what torch gives, on numbers like a model's."""
    generator = torch.Generator(device).manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device).to(dtype)

    def are_near(found: Tensor, q: Tensor, k: Tensor, v: Tensor) -> bool:
        exact = torch.nn.functional.scaled_dot_product_attention(q.double(), k.double(), v.double())
        return bool((found.double() - exact).abs().max() < LIMITS[dtype])  # nan is not

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
    if not are_near(kernels.heard(q, k, v, slots), q, new_k, new_v):
        return False
    few = q[:, :, :n_group]
    if not are_near(kernels.heard(few, k, v, None), few, k[:2], v[:2]):
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
    found = kernels.said(qkv, own_k, own_v, lineage, positions, n_group).view(q.shape)
    is_kept = all(
        torch.equal(held[:, :, position], now[:, :, 0]) for held, now in zip((own_k, own_v), new, strict=True)
    )
    return is_kept and bool((lineage[:, position] == rows % n_group).all()) and are_near(found, q, *whole)


@functools.cache
def find_for_bytes(device: torch.device, d_head: int) -> CudaKernels | None:
    """The kernels, if those for 8 bits are right too."""
    kernels = find(device, torch.float16, d_head)
    try:
        return kernels if kernels is not None and is_right_in_bytes(kernels, device, d_head) else None
    except RuntimeError:
        return None


@torch.inference_mode()
def is_right_in_bytes(kernels: CudaKernels, device: torch.device, d_head: int) -> bool:
    """Whether kernels find in bytes nearly what torch finds in the numbers that were put there."""
    generator = torch.Generator(device).manual_seed(0)
    shape, slots = (2, 150, 3, d_head), torch.tensor([2, 0], device=device)
    new_k, new_v, q = (torch.randn(shape, generator=generator, device=device).half().transpose(1, 2) for _ in "kvq")
    k, v = (torch.zeros(3, 3, 150, d_head, dtype=torch.uint8, device=device) for _ in "kv")
    scales = torch.zeros(3, 3, 1, d_head, device=device), torch.zeros(3, 3, 150, 1, device=device)
    kernels.put_bytes(slots, new_k, new_v, k, v, scales)
    q = q[:, :, :5]
    exact = torch.nn.functional.scaled_dot_product_attention(q.double(), new_k.double(), new_v.double())
    found = kernels.heard(q, k, v, slots, scales)
    return bool((found.double() - exact).abs().max() < BYTES_LIMIT)
