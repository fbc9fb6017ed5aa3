"""What may be sampled against openai-whisper's own filters, the noise that decides, and which ids are silent."""

import numpy as np
import pytest
import torch
from scipy import stats
from whisper.decoding import ApplyTimestampRules, DecodingOptions, DecodingTask, SuppressBlank, SuppressTokens
from whisper.tokenizer import get_tokenizer

import model_engine
from decoded_rows import BEGIN, END, N_VOCAB, history, scores
from whisperbatch.engine.device import sampling_noise
from whisperbatch.engine.device.logit_rules import Rules
from whisperbatch.options import DecodeOptions

TOKENIZER = get_tokenizer(True, num_languages=99, language="en", task="transcribe")


def theirs(logits: torch.Tensor, opening: list[int], sampled: list[int], options: DecodeOptions) -> torch.Tensor:
    asked = ",".join(map(str, options.suppress_tokens))
    task = DecodingTask(model_engine.peer(), DecodingOptions(language="en", suppress_tokens=asked, fp16=False))
    begin, limit_s = len(opening), options.max_initial_timestamp
    filters = [SuppressBlank(TOKENIZER, begin)] if options.suppress_blank else []
    filters.append(SuppressTokens(task._get_suppress_tokens()))
    if not options.without_timestamps:
        filters.append(ApplyTimestampRules(TOKENIZER, begin, round(limit_s / 0.02) if limit_s else None))
    made, tokens = logits.clone()[None], torch.tensor([[*opening, *sampled]])
    for one in filters:
        one.apply(made, tokens)
    return made[0]


@pytest.mark.parametrize(
    "options",
    [
        DecodeOptions(),
        DecodeOptions(suppress_blank=False, max_initial_timestamp=None),
        DecodeOptions(max_initial_timestamp=0.02, suppress_tokens=(-1, 50, 11)),
        DecodeOptions(max_initial_timestamp=30.0, suppress_tokens=(13,)),
        DecodeOptions(without_timestamps=True),
    ],
    ids=["default", "blank", "shortest", "longest", "untimed"],
)
def test_rows_at_all_lengths_are_masked_as_openai_whisper_masks_each(options: DecodeOptions):
    rules = Rules(model_engine.spelling(as_openai=True), options, N_VOCAB, torch.device("cpu"))
    rng, n_rows, seen = np.random.default_rng(3), 24, [0, 0]
    for _ in range(4):
        prompts = [rng.integers(0, END, size=rng.integers(0, 9)).tolist() for _ in range(n_rows)]
        openings = [[*prompt, 50_258, 50_259, 50_359] for prompt in prompts]
        histories = [history(rng) for _ in range(n_rows)]
        logits = torch.stack([scores(rng) for _ in range(n_rows)])
        tokens = torch.from_numpy(rng.integers(0, N_VOCAB, (n_rows, 60)))  # later ones have no meaning
        for row, opening, sampled in zip(tokens, openings, histories, strict=True):
            row[: len(opening) + len(sampled)] = torch.tensor([*opening, *sampled])
        n_opening = torch.tensor([len(opening) for opening in openings])
        n_tokens = n_opening + torch.tensor([len(sampled) for sampled in histories])
        ours = rules.apply(logits.clone(), tokens, n_tokens, n_opening)
        for index in range(n_rows):
            reference = theirs(logits[index], openings[index], histories[index], options)
            assert torch.equal(ours[index], reference), (openings[index], histories[index])
            seen[bool(reference[:END].isneginf().all())] += 1
    assert options.without_timestamps or min(seen) > 20  # text was both allowed and forbidden


@pytest.mark.parametrize("lacks_list", [False, True])
def test_the_silent_ids_are_openai_whispers(lacks_list: bool):
    spelled = model_engine.spelling(as_openai=lacks_list)
    task = DecodingTask(model_engine.peer(), DecodingOptions(language="en", fp16=False))
    assert set(TOKENIZER.non_speech_tokens) <= set(spelled.suppressed((-1,)))
    assert set(spelled.suppressed((-1,))) == set(task._get_suppress_tokens())
    special = set(task._get_suppress_tokens()) - set(TOKENIZER.non_speech_tokens)
    assert set(spelled.suppressed((5, 7))) == special | {5, 7}
    assert set(spelled.suppressed(())) == special


def test_what_no_text_begins_with():
    assert model_engine.spelling(as_openai=True).suppressed_first() == [*TOKENIZER.encode(" "), TOKENIZER.eot]
    assert set(TOKENIZER.encode(" ")) <= set(model_engine.spelling().suppressed_first())


