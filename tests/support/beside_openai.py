"""The same recording through openai-whisper and through our engine in sequential mode, window by window."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import whisper

import model_engine
from whisperbatch.engine.device import sampling_noise
from whisperbatch.options import DecodeOptions
from whisperbatch.records import ClipSettings


@dataclass(frozen=True)
class Try:
    """What was decoded of a window at one temperature; ``prompt`` is the text before it."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float


@dataclass(frozen=True)
class Line:
    """A segment; times in hundredths."""

    seek: int
    start: int
    end: int
    temperature: float
    tokens: tuple[int, ...]
    text: str


@dataclass
class CrossAttentionCache:
    """All of a recording."""

    language: str = ""
    lines: list[Line] = field(default_factory=list)
    tries: list[Try] = field(default_factory=list)


class _Draw:
    """Categorical's place in openai-whisper: samples by our keyed noise."""

    temperature, step = 0.0, 0

    def __init__(self, logits: torch.Tensor) -> None:
        self._logits = logits

    def sample(self) -> torch.Tensor:
        n_rows, n_vocab = self._logits.shape
        keys = [sampling_noise.key(0, np.zeros(0, np.int16), 0, _Draw.temperature, row) for row in range(n_rows)]
        drawn = sampling_noise.gumbel(torch.tensor(keys), torch.full((n_rows,), _Draw.step), n_vocab)
        return (self._logits + drawn).argmax(dim=-1)


class _Greedy(whisper.decoding.GreedyDecoder):
    """Tells ``_Draw`` the temperature and the step."""

    n_steps = 0

    def update(self, *args: object) -> object:
        _Draw.temperature, _Draw.step = self.temperature, self.n_steps
        self.n_steps += 1
        return super().update(*args)


def share_noise(monkeypatch) -> None:
    """Let both sides draw by one rule, keyed by temperature, candidate and step."""
    monkeypatch.setattr(
        sampling_noise, "key", lambda seed, samples, start, warmth, k: round(1000 * warmth) * 7919 + k * 104_729
    )
    monkeypatch.setattr(whisper.decoding, "GreedyDecoder", _Greedy)
    monkeypatch.setattr(whisper.decoding, "Categorical", _Draw)


def theirs(samples: np.ndarray, options: DecodeOptions, settings: ClipSettings) -> CrossAttentionCache:
    """What openai-whisper's ``transcribe`` makes of it."""
    model, heard = model_engine.peer(), CrossAttentionCache()
    real = type(model).decode

    def decode(self, mel, asked):
        result = real(self, mel, asked)
        prompt = tuple(asked.prompt or ())[-223:]
        figures = (result.temperature, result.avg_logprob, result.no_speech_prob, result.compression_ratio)
        heard.tries.append(Try(prompt, tuple(result.tokens), *figures))
        return result

    type(model).decode = decode
    try:
        told = whisper.transcribe(model, samples.astype(np.float32) / 32768, **_asked(options, settings))
    finally:
        type(model).decode = real
    heard.language = told["language"]
    for one in told["segments"]:
        start, end = round(one["start"] * 100), round(one["end"] * 100)
        heard.lines.append(Line(one["seek"], start, end, one["temperature"], tuple(one["tokens"]), one["text"]))
    return heard


def _asked(options: DecodeOptions, settings: ClipSettings) -> dict[str, object]:
    asked: dict[str, object] = {
        name: getattr(options, name)
        for name in (
            *("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold", "sample_len"),
            *("condition_on_previous_text", "carry_initial_prompt", "prefix", "without_timestamps"),
            *("max_initial_timestamp", "suppress_blank", "length_penalty", "best_of"),
        )
    }
    if options.beam_size > 1:
        asked |= {"beam_size": options.beam_size, "patience": options.patience}
    asked["suppress_tokens"] = ",".join(map(str, options.suppress_tokens))
    asked |= {"temperature": options.temperatures, "fp16": False, "initial_prompt": settings.prompt}
    asked |= {"language": settings.language, "task": settings.task}
    return asked | {"clip_timestamps": list(settings.clip_timestamps)}


def ours(
    recordings: Sequence[np.ndarray], options: DecodeOptions, settings: ClipSettings, n_slots: int = 8
) -> list[CrossAttentionCache]:
    """What our engine makes of them, side by side."""
    engine = model_engine.engine(options, n_slots, as_openai=True)
    heard, read = [CrossAttentionCache() for _ in recordings], engine.device.read

    def reading(window, sampled):
        decoded, prompt = read(window, sampled), tuple(window.prompt)
        figures = (decoded.temperature, decoded.avg_logprob, decoded.no_speech_prob, decoded.compression_ratio)
        heard[window.request.clip.file_id].tries.append(Try(prompt, decoded.tokens, *figures))
        return decoded

    engine.device.read = reading
    asked = {name: getattr(settings, name) for name in ("language", "task", "prompt", "clip_timestamps")}
    clips = [model_engine.clip(one, k, long_form="sequential", **asked) for k, one in enumerate(recordings)]
    for (number, _), text in model_engine.hear(engine, clips).items():
        heard[number].language = text.language
        for one in text.segments:
            start, end = round(one.start_s * 100), round(one.end_s * 100)
            heard[number].lines.append(Line(one.seek, start, end, one.temperature, one.tokens, one.text))
    return heard


def same_tries(one: CrossAttentionCache, two: CrossAttentionCache) -> int:
    """How many tries are the same before the first that is not; what follows it has another prompt and seek."""
    pairs = zip(one.tries, two.tries, strict=False)
    return next(
        (k for k, (a, b) in enumerate(pairs) if (a.tokens, a.temperature) != (b.tokens, b.temperature)),
        min(len(one.tries), len(two.tries)),
    )


def is_near_tie(one: CrossAttentionCache, two: CrossAttentionCache) -> bool:
    """Whether the first try that differs had two results that are as probable, of the same prompt."""
    at = same_tries(one, two)
    if at >= min(len(one.tries), len(two.tries)):
        return False
    a, b = one.tries[at], two.tries[at]
    return (
        a.prompt == b.prompt
        and a.temperature == b.temperature
        and abs(a.avg_logprob - b.avg_logprob) < model_engine.NEAR
    )


def divergence(theirs: CrossAttentionCache, ours: CrossAttentionCache) -> str:
    """Where the first difference lies, for people."""
    at = same_tries(theirs, ours)
    told = [f"{len(theirs.tries)} and {len(ours.tries)} tries, the same up to {at}; {theirs.language} {ours.language}"]
    for name, heard in (("openai-whisper", theirs), ("ours", ours)):
        told += [f"{name}: {heard.tries[at]}"] if at < len(heard.tries) else []
    told += [str(pair) for pair in zip(theirs.lines, ours.lines, strict=False) if pair[0] != pair[1]][:1]
    return "\n".join(told)


def share_same(pairs: Sequence[tuple[CrossAttentionCache, CrossAttentionCache]]) -> float:
    """The part of openai-whisper's segments that are ours, times and temperature and all."""
    n_all = sum(max(len(a.lines), len(b.lines)) for a, b in pairs)
    n_same = sum(x == y for a, b in pairs for x, y in zip(a.lines, b.lines, strict=False))
    return n_same / max(1, n_all)
