"""Passes that are recorded and replayed: when, what becomes of faults, and that the decoder's pass is fit for it.

Without a GPU: a recorder that pretends, and a device that holds no numbers.
"""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import model_engine
from engine_batches import LADDER, assert_same, crowd
from graph_recorder import OUT_OF_MEMORY, Frozen, Pretending, Replayed, Wrong, unable
from whisperbatch.engine.device import cuda_graphs
from whisperbatch.engine.device.cuda_graphs import CudaGraphs
from whisperbatch.engine.device.decode_batch import DecodeBatch
from whisperbatch.engine.device.logit_rules import Rules
from whisperbatch.engine.device.step_plan import PassShape
from whisperbatch.engine.device.stopwatch import Stopwatch
from whisperbatch.engine.device.token_choice import N_STRETCH, TokenChoices, agree
from whisperbatch.engine.model.decoder import Decoder
from whisperbatch.engine.scheduling.continuous_batching import ContinuousEngine
from whisperbatch.options import DecodeOptions
from whisperbatch.records import Clip

GREEDY = DecodeOptions(beam_size=1, temperatures=(0.0,))


class Sum:
    """A pass that adds to what its input holds, and counts how often it ran."""

    def __init__(self) -> None:
        self.held, self.n_runs = torch.zeros(2), 0

    def __call__(self) -> list[Tensor]:
        self.n_runs += 1
        return [self.held + 1]


def are_equal(one: list[Tensor], two: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def run_on(passes: CudaGraphs, work: Sum, values: range, key: object = "key") -> None:
    """Run the pass on each value, and see that it gives what it should."""
    for value in values:
        work.held.fill_(value)
        (made,) = passes.run(key, work)
        assert made.tolist() == [value + 1, value + 1]


def test_a_pass_is_recorded_when_it_comes_back_and_trusted_after_two_checks():
    recorder, work = Pretending(), Sum()
    passes = CudaGraphs(recorder, 8, are_equal)
    run_on(passes, work, range(1))
    assert not recorder.recordings
    run_on(passes, work, range(1, 3))
    (recording,) = recorder.recordings
    assert recording.n_replays == cuda_graphs.N_CHECKS
    run_on(passes, work, range(3, 9))
    assert recording.n_replays == cuda_graphs.N_CHECKS + 6
    assert passes.run("key", work) is recording.outputs
    assert recorder.recordings == [recording]
    assert not recorder.told


def test_each_key_is_a_recording_of_its_own_up_to_a_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cuda_graphs, "MAX_RECORDINGS", 3)
    recorder, passes = Pretending(), None
    passes = CudaGraphs(recorder, 8, are_equal)
    for key in range(5):
        run_on(passes, Sum(), range(6), key)
    assert len(recorder.recordings) == 3


@pytest.mark.parametrize("kind", [Wrong, Frozen, unable(RuntimeError("operation not permitted\nand more"))])
def test_what_cannot_be_recorded_rightly_runs_eagerly_and_is_told_once(kind):
    recorder, work = Pretending(kind), Sum()
    first, second = CudaGraphs(recorder, 8, are_equal), CudaGraphs(recorder, 8, are_equal)
    run_on(first, work, range(9))
    run_on(second, work, range(9))
    run_on(first, work, range(9), "another")
    assert not recorder.is_on
    assert not first.is_on
    assert len(recorder.recordings) <= 1
    (told,) = recorder.told
    assert told.startswith("CUDA graphs are off for this run")
    assert "and more" not in told


def test_a_recording_that_froze_its_input_does_not_pass_the_second_check():
    recorder, work = Pretending(Frozen), Sum()
    passes = CudaGraphs(recorder, 8, are_equal)
    run_on(passes, work, range(2))
    assert recorder.is_on
    run_on(passes, work, range(2, 3))
    assert not recorder.is_on


def test_a_replay_that_raises_while_it_is_checked_ends_recording():
    class Raising(Replayed):
        def replay(self) -> None:
            raise RuntimeError("launch failed")

    recorder, work = Pretending(Raising), Sum()
    run_on(CudaGraphs(recorder, 8, are_equal), work, range(5))
    assert recorder.told == [
        "CUDA graphs are off for this run, which is slower but does not change the text: launch failed"
    ]


def test_lack_of_memory_for_a_recording_ends_it_in_that_lane_only():
    recorder, work = Pretending(unable(OUT_OF_MEMORY)), Sum()
    large, small = CudaGraphs(recorder, 64, are_equal), CudaGraphs(recorder, 8, are_equal)
    run_on(large, work, range(5))
    assert not large.is_on
    assert recorder.is_on
    recorder._kind = Replayed
    run_on(large, work, range(5))
    run_on(small, work, range(5))
    assert len(recorder.recordings) == 1
    assert not recorder.told


