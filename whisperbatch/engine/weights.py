"""A model's folder to tensors on the device, settings and tokenizer.

Comes in: what ``checkpoint`` found. Goes out: a ``Checkpoint``, whole or refused in one sentence. Who calls:
``engine/build``. Names and files are those of transformers' Whisper, which is not imported for it: its model classes
alone take longer to import than the rest of a start takes together. Of it come the mel filter bank, and the tokenizer
of a folder that has it in several files.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whisperbatch.engine.checkpoint import NO_TRANSLATION, WEIGHTS, Found
from whisperbatch.engine.devices import Place
from whisperbatch.engine.features import N_FFT
from whisperbatch.errors import ModelError
from whisperbatch.records import SAMPLE_RATE, ClipSettings

SINGLE, INDEX = WEIGHTS
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError)


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
    def abilities(self) -> "Abilities":
        """What it was trained for."""
        plain = not self.found.is_demo and not any(part in Path(self.found.name).name for part in NO_TRANSLATION)
        return Abilities(self.found.name, frozenset(self.languages), plain and self.is_multilingual)


@dataclass(frozen=True, slots=True)
class Abilities:
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


def load(found: Found, place: Place) -> Checkpoint:
    """The model on its device; ModelError with a sentence when the folder is not a whole Whisper."""
    from safetensors import SafetensorError

    try:
        config = _json(found.folder / "config.json")
        if config.get("model_type") != "whisper":
            raise ValueError(f"its config.json is of a {config.get('model_type')} model")
        if found.shape is not None:
            config |= found.shape.as_config()
            tensors = {name: _random(name, size, place) for name, size in shapes_of(config)}
        else:
            tensors = _tensors(found.folder, place)
            _require(tensors, config)
        generation = {**config, **_json(found.folder / "generation_config.json", {})}
        filters = _mel_filters(config["num_mel_bins"])
        tokenizer = _tokenizer(found.folder)
        return Checkpoint(found, config, generation, tensors, tokenizer, filters, place.in_eight_bits)
    except (*UNREADABLE, SafetensorError) as err:
        reason = str(err).strip().partition("\n")[0]
        raise ModelError(f"the model in {found.folder} cannot be loaded as a Whisper model: {reason}") from err


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


def _tensors(folder: Path, place: Place) -> dict[str, Tensor]:
    """All tensors of a folder, in one file or in several, in the number format of ``place``."""
    from safetensors.torch import load_file

    files = [SINGLE]
    if not (folder / SINGLE).is_file():
        files = sorted(set(_json(folder / INDEX)["weight_map"].values()))
    found = {}
    for file in files:
        for name, tensor in load_file(folder / file, device=str(place.device)).items():
            found[name.removeprefix("model.")] = tensor.to(place.dtype)
    return found


def _random(name: str, size: tuple[int, ...], place: Place) -> Tensor:
    """A tensor as training would begin with, the same at every start."""
    if name.endswith("norm.weight"):
        return torch.ones(size, device=place.device, dtype=place.dtype)
    if name.endswith("bias"):
        return torch.zeros(size, device=place.device, dtype=place.dtype)
    generator = torch.Generator(place.device).manual_seed(sum(name.encode()))
    return torch.empty(size, device=place.device, dtype=place.dtype).normal_(0.0, 0.02, generator=generator)


def _tokenizer(folder: Path) -> Any:
    if (folder / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        if "model" not in _json(folder / "tokenizer.json"):  # else a bare Exception comes out of the library
            raise ValueError("its tokenizer.json holds no vocabulary")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    else:
        from transformers import WhisperTokenizerFast

        tokenizer = WhisperTokenizerFast.from_pretrained(folder, local_files_only=True).backend_tokenizer
    tokenizer.no_padding()  # the training script's last call may have been saved with it
    tokenizer.no_truncation()
    return tokenizer


def _mel_filters(n_mels: int) -> np.ndarray:
    from transformers.audio_utils import mel_filter_bank

    return mel_filter_bank(N_FFT // 2 + 1, n_mels, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, norm="slaney", mel_scale="slaney")


def _json(path: Path, otherwise: dict[str, Any] | None = None) -> dict[str, Any]:
    if otherwise is not None and not path.is_file():
        return otherwise
    return json.loads(path.read_text(encoding="utf-8"))
