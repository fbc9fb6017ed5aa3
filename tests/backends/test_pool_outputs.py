"""Worker pools with the demo model against a local run: the same bytes, in every format."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import corpus
from pools import contents
from sounds import write_wav

pytestmark = pytest.mark.slow
N_FILES = 60
POOLS = [
    pytest.param(("--device", "cpu:2"), id="cpu:2"),
    pytest.param(
        ("--backend", "ray", "--actors", "2", "--cpus-per-actor", "1"),
        id="ray",
        marks=[
            pytest.mark.ray,
            pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra whisperbatch[ray]"),
        ],
    ),
]
TEXTS = (".txt", ".srt", ".vtt", ".tsv")


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pools") / "audio"
    for index in range(N_FILES):
        wave = corpus.speech(np.random.default_rng([5, index]), 1 + index % 3, "de" if index % 5 == 0 else "en")
        write_wav(folder / f"{index:02d}.wav", wave)
    return folder


def transcribed(audio: Path, name: str, *more: str) -> dict[str, bytes]:
    """What a run writes, by file name."""
    out = audio.parent / name
    plain = "--model demo --compute-type float32 --beam-size 1 --no-vad --format all --no-journal --progress none"
    command = [sys.executable, "-m", "whisperbatch", "transcribe", str(audio), *plain.split(), "--output-dir", str(out)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as a worker of a pool has: sums of two are rounded otherwise
    subprocess.run([*command, *more], check=True, stderr=subprocess.PIPE, env=one_thread)
    return contents(out)


@pytest.fixture(scope="module")
def local(audio: Path) -> dict[str, bytes]:
    """What a local run writes, a clip at a time."""
    return transcribed(audio, "local", "--batch-size", "1")


@pytest.mark.parametrize("pool", POOLS)
def test_a_clip_at_a_time_gives_the_same_bytes(audio: Path, local: dict[str, bytes], pool: tuple[str, ...]):
    assert len(local) == 5 * N_FILES
    assert transcribed(audio, f"one{len(pool)}", "--batch-size", "1", *pool) == local


@pytest.mark.parametrize("pool", POOLS)
def test_in_batches_the_texts_have_the_same_bytes(audio: Path, local: dict[str, bytes], pool: tuple[str, ...]):
    """Who shares a batch decides how sums are rounded, here as between two local runs; figures tell it, texts don't."""
    given = transcribed(audio, f"many{len(pool)}", *pool)
    assert {name: text for name, text in given.items() if name.endswith(TEXTS)} == {
        name: text for name, text in local.items() if name.endswith(TEXTS)
    }
    for name in [name for name in local if name.endswith(".json")]:
        ours, theirs = json.loads(given[name]), json.loads(local[name])
        for one, two in zip(ours["segments"], theirs["segments"], strict=True):
            for key in ("avg_logprob", "no_speech_prob"):
                assert one.pop(key) == pytest.approx(two.pop(key), abs=1e-4)
        assert {**ours, "whisperbatch": None} == {**theirs, "whisperbatch": None}