def test_passes_are_padded_to_few_sizes():
    recorder = Pretending()
    for n_slots in (1, 2, 7, 8, 9, 24, 100, 256):
        passes = CudaGraphs(recorder, n_slots, are_equal)
        sizes = [passes.padded(n) for n in range(1, n_slots + 1)]
        assert all(n <= size <= n_slots for n, size in enumerate(sizes, start=1))
        assert len(set(sizes)) <= cuda_graphs.N_SIZES
        assert max(size - n for n, size in enumerate(sizes, start=1)) <= n_slots / cuda_graphs.N_SIZES
    recorder.is_on = False
    assert CudaGraphs(recorder, 256, are_equal).padded(3) == 3


# what is held against what


def choices(best: list[list[float]], tokens: list[list[int]], drawn: list[int], logprobs: list[float]) -> TokenChoices:
    return TokenChoices(torch.tensor(best), torch.tensor(tokens), torch.tensor(drawn), torch.tensor(logprobs))


def test_choices_agree_when_values_are_near_and_tokens_the_same_but_for_ties():
    one = choices([[-0.1, -3.0, -torch.inf]], [[5, 6, 7]], [5], [-0.1])
    assert agree(one, one)
    assert agree(one, choices([[-0.11, -3.01, -torch.inf]], [[5, 6, 9]], [5], [-0.11]))
    assert not agree(one, choices([[-0.1, -3.0, -4.0]], [[5, 6, 7]], [5], [-0.1]))
    assert not agree(one, choices([[-0.1, -3.0, -torch.inf]], [[6, 5, 7]], [5], [-0.1]))
    assert not agree(one, choices([[-0.1, -3.0, -torch.inf]], [[5, 6, 7]], [6], [-0.1]))
    assert not agree(one, choices([[-0.1, -3.0, -torch.inf]], [[5, 6, 7]], [5], [-0.3]))
    tie = choices([[-0.7, -0.71, -5.0]], [[5, 6, 7]], [], [])
    assert agree(tie, choices([[-0.7, -0.71, -5.0]], [[6, 5, 7]], [], []))


# the engine's own pass


def recording_engine(options: DecodeOptions, n_slots: int, recorder: Pretending) -> ContinuousEngine:
    engine = model_engine.engine(options, n_slots)
    engine.device.recorder = recorder
    engine.resize(n_slots)
    return engine


def some(n: int) -> list[Clip]:
    return [model_engine.clip(wave, k) for k, wave in enumerate(crowd(n))]


@pytest.mark.parametrize("options", [GREEDY, LADDER], ids=["greedy", "ladder"])
@pytest.mark.parametrize("n_slots", [3, 12])
def test_replayed_passes_give_the_text_of_eager_ones(options: DecodeOptions, n_slots: int):
    recorder, clips, ties = Pretending(), some(4), []
    replayed = model_engine.hear(recording_engine(options, n_slots, recorder), clips)
    eager = model_engine.hear(model_engine.engine(options, n_slots), clips)
    for key, text in eager.items():
        assert_same(replayed[key], text, ties)
    assert len(ties) <= 1
    assert not recorder.told
    assert recorder.n_replays > 3 * len(recorder.recordings) > 0


@pytest.mark.parametrize(
    ("kind", "n_told"), [(Wrong, 1), (Frozen, 1), (unable(RuntimeError("no")), 1), (unable(OUT_OF_MEMORY), 0)]
)
def test_whatever_is_wrong_with_recording_the_text_is_that_of_eager_passes(kind, n_told: int):
    recorder, clips = Pretending(kind), some(2)
    found = model_engine.hear(recording_engine(GREEDY, 2, recorder), clips)
    assert found == model_engine.hear(model_engine.engine(GREEDY, 2), clips)
    assert len(recorder.told) == n_told


def test_recordings_go_with_their_lane():
    engine = recording_engine(GREEDY, 2, Pretending())
    model_engine.hear(engine, some(1))
    lane = engine.device.batches[0]
    assert lane._graphs._recordings
    engine.resize(1)
    assert not lane._graphs._recordings
    assert engine.device.batches[0]._graphs.is_on


# that the pass is fit for it


class Asking(TorchDispatchMode):
    """Notes what makes a device wait for the host, or takes the host's numbers."""

    ASKS = ("_local_scalar_dense", "nonzero", "lift_fresh", "masked_select", "equal", "item", "unique")

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.n_calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.n_calls += 1
        if any(name.startswith(one) for one in self.ASKS):
            self.asked.append(name)
        indices = args[1] if name in ("index", "index_put", "index_put_") else ()
        if any(one is not None and one.dtype == torch.bool for one in indices):
            self.asked.append(f"{name} by what is true")
        return func(*args, **(kwargs or {}))


