"""What faster-whisper has and openai-whisper has not: penalties on repetition, hotwords, several languages."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import corpus
import model_engine
from beside_faster import first_windows, is_tie, theirs
from whisperbatch import demo
from whisperbatch.demo.training import peers
from whisperbatch.engine.device.logit_rules import Rules
from whisperbatch.engine.scheduling.hotwords import N_PROMPT, hot_ids
from whisperbatch.errors import UsageError
from whisperbatch.options import DecodeOptions, RunOptions
from whisperbatch.records import SAMPLE_RATE, ClipSettings

HOTWORDS = "The old village, the station and the garden."
END, BEGIN = 50_257, 50_364
# as faster-whisper decodes: at most 224 tokens, and without the rule that ends a text which goes in circles
GREEDY = DecodeOptions(
    beam_size=1, temperatures=(0.0,), second_pass=False, compression_ratio_threshold=None, sample_len=224
)
CASES = {
    "plain": GREEDY,
    "penalty": replace(GREEDY, repetition_penalty=1.6),
    "reward": replace(GREEDY, repetition_penalty=0.8),
    "no pairs": replace(GREEDY, no_repeat_ngram_size=2),
    "no tokens": replace(GREEDY, no_repeat_ngram_size=1),
    "both": replace(GREEDY, repetition_penalty=1.2, no_repeat_ngram_size=3),
    "hotwords": GREEDY,
    "hotwords, untimed": replace(GREEDY, without_timestamps=True),
}


@pytest.fixture(scope="module")
def faster(tmp_path_factory: pytest.TempPathFactory):
    return peers.faster_whisper(Path(demo.FOLDER), tmp_path_factory.mktemp("converted"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_penalties_and_hotwords_give_faster_whispers_tokens(faster, name: str):
    options, recordings = CASES[name], [one.samples for one in corpus.clips()]
    hotwords = HOTWORDS if name.startswith("hotwords") else None
    mine = first_windows(recordings, options, hotwords=hotwords)
    judge = [theirs(faster, one, options, hotwords=hotwords) for one in recordings]
    differing = [k for k, (a, b) in enumerate(zip(mine, judge, strict=True)) if a[0] != b]
    print(name, len(recordings) - len(differing), "of", len(recordings))
    for k in differing:
        assert is_tie(recordings[k], options, mine[k][0], judge[k], hotwords), f"{k}\n{mine[k][0]}\n{judge[k]}"
    assert len(differing) <= 0.05 * len(recordings)
    if name != "plain":
        plain = first_windows(recordings, CASES["plain"])
        assert sum(a[0] != b[0] for a, b in zip(mine, plain, strict=True)) >= 2, "the option changes nothing"


def test_no_run_of_tokens_comes_twice():
    loops = [one.samples for one in corpus.clips() if one.name.startswith("loop")]
    assert loops
    for tokens, _ in first_windows(loops, CASES["no pairs"]):
        pairs = list(pairwise(tokens))
        assert len(pairs) > 10
        assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_runs_are_banned_where_a_plain_search_finds_them(n: int):
    rng, n_vocab = np.random.default_rng(n), 51_865
    rules = Rules(
        model_engine.spelling(),
        DecodeOptions(no_repeat_ngram_size=n, suppress_tokens=(), suppress_blank=False, without_timestamps=True),
        n_vocab,
        torch.device("cpu"),
    )
    tokens = torch.from_numpy(rng.integers(100, 104, (32, 40)))
    n_opening = torch.from_numpy(rng.integers(1, 10, 32))
    n_tokens = n_opening + torch.from_numpy(rng.integers(0, 25, 32))
    made = rules.apply(torch.zeros(32, n_vocab), tokens, n_tokens, n_opening)
    unasked = Rules(
        model_engine.spelling(),
        DecodeOptions(suppress_tokens=(), suppress_blank=False, without_timestamps=True),
        n_vocab,
        torch.device("cpu"),
    ).apply(torch.zeros(32, n_vocab), tokens, n_tokens, n_opening)
    for row in range(32):
        text = tokens[row, n_opening[row] : n_tokens[row]].tolist()
        ending = text[len(text) - n + 1 :]
        banned = {text[k + n - 1] for k in range(len(text) - n + 1) if text[k : k + n - 1] == ending}
        found = ((made[row] == -torch.inf) & (unasked[row] != -torch.inf)).nonzero()[:, 0].tolist()
        assert set(found) == banned


def test_hotwords_leave_as_much_room_as_there_is_to_the_text_before():
    options, hotwords = DecodeOptions(beam_size=1, temperatures=(0.0,), second_pass=False), "word " * 60
    engine, prompts = model_engine.engine(options, 1), []
    seat = engine.device._slot_state

    def seating(window):
        prompts.append(list(window.prompt))
        return seat(window)

    engine.device._slot_state = seating
    wave = corpus.speech(np.random.default_rng(1), 2)
    spelled, prompt = model_engine.spelling(), "garden " * 200
    model_engine.hear(engine, [model_engine.clip(wave, language="en", prompt=prompt, hotwords=hotwords)])
    hot, asked = spelled.encode(" " + hotwords.strip()), spelled.encode(" " + prompt.strip())
    assert prompts[0] == [*hot, *asked[-(223 - len(hot)) :]]
    assert len(prompts[0]) == 223


def test_hotwords_are_left_out_where_there_is_a_prefix(faster):
    options = DecodeOptions(beam_size=1, temperatures=(0.0,), prefix="Where is", second_pass=False)
    wave = corpus.speech(np.random.default_rng(2), 2)
    assert first_windows([wave], options, hotwords=HOTWORDS) == first_windows([wave], options)


def test_hotwords_without_room_are_left_out_whole_and_named_once():
    told: list[str] = []
    engine = model_engine.engine(
        DecodeOptions(beam_size=1, temperatures=(0.0,), second_pass=False), 4, on_notice=told.append
    )
    spelled, terms = model_engine.spelling(), [f"village {number}" for number in range(300)]
    wave = corpus.speech(np.random.default_rng(1), 1)
    hotwords = ", ".join(terms)
    model_engine.hear(engine, [model_engine.clip(wave, k, language="en", hotwords=hotwords) for k in range(3)])
    ids, n_left_out = hot_ids(engine._tokenizer, hotwords)
    n_fit = len(terms) - n_left_out
    assert ids == spelled.encode(" " + ", ".join(terms[:n_fit]))
    assert len(ids) <= N_PROMPT < len(spelled.encode(" " + ", ".join(terms[: n_fit + 1])))
    assert told == [
        f"the last {n_left_out} hotwords were left out: there is room for 223 tokens of text before a window"
    ]


def german_and_english() -> tuple[np.ndarray, np.ndarray]:
    """Some seconds of German speech, then of English."""
    return corpus.speech(np.random.default_rng(3), 4, "de"), corpus.speech(np.random.default_rng(4), 4, "en")


def test_each_clip_has_its_own_language_and_nobody_waits_for_votes():
    options = DecodeOptions(beam_size=1, temperatures=(0.0,), multilingual=True)
    german, english = german_and_english()
    clips = [
        replace(model_engine.clip(wave, 0, k), vote=(k, 3) if k < 3 else None)  # the third voter never comes
        for k, wave in ((0, german), (1, english), (3, german))
    ]
    found = model_engine.hear(model_engine.engine(options, 4), clips)
    assert [found[0, k].language for k in (0, 1, 3)] == ["de", "en", "de"]
    assert all(one.language == text.language for text in found.values() for one in text.segments)
    assert all(text.language_probability > 0.5 for text in found.values())
    alone = model_engine.hear(model_engine.engine(options, 4), [model_engine.clip(english, 0, 1)])
    assert model_engine.tokens_of(alone[0, 1]) == model_engine.tokens_of(found[0, 1])


def test_a_language_that_a_file_gives_is_kept():
    options = DecodeOptions(beam_size=1, temperatures=(0.0,), multilingual=True)
    _, english = german_and_english()
    (text,) = model_engine.hear(model_engine.engine(options, 4), [model_engine.clip(english, language="de")]).values()
    assert text.language == "de"
    assert {one.language for one in text.segments} == {None}


def test_each_window_of_a_sequential_file_has_its_own_language():
    options = DecodeOptions(beam_size=1, temperatures=(0.0,), multilingual=True, condition_on_previous_text=False)
    german, english = german_and_english()
    window = 30 * SAMPLE_RATE
    wave = np.concatenate([np.resize(german, window), np.resize(english, window)])
    clip = model_engine.clip(wave, long_form="sequential", clip_timestamps=(0.0, 30.0, 30.0, 60.0))
    (text,) = model_engine.hear(model_engine.engine(options, 2), [clip]).values()
    assert {one.language for one in text.segments if one.seek < 2900} == {"de"}
    assert {one.language for one in text.segments if one.seek >= 3000} == {"en"}
    assert text.language_probability is None


def test_a_language_for_all_and_one_for_each_exclude_each_other():
    with pytest.raises(UsageError, match="`multilingual`"):
        RunOptions(decode=DecodeOptions(multilingual=True), clip=ClipSettings(language="de"))
