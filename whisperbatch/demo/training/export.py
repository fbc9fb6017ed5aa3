"""Export the trained network as a Hugging Face Whisper folder: float16 safetensors, settings, tokenizer.

transformers loads the folder unchanged, openai-whisper with its state dict renamed, faster-whisper after conversion.
"""

import json
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from whisper.tokenizer import LANGUAGES, get_tokenizer

from whisperbatch.demo.training import network as net
from whisperbatch.demo.training import vocabulary as ids
from whisperbatch.demo.training.vocabulary import Vocabulary

ALIGNMENT_HEADS = [[net.N_DECODER_LAYERS - 1, 0], [net.N_DECODER_LAYERS - 1, 1]]  # the guided ones
EMPTY = 50_256  # must stay the empty string: CTranslate2 recognises a multilingual tokenizer by it
AUXILIARY = ("phoneme_head", "word_head")


def write(state: Mapping[str, Tensor], vocabulary: Vocabulary, folder: Path) -> None:
    """Write the model to ``folder``, which is created if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": t for name, t in state.items() if not name.startswith(AUXILIARY)}
    name = "model.decoder.embed_tokens.weight"
    tensors[name] = _spread(tensors[name], vocabulary)
    halves = {key: tensor.detach().to("cpu", torch.float16).contiguous() for key, tensor in tensors.items()}
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    for file, content in (
        ("config.json", _config()),
        ("generation_config.json", _generation_config()),
        ("preprocessor_config.json", _preprocessor_config()),
        ("tokenizer.json", _tokenizer(vocabulary)),
        ("tokenizer_config.json", _tokenizer_config()),
    ):
        indent = None if file == "tokenizer.json" else 2
        (folder / file).write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


def read(folder: Path, vocabulary: Vocabulary) -> dict[str, Tensor]:
    """Read the network's state from a folder that ``write`` made; the auxiliary heads are not in it."""
    tensors = {name.removeprefix("model."): t.float() for name, t in load_file(folder / "model.safetensors").items()}
    full = tensors["decoder.embed_tokens.weight"]
    unused = next(index for index in range(ids.N_VOCAB) if index not in vocabulary.compact)
    tensors["decoder.embed_tokens.weight"] = full[[*vocabulary.ids.tolist(), unused]]
    return tensors


def mean(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Average the weights of two trainings by name; heads that only one has are left out."""
    return {name: (one[name].float().cpu() + other[name].float().cpu()) / 2 for name in one if name in other}


def _spread(compact: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Return rows for all ids, (n_vocab, d_model); unused ids share one row."""
    full = compact[vocabulary.unused].expand(ids.N_VOCAB, -1).clone()
    full[torch.from_numpy(vocabulary.ids)] = compact[: len(vocabulary.ids)]
    return full


def _special_ids() -> dict[str, int]:
    return {
        "bos_token_id": ids.EOT,
        "decoder_start_token_id": ids.SOT,
        "eos_token_id": ids.EOT,
        "pad_token_id": ids.EOT,
    }


def _config() -> dict[str, Any]:
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "activation_function": "gelu",
        "d_model": net.D_MODEL,
        "encoder_attention_heads": net.N_HEADS,
        "encoder_ffn_dim": net.D_FF,
        "encoder_layers": net.N_ENCODER_LAYERS,
        "decoder_attention_heads": net.N_HEADS,
        "decoder_ffn_dim": net.D_FF,
        "decoder_layers": net.N_DECODER_LAYERS,
        "num_hidden_layers": net.N_ENCODER_LAYERS,
        "num_mel_bins": net.N_MELS,
        "max_source_positions": net.N_AUDIO,
        "max_target_positions": net.N_TEXT,
        "vocab_size": ids.N_VOCAB,
        "is_encoder_decoder": True,
        "scale_embedding": False,
        "tie_word_embeddings": True,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "dtype": "float16",
        **_special_ids(),
    }


def _generation_config() -> dict[str, Any]:
    tokenizer = get_tokenizer(True, num_languages=99)
    never = sorted(
        {
            *tokenizer.non_speech_tokens,
            ids.SOT,
            ids.TRANSLATE,
            ids.TRANSCRIBE,
            ids.SOLM,
            ids.SOP,
            ids.NO_SPEECH,
        }
    )
    return {
        "alignment_heads": ALIGNMENT_HEADS,
        # end of text is allowed at the beginning: silence without timestamps is empty
        "begin_suppress_tokens": [ids.BLANK],
        "is_multilingual": True,
        "lang_to_id": {f"<|{code}|>": ids.SOT + 1 + index for index, code in enumerate(list(LANGUAGES)[:99])},
        "max_initial_timestamp_index": 50,
        "max_length": net.N_TEXT,
        "no_timestamps_token_id": ids.NO_TIMESTAMPS,
        "prev_sot_token_id": ids.SOP,
        "return_timestamps": False,
        "suppress_tokens": never,
        "task_to_id": {"transcribe": ids.TRANSCRIBE, "translate": ids.TRANSLATE},
        **_special_ids(),
    }


