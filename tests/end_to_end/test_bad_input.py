"""A thousand damaged and hostile inputs in one run: it ends by itself, and each has a reason that people understand."""

import io
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from child_processes import children
from corpus import WHOLE
from damaged import WAYS, fault_in, flip, put_number, truncate
from hostile_files import opens, specials
from seed_recordings import seeds
from whisperbatch import pipeline
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.options import BatchOptions, FailureOptions, LoadOptions, OutputOptions, RunOptions
from whisperbatch.outputs.namer import Namer
from whisperbatch.records import Outcome, Status
from whisperbatch.report import Report
from whisperbatch.sources import MEDIA_SUFFIXES, from_list

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="makes pipes and reads /proc")

MAX_MB = 700.0  # of a load process; librosa alone, the second loader, takes 300
GOOD = ("numbers.ogg", "kitchen.m4a", "bahnhof.flac")
WAYS_EACH = (*[truncate] * 8, *[flip] * 7, put_number, put_number, *set(WAYS))  # of each kind of recording


def damaged_files(folder: Path) -> Iterator[Path]:
    """Every recording that can be made here, damaged in every way, and under a wrong name; a fifth unless FULL."""
    whole = folder / "whole"
    whole.mkdir(parents=True)
    made = sorted(seeds(whole))
    for kind, path in enumerate(made):
        data = path.read_bytes()
        for number, way in enumerate(sorted(WAYS_EACH, key=lambda way: way.__name__)):
            if WHOLE or (kind + number) % 5 == 0:
                damaged = folder / f"{number:02d}-{way.__name__}-{path.name}"
                damaged.write_bytes(way(data, np.random.default_rng([kind, number])))
                yield damaged
        if WHOLE or kind % 5 == 0:
            wrong = folder / f"wrong-{path.name}{made[kind - 1].suffix}"
            shutil.copy(path, wrong)
            yield wrong


class Peaks(threading.Thread):
    """Looks at how much memory children have taken at most, until it is told to end."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mb, self.ended = 0.0, threading.Event()

    def run(self) -> None:
        own = Path("/proc/self/cmdline").read_bytes()
        while not self.ended.wait(0.05):
            for pid in children():
                try:
                    if Path(f"/proc/{pid}/cmdline").read_bytes() == own:
                        continue  # begun a moment ago: until it is another program its memory is this one's
                    status = Path(f"/proc/{pid}/status").read_text()
                    self.mb = max(self.mb, int(status.split("VmHWM:")[1].split()[0]) / 1000)
                except (OSError, IndexError):
                    continue


@contextmanager
def listener() -> Iterator[tuple[str, socket.socket]]:
    """An address of this machine that nobody should ask."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield f"http://127.0.0.1:{server.getsockname()[1]}/x.ts", server


def transcribed(files: list[Path]) -> dict[str, Outcome]:
    """How each file ended, by name; a run that hangs fails."""
    listed = b"\0".join(os.fsencode(path) for path in files)
    options = RunOptions(
        batch=BatchOptions(16, 0.0),
        load=LoadOptions(2),
        failures=FailureOptions(load_timeout_s=30.0),
        output=OutputOptions(formats=("txt",)),
    )
    ended: list[Outcome] = []

    def work() -> None:
        namer = Namer(options.output, MEDIA_SUFFIXES)
        ended.extend(
            pipeline.run(
                from_list(io.BytesIO(listed), nul=True),
                options,
                open_engine=FakeEngine,
                namer=namer,
                on_event=lambda event: None,
                stop=threading.Event(),
            )
        )

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(1800)
    assert not thread.is_alive(), "the run hangs"
    return {outcome.path.name: outcome for outcome in ended}


