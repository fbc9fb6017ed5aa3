"""Load a Hugging Face Whisper folder in two other programs, openai-whisper and faster-whisper, to compare with them."""

import json
from pathlib import Path

import ctranslate2
import torch
import whisper
from faster_whisper import WhisperModel
from safetensors.torch import load_file
from whisper.model import ModelDimensions, Whisper

# Hugging Face's part of a name -> openai-whisper's; longer ones first
_RENAMED = (
    ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("self_attn_layer_norm", "attn_ln"),
    ("final_layer_norm", "mlp_ln"),
    ("encoder_attn", "cross_attn"),
    ("self_attn", "attn"),
    ("q_proj", "query"),
    ("k_proj", "key"),
    ("v_proj", "value"),
    ("out_proj", "out"),
    ("fc1", "mlp.0"),
    ("fc2", "mlp.2"),
    ("layers", "blocks"),
    ("encoder.layer_norm", "encoder.ln_post"),
    ("decoder.layer_norm", "decoder.ln"),
    ("embed_tokens", "token_embedding"),
    ("embed_positions.weight", "positional_embedding"),
)


def openai_whisper(folder: Path) -> Whisper:
    """Return openai-whisper's model on the CPU in float32, from the renamed state dict."""
    config = json.loads((folder / "config.json").read_text())
    sizes = ModelDimensions(
        n_mels=config["num_mel_bins"],
        n_audio_ctx=config["max_source_positions"],
        n_audio_state=config["d_model"],
        n_audio_head=config["encoder_attention_heads"],
        n_audio_layer=config["encoder_layers"],
        n_vocab=config["vocab_size"],
        n_text_ctx=config["max_target_positions"],
        n_text_state=config["d_model"],
        n_text_head=config["decoder_attention_heads"],
        n_text_layer=config["decoder_layers"],
    )
    model = whisper.model.Whisper(sizes)
    state = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        renamed = name.removeprefix("model.")
        for theirs, ours in _RENAMED:
            renamed = renamed.replace(theirs, ours)
        state[renamed] = tensor.float()
    model.load_state_dict(state)
    heads = torch.zeros(sizes.n_text_layer, sizes.n_text_head, dtype=torch.bool)
    for layer, head in json.loads((folder / "generation_config.json").read_text())["alignment_heads"]:
        heads[layer, head] = True
    model.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)
    return model.eval()


def faster_whisper(folder: Path, converted: Path, n_threads: int = 0) -> WhisperModel:
    """Return faster-whisper's model on the CPU in float32; the converted weights are written to ``converted``."""
    converter = ctranslate2.converters.TransformersConverter(
        str(folder), copy_files=["tokenizer.json", "preprocessor_config.json"]
    )
    converter.convert(str(converted), force=True)
    model = WhisperModel(str(converted), device="cpu", compute_type="float32", cpu_threads=n_threads)
    assert model.model.is_multilingual  # otherwise language detection is off, silently
    return model
