"""First windows of clips through faster-whisper's decoder and through our engine."""

import ctranslate2
import numpy as np
import torch
from transformers import WhisperFeatureExtractor

import model_engine
from whisperbatch.options import DecodeOptions
from whisperbatch.records import SAMPLE_RATE


def theirs(
    faster, samples: np.ndarray, options: DecodeOptions, prompt: str | None = None, hotwords: str | None = None
) -> list[int]:
    """What faster-whisper's decoder gives for a first window, with the prompt that faster-whisper makes."""
    features = WhisperFeatureExtractor()(samples.astype(np.float32) / 32768, sampling_rate=SAMPLE_RATE)
    view = ctranslate2.StorageView.from_array(np.asarray(features.input_features, np.float32))
    spelled = model_engine.spelling()
    opening = faster.get_prompt(
        _Tokenizer(spelled), spelled.encode(" " + prompt) if prompt else [], options.without_timestamps,
        options.prefix, hotwords,
    )  # fmt: skip
    found = faster.model.generate(
        faster.model.encode(view),
        [opening],
        beam_size=1,
        repetition_penalty=options.repetition_penalty,
        no_repeat_ngram_size=options.no_repeat_ngram_size,
        suppress_tokens=list(spelled.suppressed((-1,))),
        suppress_blank=True,
        max_initial_timestamp_index=50,
        max_length=448,
    )
    return [token for token in found[0].sequences_ids[0] if token != spelled.end]


class _Tokenizer:
    """As much of faster-whisper's tokenizer as its prompts need."""

    def __init__(self, spelled) -> None:
        self.encode, self.sot_prev = spelled.encode, spelled.previous
        self.no_timestamps, self.timestamp_begin = spelled.no_timestamps, spelled.timestamp_begin
        self.sot_sequence = spelled.opening("en", "transcribe", timed=True)


def first_windows(
    recordings: list[np.ndarray], options: DecodeOptions, prompt: str | None = None, hotwords: str | None = None
) -> list[tuple[list[int], float]]:
    """What our engine samples in the first window of each, all side by side, and its mean log-probability."""
    engine, found = model_engine.engine(options, 8), {}
    read = engine.device.read

    def reading(window, sampled):
        found.setdefault(window.request.clip.file_id, (list(sampled.tokens), sampled.avg_logprob))
        return read(window, sampled)

    engine.device.read = reading
    asked = {"language": "en", "prompt": prompt, "hotwords": hotwords}
    model_engine.hear(engine, [model_engine.clip(one, k, **asked) for k, one in enumerate(recordings)])
    return [found[k] for k in range(len(recordings))]


def is_tie(
    samples: np.ndarray, options: DecodeOptions, ours: list[int], theirs: list[int], hotwords: str | None = None
) -> bool:
    """Whether, where they part, the model holds both tokens for as probable."""
    at = next((k for k, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    seen: list[torch.Tensor] = []
    engine = model_engine.engine(options, 1)
    apply = engine.device._rules.apply

    def applying(logits, tokens, n_tokens, n_opening, *more):
        made = apply(logits, tokens, n_tokens, n_opening, *more)
        if int(n_tokens[0] - n_opening[0]) == at:
            seen.append(made[0].clone())
        return made

    engine.device._rules.apply = applying
    model_engine.hear(engine, [model_engine.clip(samples, language="en", hotwords=hotwords)])
    end = model_engine.spelling().end
    one, two = (tokens[at] if at < len(tokens) else end for tokens in (ours, theirs))
    return abs(float(seen[0][one] - seen[0][two])) < 1e-2
