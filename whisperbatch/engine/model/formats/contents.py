"""The common form that every format is read into, with transformers' names for sizes, settings and tensors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Contents:
    """A checkpoint as it is stored.

    Attributes:
        config: Its sizes, by the names of transformers' ``config.json``.
        generation: Those of its generation settings that the format stores, by the names of
            ``generation_config.json``.
        tensors: The name (without the prefix ``model.``) and tensor of each weight, read lazily.
        tokenizer: A ``tokenizers.Tokenizer``; None if the files hold none.
        filters: The mel filter bank, (n_fft / 2 + 1, n_mels) float32; None if the format stores none.
    """

    config: Mapping[str, Any]
    generation: Mapping[str, Any]
    tensors: Iterator[tuple[str, Tensor]]
    tokenizer: Any = None
    filters: np.ndarray | None = None


def config_of(
    *,
    n_mels: int,
    d_model: int,
    n_heads: tuple[int, int],
    n_layers: tuple[int, int],
    n_vocab: int,
    n_audio: int = 1500,
    n_context: int = 448,
) -> dict[str, Any]:
    """Sizes by the names of ``config.json``; ``n_heads`` and ``n_layers`` are pairs for encoder and decoder."""
    return {
        "model_type": "whisper",
        "num_mel_bins": n_mels,
        "d_model": d_model,
        "encoder_attention_heads": n_heads[0],
        "decoder_attention_heads": n_heads[1],
        "encoder_layers": n_layers[0],
        "decoder_layers": n_layers[1],
        "encoder_ffn_dim": 4 * d_model,
        "decoder_ffn_dim": 4 * d_model,
        "vocab_size": n_vocab,
        "max_source_positions": n_audio,
        "max_target_positions": n_context,
    }
