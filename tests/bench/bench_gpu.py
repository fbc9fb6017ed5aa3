"""The engine on a GPU, for the record: ``python tests/bench/bench_gpu.py``.

Random weights of large sizes, forced tokens, greedy and with beams. Printed for each shape: audio seconds a second by
batch size with CUDA graphs on and off, the share of the memory's bandwidth that a step reaches, where the time goes,
the automatic batch size, cross-attention by three ways, and transformers' ``generate`` at its best batch size; with
``--audio FOLDER`` also whole runs over the recordings there, speech detection included, beside the engine alone.
``--device cpu --shapes tiny --batches 2 --tokens 8`` shows in a minute that it runs.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration
from transformers.utils import logging

from whisperbatch import demo
from whisperbatch.bench.material import forced
from whisperbatch.bench.stages import profile
from whisperbatch.engine import open_engine
from whisperbatch.engine.kernels import cuda
from whisperbatch.engine.model.random_models import SHAPES, ModelShape
from whisperbatch.engine.scheduling.continuous_batching import ContinuousEngine
from whisperbatch.errors import WhisperbatchError
from whisperbatch.options import DecodeOptions, EngineOptions, RunOptions
from whisperbatch.records import N_SAMPLES, Clip, ClipFailed, ClipSettings, ClipText

WINDOW_S = 30
COPIED_BYTES = {"cuda": 2**32, "cpu": 2**27}
N_ROUNDS = 3


def wait(device: str) -> None:
    """Wait for what the device does on its own."""
    if device != "cpu":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], device: str, n: int = N_ROUNDS) -> float:
    """The least of some times that the work takes, after once to warm up."""
    work()
    found = []
    for _ in range(n):
        wait(device)
        began = time.perf_counter()
        work()
        wait(device)
        found.append(time.perf_counter() - began)
    return min(found)


def bandwidth(device: str) -> float:
    """Bytes a second that a copy reads and writes."""
    n = COPIED_BYTES[device]
    source = torch.zeros(n, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * n / seconds(lambda: target.copy_(source), device, 10)


def open_for(arguments: argparse.Namespace, shape: str, n_beams: int, batch_size: int | None) -> ContinuousEngine:
    """The engine with forced tokens."""
    return open_engine(
        EngineOptions(f"random:{shape}", device=arguments.device, compute_type=arguments.compute_type),
        ClipSettings(language="en"),
        max_batch_size=batch_size,
        demo=demo.FOLDER,
        on_notice=lambda text: None if "random" in text else print("  notice:", text),
        decode=forced(DecodeOptions(beam_size=n_beams), arguments.tokens),
    )


def hear(engine: ContinuousEngine, clips: Sequence[Clip]) -> None:
    """All clips, admitted as there is room."""
    left, n_done = list(clips), 0
    while left or not engine.idle:
        n = engine.capacity
        engine.admit(left[:n])
        left = left[n:]
        for result in engine.step():
            if isinstance(result, ClipFailed):
                raise result.error
            n_done += isinstance(result, ClipText)
    assert n_done == len(clips)


def clips_of(n: int) -> list[Clip]:
    """Clips of noise, a window each."""
    rng = np.random.default_rng(1)
    waves = [(rng.normal(size=N_SAMPLES) * 3000).astype(np.int16) for _ in range(8)]
    return [Clip(k, 0, 0.0, waves[k % 8], ClipSettings(language="en")) for k in range(n)]


def step_bytes(engine: ContinuousEngine, shape: ModelShape, n_beams: int, n_slots: int, reach: int) -> int:
    """What a step must read: the decoder's weights, each window's audio once, each row's tokens up to ``reach``."""
    d, n_layers, itemsize = shape.d_model, shape.n_decoder_layers, engine.device._decoder.dtype.itemsize
    weights = n_layers * 14 * d * d + shape.n_vocab * d  # 4 + 2 square maps of attention, two of four times the width
    return itemsize * (weights + 2 * n_layers * d * n_slots * (1500 + n_beams * reach))