def test_a_run_over_damaged_and_hostile_files_ends_with_a_reason_for_each(tmp_path: Path, sample_audio: Path):
    before = children()
    secret = tmp_path / "secret" / "secret.ts"
    secret.parent.mkdir()
    files = [shutil.copy(sample_audio / name, tmp_path / name) for name in GOOD]
    files += damaged_files(tmp_path / "damaged")
    with listener() as (url, server):
        shutil.copy(tmp_path / "damaged" / "whole" / "aac.ts", secret)
        (tmp_path / "s").mkdir()
        files += specials(tmp_path / "s", url, secret)
        folder = tmp_path / "a folder.wav"
        folder.mkdir()
        files += [folder, shutil.copy(sample_audio / GOOD[0], folder / "inner.ogg")]
        order = np.random.default_rng(0).permutation(len(files))
        peaks = Peaks()
        peaks.start()
        with opens(secret.parent) as opened:
            outcomes = transcribed([Path(files[place]) for place in order])
        peaks.ended.set()
        with pytest.raises(BlockingIOError):
            server.accept()
    assert len(files) > (1_000 if WHOLE else 200)
    assert opened == []
    assert children() == before
    assert peaks.mb < MAX_MB
    assert len(outcomes) == len({Path(file).name for file in files}) - 1  # not the folder
    report = Report()
    for name, outcome in outcomes.items():
        report.add(outcome)
        told = [outcome.reason] if outcome.status is Status.FAILED else list(outcome.transcript.warnings)
        assert not [fault for fault in map(fault_in, told) if fault], name
        assert outcome.status in (Status.DONE, Status.FAILED)
    assert report.exit_code == 1
    assert {outcomes[name].status for name in (*GOOD, "inner.ogg")} == {Status.DONE}
    assert_reasons(outcomes)


def assert_reasons(outcomes: dict[str, Outcome]) -> None:
    """Those of the files whose fault is known."""
    for name, reason in {
        "empty.wav": "is empty",
        "text.wav": "is not a readable audio or video file",
        "pipe.wav": "is not a regular file",
        "zero.wav": "is not a regular file",
        "null.wav": "is not a regular file",
        "nowhere.wav": "does not exist",
        "rate-1.wav": "has a sample rate of 1 Hz, which is not plausible",
        "0-list.m3u8": "is a playlist or a list of files, not a recording",
        "channels-0.wav": "contains audio, but none of it can be decoded",
    }.items():
        assert outcomes[name].reason == reason
    for name in ("picture.mp3", "bomb.flac", "bomb.opus", "days.flac", "channels-255.wav"):
        assert outcomes[name].status is Status.DONE, outcomes[name].reason
    assert outcomes["bomb.flac"].audio_s == pytest.approx(90 * 60)
    assert "Too many levels" in outcomes["loop-a.wav"].reason


def test_the_command_ends_with_1_and_prints_a_sentence_for_each_bad_file(tmp_path: Path, sample_audio: Path):
    shutil.copy(sample_audio / "numbers.ogg", tmp_path / "good.ogg")
    data = (sample_audio / "kitchen.m4a").read_bytes()
    (tmp_path / "half.m4a").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.mp3").write_text("no sound")
    (tmp_path / "empty.wav").touch()
    os.mkfifo(tmp_path / "pipe.wav")
    command = [sys.executable, "-m", "whisperbatch", "transcribe", ".", "pipe.wav", "--model", "demo", "--offline"]
    done = subprocess.run(
        [*command, "--no-journal"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1, done.stderr
    failed = {line.split(": ")[1]: line.split(": ", 2)[2] for line in done.stderr.splitlines() if "failed:" in line}
    assert failed == {
        "half.m4a": "is not a readable audio or video file",
        "text.mp3": "is not a readable audio or video file",
        "empty.wav": "is empty",
        "pipe.wav": "is not a regular file",
    }
    assert (tmp_path / "good.txt").read_text()
    assert "Traceback" not in done.stderr


def test_the_fuzzer_of_the_load_worker_finds_nothing_in_its_first_files(tmp_path: Path):
    script = Path(__file__).parents[1] / "audio" / "fuzz_load.py"
    done = subprocess.run(
        [sys.executable, script, "--files", "150", "--minutes", "4", "--seed", "3", "--keep", tmp_path],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("150 files")
