"""Load a model in any supported format: its tensors on the device, its settings and its tokenizer.

Takes what ``checkpoint`` found, returns a complete ``Checkpoint`` or raises an error of one sentence. ``formats`` reads
the files; here each tensor is moved to the device, converted to the compute type and checked.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whisperbatch.engine.model import formats
from whisperbatch.engine.model.checkpoint import NO_TRANSLATION, FoundModel
from whisperbatch.engine.model.formats import ctranslate2, ggml, openai, published, transformers, vocabulary
from whisperbatch.engine.model.formats.contents import Contents
from whisperbatch.engine.model.log_mel import N_FFT
from whisperbatch.engine.model.mel_filters import mel_filters
from whisperbatch.engine.placement import Placement
from whisperbatch.errors import ModelError
from whisperbatch.records import SAMPLE_RATE, ClipSettings

UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError)
CLOSE = 1e-6  # filter banks that differ by less are the same, apart from rounding
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
        found: Where it is stored.
        config: Its sizes, by the names of ``config.json``.
        generation: Its generation settings, by the names of ``generation_config.json``.
        tensors: Its weights on the device, by transformers' names without the prefix ``model.``.
        tokenizer: A ``tokenizers.Tokenizer``.
        filters: The mel filter bank, (n_fft / 2 + 1, n_mels).
        in_eight_bits: True to keep the cross-attention cache in 8 bits.
    """

    found: FoundModel
    config: Mapping[str, Any]
    generation: Mapping[str, Any]
    tensors: dict[str, Tensor]
    tokenizer: Any
    filters: np.ndarray
    in_eight_bits: bool = False

    @property
    def is_multilingual(self) -> bool:
        """True if the model knows several languages."""
        return bool(self.generation.get("is_multilingual", False))

    @property
    def languages(self) -> dict[str, int]:
        """Token ids by language code (``en``); empty for an English-only model."""
        if not self.is_multilingual:
            return {}
        return {token[2:-2]: index for token, index in self.generation["lang_to_id"].items()}

    @property
    def capabilities(self) -> "Capabilities":
        """The languages and tasks that the model was trained for."""
        plain = not self.found.is_demo and not any(part in Path(self.found.name).name for part in NO_TRANSLATION)
        return Capabilities(self.found.name, frozenset(self.languages), plain and self.is_multilingual)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The languages and tasks that a model was trained for; ``languages`` is empty for an English-only one."""

    name: str
    languages: frozenset[str]
    can_translate: bool

    def refusal(self, settings: ClipSettings) -> str | None:
        """The reason why the model cannot decode with these settings; None if it can."""
        name, languages, language = self.name, self.languages, settings.language
        if settings.task == "translate" and not self.can_translate:
            return f"model {name} was not trained to translate; use large-v3 or medium with --task translate"
        if language and languages and language not in languages:
            return f"model {name} does not know the language '{language}'"
        if language not in (None, "en") and not languages:
            return f"model {name} knows English only, so --language {language} cannot be used with it"
        return None


def load(
    found: FoundModel,
    placement: Placement,
    *,
    model_dir: Path | None = None,
    offline: bool = True,
    on_notice: Callable[[str], None] = lambda text: None,
) -> Checkpoint:
    """Load a model onto its device.

    Args:
        found: Where it is stored.
        placement: The device and the compute type.
        model_dir: The cache to look in for a tokenizer if the model has none; None for the hub's cache.
        offline: Never download a tokenizer.
        on_notice: Called with a sentence about anything that the model lacked.

    Raises:
        ModelError: It is not a complete Whisper model.
    """
    from safetensors import SafetensorError

    try:
        stored = formats.recognise(found.path)
        contents = READERS[stored.format](stored)
        config = dict(contents.config)
        if found.shape is not None:
            config |= found.shape.as_config()
            tensors = {name: _random(name, size, placement) for name, size in shapes_of(config)}
        else:
            tensors = {name: _to_device(tensor, placement) for name, tensor in contents.tensors}
            _check_tensors(tensors, config)
        tokenizer = contents.tokenizer
        if tokenizer is None:
            n_vocab = config["vocab_size"]
            tokenizer = vocabulary.openai_tokenizer(n_vocab, model_dir, offline=offline, on_notice=on_notice)
        tokenizer.no_padding()  # the training script's last call may have been saved with it
        tokenizer.no_truncation()
        settings = published.completed(contents.generation, config, tokenizer, found.name)
        for notice in _missing_parts(found, stored.format, settings, has_tokenizer=contents.tokenizer is not None):
            on_notice(notice)
        filters = _mel_filters(config["num_mel_bins"], contents.filters)
        return Checkpoint(found, config, settings.generation, tensors, tokenizer, filters, placement.in_eight_bits)
    except (*UNREADABLE, SafetensorError) as err:
        reason = str(err).strip().partition("\n")[0]
        reason = f"it lacks {reason}" if isinstance(err, KeyError) else reason
        raise ModelError(f"the model in {found.path} cannot be loaded as a Whisper model: {reason}") from err


def _missing_parts(
    found: FoundModel, kind: formats.Format, settings: published.Completed, *, has_tokenizer: bool
) -> Iterator[str]:
    """Sentences about what a checkpoint lacked, except for things that its format never stores."""
    from_openai = (*(() if has_tokenizer else ("tokenizer",)), *settings.from_openai)
    if from_openai:
        yield f"the model {found.name} has no {' and no '.join(from_openai)} of its own; using OpenAI's"
    if settings.from_tokenizer and kind in (formats.Format.TRANSFORMERS, formats.Format.PICKLED):
        what = ", no ".join(settings.from_tokenizer)
        yield f"the settings of the model {found.name} have no {what}; using those of its tokenizer"


def _to_device(tensor: Tensor, placement: Placement) -> Tensor:
    """A tensor on the device in the compute type; moved one by one, so that at most one exists twice."""
    return tensor.to(placement.device, placement.dtype)


def shapes_of(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The name and shape of each tensor of a model with these sizes."""
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


