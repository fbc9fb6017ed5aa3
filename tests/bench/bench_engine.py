"""The engine alone beside its peers, for the record: ``python tests/bench/bench_engine.py``.

Whisper's tiny shape with random weights, 100 forced tokens a window, greedy, on the CPU. Ours, transformers'
``generate`` and CTranslate2 (which faster-whisper runs on) take turns, each in a process of its own, warmed up by as
many windows: what one does to threads and memory is none of the others' business. Printed are medians of time a window,
and of its ratio to our best in the same round. Features are counted for ours only, the encoder for all. ``--isa`` holds
all to the instructions of older processors: AVX2, or AVX-512 with products of bytes (VNNI) and none of bfloat16.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as runs have it; read when torch is imported
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import ctranslate2
import llvmlite.binding
import numpy as np
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.utils import logging

from whisperbatch import demo
from whisperbatch.bench.material import forced
from whisperbatch.engine import open_engine
from whisperbatch.options import DecodeOptions, EngineOptions
from whisperbatch.records import N_SAMPLES, Clip, ClipSettings, ClipText

N_TOKENS = 100
END = 50_257
OPENING = [50_258, 50_259, 50_359, 50_363]
HELD = {  # the processor whose instructions they are, to LLVM; the libraries' own words for them
    "avx2": ("haswell", "AVX2", "AVX2", "avx2", "AVX2"),
    "vnni": ("cascadelake", "AVX512_CORE_VNNI", "AVX512_E1", "avx512", "AVX512"),
}
WORDS = ("HELD_TO", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY", "CT2_FORCE_CPU_ISA")
SHAPES = {"tiny": (384, 6, 4), "base": (512, 8, 6), "small": (768, 12, 12)}  # d_model, heads, layers


def make_model(folder: Path, shape: str) -> None:
    """A folder with random weights of a shape, and the demo model's tokenizer."""
    d_model, n_heads, n_layers = SHAPES[shape]
    torch.manual_seed(1)
    config = WhisperConfig.from_pretrained(
        demo.FOLDER,
        d_model=d_model,
        encoder_layers=n_layers,
        decoder_layers=n_layers,
        encoder_attention_heads=n_heads,
        decoder_attention_heads=n_heads,
        encoder_ffn_dim=4 * d_model,
        decoder_ffn_dim=4 * d_model,
        dtype="float32",
    )
    WhisperForConditionalGeneration(config).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        shutil.copy(demo.FOLDER / file, folder / file)
    settings = json.loads((demo.FOLDER / "generation_config.json").read_text())
    settings["alignment_heads"] = [[n_layers - 1, 0]]
    (folder / "generation_config.json").write_text(json.dumps(settings))


def ours(folder: Path, windows: list[np.ndarray], batch_size: int | None, compute_type: str) -> Callable[[], None]:
    """Our engine over all windows; without a batch size as many engines and slots as it finds best."""
    engine = open_engine(
        EngineOptions(str(folder), device="cpu", compute_type=compute_type),
        ClipSettings(),
        max_batch_size=batch_size,
        demo=demo.FOLDER,
        on_notice=print,
        decode=forced(DecodeOptions(beam_size=1), N_TOKENS),
    )
    clips = [Clip(i, 0, 0.0, samples, ClipSettings(language="en")) for i, samples in enumerate(windows)]

    def run() -> None:
        left, n_done = list(clips), 0
        while left or not engine.idle:
            n = engine.capacity
            engine.admit(left[:n])
            left = left[n:]
            n_done += sum(isinstance(result, ClipText) for result in engine.step())
        assert n_done == len(clips)

    return run


def generate(folder: Path, windows: list[np.ndarray], batch_size: int, dtype: torch.dtype) -> Callable[[], None]:
    """Transformers' ``generate`` over all windows, a batch after the other."""
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=dtype).eval()
    features = _features(folder, windows).to(dtype)

    def run() -> None:
        for first in range(0, len(windows), batch_size):
            some = features[first : first + batch_size]
            with torch.inference_mode():
                out = model.generate(
                    some,
                    attention_mask=torch.ones(some.shape[0], some.shape[-1], dtype=torch.long),
                    language="en",
                    task="transcribe",
                    min_new_tokens=N_TOKENS,
                    max_new_tokens=N_TOKENS,
                    max_length=None,
                    do_sample=False,
                    num_beams=1,
                )
            assert out.shape[-1] >= N_TOKENS

    return run


