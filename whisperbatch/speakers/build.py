"""Build a diarizer: load the networks, and compute the voices of reference clips."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np

from whisperbatch.errors import FileError, ModelError, UsageError
from whisperbatch.options import SpeakerOptions
from whisperbatch.records import SAMPLE_RATE
from whisperbatch.speakers import Diarizer, ReadClip, fbank, weights, windows
from whisperbatch.speakers.diarizer import N_BATCH, Embed, Segment, WindowDiarizer, voice_of

MAX_NAMES = 1000
MAX_CLIPS = 20  # per name
MAX_CLIP_S = 60.0  # only this much of a clip is used
MIN_CLIP_S = 0.5


def build(options: SpeakerOptions, *, offline: bool, device: str, threads: int, read_clip: ReadClip | None) -> Diarizer:
    """Return the diarizer that ``options`` select; arguments and errors are those of ``open_diarizer``."""
    clips = {} if options.names is None else clips_of(options.names)
    files = weights.find(options.model, offline=offline)
    embed = _embed(files.voice, device, threads)
    segment = None if files.segmentation is None else _segment(files.segmentation, device, threads)
    assert read_clip is not None or not clips
    references = {name: _reference(name, paths, embed, read_clip) for name, paths in clips.items() if read_clip}
    return WindowDiarizer(embed, segment, references)


def clips_of(folder: Path) -> dict[str, list[Path]]:
    """Return the reference clips of each name: one file, or a sub-folder with several; UsageError without any."""
    try:
        entries = sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    except OSError as err:
        raise UsageError(f"the folder of reference clips cannot be read: {err.strerror}", folder) from err
    found: dict[str, list[Path]] = {}
    for entry in entries:
        if entry.is_dir():
            paths = [one for one in sorted(entry.iterdir()) if one.is_file() and not one.name.startswith(".")]
            found.setdefault(entry.name, []).extend(paths[:MAX_CLIPS])
        elif entry.is_file():
            found.setdefault(entry.stem, []).append(entry)
    found = {name: paths for name, paths in found.items() if paths}
    if not found:
        raise UsageError("has no reference clips; put one recording or one sub-folder per name there", folder)
    if len(found) > MAX_NAMES:
        raise UsageError(f"has {len(found)} names; at most {MAX_NAMES} are allowed", folder)
    return found


def _reference(name: str, paths: list[Path], embed: Embed, read_clip: ReadClip) -> np.ndarray:
    """The voice of a name, float32 (n_dims,) of length 1: the mean over its clips."""
    voices = []
    for path in paths:
        try:
            samples = read_clip(path)[: round(MAX_CLIP_S * SAMPLE_RATE)]
        except FileError as err:
            raise UsageError(f"the reference clip of {name} {err.message}", path) from err
        if len(samples) < MIN_CLIP_S * SAMPLE_RATE or not samples.any():
            raise UsageError(f"the reference clip of {name} is shorter than {MIN_CLIP_S} s or silent", path)
        voices.append(voice_of(samples, embed))
    mean = np.mean(voices, axis=0)
    voice: np.ndarray = (mean / np.linalg.norm(mean)).astype(np.float32)
    return voice


def _embed(path: Path, device: str, threads: int) -> Embed:
    """The network that turns windows into voices, after a test call."""
    if path.suffix.lower() == ".onnx":
        from whisperbatch.speakers.onnx import OnnxNetwork

        embed: Embed = OnnxNetwork(path, threads)
    else:
        from whisperbatch.speakers.campplus import CampPlus

        embed = on_threads(_loaded(CampPlus, path, device), threads)
    blank = np.zeros((N_BATCH, fbank.n_frames_of(windows.N_WINDOW), fbank.N_MELS), np.float32)
    with _wrong_network_errors(path, "CAM++"):
        if embed(blank).shape[0] != N_BATCH:
            raise ValueError
    return embed


def _segment(path: Path, device: str, threads: int) -> Segment:
    """The network that finds how many talk, after a test call."""
    if path.suffix.lower() == ".onnx":
        from whisperbatch.speakers.onnx import OnnxNetwork

        segment: Segment = OnnxNetwork(path, threads).of_wave
    else:
        from whisperbatch.speakers.segmentation import Segmentation

        segment = on_threads(_loaded(Segmentation, path, device), threads)
    with _wrong_network_errors(path, "segmentation-3.0"):
        if segment(np.zeros(SAMPLE_RATE, np.float32)).shape[1] != 7:
            raise ValueError
    return segment


def _loaded(network: Callable[[Mapping[str, Any], str], Any], path: Path, device: str) -> Any:
    state = _state(path)
    with _wrong_network_errors(path, network.__name__):
        return network(state, device)


@contextmanager
def _wrong_network_errors(path: Path, name: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, ValueError, IndexError, RuntimeError) as err:
        raise ModelError(f"does not contain the network {name}; give other weights with --speaker-model", path) from err


def _state(path: Path) -> Mapping[str, Any]:
    """The tensors of a checkpoint; no code in it is run."""
    if os.path.getsize(path) > weights.MAX_BYTES:  # noqa: PTH202
        raise ModelError(f"is larger than {weights.MAX_BYTES // 1_000_000} MB, so it is not a speaker model", path)
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, UnpicklingError, SafetensorError) as err:
        raise ModelError("is not a checkpoint that can be read safely", path) from err
    state = checkpoint.get("state_dict", checkpoint) if isinstance(checkpoint, dict) else {}
    return {str(name): tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}


def on_threads(network: Callable[[np.ndarray], np.ndarray], threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the network, run on ``threads`` of torch's threads; the caller's number is restored after each call.

    Trap: the number belongs to the calling thread, but is also the initial number of other threads that use torch for
    the first time, such as the engine's. So a separate thread restores that one at once.
    """
    import torch

    def call(rows: np.ndarray) -> np.ndarray:
        before = torch.get_num_threads()
        if before == threads:
            return network(rows)
        torch.set_num_threads(threads)
        restorer = threading.Thread(target=torch.set_num_threads, args=(before,))
        restorer.start()
        restorer.join()
        try:
            return network(rows)
        finally:
            torch.set_num_threads(before)

    return call
