"""Read OpenAI's ``.pt`` files: pickles of sizes and tensors that openai-whisper downloads and fine-tuning scripts save.

The pickle is opened with ``weights_only``: it may hold tensors and plain values, but no code. Names are those of
openai-whisper's modules (whisper/model.py, MIT); ``renamed`` translates them to transformers', for whisper.cpp too.
"""

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whisperbatch.engine.model.formats import StoredWeights
from whisperbatch.engine.model.formats.contents import Contents, config_of
from whisperbatch.engine.model.formats.vocabulary import in_folder

_PARTS = (  # parts of names, OpenAI's and transformers'; longer ones first
    ("cross_attn_ln", "encoder_attn_layer_norm"),
    ("attn_ln", "self_attn_layer_norm"),
    ("mlp_ln", "final_layer_norm"),
    ("cross_attn", "encoder_attn"),
    ("attn", "self_attn"),
    ("query", "q_proj"),
    ("key", "k_proj"),
    ("value", "v_proj"),
    ("out", "out_proj"),
    ("mlp.0", "fc1"),
    ("mlp.2", "fc2"),
)
_WHOLE = {
    "encoder.positional_embedding": "encoder.embed_positions.weight",
    "decoder.positional_embedding": "decoder.embed_positions.weight",
    "decoder.token_embedding.weight": "decoder.embed_tokens.weight",
    "encoder.ln_post.weight": "encoder.layer_norm.weight",
    "encoder.ln_post.bias": "encoder.layer_norm.bias",
    "decoder.ln.weight": "decoder.layer_norm.weight",
    "decoder.ln.bias": "decoder.layer_norm.bias",
}


def read(stored: StoredWeights) -> Contents:
    """Read a file; ValueError, KeyError or TypeError if it is not a complete Whisper model."""
    (file,) = stored.files
    found = unpickled(file)
    dims, tensors = found.get("dims"), found.get("model_state_dict")
    if not isinstance(dims, Mapping) or not isinstance(tensors, Mapping):
        raise ValueError("it lacks the sizes and weights that openai-whisper saves (dims, model_state_dict)")
    config = config_of(
        n_mels=dims["n_mels"],
        d_model=dims["n_audio_state"],
        n_heads=(dims["n_audio_head"], dims["n_text_head"]),
        n_layers=(dims["n_audio_layer"], dims["n_text_layer"]),
        n_vocab=dims["n_vocab"],
        n_audio=dims["n_audio_ctx"],
        n_context=dims["n_text_ctx"],
    )
    return Contents(config, {}, _tensors(tensors), in_folder(stored.folder))


def unpickled(file: Path) -> dict[str, Any]:
    """A pickle's plain values and tensors; ValueError if it holds anything else or is damaged."""
    try:
        with file.open("rb") as stream:
            is_zip = stream.read(4) == b"PK\x03\x04"  # only zip archives can be memory-mapped
        found = torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as err:
        raise ValueError("the pickle is damaged or holds more than weights; code in it is never run") from err
    except (RuntimeError, EOFError, AttributeError, IndexError, AssertionError) as err:
        raise ValueError(
            f"the pickle is damaged ({str(err).strip().partition(chr(10))[0] or type(err).__name__})"
        ) from err
    if not isinstance(found, dict):
        raise ValueError("the pickle holds no weights")
    return found


def renamed(name: str) -> str:
    """Transformers' name of a tensor, given openai-whisper's."""
    if name in _WHOLE:
        return _WHOLE[name]
    side, blocks, rest = name.partition(".blocks.")
    if not blocks:
        return name
    index, _, part = rest.partition(".")
    module, _, inner = _part(part).partition(".")
    return f"{side}.layers.{index}.{module}.{_part(inner)}"


def _part(name: str) -> str:
    """A name with its first part replaced by transformers'."""
    for theirs, ours in _PARTS:
        if name.startswith(theirs + "."):
            return ours + name[len(theirs) :]
    return name


def _tensors(tensors: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors.items():
        if isinstance(tensor, torch.Tensor):
            yield renamed(name), tensor
