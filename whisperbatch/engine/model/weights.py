"""A model to tensors on the device, settings and tokenizer, whatever format it is stored in.

Comes in: what ``checkpoint`` found. Goes out: a ``Checkpoint``, whole or refused in one sentence. ``formats`` reads;
here each tensor goes to the device in the numbers that it is used in, and is checked.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whisperbatch.engine.model import formats
from whisperbatch.engine.model.checkpoint import NO_TRANSLATION, Found
from whisperbatch.engine.model.formats import ctranslate2, ggml, openai, published, transformers, vocabulary
from whisperbatch.engine.model.formats.contents import Contents
from whisperbatch.engine.model.log_mel import N_FFT
from whisperbatch.engine.model.mel_filters import mel_filters
from whisperbatch.engine.placement import Placement
from whisperbatch.errors import ModelError
from whisperbatch.records import SAMPLE_RATE, ClipSettings

UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError)
CLOSE = 1e-6  # filter banks that differ by less are the same one, rounded otherwise
READERS: Mapping[formats.Format, Callable[[formats.StoredWeights], Contents]] = {
    formats.Format.TRANSFORMERS: transformers.read,
    formats.Format.PICKLED: transformers.read,
    formats.Format.CTRANSLATE2: ctranslate2.read,
    formats.Format.OPENAI: openai.read,
    formats.Format.GGML: ggml.read,
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded model.

    Attributes:
        found: Where it lay.
        config: Its sizes, as ``config.json`` has them.
        generation: Its generation settings, as ``generation_config.json`` has them.
        tensors: By transformers' names without ``model.`` before them, on the device.
        tokenizer: A ``tokenizers.Tokenizer``.
        filters: The mel filter bank, (n_fft / 2 + 1, n_mels).
        in_eight_bits: Whether what its decoder hears is kept so.
    """

    found: Found
    config: Mapping[str, Any]
    generation: Mapping[str, Any]
    tensors: dict[str, Tensor]
    tokenizer: Any
    filters: np.ndarray
    in_eight_bits: bool = False

    @property
    def is_multilingual(self) -> bool:
        """Whether the model tells languages apart."""
        return bool(self.generation.get("is_multilingual", False))

    @property
    def languages(self) -> dict[str, int]:
        """Token ids by language code (``en``); empty for an English-only model."""
        if not self.is_multilingual:
            return {}
        return {token[2:-2]: index for token, index in self.generation["lang_to_id"].items()}

    @property
    def abilities(self) -> "Capabilities":
        """What it was trained for."""
        plain = not self.found.is_demo and not any(part in Path(self.found.name).name for part in NO_TRANSLATION)
        return Capabilities(self.found.name, frozenset(self.languages), plain and self.is_multilingual)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model was trained for; ``languages`` is empty for an English-only one."""

    name: str
    languages: frozenset[str]
    can_translate: bool

    def refusal(self, settings: ClipSettings) -> str | None:
        """Why the model can't do what clips ask for; None when it can."""
        name, languages, asked = self.name, self.languages, settings.language
        if settings.task == "translate" and not self.can_translate:
            return f"model {name} was not trained to translate; use large-v3 or medium with --task translate"
        if asked and languages and asked not in languages:
            return f"model {name} does not know the language '{asked}'"
        if asked not in (None, "en") and not languages:
            return f"model {name} knows English only, so --language {asked} cannot be used with it"
        return None


def load(
    found: Found,
    place: Placement,
    *,
    model_dir: Path | None = None,
    offline: bool = True,
    on_notice: Callable[[str], None] = lambda text: None,
) -> Checkpoint:
    """The model on its device.

    Args:
        found: Where it is stored.
        place: The device, and the numbers to compute in.
        model_dir: Where a tokenizer is looked for, should the model bring none; None for the hub's cache.
        offline: Never fetch one.
        on_notice: Called with a sentence about what the model lacked.

    Raises:
        ModelError: It is not a whole Whisper.
    """
    from safetensors import SafetensorError

    try:
        stored = formats.recognise(found.path)
        contents = READERS[stored.format](stored)
        config = dict(contents.config)
        if found.shape is not None:
            config |= found.shape.as_config()
            tensors = {name: _random(name, size, place) for name, size in shapes_of(config)}
        else:
            tensors = {name: _placed(tensor, place) for name, tensor in contents.tensors}
            _require(tensors, config)
        tokenizer = contents.tokenizer
        if tokenizer is None:
            n_vocab = config["vocab_size"]
            tokenizer = vocabulary.of_openai(n_vocab, model_dir, offline=offline, on_notice=on_notice)
        tokenizer.no_padding()  # the training script's last call may have been saved with it
        tokenizer.no_truncation()
        settings = published.completed(contents.generation, config, tokenizer, found.name)
        for told in _lacks(found, stored.format, settings, brings_tokenizer=contents.tokenizer is not None):
            on_notice(told)
        filters = _mel_filters(config["num_mel_bins"], contents.filters)
        return Checkpoint(found, config, settings.generation, tensors, tokenizer, filters, place.in_eight_bits)
    except (*UNREADABLE, SafetensorError) as err:
        reason = str(err).strip().partition("\n")[0]
        reason = f"it lacks {reason}" if isinstance(err, KeyError) else reason
        raise ModelError(f"the model in {found.path} cannot be loaded as a Whisper model: {reason}") from err


