"""Word times through openai-whisper and through our engine, and how near they are."""

from typing import Any

import numpy as np
import pytest
import whisper

import model_engine
from whisperbatch.options import DecodeOptions
from whisperbatch.records import ClipText

NEAR_S = 0.0201  # one frame of the encoder's


def theirs(samples: np.ndarray, options: DecodeOptions, **more: Any) -> list[dict]:
    """openai-whisper's segments."""
    return whisper.transcribe(
        model_engine.peer(),
        samples.astype(np.float32) / 32768,
        temperature=0.0,
        beam_size=options.beam_size if options.beam_size > 1 else None,
        word_timestamps=True,
        hallucination_silence_threshold=options.hallucination_silence_threshold,
        fp16=False,
        **more,
    )["segments"]


def ours(waves: list[np.ndarray], options: DecodeOptions, **settings: Any) -> list[ClipText]:
    """What our engine hears in clips, all together."""
    engine = model_engine.engine(options, 8, as_openai=True)
    clips = [model_engine.clip(wave, number, **settings) for number, wave in enumerate(waves)]
    found = model_engine.hear(engine, clips)
    return [found[number, 0] for number in range(len(waves))]


def compare(text: ClipText, judge: list[dict]) -> tuple[int, int]:
    """How many words there are while all text is the same, and how many are near; seeks and edges are the same.

    Where two ways through silence are as good as each other, rounding decides. A word that is not near ends the
    comparison if it moved the window after it.
    """
    n_words = n_near = 0
    is_near = True
    for one, two in zip(text.segments, judge, strict=False):
        if list(one.tokens) != two["tokens"] or one.seek != two["seek"]:
            assert list(one.tokens) != two["tokens"] or not is_near, "another seek after the same words"
            break
        assert [word.word for word in one.words] == [word["word"] for word in two["words"]]
        assert [word.probability for word in one.words] == pytest.approx(
            [word["probability"] for word in two["words"]], abs=2e-3
        )
        apart_s = [
            max(abs(mine.start_s - other["start"]), abs(mine.end_s - other["end"]))
            for mine, other in zip(one.words, two["words"], strict=True)
        ]
        n_words, n_near = n_words + len(apart_s), n_near + sum(apart < NEAR_S for apart in apart_s)
        if apart_s:
            is_near = max(apart_s) < 0.001
        if is_near:
            assert (one.start_s, one.end_s) == pytest.approx((two["start"], two["end"]), abs=0.001)
    return n_words, n_near
