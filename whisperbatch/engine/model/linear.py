"""Linear maps and norms out of a model's tensors, their weights in the order in which the processor reads them best.

Comes in: tensors and a name. Goes out: a function of states. In
bfloat16 on a CPU, oneDNN would put the weights in order anew at every call; here that is done once, and GELU is part of
the product (measured with 16 rows of 384 on one core of a Xeon with AMX: 2.1 ms against 3.9 for the vocabulary, 0.019
against 0.035 for a square map). float32 is left to torch's own products, or in 8 bits to ``engine/model/quantized``.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from torch import Tensor

from whisperbatch.engine.kernels.cuda import CudaKernels
from whisperbatch.engine.model import quantized

Map = Callable[[Tensor], Tensor]
N_ROWS = 16  # the order is chosen for about so many
EPSILON = 1e-5
ALIGNMENT = 8  # rows of a CUDA product's weights: else an older kernel takes it, at half the speed (H200, vocabulary)


class Maps:
    """A model's tensors as functions, by their names."""

    def __init__(
        self, tensors: Mapping[str, Tensor], fused: CudaKernels | None, *, in_eight_bits: bool = False
    ) -> None:
        """Take tensors, kernels of the device's own, and whether to multiply in 8 bits where that is faster."""
        self._tensors, self._fused, self._in_eight_bits = tensors, fused, in_eight_bits

    def linear(self, name: str, *, is_gelu: bool = False) -> Map:
        """The map of ``name``, (..., d_in) to (..., d_out), GELU after it where that is asked for."""
        return self._make(self._tensors[f"{name}.weight"], self._tensors.get(f"{name}.bias"), is_gelu=is_gelu)

    def qkv(self, name: str) -> Map:
        """Queries, keys and values of an attention as one map, (..., d_model) to (..., 3 * d_model)."""
        q, v = (self._tensors[f"{name}.{part}_proj.bias"] for part in "qv")
        weight = torch.cat([self._tensors[f"{name}.{part}_proj.weight"] for part in "qkv"])
        return self._make(weight, torch.cat([q, torch.zeros_like(q), v]))

    def from_weight(self, weight: Tensor) -> Map:
        """The map of a weight (d_out, d_in) without a bias."""
        return self._make(weight, None)

    def norm(self, name: str) -> "Norm":
        """The norm of ``name``."""
        return Norm(self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"], self._fused)

    def _make(self, weight: Tensor, bias: Tensor | None, *, is_gelu: bool = False) -> Map:
        is_quantized = self._in_eight_bits and quantized.is_faster(weight)
        return (quantized.linear_map if is_quantized else linear_map)(weight, bias, is_gelu=is_gelu)


class Norm:
    """A layer norm; where the device has a kernel for it, the sum before it is part of it."""

    def __init__(self, weight: Tensor, bias: Tensor, fused: CudaKernels | None) -> None:
        """Take its weight and bias, (d_model,)."""
        self._weight, self._bias, self._fused = weight, bias, fused

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` normed over its last axis."""
        return F.layer_norm(x, self._weight.shape, self._weight, self._bias, EPSILON)

    def sum_and_norm(self, x: Tensor, y: Tensor, limit: float | None = None) -> tuple[Tensor, Tensor]:
        """``x + y``, kept between ``-limit`` and ``limit`` if there is one, and that normed."""
        if self._fused is not None:
            return self._fused.sum_and_norm(x, y, self._weight, self._bias, EPSILON, limit)
        total = x + y if limit is None else (x + y).clamp(-limit, limit)
        return total, self(total)


def linear_map(weight: Tensor, bias: Tensor | None = None, *, is_gelu: bool = False) -> Map:
    """``x @ weight.T + bias`` as a function of x."""
    if weight.device.type == "cpu" and weight.dtype == torch.bfloat16:
        try:
            packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), N_ROWS)
        except (AttributeError, RuntimeError):  # a torch without oneDNN, or one that names it otherwise
            pass
        else:
            after = "gelu" if is_gelu else "none"
            return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, after, [], "none" if is_gelu else "")
    n_out = len(weight)
    if weight.device.type == "cuda" and n_out % ALIGNMENT and bias is None and not is_gelu:
        padded = F.pad(weight, (0, 0, 0, -n_out % ALIGNMENT))
        return lambda x: F.linear(x, padded)[..., :n_out]
    if is_gelu:
        return lambda x: F.gelu(F.linear(x, weight, bias))
    return lambda x: F.linear(x, weight, bias)
