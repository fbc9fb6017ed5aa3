"""Small networks of random weights with the layouts of CAM++ and segmentation-3.0, and sounds to tell apart."""

import numpy as np
import torch

from whisperbatch.records import SAMPLE_RATE
from whisperbatch.speakers.campplus import BLOCKS

N_GROWTH, N_START, N_HEAD, N_DIMS = 2, 4, 2, 12


def tone(hz: float, seconds: float) -> np.ndarray:
    """int16 (n_samples,): a sine that comes and goes eight times a second, in a little noise.

    Energies go without their mean over a window, so that a steady tone would leave nothing.
    """
    at = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    noise = np.random.default_rng(round(hz)).normal(0, 8, len(at))
    return (8000 * np.sin(2 * np.pi * hz * at) * (at * 8 % 1 < 0.5) + noise).astype(np.int16)


def campplus_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """A checkpoint of a small CAM++."""
    random = torch.Generator().manual_seed(seed)
    state: dict[str, torch.Tensor] = {}

    def conv(name: str, *shape: int, bias: bool = False) -> None:
        n_inputs = int(np.prod(shape[1:]))
        state[f"{name}.weight"] = torch.randn(shape, generator=random) / n_inputs**0.5
        if bias:
            state[f"{name}.bias"] = torch.randn(shape[0], generator=random) / 10

    def norm(name: str, n: int, affine: bool = True) -> None:
        state[f"{name}.running_mean"] = torch.randn(n, generator=random) / 10
        state[f"{name}.running_var"] = 0.5 + torch.rand(n, generator=random)
        state[f"{name}.num_batches_tracked"] = torch.tensor(1)
        if affine:
            state[f"{name}.weight"] = 0.5 + torch.rand(n, generator=random)
            state[f"{name}.bias"] = torch.randn(n, generator=random) / 10

    conv("head.conv1", N_HEAD, 1, 3, 3), norm("head.bn1", N_HEAD)
    conv("head.conv2", N_HEAD, N_HEAD, 3, 3), norm("head.bn2", N_HEAD)
    for name in (f"head.layer{layer}.{unit}" for layer in (1, 2) for unit in (0, 1)):
        for number in (1, 2):
            conv(f"{name}.conv{number}", N_HEAD, N_HEAD, 3, 3), norm(f"{name}.bn{number}", N_HEAD)
        if name.endswith("0"):
            conv(f"{name}.shortcut.0", N_HEAD, N_HEAD, 1, 1), norm(f"{name}.shortcut.1", N_HEAD)
    conv("xvector.tdnn.linear", N_START, N_HEAD * 10, 5), norm("xvector.tdnn.nonlinear.batchnorm", N_START)
    n = N_START
    for block, (n_layers, _) in enumerate(BLOCKS, 1):
        for number in range(1, n_layers + 1):
            name = f"xvector.block{block}.tdnnd{number}"
            norm(f"{name}.nonlinear1.batchnorm", n), conv(f"{name}.linear1", 4 * N_GROWTH, n, 1)
            norm(f"{name}.nonlinear2.batchnorm", 4 * N_GROWTH)
            conv(f"{name}.cam_layer.linear_local", N_GROWTH, 4 * N_GROWTH, 3)
            conv(f"{name}.cam_layer.linear1", 2 * N_GROWTH, 4 * N_GROWTH, 1, bias=True)
            conv(f"{name}.cam_layer.linear2", N_GROWTH, 2 * N_GROWTH, 1, bias=True)
            n += N_GROWTH
        norm(f"xvector.transit{block}.nonlinear.batchnorm", n)
        conv(f"xvector.transit{block}.linear", n // 2, n, 1)
        n //= 2
    norm("xvector.out_nonlinear.batchnorm", n)
    conv("xvector.dense.linear", N_DIMS, 2 * n, 1), norm("xvector.dense.nonlinear.batchnorm", N_DIMS, affine=False)
    return state


def segmentation_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """A checkpoint of segmentation-3.0's shape with a small LSTM."""
    random = torch.Generator().manual_seed(seed)
    lstm = torch.nn.LSTM(60, 8, 2, batch_first=True, bidirectional=True)
    state = {f"lstm.{name}": torch.randn(one.shape, generator=random) / 3 for name, one in lstm.state_dict().items()}
    bank = "sincnet.conv1d.0.filterbank"
    state[f"{bank}.low_hz_"] = torch.linspace(30, 7000, 40)[:, None]
    state[f"{bank}.band_hz_"] = torch.full((40, 1), 120.0)
    state[f"{bank}.window_"] = torch.from_numpy(np.hamming(251)[:125]).float()
    state[f"{bank}.n_"] = 2 * torch.pi * torch.arange(-125.0, 0.0)[None] / SAMPLE_RATE
    for name, n in (("wav_norm1d", 1), ("norm1d.0", 80), ("norm1d.1", 60), ("norm1d.2", 60)):
        state[f"sincnet.{name}.weight"], state[f"sincnet.{name}.bias"] = torch.ones(n), torch.zeros(n)
    for name, shape in (
        ("sincnet.conv1d.1", (60, 80, 5)),
        ("sincnet.conv1d.2", (60, 60, 5)),
        ("linear.0", (16, 16)),
        ("linear.1", (16, 16)),
        ("classifier", (7, 16)),
    ):
        state[f"{name}.weight"] = torch.randn(shape, generator=random) / 4
        state[f"{name}.bias"] = torch.randn(shape[0], generator=random) / 4
    return state
