"""Whisper's decoder on static caches: many rows a pass, each at a position of its own.

Comes in: tokens, positions and the caches that a lane owns. Goes out: logits. The architecture is Radford et al. 2022
(openai/whisper, MIT); weights are transformers'. Ours: cross-attention keys and values are held once a window and
shared by its group (``engine/model/cross_attention_cache``); what a row has said lies in
``engine/model/self_attention_cache``.

Axes: n_slots windows, n_group rows a window (beams or candidates), n_rows = n_slots * n_group, n_heads, d_head, n_audio
1500, n_context tokens that a row can hold.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from torch import Tensor

from whisperbatch.engine.kernels import cpu_self_attention
from whisperbatch.engine.kernels.cuda import find
from whisperbatch.engine.model.cross_attention_cache import (
    CrossAttentionCache,
    CudaCrossAttentionCache,
    CudaInt8CrossAttentionCache,
    Int8CrossAttentionCache,
)
from whisperbatch.engine.model.linear import Maps
from whisperbatch.engine.model.self_attention_cache import BeamSelfAttentionCache, SelfAttentionCache

MIN_ROWS = 8  # matrix products of fewer rows take another path, and round otherwise


class _Layer:
    """One layer's maps."""

    def __init__(self, maps: Maps, name: str) -> None:
        self.self_norm = maps.norm(f"{name}.self_attn_layer_norm")
        self.self_qkv = maps.joined(f"{name}.self_attn")
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
    """What a lane's windows hear, by layer, and what its rows have said."""

    cross_attention: list[CrossAttentionCache]
    self_attention: SelfAttentionCache


