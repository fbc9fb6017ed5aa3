"""What the kernels of a CUDA device do, in torch and on any device: the rest of the engine is tested around them."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from whisperbatch.engine.kernels.cuda import Scales


class InTorch:
    """As ``triton_kernels.Kernels``."""

    def cross_attention(
        self, q: Tensor, k: Tensor, v: Tensor, slots: Tensor | None, scales: Scales | None = None
    ) -> Tensor:
        at = slice(len(q)) if slots is None else slots
        k, v = k[at], v[at]
        if scales is not None:
            k, v = (((held.float() - 128) * scale[at]).to(q.dtype) for held, scale in zip((k, v), scales, strict=True))
        return F.scaled_dot_product_attention(q, k, v)

    def self_attention(
        self, qkv: Tensor, k: Tensor, v: Tensor, lineage: Tensor, positions: Tensor, n_group: int
    ) -> Tensor:
        n_rows, (_, n_heads, n_context, d_head) = len(qkv), k.shape
        rows, at = torch.arange(n_rows, device=k.device), torch.arange(n_context, device=k.device)
        q, new_k, new_v = (part.view(n_rows, n_heads, d_head) for part in qkv.chunk(3, dim=-1))
        k[rows, :, positions], v[rows, :, positions] = new_k, new_v
        lineage[rows, positions] = (rows % n_group).to(torch.int16)
        seen = at <= positions[:, None]
        origin = torch.where(seen, (rows // n_group * n_group)[:, None] + lineage[:n_rows].long(), 0)
        past = [held[origin, :, at].transpose(1, 2) for held in (k, v)]  # (n_rows, n_heads, n_context, d_head)
        past = [held.masked_fill(~seen[:, None, :, None], 0.0) for held in past]
        return F.scaled_dot_product_attention(q[:, :, None], *past, attn_mask=seen[:, None, None]).reshape(n_rows, -1)

    def put(self, slots: Tensor, new_k: Tensor, new_v: Tensor, k: Tensor, v: Tensor) -> None:
        k[slots], v[slots] = new_k, new_v

    def put_bytes(self, slots: Tensor, new_k: Tensor, new_v: Tensor, k: Tensor, v: Tensor, scales: Scales) -> None:
        for held, scale, new, axis in zip((k, v), scales, (new_k, new_v), (2, 3), strict=True):
            scale[slots] = new.float().abs().amax(dim=axis, keepdim=True).clamp(min=1e-30) / 127.0
            held[slots] = ((new.float() / scale[slots]).round() + 128).to(torch.uint8)

    def sum_and_norm(
        self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, epsilon: float, limit: float | None
    ) -> tuple[Tensor, Tensor]:
        total = x + y if limit is None else (x + y).clamp(-limit, limit)
        return total, F.layer_norm(total, weight.shape, weight, bias, epsilon)
