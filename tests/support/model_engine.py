"""The engine over one model for tests, in float32 on the CPU; and the model's parts, loaded once.

The model is the demo, or the one whose folder a test puts in ``FOLDER``.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import whisper
from transformers import WhisperForConditionalGeneration
from whisper.tokenizer import get_tokenizer

from whisperbatch import demo
from whisperbatch.demo.training import peers
from whisperbatch.engine import EngineFacts, placement
from whisperbatch.engine.device.runner import Runner
from whisperbatch.engine.model import checkpoint, weights
from whisperbatch.engine.model.tokenizer import WhisperTokenizer
from whisperbatch.engine.scheduling.continuous_batching import ContinuousEngine
from whisperbatch.options import DecodeOptions
from whisperbatch.records import Clip, ClipFailed, ClipSettings, ClipText

MAX_EMPTY = 10_000  # steps without a result, after which none is expected any more
NEAR = 1e-3  # two best this close are a tie that rounding decides


FOLDER = Path(demo.FOLDER)


def loaded() -> weights.Checkpoint:
    """The model."""
    return _loaded(FOLDER)


def reference() -> WhisperForConditionalGeneration:
    """Transformers' model of the same weights."""
    return _reference(FOLDER)


def peer() -> whisper.model.Whisper:
    """openai-whisper's model of the same weights."""
    return _peer(FOLDER)


@functools.cache
def _loaded(folder: Path) -> weights.Checkpoint:
    found = checkpoint.FoundModel("demo", folder, None, is_demo=folder == demo.FOLDER)
    return weights.load(found, placement.Placement(torch.device("cpu"), "float32"))


@functools.cache
def _reference(folder: Path) -> WhisperForConditionalGeneration:
    return WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


@functools.cache
def _peer(folder: Path) -> whisper.model.Whisper:
    return peers.openai_whisper(folder)


class Tiktoken:
    """openai-whisper's whole vocabulary where a ``tokenizers.Tokenizer`` is expected; the demo model's holds a part."""

    def __init__(self) -> None:
        self._tokenizer = get_tokenizer(True, num_languages=99, language="en", task="transcribe")

    def token_to_id(self, text: str) -> int | None:
        return self._tokenizer.special_tokens.get(text)

    def encode(self, text: str, *, add_special_tokens: bool) -> SimpleNamespace:
        assert not add_special_tokens
        return SimpleNamespace(ids=self._tokenizer.encode(text))

    def decode(self, tokens: list[int], *, skip_special_tokens: bool) -> str:
        assert not skip_special_tokens
        return self._tokenizer.decode(tokens)


def spelling(*, as_openai: bool = False) -> WhisperTokenizer:
    """The model's spelling; ``as_openai`` takes the whole vocabulary, and no lists from the model's settings.

    It may be told to translate, which it was not trained for: what it then says is compared, not read.
    """
    is_partial = as_openai and FOLDER == demo.FOLDER
    made = WhisperTokenizer(replace(loaded(), tokenizer=Tiktoken()) if is_partial else loaded())
    made._capabilities = replace(made._capabilities, can_translate=True)
    if as_openai:
        made._suppressed = made._suppressed_first = None
    return made


def engine(
    decode: DecodeOptions | None = None,
    n_slots: int = 8,
    *,
    as_openai: bool = False,
    on_notice: Callable[[str], None] = lambda text: None,
) -> ContinuousEngine:
    """An engine with lanes of its own over the one loaded model."""
    options, spelled = decode or DecodeOptions(), spelling(as_openai=as_openai)
    runner = Runner(loaded(), spelled, options, n_slots)
    return ContinuousEngine(runner, spelled, options, EngineFacts("demo"), on_notice)


def hear(engine: ContinuousEngine, clips: Iterable[Clip]) -> dict[tuple[int, int], ClipText]:
    """The texts of clips, admitted as there is room; what fails raises."""
    found: dict[tuple[int, int], ClipText] = {}
    left, n_empty = list(clips), 0
    while left or not engine.idle:
        n = engine.capacity
        engine.admit(left[:n])
        left = left[n:]
        results = engine.step()
        n_empty = 0 if results else n_empty + 1
        assert n_empty < MAX_EMPTY, "the engine is stuck"
        for result in results:
            if isinstance(result, ClipFailed):
                raise result.error.__cause__ or result.error
            if isinstance(result, ClipText):
                assert (result.file_id, result.index) not in found
                found[result.file_id, result.index] = result
    return found


def clip(samples: np.ndarray, file_id: int = 0, index: int = 0, **settings: object) -> Clip:
    """A clip with settings by name."""
    return Clip(file_id, index, 0.0, samples, ClipSettings(**settings))


def tokens_of(text: ClipText) -> list[tuple[int, ...]]:
    """The tokens of each segment."""
    return [segment.tokens for segment in text.segments]