def ctranslate(folder: Path, windows: list[np.ndarray], batch_size: int, compute_type: str) -> Callable[[], None]:
    """CTranslate2 over all windows, a batch after the other."""
    converted = folder / "converted"
    ctranslate2.converters.TransformersConverter(str(folder)).convert(str(converted), force=True)
    model = ctranslate2.models.Whisper(
        str(converted), device="cpu", compute_type=compute_type, intra_threads=torch.get_num_threads()
    )
    features = _features(folder, windows).numpy()

    def run() -> None:
        for first in range(0, len(windows), batch_size):
            some = np.ascontiguousarray(features[first : first + batch_size])
            audio = model.encode(ctranslate2.StorageView.from_array(some))
            out = model.generate(
                audio,
                [OPENING] * len(some),
                beam_size=1,
                max_length=2 * N_TOKENS + 2 * len(OPENING),
                suppress_tokens=[-1, END],
                sampling_temperature=0.0,
            )
            n_tokens = [len(one.sequences_ids[0]) for one in out]
            assert min(n_tokens) >= N_TOKENS, n_tokens

    return run


def _features(folder: Path, windows: list[np.ndarray]) -> torch.Tensor:
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    waves = [samples.astype(np.float32) / 32768 for samples in windows]
    return extractor(waves, sampling_rate=16_000, return_tensors="pt").input_features


ROWS = {
    "ours float32, 16": partial(ours, batch_size=16, compute_type="float32"),
    "ours bfloat16, 8": partial(ours, batch_size=8, compute_type="bfloat16"),
    "ours bfloat16, 16": partial(ours, batch_size=16, compute_type="bfloat16"),
    "ours bfloat16, 32": partial(ours, batch_size=32, compute_type="bfloat16"),
    "ours bfloat16, auto": partial(ours, batch_size=None, compute_type="bfloat16"),
    "ours int8_bfloat16, auto": partial(ours, batch_size=None, compute_type="int8_bfloat16"),
    "ours int8_float32, auto": partial(ours, batch_size=None, compute_type="int8_float32"),
    "generate float32, 32": partial(generate, batch_size=32, dtype=torch.float32),
    "generate bfloat16, 16": partial(generate, batch_size=16, dtype=torch.bfloat16),
    "generate bfloat16, 32": partial(generate, batch_size=32, dtype=torch.bfloat16),
    "generate bfloat16, 64": partial(generate, batch_size=64, dtype=torch.bfloat16),
    "CTranslate2 float32, 16": partial(ctranslate, batch_size=16, compute_type="float32"),
    "CTranslate2 int8, 8": partial(ctranslate, batch_size=8, compute_type="int8"),
    "CTranslate2 int8, 16": partial(ctranslate, batch_size=16, compute_type="int8"),
    "CTranslate2 int8, 32": partial(ctranslate, batch_size=32, compute_type="int8"),
}


def once(name: str, folder: Path, n_windows: int) -> float:
    """Seconds a window of one row, in this process."""
    if (processor := os.environ.get("HELD_TO")) is not None:
        llvmlite.binding.get_host_cpu_name = lambda: processor
        llvmlite.binding.get_host_cpu_features = lambda: llvmlite.binding.FeatureMap()
    rng = np.random.default_rng(1)
    run = ROWS[name](folder, [(rng.normal(size=N_SAMPLES) * 3000).astype(np.int16) for _ in range(n_windows)])
    run()
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) / n_windows


def elsewhere(name: str, folder: Path, n_windows: int, isa: str | None) -> float:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--row", name, "--folder", str(folder), "--windows", str(n_windows)]
    held = dict(zip(WORDS, HELD[isa], strict=True)) if isa is not None else {}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **held})
    if done.returncode != 0:
        raise SystemExit(f"{name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def main() -> None:
    """Time all of them in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="parts of the rows' names, by semicolons")
    parser.add_argument("--isa", choices=HELD, help="whose instructions to keep to")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)  # of the process that runs it
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    if arguments.row:
        print(once(arguments.row, arguments.folder, arguments.windows))
        return
    wanted = [name for name in ROWS if any(part in name for part in arguments.only.split(";"))]
    times: dict[str, list[float]] = {name: [] for name in wanted}
    with tempfile.TemporaryDirectory() as scratch:
        make_model(Path(scratch), arguments.shape)
        for _ in range(arguments.rounds):
            for name in wanted:
                times[name].append(elsewhere(name, Path(scratch), arguments.windows, arguments.isa))
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    best = min((name for name in wanted if name.startswith("ours")), key=lambda name: medians[name])
    for name, seconds in times.items():
        ratio = statistics.median(one / mine for one, mine in zip(seconds, times[best], strict=True))
        print(f"{name:26} {medians[name] * 1000:8.0f} ms a window {ratio:6.2f} times our best")


if __name__ == "__main__":
    main()