def _check_tensors(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Raise ValueError if a tensor is missing or has the wrong shape, or the model needs something unsupported."""
    if config.get("activation_function", "gelu") != "gelu":
        raise ValueError(f"its activation function {config['activation_function']} is not Whisper's")
    for name, size in shapes_of(config):
        if name not in tensors:
            raise ValueError(f"its weights lack {name}")
        if tensors[name].shape != size:
            raise ValueError(f"its {name} is {tuple(tensors[name].shape)}, but its config.json says {size}")


def _random(name: str, size: tuple[int, ...], placement: Placement) -> Tensor:
    """A tensor as initialised for training, the same at every start."""
    if name.endswith("norm.weight"):
        return torch.ones(size, device=placement.device, dtype=placement.dtype)
    if name.endswith("bias"):
        return torch.zeros(size, device=placement.device, dtype=placement.dtype)
    generator = torch.Generator(placement.device).manual_seed(sum(name.encode()))
    return torch.empty(size, device=placement.device, dtype=placement.dtype).normal_(0.0, 0.02, generator=generator)


def _mel_filters(n_mels: int, own: np.ndarray | None) -> np.ndarray:
    """The mel filter bank: Whisper's, or the file's own if that differs by more than rounding.

    This keeps transcripts the same to the byte in every format: OpenAI's stored filters differ in the last bits.
    """
    bank = mel_filters(n_mels, N_FFT, SAMPLE_RATE)
    if own is None or (own.shape == bank.shape and np.allclose(own, bank, rtol=0.0, atol=CLOSE)):
        return bank
    if own.shape != bank.shape:
        raise ValueError(f"its mel filters have the shape {own.shape}, but {bank.shape} is needed")
    return own
