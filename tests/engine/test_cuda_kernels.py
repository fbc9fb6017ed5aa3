"""Kernels of a CUDA device's own: the engine around them (on any device), and they themselves (``pytest -m gpu``)."""

import pytest
import torch

import model_engine
from engine_batches import LADDER, assert_same, crowd
from graph_recorder import Pretending
from unfused_kernels import InTorch
from whisperbatch.engine.device.decode_batch import DecodeBatch
from whisperbatch.engine.kernels import cuda
from whisperbatch.engine.model import cross_attention_cache, decoder, encoder
from whisperbatch.engine.model.cross_attention_cache import CudaInt8CrossAttentionCache
from whisperbatch.engine.model.self_attention_cache import BeamSelfAttentionCache, SelfAttentionCache
from whisperbatch.engine.scheduling.continuous_batching import ContinuousEngine
from whisperbatch.errors import UsageError
from whisperbatch.options import DecodeOptions

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
CPU = torch.device("cpu")
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


class WithoutLineage(InTorch):
    def self_attention(self, qkv, k, v, lineage, positions, n_group):
        return super().self_attention(qkv, k, v, torch.zeros_like(lineage), positions, n_group)


class WithoutKeeping(InTorch):
    def self_attention(self, qkv, k, v, lineage, positions, n_group):
        return super().self_attention(qkv, k.clone(), v.clone(), lineage, positions, n_group)


class OfOtherSlots(InTorch):
    def cross_attention(self, q, k, v, slots, scales=None):
        return super().cross_attention(q, k, v, None, scales)


class ElseWhere(InTorch):
    def put(self, slots, new_k, new_v, k, v):
        super().put(slots.flip(0), new_k, new_v, k, v)


class WithoutLimit(InTorch):
    def sum_and_norm(self, x, y, weight, bias, epsilon, limit):
        return super().sum_and_norm(x, y, weight, bias, epsilon, None)


class NotANumber(InTorch):
    def cross_attention(self, q, k, v, slots, scales=None):
        return super().cross_attention(q, k, v, slots, scales) * torch.nan


def test_kernels_are_trusted_when_they_are_right():
    assert all(cuda.is_right(InTorch(), CPU, dtype, 64) for dtype in (torch.float32, torch.bfloat16))


@pytest.mark.parametrize(
    "kind",
    [WithoutLineage, WithoutKeeping, OfOtherSlots, ElseWhere, WithoutLimit, NotANumber],
    ids=lambda k: k.__name__,
)
def test_kernels_that_are_wrong_are_found_out(kind: type[InTorch]):
    assert not cuda.is_right(kind(), CPU, torch.float32, 64)


def test_a_cpu_has_none_and_heads_of_odd_sizes_have_none():
    assert cuda.find(CPU, torch.float32, 64) is None
    assert cuda.find(torch.device("cuda"), torch.float16, 20) is None
    assert cuda.find(torch.device("cuda"), torch.float16, 8) is None


def fused_engine(monkeypatch: pytest.MonkeyPatch, options: DecodeOptions, n_slots: int) -> ContinuousEngine:
    """As on CUDA: kernels, recorded passes, and the host a step behind."""
    made = DecodeBatch.__init__

    def init(lane: DecodeBatch, *args: object) -> None:
        made(lane, *args)
        lane._runs_ahead = lane._beams.max_candidates >= lane.n_group

    with monkeypatch.context() as patch:
        for module in (encoder, decoder):
            patch.setattr(module, "find", lambda *args: InTorch())
        engine = model_engine.engine(options, 1)
    monkeypatch.setattr(DecodeBatch, "__init__", init)
    engine.device.recorder, engine.device.n_together = Pretending(), 8
    engine.resize(n_slots)
    assert all(isinstance(lane._caches.self_attention, BeamSelfAttentionCache) for lane in engine.device.batches)
    return engine


