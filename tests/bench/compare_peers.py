"""Whole programs beside each other: ``python tests/bench/compare_peers.py --files 60``.

The same weights (the demo model's), the same recordings, the same beam, one machine, one run, programs in turn, medians
of ratios. Each runs as a process of its own, from start to the last transcript on disk: ours, faster-whisper (one file
after the other, and batched; float32 and int8), openai-whisper and transformers' pipeline. Recordings are composed of
sentences that espeak-ng speaks and that the model never heard, so that the word error rate of each is
told as well. Needs Debian's espeak-ng and the extra ``whisperbatch[bench]``. Engines alone: ``bench_engine.py``.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from bench_times import compose

from whisperbatch import demo
from whisperbatch.demo import peers
from whisperbatch.demo.evaluate import word_error_rate
from whisperbatch.demo.speak import Speaker
from whisperbatch.records import SAMPLE_RATE

OURS = "whisperbatch"
FASTER = """
import sys, json
from pathlib import Path
from faster_whisper import BatchedInferencePipeline, WhisperModel
folder, model, kind, compute_type, beam = sys.argv[1:]
whisper = WhisperModel(model, device="cpu", compute_type=compute_type)
run = BatchedInferencePipeline(whisper).transcribe if kind == "batched" else whisper.transcribe
more = {"batch_size": 16, "without_timestamps": False} if kind == "batched" else {"vad_filter": True}
for path in sorted(Path(folder).glob("*.wav")):
    segments, _ = run(str(path), beam_size=int(beam), **more)
    path.with_suffix(".txt").write_text(" ".join(one.text.strip() for one in segments))
"""
OPENAI = """
import sys
from pathlib import Path
import soundfile, whisper
from whisperbatch import demo
from whisperbatch.demo import peers
folder, beam = sys.argv[1:]
model = peers.openai_whisper(demo.FOLDER)
for path in sorted(Path(folder).glob("*.wav")):
    wave = soundfile.read(path, dtype="float32")[0]
    told = whisper.transcribe(model, wave, beam_size=int(beam) if beam != "1" else None, best_of=5, fp16=False)
    path.with_suffix(".txt").write_text(told["text"].strip())
"""
PIPELINE = """
import sys
from pathlib import Path
import soundfile, torch
from transformers import pipeline
from transformers.utils import logging
from whisperbatch import demo
logging.set_verbosity_error()
folder, dtype, beam = sys.argv[1:]
run = pipeline("automatic-speech-recognition", str(demo.FOLDER), dtype=getattr(torch, dtype), chunk_length_s=30,
               batch_size=16, device="cpu")
paths = sorted(Path(folder).glob("*.wav"))
waves = ({"raw": soundfile.read(path, dtype="float32")[0], "sampling_rate": 16000} for path in paths)
for path, told in zip(paths, run(waves, generate_kwargs={"num_beams": int(beam)}), strict=True):
    path.with_suffix(".txt").write_text(told["text"].strip())
"""


def commands(folder: Path, model: Path, beam: int) -> dict[str, list[str]]:
    """Each program's command line."""
    python = [sys.executable, "-c"]
    faster = {
        f"faster-whisper {kind} {compute_type}": [
            *python,
            FASTER,
            str(folder),
            str(model),
            kind,
            compute_type,
            str(beam),
        ]
        for kind in ("sequential", "batched")
        for compute_type in ("float32", "int8")
    }
    ours = [sys.executable, "-m", "whisperbatch", "transcribe", str(folder), "--model", "demo", "--format", "txt"]
    ours += ["--beam-size", str(beam), "--no-journal", "--quiet"]
    return {
        f"{OURS} auto": ours,
        f"{OURS} cpu:2": [*ours, "--device", "cpu:2"],
        f"{OURS} int8_bfloat16": [*ours, "--compute-type", "int8_bfloat16"],
        f"{OURS} float32": [*ours, "--compute-type", "float32"],
        f"{OURS} int8_float32": [*ours, "--compute-type", "int8_float32"],
        **faster,
        "openai-whisper float32": [*python, OPENAI, str(folder), str(beam)],
        "transformers pipeline float32": [*python, PIPELINE, str(folder), "float32", str(beam)],
        "transformers pipeline bfloat16": [*python, PIPELINE, str(folder), "bfloat16", str(beam)],
    }


def speak(folder: Path, n_files: int, seconds: tuple[float, float], seed: int) -> tuple[list[str], float]:
    """Recordings of about so many seconds each, what is said in each, and their seconds together."""
    rng, speaker, truths, total_s = random.Random(seed), Speaker(), [], 0.0
    for number in range(n_files):
        goal_s, wave, words = rng.uniform(*seconds), np.zeros(0, np.int16), []
        while len(wave) < goal_s * SAMPLE_RATE:
            part, truth = compose(rng, speaker, "de" if number % 4 == 3 else "en", 5 if goal_s > 20 else 2)
            wave = np.concatenate([wave, part])
            words += [one.text for one in truth.sentences]
        soundfile.write(folder / f"{number:03}.wav", wave, SAMPLE_RATE)
        truths.append(" ".join(words))
        total_s += len(wave) / SAMPLE_RATE
    return truths, total_s


def once(command: Sequence[str], folder: Path, truths: Sequence[str]) -> tuple[float, float]:
    """Seconds of a command and its word error rate; transcripts of before are gone."""
    for path in folder.glob("*.txt"):
        path.unlink()
    began_s = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    wall_s = time.perf_counter() - began_s
    if done.returncode != 0:
        raise SystemExit(f"{command[:4]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    texts = [path.with_suffix(".txt").read_text() for path in sorted(folder.glob("*.wav"))]
    return wall_s, word_error_rate(list(truths), texts)


def main() -> None:
    """Run all in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--seconds", type=float, nargs=2, default=(5.0, 60.0), help="shortest and longest recording")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="parts of the other programs' names, by semicolons")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, model = Path(scratch) / "recordings", Path(scratch) / "converted"
        folder.mkdir()
        truths, total_s = speak(folder, arguments.files, tuple(arguments.seconds), 1)
        peers.faster_whisper(demo.FOLDER, model)
        programs = {
            name: command
            for name, command in commands(folder, model, arguments.beam).items()
            if name == f"{OURS} auto" or any(part in name for part in arguments.only.split(";"))
        }
        print(f"{arguments.files} recordings, {total_s / 60:.1f} minutes, beam {arguments.beam}", flush=True)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
        for number in range(arguments.rounds):
            for name, command in programs.items():
                found[name].append(once(command, folder, truths))
                print(f"  {number + 1} {name:34} {found[name][-1][0]:7.1f} s", flush=True)
    ours = [wall_s for wall_s, _ in found[f"{OURS} auto"]]
    table = []
    for name, rounds in found.items():
        ratio = statistics.median(wall_s / mine for (wall_s, _), mine in zip(rounds, ours, strict=True))
        wall_s, wer = statistics.median(wall_s for wall_s, _ in rounds), rounds[-1][1]
        table.append({"program": name, "seconds": wall_s, "rtfx": total_s / wall_s, "ratio": ratio, "wer": wer})
        print(f"{name:34} {wall_s:7.1f} s  RTFx {total_s / wall_s:6.1f}  {ratio:5.2f} times ours  WER {wer:.1%}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"audio_s": total_s, "beam": arguments.beam, "table": table}, indent=1))


if __name__ == "__main__":
    main()