DEMANDING = DecodeOptions(beam_size=2, best_of=2, repetition_penalty=1.1, no_repeat_ngram_size=3)
SHAPES = [
    PassShape(4, 64, 0, True, False),
    PassShape(4, 64, 0, True, True),
    PassShape(3, 96, 3, False, False),
    PassShape(4, 448, 3, True, True),
]


@pytest.mark.parametrize("shape", SHAPES)
@torch.inference_mode()
def test_a_pass_asks_the_host_nothing_and_done_twice_it_is_the_same(shape: PassShape):
    found = model_engine.loaded()
    decoder = Decoder(found.tensors, found.config)
    rules = Rules(model_engine.spelling(), DEMANDING, decoder.n_vocab, decoder.device)
    lane = DecodeBatch(decoder, rules, DEMANDING, 4, 2)
    lane._row_counts[0], lane._row_counts[1], lane._temperatures[:] = 9, 4, 0.5
    with Asking() as mode:
        first = lane._pass(shape, Stopwatch())
    assert mode.n_calls > 100
    assert mode.asked == []
    held = [cache.clone() for cache in (*lane._caches.self_attention.k, *lane._caches.self_attention.v)]
    again = lane._pass(shape, Stopwatch())
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(
        torch.equal(a, b)
        for a, b in zip(held, (*lane._caches.self_attention.k, *lane._caches.self_attention.v), strict=True)
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@torch.inference_mode()
def test_a_pass_stays_on_its_device(shape: PassShape, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch):
    """On a device that is no CPU and holds no numbers, what mixes devices or depends on what tensors hold raises."""
    monkeypatch.setitem(N_STRETCH, "meta", N_STRETCH["cuda"])
    found, device = model_engine.loaded(), torch.device("meta")
    tensors = {name: torch.empty(one.shape, dtype=dtype, device=device) for name, one in found.tensors.items()}
    decoder = Decoder(tensors, found.config)
    rules = Rules(model_engine.spelling(), DEMANDING, decoder.n_vocab, device)
    lane = DecodeBatch(decoder, rules, DEMANDING, 4, 2)
    made = lane._pass(shape, Stopwatch())
    assert {one.device.type for one in made} == {"meta"}
    assert made.best.shape == (2 * shape.n_slots, shape.width)
    assert len(made.drawn) == (2 * shape.n_slots if shape.draws else 0)
    with pytest.raises(RuntimeError, match="device"):
        lane._tokens + torch.arange(lane._tokens.shape[1])
    with pytest.raises(RuntimeError):
        lane._tokens[0, 0].item()


@torch.inference_mode()
def test_the_encoders_passes_are_recorded_too_and_give_the_same():
    device = model_engine.engine(GREEDY, 2).device
    device.recorder = Pretending()
    device.resize(2)
    generator = torch.Generator().manual_seed(0)
    for number in range(cuda_graphs.N_CHECKS + 3):
        for n in (2, 1):
            mel = torch.randn(n, *device._encoder_input.shape[1:], generator=generator)
            torch.testing.assert_close(device._encoded(mel), device._encoder(mel))
        assert device._encoder_graphs._n_checked.get(2, 0) == min(number, cuda_graphs.N_CHECKS)
    assert len(device.recorder.recordings) == 2
    assert device.recorder.n_replays == 2 * (cuda_graphs.N_CHECKS + 2)
    device.recorder = None
    device.resize(2)
    assert device._encoder_graphs is None


# float16


@torch.inference_mode()
def test_what_a_window_left_behind_does_not_reach_the_next_one():
    """A float16 window may become infinite; the next one in its slot looks at its own positions only."""
    found = model_engine.loaded()
    decoder = Decoder({name: one.half() for name, one in found.tensors.items()}, found.config)
    caches, slot = decoder.new_caches(1, 1), torch.tensor([0])
    decoder.fill_cross_attention(caches, slot, torch.zeros(1, decoder.n_audio, decoder.d_model, dtype=torch.float16))
    for cache in (*caches.self_attention.k, *caches.self_attention.v):
        cache.fill_(torch.nan)
    decoder.prefill(caches, slot, 1, torch.tensor([[1, 2, 3]]))
    logits, _ = decoder.step(caches, 1, 1, torch.tensor([4]), torch.tensor([3]), 32)
    assert logits.isfinite().all()
