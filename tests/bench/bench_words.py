"""What word times cost on top of decoding, for the record: ``python tests/bench/bench_words.py``.

Whisper's tiny shape with random weights, 100 forced tokens a window, greedy, batches of 16, on the CPU. The engine
with word times and the one without take turns in one process; printed are medians of time a window, and where the time
on top goes. In clips mode a window whose last word ends early is gone on with from there, so windows are pinned to one
pass each: what is printed is the cost of aligning, not of windows more.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bench_engine import N_TOKENS, SHAPES, make_model

from whisperbatch import demo
from whisperbatch.bench.material import forced
from whisperbatch.engine import open_engine
from whisperbatch.engine.device import word_alignment
from whisperbatch.engine.scheduling import clip_request
from whisperbatch.options import DecodeOptions, EngineOptions
from whisperbatch.records import N_SAMPLES, Clip, ClipSettings, ClipText

BATCH = 16


def engine_over(folder: Path, windows: list[np.ndarray], word_timestamps: bool) -> Callable[[], None]:
    """An engine over all windows."""
    engine = open_engine(
        EngineOptions(str(folder), device="cpu", compute_type="float32"),
        ClipSettings(),
        max_batch_size=BATCH,
        demo=demo.FOLDER,
        on_notice=print,
        decode=forced(DecodeOptions(beam_size=1, word_timestamps=word_timestamps), N_TOKENS),
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
        assert engine.device.n_encoded % len(clips) == 0, "windows more"

    return run


def watched(owner: object, name: str, spent: dict[str, float]) -> None:
    """Count the seconds in a function."""
    inner = getattr(owner, name)

    def timed(*args: object) -> object:
        began = time.perf_counter()
        found = inner(*args)
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - began
        return found

    setattr(owner, name, timed)


def main() -> None:
    """Time both in turn and print the cost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    windows = [(rng.normal(size=N_SAMPLES) * 3000).astype(np.int16) for _ in range(arguments.windows)]
    clip_request.MIN_REST = 10 * N_SAMPLES  # the first window of a clip is its last
    spent: dict[str, float] = {}
    for owner, name in (
        (word_alignment.Aligner, "align"),
        (word_alignment, "normalised_attention"),
        (word_alignment, "first_frames"),
    ):
        watched(owner, name, spent)
    times: dict[str, list[float]] = {"plain": [], "words": []}
    with tempfile.TemporaryDirectory() as scratch:
        make_model(Path(scratch), arguments.shape)
        runs = {name: engine_over(Path(scratch), windows, name == "words") for name in times}
        for round_number in range(arguments.rounds + 1):
            for name, run in runs.items():
                spent.clear() if round_number == 0 else None
                began = time.perf_counter()
                run()
                if round_number:  # the first warms up
                    times[name].append((time.perf_counter() - began) / len(windows))
    plain, words = (statistics.median(times[name]) for name in ("plain", "words"))
    print(
        f"plain {plain * 1000:.0f} ms a window, with words {words * 1000:.0f}: {100 * (words / plain - 1):.0f} % on top"
    )
    n_windows = (arguments.rounds + 1) * len(windows)  # the first round counts here
    for name, seconds in spent.items():
        print(f"  {name}: {seconds / n_windows * 1000:.1f} ms a window, {seconds / n_windows / plain * 100:.1f} %")


if __name__ == "__main__":
    main()