def stages(engine: ContinuousEngine, clips: Sequence[Clip]) -> str:
    """Where the time of a run goes."""
    engine.device._stopwatch.seconds.clear()
    engine.measure_stages(True)
    began = time.perf_counter()
    hear(engine, clips)
    whole_s = time.perf_counter() - began
    engine.measure_stages(False)
    parts = dict(engine.device._stopwatch.seconds)
    parts["rest"] = whole_s - sum(parts.values())
    return ", ".join(f"{name} {100 * value / whole_s:.0f} %" for name, value in parts.items())


def graphs_off(engine: ContinuousEngine) -> None:
    """Passes run eagerly from now on."""
    engine.device.recorder = None
    engine.resize(engine.device.n_slots)


def ours(arguments: argparse.Namespace, shape: str, n_beams: int, bytes_s: float) -> float:
    """Our engine at each batch size, graphs on and then off; the most audio seconds a second."""
    best = 0.0
    for batch_size in arguments.batches:
        try:
            engine = open_for(arguments, shape, n_beams, batch_size)
        except (WhisperbatchError, torch.OutOfMemoryError) as err:
            print(f"  batch {batch_size}: {err}")
            break
        clips = clips_of(2 * batch_size)
        for graphs in ("on", "off"):
            if graphs == "off":
                graphs_off(engine)
            elif engine.device.recorder is None:
                continue
            whole_s = seconds(lambda: hear(engine, clips), arguments.device, arguments.rounds)  # noqa: B023
            best = max(best, len(clips) * WINDOW_S / whole_s)
            n_slots = engine.device.n_slots
            step_s = engine.device.time_step(n_slots)
            share = step_bytes(engine, SHAPES[shape], n_beams, n_slots, 32) / (step_s or 1.0) / bytes_s
            print(
                f"  {shape}, beams {n_beams}, batch {n_slots}, graphs {graphs}: "
                f"{len(clips) * WINDOW_S / whole_s:.0f} audio s/s, step {1000 * (step_s or 0):.2f} ms, "
                f"{100 * share:.0f} % of the bandwidth; {stages(engine, clips)}"
            )
        peak = engine.work.peak_bytes
        print(f"    most memory in use: {'unknown' if peak is None else f'{peak / 2**30:.1f} GiB'}")
        engine.close()
    return best


def automatic(arguments: argparse.Namespace, shape: str, n_beams: int, best: float) -> None:
    """The batch size that a run takes when nobody says, beside the best of those that were named."""
    began = time.perf_counter()
    engine = open_for(arguments, shape, n_beams, None)
    took_s = time.perf_counter() - began
    clips = clips_of(2 * engine.capacity)
    speed = len(clips) * WINDOW_S / seconds(lambda: hear(engine, clips), arguments.device, arguments.rounds)
    print(
        f"  {shape}, beams {n_beams}: automatic batch size {len(clips) // 2}, opened in {took_s:.1f} s, {speed:.0f} "
        f"audio s/s, {100 * speed / best:.0f} % of the best above"
    )
    engine.close()


@torch.inference_mode()
def cross_attention(arguments: argparse.Namespace, shape: str, bytes_s: float) -> None:
    """A layer's cross-attention by two products, by sdpa and by our kernel, keys and values held once a window."""
    dtype = torch.float32 if arguments.device == "cpu" else torch.float16
    n_heads = SHAPES[shape].n_heads
    for batch_size in arguments.batches:
        k, v = (torch.randn(batch_size, n_heads, 1500, 64, device=arguments.device, dtype=dtype) for _ in range(2))
        for n_group in (1, 5):
            q = torch.randn(batch_size, n_heads, n_group, 64, device=arguments.device, dtype=dtype)
            ways = {
                "products": lambda: (q * 0.125 @ k.transpose(-1, -2)).softmax(dim=-1) @ v,  # noqa: B023
                "sdpa": lambda: F.scaled_dot_product_attention(q, k, v),  # noqa: B023
            }
            if (kernels := cuda.find(k.device, dtype, 64)) is not None:
                ways["ours"] = lambda: kernels.cross_attention(q, k, v, None)  # noqa: B023
            told = []
            for name, way in ways.items():
                took_s = seconds(lambda: [way() for _ in range(20)], arguments.device) / 20  # noqa: B023
                told.append(f"{name} {1e6 * took_s:.0f} us, {100 * 2 * k.nbytes / took_s / bytes_s:.0f} %")
            print(f"  cross-attention, batch {batch_size}, group {n_group}: {'; '.join(told)} of the bandwidth")