def test_what_is_judged_is_spelled_with_special_tokens_as_openai_whisper_does():
    spelled, rng = model_engine.spelling(), np.random.default_rng(9)
    words = TOKENIZER.encode(" The old village is in the city. Where is the red letter?")
    for _ in range(50):
        ids = rng.choice([*words, 50_259, 50_261, 50_359, 50_363, 50_364, 50_400, 51_000], size=40).tolist()
        assert spelled.decode_all(ids) == TOKENIZER.decode(ids)
    assert "<|en|>" in spelled.decode_all([words[0], 50_259])
    assert "<|en|>" not in spelled.decode([words[0], 50_259])


def test_spelling_is_openai_whispers():
    spelled = model_engine.spelling()  # its vocabulary is a part of theirs
    for text in (" Hello there, 42 times!", " Grüße aus Köln – schön.", " 日本語 🎧 ♪", "", " it's  two   blanks "):
        assert spelled.decode(spelled.encode(text)) == TOKENIZER.decode(spelled.encode(text)) == text
        assert spelled.decode([BEGIN + 3, *spelled.encode(text), 50_260, END, BEGIN + 9]) == text
    assert spelled.opening("de", "translate", timed=True) == [50_258, 50_261, 50_358]
    assert spelled.opening("en", "transcribe", timed=False) == [50_258, 50_259, 50_359, 50_363]
    assert (spelled.no_speech, spelled.previous) == (TOKENIZER.no_speech, TOKENIZER.sot_prev)


def test_noise_depends_on_its_key_and_step_alone():
    keys, steps = torch.tensor([5, 6, 5, 2**32 - 1]), torch.tensor([0, 0, 1, 7])
    whole = sampling_noise.gumbel(keys, steps, 1000)
    for index in range(4):
        assert torch.equal(
            sampling_noise.gumbel(keys[index : index + 1], steps[index : index + 1], 1000)[0], whole[index]
        )
    assert torch.equal(sampling_noise.gumbel(keys.flip(0), steps.flip(0), 1000).flip(0), whole)
    assert torch.equal(sampling_noise.gumbel(keys, steps, 500), whole[:, :500])
    assert whole.isfinite().all()
    for one, other in ((0, 1), (0, 2), (1, 3)):
        assert abs(np.corrcoef(whole[one], whole[other])[0, 1]) < 0.15
    first = sampling_noise.gumbel(torch.arange(4096), torch.zeros(4096, dtype=torch.int64), 2)[:, 0].numpy()
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.08  # of neighbouring keys
    later = sampling_noise.gumbel(torch.zeros(4096, dtype=torch.int64), torch.arange(4096), 2)[:, 0].numpy()
    assert abs(np.corrcoef(later[:-1], later[1:])[0, 1]) < 0.08  # and steps


def test_noise_has_an_end_where_the_bits_are_largest():
    drawn = sampling_noise.gumbel(torch.tensor([394]), torch.tensor([3]), 51_865)  # found by search: once in 2**24
    assert drawn.isfinite().all()
    assert drawn.max() == pytest.approx(-np.log(-np.log1p(-(2.0**-24))), abs=1e-3)


def test_a_key_depends_on_seed_window_temperature_and_candidate():
    samples = np.arange(1000, dtype=np.int16)
    one = sampling_noise.key(0, samples, 0, 0.2, 0)
    assert one == sampling_noise.key(0, np.repeat(samples, 2)[::2], 0, 0.2, 0)
    others = [
        sampling_noise.key(1, samples, 0, 0.2, 0),
        sampling_noise.key(0, samples[1:], 0, 0.2, 0),
        sampling_noise.key(0, samples, 3000, 0.2, 0),
        sampling_noise.key(0, samples, 0, 0.4, 0),
        sampling_noise.key(0, samples, 0, 0.2, 1),
    ]
    assert len({one, *others}) == 6
    assert all(0 <= other < 2**32 for other in others)


def test_noise_is_gumbels():
    keys = torch.arange(64) * 7919
    for step in (0, 1, 200):
        drawn = sampling_noise.gumbel(keys, torch.full((64,), step), 4096).flatten().double()
        uniform = torch.exp(-torch.exp(-drawn)).numpy()
        counts = np.histogram(uniform, bins=64, range=(0, 1))[0]
        assert stats.chisquare(counts).pvalue > 1e-4
        neighbours = np.corrcoef(uniform[:-1], uniform[1:])[0, 1]
        assert abs(neighbours) < 0.01


def test_the_largest_sum_is_a_sample_of_the_softmax():
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5])
    keys = torch.arange(20_000) * 2_654_435_761 % 2**32
    for step in (0, 3):
        drawn = (logits + sampling_noise.gumbel(keys, torch.full((20_000,), step), 5)).argmax(dim=1)
        expected = logits.softmax(dim=0).double().numpy() * 20_000
        assert stats.chisquare(np.bincount(drawn, minlength=5), expected * (20_000 / expected.sum())).pvalue > 1e-4
