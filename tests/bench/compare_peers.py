"""Whole programs beside each other on real weights and real voices: ``python tests/bench/compare_peers.py``.

The same weights (OpenAI's) and recordings (``tests/support/real_speech.py`` says where both are looked for), the same
five beams, each program at its defaults, one machine, one run, programs in turn, medians of ratios. Each runs as a
process of its own from start to the last transcript on disk. Beside seconds: CPU seconds, peak memory (proportional set
size of all its processes; Linux; in a run of its own, since looking at it slows a program) and the word error rate.
Three sets: ``short`` (60 recordings of English under 30 s), ``long`` (two of over four minutes: two talks joined, and
sentences read aloud), ``hour`` (one of an hour made of them). ``--isa`` holds all to older processors' instructions.
Needs ``whisperbatch[bench]``. Engines alone: ``bench_engine.py``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import jiwer
import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import compare_truth
import older_processor

import corpus
import real_speech
from whisperbatch.records import SAMPLE_RATE

OURS = "whisperbatch"
N_SHORT, LONG_S, HOUR_S = 60, 240.0, 3600.0
SAMPLE_S = 0.2  # between two looks at the memory
FASTER = """
import sys
from pathlib import Path
from faster_whisper import BatchedInferencePipeline, WhisperModel
folder, model, kind, compute_type = sys.argv[1:]
whisper = WhisperModel(model, device="cpu", compute_type=compute_type)
run = BatchedInferencePipeline(whisper).transcribe if kind == "batched" else whisper.transcribe
more = {"batch_size": 16, "without_timestamps": False} if kind == "batched" else {"vad_filter": True}
for path in sorted(Path(folder).glob("*.wav")):
    segments, _ = run(str(path), beam_size=5, **more)
    path.with_suffix(".txt").write_text(" ".join(one.text.strip() for one in segments))
"""
OPENAI = """
import sys
from pathlib import Path
import soundfile, whisper
from whisperbatch.demo.training import peers
folder, model = sys.argv[1:]
loaded = peers.openai_whisper(Path(model))
for path in sorted(Path(folder).glob("*.wav")):
    wave = soundfile.read(path, dtype="float32")[0]
    told = whisper.transcribe(loaded, wave, beam_size=5, best_of=5, fp16=False)
    path.with_suffix(".txt").write_text(told["text"].strip())
"""


@dataclass(frozen=True)
class Cost:
    """What one run of a program took, and how wrong it was."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    wer: float


def commands(folder: Path, model: str) -> dict[str, list[str]]:
    """Each program's command line."""
    hf, ct2, python = (
        real_speech.weights() / f"hf-{model}",
        real_speech.weights() / f"ct2-{model}",
        [sys.executable, "-c"],
    )
    ours = [sys.executable, "-m", "whisperbatch", "transcribe", str(folder), "--model", str(hf), "--format", "txt"]
    ours += ["--no-journal", "--quiet", "--overwrite"]
    types = ("float32", "bfloat16", "int8_bfloat16", "int8_float32")
    return {
        OURS: ours,
        **{f"{OURS} {name}": [*ours, "--compute-type", name] for name in types},
        **{
            f"faster-whisper {kind} {name}": [*python, FASTER, str(folder), str(ct2), kind, name]
            for kind in ("batched", "sequential")
            for name in ("int8", "float32")
        },
        "openai-whisper float32": [*python, OPENAI, str(folder), str(hf)],
    }


