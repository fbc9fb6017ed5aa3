"""Cross-attention caches of the decoder: keys and values of encoded windows, one per window, shared by its group.

Each step reads the whole cache, and on a CPU the speed of that read limits the step. In 8 bits the cache is half the
size of bfloat16 and a quarter of float32 (int8, with a scale per channel of a window's keys and per position of its
values, as in Liu et al. 2024, KIVI).
Axes as in ``engine``: k and v are (n_slots, n_heads, n_audio, d_head).
"""

import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from torch import Tensor

from whisperbatch.engine.kernels import cpu_cross_attention
from whisperbatch.engine.kernels.cpu_cross_attention import CrossAttention
from whisperbatch.engine.kernels.cuda import CudaKernels, Scales, find_for_bytes
from whisperbatch.engine.placement import zeros
from whisperbatch.errors import UsageError

CPU = torch.device("cpu")
TOP = 127.0  # the largest int8; -127 is the smallest used
LEAST = torch.finfo(torch.float32).tiny  # the smallest divisor
MOST_TOKENS = 16  # of a prefill that reads packed keys; for more it is faster to unpack them first


class CrossAttentionCache:
    """Keys and values of one layer, in the model's own type; owned by a decode batch."""

    def __init__(self, shape: tuple[int, int, int, int], device: torch.device, dtype: torch.dtype) -> None:
        """Hold zeros of ``shape`` (n_slots, n_heads, n_audio, d_head)."""
        self.tensors = [zeros(shape, dtype, device) for _ in "kv"]

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
        return attend(q, *(held[: len(q)] for held in self.tensors))

    def move(self, source: int, target: int) -> None:
        """Move a window to another slot."""
        for held in self.tensors:
            held[target] = held[source]

    def close(self) -> None:
        """Free the memory."""
        self.tensors.clear()


class PackedCrossAttentionCache(CrossAttentionCache):
    """Keys and values of one layer on a CPU, with keys packed for a compiled kernel."""

    def __init__(self, shape: tuple[int, int, int, int], dtype: torch.dtype, kernel: CrossAttention) -> None:
        """Hold zeros of ``shape`` (n_slots, n_heads, n_audio, d_head)."""
        self.tensors = [zeros((*shape[:2], *kernel.packed_shape), dtype, CPU), zeros(shape, dtype, CPU)]
        self._kernel = kernel

    def put(self, slots: Tensor, k: Tensor, v: Tensor) -> None:
        """Store keys and values of some windows in their slots, int64 (n_windows,)."""
        self._kernel.pack(k, self.tensors[0], slots.to(torch.int32))
        _put(self.tensors[1], slots, v)

    def read(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values of some slots."""
        return self._kernel.unpack(_read(self.tensors[0], slots)), _read(self.tensors[1], slots)

    def attend_slots(self, q: Tensor, slots: Tensor) -> Tensor:
        """Attention of queries (n, n_heads, n_tokens, d_head) on slots, int64 (n,), in the queries' shape and type."""
        return self._on(q, slots) if q.shape[2] <= MOST_TOKENS else super().attend_slots(q, slots)

    def attend(self, q: Tensor) -> Tensor:
        """Attention of queries (n, n_heads, n_group, d_head) on the first n slots, in the queries' shape and type."""
        return self._on(q, torch.arange(len(q)))

    def _on(self, q: Tensor, slots: Tensor) -> Tensor:
        return self._kernel(q, self.tensors[0], self.tensors[1], slots.to(torch.int32))


class Int8CrossAttentionCache(PackedCrossAttentionCache):
    """Keys and values of one layer in int8, each with its scales; on a CPU only."""

    def __init__(self, shape: tuple[int, int, int, int], n_group: int, dtype: torch.dtype) -> None:
        """Hold zeros for groups of ``n_group`` queries; ``dtype`` is the model's, and what ``read`` returns."""
        n_slots, n_heads, n_audio, d_head = shape
        kernel = cpu_cross_attention.find(torch.int8, n_heads, n_audio, d_head, n_group)
        if kernel is None:
            width = cpu_cross_attention.WIDTH
            raise UsageError(
                f"8-bit compute types need llvmlite and a head size divisible by {width}; try another --compute-type"
            )
        super().__init__(shape, torch.int8, kernel)
        self.tensors += [torch.zeros(n_slots, n_heads, 1, d_head), torch.zeros(n_slots, n_heads, n_audio, 1)]
        self._dtype = dtype

    def put(self, slots: Tensor, k: Tensor, v: Tensor) -> None:
        """Store keys and values of some windows in their slots, int64 (n_windows,)."""
        for slot, *new in zip(slots.tolist(), k, v, strict=True):  # a single window fits in the processor's cache
            made = []
            for scales, one, across in zip(self.tensors[2:], new, (1, 2), strict=True):
                numbers = one.float()
                scale = numbers.abs().amax(dim=across, keepdim=True).clamp_(min=LEAST) / TOP
                scales[slot] = scale
                made.append(numbers.div(scale).round_().to(torch.int8))
            super().put(torch.tensor([slot]), made[0][None], made[1][None])

    def read(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values of some slots, in the model's type."""
        numbers, scales = super().read(slots), (_read(held, slots) for held in self.tensors[2:])
        k, v = ((one * scale).to(self._dtype) for one, scale in zip(numbers, scales, strict=True))
        return k, v

    def _on(self, q: Tensor, slots: Tensor) -> Tensor:
        k, v, k_scale, v_scale = self.tensors
        scaled = q.float() * _read(k_scale, slots)
        return self._kernel(scaled, k, v, slots.to(torch.int32), v_scale).to(q.dtype)


class CudaCrossAttentionCache(CrossAttentionCache):
    """Keys and values of one layer on CUDA, where a kernel reads them once for a whole group."""

    def __init__(
        self, shape: tuple[int, int, int, int], device: torch.device, dtype: torch.dtype, fused: CudaKernels
    ) -> None:
        """Hold zeros of ``shape`` (n_slots, n_heads, n_audio, d_head)."""
        super().__init__(shape, device, dtype)
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
