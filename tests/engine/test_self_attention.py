"""Self-attention of beams on a CPU, compiled, against torch's in float64."""

import pytest
import torch

from unfused_kernels import InTorch
from whisperbatch.engine.kernels import cpu_self_attention
from whisperbatch.engine.kernels.llvm_ir import CannotCompileError

SHAPES = [(8, 448, 64, 5, 15), (3, 40, 16, 1, 4), (2, 33, 32, 2, 6), (1, 16, 128, 3, 3)]
CLOSE = {torch.float32: 1e-6, torch.bfloat16: 0.02}


def made(shape: tuple[int, int, int, int, int], dtype: torch.dtype, seed: int) -> dict[str, torch.Tensor]:
    """Caches whose rows have pasts of any length, the same within a group, in any row of it."""
    n_heads, n_context, d_head, n_group, n_rows = shape
    rng = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, n_context, (n_rows // n_group,), generator=rng)
    lengths[0], lengths[-1] = 0, n_context - 1
    past = n_rows, n_heads, n_context, d_head
    return {
        "qkv": torch.randn(n_rows, 3 * n_heads * d_head, generator=rng).to(dtype),
        "k": torch.randn(past, generator=rng).to(dtype),
        "v": torch.randn(past, generator=rng).to(dtype),
        "lineage": torch.randint(0, n_group, (n_rows, n_context), generator=rng).to(torch.int16),
        "positions": lengths.repeat_interleave(n_group),
    }


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_finds_what_torch_finds_and_keeps_what_it_says(shape, dtype: torch.dtype):
    n_heads, n_context, d_head, n_group, _ = shape
    for seed in range(3):
        given = made(shape, dtype, seed)
        exact = {key: value.double() if value.is_floating_point() else value.clone() for key, value in given.items()}
        found = cpu_self_attention.find(dtype, n_heads, n_context, d_head, n_group).self_attention(
            **given, n_group=n_group
        )
        truth = InTorch().self_attention(**exact, n_group=n_group)
        torch.testing.assert_close(found.double(), truth, rtol=0, atol=CLOSE[dtype])
        for key in ("k", "v", "lineage"):
            assert torch.equal(given[key].double(), exact[key].double()), key


def test_scores_of_any_size_are_weighed():
    given = made(SHAPES[0], torch.float32, 0)
    given["qkv"] *= 30.0
    exact = {key: value.double() if value.is_floating_point() else value.clone() for key, value in given.items()}
    found = cpu_self_attention.find(torch.float32, *SHAPES[0][:4]).self_attention(**given, n_group=5)
    torch.testing.assert_close(found.double(), InTorch().self_attention(**exact, n_group=5), rtol=1e-5, atol=1e-3)
    assert found.isfinite().all()


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_the_number_of_threads_and_the_neighbours_change_no_bit(n_threads: int):
    before = torch.get_num_threads()
    kernel, whole = cpu_self_attention.find(torch.bfloat16, *SHAPES[0][:4]), made(SHAPES[0], torch.bfloat16, 1)
    alone = {key: value[5:10].clone() for key, value in whole.items()}
    try:
        torch.set_num_threads(n_threads)
        assert torch.equal(kernel.self_attention(**whole, n_group=5)[5:10], kernel.self_attention(**alone, n_group=5))
    finally:
        torch.set_num_threads(before)


def test_other_numbers_and_heads_are_left_to_torch(monkeypatch: pytest.MonkeyPatch):
    assert cpu_self_attention.find(torch.float16, 8, 448, 64, 5) is None
    assert cpu_self_attention.find(torch.float32, 8, 448, 20, 5) is None

    def missing(*args: object) -> None:
        raise CannotCompileError

    monkeypatch.setattr(cpu_self_attention, "BeamAttention", missing)
    assert cpu_self_attention.find(torch.float32, 8, 447, 64, 5) is None
