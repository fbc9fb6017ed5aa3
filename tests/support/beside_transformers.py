"""Greedy text of a clip through transformers' ``generate``."""

import numpy as np
import torch
from transformers import WhisperFeatureExtractor

import model_engine


def generated(samples: np.ndarray, language: str) -> tuple[list[int], torch.Tensor]:
    """What transformers' ``generate`` gives for a clip: tokens without opening and end, and scores by step."""
    found = model_engine.reference()
    features = WhisperFeatureExtractor()(samples.astype(np.float32) / 32768, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        out = found.generate(
            features.input_features,
            **({"language": language, "task": "transcribe"} if model_engine.spelling().languages else {}),
            return_timestamps=False,
            num_beams=1,
            do_sample=False,
            max_new_tokens=224,
            force_unique_generate_call=True,
            return_dict_in_generate=True,
            output_scores=True,
        )
    tokens = [token for token in out.sequences[0].tolist()[-len(out.scores) :] if token < model_engine.spelling().end]
    return tokens, torch.cat(out.scores)


def is_tie(scores: torch.Tensor, ours: list[int], theirs: list[int]) -> bool:
    """Whether the two best were as good where the tokens part."""
    at = next((k for k, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    best = scores[min(at, len(scores) - 1)].log_softmax(dim=-1).topk(2).values
    return float(best[0] - best[1]) < model_engine.NEAR