@pytest.mark.parametrize(
    "options",
    [
        DecodeOptions(beam_size=1, temperatures=(0.0,)),
        DecodeOptions(beam_size=5, best_of=3, temperatures=(0.0, 0.4), logprob_threshold=-0.02),
        DecodeOptions(beam_size=3, patience=2.0, temperatures=(0.0,)),
        DecodeOptions(beam_size=4, patience=0.5, temperatures=(0.0,)),
        LADDER,
    ],
    ids=["greedy", "beams", "patient", "impatient", "ladder"],
)
@pytest.mark.parametrize("n_slots", [3, 20])
def test_an_engine_around_kernels_hears_what_one_around_torch_hears(monkeypatch, options: DecodeOptions, n_slots: int):
    clips = [model_engine.clip(wave, k) for k, wave in enumerate(crowd(12))]
    with monkeypatch.context() as patch:
        patch.setattr(decoder.cpu_self_attention, "find", lambda *args: None)
        plain = model_engine.engine(options, n_slots)
    assert all(type(lane._caches.self_attention) is SelfAttentionCache for lane in plain.device.batches)
    exact, ties = model_engine.hear(plain, clips), []
    found = model_engine.hear(fused_engine(monkeypatch, options, n_slots), clips)
    assert found.keys() == exact.keys()
    for key, text in found.items():
        assert_same(text, exact[key], ties)
    assert len(ties) <= 1


class OfAnotherScale(InTorch):
    def put_bytes(self, slots, new_k, new_v, k, v, scales):
        super().put_bytes(slots, new_k, new_v, k, v, scales)
        scales[1].mul_(1.1)


def test_kernels_for_bytes_are_trusted_when_they_are_right():
    assert cuda.is_right_in_bytes(InTorch(), CPU, 64)
    assert not cuda.is_right_in_bytes(OfAnotherScale(), CPU, 64)
    assert not cuda.is_right_in_bytes(NotANumber(), CPU, 64)
    assert cuda.find_for_bytes(CPU, 64) is None


def test_bytes_are_put_read_moved_and_heard(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match="8-bit compute types need Triton"):
        CudaInt8CrossAttentionCache((4, 3, 1500, 32), CPU)
    monkeypatch.setattr(cross_attention_cache, "find_for_bytes", lambda *args: InTorch())
    held, slots = CudaInt8CrossAttentionCache((4, 3, 1500, 32), CPU), torch.tensor([3, 1])
    k, v = (torch.randn(2, 3, 1500, 32, generator=torch.Generator().manual_seed(s)).half() for s in (1, 2))
    held.put(slots, k, v)
    for read, new in zip(held.read(slots), (k, v), strict=True):
        assert (read - new).abs().max() < 0.03
    q = torch.randn(2, 3, 5, 32, generator=torch.Generator().manual_seed(3)).half()
    exact = InTorch().cross_attention(q.double(), k.double(), v.double(), None)
    assert (held.attend_slots(q, slots) - exact).abs().max() < 0.03
    held.move(3, 0)
    assert (held.attend(q) - exact).abs().max() < 0.03
    held.close()
    assert held.tensors == []


def test_what_is_read_aside_waits_for_windows_that_were_moved(monkeypatch: pytest.MonkeyPatch):
    """A CPU cannot show the race; that the wait comes after the moves, and with each of them, it can."""
    engine, done = fused_engine(monkeypatch, DecodeOptions(beam_size=1, temperatures=(0.0,)), 20), []
    (lane,) = engine.device.batches
    move = lane._beams.move
    monkeypatch.setattr(lane._beams, "move", lambda *args: (done.append("move"), move(*args)))
    monkeypatch.setattr(lane._reader, "wait", lambda: done.append("wait"))
    model_engine.hear(engine, [model_engine.clip(wave, k) for k, wave in enumerate(crowd(12))])
    assert "move" in done
    assert done[-1] == "wait"
    assert all(done[at + 1] in ("move", "wait") for at, what in enumerate(done) if what == "move")


def random(*shape: int, dtype: torch.dtype, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator("cuda").manual_seed(seed), device="cuda").to(dtype)


@pytest.mark.gpu
@NEEDS_CUDA
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("d_head", [16, 32, 64])
def test_a_gpu_has_kernels(dtype: torch.dtype, d_head: int):
    assert cuda.find(torch.device("cuda"), dtype, d_head) is not None


