"""The best tokens of rows: compiled sums against torch's, and the choice against one made from exact logits."""

import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

import model_engine
from decoded_rows import BEGIN, END, N_VOCAB, history, scores
from whisperbatch.engine.device import best_tokens
from whisperbatch.engine.device.decode_batch import DecodeBatch
from whisperbatch.engine.device.logit_rules import Rules
from whisperbatch.engine.device.step_plan import PassShape
from whisperbatch.engine.device.stopwatch import Stopwatch
from whisperbatch.engine.device.token_choice import Rows, choose
from whisperbatch.engine.kernels import cpu_logits
from whisperbatch.engine.kernels.cpu_logits import LogitSums
from whisperbatch.options import DecodeOptions

EDGES = [(0, 16), (0, 17, 40), (0, 100, 116, 700), (0, END, BEGIN, N_VOCAB)]
DTYPES = (torch.float32, torch.bfloat16)
D_MODEL = 8


class StandIn:
    """A decoder whose exact logits are known; in bfloat16 those of a step are rounded."""

    device, n_vocab = torch.device("cpu"), N_VOCAB

    def __init__(self, exact: torch.Tensor, dtype: torch.dtype) -> None:
        self._exact, self.dtype = exact, dtype
        self.rounds_logits = dtype != torch.float32

    def exact_logits(self, states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        assert states.shape == (len(tokens), D_MODEL)
        return self._exact.gather(1, tokens)


def rows_of(rng: np.random.Generator, n_rows: int) -> Rows:
    tokens = torch.from_numpy(rng.integers(0, N_VOCAB, (n_rows, 60)))
    histories = [history(rng) for _ in range(n_rows)]
    for row, sampled in zip(tokens, histories, strict=True):
        row[: 3 + len(sampled)] = torch.tensor([50_258, 50_259, 50_359, *sampled])
    n_opening = torch.full((n_rows,), 3)
    n_tokens = n_opening + torch.tensor([len(sampled) for sampled in histories])
    return Rows(tokens, n_tokens, n_opening, n_opening, None, torch.zeros(n_rows, dtype=torch.int64))


def rules_of(options: DecodeOptions | None = None) -> Rules:
    return Rules(model_engine.spelling(as_openai=True), options or DecodeOptions(), N_VOCAB, torch.device("cpu"))


def found_by(decoder: StandIn, rules: Rules) -> best_tokens.BestTokens:
    found = best_tokens.find(decoder, rules)
    assert found is not None
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("edges", EDGES, ids=len)
def test_maxima_and_sums_are_torchs(dtype: torch.dtype, edges: tuple[int, ...]):
    logits = (torch.randn(5, edges[-1], generator=torch.Generator().manual_seed(1)) * 8).to(dtype)
    logits[1, ::2], logits[2, : edges[1]] = -torch.inf, -torch.inf
    found = cpu_logits.find(dtype, edges)
    maxima, parts, sums = found(logits)
    padded = torch.cat([logits.float(), torch.full((5, 1), -torch.inf)], dim=1)
    assert torch.equal(maxima, padded[:, found.members].amax(dim=-1))
    ids = found.members[found.members < edges[-1]]
    assert sorted(ids.tolist()) == list(range(edges[-1]))
    for part, (start, end) in enumerate(pairwise(edges)):
        exact, held = logits[:, start:end].double(), found.members[found.lanes[part]]
        assert ((held >= start) & (held < end) | (held == edges[-1])).all()
        there = exact.amax(dim=1).isfinite()
        assert torch.equal(parts[there, part].double(), exact.amax(dim=1)[there])
        total = (parts[:, part].double() + sums[:, part].double().log())[there]
        torch.testing.assert_close(total, exact.logsumexp(dim=1)[there], rtol=0, atol=1e-6)
        assert (parts[~there, part] < -1e38).all()


def test_rows_and_threads_change_no_bit():
    logits, found = torch.randn(9, N_VOCAB).bfloat16(), cpu_logits.find(torch.bfloat16, EDGES[-1])
    whole, before = found(logits), torch.get_num_threads()
    for n_threads in (1, 3):
        torch.set_num_threads(n_threads)
        for one, all_rows in zip(found(logits[4:5]), whole, strict=True):
            assert torch.equal(one[0], all_rows[4])
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "options",
    [DecodeOptions(), DecodeOptions(without_timestamps=True), DecodeOptions(suppress_blank=False)],
    ids=["default", "untimed", "blank"],
)
def test_the_choice_is_that_of_exact_logits(dtype: torch.dtype, options: DecodeOptions):
    rng, rules, n_rows = np.random.default_rng(5), rules_of(options), 40
    n_same = 0
    for _ in range(3):
        exact = torch.stack([scores(rng) for _ in range(n_rows)])
        rows, decoder = rows_of(rng, n_rows), StandIn(exact, dtype)
        wanted = choose(exact.clone(), rows, rules, Stopwatch(), width=6, draws=True)
        got = found_by(decoder, rules)(exact.to(dtype), torch.zeros(n_rows, D_MODEL), rows, width=6, draws=True)
        limit = 1e-5 if dtype == torch.float32 else 0.02  # the sum over all tokens is rounded, the best ones are not
        there = wanted.best.isfinite()
        agreeing = got.best.isfinite().equal(there) and (got.best[there] - wanted.best[there]).abs().max() < limit
        assert agreeing
        assert torch.equal(got.tokens[there], wanted.tokens[there])
        assert torch.equal(got.drawn, wanted.drawn)
        assert (got.logprobs - wanted.logprobs).abs().max() < limit
        n_same += int((exact.to(dtype).float().topk(6, dim=1).indices == exact.topk(6, dim=1).indices).all())
    assert dtype == torch.float32 or n_same < 3  # rounded logits alone put candidates in another order


