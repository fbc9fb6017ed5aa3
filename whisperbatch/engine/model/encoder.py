"""Whisper's encoder: log-mel features of windows to the states that the decoder attends to.

The architecture is Radford et al. 2022 (openai/whisper, MIT); the weights are named as in transformers. Specific to
this version: queries, keys and values come from one matrix product.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from torch import Tensor

from whisperbatch.engine.kernels import cpu_encoder_attention, cpu_tile_attention
from whisperbatch.engine.kernels.cuda import find
from whisperbatch.engine.model.linear import Maps, residual

HALF_LIMIT = torch.finfo(torch.float16).max - 1000  # as transformers keeps float16 from becoming infinite


class Encoder:
    """The encoder of one model; owned by the engine's thread."""

    def __init__(
        self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], *, in_eight_bits: bool = False
    ) -> None:
        """Take the weights by their names in a Checkpoint; multiply ``in_eight_bits`` where that is faster."""
        self._n_heads = config["encoder_attention_heads"]
        self._convs = [
            (tensors[f"encoder.{name}.weight"], tensors[f"encoder.{name}.bias"]) for name in ("conv1", "conv2")
        ]
        self._positions = tensors["encoder.embed_positions.weight"]  # (n_audio, d_model)
        device, dtype, d_head = self._positions.device, self._positions.dtype, config["d_model"] // self._n_heads
        shape = self._n_heads, d_head, len(self._positions)
        self._flash = cpu_tile_attention.find(device, dtype, *shape) or cpu_encoder_attention.find(
            device, dtype, *shape
        )
        maps = Maps(tensors, find(device, dtype, d_head), in_eight_bits=in_eight_bits)
        self._layers = [_Layer(maps, f"encoder.layers.{index}") for index in range(config["encoder_layers"])]
        self._followers = [*(layer.self_norm for layer in self._layers[1:]), maps.norm("encoder.layer_norm")]

    def __call__(self, mel: Tensor) -> Tensor:
        """States (n_windows, n_audio, d_model) of features (n_windows, n_mels, n_frames)."""
        for stride, (weight, bias) in enumerate(self._convs, start=1):
            mel = F.gelu(F.conv1d(mel, weight, bias, stride=stride, padding=1))
        # contiguous in memory: adding states in another memory order takes several times as long
        x = residual(mel.transpose(1, 2).contiguous()) + self._positions  # (n_windows, n_audio, d_model)
        limit = HALF_LIMIT if x.dtype == torch.float16 else None
        normed = self._layers[0].self_norm(x)
        for layer, following in zip(self._layers, self._followers, strict=True):
            x, normed = layer.norm.sum_and_norm(x, self._attend(layer, normed))
            x, normed = following.sum_and_norm(x, layer.fc2(layer.fc1(normed)), limit)
        return normed

    def _attend(self, layer: "_Layer", x: Tensor) -> Tensor:
        joined = layer.qkv(x)  # (n_windows, n_audio, 3 * d_model)
        if self._flash is not None:
            return layer.out(self._flash(joined))
        q, k, v = (part.unflatten(-1, (self._n_heads, -1)).transpose(1, 2) for part in joined.chunk(3, -1))
        return layer.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _Layer:
    """One layer's linear maps and norms."""

    def __init__(self, maps: Maps, name: str) -> None:
        self.self_norm = maps.norm(f"{name}.self_attn_layer_norm")
        self.qkv = maps.qkv(f"{name}.self_attn")
        self.out = maps.linear(f"{name}.self_attn.out_proj")
        self.norm = maps.norm(f"{name}.final_layer_norm")
        self.fc1 = maps.linear(f"{name}.fc1", is_gelu=True)
        self.fc2 = maps.linear(f"{name}.fc2")
