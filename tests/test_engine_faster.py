"""What faster-whisper has and openai-whisper has not: penalties on repetition, hotwords, several languages."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import corpus
import ctranslate2
import hearing
import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from whisperbatch import demo
from whisperbatch.demo import peers
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


def theirs(
    faster, samples: np.ndarray, options: DecodeOptions, prompt: str | None = None, hotwords: str | None = None
) -> list[int]:
    """What faster-whisper's decoder gives for a first window, with the prompt that faster-whisper makes."""
    features = WhisperFeatureExtractor()(samples.astype(np.float32) / 32768, sampling_rate=SAMPLE_RATE)
    view = ctranslate2.StorageView.from_array(np.asarray(features.input_features, np.float32))
    spelled = hearing.spelling()
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
    engine, found = hearing.engine(options, 8), {}
    read = engine.device.read

    def reading(window, sampled):
        found.setdefault(window.request.clip.file_id, (list(sampled.tokens), sampled.avg_logprob))
        return read(window, sampled)

    engine.device.read = reading
    asked = {"language": "en", "prompt": prompt, "hotwords": hotwords}
    hearing.hear(engine, [hearing.clip(one, k, **asked) for k, one in enumerate(recordings)])
    return [found[k] for k in range(len(recordings))]


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


def is_tie(
    samples: np.ndarray, options: DecodeOptions, ours: list[int], theirs: list[int], hotwords: str | None = None
) -> bool:
    """Whether, where they part, the model holds both tokens for as probable."""
    at = next((k for k, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    seen: list[torch.Tensor] = []
    engine = hearing.engine(options, 1)
    apply = engine.device._rules.apply

    def applying(logits, tokens, n_tokens, n_opening, *more):
        made = apply(logits, tokens, n_tokens, n_opening, *more)
        if int(n_tokens[0] - n_opening[0]) == at:
            seen.append(made[0].clone())
        return made

    engine.device._rules.apply = applying
    hearing.hear(engine, [hearing.clip(samples, language="en", hotwords=hotwords)])
    end = hearing.spelling().end
    one, two = (tokens[at] if at < len(tokens) else end for tokens in (ours, theirs))
    return abs(float(seen[0][one] - seen[0][two])) < 1e-2


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
        hearing.spelling(),
        DecodeOptions(no_repeat_ngram_size=n, suppress_tokens=(), suppress_blank=False, without_timestamps=True),
        n_vocab,
        torch.device("cpu"),
    )
    tokens = torch.from_numpy(rng.integers(100, 104, (32, 40)))
    n_opening = torch.from_numpy(rng.integers(1, 10, 32))
    n_tokens = n_opening + torch.from_numpy(rng.integers(0, 25, 32))
    made = rules.apply(torch.zeros(32, n_vocab), tokens, n_tokens, n_opening)
    unasked = Rules(
        hearing.spelling(),
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
    engine, prompts = hearing.engine(options, 1), []
    seat = engine.device._slot_state

    def seating(window):
        prompts.append(list(window.prompt))
        return seat(window)

    engine.device._slot_state = seating
    wave = corpus.speech(np.random.default_rng(1), 2)
    spelled, prompt = hearing.spelling(), "garden " * 200
    hearing.hear(engine, [hearing.clip(wave, language="en", prompt=prompt, hotwords=hotwords)])
    hot, asked = spelled.encode(" " + hotwords.strip()), spelled.encode(" " + prompt.strip())
    assert prompts[0] == [*hot, *asked[-(223 - len(hot)) :]]
    assert len(prompts[0]) == 223


def test_hotwords_are_left_out_where_there_is_a_prefix(faster):
    options = DecodeOptions(beam_size=1, temperatures=(0.0,), prefix="Where is", second_pass=False)
    wave = corpus.speech(np.random.default_rng(2), 2)
    assert first_windows([wave], options, hotwords=HOTWORDS) == first_windows([wave], options)


def test_hotwords_without_room_are_left_out_whole_and_named_once():
    told: list[str] = []
    engine = hearing.engine(
        DecodeOptions(beam_size=1, temperatures=(0.0,), second_pass=False), 4, on_notice=told.append
    )
    spelled, terms = hearing.spelling(), [f"village {number}" for number in range(300)]
    wave = corpus.speech(np.random.default_rng(1), 1)
    hotwords = ", ".join(terms)
    hearing.hear(engine, [hearing.clip(wave, k, language="en", hotwords=hotwords) for k in range(3)])
    ids, n_left_out = hot_ids(engine._speller, hotwords)
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
        replace(hearing.clip(wave, 0, k), vote=(k, 3) if k < 3 else None)  # the third voter never comes
        for k, wave in ((0, german), (1, english), (3, german))
    ]
    found = hearing.hear(hearing.engine(options, 4), clips)
    assert [found[0, k].language for k in (0, 1, 3)] == ["de", "en", "de"]
    assert all(one.language == text.language for text in found.values() for one in text.segments)
    assert all(text.language_probability > 0.5 for text in found.values())
    alone = hearing.hear(hearing.engine(options, 4), [hearing.clip(english, 0, 1)])
    assert hearing.tokens_of(alone[0, 1]) == hearing.tokens_of(found[0, 1])


def test_a_language_that_a_file_gives_is_kept():
    options = DecodeOptions(beam_size=1, temperatures=(0.0,), multilingual=True)
    _, english = german_and_english()
    (text,) = hearing.hear(hearing.engine(options, 4), [hearing.clip(english, language="de")]).values()
    assert text.language == "de"
    assert {one.language for one in text.segments} == {None}


def test_each_window_of_a_sequential_file_has_its_own_language():
    options = DecodeOptions(beam_size=1, temperatures=(0.0,), multilingual=True, condition_on_previous_text=False)
    german, english = german_and_english()
    window = 30 * SAMPLE_RATE
    wave = np.concatenate([np.resize(german, window), np.resize(english, window)])
    clip = hearing.clip(wave, long_form="sequential", clip_timestamps=(0.0, 30.0, 30.0, 60.0))
    (text,) = hearing.hear(hearing.engine(options, 2), [clip]).values()
    assert {one.language for one in text.segments if one.seek < 2900} == {"de"}
    assert {one.language for one in text.segments if one.seek >= 3000} == {"en"}
    assert text.language_probability is None


def test_a_language_for_all_and_one_for_each_exclude_each_other():
    with pytest.raises(UsageError, match="--multilingual"):
        RunOptions(decode=DecodeOptions(multilingual=True), clip=ClipSettings(language="de"))