def test_a_choice_alone_is_the_most_probable_token():
    rng, rules = np.random.default_rng(6), rules_of()
    exact = torch.stack([scores(rng) for _ in range(20)])
    exact[:, 300] = exact[:, 200] = 90.0  # a tie: the first counts
    exact[:, BEGIN:] = -90.0
    rows = replace(rows_of(rng, 20), n_tokens=torch.full((20,), 6))
    rows.tokens[:, 5] = 400
    got = found_by(StandIn(exact, torch.bfloat16), rules)(
        exact.bfloat16(), torch.zeros(20, D_MODEL), rows, width=0, draws=True
    )
    assert got.best.shape == got.tokens.shape == (20, 0)
    assert set(got.drawn.tolist()) == {200}
    assert (got.logprobs.exp() - 0.5).abs().max() < 1e-3


def test_a_warm_neighbour_changes_no_choice_at_temperature_0():
    rng, options = np.random.default_rng(7), DecodeOptions(beam_size=1, best_of=1)
    exact = torch.stack([scores(rng) for _ in range(8)])
    decoder = StandIn(exact, torch.bfloat16)
    rules, rows = rules_of(options), rows_of(rng, 8)
    batch = DecodeBatch.__new__(DecodeBatch)
    batch._rules, batch._best_tokens = rules, found_by(decoder, rules)
    states, shape = torch.zeros(8, D_MODEL), PassShape(8, 60, 0, True, True)
    cold = batch._choose(exact.bfloat16(), states, rows, shape, Stopwatch())
    batch._temperatures = torch.tensor([0.0, 0.8] * 4)
    warm = batch._choose(exact.bfloat16(), states, replace(rows, temperatures=batch._temperatures), shape, Stopwatch())
    assert torch.equal(warm.drawn[::2], cold.drawn[::2])
    assert torch.equal(warm.logprobs[::2], cold.logprobs[::2])
    sampled = choose(
        exact.bfloat16(),
        replace(rows, temperatures=batch._temperatures),
        rules,
        Stopwatch(),
        width=0,
        draws=True,
    )
    assert torch.equal(warm.drawn[1::2], sampled.drawn[1::2])
    assert not torch.equal(warm.drawn[1::2], cold.drawn[1::2])


def test_there_is_no_search_where_rules_need_all_logits(monkeypatch: pytest.MonkeyPatch):
    decoder = StandIn(torch.zeros(1, N_VOCAB), torch.float32)
    assert best_tokens.find(decoder, rules_of(DecodeOptions(repetition_penalty=1.1))) is None
    assert best_tokens.find(decoder, rules_of(DecodeOptions(no_repeat_ngram_size=3))) is None
    assert cpu_logits.find(torch.float16, (0, 100)) is None
    assert cpu_logits.find(torch.float32, (0, 100, 115)) is None  # a part shorter than a vector
    cpu_logits.find.cache_clear()
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    assert best_tokens.find(decoder, rules_of()) is None
    cpu_logits.find.cache_clear()


def test_other_faults_of_the_kernel_are_not_hidden(monkeypatch: pytest.MonkeyPatch):
    cpu_logits.find.cache_clear()
    monkeypatch.delattr(LogitSums, "__init__")
    with pytest.raises(TypeError):
        cpu_logits.find(torch.float32, (0, 100))
    cpu_logits.find.cache_clear()
