"""Self-attention caches of the decoder: keys and values of each row's tokens, one row per beam or candidate.

Takes queries, keys and values of prefills and steps, returns the attention output on each row's past.

Axes as in ``engine``: caches are (n_rows, n_heads, n_context, d_head), n_rows = n_slots * n_group; d_model = n_heads *
d_head.
"""

import torch
from torch import Tensor

from whisperbatch.engine.kernels.cpu_self_attention import BeamAttention
from whisperbatch.engine.kernels.cuda import CudaKernels
from whisperbatch.engine.model.cross_attention_cache import attend
from whisperbatch.engine.placement import zeros


class SelfAttentionCache:
    """The caches of all layers; owned by a decode batch.

    Attributes:
        cost_grows_with_reach: True if a step takes longer with a larger ``reach``.
    """

    cost_grows_with_reach = True

    def __init__(
        self, n_layers: int, shape: tuple[int, int, int, int], device: torch.device, dtype: torch.dtype
    ) -> None:
        """Hold zeros of ``shape`` (n_rows, n_heads, n_context, d_head) for each layer."""
        self.k, self.v = ([zeros(shape, dtype, device, huge=False) for _ in range(n_layers)] for _ in "kv")
        self._device, self._dtype = device, dtype
        self._positions = self._rows = self._masked = torch.empty(0)
        self._reach = 0

    def put(self, layer: int, rows: Tensor, k: Tensor, v: Tensor) -> None:
        """Store a prefill's keys and values, (n, n_heads, n_tokens, d_head), at the start of rows, int64 (n,)."""
        n_tokens = k.shape[2]
        self.k[layer][rows, :, :n_tokens] = k
        self.v[layer][rows, :, :n_tokens] = v
        if self._dtype == torch.float16:  # the row's last window may have left infinite values; 0 times those is nan
            self.v[layer][rows, :, n_tokens:] = 0.0

    def set_positions(self, positions: Tensor, reach: int) -> None:
        """Set the positions, int64 (n,), all below ``reach``, at which the first rows decode their next token."""
        self._positions, self._reach = positions, reach
        self._rows = torch.arange(len(positions), device=self._device)
        self._masked = torch.arange(reach, device=self._device) > positions[:, None]  # (n, reach)

    def attend(self, layer: int, qkv: Tensor) -> Tensor:
        """Store the new keys and values of ``qkv`` (n, 3 * d_model); return the attention output, (n, d_model)."""
        n, n_heads = len(qkv), self.k[layer].shape[1]
        q, k, v = (part.unflatten(-1, (n_heads, -1)) for part in qkv.chunk(3, dim=-1))  # (n, n_heads, d_head)
        held_k, held_v = self.k[layer], self.v[layer]
        held_k[self._rows, :, self._positions], held_v[self._rows, :, self._positions] = k, v
        found = attend(q[:, :, None], held_k[:n, :, : self._reach], held_v[:n, :, : self._reach], self._masked)
        return found.reshape(n, -1)

    def reorder(self, origin: Tensor, target: Tensor, reach: int) -> None:
        """Replace the past of rows ``target`` by that of rows ``origin``, both int64 (n,), up to ``reach``."""
        moved = origin != target
        origin, target = origin[moved], target[moved]
        if len(target):
            for cache in (*self.k, *self.v):
                cache[target, :, :reach] = cache[origin, :, :reach]

    def move(self, source: slice, target: slice) -> None:
        """Move a window's rows."""
        for cache in (*self.k, *self.v):
            cache[target] = cache[source]

    def close(self) -> None:
        """Free the memory."""
        self.k.clear()
        self.v.clear()


class BeamSelfAttentionCache(SelfAttentionCache):
    """Caches in which a beam that continues another copies nothing: ``lineage`` records which rows hold its past.

    A window's beams swap places at almost every step; with five of them on large-v3, copying took a third of the step
    (H200, 48 windows).
    """

    cost_grows_with_reach = False

    def __init__(
        self,
        n_layers: int,
        shape: tuple[int, int, int, int],
        device: torch.device,
        dtype: torch.dtype,
        n_group: int,
        kernels: CudaKernels | BeamAttention,
    ) -> None:
        """Hold zeros for rows in groups of ``n_group``."""
        super().__init__(n_layers, shape, device, dtype)
        self._n_group, self._kernels = n_group, kernels
        self.lineage = torch.zeros(shape[0], shape[2], device=device, dtype=torch.int16)  # (n_rows, n_context)

    def put(self, layer: int, rows: Tensor, k: Tensor, v: Tensor) -> None:
        """Store a prefill's keys and values, (n, n_heads, n_tokens, d_head), at the start of rows, int64 (n,)."""
        n_tokens = k.shape[2]
        self.k[layer][rows, :, :n_tokens] = k
        self.v[layer][rows, :, :n_tokens] = v
        if layer == 0:
            self.lineage[rows, :n_tokens] = (rows % self._n_group).to(torch.int16)[:, None]

    def set_positions(self, positions: Tensor, reach: int) -> None:
        """Set the positions, int64 (n,), at which the first rows decode their next token."""
        self._positions = positions

    def attend(self, layer: int, qkv: Tensor) -> Tensor:
        """Store the new keys and values of ``qkv`` (n, 3 * d_model); return the attention output, (n, d_model)."""
        k, v = self.k[layer], self.v[layer]
        return self._kernels.self_attention(qkv, k, v, self.lineage, self._positions, self._n_group)

    def reorder(self, origin: Tensor, target: Tensor, reach: int) -> None:
        """Replace the past of rows ``target`` by that of rows ``origin`` of their own groups, both int64 (n,)."""
        self.lineage[target] = self.lineage[origin]

    def move(self, source: slice, target: slice) -> None:
        """Move a window's rows."""
        super().move(source, target)
        self.lineage[target] = self.lineage[source]

    def close(self) -> None:
        """Free the memory."""
        super().close()
        self.lineage = self.lineage[:0]