def generate(arguments: argparse.Namespace, shape: str) -> None:
    """Transformers' ``generate`` at each batch size, features ready; greedy."""
    dtype = torch.float32 if arguments.device == "cpu" else torch.float16
    config = WhisperConfig.from_pretrained(demo.FOLDER, **SHAPES[shape].as_config(), dtype=dtype)
    with torch.device(arguments.device):
        model = WhisperForConditionalGeneration(config).to(dtype).eval()
    model.generation_config = GenerationConfig.from_pretrained(demo.FOLDER)
    found = {}
    for batch_size in arguments.batches:
        features = torch.randn(batch_size, config.num_mel_bins, 3000, device=arguments.device, dtype=dtype)

        def run(features: torch.Tensor = features) -> None:
            with torch.inference_mode():
                model.generate(
                    features,
                    attention_mask=torch.ones(features.shape[0], 3000, dtype=torch.long, device=features.device),
                    language="en",
                    task="transcribe",
                    min_new_tokens=arguments.tokens,
                    max_new_tokens=arguments.tokens,
                    max_length=None,
                    do_sample=False,
                    num_beams=1,
                )

        try:
            found[batch_size] = batch_size * WINDOW_S / seconds(run, arguments.device, arguments.rounds)
        except torch.OutOfMemoryError:
            break
    told = ", ".join(f"{n}: {speed:.0f}" for n, speed in found.items())
    print(f"  generate, {shape}, audio s/s by batch size: {told}; best {max(found.values()):.0f}")


def whole(arguments: argparse.Namespace, shape: str) -> None:
    """Whole runs at each batch size, greedy, over the recordings of a folder, beside the engine alone."""
    for batch_size in arguments.batches:
        engine = open_for(arguments, shape, 1, batch_size)
        clips = clips_of(2 * batch_size)
        alone = len(clips) / seconds(lambda: hear(engine, clips), arguments.device, arguments.rounds)  # noqa: B023
        n_before = engine.work.n_windows
        options = RunOptions(
            EngineOptions(f"random:{shape}", device=arguments.device), clip=ClipSettings(language="en")
        )
        run = profile(engine, sorted(path for path in arguments.audio.iterdir() if path.is_file()), options)
        windows_s = (engine.work.n_windows - n_before) / run.wall_s
        print(
            f"  whole runs, {shape}, batch {batch_size}, {options.n_load_workers} load workers: {run.audio_s:.0f} s of "
            f"audio in {run.wall_s:.1f} s, {run.audio_s / run.wall_s:.0f} audio s/s; {windows_s:.1f} windows a second, "
            f"alone {alone:.1f}, {100 * windows_s / alone:.0f} %; idle {run.idle_s:.1f} s, {run.n_failed} failed"
        )
        engine.close()


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--compute-type", default="auto")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["turbo", "large-v3"])
    parser.add_argument("--batches", nargs="+", type=int, default=[16, 64, 128])
    parser.add_argument("--beams", nargs="+", type=int, default=[1, 5])
    parser.add_argument("--tokens", type=int, default=110)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--audio", type=Path, help="a folder of recordings")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    bytes_s = bandwidth(arguments.device)
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}; a copy reads and writes {bytes_s / 1e9:.0f} GB/s")
    for shape in arguments.shapes:
        for n_beams in arguments.beams:
            automatic(arguments, shape, n_beams, ours(arguments, shape, n_beams, bytes_s))
        generate(arguments, shape)
        cross_attention(arguments, shape, bytes_s)
        if arguments.audio is not None:
            whole(arguments, shape)


if __name__ == "__main__":
    main()