def _lacks(
    found: Found, kind: formats.Format, settings: published.Completed, *, brings_tokenizer: bool
) -> Iterator[str]:
    """What a checkpoint had not of its own, in sentences; formats that never hold a thing are not blamed for it."""
    theirs = (*(() if brings_tokenizer else ("tokenizer",)), *settings.published)
    if theirs:
        yield f"the model {found.name} has no {' and no '.join(theirs)} of its own; what OpenAI published is used"
    if settings.spelled and kind in (formats.Format.TRANSFORMERS, formats.Format.PICKLED):
        what = ", no ".join(settings.spelled)
        yield f"the settings of the model {found.name} have no {what}; its tokenizer tells them"


def _placed(tensor: Tensor, place: Placement) -> Tensor:
    """A tensor where and as it is used; each by itself, so that no more than one is there twice."""
    return tensor.to(place.device, place.dtype)


def shapes_of(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The name and shape of each tensor of a model of these sizes."""
    d_model = config["d_model"]
    yield "encoder.conv1.weight", (d_model, config["num_mel_bins"], 3)
    yield "encoder.conv1.bias", (d_model,)
    yield "encoder.conv2.weight", (d_model, d_model, 3)
    yield "encoder.conv2.bias", (d_model,)
    yield "encoder.embed_positions.weight", (config["max_source_positions"], d_model)
    yield "decoder.embed_tokens.weight", (config["vocab_size"], d_model)
    yield "decoder.embed_positions.weight", (config["max_target_positions"], d_model)
    for side, attentions in (("encoder", ("self_attn",)), ("decoder", ("self_attn", "encoder_attn"))):
        yield from _norm(f"{side}.layer_norm", d_model)
        for index in range(config[f"{side}_layers"]):
            layer, n_inner = f"{side}.layers.{index}", config[f"{side}_ffn_dim"]
            for attention in attentions:
                yield from _norm(f"{layer}.{attention}_layer_norm", d_model)
                for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    yield f"{layer}.{attention}.{part}.weight", (d_model, d_model)
                    if part != "k_proj":
                        yield f"{layer}.{attention}.{part}.bias", (d_model,)
            yield from _norm(f"{layer}.final_layer_norm", d_model)
            yield f"{layer}.fc1.weight", (n_inner, d_model)
            yield f"{layer}.fc1.bias", (n_inner,)
            yield f"{layer}.fc2.weight", (d_model, n_inner)
            yield f"{layer}.fc2.bias", (d_model,)


def _norm(name: str, d_model: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (d_model,)
    yield f"{name}.bias", (d_model,)


def _require(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Raise ValueError when a tensor is missing or of another shape, or the model has parts that ours has not."""
    if config.get("activation_function", "gelu") != "gelu":
        raise ValueError(f"its activation function {config['activation_function']} is not Whisper's")
    for name, size in shapes_of(config):
        if name not in tensors:
            raise ValueError(f"its weights lack {name}")
        if tensors[name].shape != size:
            raise ValueError(f"its {name} is {tuple(tensors[name].shape)} where its config.json says {size}")


def _random(name: str, size: tuple[int, ...], place: Placement) -> Tensor:
    """A tensor as training would begin with, the same at every start."""
    if name.endswith("norm.weight"):
        return torch.ones(size, device=place.device, dtype=place.dtype)
    if name.endswith("bias"):
        return torch.zeros(size, device=place.device, dtype=place.dtype)
    generator = torch.Generator(place.device).manual_seed(sum(name.encode()))
    return torch.empty(size, device=place.device, dtype=place.dtype).normal_(0.0, 0.02, generator=generator)


def _mel_filters(n_mels: int, own: np.ndarray | None) -> np.ndarray:
    """The mel filter bank; a format's own where that is another than Whisper's.

    Every format's transcripts are the same to the byte: OpenAI's file of filters differs from these in the last bits.
    """
    bank = mel_filters(n_mels, N_FFT, SAMPLE_RATE)
    if own is None or (own.shape == bank.shape and np.allclose(own, bank, rtol=0.0, atol=CLOSE)):
        return bank
    if own.shape != bank.shape:
        raise ValueError(f"its mel filters have the shape {own.shape} where {bank.shape} is needed")
    return own
