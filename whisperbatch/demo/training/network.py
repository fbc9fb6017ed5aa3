"""Whisper's network for training: parameters named as in Hugging Face's layout, short crops, visible attention.

The architecture is that of Radford et al. 2022 (openai/whisper, MIT): pre-norm, exact GELU, keys without bias,
sinusoids in the encoder, learned positions and tied output in the decoder. Different here: the
encoder takes crops at any position, the vocabulary is compact, and two layers return their cross-attention weights.
Axes: n_rows, n_mels 80, n_frames, n_audio (n_frames / 2), n_tokens, n_heads 4.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from torch import Tensor, nn

D_MODEL, N_HEADS, D_FF, N_MELS = 128, 4, 512, 80
N_ENCODER_LAYERS, N_DECODER_LAYERS = 4, 3
N_AUDIO, N_TEXT = 1_500, 448
D_HEAD = D_MODEL // N_HEADS
LOCAL_OFFSETS = ((1, -1), (3, -3), (8, -8), (20, -20))  # encoder frames, two heads a layer
LOCAL_GAIN = 2.0
TIMESTAMP_SCALE = 0.06


def sinusoids(length: int, channels: int) -> Tensor:
    """Whisper's fixed positions: (length, channels), sines then cosines."""
    step = math.log(10_000) / (channels // 2 - 1)
    angles = torch.arange(length)[:, None] * torch.exp(-step * torch.arange(channels // 2))[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Attention(nn.Module):
    """Multi-head attention; with ``visible`` it computes and returns the weights."""

    def __init__(self) -> None:
        """Make the four projections."""
        super().__init__()
        self.k_proj = nn.Linear(D_MODEL, D_MODEL, bias=False)
        self.v_proj = nn.Linear(D_MODEL, D_MODEL)
        self.q_proj = nn.Linear(D_MODEL, D_MODEL)
        self.out_proj = nn.Linear(D_MODEL, D_MODEL)

    def forward(
        self, x: Tensor, source: Tensor, causal: bool = False, visible: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return output (n_rows, n_queries, d_model); if visible, also weights (n_rows, n_heads, n_queries, n_keys)."""
        q, k, v = (_heads(p(y)) for p, y in ((self.q_proj, x), (self.k_proj, source), (self.v_proj, source)))
        weights = None
        if visible:
            weights = (q @ k.transpose(-1, -2) / math.sqrt(D_HEAD)).float().softmax(dim=-1)
            out = weights.to(v.dtype) @ v
        else:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out_proj(out.transpose(1, 2).flatten(2)), weights


def _heads(x: Tensor) -> Tensor:
    heads: Tensor = x.unflatten(-1, (N_HEADS, D_HEAD))
    return heads.transpose(1, 2)


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each behind a norm."""

    def __init__(self) -> None:
        """Make the layer."""
        super().__init__()
        self.self_attn = Attention()
        self.self_attn_layer_norm = nn.LayerNorm(D_MODEL)
        self.fc1, self.fc2 = nn.Linear(D_MODEL, D_FF), nn.Linear(D_FF, D_MODEL)
        self.final_layer_norm = nn.LayerNorm(D_MODEL)

    def forward(self, x: Tensor) -> Tensor:
        """(n_rows, n_audio, d_model) to the same."""
        y = self.self_attn_layer_norm(x)
        x = x + self.self_attn(y, y)[0]
        out: Tensor = x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))
        return out


class DecoderLayer(EncoderLayer):
    """A causal encoder layer with cross-attention between self-attention and feed-forward."""

    def __init__(self) -> None:
        """Make the layer."""
        super().__init__()
        self.encoder_attn = Attention()
        self.encoder_attn_layer_norm = nn.LayerNorm(D_MODEL)

    def forward(self, x: Tensor, audio: Tensor, visible: bool) -> tuple[Tensor, Tensor | None]:  # type: ignore[override]  # audio too
        """(n_rows, n_tokens, d_model) to the same, and cross-attention weights if visible."""
        y = self.self_attn_layer_norm(x)
        x = x + self.self_attn(y, y, causal=True)[0]
        y, weights = self.encoder_attn(self.encoder_attn_layer_norm(x), audio, visible=visible)
        x = x + y
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x)))), weights