def joined(parts: Sequence[real_speech.Spoken], at_least_s: float) -> tuple[np.ndarray, str]:
    """Recordings one after the other, with 0.6 s between them, again from the first until it is long enough."""
    pause, waves, words, n_samples = np.zeros(SAMPLE_RATE * 6 // 10, np.int16), [], [], 0
    while n_samples < at_least_s * SAMPLE_RATE:
        one = parts[len(words) % len(parts)]
        waves += [corpus.read(one.path), pause]
        words.append(one.reference)
        n_samples += len(waves[-2]) + len(pause)
    return np.concatenate(waves), " ".join(words)


def put(folder: Path, kind: str) -> dict[str, str]:
    """Write the recordings of a set; what is said in each, by its name without suffix."""
    spoken = [
        one for one in real_speech.recordings() if one.language == "en" and one.reference and one.kind != "nospeech"
    ]
    talks = [one for one in spoken if one.seconds > 100]
    read = [one for one in spoken if one.kind == "read" and 4 < one.seconds < 30]
    made = {
        "short": lambda: {
            f"{k:02}": joined([one], 0.1) for k, one in enumerate([o for o in spoken if o.seconds < 30][:N_SHORT])
        },
        "long": lambda: {"talks": joined(talks, LONG_S), "read": joined(read, LONG_S)},
        "hour": lambda: {"hour": joined([*talks, *read], HOUR_S)},
    }[kind]()
    for name, (wave, _) in made.items():
        soundfile.write(folder / f"{name}.wav", wave, SAMPLE_RATE)
    return {name: words for name, (_, words) in made.items()}


def _watch(process: subprocess.Popen[bytes], found: list[float]) -> None:
    """Keep the most memory, in megabytes, that a process and those below it have together, until it ends."""
    while process.poll() is None:
        found[0] = max(found[0], sum(map(_memory, _family(process.pid))) / 1024)
        time.sleep(SAMPLE_S)


def _family(pid: int) -> list[int]:
    try:
        below = Path(f"/proc/{pid}/task").glob("*/children")
        return [pid, *(one for text in below for child in text.read_text().split() for one in _family(int(child)))]
    except OSError:
        return []


def _memory(pid: int) -> float:
    """Kilobytes; what processes share is counted once in all."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith("Pss:")), 0.0)


def peak_of_run(command: Sequence[str]) -> float:
    """Most memory, in megabytes, of a run that is not timed: each look at the memory stops the program for a while."""
    peak = [0.0]
    process = _start(command)
    watch = threading.Thread(target=_watch, args=(process, peak))
    watch.start()
    process.communicate()
    watch.join()
    return peak[0]


def once(command: Sequence[str], folder: Path, truths: dict[str, str]) -> Cost:
    """One timed run, without the transcripts of the one before. Its ``peak_mb`` is still 0."""
    for path in folder.glob("*.txt"):
        path.unlink()
    before, began_s = os.times(), time.perf_counter()
    process = _start(command)
    _, told = process.communicate()
    wall_s, after = time.perf_counter() - began_s, os.times()
    if process.returncode != 0:
        raise SystemExit(f"{command[:4]} ended with {process.returncode}:\n{told.decode()[-2000:]}")
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    texts = [(folder / f"{name}.txt").read_text() for name in truths]
    normal = [[compare_truth.normal(text, "en") for text in some] for some in (truths.values(), texts)]
    pairs = [(truth, text) for truth, text in zip(*normal, strict=True) if truth]
    wer = jiwer.process_words([truth for truth, _ in pairs], [text for _, text in pairs]).wer
    return Cost(wall_s, cpu_s, 0.0, wer)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)


def main() -> None:
    """Run all in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", default="long", choices=("short", "long", "hour"))
    parser.add_argument("--model", default="base", choices=real_speech.MODELS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="parts of the other programs' names, by commas")
    parser.add_argument(
        "--isa", choices=older_processor.KINDS, help="hold all to the instructions of an older processor"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if (told := real_speech.missing()) is not None:
        parser.error(told)
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.isa:
            os.environ.update(older_processor.environment(arguments.isa, Path(scratch) / "held"))
        folder = Path(scratch) / "audio"
        folder.mkdir()
        truths = put(folder, arguments.set)
        total_s = sum(soundfile.info(path).duration for path in folder.glob("*.wav"))
        programs = {
            name: command
            for name, command in commands(folder, arguments.model).items()
            if name == OURS or any(part in name for part in arguments.only.split(","))
        }
        print(f"{arguments.model}, {len(truths)} recordings, {total_s / 60:.1f} minutes", flush=True)
        found: dict[str, list[Cost]] = {name: [] for name in programs}
        for number in range(arguments.rounds):
            for name, command in programs.items():
                found[name].append(once(command, folder, truths))
                print(f"  {number + 1} {name:34} {found[name][-1].wall_s:7.1f} s", flush=True)
        peaks = {name: peak_of_run(command) for name, command in programs.items()}
    found = {name: [replace(one, peak_mb=peaks[name]) for one in costs] for name, costs in found.items()}
    table = [row(name, costs, found[OURS], total_s) for name, costs in found.items()]
    if arguments.json:
        arguments.json.write_text(json.dumps({"audio_s": total_s, "table": table}, indent=1))


def row(name: str, costs: Sequence[Cost], ours: Sequence[Cost], total_s: float) -> dict[str, object]:
    """A program's medians, printed."""
    ratio = statistics.median(one.wall_s / mine.wall_s for one, mine in zip(costs, ours, strict=True))
    middle = {key: statistics.median(asdict(one)[key] for one in costs) for key in asdict(costs[0])}
    print(
        f"{name:34} {middle['wall_s']:7.1f} s  {ratio:5.2f} times ours  RTFx {total_s / middle['wall_s']:5.1f}  "
        f"CPU {middle['cpu_s']:7.1f} s  {middle['peak_mb']:6.0f} MB  WER {middle['wer']:.2%}"
    )
    return {"program": name, "ratio": ratio, **middle}


if __name__ == "__main__":
    main()
