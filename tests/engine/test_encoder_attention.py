"""Attention of a window's positions on each other: compiled code against torch's in float64."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import model_engine
from whisperbatch.engine.kernels import cpu_encoder_attention, cpu_tile_attention, llvm_ir
from whisperbatch.engine.kernels.cpu_encoder_attention import NARROW, WIDE, AttentionBuilder, EncoderAttention, Tiles
from whisperbatch.engine.kernels.cpu_tile_attention import BLOCK, NEEDS
from whisperbatch.engine.model.encoder import Encoder

CPU = torch.device("cpu")
KINDS = [(torch.float32, WIDE), (torch.float32, NARROW), (torch.bfloat16, WIDE), (torch.bfloat16, BLOCK)]


def made(dtype: torch.dtype, n_heads: int, tiles: Tiles, n_positions: int = 1500, d_head: int = 32) -> EncoderAttention:
    if dtype == torch.bfloat16 and "avx512bf16" not in llvm_ir.features():
        pytest.skip("this processor has no products of pairs of bfloat16")
    if tiles is not BLOCK:
        return EncoderAttention(AttentionBuilder(dtype, n_heads, d_head, n_positions, tiles))
    if d_head % 32:
        pytest.skip("heads of this size have no use for tiles")
    found = cpu_tile_attention.find(CPU, dtype, n_heads, d_head, n_positions)
    if found is None:
        assert not llvm_ir.features() >= NEEDS
        pytest.skip("this processor has no tiles")
    return found


def numbers(n: int, n_heads: int, dtype: torch.dtype, n_positions: int = 1500, d_head: int = 32) -> torch.Tensor:
    shape = n, n_positions, 3 * n_heads * d_head
    return torch.randn(shape, generator=torch.Generator().manual_seed(7)).to(dtype)


def parts(joined: torch.Tensor, n_heads: int) -> list[torch.Tensor]:
    return [part.unflatten(-1, (n_heads, -1)).transpose(1, 2) for part in joined.chunk(3, -1)]


def of_torch(joined: torch.Tensor, n_heads: int) -> torch.Tensor:
    return F.scaled_dot_product_attention(*parts(joined, n_heads)).transpose(1, 2).flatten(2)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(("dtype", "tiles"), KINDS)
@pytest.mark.parametrize(("n_heads", "d_head"), [(1, 64), (3, 64), (4, 32), (2, 16), (1, 80)])
@pytest.mark.parametrize("n_positions", [72, 108, 1500])
def test_it_finds_what_float64_finds_as_near_as_torch_does(
    dtype: torch.dtype, tiles: Tiles, n_heads: int, d_head: int, n_positions: int
):
    attend = made(dtype, n_heads, tiles, n_positions, d_head)
    for factor in (0.0, 0.3, 1.0, 4.0):  # of the queries: from even weights to all of it on one key
        joined = numbers(2, n_heads, dtype, n_positions, d_head)
        joined[..., : n_heads * d_head] *= factor
        exact = of_torch(joined.double(), n_heads)
        found = attend(joined)
        assert (found.shape, found.dtype) == (exact.shape, dtype)
        mine, theirs = (
            float((one.double() - exact).square().mean().sqrt()) for one in (found, of_torch(joined, n_heads))
        )
        assert mine <= 1.2 * theirs + 1e-8


@pytest.mark.parametrize(("dtype", "tiles"), KINDS)
@pytest.mark.parametrize("where", [0, 149, 150, 777, 1499])
def test_a_score_far_above_the_others_takes_all_wherever_it_is(dtype: torch.dtype, tiles: Tiles, where: int):
    joined = numbers(1, 2, dtype)
    joined[..., :64], joined[..., 64:128] = 1.0, -1.0
    joined[:, where, 64:128] = 30.0
    found = made(dtype, 2, tiles)(joined)
    assert torch.equal(found, joined[:, where : where + 1, 128:].expand_as(found))
    joined[..., 64:128] = -1e4  # of scores that are all low, none is lost
    average = joined[..., 128:].double().mean(dim=1, keepdim=True)
    torch.testing.assert_close(
        made(dtype, 2, tiles)(joined).double(), average.expand(-1, 1500, -1), rtol=1e-2, atol=1e-5
    )


@pytest.mark.parametrize(("dtype", "tiles"), KINDS)
def test_neighbours_and_threads_change_no_bit(dtype: torch.dtype, tiles: Tiles, threads):
    attend, joined = made(dtype, 3, tiles), numbers(5, 3, dtype)
    threads(1)
    whole = attend(joined)
    assert all(torch.equal(attend(joined[n : n + 1]), whole[n : n + 1]) for n in range(5))
    assert torch.equal(attend(joined.flip(0)).flip(0), whole)
    for n_threads in (2, 3, 7, 64):
        threads(n_threads)
        assert torch.equal(attend(joined), whole)
        assert torch.equal(attend(joined[:1]), whole[:1])


@pytest.mark.parametrize(("dtype", "tiles"), KINDS)
def test_threads_may_call_it_at_once(dtype: torch.dtype, tiles: Tiles):
    attend, joined = made(dtype, 3, tiles), numbers(2, 3, dtype)
    whole = attend(joined)
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(one, whole) for one in pool.map(lambda _: attend(joined), range(16)))


@pytest.mark.parametrize(("dtype", "tiles"), KINDS)
def test_nothing_beside_what_goes_out_and_scratch_is_written(dtype: torch.dtype, tiles: Tiles):
    attend, joined = made(dtype, 3, tiles), numbers(2, 3, dtype)
    before, whole, edge = joined.clone(), attend(joined), 4096
    assert torch.equal(joined, before)
    out = torch.full((whole.nbytes + 2 * edge,), 77, dtype=torch.uint8)
    scratch = torch.full((attend._n_scratch + 2 * edge,), 77, dtype=torch.uint8)
    attend._attend(joined.data_ptr(), out.data_ptr() + edge, scratch.data_ptr() + edge, 0, 2 * attend._n_items)
    assert torch.equal(out[edge:-edge].view(dtype).view_as(whole), whole)
    assert all((one[:edge] == 77).all() and (one[-edge:] == 77).all() for one in (out, scratch))


@pytest.mark.parametrize("failing", [0, 9])
def test_a_part_that_fails_is_told_of_when_all_have_ended(failing: int, threads):
    threads(2)  # as many as any machine's pool has beside the one that calls
    ended, last_may_end = [], threading.Event()

    def run(first: int, last: int) -> None:
        if first <= failing < last:
            last_may_end.set()
            raise MemoryError("no room for scratch")
        assert last_may_end.wait(30)
        ended.append(last - first)

    with pytest.raises(MemoryError):
        llvm_ir.parallel_for(10, run)
    assert ended == [5]


def test_what_is_not_contiguous_is_refused():
    with pytest.raises(AssertionError):
        made(torch.float32, 3, WIDE)(numbers(2, 3, torch.float32).transpose(0, 1))


@pytest.mark.parametrize(
    ("has", "has_tiles", "dtype", "tiles"),
    [
        ({"avx512f", "avx512bf16"}, False, torch.bfloat16, WIDE),
        ({"avx512f", "avx512bf16"}, True, torch.bfloat16, None),  # tiles are faster, torch's if not ours
        ({"avx512f"}, False, torch.bfloat16, None),
        ({"avx512f", "avx2", "fma"}, True, torch.float32, WIDE),
        ({"avx2", "fma"}, False, torch.float32, NARROW),
        ({"avx2"}, False, torch.float32, None),
        ({"neon"}, False, torch.float32, None),
    ],
)
def test_a_processor_gets_what_it_can_run(has, has_tiles: bool, dtype: torch.dtype, tiles, monkeypatch):
    monkeypatch.setattr(cpu_encoder_attention, "has_bfloat16_tiles", lambda: has_tiles)
    monkeypatch.setattr(cpu_encoder_attention, "features", lambda: has)
    monkeypatch.setattr(cpu_encoder_attention, "EncoderAttention", lambda builder: builder)
    monkeypatch.setattr(cpu_encoder_attention, "AttentionBuilder", lambda *shape: shape)
    found = cpu_encoder_attention.find.__wrapped__(CPU, dtype, 6, 64, 1500)
    assert found == (None if tiles is None else (dtype, 6, 64, 1500, tiles))


@pytest.mark.parametrize(
    ("device", "dtype", "d_head", "n_positions"),
    [("cuda", torch.float32, 64, 1500), ("cpu", torch.float16, 64, 1500), ("cpu", torch.float32, 20, 1500)]
    + [("cpu", torch.float32, 64, n) for n in (1501, 1506, 12)],
)
def test_what_it_does_not_suit_is_left_to_torch(device: str, dtype: torch.dtype, d_head: int, n_positions: int):
    assert cpu_encoder_attention.find.__wrapped__(torch.device(device), dtype, 6, d_head, n_positions) is None


def test_tiles_need_a_processor_that_has_them_and_a_system_that_grants_them(monkeypatch: pytest.MonkeyPatch):
    find = cpu_tile_attention.find.__wrapped__
    monkeypatch.setattr(cpu_tile_attention, "EncoderAttention", lambda builder: builder)
    monkeypatch.setattr(cpu_tile_attention, "features", lambda: NEEDS)
    monkeypatch.setattr(cpu_tile_attention, "_may_use_tiles", lambda: True)
    assert find(CPU, torch.bfloat16, 6, 64, 1500) is not None
    assert find(CPU, torch.float32, 6, 64, 1500) is None
    assert find(torch.device("cuda"), torch.bfloat16, 6, 64, 1500) is None
    assert find(CPU, torch.bfloat16, 6, 80, 1500) is None
    assert find(CPU, torch.bfloat16, 6, 64, 1501) is None
    assert find(CPU, torch.bfloat16, 6, 64, 30) is None
    monkeypatch.setattr(cpu_tile_attention, "_may_use_tiles", lambda: False)
    assert find(CPU, torch.bfloat16, 6, 64, 1500) is None
    monkeypatch.setattr(cpu_tile_attention, "features", lambda: NEEDS - {"amx-tile"})
    assert find(CPU, torch.bfloat16, 6, 64, 1500) is None


def test_the_encoder_uses_tiles_where_it_can():
    found, place = cpu_tile_attention.find(CPU, torch.bfloat16, 6, 32, 1500), model_engine.loaded()
    tensors = {name: one.bfloat16() for name, one in place.tensors.items()}
    flash = Encoder(tensors, place.config)._flash
    shape = place.config["encoder_attention_heads"], 32, place.config["max_source_positions"]
    wanted = cpu_tile_attention.find(CPU, torch.bfloat16, *shape)
    assert flash is wanted or (wanted is None and flash is cpu_encoder_attention.find(CPU, torch.bfloat16, *shape))
    assert (found is None) == (wanted is None)


@torch.inference_mode()
def test_the_encoder_hears_the_same_without_a_compiler(monkeypatch: pytest.MonkeyPatch):
    found, mel = model_engine.loaded(), torch.randn(2, 80, 3000, generator=torch.Generator().manual_seed(1))
    compiled = Encoder(found.tensors, found.config)
    states = compiled(mel)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "llvmlite.binding", None)
        patch.setattr(cpu_encoder_attention, "find", cpu_encoder_attention.find.__wrapped__)
        plain = Encoder(found.tensors, found.config)
    assert plain._flash is None
    if {"avx2", "fma"} <= llvm_ir.features():
        assert compiled._flash is not None
    torch.testing.assert_close(plain(mel), states, rtol=1e-4, atol=1e-4)
