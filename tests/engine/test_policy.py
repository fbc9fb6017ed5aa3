"""Policy of the engine room: cutting tokens into segments, and what counts as good text. No torch."""

import zlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import whisper
from hypothesis import given, settings
from hypothesis import strategies as st
from whisper.tokenizer import get_tokenizer
from whisper.transcribe import transcribe

from whisperbatch.engine.scheduling import quality, segments
from whisperbatch.engine.scheduling.quality import Decoded, Judge, compression_ratio, goes_in_circles, repetition
from whisperbatch.options import DecodeOptions

BEGIN = 50_364


def at(seconds: float) -> int:
    return BEGIN + round(seconds / 0.02)


def test_pairs_of_timestamps_cut_and_the_last_pair_says_where_to_go_on():
    tokens = [at(0), 1, 2, at(2.0), at(3.0), 3, at(4.0), at(4.5)]
    pieces, moved = segments.split(tokens, BEGIN, 30.0)
    assert [(p.start_s, p.end_s, p.tokens) for p in pieces] == [
        (0.0, 2.0, (at(0), 1, 2, at(2.0))),
        (3.0, 4.0, (at(3.0), 3, at(4.0))),
    ]
    assert moved == 4.0


def test_a_single_timestamp_at_the_end_uses_the_window_up():
    pieces, moved = segments.split([at(0.5), 1, at(2.0), at(3.0), 3, at(4.0)], BEGIN, 12.0)
    assert [(p.start_s, p.end_s) for p in pieces] == [(0.5, 2.0), (3.0, 4.0)]
    assert moved == 12.0


def test_without_a_pair_the_window_is_one_segment_from_its_first_timestamp():
    pieces, moved = segments.split([at(0.6), 1, 2, at(2.2)], BEGIN, 5.0)
    assert [(p.start_s, p.end_s) for p in pieces] == [(0.6, 2.2)]
    assert moved == 5.0
    pieces, _ = segments.split([at(0.6), 1, 2], BEGIN, 5.0)
    assert [(p.start_s, p.end_s) for p in pieces] == [(0.6, 5.0)]


def test_nothing_sampled_is_nothing_said():
    assert segments.split([], BEGIN, 7.0) == ([], 7.0)


@st.composite
def sampled(draw: st.DrawFn) -> list[int]:
    """Token sequences as the timestamp rules allow them: text between marks, marks never falling."""
    tokens, now = [], 0
    for _ in range(draw(st.integers(0, 6))):
        now += draw(st.integers(0, 100))
        tokens.append(BEGIN + now)
        tokens += draw(st.lists(st.integers(0, 50_256), min_size=1, max_size=4))
        if not draw(st.booleans()):
            now += draw(st.integers(1, 100))
            tokens.append(BEGIN + now)
    if tokens and tokens[-1] >= BEGIN and draw(st.booleans()):
        tokens.append(tokens[-1])
    return tokens


class Scripted:
    """An openai-whisper model whose decoder says what it is told; for its own ``transcribe``."""

    def __init__(self, tokens: list[int]) -> None:
        self.dims = type("Dims", (), {"n_mels": 80, "n_audio_ctx": 1500, "n_text_ctx": 448})()
        self.device, self.is_multilingual, self.num_languages = torch.device("cpu"), True, 99
        self._tokens = tokens

    def decode(self, mel: torch.Tensor, options: object) -> object:
        text = get_tokenizer(True, language="en").decode([t for t in self._tokens if t < 50_257])
        self_tokens, self._tokens = self._tokens, []
        return whisper.decoding.DecodingResult(
            audio_features=mel, language="en", tokens=self_tokens, text=text, avg_logprob=0.0, no_speech_prob=0.0,
            temperature=0.0, compression_ratio=1.0,
        )  # fmt: skip


def text_of(tokens: tuple[int, ...]) -> str:
    return get_tokenizer(True, language="en").decode([token for token in tokens if token < 50_257])


@settings(deadline=None)
@given(sampled())
def test_segments_are_openai_whispers(tokens: list[int]):
    theirs = transcribe(
        Scripted(tokens), np.zeros(30 * 16_000, np.float32), language="en", temperature=0.0, fp16=False, verbose=None
    )["segments"]
    pieces, _ = segments.split(tokens, BEGIN, 30.0)
    has_pair = any(one >= BEGIN and two >= BEGIN for one, two in pairwise(tokens))
    # openai-whisper clears segments without length or text, and starts a window without a pair at 0
    ours = [p for p in pieces if text_of(p.tokens).strip() and (p.start_s < p.end_s or not has_pair)]
    spoken = [s for s in theirs if s["text"].strip()]
    assert [list(p.tokens) for p in ours] == [s["tokens"] for s in spoken]
    if has_pair:
        assert [(p.start_s, p.end_s) for p in ours] == [
            (pytest.approx(s["start"]), pytest.approx(s["end"])) for s in spoken
        ]


@given(sampled(), st.floats(0.5, 30.0))
def test_a_window_always_moves_on(tokens: list[int], duration: float):
    _, moved = segments.split(tokens, BEGIN, duration)
    assert 0 < moved <= duration


@given(st.text(min_size=1))
def test_compression_ratio_is_openai_whispers(text: str):
    assert quality.compression_ratio(text) == whisper.utils.compression_ratio(text)


LOOP = " The same words again." * 30


def decoded(
    logprob: float = -0.3,
    silence: float = 0.1,
    text: str = " Good words.",
    warmth: float = 0.0,
    tokens: tuple[int, ...] = (1, 2),
) -> Decoded:
    return Decoded(tokens, text, warmth, logprob, silence)


