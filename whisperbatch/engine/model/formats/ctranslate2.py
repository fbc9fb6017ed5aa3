"""Read CTranslate2 folders, the format of faster-whisper, whisperX and whisper-ctranslate2.

Layout of ``model.bin`` (CTranslate2's ``model_spec.py``, MIT, binary versions 4 to 6): version, name and revision of
the specification, then each variable (name, shape, type, bytes), then aliases. 8-bit and 16-bit integer weights are
stored with one scale per row or one in all, and stand for ``value / scale``. Projections that share their input are
stored as one matrix, their rows in order.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whisperbatch.engine.model.formats import StoredWeights
from whisperbatch.engine.model.formats.binary import Binary
from whisperbatch.engine.model.formats.contents import Contents, config_of
from whisperbatch.engine.model.formats.transformers import settings
from whisperbatch.engine.model.formats.vocabulary import from_gpt2_tokens, in_folder

DTYPES = (
    torch.float32,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.float16,
    torch.bfloat16,
)  # by CTranslate2's type number
VERSIONS = range(4, 7)
WHOLE_NUMBERS = (torch.int8, torch.int16)
D_HEAD = 64  # in every Whisper; older files lack the variable with the number of heads

Variables = dict[str, Tensor]


def read(stored: StoredWeights) -> Contents:
    """Read a folder; ValueError, KeyError or OSError if it is not a complete Whisper model."""
    (file,) = stored.files
    variables = _variables(Binary(file))
    table = variables["decoder/embeddings/weight"]
    n_vocab, d_model = table.shape
    n_layers = {side: _count(variables, side) for side in ("encoder", "decoder")}
    n_heads = {side: int(variables.get(f"{side}/num_heads", torch.tensor(d_model // D_HEAD))) for side in n_layers}
    config = config_of(
        n_mels=variables["encoder/conv1/weight"].shape[1],
        d_model=d_model,
        n_heads=(n_heads["encoder"], n_heads["decoder"]),
        n_layers=(n_layers["encoder"], n_layers["decoder"]),
        n_vocab=n_vocab,
        n_audio=variables["encoder/position_encodings/encodings"].shape[0],
        n_context=variables["decoder/position_encodings/encodings"].shape[0],
    )
    stored_config = settings(file.parent / "config.json")
    generation = {
        "alignment_heads": stored_config.get("alignment_heads"),
        "suppress_tokens": stored_config.get("suppress_ids"),
        "begin_suppress_tokens": stored_config.get("suppress_ids_begin"),
    }
    tokenizer = in_folder(file.parent) or _from_vocabulary(file.parent, n_vocab)
    return Contents(config, generation, _tensors(variables, n_layers), tokenizer)


def _variables(file: Binary) -> Variables:
    version = file.number("I")
    _text(file)
    if version not in VERSIONS:
        raise ValueError(f"its model.bin has version {version}; {VERSIONS[0]} to {VERSIONS[-1]} are read")
    file.number("I")  # the specification's revision
    found: Variables = {}
    for _ in range(file.number("I")):
        name, n_axes = _text(file), file.number("B")
        shape = file.numbers("I" * n_axes)
        kind, n_bytes = file.numbers("BI")
        if kind >= len(DTYPES):
            raise ValueError(f"its {name} has the unknown type {kind}")
        found[name] = file.tensor(DTYPES[kind], shape)
        if found[name].nbytes != n_bytes:
            raise ValueError(f"its {name} has {n_bytes} bytes, but its shape needs {found[name].nbytes}")
    for _ in range(file.number("I")):
        alias, name = _text(file), _text(file)
        found[alias] = found[name]
    return found


def _text(file: Binary) -> str:
    return file.bytes(file.number("H")).rstrip(b"\x00").decode()


def _count(variables: Variables, side: str) -> int:
    start = f"{side}/layer_"
    numbers = {name.removeprefix(start).partition("/")[0] for name in variables if name.startswith(start)}
    return sum(number.isdecimal() for number in numbers)


def _weight(variables: Variables, name: str) -> Tensor:
    """A weight, dequantised if it is stored in integers."""
    weight = variables[f"{name}/weight"]
    if weight.dtype not in WHOLE_NUMBERS:
        return weight
    scale = variables[f"{name}/weight_scale"].float()
    return weight.float() / (scale.view(-1, *[1] * (weight.dim() - 1)) if scale.dim() else scale)


def _tensors(variables: Variables, n_layers: Mapping[str, int]) -> Iterator[tuple[str, Tensor]]:
    for name in ("conv1", "conv2"):
        yield f"encoder.{name}.weight", _weight(variables, f"encoder/{name}")
        yield f"encoder.{name}.bias", variables[f"encoder/{name}/bias"]
    yield "decoder.embed_tokens.weight", _weight(variables, "decoder/embeddings")
    for side, n in n_layers.items():
        yield f"{side}.embed_positions.weight", variables[f"{side}/position_encodings/encodings"]
        yield from _norm(variables, f"{side}/layer_norm", f"{side}.layer_norm")
        for index in range(n):
            yield from _layer(
                variables, f"{side}/layer_{index}", f"{side}.layers.{index}", is_decoder=side == "decoder"
            )


def _layer(variables: Variables, theirs: str, ours: str, *, is_decoder: bool) -> Iterator[tuple[str, Tensor]]:
    attention = f"{theirs}/self_attention"
    yield from _products(variables, f"{attention}/linear_0", f"{ours}.self_attn", ("q_proj", "k_proj", "v_proj"))
    yield from _products(variables, f"{attention}/linear_1", f"{ours}.self_attn", ("out_proj",))
    yield from _norm(variables, f"{attention}/layer_norm", f"{ours}.self_attn_layer_norm")
    if is_decoder:
        attention = f"{theirs}/attention"
        yield from _products(variables, f"{attention}/linear_0", f"{ours}.encoder_attn", ("q_proj",))
        yield from _products(variables, f"{attention}/linear_1", f"{ours}.encoder_attn", ("k_proj", "v_proj"))
        yield from _products(variables, f"{attention}/linear_2", f"{ours}.encoder_attn", ("out_proj",))
        yield from _norm(variables, f"{attention}/layer_norm", f"{ours}.encoder_attn_layer_norm")
    yield from _products(variables, f"{theirs}/ffn/linear_0", ours, ("fc1",))
    yield from _products(variables, f"{theirs}/ffn/linear_1", ours, ("fc2",))
    yield from _norm(variables, f"{theirs}/ffn/layer_norm", f"{ours}.final_layer_norm")


def _products(variables: Variables, theirs: str, ours: str, parts: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    """Split projections that are stored as one; Whisper's keys have no bias, and zeros are stored in its place."""
    weights, biases = _weight(variables, theirs).chunk(len(parts)), variables[f"{theirs}/bias"].chunk(len(parts))
    for part, weight, bias in zip(parts, weights, biases, strict=True):
        yield f"{ours}.{part}.weight", weight
        if part != "k_proj":
            yield f"{ours}.{part}.bias", bias
        elif bias.any():
            raise ValueError(f"its keys in {theirs} have a bias, which Whisper's do not")


def _norm(variables: Variables, theirs: str, ours: str) -> Iterator[tuple[str, Tensor]]:
    yield f"{ours}.weight", variables[f"{theirs}/gamma"]
    yield f"{ours}.bias", variables[f"{theirs}/beta"]


def _from_vocabulary(folder: Path, n_vocab: int) -> Any:
    """A tokenizer built from the folder's list of tokens; None if there is no list."""
    if (folder / "vocabulary.json").is_file():
        return from_gpt2_tokens(json.loads((folder / "vocabulary.json").read_text(encoding="utf-8")), n_vocab)
    if (folder / "vocabulary.txt").is_file():
        return from_gpt2_tokens((folder / "vocabulary.txt").read_text(encoding="utf-8").split("\n"), n_vocab)
    return None
