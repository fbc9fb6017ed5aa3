"""Read whisper.cpp's ggml ``.bin`` files: sizes, mel filters, vocabulary and tensors.

Layout (whisper.cpp's ``convert-pt-to-ggml.py`` and ``whisper_model_load``, MIT): the magic, eleven sizes, the filter
bank, the tokens' bytes, then each tensor (axes, length of its name, type, sizes from the last axis to the first, name,
values). In the quantised types blocks of 32 values share a scale (ggml's ``ggml-quants.c``, MIT).
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from whisperbatch.engine.model.formats import GGML_MAGIC, StoredWeights
from whisperbatch.engine.model.formats.binary import MAX_AXES, Binary
from whisperbatch.engine.model.formats.contents import Contents, config_of
from whisperbatch.engine.model.formats.openai import renamed
from whisperbatch.engine.model.formats.vocabulary import from_bytes

N_BLOCK = 32  # values
MAX_TOKEN = 256  # bytes
MAX_VOCABULARY = 10**6
PLAIN = {0: torch.float32, 1: torch.float16, 30: torch.bfloat16}  # by ggml's type number
NAMES = {10: "q2_k", 11: "q3_k", 12: "q4_k", 13: "q5_k", 14: "q6_k", 15: "q8_k"}


def read(stored: StoredWeights) -> Contents:
    """Read a file; ValueError if it is not a complete Whisper model."""
    file = Binary(stored.files[0])
    if file.bytes(4) != GGML_MAGIC:
        raise ValueError("it is not a ggml file")
    n_vocab, n_audio, d_model, n_heads, n_layers, n_context, _, n_text_heads, n_text_layers, n_mels, _ = file.numbers(
        "i" * 11
    )
    config = config_of(
        n_mels=n_mels,
        d_model=d_model,
        n_heads=(n_heads, n_text_heads),
        n_layers=(n_layers, n_text_layers),
        n_vocab=n_vocab,
        n_audio=n_audio,
        n_context=n_context,
    )
    filters = file.tensor(torch.float32, file.numbers("ii")).numpy().T
    n_tokens = file.number("i")
    if not 0 < n_tokens <= MAX_VOCABULARY:
        raise ValueError(f"it holds {n_tokens} tokens")
    tokenizer = from_bytes([_token(file) for _ in range(n_tokens)], n_vocab)
    return Contents(config, {}, _tensors(file), tokenizer, filters)


def _token(file: Binary) -> bytes:
    n_bytes = file.number("i")
    if n_bytes > MAX_TOKEN:
        raise ValueError(f"it holds a token of {n_bytes} bytes")
    return file.bytes(n_bytes)


def _tensors(file: Binary) -> Iterator[tuple[str, Tensor]]:
    while not file.is_at_end:
        n_axes, n_name, kind = file.numbers("iii")
        if not 0 < n_axes <= MAX_AXES:
            raise ValueError(f"it holds a tensor of {n_axes} axes")
        shape = file.numbers("i" * n_axes)[::-1]
        name = file.bytes(n_name).decode()
        tensor = _values(file, name, kind, shape)
        yield renamed(name), tensor.squeeze(1) if name.endswith(("conv1.bias", "conv2.bias")) else tensor


def _values(file: Binary, name: str, kind: int, shape: tuple[int, ...]) -> Tensor:
    if kind in PLAIN:
        return file.tensor(PLAIN[kind], shape)
    if kind not in BLOCKS:
        raise ValueError(
            f"its {name} is in {NAMES.get(kind, f'type {kind}')}; supported: f32, f16, q8_0, q5_0, q5_1, q4_0, q4_1"
        )
    n_bytes, values = BLOCKS[kind]
    if shape[-1] % N_BLOCK or any(size <= 0 for size in shape):
        raise ValueError(f"its {name} has {shape[-1]} values per row, not a whole number of blocks")
    n_blocks = shape[-1] // N_BLOCK
    blocks = file.tensor(torch.uint8, (torch.Size(shape[:-1]).numel() * n_blocks, n_bytes))
    return values(blocks).reshape(shape)


def _halves(blocks: Tensor, first: int, n: int = 1) -> Tensor:
    """``n`` float16 numbers of each block from byte ``first`` on, as float32 (n_blocks, n)."""
    return blocks[:, first : first + 2 * n].contiguous().view(torch.float16).float()


def _nibbles(blocks: Tensor, first: int) -> Tensor:
    """16 bytes of each block as 32 numbers: all low halves, then all high ones."""
    packed = blocks[:, first : first + 16]
    return torch.cat([packed & 15, packed >> 4], dim=1).int()


def _fifth_bits(blocks: Tensor, first: int) -> Tensor:
    """4 bytes of each block as 32 bits, each worth 16."""
    packed = blocks[:, first : first + 4, None].int()
    return ((packed >> torch.arange(8, dtype=torch.int32)) & 1).flatten(1) << 4


def _q4_0(blocks: Tensor) -> Tensor:
    return (_nibbles(blocks, 2) - 8) * _halves(blocks, 0)


def _q4_1(blocks: Tensor) -> Tensor:
    return _nibbles(blocks, 4) * _halves(blocks, 0) + _halves(blocks, 2)


def _q5_0(blocks: Tensor) -> Tensor:
    return ((_nibbles(blocks, 6) | _fifth_bits(blocks, 2)) - 16) * _halves(blocks, 0)


def _q5_1(blocks: Tensor) -> Tensor:
    return (_nibbles(blocks, 8) | _fifth_bits(blocks, 4)) * _halves(blocks, 0) + _halves(blocks, 2)


def _q8_0(blocks: Tensor) -> Tensor:
    return blocks[:, 2:].contiguous().view(torch.int8) * _halves(blocks, 0)


BLOCKS: dict[
    int, tuple[int, Callable[[Tensor], Tensor]]
] = {  # a block's bytes, and the function that returns its values in float32
    2: (18, _q4_0),
    3: (20, _q4_1),
    6: (22, _q5_0),
    7: (24, _q5_1),
    8: (34, _q8_0),
}
