"""Beam search, sampling and ranking in a lane against openai-whisper's decoders, on made-up probabilities.

The decoder is a stand-in whose logits depend on a window's number and on the tokens that the caches hold for a row, so
that a beam whose cache was not moved along, or a slot that still holds another window, says something else.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import whisper
from whisper.decoding import BeamSearchDecoder, MaximumLikelihoodRanker

import beside_openai
from whisperbatch.engine.device import decode_batch as lanes
from whisperbatch.engine.device import sampling_noise
from whisperbatch.engine.device.beam_search import BeamSearch
from whisperbatch.engine.device.decode_batch import DecodeBatch
from whisperbatch.engine.device.step_plan import SlotState
from whisperbatch.engine.device.token_choice import N_STRETCH, largest
from whisperbatch.engine.model.cross_attention_cache import CrossAttentionCache
from whisperbatch.engine.model.decoder import Caches
from whisperbatch.engine.model.self_attention_cache import SelfAttentionCache
from whisperbatch.engine.scheduling import quality
from whisperbatch.engine.scheduling.request import SampledTokens
from whisperbatch.options import DecodeOptions

pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__")  # openai-whisper sorts tensors with numpy
N_VOCAB, END, START, N_CONTEXT = 40, 7, 1, 48


@dataclass(frozen=True)
class Made:
    """A window by number; ``n_allowed`` tokens only are possible at its first step, ``ends`` makes its end likely."""

    number: int
    temperature: float = 0.0
    ends: float = 0.0
    n_allowed: int = N_VOCAB
    sample_len: int = 20

    @property
    def opening(self) -> list[int]:
        return [2 + k for k in range(self.number % 5)] + [START]

    def logits(self, history: list[int]) -> torch.Tensor:
        made = torch.from_numpy(np.random.default_rng([self.number, *history]).normal(0, 2, N_VOCAB)).float()
        made[END] += self.ends
        if len(history) == len(self.opening):
            made[self.n_allowed :] = -torch.inf
            made[END] = -torch.inf
        return made


class StandIn:
    """A decoder whose caches hold tokens and window numbers."""

    n_context, n_vocab, device = N_CONTEXT, N_VOCAB, torch.device("cpu")

    def __init__(self, windows: list[Made]) -> None:
        self._windows = {window.number: window for window in windows}

    def new_caches(self, n_slots: int, n_group: int) -> Caches:
        heard = [CrossAttentionCache((n_slots, 1, 1, 1), self.device, torch.float32)]
        return Caches(heard, SelfAttentionCache(1, (n_slots * n_group, 1, N_CONTEXT, 1), self.device, torch.float32))

    def fill_cross_attention(self, caches: Caches, slots: torch.Tensor, audio: torch.Tensor) -> None:
        numbers = audio[:, None]
        caches.cross_attention[0].put(slots, numbers, numbers)

    def prefill(self, caches: Caches, slots: torch.Tensor, n_group: int, tokens: torch.Tensor) -> torch.Tensor:
        for slot, row in zip(slots.tolist(), tokens, strict=True):
            caches.self_attention.k[0][slot * n_group : (slot + 1) * n_group, 0, : len(row), 0] = row.float()
        return torch.zeros(*tokens.shape, 1)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*states.shape[:-1], N_VOCAB)

    def step(self, caches, n_slots, n_group, tokens, positions, reach) -> tuple[torch.Tensor, torch.Tensor]:
        assert positions.max() < reach <= N_CONTEXT
        made = []
        for row, (token, at) in enumerate(zip(tokens.tolist(), positions.tolist(), strict=True)):
            caches.self_attention.k[0][row, 0, at, 0] = token
            window = self._windows[int(caches.cross_attention[0].tensors[0][row // n_group, 0, 0, 0])]
            made.append(window.logits(caches.self_attention.k[0][row, 0, : at + 1, 0].long().tolist()))
        return torch.stack(made), torch.zeros(len(made), 1)


class NoRules:
    end, timestamp_begin, discourages = END, N_VOCAB, False

    def apply(self, logits: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        return logits


class NoInference:
    def rearrange_kv_cache(self, source_indices: list[int]) -> None:
        pass


def theirs(window: Made, n_group: int, options: DecodeOptions) -> SampledTokens:
    """By openai-whisper's decoders and ranker, as its DecodingTask drives them."""
    if window.temperature == 0 and n_group > 1:
        decoder = BeamSearchDecoder(n_group, END, NoInference(), options.patience)
    else:
        decoder = whisper.decoding.GreedyDecoder(window.temperature, END)
    tokens, sums = torch.tensor([window.opening] * n_group), torch.zeros(n_group)
    for _ in range(window.sample_len):
        logits = torch.stack([window.logits(row) for row in tokens.tolist()])
        tokens, completed = decoder.update(tokens, logits, sums)
        if completed or tokens.shape[-1] > N_CONTEXT:
            break
    found, totals = decoder.finalize(tokens.reshape(1, n_group, -1), sums.reshape(1, n_group))
    cut = [[t[len(window.opening) : (t == END).nonzero()[0, 0]] for t in found[0]]]
    best = MaximumLikelihoodRanker(options.length_penalty).rank(cut, totals)[0]
    return SampledTokens(tuple(cut[0][best].tolist()), totals[0][best])