class Encoder(nn.Module):
    """Log-mel to audio states."""

    def __init__(self) -> None:
        """Make convolutions, positions and layers."""
        super().__init__()
        self.conv1 = nn.Conv1d(N_MELS, D_MODEL, 3, padding=1)
        self.conv2 = nn.Conv1d(D_MODEL, D_MODEL, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(N_AUDIO, D_MODEL)
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(N_ENCODER_LAYERS))
        self.layer_norm = nn.LayerNorm(D_MODEL)

    def forward(self, mel: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return audio states (n_rows, n_audio, d_model) and those after layer 2; ``positions`` are of first frames."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        at = positions[:, None] + torch.arange(x.shape[1], device=x.device)[None]
        x = x.float() + self.embed_positions(at)
        middle = x
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index == 1:
                middle = x
        return self.layer_norm(x), middle


class Decoder(nn.Module):
    """Tokens and audio states to logits over compact classes."""

    def __init__(self, n_classes: int) -> None:
        """Make embeddings and layers."""
        super().__init__()
        self.embed_tokens = nn.Embedding(n_classes, D_MODEL)
        self.embed_positions = nn.Embedding(N_TEXT, D_MODEL)
        self.layers = nn.ModuleList(DecoderLayer() for _ in range(N_DECODER_LAYERS))
        self.layer_norm = nn.LayerNorm(D_MODEL)

    def forward(self, tokens: Tensor, audio: Tensor, visible: bool = True) -> tuple[Tensor, list[Tensor | None]]:
        """Return logits (n_rows, n_tokens, n_classes) and each layer's weights (None for the first layer)."""
        x = self.embed_tokens(tokens) + self.embed_positions.weight[: tokens.shape[1]]
        seen: list[Tensor | None] = []
        for index, layer in enumerate(self.layers):
            x, weights = layer(x, audio, visible=visible and index > 0)
            seen.append(weights)
        return F.linear(self.layer_norm(x), self.embed_tokens.weight), seen


class Network(nn.Module):
    """Encoder, decoder, and two auxiliary heads that are discarded after training."""

    def __init__(self, n_classes: int, timestamp_0: int, n_timestamps: int, n_phonemes: int, n_words: int) -> None:
        """Create and initialise all parts."""
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder(n_classes)
        self.phoneme_head, self.word_head = nn.Linear(D_MODEL, n_phonemes), nn.Linear(D_MODEL, n_words)
        self._initialise(timestamp_0, n_timestamps)

    @torch.no_grad()
    def _initialise(self, timestamp_0: int, n_timestamps: int) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv1d):
                assert module.bias is not None
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
        positions = sinusoids(N_AUDIO, D_MODEL)
        self.encoder.embed_positions.weight.copy_(positions)
        self.encoder.embed_positions.weight.requires_grad_(False)
        for layer, offsets in zip(self.encoder.layers, LOCAL_OFFSETS, strict=True):
            assert isinstance(layer, EncoderLayer)
            for head, offset in enumerate(offsets):
                _attend_at_offset(layer.self_attn, head, offset)
        nn.init.normal_(self.decoder.embed_tokens.weight, std=0.05)
        nn.init.normal_(self.decoder.embed_positions.weight, std=0.02)
        rotation = torch.linalg.qr(torch.randn(D_MODEL, D_MODEL))[0]
        times = sinusoids(n_timestamps, D_MODEL) @ rotation * TIMESTAMP_SCALE
        self.decoder.embed_tokens.weight[timestamp_0 : timestamp_0 + n_timestamps] = times


@torch.no_grad()
def _attend_at_offset(attention: Attention, head: int, offset: int) -> None:
    """Initialise a head as local attention ``offset`` frames away: keys are sinusoids, queries rotated ones."""
    half = D_MODEL // 2
    pairs = torch.linspace(0, half // 2 - 2, D_HEAD // 2).round().long()  # from 6 frames a turn to 500
    speeds = torch.exp(-math.log(10_000) / (half - 1) * pairs)
    rows = torch.arange(D_HEAD // 2) + head * D_HEAD
    q, k = attention.q_proj.weight, attention.k_proj.weight
    block = slice(head * D_HEAD, (head + 1) * D_HEAD)
    q[block], k[block] = 0.0, 0.0
    cos, sin = torch.cos(speeds * offset), torch.sin(speeds * offset)
    k[rows, pairs], k[rows + D_HEAD // 2, half + pairs] = LOCAL_GAIN, LOCAL_GAIN
    q[rows, pairs], q[rows, half + pairs] = cos * LOCAL_GAIN, sin * LOCAL_GAIN  # sin(a + b)
    q[rows + D_HEAD // 2, half + pairs], q[rows + D_HEAD // 2, pairs] = cos * LOCAL_GAIN, -sin * LOCAL_GAIN
