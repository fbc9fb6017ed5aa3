"""Whisper's decoder on static KV caches: many rows per pass, each at its own position.

Takes tokens, positions and the caches of a decode batch, returns logits. The architecture is Radford et al. 2022
(openai/whisper, MIT); the weights are named as in transformers. Specific to this version: the cross-attention cache
holds each window once and its group shares it (``engine/model/cross_attention_cache``); the self-attention cache holds
each row's own tokens (``engine/model/self_attention_cache``).

Axes: n_slots windows, n_group rows per window (beams or candidates), n_rows = n_slots * n_group, n_heads, d_head,
n_audio 1500, n_context tokens that a row can hold.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from torch import Tensor

from whisperbatch.engine.kernels import cpu_cross_attention, cpu_self_attention
from whisperbatch.engine.kernels.cuda import find
from whisperbatch.engine.model.cross_attention_cache import (
    CrossAttentionCache,
    CudaCrossAttentionCache,
    CudaInt8CrossAttentionCache,
    Int8CrossAttentionCache,
    PackedCrossAttentionCache,
)
from whisperbatch.engine.model.linear import Maps, residual
from whisperbatch.engine.model.self_attention_cache import BeamSelfAttentionCache, SelfAttentionCache

MIN_ROWS = 8  # matrix products of fewer rows take another code path, which rounds differently


class _Layer:
    """One layer's linear maps and norms."""

    def __init__(self, maps: Maps, name: str) -> None:
        self.self_norm = maps.norm(f"{name}.self_attn_layer_norm")
        self.self_qkv = maps.qkv(f"{name}.self_attn")
        self.self_out = maps.linear(f"{name}.self_attn.out_proj")
        self.cross_norm = maps.norm(f"{name}.encoder_attn_layer_norm")
        self.cross_q = maps.linear(f"{name}.encoder_attn.q_proj")
        self.cross_k = maps.linear(f"{name}.encoder_attn.k_proj")
        self.cross_v = maps.linear(f"{name}.encoder_attn.v_proj")
        self.cross_out = maps.linear(f"{name}.encoder_attn.out_proj")
        self.norm = maps.norm(f"{name}.final_layer_norm")
        self.fc1 = maps.linear(f"{name}.fc1", is_gelu=True)
        self.fc2 = maps.linear(f"{name}.fc2")


@dataclass(frozen=True, slots=True)
class Caches:
    """The KV caches of a decode batch: cross-attention by layer, and self-attention of all layers."""

    cross_attention: list[CrossAttentionCache]
    self_attention: SelfAttentionCache