@pytest.mark.parametrize("faithful", [False, True])
def test_silence_needs_both_signs(faithful: bool):
    judge = Judge(DecodeOptions(), faithful=faithful)
    assert judge.is_silence(decoded(-1.2, 0.9))
    assert not judge.is_silence(decoded(-0.5, 0.9))
    assert not judge.is_silence(decoded(-1.2, 0.2))
    assert not judge.fails(decoded(-1.2, 0.9))
    assert judge.fails(decoded(-1.2, 0.2))
    assert judge.fails(decoded(text=LOOP))
    assert not judge.fails(decoded())


def test_a_loop_is_no_silence_but_by_openai_whispers_rule():
    silent_loop = decoded(-1.2, 0.9, LOOP)
    assert Judge(DecodeOptions(), faithful=False).fails(silent_loop)
    assert not Judge(DecodeOptions(), faithful=True).fails(silent_loop)


HINDI = (
    "भारत एक विशाल देश है जहाँ अनेक भाषाएँ बोली जाती हैं और लोग अलग अलग रीति रिवाज़ मानते हैं। यहाँ की नदियाँ, पहाड़ और मैदान "
    "दुनिया भर के यात्रियों को अपनी ओर खींचते हैं, और हर राज्य का अपना खान पान और पहनावा है।"
)


@pytest.mark.parametrize("text", ["", "a", "The cat sat on the mat, on the mat.", "Grüße aus Köln", "é" * 300])
def test_letters_are_counted_as_openai_whisper_counts_bytes_where_a_letter_is_one(text: str):
    data = text.encode("latin-1")
    assert repetition(text) == len(data) / len(zlib.compress(data))


def test_right_text_in_a_script_of_several_bytes_is_no_loop():
    for text in (
        HINDI,
        "Нажмите один, чтобы включить или выключить свой микрофон; два, чтобы выйти из конференции. " * 2,
    ):
        assert compression_ratio(text) > 1.25 * repetition(text)
    decoded = Decoded((1,), HINDI, 0.0, -0.3, 0.0)
    assert decoded.repetition < 1.8
    assert not Judge(DecodeOptions(compression_ratio_threshold=2.0), faithful=False).is_loop(decoded)
    assert Judge(DecodeOptions(compression_ratio_threshold=2.0), faithful=True).is_loop(decoded)
    for loop in ("नमस्ते जी। " * 40, "спасибо. " * 40, "ご視聴ありがとうございました。" * 20):
        assert Judge(DecodeOptions(), faithful=False).is_loop(Decoded((1,), loop, 0.0, -0.1, 0.0))


def test_a_far_shorter_and_less_probable_retry_does_not_replace_a_likely_text():
    chorus = "We are going home tonight, oh, we are going home tonight. The long road ends at the old front door. " * 3
    first = Decoded((1,), chorus, 0.0, -0.2, 0.0)
    judge = Judge(DecodeOptions(compression_ratio_threshold=first.repetition - 0.1), faithful=False)
    short, alike = (Decoded((2,), text, 0.2, -0.5, 0.0) for text in ("We are going home.", chorus[:200]))
    assert judge.fails(first)
    assert judge.best([first, short]) is first
    assert judge.best([first, alike]) is alike
    assert judge.best([replace(first, avg_logprob=-0.9), short]) is short
    loop = replace(first, text="We are going home. " * 30)
    assert judge.best([loop, short]) is short
    assert Judge(DecodeOptions(), faithful=True).best([first, short]) is short


def test_when_all_failed_the_best_that_is_no_loop_is_kept():
    tried = [
        decoded(-0.1, text=LOOP, tokens=(9, 9)),
        decoded(-1.4),
        decoded(-1.1, warmth=0.4, tokens=(3,)),
        decoded(-1.9, warmth=0.6),
    ]
    assert Judge(DecodeOptions(), faithful=False).best(tried) is tried[2]
    assert Judge(DecodeOptions(), faithful=True).best(tried) is tried[3]
    assert Judge(DecodeOptions(), faithful=False).best(tried[:1]) is tried[0]
    alike = [decoded(-1.2), decoded(-1.3, warmth=0.2, tokens=(3,)), decoded(-1.199_999, warmth=0.4)]
    assert Judge(DecodeOptions(), faithful=False).best(alike) is alike[0]
    fine = [decoded(text=LOOP), decoded(-0.2, warmth=0.2)]
    assert Judge(DecodeOptions(), faithful=False).best(fine) is fine[1]


# texts that go in circles


@pytest.mark.parametrize("period", [1, 2, 7, 12])
@pytest.mark.parametrize("start", [(), (900, 901, 902)])
def test_a_text_that_says_the_same_again_and_again_goes_in_circles(period: int, start: tuple[int, ...]):
    n_rounds = max(5, -(-60 // period))
    text = [*start, *list(range(period)) * n_rounds]
    assert goes_in_circles(text, BEGIN)
    assert not goes_in_circles(text[:-1] if period * n_rounds == 60 else text[: len(start) + 59], BEGIN)
    assert not goes_in_circles([*text, 777], BEGIN)
    timed = [token for k, word in enumerate(text) for token in (word, *([at(k)] if k % 3 == 0 else []))]
    assert goes_in_circles(timed, BEGIN)


def test_four_rounds_are_a_chorus():
    verse = list(range(20))
    assert not goes_in_circles(verse * 4, BEGIN)
    assert goes_in_circles(verse * 5, BEGIN)
