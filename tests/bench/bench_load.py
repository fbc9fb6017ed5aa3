"""Load speed: ``python tests/bench/bench_load.py [MINUTES]`` prints a table; nothing is asserted.

One worker (decode, resample, find speech, cut, hand over) against PyAV's decode and resample alone followed by
faster-whisper's speech detection alone, on the same files, in turn, the best of three; then two workers against one.
"""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from faster_whisper.vad import VadOptions, get_speech_timestamps, get_vad_model

from whisperbatch.audio.worker_client import LoadWorker
from whisperbatch.records import SAMPLE_RATE, ClipSettings, FileLoaded

KINDS = {"mp3": "libmp3lame", "m4a": "aac", "flac": "flac", "wav": "pcm_s16le"}
RATE = 44_100
N_TURNS = 3
SAMPLES = Path(__file__).resolve().parent.parent.parent / "sample_audio"


def by_pyav(path: Path) -> np.ndarray:
    """int16 (n_samples,), 16 kHz mono."""
    resampler, parts = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE), []
    with av.open(str(path)) as container:
        container.streams.audio[0].thread_type = "NONE"  # one core
        for frame in container.decode(audio=0):
            parts += [out.to_ndarray()[0] for out in resampler.resample(frame)]
    return np.concatenate([*parts, *(out.to_ndarray()[0] for out in resampler.resample(None))])


def theirs(path: Path) -> None:
    samples = by_pyav(path).astype(np.float32) / 32768
    get_speech_timestamps(samples, VadOptions(min_silence_duration_ms=160, max_speech_duration_s=30))


def ours(worker: LoadWorker, path: Path) -> None:
    *_, last = worker.load(0, path, ClipSettings())
    assert isinstance(last, FileLoaded)


def material(folder: Path, minutes: float) -> dict[str, Path]:
    """Speech and pauses in stereo, a file a kind."""
    recordings = [path for path in sorted(SAMPLES.iterdir()) if path.suffix not in (".tsv", ".txt", ".json")]
    speech = np.concatenate([by_pyav(path) for path in recordings])
    mono = np.resize(speech, round(minutes * 60 * SAMPLE_RATE))
    paths = {}
    for suffix, codec in KINDS.items():
        paths[suffix] = folder / f"x.{suffix}"
        with av.open(str(paths[suffix]), "w") as container:
            stream = container.add_stream(codec, rate=RATE, layout="stereo")
            resampler = av.AudioResampler(format=stream.format, layout="stereo", rate=RATE)
            for at in range(0, len(mono), SAMPLE_RATE):
                frame = av.AudioFrame.from_ndarray(mono[None, at : at + SAMPLE_RATE], format="s16", layout="mono")
                frame.sample_rate = SAMPLE_RATE
                for out in resampler.resample(frame):
                    container.mux(stream.encode(out))
            for out in resampler.resample(None):
                container.mux(stream.encode(out))
            container.mux(stream.encode(None))
    return paths


def timed(work: Callable[..., None], *arguments: object) -> float:
    start_s = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start_s


def cpu_s(worker: LoadWorker) -> float:
    """Seconds of a core that a worker took so far; on a busy machine they tell more than a clock. 0 without /proc."""
    try:
        fields = Path(f"/proc/{worker._process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def side_by_side(workers: list[LoadWorker], path: Path) -> None:
    threads = [threading.Thread(target=ours, args=(worker, path)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def turn(one: LoadWorker, two: LoadWorker, path: Path) -> tuple[float, ...]:
    """Seconds of ours, theirs, two of ours; then core seconds of ours and theirs."""
    before_s = cpu_s(one)
    ours_s, ours_cpu_s = timed(ours, one, path), cpu_s(one) - before_s
    before_s = time.process_time()
    theirs_s, theirs_cpu_s = timed(theirs, path), time.process_time() - before_s
    return ours_s, theirs_s, timed(side_by_side, [one, two], path), ours_cpu_s, theirs_cpu_s


def main(minutes: float) -> None:
    get_vad_model()
    print(f"{minutes:g} minutes, {RATE} Hz stereo; times real time; best of {N_TURNS}")
    print("      one worker  PyAV + VAD  ratio  by core time  two workers  ratio")
    with tempfile.TemporaryDirectory() as folder, LoadWorker() as one, LoadWorker() as two:
        for suffix, path in material(Path(folder), minutes).items():
            side_by_side([one, two], path)  # both have loaded their libraries then
            turns = zip(*(turn(one, two, path) for _ in range(N_TURNS)), strict=True)
            ours_s, theirs_s, both_s, ours_cpu_s, theirs_cpu_s = map(min, turns)
            by_core = theirs_cpu_s / ours_cpu_s if ours_cpu_s else float("nan")
            print(
                f"{suffix:5}{minutes * 60 / ours_s:11.0f}{minutes * 60 / theirs_s:12.0f}{theirs_s / ours_s:7.2f}"
                f"{by_core:14.2f}{2 * minutes * 60 / both_s:13.0f}{2 * ours_s / both_s:7.2f}"
            )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