@pytest.mark.gpu
@NEEDS_CUDA
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("n", "n_queries"), [(1, 1), (5, 5), (3, 16), (2, 17), (2, 224)])
def test_what_is_heard_is_what_torch_hears(dtype: torch.dtype, n: int, n_queries: int):
    """Slots in any order, and a row's result that does not depend on the others, to the bit."""
    kernels, limit = cuda.find(torch.device("cuda"), dtype, 64), cuda.LIMITS[dtype]
    k, v = (torch.zeros(6, 20, 1500, 64, dtype=dtype, device="cuda") for _ in "kv")
    slots = torch.tensor([4, 0, 5, 2, 3], device="cuda")[:n]
    new = [random(n, 1500, 20, 64, dtype=dtype, seed=s).transpose(1, 2) for s in (1, 2)]
    kernels.put(slots, *new, k, v)
    assert all(torch.equal(held[slots], one) for held, one in zip((k, v), new, strict=True))
    q = 2 * random(n, n_queries, 20, 64, dtype=dtype, seed=3).transpose(1, 2)
    found = kernels.cross_attention(q, k, v, slots)
    exact = InTorch().cross_attention(q.double(), k.double(), v.double(), slots)
    assert (found.double() - exact).abs().max() < limit
    assert torch.equal(kernels.cross_attention(q[-1:], k, v, slots[-1:]), found[-1:])
    exact = InTorch().cross_attention(q.double(), k.double(), v.double(), None)
    assert (kernels.cross_attention(q, k, v, None).double() - exact).abs().max() < limit


@pytest.mark.gpu
@NEEDS_CUDA
@pytest.mark.parametrize(("n", "n_queries"), [(1, 1), (5, 5), (2, 17)])
def test_what_is_heard_in_bytes_is_nearly_what_torch_hears(n: int, n_queries: int):
    """Channels of keys and positions of values that stand out spoil no others."""
    kernels, slots = cuda.find_for_bytes(torch.device("cuda"), 64), torch.tensor([4, 0, 5, 2, 3], device="cuda")[:n]
    held = CudaInt8CrossAttentionCache((6, 20, 1500, 64), torch.device("cuda"))
    k, v = (random(n, 1500, 20, 64, dtype=torch.float16, seed=s).transpose(1, 2) for s in (1, 2))
    k[..., 5] *= 20
    v[:, :, 7] *= 20
    held.put(slots, k, v)
    read_k, read_v = held.read(slots)
    rest = [c for c in range(64) if c != 5]
    assert (read_k - k)[..., rest].abs().max() < 0.03
    assert (read_v - v)[:, :, 8:].abs().max() < 0.03
    q = random(n, n_queries, 20, 64, dtype=torch.float16, seed=3).transpose(1, 2)
    q[..., 5] /= 20
    found, exact = held.attend_slots(q, slots), InTorch().cross_attention(q.double(), k.double(), v.double(), None)
    assert (found - exact).abs().max() < 0.05
    assert torch.equal(kernels.cross_attention(q[-1:], *held.tensors[:2], slots[-1:], held._scales), found[-1:])


@pytest.mark.gpu
@NEEDS_CUDA
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n_group", [1, 2, 5])
def test_what_is_said_is_what_torch_says(dtype: torch.dtype, n_group: int):
    kernels, n_rows = cuda.find(torch.device("cuda"), dtype, 64), 4 * n_group
    k, v = (random(n_rows + 3, 6, 448, 64, dtype=dtype, seed=s) for s in (1, 2))
    of = torch.randint(n_group, (n_rows + 3, 448), device="cuda").to(torch.int16)
    positions = torch.tensor([0, 1, 64, 447], device="cuda").repeat_interleave(n_group)
    qkv = random(n_rows, 3 * 6 * 64, dtype=dtype, seed=3)
    theirs = [one.double() for one in (k, v)], of.clone()
    found = kernels.self_attention(qkv, k, v, of, positions, n_group)
    exact = InTorch().self_attention(qkv.double(), *theirs[0], theirs[1], positions, n_group)
    assert (found.double() - exact).abs().max() < cuda.LIMITS[dtype]
    assert torch.equal(of, theirs[1])
    assert all(torch.equal(one.double(), other) for one, other in zip((k, v), theirs[0], strict=True))
    assert torch.equal(kernels.self_attention(qkv[-n_group:], k[-n_group - 3 :], v[-n_group - 3 :], of[-n_group - 3 :],
                                    positions[-n_group:], n_group), found[-n_group:])  # fmt: skip
