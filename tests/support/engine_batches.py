"""Clips of all sorts for the real engine, its answers, and whether two answers are the same."""

import numpy as np
import pytest

import corpus
import model_engine
from whisperbatch.options import DecodeOptions
from whisperbatch.records import SAMPLE_RATE, Clip, ClipFailed, ClipText, Segments

LADDER = DecodeOptions(temperatures=(0.0, 0.4, 0.8), beam_size=2, best_of=2, logprob_threshold=-0.02)


def short(number: int, language: str = "en") -> np.ndarray:
    """A sentence or two, int16."""
    return corpus.speech(np.random.default_rng([21, number]), 1 + number % 2, language)


def crowd(n: int) -> list[np.ndarray]:
    """Clips of all sorts."""
    kinds = ["single", "hard", "noise", "single", "silence", "german", "several"]
    return [corpus._clip(kinds[k % 7], np.random.default_rng([22, k]))[: 12 * SAMPLE_RATE] for k in range(n)]


def assert_same(one: ClipText, two: ClipText, ties: list) -> None:
    """The same tokens and times, or a near-tie, which is listed."""
    pairs = list(zip(one.segments, two.segments, strict=False))
    first = next(((a, b) for a, b in pairs if (a.tokens, a.start_s, a.end_s) != (b.tokens, b.start_s, b.end_s)), None)
    if first is not None and abs(first[0].avg_logprob - first[1].avg_logprob) < model_engine.NEAR:
        ties.append(first)
        return
    assert first is None
    assert len(one.segments) == len(two.segments)
    assert one.language == two.language
    for a, b in pairs:
        assert (a.avg_logprob, a.no_speech_prob) == pytest.approx((b.avg_logprob, b.no_speech_prob), abs=1e-3)
        assert (a.temperature, a.text) == (b.temperature, b.text)


PLAIN = DecodeOptions(beam_size=2, temperatures=(0.0,))


def four() -> list[Clip]:
    return [model_engine.clip(short(k + 30), k, language="en") for k in range(4)]


def answers(engine, clips: list[Clip]) -> dict[int, ClipText | ClipFailed]:
    found: dict[int, ClipText | ClipFailed] = {}
    engine.admit(clips)
    while not engine.idle:
        for result in engine.step():
            if not isinstance(result, Segments):
                assert result.file_id not in found
                found[result.file_id] = result
    return found