def ours(windows: list[Made], n_slots: int, n_group: int, options: DecodeOptions) -> dict[int, SampledTokens]:
    """By one lane, slots refilled as they become free."""
    lane, left, found = DecodeBatch(StandIn(windows), NoRules(), options, n_slots, n_group), list(windows), {}
    while left or lane.slots.n_used:
        some, left = left[: lane.slots.n_free], left[lane.slots.n_free :]
        if some:
            slots = lane.add(some, torch.tensor([[[float(window.number)]] for window in some]))
            lane.begin([(slot, seat_of(w, n_group)) for slot, w in zip(slots, some, strict=True)], START, 0, ())
        for slot, seat, sampled in lane.step():
            found[seat.window.number] = sampled
            lane.slots.clear(slot)
    return found


def seat_of(window: Made, n_group: int) -> SlotState:
    keys = [sampling_noise.key(0, np.zeros(0, np.int16), 0, window.temperature, k) for k in range(n_group)]
    n_most = min(len(window.opening) + window.sample_len, N_CONTEXT + 1)
    n_room = getattr(window, "n_room", 12)
    return SlotState(
        window, window.opening, window.temperature, n_most, keys if window.temperature else (), n_room=n_room
    )


def compare(windows: list[Made], n_slots: int, n_group: int, options: DecodeOptions) -> None:
    found = ours(windows, n_slots, n_group, options)
    for window in windows:
        reference = theirs(window, n_group, options)
        assert found[window.number].tokens == reference.tokens, window
        assert found[window.number].sum_logprob == pytest.approx(reference.sum_logprob, abs=1e-3), window


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    beside_openai.share_noise(monkeypatch)
    monkeypatch.setattr(lanes, "REACH", 4)  # so that short rows reach the next multiple
    monkeypatch.setattr(lanes, "PREFILL", 4)


@pytest.mark.parametrize("penalty", [None, 0.6])
@pytest.mark.parametrize("patience", [1.0, 2.0, 0.4])
@pytest.mark.parametrize("n_group", [2, 5])
def test_beams_are_openai_whispers_whenever_they_end(n_group: int, patience: float, penalty: float | None):
    ends = [-30.0, -2.0, 0.0, 1.5, 3.0, 6.0]
    windows = [Made(k, ends=ends[k % 6], sample_len=4 + k % 17) for k in range(24)]
    compare(windows, 3, n_group, DecodeOptions(beam_size=n_group, patience=patience, length_penalty=penalty))


@pytest.mark.parametrize("n_group", [1, 3])
def test_greedy_search_and_samples_are_openai_whispers(n_group: int):
    windows = [Made(k, temperature=(0.0, 0.3, 1.0)[k % 3], ends=(0.0, 2.0)[k % 2]) for k in range(24)]
    compare(windows, 4, n_group, DecodeOptions(beam_size=n_group, best_of=n_group))


