"""Fill in settings that a checkpoint lacks, from its tokenizer and from what OpenAI published for each model size.

The alignment heads, the attention heads that follow the audio, are openai-whisper's (whisper/__init__.py, MIT), as
(layer, head) of the decoder. Ids of special tokens come from the checkpoint's own tokenizer. Lists of suppressed tokens
need no table: where there are none, ``tokenizer`` finds them by openai-whisper's rule.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

N_MULTILINGUAL = 51_865  # ids; English-only models have fewer

_HEADS = {
    "tiny": "2.2 3.0 3.2 3.3 3.4 3.5",
    "tiny.en": "1.0 2.0 2.5 3.0 3.1 3.2 3.3 3.4",
    "base": "3.1 4.2 4.3 4.7 5.1 5.2 5.4 5.6",
    "base.en": "3.3 4.7 5.1 5.5 5.7",
    "small": "5.3 5.9 8.0 8.4 8.7 8.8 9.0 9.7 9.9 10.5",
    "small.en": "6.6 7.0 7.3 7.8 8.2 8.5 8.7 9.0 9.4 9.8 9.10 10.0 10.1 10.2 10.3 10.6 10.11 11.2 11.4",
    "medium": "13.15 15.4 15.15 16.1 20.0 23.4",
    "medium.en": "11.4 14.1 14.12 14.14 15.4 16.0 16.4 16.9 17.12 17.14 18.7 18.10 18.15 20.0 20.3 20.9 20.14 21.12",
    "large-v1": "9.19 11.2 11.4 11.17 22.7 22.11 22.17 23.2 23.15",
    "large-v2": (
        "10.12 13.17 16.11 16.12 16.13 17.15 17.16 18.4 18.11 18.19 19.11 21.2 21.3 22.3 22.9 22.12 23.5 23.7 23.13 "
        "25.5 26.1 26.12 27.15"
    ),
    "large-v3": "7.0 10.17 12.18 13.12 16.1 17.14 19.11 21.4 24.1 25.6",
    "large-v3-turbo": "2.4 2.11 3.3 3.6 3.11 3.14",
}
_SIZES = {  # (encoder layers, decoder layers, d_model)
    (4, 4, 384): "tiny",
    (6, 6, 512): "base",
    (12, 12, 768): "small",
    (24, 24, 1024): "medium",
    (32, 32, 1280): "large",
    (32, 4, 1280): "large-v3-turbo",
}
_LANGUAGE = re.compile(r"<\|[a-z]{2,3}\|>")


def size_of(config: Mapping[str, Any], name: str) -> str | None:
    """OpenAI's name for a model of these sizes, None if there is none; ``name`` distinguishes large-v1 and large-v2."""
    found = _SIZES.get((config["encoder_layers"], config["decoder_layers"], config["d_model"]))
    if found == "large":
        if config["num_mel_bins"] == 128:
            return "large-v3"
        return "large-v1" if "large-v1" in name or name.endswith("whisper-large") else "large-v2"
    if found is not None and config["vocab_size"] < N_MULTILINGUAL:
        return f"{found}.en"
    return found


def alignment_heads(size: str | None) -> list[list[int]] | None:
    """The (layer, head) pairs of a size's alignment heads; None if OpenAI published none."""
    pairs = _HEADS.get(size or "")
    return None if pairs is None else [[int(number) for number in pair.split(".")] for pair in pairs.split()]


@dataclass(frozen=True, slots=True)
class Completed:
    """Complete generation settings.

    Attributes:
        generation: The settings by the names of ``generation_config.json``.
        from_tokenizer: Which missing settings the tokenizer supplied, in words for messages.
        from_openai: Which missing settings were taken from OpenAI's, likewise.
    """

    generation: Mapping[str, Any]
    from_tokenizer: tuple[str, ...]
    from_openai: tuple[str, ...]


def completed(generation: Mapping[str, Any], config: Mapping[str, Any], tokenizer: Any, name: str) -> Completed:
    """Complete generation settings with ids from the tokenizer and heads from OpenAI's model of the same size.

    Args:
        generation: The checkpoint's own settings.
        config: Its sizes.
        tokenizer: Its tokenizer.
        name: Its name or path.
    """
    found = {key: value for key, value in generation.items() if value is not None}
    is_multilingual = bool(found.setdefault("is_multilingual", config["vocab_size"] >= N_MULTILINGUAL))
    ids = tokenizer.token_to_id
    start, end, times = ids("<|startoftranscript|>"), ids("<|endoftext|>"), ids("<|notimestamps|>")
    own: dict[str, dict[str, Any]] = {
        "token ids": {"decoder_start_token_id": start, "eos_token_id": end},
        "timestamp ids": {"no_timestamps_token_id": times},
    }
    if is_multilingual:
        tasks = {task: ids(f"<|{task}|>") for task in ("transcribe", "translate")}
        own["language ids"] = {"lang_to_id": _languages(tokenizer) or None}
        own["task ids"] = {"task_to_id": None if None in tasks.values() else tasks}
    from_tokenizer = tuple(what for what, values in own.items() if _fill(found, values))
    heads = {"alignment_heads": alignment_heads(size_of(config, name))}
    return Completed(found, from_tokenizer, ("alignment heads",) if _fill(found, heads) else ())


def _fill(found: dict[str, Any], values: Mapping[str, Any]) -> bool:
    """Add values that are missing; return True if any were."""
    lacking = {key: value for key, value in values.items() if value is not None and not found.get(key)}
    found.update(lacking)
    return bool(lacking)


def _languages(tokenizer: Any) -> dict[str, int]:
    """The tokenizer's language tokens with their ids."""
    added = {token.content: index for index, token in tokenizer.get_added_tokens_decoder().items()}
    return {
        token: index for token, index in sorted(added.items(), key=lambda one: one[1]) if _LANGUAGE.fullmatch(token)
    }