class Decoder:
    """The decoder of one model; any thread may call it, each with caches of its own."""

    def __init__(
        self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], *, in_eight_bits: bool = False
    ) -> None:
        """Build the layers.

        Args:
            tensors: The weights by their names in a Checkpoint.
            config: The sizes by the names of ``config.json``.
            in_eight_bits: Keep the cross-attention cache in 8 bits, and multiply in 8 bits where that is faster.
        """
        self._in_eight_bits = in_eight_bits
        self._embed = tensors["decoder.embed_tokens.weight"]  # (n_vocab, d_model)
        self._positions = tensors["decoder.embed_positions.weight"]  # (n_context, d_model)
        self._scale = math.sqrt(config["d_model"]) if config.get("scale_embedding") else 1.0
        self._project = tensors.get("proj_out.weight", self._embed)
        self.n_layers: int = config["decoder_layers"]
        self.n_heads: int = config["decoder_attention_heads"]
        self.d_model: int = config["d_model"]
        self.d_head = self.d_model // self.n_heads
        self.n_context: int = config["max_target_positions"]
        self.n_vocab: int = config["vocab_size"]
        self.n_audio: int = config["max_source_positions"]
        self.device, self.dtype = self._embed.device, self._embed.dtype
        self._fused = find(self.device, self.dtype, self.d_head)
        maps = Maps(tensors, self._fused, in_eight_bits=in_eight_bits)
        self._layers = [_Layer(maps, f"decoder.layers.{index}") for index in range(self.n_layers)]
        self._followers = [*(layer.self_norm for layer in self._layers[1:]), maps.norm("decoder.layer_norm")]
        self._to_logits = maps.from_weight(self._project)

    @property
    def is_fused(self) -> bool:
        """True if attention runs in this project's own CUDA kernels."""
        return self._fused is not None

    def new_caches(self, n_slots: int, n_group: int) -> Caches:
        """Empty caches for a decode batch."""
        return Caches(
            [self._cross_attention_cache(n_slots, n_group) for _ in self._layers],
            self._self_attention_cache(n_slots, n_group),
        )

    def bytes_per_window(self, n_group: int) -> int:
        """The memory of one window: its share of the caches, and a step's logits with working memory of the same size.

        On CUDA that counts twice, since recorded passes have memory of their own.
        """
        n_cross = self.n_audio * (1 if self._in_eight_bits else self.dtype.itemsize)
        n_cached = 2 * len(self._layers) * self.d_model * (n_cross + n_group * self.n_context * self.dtype.itemsize)
        n_worked = (16 if self.device.type == "cuda" else 8) * n_group * self.n_vocab
        return n_cached + n_worked * torch.float32.itemsize

    def fill_cross_attention(self, caches: Caches, slots: Tensor, audio: Tensor) -> None:
        """Fill the slots' cross-attention keys and values from the encoder's output.

        Args:
            caches: The decode batch's.
            slots: int64 (n_windows,).
            audio: (n_windows, n_audio, d_model).
        """
        for layer, cache in zip(self._layers, caches.cross_attention, strict=True):
            cache.put(slots, self._heads(layer.cross_k(audio)), self._heads(layer.cross_v(audio)))

    def zero_cross_attention(self, caches: Caches, n_slots: int) -> None:
        """Fill the first slots with zeros, so that the memory that a step reads is allocated."""
        for cache in caches.cross_attention:
            for held in cache.tensors:
                held[:n_slots].zero_()

    def prefill(self, caches: Caches, slots: Tensor, n_group: int, tokens: Tensor) -> Tensor:
        """Decode all given tokens of some windows in one pass and cache them in every row of each window's group.

        Args:
            caches: The decode batch's.
            slots: int64 (n_windows,).
            n_group: Rows per slot.
            tokens: int64 (n_windows, n_tokens), shorter ones padded at the end.

        Returns:
            Normed states, (n_windows, n_tokens, d_model).
        """
        n_tokens = tokens.shape[1]
        x = self._embed_tokens(tokens, torch.arange(n_tokens, device=self.device))
        rows = (slots[:, None] * n_group + torch.arange(n_group, device=self.device)).flatten()
        normed = self._layers[0].self_norm(x)
        for index, (layer, following) in enumerate(zip(self._layers, self._followers, strict=True)):
            q, k, v = self._qkv(layer, normed)
            caches.self_attention.put(index, rows, *(part.repeat_interleave(n_group, dim=0) for part in (k, v)))
            attended = self._merge(F.scaled_dot_product_attention(q, k, v, is_causal=True))
            x, normed = layer.cross_norm.sum_and_norm(x, layer.self_out(attended))
            attended = self._merge(
                caches.cross_attention[index].attend_slots(self._heads(layer.cross_q(normed)), slots)
            )
            x, normed = layer.norm.sum_and_norm(x, layer.cross_out(attended))
            x, normed = following.sum_and_norm(x, layer.fc2(layer.fc1(normed)))
        return normed

    def step(
        self, caches: Caches, n_slots: int, n_group: int, tokens: Tensor, positions: Tensor, reach: int
    ) -> tuple[Tensor, Tensor]:
        """Decode one more token in each row of the first ``n_slots`` slots.

        Args:
            caches: The decode batch's.
            n_slots: The number of slots that take part.
            n_group: Rows per slot.
            tokens: int64 (n_rows,).
            positions: int64 (n_rows,), the tokens' positions in their rows.
            reach: An upper bound (exclusive) of all positions; the caches are read up to there.

        Returns:
            Logits, (n_rows, n_vocab), and the normed states that they follow from, (n_rows, d_model).
        """
        n_rows = n_slots * n_group
        n_padded = max(n_rows, MIN_ROWS)
        caches.self_attention.set_positions(positions, reach)
        x = self._embed_tokens(F.pad(tokens, (0, n_padded - n_rows)), F.pad(positions, (0, n_padded - n_rows)))
        normed = self._layers[0].self_norm(x)
        for index, (layer, following) in enumerate(zip(self._layers, self._followers, strict=True)):
            attended = caches.self_attention.attend(index, layer.self_qkv(normed)[:n_rows])
            x, normed = layer.cross_norm.sum_and_norm(x, layer.self_out(self._pad(attended, n_padded)))
            q = layer.cross_q(normed)[:n_rows].view(n_slots, n_group, self.n_heads, self.d_head)
            attended = caches.cross_attention[index].attend(q.transpose(1, 2)).transpose(1, 2).reshape(n_rows, -1)
            x, normed = layer.norm.sum_and_norm(x, layer.cross_out(self._pad(attended, n_padded)))
            x, normed = following.sum_and_norm(x, layer.fc2(layer.fc1(normed)))
        return self._to_logits(normed)[:n_rows], normed[:n_rows]

    def align(self, tokens: Tensor, audio: Tensor, heads: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """Decode all tokens of some windows in one pass without caches; return the alignment heads' attention scores.

        Args:
            tokens: int64 (n_windows, n_tokens), shorter ones padded at the end.
            audio: (n_windows, n_audio, d_model), the encoder's output.
            heads: The alignment heads as (layer, head), in order of layers.

        Returns:
            Normed states, (n_windows, n_tokens, d_model), and the heads' cross-attention scores before the softmax,
            (n_windows, n_alignment_heads, n_tokens, n_audio).
        """
        x = self._embed_tokens(tokens, torch.arange(tokens.shape[1], device=self.device))
        scores = []
        normed = self._layers[0].self_norm(x)
        for index, (layer, following) in enumerate(zip(self._layers, self._followers, strict=True)):
            q, k, v = self._qkv(layer, normed)
            attended = self._merge(F.scaled_dot_product_attention(q, k, v, is_causal=True))
            x, normed = layer.cross_norm.sum_and_norm(x, layer.self_out(attended))
            q, k, v = (self._heads(one) for one in (layer.cross_q(normed), layer.cross_k(audio), layer.cross_v(audio)))
            if here := [head for at, head in heads if at == index]:
                scores.append(q[:, here] * self.d_head**-0.5 @ k[:, here].transpose(-1, -2))
            attended = self._merge(F.scaled_dot_product_attention(q, k, v))
            x, normed = layer.norm.sum_and_norm(x, layer.cross_out(attended))
            x, normed = following.sum_and_norm(x, layer.fc2(layer.fc1(normed)))
        return normed, torch.cat(scores, dim=1)

    def text_logprobs(self, x: Tensor, tokens: Tensor, end: int) -> Tensor:
        """Log-probabilities, float32 (n,), of tokens, int64 (n,), among ids below ``end``; ``x`` is (n, d_model)."""
        logits = F.linear(x, self._project[:end]).float()
        return logits.log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0]

    @property
    def rounds_logits(self) -> bool:
        """True if the logits of a step are less precise than float32."""
        return self.dtype != torch.float32 or self._in_eight_bits

    def exact_logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        """The float32 logits (n_rows, n) of some tokens, int64 (n_rows, n), from normed states (n_rows, d_model)."""
        return (self._project[tokens].float() * states.float()[:, None]).sum(dim=-1)

    def logits(self, x: Tensor) -> Tensor:
        """The float32 logits of normed states."""
        return self._to_logits(x).float()

    def _embed_tokens(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return residual(F.embedding(tokens, self._embed)) * self._scale + self._positions[positions]

    def _qkv(self, layer: _Layer, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of self-attention, each (n_windows, n_heads, n_tokens, d_head)."""
        q, k, v = (self._heads(part) for part in layer.self_qkv(normed).chunk(3, dim=-1))
        return q, k, v

    def _cross_attention_cache(self, n_slots: int, n_group: int) -> CrossAttentionCache:
        shape = (n_slots, self.n_heads, self.n_audio, self.d_head)
        if self._in_eight_bits and self.device.type == "cuda":
            return CudaInt8CrossAttentionCache(shape, self.device)
        if self._in_eight_bits:
            return Int8CrossAttentionCache(shape, n_group, self.dtype)
        if self._fused is not None:
            return CudaCrossAttentionCache(shape, self.device, self.dtype, self._fused)
        kernel = None
        if self.device.type == "cpu":
            kernel = cpu_cross_attention.find(self.dtype, self.n_heads, self.n_audio, self.d_head, n_group)
        if kernel is not None:
            return PackedCrossAttentionCache(shape, self.dtype, kernel)
        return CrossAttentionCache(shape, self.device, self.dtype)

    def _self_attention_cache(self, n_slots: int, n_group: int) -> SelfAttentionCache:
        shape = (n_slots * n_group, self.n_heads, self.n_context, self.d_head)
        if self._fused is not None:
            return BeamSelfAttentionCache(self.n_layers, shape, self.device, self.dtype, n_group, self._fused)
        if (
            self.device.type == "cpu"
            and (compiled := cpu_self_attention.find(self.dtype, *shape[1:], n_group)) is not None
        ):
            return BeamSelfAttentionCache(self.n_layers, shape, self.device, self.dtype, n_group, compiled)
        return SelfAttentionCache(self.n_layers, shape, self.device, self.dtype)

    def _heads(self, x: Tensor) -> Tensor:
        """(n, n_tokens, d_model) to (n, n_heads, n_tokens, d_head)."""
        heads: Tensor = x.unflatten(-1, (self.n_heads, self.d_head))
        return heads.transpose(1, 2)

    def _merge(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)

    def _pad(self, x: Tensor, n_rows: int) -> Tensor:
        return x if len(x) == n_rows else F.pad(x, (0, 0, 0, n_rows - len(x)))
