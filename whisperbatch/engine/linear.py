"""Linear maps and norms out of a model's tensors, their weights in the order in which the processor reads them best.

Comes in: tensors and a name. Goes out: a function of states. Who calls: ``engine/encoder`` and ``engine/decoder``. In
bfloat16 on a CPU, oneDNN would put the weights in order anew at every call; here that is done once, and GELU is part of
the product (measured with 16 rows of 384 on one core of a Xeon with AMX: 2.1 ms against 3.9 for the vocabulary, 0.019
against 0.035 for a square map). float32 is left to torch's own products.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from torch import Tensor

from whisperbatch.engine.fused import Fused

Map = Callable[[Tensor], Tensor]
N_ROWS = 16  # the order is chosen for about so many
EPSILON = 1e-5
ALIGNMENT = 8  # rows of a CUDA product's weights: else an older kernel takes it, at half the speed (H200, vocabulary)


def linear(tensors: Mapping[str, Tensor], name: str, *, is_gelu: bool = False) -> Map:
    """The map of ``name``, (..., d_in) to (..., d_out), GELU after it where that is asked for."""
    return mapping(tensors[f"{name}.weight"], tensors.get(f"{name}.bias"), is_gelu=is_gelu)


def joined(tensors: Mapping[str, Tensor], name: str) -> Map:
    """Queries, keys and values of an attention as one map, (..., d_model) to (..., 3 * d_model)."""
    q, v = (tensors[f"{name}.{part}_proj.bias"] for part in "qv")
    weight = torch.cat([tensors[f"{name}.{part}_proj.weight"] for part in "qkv"])
    return mapping(weight, torch.cat([q, torch.zeros_like(q), v]))


class Norm:
    """A layer norm; where the device has a kernel for it, the sum before it is part of it."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str, fused: Fused | None) -> None:
        """The norm of ``name``."""
        self._weight, self._bias, self._fused = tensors[f"{name}.weight"], tensors[f"{name}.bias"], fused

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` normed over its last axis."""
        return F.layer_norm(x, self._weight.shape, self._weight, self._bias, EPSILON)

    def of_sum(self, x: Tensor, y: Tensor, limit: float | None = None) -> tuple[Tensor, Tensor]:
        """``x + y``, kept between ``-limit`` and ``limit`` if there is one, and that normed."""
        if self._fused is not None:
            return self._fused.sum_and_norm(x, y, self._weight, self._bias, EPSILON, limit)
        total = x + y if limit is None else (x + y).clamp(-limit, limit)
        return total, self(total)


def mapping(weight: Tensor, bias: Tensor | None = None, *, is_gelu: bool = False) -> Map:
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