def _preprocessor_config() -> dict[str, Any]:
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "WhisperProcessor",
        "feature_size": net.N_MELS,
        "sampling_rate": 16_000,
        "hop_length": 160,
        "n_fft": 400,
        "chunk_length": 30,
        "n_samples": 480_000,
        "nb_max_frames": 3_000,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }


def _tokenizer_config() -> dict[str, Any]:
    end = "<|endoftext|>"
    return {
        "tokenizer_class": "WhisperTokenizer",
        "processor_class": "WhisperProcessor",
        "add_prefix_space": False,
        "bos_token": end,
        "eos_token": end,
        "pad_token": end,
        "unk_token": end,
        "errors": "replace",
        "model_max_length": 1024,
    }


def _tokenizer(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return a byte-level BPE with real strings for used ids, closed under their merges, and placeholders elsewhere."""
    ranks = {token: rank for token, rank in vocabulary.encoding._mergeable_ranks.items() if rank < EMPTY}
    bytes_of = {rank: token for token, rank in ranks.items()}
    real = {rank for rank, token in bytes_of.items() if len(token) == 1}
    merges: dict[int, tuple[bytes, bytes]] = {}
    wanted = [rank for rank in vocabulary.text_ids if rank not in real]
    while wanted:
        rank = wanted.pop()
        real.add(rank)
        merges[rank] = _parts(bytes_of[rank], ranks)
        wanted += [ranks[part] for part in merges[rank] if ranks[part] not in real]
    spelled = {rank: _visible(bytes_of[rank]) if rank in real else f"<|unused{rank}|>" for rank in bytes_of}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added_token(*pair) for pair in _added(vocabulary)],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
        "post_processor": _template(),
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {spelled[rank]: rank for rank in sorted(spelled)} | {"": EMPTY},
            "merges": [[_visible(part) for part in merges[rank]] for rank in sorted(merges)],
        },
    }


def _parts(token: bytes, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes]:
    """Return the two tokens that byte-pair encoding joins last to make ``token``."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        pairs = [ranks.get(a + b, len(ranks)) for a, b in pairwise(parts)]
        at = pairs.index(min(pairs))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]


def _visible(token: bytes) -> str:
    """Spell bytes as byte-level BPE does: printable Latin-1 as is, the rest from U+0100 on (GPT-2's table)."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    moved = {byte: chr(0x100 + index) for index, byte in enumerate(b for b in range(256) if b not in plain)}
    return "".join(moved.get(byte, chr(byte)) for byte in token)


def _added(vocabulary: Vocabulary) -> list[tuple[int, str, bool]]:
    """Return (id, text, is_special) of all ids from end-of-text on."""
    specials = sorted((index, text) for text, index in vocabulary.encoding._special_tokens.items())
    return [(index, text, index < ids.TIMESTAMP_0) for index, text in specials]


def _added_token(index: int, text: str, special: bool) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}
    return {"id": index, "content": text, **flags}


def _template() -> dict[str, Any]:
    def special(text: str) -> dict[str, Any]:
        return {"SpecialToken": {"id": text, "type_id": 0}}

    start, plain, end = "<|startoftranscript|>", "<|notimestamps|>", "<|endoftext|>"
    around = {start: ids.SOT, plain: ids.NO_TIMESTAMPS, end: ids.EOT}
    return {
        "type": "TemplateProcessing",
        "single": [special(start), special(plain), {"Sequence": {"id": "A", "type_id": 0}}, special(end)],
        "pair": [
            special(start),
            special(plain),
            {"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 1}},
            special(end),
        ],
        "special_tokens": {text: {"id": text, "ids": [index], "tokens": [text]} for text, index in around.items()},
    }


def main() -> None:
    """Export a training state: ``python -m whisperbatch.demo.training.export STATE FOLDER``."""
    state_file, folder = map(Path, sys.argv[1:])
    write(torch.load(state_file, weights_only=True, map_location="cpu")["network"], Vocabulary(), folder)


if __name__ == "__main__":
    main()
