"""Cross-attention caches of the decoder: keys and values of encoded windows, one per window, shared by its group.

Each step reads the whole cache, and on a CPU the speed of that read limits the step. In 8 bits the cache is half the
size of bfloat16 and a quarter of float32 (int8, with a scale per channel of a window's keys and per position of its
values, as in Liu et al. 2024, KIVI; one core, 32 windows of the tiny shape, one layer with one query: 12.3 ms in
float32, 6.0 in bfloat16, 3.7 in int8).
Axes as in ``engine``: k and v are (n_slots, n_heads, n_audio, d_head).
"""

import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from torch import Tensor

from whisperbatch.engine.kernels.cpu_cross_attention import WIDTH, Kernels, find
from whisperbatch.engine.kernels.cuda import CudaKernels, Scales, find_for_bytes
from whisperbatch.engine.placement import zeros
from whisperbatch.errors import UsageError

TOP = 127.0  # the largest int8; -127 is the smallest used
LEAST = torch.finfo(torch.float32).tiny  # the smallest divisor


class CrossAttentionCache:
    """Keys and values of one layer, in the model's own type; owned by a decode batch."""

    def __init__(
        self, shape: tuple[int, int, int, int], n_group: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Hold zeros of ``shape`` (n_slots, n_heads, n_audio, d_head) for groups of ``n_group`` queries."""
        self.tensors = [zeros(shape, dtype, device) for _ in "kv"]
        is_compiled = device.type == "cpu" and dtype == torch.bfloat16
        self._kernels = find(dtype, shape[3], n_group) if is_compiled else None

    def put(self, slots: Tensor, k: Tensor, v: Tensor) -> None:
        """Store keys and values of some windows in their slots, int64 (n_windows,)."""
        for held, new in zip(self.tensors, (k, v), strict=True):
            _put(held, slots, new)

    def read(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values of some slots."""
        k, v = (_read(held, slots) for held in self.tensors)
        return k, v

    def attend_slots(self, q: Tensor, slots: Tensor) -> Tensor:
        """Attention of queries (n, n_heads, n_tokens, d_head) on slots, int64 (n,), in the queries' shape and type."""
        return F.scaled_dot_product_attention(q, *self.read(slots))

    def attend(self, q: Tensor) -> Tensor:
        """Attention of queries (n, n_heads, n_group, d_head) on the first n slots, in the queries' shape and type."""
        k, v = (held[: len(q)] for held in self.tensors)
        if self._kernels is None:
            return attend(q, k, v)
        return _compiled(self._kernels, q.float() * q.shape[-1] ** -0.5, k, v).to(q.dtype)

    def move(self, source: int, target: int) -> None:
        """Move a window to another slot."""
        for held in self.tensors:
            held[target] = held[source]

    def close(self) -> None:
        """Free the memory."""
        self.tensors.clear()


class Int8CrossAttentionCache(CrossAttentionCache):
    """Keys and values of one layer in int8, each with its scales; on a CPU only."""

    def __init__(self, shape: tuple[int, int, int, int], n_group: int, dtype: torch.dtype) -> None:
        """Hold zeros; ``dtype`` is the model's, and what ``read`` returns."""
        n_slots, n_heads, n_audio, d_head = shape
        self.tensors = [zeros(shape, torch.int8, torch.device("cpu")) for _ in "kv"]
        self.tensors += [torch.zeros(n_slots, n_heads, 1, d_head), torch.zeros(n_slots, n_heads, n_audio, 1)]
        self._dtype = dtype
        kernels = find(torch.int8, d_head, n_group)
        if kernels is None:
            raise UsageError(
                f"8-bit compute types need llvmlite and a head size divisible by {WIDTH}; try another --compute-type"
            )
        self._kernels: Kernels = kernels

    def put(self, slots: Tensor, k: Tensor, v: Tensor) -> None:
        """Store keys and values of some windows in their slots, int64 (n_windows,)."""
        for held, scales, new, across in zip(self.tensors[:2], self.tensors[2:], (k, v), (1, 2), strict=True):
            for slot, one in zip(slots.tolist(), new, strict=True):  # a single window fits in the processor's cache
                numbers = one.float()
                scale = numbers.abs().amax(dim=across, keepdim=True).clamp_(min=LEAST) / TOP
                held[slot], scales[slot] = numbers.div(scale).round_(), scale

    def read(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values of some slots, in the model's type."""
        k, v, k_scale, v_scale = (_read(held, slots) for held in self.tensors)
        return (k * k_scale).to(self._dtype), (v * v_scale).to(self._dtype)

    def attend(self, q: Tensor) -> Tensor:
        """Attention of queries (n, n_heads, n_group, d_head) on the first n slots, in the queries' shape and type."""
        k, v, k_scale, v_scale = (held[: len(q)] for held in self.tensors)
        scaled = q.float() * (k_scale * q.shape[-1] ** -0.5)
        return _compiled(self._kernels, scaled, k, v, v_scale.transpose(-1, -2)).to(q.dtype)


class CudaCrossAttentionCache(CrossAttentionCache):
    """Keys and values of one layer on CUDA, where a kernel reads them once for a whole group."""

    def __init__(
        self, shape: tuple[int, int, int, int], device: torch.device, dtype: torch.dtype, fused: CudaKernels
    ) -> None:
        """Hold zeros of ``shape`` (n_slots, n_heads, n_audio, d_head)."""
        super().__init__(shape, 1, device, dtype)
        self._fused = fused

    def put(self, slots: Tensor, k: Tensor, v: Tensor) -> None:
        """Store keys and values of some windows in their slots, int64 (n_windows,)."""
        self._fused.put(slots, k, v, *self.tensors)

    def attend_slots(self, q: Tensor, slots: Tensor) -> Tensor:
        """Attention of queries (n, n_heads, n_tokens, d_head) on slots, int64 (n,), in the queries' shape and type."""
        return self._fused.cross_attention(q, self.tensors[0], self.tensors[1], slots, self._scales)

    def attend(self, q: Tensor) -> Tensor:
        """Attention of queries (n, n_heads, n_group, d_head) on the first n slots, in the queries' shape and type."""
        return self._fused.cross_attention(q, self.tensors[0], self.tensors[1], None, self._scales)

    @property
    def _scales(self) -> Scales | None:
        return None


class CudaInt8CrossAttentionCache(CudaCrossAttentionCache):
    """The same in 8 bits, with scales as in ``Int8CrossAttentionCache``; bytes are stored with 128 added."""

    def __init__(self, shape: tuple[int, int, int, int], device: torch.device) -> None:
        """Hold zeros."""
        n_slots, n_heads, n_audio, d_head = shape
        fused = find_for_bytes(device, d_head)
        if fused is None:
            raise UsageError("8-bit compute types need Triton and a C compiler on CUDA; try --compute-type float16")
        self._fused = fused
        self.tensors = [torch.full(shape, 128, dtype=torch.uint8, device=device) for _ in "kv"]
        shapes = (n_slots, n_heads, 1, d_head), (n_slots, n_heads, n_audio, 1)
        self.tensors += [torch.zeros(one, device=device) for one in shapes]

    def put(self, slots: Tensor, k: Tensor, v: Tensor) -> None:
        """Store keys and values of some windows in their slots, int64 (n_windows,)."""
        self._fused.put_bytes(slots, k, v, self.tensors[0], self.tensors[1], self._scales)

    def read(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values of some slots, in float16."""
        k, v = (
            ((held[slots].float() - 128.0) * scale[slots]).half()
            for held, scale in zip(self.tensors[:2], self._scales, strict=True)
        )
        return k, v

    @property
    def _scales(self) -> Scales:
        return self.tensors[2], self.tensors[3]


def attend(q: Tensor, k: Tensor, v: Tensor, masked: Tensor | None = None) -> Tensor:
    """Attention of few queries, (n, n_heads, n_queries, d_head), on many keys; ``masked`` is (n, n_keys)."""
    q = q * q.shape[-1] ** -0.5
    # in bfloat16 a CPU copies transposed keys before it multiplies; with keys first it reads them as they are stored
    keys_first = q.device.type == "cpu" and q.dtype == torch.bfloat16
    scores = (k @ q.transpose(-1, -2)).transpose(-1, -2) if keys_first else q @ k.transpose(-1, -2)
    if masked is not None:
        scores = scores.masked_fill(masked[:, None, None], -torch.inf)
    return scores.softmax(dim=-1) @ v  # summed in float32 whatever the type


def _put(held: Tensor, slots: Tensor, new: Tensor) -> None:
    """Store windows in their slots; on a CPU one by one, which takes less than half the time."""
    if held.device.type != "cpu":
        held[slots] = new
        return
    for slot, one in zip(slots.tolist(), new, strict=True):
        held[slot] = one


def _read(held: Tensor, slots: Tensor) -> Tensor:
    """The windows of some slots; on a CPU a view if the slots are consecutive."""
    if held.device.type == "cpu":
        first, n = int(slots[0]), len(slots)
        if slots.tolist() == list(range(first, first + n)):
            return held[first : first + n]
    return held[slots]


def _compiled(kernels: Kernels, q: Tensor, k: Tensor, v: Tensor, v_scale: Tensor | None = None) -> Tensor:
    weights = kernels.scores(q.contiguous(), k).softmax(dim=-1)
    return kernels.sums(weights if v_scale is None else weights.mul_(v_scale), v)
