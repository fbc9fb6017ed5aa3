"""segmentation-3.0, the network that finds how many people talk at each moment, of up to three in ten seconds.

Ported from pyannote.audio (MIT, Copyright 2020 CNRS, https://github.com/pyannote/pyannote-audio: PyanNet and SincNet)
with the filters of asteroid-filterbanks (MIT); the paper is "Powerset multi-class cross entropy loss for neural speaker
diarization" (arXiv:2310.13025). Rewritten; the filters are computed once, on loading.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from whisperbatch.records import SAMPLE_RATE

N_STEP = 270  # samples from one frame to the next
N_FIELD = 991  # samples that a frame sees; fewer give no frame
N_CLASSES = 7  # nobody; one of three; two of three
MIN_HZ = 50.0  # minimum of a filter's lower edge, and of its width
CONV_STRIDE = 10


class Segmentation:
    """The network, for inference only, one recording at a time."""

    def __init__(self, state: Mapping[str, Tensor], device: str) -> None:
        """Move a checkpoint's tensors to the device; KeyError or RuntimeError for another network's."""
        self._state = {name: tensor.to(device, torch.float32) for name, tensor in state.items()}
        self._device = device
        self._filters = _filters(self._state)
        lstm = {name.removeprefix("lstm."): tensor for name, tensor in state.items() if name.startswith("lstm.")}
        n_hidden = lstm["weight_hh_l0"].shape[1]
        n_layers = sum(name.startswith("weight_hh_l") and not name.endswith("reverse") for name in lstm)
        n_inputs = lstm["weight_ih_l0"].shape[1]
        self._lstm = torch.nn.LSTM(n_inputs, n_hidden, n_layers, batch_first=True, bidirectional=True)
        self._lstm.load_state_dict(lstm)
        self._lstm.to(device).eval()
        if self._state["classifier.weight"].shape[0] != N_CLASSES:
            raise KeyError("classifier.weight")

    @torch.inference_mode()
    def __call__(self, wave: np.ndarray) -> np.ndarray:
        """Return logits, float32 (n_frames, 7), for float32 (n_samples,) at 16 kHz, at least ``N_FIELD`` samples."""
        x = self._normed(torch.from_numpy(wave).to(self._device)[None, None], "sincnet.wav_norm1d")
        x = F.conv1d(x, self._filters, stride=CONV_STRIDE).abs()  # (1, 80, n_samples / 10)
        for number in range(3):
            if number:
                x = F.conv1d(x, *self._pair(f"sincnet.conv1d.{number}"))
            x = F.leaky_relu(self._normed(F.max_pool1d(x, 3), f"sincnet.norm1d.{number}"))
        x, _ = self._lstm(x.transpose(1, 2))  # (1, n_frames, 2 * n_hidden)
        for number in (0, 1):
            x = F.leaky_relu(F.linear(x, *self._pair(f"linear.{number}")))
        return F.linear(x, *self._pair("classifier"))[0].cpu().numpy()

    def _normed(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._pair(name)
        return F.instance_norm(x, weight=weight, bias=bias, eps=1e-5)

    def _pair(self, name: str) -> tuple[Tensor, Tensor]:
        return self._state[f"{name}.weight"], self._state[f"{name}.bias"]


def _filters(state: Mapping[str, Tensor]) -> Tensor:
    """Band-pass filters, (80, 1, 251): first the even ones, of cosines, then the odd ones, of sines."""
    name = "sincnet.conv1d.0.filterbank"
    times, window = state[f"{name}.n_"], state[f"{name}.window_"]
    low = MIN_HZ + state[f"{name}.low_hz_"].abs()  # (40, 1)
    high = (low + MIN_HZ + state[f"{name}.band_hz_"].abs()).clamp(MIN_HZ, SAMPLE_RATE / 2)
    band = 2 * (high - low)
    even = (torch.sin(high @ times) - torch.sin(low @ times)) / (times / 2) * window  # (40, 125): the left half
    odd = (torch.cos(low @ times) - torch.cos(high @ times)) / (times / 2) * window
    even = torch.cat([even, band, even.flip(1)], dim=1)
    odd = torch.cat([odd, torch.zeros_like(band), -odd.flip(1)], dim=1)
    return (torch.cat([even, odd]) / band.repeat(2, 1))[:, None]
