"""Memory of whole runs: ten hours need no more than ten minutes, in both modes, over all processes."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from whisperbatch.audio.decode import Reader

ALLOWED_MB = 150
RATE = 16_000

# runs in a process of its own, so that what other tests have left in memory counts for nothing
SCRIPT = """
import sys, threading
from pathlib import Path
from whisperbatch import pipeline
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.options import LoadOptions, OutputOptions, RunOptions
from whisperbatch.records import ClipSettings
from whisperbatch.sources import MEDIA_SUFFIXES, from_paths
from whisperbatch.outputs.namer import Namer

path, mode, spools = sys.argv[1:]
options = RunOptions(
    clip=ClipSettings(long_form=mode),
    load=LoadOptions(1, spool_dir=Path(spools)),
    output=OutputOptions(formats=("txt", "json")),
)
(outcome,) = pipeline.run(
    from_paths([path]), options, open_engine=FakeEngine, namer=Namer(options.output, MEDIA_SUFFIXES),
    on_event=lambda event: None, stop=threading.Event(),
)
print(outcome.status, outcome.transcript.duration_s, outcome.transcript.speech_s, len(outcome.transcript.segments))
"""


def recording(path: Path, minutes: float, sample_audio: Path) -> Path:
    """Speech with pauses, by the minute; encoded once and repeated as packets, since ten hours must be made quickly."""
    minute = np.resize(np.concatenate(list(Reader(sample_audio / "lecture.mp3").blocks())), 60 * RATE)
    part = path.with_suffix(".part.flac")
    with av.open(str(part), "w") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(minute[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        for out in av.AudioResampler("s16", "mono", RATE, frame_size=4096).resample(frame):
            container.mux(stream.encode(out))
        container.mux(stream.encode(None))
    with av.open(str(path), "w") as container, av.open(str(part)) as source:
        stream = container.add_stream_from_template(source.streams.audio[0])
        packets = [(bytes(packet), packet.pts, packet.duration) for packet in source.demux(audio=0) if packet.size]
        length = packets[-1][1] + packets[-1][2]
        for k in range(round(minutes)):
            for data, pts, duration in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, source.streams.audio[0].time_base
                packet.pts = packet.dts = pts + k * length
                packet.duration = duration
                container.mux(packet)
    part.unlink()
    return path


def memory_mb(pid: int) -> float:
    """Anonymous and shared memory of a process and all below it; what files back can be dropped at any time."""
    total, todo = 0.0, [pid]
    while todo:
        here = Path(f"/proc/{todo.pop()}")
        try:
            status = (here / "status").read_text()
            todo += map(int, " ".join(child.read_text() for child in here.glob("task/*/children")).split())
        except OSError:  # ended in between
            continue
        fields = dict(line.split(":", 1) for line in status.splitlines())
        total += sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssShmem") if name in fields) / 1024
    return total


def peak_mb(path: Path, mode: str, spools: Path) -> tuple[float, str]:
    """The most that a run took, looked at twenty times a second, and what it printed."""
    run = subprocess.Popen([sys.executable, "-c", SCRIPT, path, mode, spools], stdout=subprocess.PIPE, text=True)
    peak = 0.0
    while run.poll() is None:
        peak = max(peak, memory_mb(run.pid))
        try:
            run.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    with run.stdout as stream:
        return peak, stream.read()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory, sample_audio: Path) -> Iterator[dict[int, Path]]:
    """By minutes; hundreds of megabytes, so they do not stay."""
    folder = tmp_path_factory.mktemp("long")
    yield {minutes: recording(folder / f"{minutes}.mka", minutes, sample_audio) for minutes in (10, 600)}
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads memory from /proc")
@pytest.mark.parametrize("mode", ["clips", "sequential"])
def test_ten_hours_need_no_more_memory_than_ten_minutes(tmp_path: Path, recordings: dict[int, Path], mode: str):
    peaks = {}
    for minutes, recorded in recordings.items():
        path = recorded.rename(recorded.with_name(f"{mode}-{recorded.name.rpartition('-')[2]}"))  # not done before
        recordings[minutes] = path
        peaks[minutes], told = peak_mb(path, mode, tmp_path / "spool")
        status, duration_s, speech_s, n_segments = told.split()
        assert status == "done"
        assert float(duration_s) == pytest.approx(minutes * 60, rel=0.01)
        assert float(speech_s) > 0.3 * float(duration_s)
        assert int(n_segments) == 1 if mode == "sequential" else int(n_segments) > minutes
        assert list((tmp_path / "spool").glob("*")) == []
    print(f"{mode}: " + ", ".join(f"{minutes} min {peak:.0f} MB" for minutes, peak in peaks.items()))
    assert peaks[600] - peaks[10] < ALLOWED_MB