class Decoder:
    """The decoder of one model; any thread may call it, each with caches of its own."""

    def __init__(
        self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], *, in_eight_bits: bool = False
    ) -> None:
        """Take the weights by their names in a Checkpoint.

        ``in_eight_bits``: keep so what is heard, and multiply so where that is faster.
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
        self._to_logits = maps.of(self._project)

    @property
    def is_fused(self) -> bool:
        """Whether attention runs in kernels of our own on a CUDA device."""
        return self._fused is not None

    def caches(self, n_slots: int, n_group: int) -> Caches:
        """Empty caches."""
        return Caches([self._cross_attention_cache(n_slots, n_group) for _ in self._layers], self._self_attention_cache(n_slots, n_group))

    def bytes_a_window(self, n_group: int) -> int:
        """What a window takes: its share of the caches, and a step's logits with as much again to work on them.

        On CUDA that work has a second place, the memory of recorded passes.
        """
        n_heard = self.n_audio * (1 if self._in_eight_bits else self.dtype.itemsize)
        n_cached = 2 * len(self._layers) * self.d_model * (n_heard + n_group * self.n_context * self.dtype.itemsize)
        n_worked = (16 if self.device.type == "cuda" else 8) * n_group * self.n_vocab
        return n_cached + n_worked * torch.float32.itemsize

    def hear(self, caches: Caches, slots: Tensor, audio: Tensor) -> None:
        """Fill the slots' cross-attention keys and values from the encoder's output.

        Args:
            caches: The lane's.
            slots: int64 (n_windows,).
            audio: (n_windows, n_audio, d_model).
        """
        for layer, heard in zip(self._layers, caches.cross_attention, strict=True):
            heard.put(slots, self._heads(layer.cross_k(audio)), self._heads(layer.cross_v(audio)))

    def hear_nothing(self, caches: Caches, n_slots: int) -> None:
        """Fill the first slots with zeros, so that the memory that a step reads is there."""
        for heard in caches.cross_attention:
            for held in heard.tensors:
                held[:n_slots].zero_()

    def prefill(self, caches: Caches, slots: Tensor, n_group: int, tokens: Tensor) -> Tensor:
        """All tokens of some windows at once, into each row of their groups; (n_windows, n_tokens, d_model), normed.

        Args:
            caches: The lane's.
            slots: int64 (n_windows,).
            n_group: Rows a slot.
            tokens: int64 (n_windows, n_tokens), shorter ones padded at the end.
        """
        n_tokens = tokens.shape[1]
        x = self._enter(tokens, torch.arange(n_tokens, device=self.device))
        rows = (slots[:, None] * n_group + torch.arange(n_group, device=self.device)).flatten()
        normed = self._layers[0].self_norm(x)
        for index, (layer, following) in enumerate(zip(self._layers, self._followers, strict=True)):
            q, k, v = self._qkv(layer, normed)
            caches.self_attention.put(index, rows, *(part.repeat_interleave(n_group, dim=0) for part in (k, v)))
            said = self._merge(F.scaled_dot_product_attention(q, k, v, is_causal=True))
            x, normed = layer.cross_norm.of_sum(x, layer.self_out(said))
            heard = self._merge(caches.cross_attention[index].find(self._heads(layer.cross_q(normed)), slots))
            x, normed = layer.norm.of_sum(x, layer.cross_out(heard))
            x, normed = following.of_sum(x, layer.fc2(layer.fc1(normed)))
        return normed

    def step(self, caches: Caches, n_slots: int, n_group: int, tokens: Tensor, positions: Tensor, reach: int) -> Tensor:
        """Logits (n_rows, n_vocab) after one token more in each row of the first ``n_slots`` slots.

        Args:
            caches: The lane's.
            n_slots: How many slots take part.
            n_group: Rows a slot.
            tokens: int64 (n_rows,).
            positions: int64 (n_rows,), where they stand in their rows.
            reach: No position is as large; caches are read up to there.
        """
        n_rows = n_slots * n_group
        n_padded = max(n_rows, MIN_ROWS)
        caches.self_attention.go_to(positions, reach)
        x = self._enter(F.pad(tokens, (0, n_padded - n_rows)), F.pad(positions, (0, n_padded - n_rows)))
        normed = self._layers[0].self_norm(x)
        for index, (layer, following) in enumerate(zip(self._layers, self._followers, strict=True)):
            said = caches.self_attention.attend(index, layer.self_qkv(normed)[:n_rows])
            x, normed = layer.cross_norm.of_sum(x, layer.self_out(self._pad(said, n_padded)))
            q = layer.cross_q(normed)[:n_rows].view(n_slots, n_group, self.n_heads, self.d_head)
            heard = caches.cross_attention[index].attend(q.transpose(1, 2)).transpose(1, 2).reshape(n_rows, -1)
            x, normed = layer.norm.of_sum(x, layer.cross_out(self._pad(heard, n_padded)))
            x, normed = following.of_sum(x, layer.fc2(layer.fc1(normed)))
        return self._to_logits(normed)[:n_rows]

    def watch(self, tokens: Tensor, audio: Tensor, watched: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """All tokens of some windows at once, outside of any lane, and where heads look in the audio.

        Args:
            tokens: int64 (n_windows, n_tokens), shorter ones padded at the end.
            audio: (n_windows, n_audio, d_model), the encoder's output.
            watched: (layer, head), layer by layer.

        Returns:
            States, (n_windows, n_tokens, d_model), normed, and the watched heads' scores before the softmax,
            (n_windows, n_watched, n_tokens, n_audio).
        """
        x = self._enter(tokens, torch.arange(tokens.shape[1], device=self.device))
        scores = []
        normed = self._layers[0].self_norm(x)
        for index, (layer, following) in enumerate(zip(self._layers, self._followers, strict=True)):
            q, k, v = self._qkv(layer, normed)
            said = self._merge(F.scaled_dot_product_attention(q, k, v, is_causal=True))
            x, normed = layer.cross_norm.of_sum(x, layer.self_out(said))
            q, k, v = (self._heads(one) for one in (layer.cross_q(normed), layer.cross_k(audio), layer.cross_v(audio)))
            if mine := [head for at, head in watched if at == index]:
                scores.append(q[:, mine] * self.d_head**-0.5 @ k[:, mine].transpose(-1, -2))
            heard = self._merge(F.scaled_dot_product_attention(q, k, v))
            x, normed = layer.norm.of_sum(x, layer.cross_out(heard))
            x, normed = following.of_sum(x, layer.fc2(layer.fc1(normed)))
        return normed, torch.cat(scores, dim=1)

    def text_logprobs(self, x: Tensor, tokens: Tensor, end: int) -> Tensor:
        """Log-probabilities, float32 (n,), of tokens, int64 (n,), among those below ``end``; ``x`` is (n, d_model)."""
        logits = F.linear(x, self._project[:end]).float()
        return logits.log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0]

    def logits(self, x: Tensor) -> Tensor:
        """Logits in float32 of normed states."""
        return self._to_logits(x).float()

    def _enter(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return F.embedding(tokens, self._embed) * self._scale + self._positions[positions]

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
        return CrossAttentionCache(shape, n_group, self.device, self.dtype)

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
