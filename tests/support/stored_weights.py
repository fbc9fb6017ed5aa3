"""One set of weights in each format that people have: written by programs that no one here wrote, where there are any.

CTranslate2 converts by itself, openai-whisper's module names its own tensors, torch pickles them; ggml's layout has no
writer for Python, so ``ggml`` writes it as whisper.cpp's script does, its quantised values by the package gguf.
"""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import ctranslate2
import numpy as np
import torch
import whisper
from safetensors.torch import load_file, save_file

from whisperbatch.demo.training import peers

QUANTISED = {"q4_0": 2, "q5_0": 6, "q5_1": 7, "q8_0": 8}  # ggml's number of the type; the same as of the file here
MAGIC = 0x67676D6C


def transformers(folder: Path, target: Path) -> Path:
    """The folder as it is."""
    return folder


def sharded(folder: Path, target: Path) -> Path:
    """Its weights in two files, with an index."""
    target.mkdir()
    _copy_settings(folder, target)
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    index = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, target / file)
        index |= dict.fromkeys(part, file)
    (target / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return target


def pickled(folder: Path, target: Path) -> Path:
    """The older file of transformers."""
    target.mkdir()
    _copy_settings(folder, target)
    torch.save(load_file(folder / "model.safetensors"), target / "pytorch_model.bin")
    return target


def ct2(folder: Path, target: Path, quantization: str | None = None) -> Path:
    """CTranslate2's folder, by its own converter."""
    converter = ctranslate2.converters.TransformersConverter(str(folder), copy_files=["tokenizer.json"])
    converter.convert(str(target), quantization=quantization)
    return target


def openai(folder: Path, target: Path) -> Path:
    """OpenAI's file, the tensors named by openai-whisper's own module."""
    model = peers.openai_whisper(folder)
    state = {name: tensor.half() for name, tensor in model.state_dict().items()}
    file = target.with_name(f"{target.name}.pt")
    torch.save({"dims": vars(model.dims), "model_state_dict": state}, file)
    return file


def ggml(folder: Path, target: Path, kind: str = "f16") -> Path:
    """whisper.cpp's file."""
    model = peers.openai_whisper(folder)
    dims, file = model.dims, target.with_name(f"{target.name}.bin")
    sizes = (dims.n_vocab, dims.n_audio_ctx, dims.n_audio_state, dims.n_audio_head, dims.n_audio_layer)
    sizes += (dims.n_text_ctx, dims.n_text_state, dims.n_text_head, dims.n_text_layer, dims.n_mels)
    number = {"f32": 0, "f16": 1}.get(kind, 2000 + {"q4_0": 2, "q5_0": 8, "q5_1": 9, "q8_0": 7}.get(kind, 0))
    filters = whisper.audio.mel_filters("cpu", dims.n_mels).numpy().astype(np.float32)
    is_multilingual = dims.n_vocab > 51_864
    tokens = whisper.tokenizer.get_encoding("multilingual" if is_multilingual else "gpt2")._mergeable_ranks
    with file.open("wb") as out:
        out.write(struct.pack("<12i", MAGIC, *sizes, number))
        out.write(struct.pack("<2i", *filters.shape) + filters.tobytes() + struct.pack("<i", len(tokens)))
        for token in sorted(tokens, key=lambda one: tokens[one]):
            out.write(struct.pack("<i", len(token)) + token)
        for name, tensor in model.state_dict().items():
            _write(out.write, name, tensor.numpy(), kind)
    return file


def _write(put: Callable[[bytes], object], name: str, values: np.ndarray, kind: str) -> None:
    from gguf import GGMLQuantizationType, quants

    if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
        values = values[:, None]
    is_small = values.ndim < 2 or values.shape[-1] == 1 or name.endswith("positional_embedding")
    number, data = (0, values.astype(np.float32)) if is_small or kind == "f32" else (1, values.astype(np.float16))
    if kind in QUANTISED and values.ndim == 2 and not is_small:
        number = QUANTISED[kind]
        data = quants.quantize(values.astype(np.float32), GGMLQuantizationType(number))
    encoded = name.encode()
    put(struct.pack("<3i", values.ndim, len(encoded), number))
    put(struct.pack(f"<{values.ndim}i", *values.shape[::-1]) + encoded + data.tobytes())


def _copy_settings(folder: Path, target: Path) -> None:
    for file in folder.glob("*.json"):
        (target / file.name).write_bytes(file.read_bytes())


WRITERS: dict[str, Callable[[Path, Path], Path]] = {
    "transformers": transformers,
    "sharded": sharded,
    "pickled": pickled,
    "ctranslate2": ct2,
    "openai": openai,
    "ggml": ggml,
}
