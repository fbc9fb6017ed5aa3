"""Models with random weights in the sizes of OpenAI's, to measure speed where no weights are available.

``random:large-v3`` names one; ``weights`` makes its tensors. What such a model decodes is not text, so only ``bench``
accepts it. The sizes are those of openai-whisper's models (MIT).
"""

from dataclasses import dataclass
from typing import Any

from whisperbatch.errors import UsageError

PREFIX = "random:"


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A model's dimensions; ``d_head`` is 64 in all of them."""

    d_model: int
    n_encoder_layers: int
    n_decoder_layers: int
    n_mels: int = 80
    n_vocab: int = 51_865

    @property
    def n_heads(self) -> int:
        """The number of heads of each attention."""
        return self.d_model // 64

    def as_config(self) -> dict[str, Any]:
        """The sizes by the names of ``config.json``."""
        return {
            "d_model": self.d_model,
            "encoder_layers": self.n_encoder_layers,
            "decoder_layers": self.n_decoder_layers,
            "encoder_attention_heads": self.n_heads,
            "decoder_attention_heads": self.n_heads,
            "encoder_ffn_dim": 4 * self.d_model,
            "decoder_ffn_dim": 4 * self.d_model,
            "num_mel_bins": self.n_mels,
            "vocab_size": self.n_vocab,
        }


SHAPES = {
    "tiny": ModelShape(384, 4, 4),
    "base": ModelShape(512, 6, 6),
    "small": ModelShape(768, 12, 12),
    "medium": ModelShape(1024, 24, 24),
    "large-v2": ModelShape(1280, 32, 32),
    "large-v3": ModelShape(1280, 32, 32, 128, 51_866),
    "turbo": ModelShape(1280, 32, 4, 128, 51_866),
}


def shape_of(model: str) -> ModelShape | None:
    """The shape that ``random:NAME`` names, None for any other model; UsageError if the name is unknown."""
    if not model.startswith(PREFIX):
        return None
    name = model.removeprefix(PREFIX)
    if name not in SHAPES:
        raise UsageError(f"unknown shape '{model}'; choose from {', '.join(PREFIX + one for one in SHAPES)}")
    return SHAPES[name]
