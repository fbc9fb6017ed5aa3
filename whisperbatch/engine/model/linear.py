"""Build linear maps and norms from a model's tensors, with weights in the memory order that is fastest to read.

In bfloat16 on a CPU, oneDNN would reorder the weights at every call; here that is done once, and GELU is part of the
product (measured with 16 rows of 384 on one core of a Xeon with AMX: 2.1 ms against 3.9 for the vocabulary, 0.019
against 0.035 for a square map). float32 uses torch's own products, or in 8 bits ``engine/model/quantized``.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from torch import Tensor

from whisperbatch.engine.kernels.cuda import CudaKernels
from whisperbatch.engine.model import quantized

Map = Callable[[Tensor], Tensor]
N_ROWS = 16  # the memory order is chosen for products of about this many rows
EPSILON = 1e-5
ALIGNMENT = 8  # output rows are padded to multiples: else CUDA uses an older kernel at half speed (H200, vocabulary)


class Maps:
    """Turns a model's tensors, given by name, into functions."""

    def __init__(
        self, tensors: Mapping[str, Tensor], fused: CudaKernels | None, *, in_eight_bits: bool = False
    ) -> None:
        """Take the tensors, CUDA kernels if there are any, and whether to multiply in 8 bits where that is faster."""
        self._tensors, self._fused, self._in_eight_bits = tensors, fused, in_eight_bits

    def linear(self, name: str, *, is_gelu: bool = False) -> Map:
        """The linear map called ``name``, (..., d_in) to (..., d_out), followed by GELU if ``is_gelu``."""
        return self._make(self._tensors[f"{name}.weight"], self._tensors.get(f"{name}.bias"), is_gelu=is_gelu)

    def qkv(self, name: str) -> Map:
        """Queries, keys and values of an attention as one map, (..., d_model) to (..., 3 * d_model)."""
        q, v = (self._tensors[f"{name}.{part}_proj.bias"] for part in "qv")
        weight = torch.cat([self._tensors[f"{name}.{part}_proj.weight"] for part in "qkv"])
        return self._make(weight, torch.cat([q, torch.zeros_like(q), v]))

    def from_weight(self, weight: Tensor) -> Map:
        """The linear map of a weight (d_out, d_in) without a bias."""
        return self._make(weight, None)

    def norm(self, name: str) -> "Norm":
        """The layer norm called ``name``."""
        return Norm(self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"], self._fused)

    def _make(self, weight: Tensor, bias: Tensor | None, *, is_gelu: bool = False) -> Map:
        is_quantized = self._in_eight_bits and quantized.is_faster(weight)
        return (quantized.linear_map if is_quantized else linear_map)(weight, bias, is_gelu=is_gelu)


class Norm:
    """A layer norm; with CUDA kernels, one launch does the preceding sum too."""

    def __init__(self, weight: Tensor, bias: Tensor, fused: CudaKernels | None) -> None:
        """Take the weight and bias, (d_model,)."""
        self._dtype, self._fused = weight.dtype, fused
        self._weight, self._bias = residual(weight), residual(bias)

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` normed over its last axis, in the model's type."""
        return F.layer_norm(x, self._weight.shape, self._weight, self._bias, EPSILON).to(self._dtype)

    def sum_and_norm(self, x: Tensor, y: Tensor, limit: float | None = None) -> tuple[Tensor, Tensor]:
        """``x + y``, clamped to ``[-limit, limit]`` if there is a limit, and its layer norm."""
        if self._fused is not None:
            return self._fused.sum_and_norm(x, y, self._weight, self._bias, EPSILON, limit)
        total = x + y if limit is None else (x + y).clamp(-limit, limit)
        return total, self(total)


def residual(x: Tensor) -> Tensor:
    """``x`` in the type that the sums over layers are kept in: float32 where a CPU computes in bfloat16.

    Else each layer's sum would be rounded to 8 bits, the largest part of all rounding.
    """
    return x.float() if x.device.type == "cpu" and x.dtype == torch.bfloat16 else x


def linear_map(weight: Tensor, bias: Tensor | None = None, *, is_gelu: bool = False) -> Map:
    """The function ``x @ weight.T + bias`` of x, followed by GELU if ``is_gelu``."""
    if weight.device.type == "cpu" and weight.dtype == torch.bfloat16:
        try:
            packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), N_ROWS)
        except (AttributeError, RuntimeError):  # torch built without oneDNN, or with other names for it
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
