"""A drop folder watched by the whole command line, as a service does it: what it tells and how it ends."""

import os
import re
import signal
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from processes import children

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends signals")

DRIVER = """
import sys
from whisperbatch import cli
from whisperbatch.backends import local
from whisperbatch.cli import screen
from whisperbatch.engine import EngineFacts
from whisperbatch.engine.fake import FakeEngine
screen.STATE_S = 0.3
FakeEngine.facts = EngineFacts("demo")
local.open_engine = lambda *given, **named: FakeEngine(4, fails=lambda clip: int(clip.samples[0]) == 99)
sys.exit(cli.main(sys.argv[1:]))
"""


def record(path: Path, value: int) -> None:
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes(value.to_bytes(2, "little") * 1_600)


class Service:
    def __init__(self, folder: Path, *more: str, **environment: str) -> None:
        options = "--model demo --no-vad --load-workers 1 --settle 0.2 --journal journal".split()
        command = [sys.executable, "-c", DRIVER, "watch", "drop", *options, *more]
        self.process = subprocess.Popen(
            command, cwd=folder, stderr=subprocess.PIPE, env={**os.environ, **environment}, start_new_session=True
        )
        self.lines: list[str] = []

    def until(self, what: str) -> str:
        assert self.process.stderr is not None
        late = threading.Timer(60, self.process.kill)
        late.start()
        try:
            while line := self.process.stderr.readline().decode():
                self.lines.append(line.rstrip())
                if re.search(what, line):
                    return line.rstrip()
        finally:
            late.cancel()
        raise AssertionError(self.lines)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        assert self.process.stderr is not None
        self.lines += self.process.stderr.read().decode().splitlines()
        return self.process.wait(60)


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    (tmp_path / "drop").mkdir()
    return tmp_path / "drop"


@pytest.fixture
def services() -> Iterator[list[Service]]:
    made: list[Service] = []
    yield made
    for one in made:
        with suppress(ProcessLookupError):
            one.process.kill()
        one.process.wait()
        assert one.process.stderr is not None
        one.process.stderr.close()


def test_a_service_tells_its_state_in_a_line_and_ends_cleanly(drop: Path, services: list[Service]):
    services.append(service := Service(drop.parent))
    assert service.until("^watching").endswith("watching: 0 done, nothing in hand; 0:00 of audio since the start")
    record(drop / "a.wav", 1)
    record(drop / "b.wav", 99)
    service.until("failed: ")
    service.until("watching: 1 done, 1 failed, nothing in hand")
    assert service.end() == 130
    assert "Traceback" not in "".join(service.lines)
    assert service.lines[-1].startswith("1 done, 1 failed; 0.1 s of audio")


def test_settings_come_from_environment_and_file(drop: Path, services: list[Service]):
    (drop.parent / "my.toml").write_text('format = "srt"\nmove-done = "done"\nprogress = "none"')
    service = Service(drop.parent, WHISPERBATCH_CONFIG="my.toml", WHISPERBATCH_PROGRESS="plain")
    services.append(service)
    record(drop / "a.wav", 1)
    service.until("done: drop/a.wav")
    assert service.end() == 130
    assert sorted(path.name for path in (drop.parent / "done").iterdir()) == ["a.srt", "a.wav"]


def test_a_signal_to_every_process_of_the_service_fails_no_file(drop: Path, services: list[Service]):
    services.append(service := Service(drop.parent))
    record(drop / "a.wav", 1)
    service.until("done: ")
    for number in range(40):
        record(drop / f"b{number}.wav", number)
    service.until("done: ")
    inner = children(service.process.pid)
    assert inner
    for pid in inner:
        os.kill(pid, signal.SIGTERM)
    assert service.end() == 130
    assert "failed" not in "".join(service.lines)


def test_moved_recordings_are_done_once_over_restarts_and_the_folder_below_is_left_alone(
    drop: Path, services: list[Service]
):
    for start in range(2):
        services.append(service := Service(drop.parent, "--move-done", "drop/done", "--move-failed", "drop/failed"))
        record(drop / f"{start}.wav", start + 1)
        record(drop / f"bad{start}.wav", 99)
        service.until(f"done: drop/{start}.wav")
        service.until("watching: 1 done, 1 failed")
        assert service.end() == 130
        assert len([line for line in service.lines if line.startswith(("done", "failed", "skipped"))]) == 2
    names = sorted(path.relative_to(drop).as_posix() for path in drop.rglob("*.*"))
    assert names == [
        *("done/0.json", "done/0.txt", "done/0.wav", "done/1.json", "done/1.txt", "done/1.wav"),
        *("failed/bad0.wav", "failed/bad1.wav"),
    ]
