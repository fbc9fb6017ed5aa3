"""Linear maps for few rows at a time, with their weights in the order in which the processor reads them best.

Comes in: weight and bias. Goes out: a callable. Who calls: ``engine/decoder``. In bfloat16 on a CPU, oneDNN would put
the weights in order anew at every call; here that is done once (measured with 16 rows of 384 on one core of a Xeon with
AMX: 2.1 ms against 3.9 for the vocabulary, 0.019 against 0.035 for a square map). float32 is left to torch's product.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from torch import Tensor

N_ROWS = 16  # the order is chosen for about so many


def linear(weight: Tensor, bias: Tensor | None = None) -> Callable[[Tensor], Tensor]:
    """``x @ weight.T + bias`` as a function of x, (n, d_in) to (n, d_out)."""
    if weight.device.type == "cpu" and weight.dtype == torch.bfloat16:
        try:
            packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), N_ROWS)
        except (AttributeError, RuntimeError):  # a torch without oneDNN, or one that names it otherwise
            pass
        else:
            return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return lambda x: F.linear(x, weight, bias)