@pytest.mark.parametrize("n_allowed", [1, 2, 4])
def test_fewer_possible_tokens_than_beams(n_allowed: int):
    windows = [Made(k, ends=(-30.0, 1.0)[k % 2], n_allowed=n_allowed) for k in range(8)]
    compare(windows, 2, 5, DecodeOptions())


def test_a_row_that_fills_the_context_ends_there():
    windows = [Made(k, ends=-30.0, sample_len=100) for k in range(5)]
    compare(windows, 2, 2, DecodeOptions(beam_size=2))
    assert len(ours(windows, 2, 2, DecodeOptions(beam_size=2))[0].tokens) == N_CONTEXT


@dataclass(frozen=True)
class Looping(Made):
    """A window that says the same three tokens again and again."""

    n_room: int | None = None

    def logits(self, history: list[int]) -> torch.Tensor:
        return super().logits(history) + 50.0 * (torch.arange(N_VOCAB) == 10 + len(history) % 3)


@pytest.mark.parametrize(("n_group", "temperature"), [(1, 0.0), (2, 0.0), (2, 0.2)])
def test_a_text_that_goes_in_circles_ends_where_its_audio_has_no_room_for_more(
    monkeypatch: pytest.MonkeyPatch, n_group: int, temperature: float
):
    monkeypatch.setattr(quality, "MIN_CIRCLE", 12)
    monkeypatch.setattr(lanes, "CHECK_EVERY", 4)
    looping = {"ends": -30.0, "sample_len": 100, "temperature": temperature}
    windows = [Looping(0, **looping, n_room=21), Looping(1, **looping), Made(2), Made(5, **looping)]
    options = DecodeOptions(beam_size=n_group, best_of=n_group)
    found = ours(windows, 4, n_group, options)
    assert (len(found[0].tokens), found[0].is_cut) == (24, False)
    assert (len(found[1].tokens), found[1].is_cut) == (N_CONTEXT - 1, True)
    assert found[2].tokens == theirs(windows[2], n_group, options).tokens
    assert (len(found[5].tokens), found[5].is_cut) == (N_CONTEXT, True)


def test_an_end_that_is_impossible_is_no_candidate():
    end = 5  # of six tokens, which are all among the best six
    beams, slots = BeamSearch(1, 5, 4, 1.0, end, torch.device("cpu")), torch.tensor([0])
    tokens, counts, first = torch.full((1, 5, 4), START), torch.tensor([1]), torch.tensor([True])
    sure = torch.full((1, 5, 6), -9.0)
    sure[..., end] = -0.1
    beams.advance(slots, *largest(sure, 6), torch.zeros(1, 5), tokens, counts, first)
    assert beams.ended(0) == [([START, end, end, end], pytest.approx(-0.1))]
    beams.clear(slots)
    two = torch.full((1, 5, 6), -torch.inf)
    two[..., 2:4] = -1.0
    for _ in range(3):
        _, following, sums = beams.advance(slots, *largest(two, 6), torch.zeros(1, 5), tokens, counts, first)
        assert sorted(following[0, :2].tolist()) == [2, 3]
        assert sums[0].isfinite().tolist() == [True, True, False, False, False]
        assert beams.ended(0) == []


@pytest.mark.parametrize("n_vocab", [700, 5_121, 51_865, 51_866])
@pytest.mark.parametrize("k", [1, 6, 11])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_largest_are_found_by_way_of_stretches(n_vocab: int, k: int, device: str, monkeypatch):
    monkeypatch.setitem(N_STRETCH, "cpu", N_STRETCH[device])
    generator = torch.Generator().manual_seed(n_vocab + k)
    x = torch.randn(4, 5, n_vocab, generator=generator)
    x[0, :, : n_vocab - k] = -torch.inf  # no more than are asked for
    x[1, :, -3:] += 9.0  # beyond the last whole stretch
    best, at = largest(x, k)
    expected = x.topk(k, dim=-1)
    assert torch.equal(best, expected.values)
    assert torch.equal(x.gather(-1, at), best)
    assert torch.equal(at.sort(dim=-1).values, expected.indices.sort(dim=-1).values)
