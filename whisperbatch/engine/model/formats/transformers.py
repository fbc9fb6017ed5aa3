"""Read Hugging Face folders: ``config.json``, ``generation_config.json``, a tokenizer, weights in one or more files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whisperbatch.engine.model.formats import Format, StoredWeights
from whisperbatch.engine.model.formats.contents import Contents
from whisperbatch.engine.model.formats.openai import unpickled
from whisperbatch.engine.model.formats.vocabulary import in_folder

PREFIX = "model."
SHARED = "proj_out.weight"  # the same tensor as the token embedding


def read(stored: StoredWeights) -> Contents:
    """Read a folder; ValueError, KeyError or OSError if it is not a complete Whisper model."""
    config = settings(stored.folder / "config.json")
    if config.get("model_type") != "whisper":
        raise ValueError(f"its config.json is of a {config.get('model_type')} model")
    generation = settings(stored.folder / "generation_config.json", {})
    tensors = _safe(stored.files) if stored.format is Format.TRANSFORMERS else _pickled(stored.files)
    return Contents(config, {**config, **generation}, tensors, in_folder(stored.folder))


def settings(path: Path, otherwise: dict[str, Any] | None = None) -> dict[str, Any]:
    """A file of settings; ``otherwise``, if given, when there is no such file."""
    if otherwise is not None and not path.is_file():
        return otherwise
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"its {path.name} holds no settings")
    return found


def _safe(files: tuple[Path, ...]) -> Iterator[tuple[str, Tensor]]:
    from safetensors import safe_open

    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - the handle is not a mapping
                if name != SHARED:
                    yield name.removeprefix(PREFIX), tensors.get_tensor(name)


def _pickled(files: tuple[Path, ...]) -> Iterator[tuple[str, Tensor]]:
    for file in files:
        for name, tensor in unpickled(file).items():
            if name != SHARED and isinstance(tensor, torch.Tensor):
                yield name.removeprefix(PREFIX), tensor
