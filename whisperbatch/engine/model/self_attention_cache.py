"""What a lane's rows have said: the keys and values of self-attention, a row for each beam or candidate.

Comes in: queries, keys and values of openings and of steps. Goes out: what queries find in their rows' past.

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
    """The caches of all layers; owned by a lane.

    Attributes:
        follows_reach: Whether a step takes longer the farther it is told to look.
    """

    follows_reach = True

    def __init__(
        self, n_layers: int, shape: tuple[int, int, int, int], device: torch.device, dtype: torch.dtype
    ) -> None:
        """Hold zeros of ``shape`` (n_rows, n_heads, n_context, d_head) for each layer."""
        self.k, self.v = ([zeros(shape, dtype, device, huge=False) for _ in range(n_layers)] for _ in "kv")
        self._device, self._dtype = device, dtype
        self._positions = self._rows = self._unseen = torch.empty(0)
        self._reach = 0

    def put(self, layer: int, rows: Tensor, k: Tensor, v: Tensor) -> None:
        """Keys and values of openings, (n, n_heads, n_tokens, d_head), into rows, int64 (n,), from their begin."""
        n_tokens = k.shape[2]
        self.k[layer][rows, :, :n_tokens] = k
        self.v[layer][rows, :, :n_tokens] = v
        if self._dtype == torch.float16:  # may have become infinite in the last window here, and 0 times that is nan
            self.v[layer][rows, :, n_tokens:] = 0.0

    def go_to(self, positions: Tensor, reach: int) -> None:
        """The first rows are about to say something at ``positions``, int64 (n,), all below ``reach``."""
        self._positions, self._reach = positions, reach
        self._rows = torch.arange(len(positions), device=self._device)
        self._unseen = torch.arange(reach, device=self._device) > positions[:, None]  # (n, reach)

    def attend(self, layer: int, qkv: Tensor) -> Tensor:
        """What rows find, (n, d_model), with queries, keys and values (n, 3 * d_model); these are kept."""
        n, heads = len(qkv), self.k[layer].shape[1]
        q, k, v = (part.unflatten(-1, (heads, -1)) for part in qkv.chunk(3, dim=-1))  # (n, n_heads, d_head)
        held_k, held_v = self.k[layer], self.v[layer]
        held_k[self._rows, :, self._positions], held_v[self._rows, :, self._positions] = k, v
        found = attend(q[:, :, None], held_k[:n, :, : self._reach], held_v[:n, :, : self._reach], self._unseen)
        return found.reshape(n, -1)

    def follow(self, origin: Tensor, target: Tensor, reach: int) -> None:
        """Rows ``target`` go on from the past of rows ``origin``, both int64 (n,), all of it below ``reach``."""
        moved = origin != target
        origin, target = origin[moved], target[moved]
        if len(target):
            for cache in (*self.k, *self.v):
                cache[target, :, :reach] = cache[origin, :, :reach]

    def move(self, source: slice, target: slice) -> None:
        """Give a window's rows another place."""
        for cache in (*self.k, *self.v):
            cache[target] = cache[source]

    def close(self) -> None:
        """Give the memory back."""
        self.k.clear()
        self.v.clear()


class BeamSelfAttentionCache(SelfAttentionCache):
    """Caches in which a beam that goes on from another copies nothing, but notes in whose row its past lies.

    A window's beams swap places at almost every step; with five of them on large-v3 the copies took a third of it
    (H200, 48 windows).
    """

    follows_reach = False

    def __init__(
        self,
        n_layers: int,
        shape: tuple[int, int, int, int],
        device: torch.device,
        dtype: torch.dtype,
        n_group: int,
        kernels: CudaKernels | BeamAttention,
    ) -> None:
        """Hold zeros; rows come in groups of ``n_group``."""
        super().__init__(n_layers, shape, device, dtype)
        self._n_group, self._kernels = n_group, kernels
        self.lineage = torch.zeros(shape[0], shape[2], device=device, dtype=torch.int16)  # (n_rows, n_context)

    def put(self, layer: int, rows: Tensor, k: Tensor, v: Tensor) -> None:
        """Keys and values of openings, (n, n_heads, n_tokens, d_head), into rows, int64 (n,), from their begin."""
        n_tokens = k.shape[2]
        self.k[layer][rows, :, :n_tokens] = k
        self.v[layer][rows, :, :n_tokens] = v
        if layer == 0:
            self.lineage[rows, :n_tokens] = (rows % self._n_group).to(torch.int16)[:, None]

    def go_to(self, positions: Tensor, reach: int) -> None:
        """The first rows are about to say something at ``positions``, int64 (n,)."""
        self._positions = positions

    def attend(self, layer: int, qkv: Tensor) -> Tensor:
        """What rows find, (n, d_model), with queries, keys and values (n, 3 * d_model); these are kept."""
        k, v = self.k[layer], self.v[layer]
        return self._kernels.self_attention(qkv, k, v, self.lineage, self._positions, self._n_group)

    def follow(self, origin: Tensor, target: Tensor, reach: int) -> None:
        """Rows ``target`` go on from the past of rows ``origin`` of their own groups, both int64 (n,)."""
        self.lineage[target] = self.lineage[origin]

    def move(self, source: slice, target: slice) -> None:
        """Give a window's rows another place."""
        super().move(source, target)
        self.lineage[target] = self.lineage[source]

    def close(self) -> None:
        """Give the memory back."""
        super().close()
        self.lineage = self.lineage[:0]
