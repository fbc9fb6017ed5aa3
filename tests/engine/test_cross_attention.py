"""What is heard: compiled attention against torch's in float64, and keys and values in 8 bits."""

import ctypes
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from whisperbatch import demo
from whisperbatch.engine import placement
from whisperbatch.engine.device.runner import Runner
from whisperbatch.engine.kernels import cpu_cross_attention
from whisperbatch.engine.kernels.cpu_cross_attention import CrossAttention
from whisperbatch.engine.model import checkpoint, cross_attention_cache, weights
from whisperbatch.engine.model.cross_attention_cache import (
    CrossAttentionCache,
    Int8CrossAttentionCache,
    PackedCrossAttentionCache,
)
from whisperbatch.engine.model.decoder import Decoder
from whisperbatch.engine.model.tokenizer import WhisperTokenizer
from whisperbatch.errors import UsageError
from whisperbatch.options import DecodeOptions, EngineOptions

N_SLOTS, N_HEADS = 4, 3
DTYPES = (torch.float32, torch.bfloat16, torch.int8)
CPU_BFLOAT16 = placement.Placement(torch.device("cpu"), "bfloat16")


def made(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def exact(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    q, k, v = q.double(), k.double(), v.double()
    return ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(dim=-1) @ v


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def kernel(dtype: torch.dtype, n_keys: int = 1500, d_head: int = 32, n_group: int = 1) -> CrossAttention:
    found = cpu_cross_attention.find(dtype, N_HEADS, n_keys, d_head, n_group)
    assert found is not None
    return found


def packed(found: CrossAttention, k: torch.Tensor) -> torch.Tensor:
    held = torch.zeros(*k.shape[:2], *found.packed_shape, dtype=k.dtype)
    found.pack(k, held, torch.arange(len(k), dtype=torch.int32))
    return held


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_group", [1, 2, 5, 11])
@pytest.mark.parametrize("d_head", [16, 32, 64])
@pytest.mark.parametrize("n_keys", [1, 7, 16, 1500])
def test_kernels_attend_as_in_float64(dtype: torch.dtype, n_group: int, d_head: int, n_keys: int):
    found = kernel(dtype, n_keys, d_head, n_group)
    k, v = (made((2, N_HEADS, n_keys, d_head), seed) for seed in (1, 2))
    if dtype == torch.int8:
        k, v = ((one * 40).round().clamp(-127, 127) for one in (k, v))
    k, v = k.to(dtype), v.to(dtype)
    factors = made((2, N_HEADS, n_keys), 5).abs() if dtype == torch.int8 else None
    q = made((2, N_HEADS, n_group, d_head), 3, torch.bfloat16).to(torch.float32 if dtype == torch.int8 else dtype)
    q = q / 40 if dtype == torch.int8 else q
    got = found(q, packed(found, k), v, torch.arange(2, dtype=torch.int32), factors)
    wanted = exact(q, k, v if factors is None else v.double() * factors.double()[..., None])
    assert (got.shape, got.dtype) == (q.shape, q.dtype)
    size = 1e-5 if dtype != torch.bfloat16 else 2**-8  # what a bfloat16 output rounds to
    torch.testing.assert_close(got.double(), wanted, rtol=size, atol=size * float(v.double().abs().max()))


@pytest.mark.parametrize("dtype", DTYPES)
def test_keys_are_packed_in_the_slots_asked_for_and_unpacked_whole(dtype: torch.dtype):
    found, k = kernel(dtype, 39), (made((2, 39, N_HEADS, 32), 1) * 40).round().to(dtype).transpose(1, 2)
    held = torch.zeros(4, N_HEADS, *found.packed_shape, dtype=dtype)
    found.pack(k, held, torch.tensor([3, 1], dtype=torch.int32))
    assert torch.equal(found.unpack(held)[[3, 1]], k)
    assert not held[[0, 2]].any()


def test_queries_of_any_number_and_order_in_memory_find_the_same():
    found, k, v = kernel(torch.bfloat16, n_group=5), *(made((2, N_HEADS, 1500, 32), n, torch.bfloat16) for n in (1, 2))
    q, slots = made((2, N_HEADS, 12, 32), 3, torch.bfloat16), torch.tensor([1, 0], dtype=torch.int32)
    held = packed(found, k)
    whole = found(q, held, v, slots)
    torch.testing.assert_close(whole.double(), exact(q, k[[1, 0]], v[[1, 0]]), rtol=0.01, atol=0.01)
    for other in (q.transpose(1, 2).contiguous().transpose(1, 2), q.transpose(2, 3).contiguous().transpose(2, 3)):
        assert torch.equal(found(other, held, v, slots), whole)
    assert torch.equal(found(q[:, :, 5:10], held, v, slots), whole[:, :, 5:10])


@pytest.mark.parametrize("n_threads", [1, 2, 3, 64])
def test_the_number_of_threads_changes_no_bit(n_threads: int, threads):
    q, k = made((N_SLOTS, N_HEADS, 2, 32), 1, torch.bfloat16), made((N_SLOTS, N_HEADS, 333, 32), 2, torch.bfloat16)
    found, slots = kernel(torch.bfloat16, 333, n_group=2), torch.arange(N_SLOTS, dtype=torch.int32)
    threads(1)
    alone = found(q, packed(found, k), k, slots)
    threads(n_threads)
    assert torch.equal(found(q, packed(found, k), k, slots), alone)


def test_other_threads_go_on_while_a_kernel_runs():
    found = kernel(torch.bfloat16)
    flags = type(found._kernel._function)._flags_
    assert not flags & ctypes.PYFUNCTYPE(None)._flags_ & ~ctypes.CFUNCTYPE(None)._flags_  # that one keeps Python's lock
    q, k = made((8, N_HEADS, 1, 32), 1, torch.bfloat16), made((8, N_HEADS, 1500, 32), 2, torch.bfloat16)
    held, slots = packed(found, k), torch.arange(8, dtype=torch.int32)
    whole = found(q, held, k, slots)
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(one, whole) for one in pool.map(lambda _: found(q, held, k, slots), range(32)))


def test_what_is_not_contiguous_is_refused():
    found, k = kernel(torch.int8, 32), torch.zeros(2, N_HEADS, 32, 32, dtype=torch.int8)
    slots = torch.arange(2, dtype=torch.int32)
    with pytest.raises(AssertionError):
        found(made((2, N_HEADS, 1, 32), 1), packed(found, k), k.transpose(-1, -2), slots, torch.ones(2, N_HEADS, 32))


def test_without_a_compiler_torch_does_it(monkeypatch: pytest.MonkeyPatch):
    cpu_cross_attention.find.cache_clear()
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    try:
        loaded = weights.load(checkpoint.FoundModel("demo", demo.FOLDER, None, is_demo=True), CPU_BFLOAT16)
        (held, *_) = Decoder(loaded.tensors, loaded.config).new_caches(2, 1).cross_attention
        assert type(held) is CrossAttentionCache
        k, v = (made(tuple(held.tensors[0].shape), seed, torch.bfloat16) for seed in (1, 2))
        held.put(torch.arange(2), k, v)
        q = made((*k.shape[:2], 1, k.shape[3]), 3, torch.bfloat16)
        torch.testing.assert_close(held.attend(q).double(), exact(q, k, v), rtol=0.05, atol=0.02)
        with pytest.raises(UsageError, match="try another --compute-type"):
            Int8CrossAttentionCache((2, 2, 9, 32), 1, torch.float32)
    finally:
        cpu_cross_attention.find.cache_clear()


def test_a_fault_of_the_kernels_source_is_no_reason_to_go_without(monkeypatch: pytest.MonkeyPatch):
    cpu_cross_attention.find.cache_clear()
    monkeypatch.delattr(cpu_cross_attention.IrBuilder, "load")
    with pytest.raises(AttributeError, match="load"):
        kernel(torch.bfloat16)
    cpu_cross_attention.find.cache_clear()


def test_heads_of_another_size_have_no_kernels():
    assert cpu_cross_attention.find(torch.bfloat16, N_HEADS, 1500, 20, 1) is None
    assert cpu_cross_attention.find(torch.float16, N_HEADS, 1500, 64, 1) is None


def hold(kind: str, n_group: int) -> CrossAttentionCache:
    shape = (N_SLOTS, N_HEADS, 1500, 32)
    if kind == "int8":
        return Int8CrossAttentionCache(shape, n_group, torch.float32)
    dtype = getattr(torch, kind)
    return PackedCrossAttentionCache(shape, dtype, kernel(dtype, n_group=n_group))


LIMITS = {"float32": 1e-5, "bfloat16": 0.01, "int8": 0.03}  # of what is found: the values are about 1


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("n_group", [1, 5])
def test_queries_find_what_they_find_in_float64(kind: str, n_group: int):
    held = hold(kind, n_group)
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
    k, v = (made((N_SLOTS, N_HEADS, 1500, 32), seed, dtype) for seed in (1, 2))
    held.put(torch.tensor([2, 0, 3, 1]), k, v)
    k, v = (one[[1, 3, 0, 2]] for one in (k, v))
    for n in (1, 3, N_SLOTS):
        q = 2 * made((n, N_HEADS, n_group, 32), 3, dtype)
        found = held.attend(q)
        assert (found.shape, found.dtype) == (q.shape, dtype)
        assert (found.double() - exact(q, k[:n], v[:n])).abs().max() < LIMITS[kind]
        torch.testing.assert_close(found[:1], held.attend(q[:1]), rtol=0, atol=0)


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("slots", [[1, 2], [3, 1]])
def test_what_is_put_is_read_and_moved(kind: str, slots: list[int]):
    held = hold(kind, 1)
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
    k, v = (made((2, N_HEADS, 1500, 32), seed, dtype) for seed in (1, 2))
    held.put(torch.tensor(slots), k, v)
    limit = 0.02 if kind == "int8" else 0.0  # half a step of 127 to the largest of about 4
    for read, new in zip(held.read(torch.tensor(slots)), (k, v), strict=True):
        assert read.dtype == dtype
        torch.testing.assert_close(read, new, rtol=0, atol=limit)
    before = held.read(torch.tensor(slots[1:]))
    held.move(slots[1], 0)
    for one, other in zip(held.read(torch.tensor([0])), before, strict=True):
        assert torch.equal(one, other)


def test_eight_bits_bear_channels_and_positions_that_stand_out_and_silence():
    held = hold("int8", 1)
    k, v = (made((2, N_HEADS, 1500, 32), seed) for seed in (1, 2))
    k[..., 5] *= 100  # a channel of the keys
    v[:, :, 7] *= 100  # a position of the values
    k[1], v[1] = 0.0, 0.0
    held.put(torch.arange(2), k, v)
    read_k, read_v = held.read(torch.arange(2))
    rest = [c for c in range(32) if c != 5]
    assert (read_k - k)[..., rest].abs().max() < 0.02
    assert (read_v - v)[:, :, 8:].abs().max() < 0.02
    assert torch.equal(read_k[1], k[1])
    assert torch.equal(read_v[1], v[1])
    assert held.attend(made((2, N_HEADS, 1, 32), 3)).isfinite().all()


def test_eight_bits_take_half_of_sixteen():
    def n_bytes(held: CrossAttentionCache) -> int:
        return sum(one.numel() * one.itemsize for one in held.tensors)

    assert n_bytes(hold("int8", 1)) < 0.57 * n_bytes(hold("bfloat16", 1))  # heads of 32; a scale a value's position
    held = hold("int8", 1)
    held.close()
    assert held.tensors == []


def test_eight_bits_are_refused_where_they_cannot_be_had(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(UsageError, match="is for --device cpu; on mps try float16"):
        placement.choose(EngineOptions(device="mps", compute_type="int8_float32"))
    with pytest.raises(UsageError, match="int8_float16 is for --device cuda; on cpu try int8_"):
        placement.choose(EngineOptions(device="cpu", compute_type="int8_float16"))
    place = placement.choose(EngineOptions(device="cpu", compute_type="int8_float32"))
    assert (place.dtype, place.in_eight_bits) == (torch.float32, True)
    assert not placement.choose(EngineOptions(device="cpu")).in_eight_bits


def test_int8_is_eight_bits_before_what_auto_means(monkeypatch: pytest.MonkeyPatch):
    for has_bfloat16, kind in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(placement, "_has_bfloat16", lambda has=has_bfloat16: has)
        assert placement.choose(EngineOptions(device="cpu")).compute_type == kind
        assert placement.choose(EngineOptions(device="cpu", compute_type="int8")).compute_type == f"int8_{kind}"
    monkeypatch.setattr(placement, "_require_cuda", lambda name: None)
    assert placement.choose(EngineOptions(device="cuda", compute_type="int8")).compute_type == "int8_float16"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(UsageError, match="--compute-type int8 is for --device cpu and cuda; on mps try float16"):
        placement.choose(EngineOptions(device="mps", compute_type="int8"))


def test_an_engine_in_eight_bits_holds_eight_bits():
    found = checkpoint.FoundModel("demo", demo.FOLDER, None, is_demo=True)
    loaded = weights.load(found, placement.Placement(torch.device("cpu"), "int8_float32"))
    assert {one.dtype for one in loaded.tensors.values()} == {torch.float32}
    runner = Runner(loaded, WhisperTokenizer(loaded), DecodeOptions(beam_size=1, temperatures=(0.0,)), 2)
    (lane,) = runner.batches
    assert all(isinstance(one, Int8CrossAttentionCache) for one in lane._caches.cross_attention)
    plain = Runner(replace(loaded, in_eight_bits=False), WhisperTokenizer(loaded), DecodeOptions(beam_size=1), 2)
    assert runner.bytes_per_slot < plain.bytes_per_slot


def test_torch_attends_to_what_is_seen():
    q, k, v = made((3, 2, 1, 16), 1), made((3, 2, 9, 16), 2), made((3, 2, 9, 16), 3)
    unseen = torch.arange(9) > torch.tensor([0, 4, 8])[:, None]
    found = cross_attention_cache.attend(q, k, v, unseen)
    for row, n in enumerate((1, 5, 9)):
        torch.testing.assert_close(
            found[row].double(), exact(q[row], k[row, :, :n], v[row, :, :n]), rtol=1e-5, atol=1e-6
        )


def test_large_zeros_are_zeros_to_write_to():
    shape = (2, 3, 1500, 128)  # over 2 MB
    made = placement.zeros(shape, torch.bfloat16, torch.device("cpu"))
    assert (made.shape, made.dtype, made.is_contiguous()) == (shape, torch.bfloat16, True)
    assert not made.any()
    made[1] = 1.0
    assert made.sum() == made[1].numel()
    with pytest.raises(MemoryError, match="no room for"):
        placement.zeros((2**50,), torch.int8, torch.device("cpu"))
    small = placement.zeros((3,), torch.int8, torch.device("cpu"))
    assert small.tolist() == [0, 0, 0]
