"""Linear maps in 8 bits on a CPU: int8 weights with a scale per output, unsigned 8-bit states with a scale per row.

Scales per row and output are Dettmers et al. 2022 (LLM.int8(), vector-wise quantization), as in CTranslate2's int8.
torch's own dynamic quantization has one scale per batch, which would make a text depend on its neighbours. Integer sums
are exact, so here a row's result is the same whatever else is in the batch.

The products are oneDNN's, and need a processor that multiplies bytes without saturating intermediate sums (AVX512-VNNI,
AVX-VNNI or AMX). States are unsigned because without AMX there is no fast product of two signed bytes. Measured on two
cores of a Xeon limited to AVX512-VNNI, 12,000 rows, 768 to 3,072 with GELU and back: 81 and 83 ms, in float32 163 and
149.
"""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from torch import Tensor

from whisperbatch.engine.placement import has_byte_products

TOP = 127.0  # the largest int8; -127 is the smallest used
ZERO = 128  # the byte that represents 0
LEAST = 1e-30  # the smallest divisor: 127 times its inverse is finite
N_BLOCK = 256  # rows per block and thread, so that a block stays in the processor's cache
FAULTS = (AttributeError, RuntimeError, TypeError)  # torch built without oneDNN, or with other names for it


def linear_map(weight: Tensor, bias: Tensor | None = None, *, is_gelu: bool = False) -> Callable[[Tensor], Tensor]:
    """The function ``x @ weight.T + bias`` of x, (..., d_in) to (..., d_out).

    Args:
        weight: (d_out, d_in).
        bias: (d_out,).
        is_gelu: True to apply GELU to the result.
    """
    d_out = len(weight)
    scales = weight.abs().amax(dim=1).clamp_(min=LEAST) / TOP
    packed = _pack((weight / scales[:, None]).round_().to(torch.int8))
    zeros, shift = torch.zeros(d_out, dtype=torch.int32), torch.zeros(d_out) if bias is None else bias

    def of_rows(rows: Tensor, out: Tensor | None = None) -> Tensor:
        most = torch.maximum(rows.amax(dim=1, keepdim=True), -rows.amin(dim=1, keepdim=True)).clamp_(min=LEAST)
        states = (rows * (TOP / most)).add_(ZERO + 0.5).to(torch.uint8)  # adding a half and truncating rounds
        made = _multiply(states, packed, scales, zeros)
        made = torch.addcmul(shift, made, most / TOP, out=made if is_gelu or out is None else out)
        return F.gelu(made) if is_gelu else made

    def of_states(x: Tensor) -> Tensor:
        rows, shape, n_block = x.reshape(-1, x.shape[-1]), (*x.shape[:-1], d_out), N_BLOCK * torch.get_num_threads()
        if len(rows) <= n_block:
            return of_rows(rows).view(shape)
        out = x.new_empty(len(rows), d_out)
        for some, into in zip(rows.split(n_block), out.split(n_block), strict=True):
            if (made := of_rows(some, into)) is not into:
                into.copy_(made)
        return out.view(shape)

    return of_states


def is_faster(weight: Tensor) -> bool:
    """True if 8-bit products are possible and faster than the weight's own type; bfloat16's are faster still."""
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and is_possible()


@functools.cache
@torch.inference_mode()
def is_possible() -> bool:
    """True if this machine has 8-bit products that give the right result where others would saturate."""
    if not has_byte_products():
        return False
    weight = torch.full((64, 256), 127, dtype=torch.int8)
    weight[1::2] = -127
    try:
        made = _multiply(
            torch.full((16, 256), 255, dtype=torch.uint8),
            _pack(weight),
            torch.ones(64),
            torch.zeros(64, dtype=torch.int32),
        )
    except FAULTS:
        return False
    return torch.equal(made, (TOP * weight.float().sum(dim=1)).expand(16, -1))


def _pack(weight: Tensor) -> Tensor:
    """Weights, int8 (d_out, d_in), in the memory order that the processor reads fastest."""
    packed: Tensor = torch.ops.onednn.qlinear_prepack(weight, [N_BLOCK, weight.shape[1]])
    return packed


def _multiply(rows: Tensor, packed: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    """The product, float32 (n_rows, d_out), of rows, uint8 (n_rows, d_in), minus ``ZERO``, and scaled weights."""
    made: Tensor = torch.ops.onednn.qlinear_pointwise(
        rows, 1.0, ZERO, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return made
