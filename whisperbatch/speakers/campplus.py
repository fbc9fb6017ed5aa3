"""CAM++, the speaker embedding network: from the log-mel energies of a window to a vector of 192 numbers, its voice.

Ported from 3D-Speaker (Apache-2.0, https://github.com/modelscope/3D-Speaker, speakerlab/models/campplus); the paper is
"CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking" (arXiv:2303.00332).
Rewritten as functions on the checkpoint's tensors. Changed: a batch norm after a convolution is folded into it.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (its usual name)

N_POOL = 100  # frames per segment; the mean of a segment is part of a mask's context
EPS = 1e-5  # of every batch norm
BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers and dilation of the three dense blocks


class CampPlus:
    """The network, for inference only; the result for a window does not depend on the others, up to rounding.

    Axes: n_windows, n_frames (10 ms each), n_steps (20 ms each), n_channels.
    """

    def __init__(self, state: Mapping[str, Tensor], device: str) -> None:
        """Fold a checkpoint's tensors and move them to the device; KeyError or RuntimeError for another network's."""
        self._state = {name: tensor.to(device, torch.float32) for name, tensor in state.items()}
        self._device = device
        self._folded: dict[str, tuple[Tensor, Tensor]] = {}
        self._fold_head()
        self._fold("xvector.tdnn.linear", "xvector.tdnn.nonlinear.batchnorm")
        for block, (n_layers, _) in enumerate(BLOCKS, 1):
            for layer in range(1, n_layers + 1):
                name = f"xvector.block{block}.tdnnd{layer}"
                self._fold(f"{name}.linear1", f"{name}.nonlinear2.batchnorm")
        self._fold("xvector.dense.linear", "xvector.dense.nonlinear.batchnorm")
        self.n_dims = len(self._folded["xvector.dense.linear"][1])

    @torch.inference_mode()
    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return voices, float32 (n_windows, n_dims), for energies, float32 (n_windows, n_frames, n_mels)."""
        x = torch.from_numpy(features).to(self._device).transpose(1, 2)[:, None]  # (n_windows, 1, n_mels, n_frames)
        x = self._head(x)  # (n_windows, 320, n_frames)
        x = F.relu_(self._conv1d(x, "xvector.tdnn.linear", stride=2, padding=2))  # (n_windows, 128, n_steps)
        for number, (n_layers, dilation) in enumerate(BLOCKS, 1):
            x = self._block(x, f"xvector.block{number}", n_layers, dilation)
            x = F.conv1d(
                self._normed(x, f"xvector.transit{number}.nonlinear.batchnorm"),
                self._state[f"xvector.transit{number}.linear.weight"],
            )
        x = self._normed(x, "xvector.out_nonlinear.batchnorm")
        pooled = torch.cat([x.mean(-1), x.std(-1)], dim=-1)[..., None]  # (n_windows, 1024, 1)
        return self._conv1d(pooled, "xvector.dense.linear")[..., 0].cpu().numpy()

    def _head(self, x: Tensor) -> Tensor:
        """Residual convolutions over frequency and time; they reduce the frequencies to an eighth."""
        x = F.relu_(self._conv2d(x, "head.conv1", padding=1))
        for layer in (1, 2):
            for unit in (0, 1):
                x = self._residual(x, f"head.layer{layer}.{unit}", stride=2 - unit)
        x = F.relu_(self._conv2d(x, "head.conv2", stride=(2, 1), padding=1))
        return x.flatten(1, 2)

    def _residual(self, x: Tensor, name: str, stride: int) -> Tensor:
        y = F.relu_(self._conv2d(x, f"{name}.conv1", stride=(stride, 1), padding=1))
        y = self._conv2d(y, f"{name}.conv2", padding=1)
        return F.relu_(y + (self._conv2d(x, f"{name}.shortcut.0", stride=(stride, 1)) if stride > 1 else x))

    def _block(self, x: Tensor, name: str, n_layers: int, dilation: int) -> Tensor:
        """Densely connected layers: each adds channels, and sees those of all earlier layers."""
        for number in range(1, n_layers + 1):
            layer = f"{name}.tdnnd{number}"
            y = self._normed(x, f"{layer}.nonlinear1.batchnorm")
            y = F.relu_(self._conv1d(y, f"{layer}.linear1"))
            x = torch.cat([x, self._masked(y, f"{layer}.cam_layer", dilation)], dim=1)
        return x

    def _masked(self, x: Tensor, name: str, dilation: int) -> Tensor:
        """A convolution whose channels are weighted by a context: the means of the window and of the segment."""
        y = F.conv1d(x, self._state[f"{name}.linear_local.weight"], padding=dilation, dilation=dilation)
        segments = F.avg_pool1d(x, N_POOL, N_POOL, ceil_mode=True).repeat_interleave(N_POOL, dim=-1)
        context = x.mean(-1, keepdim=True) + segments[..., : x.shape[-1]]
        context = F.relu_(F.conv1d(context, *self._pair(f"{name}.linear1")))
        return y * torch.sigmoid(F.conv1d(context, *self._pair(f"{name}.linear2")))

    def _normed(self, x: Tensor, name: str) -> Tensor:
        """Batch norm and ReLU."""
        mean, variance, weight, bias = (self._state[f"{name}.{part}"] for part in _NORM)
        return F.relu_(F.batch_norm(x, mean, variance, weight, bias, eps=EPS))

    def _pair(self, name: str) -> tuple[Tensor, Tensor]:
        return self._state[f"{name}.weight"], self._state[f"{name}.bias"]

    def _conv1d(self, x: Tensor, name: str, stride: int = 1, padding: int = 0) -> Tensor:
        return F.conv1d(x, *self._folded[name], stride=stride, padding=padding)

    def _conv2d(self, x: Tensor, name: str, stride: int | tuple[int, int] = 1, padding: int = 0) -> Tensor:
        return F.conv2d(x, *self._folded[name], stride=stride, padding=padding)

    def _fold_head(self) -> None:
        self._fold("head.conv1", "head.bn1")
        self._fold("head.conv2", "head.bn2")
        for layer in (1, 2):
            for unit in (0, 1):
                name = f"head.layer{layer}.{unit}"
                self._fold(f"{name}.conv1", f"{name}.bn1")
                self._fold(f"{name}.conv2", f"{name}.bn2")
            self._fold(f"head.layer{layer}.0.shortcut.0", f"head.layer{layer}.0.shortcut.1")

    def _fold(self, conv: str, norm: str) -> None:
        """Fold a convolution and the batch norm after it into one weight and bias."""
        mean, variance = (self._state[f"{norm}.{part}"] for part in _NORM[:2])
        scale = self._state.get(f"{norm}.weight", torch.ones_like(mean)) * torch.rsqrt(variance + EPS)
        weight = self._state[f"{conv}.weight"]
        bias = self._state.get(f"{norm}.bias", torch.zeros_like(mean)) - mean * scale
        self._folded[conv] = weight * scale.reshape(-1, *[1] * (weight.dim() - 1)), bias


_NORM = ("running_mean", "running_var", "weight", "bias")
