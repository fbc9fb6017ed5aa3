"""A drop folder watched by the whole command line, as a service does it: what it tells and how it ends."""

import configparser
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from child_processes import children
from sounds import write_wav

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


UNIT = Path(__file__).parents[2] / ".github" / "whisperbatch.service"


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
    assert service.until("^watching").endswith("watching: 0 done, nothing in progress; 0:00 of audio since the start")
    write_wav(drop / "a.wav", 1)
    write_wav(drop / "b.wav", 99)
    service.until("failed: ")
    service.until("watching: 1 done, 1 failed, nothing in progress")
    assert service.end() == 130
    assert "Traceback" not in "".join(service.lines)
    assert service.lines[-1].startswith("1 done, 1 failed; 0.1 s of audio")


def test_settings_come_from_environment_and_file(drop: Path, services: list[Service]):
    (drop.parent / "my.toml").write_text('format = "srt"\nmove-done = "done"\nprogress = "none"')
    service = Service(drop.parent, WHISPERBATCH_CONFIG="my.toml", WHISPERBATCH_PROGRESS="plain")
    services.append(service)
    write_wav(drop / "a.wav", 1)
    service.until("done: drop/a.wav")
    assert service.end() == 130
    assert sorted(path.name for path in (drop.parent / "done").iterdir()) == ["a.srt", "a.wav"]


def test_a_signal_to_every_process_of_the_service_fails_no_file(drop: Path, services: list[Service]):
    services.append(service := Service(drop.parent))
    write_wav(drop / "a.wav", 1)
    service.until("done: ")
    for number in range(40):
        write_wav(drop / f"b{number}.wav", number)
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
        write_wav(drop / f"{start}.wav", start + 1)
        write_wav(drop / f"bad{start}.wav", 99)
        service.until(f"done: drop/{start}.wav")
        service.until("watching: 1 done, 1 failed")
        assert service.end() == 130
        assert len([line for line in service.lines if line.startswith(("done", "failed", "skipped"))]) == 2
    names = sorted(path.relative_to(drop).as_posix() for path in drop.rglob("*.*"))
    assert names == [
        *("done/0.json", "done/0.txt", "done/0.wav", "done/1.json", "done/1.txt", "done/1.wav"),
        *("failed/bad0.wav", "failed/bad1.wav"),
    ]


def unit() -> dict[str, list[str]]:
    """The settings of the unit's service, each with all its values."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").partition("[Service]")[2].partition("[Install]")[0].splitlines():
        if "=" in line and not line.startswith("#"):
            found.setdefault(line.partition("=")[0], []).append(line.partition("=")[2])
    return found


def setup() -> list[str]:
    """The commands that are run before the unit is started."""
    return [line[4:] for line in UNIT.read_text(encoding="utf-8").splitlines() if line.startswith("#   ")]


def test_the_unit_is_one_and_systemd_has_nothing_to_say(tmp_path: Path):
    text = UNIT.read_text(encoding="utf-8")
    configparser.ConfigParser(strict=False, interpolation=None).read_string(text)
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    made = tmp_path / UNIT.name
    made.write_text(text.replace(shlex.split(unit()["ExecStart"][0])[0], "/bin/true"))
    told = subprocess.run(["systemd-analyze", "verify", made], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")


def test_all_that_the_unit_needs_is_made_by_the_commands_above_it(tmp_path: Path):
    service, commands = unit(), "\n".join(setup())
    environment = dict(line.split("=", 1) for line in service["Environment"])
    program, *words = shlex.split(service["ExecStart"][0])
    assert f"python3 -m venv {Path(program).parents[1]} " in commands
    assert re.search(rf"^useradd .* {service['User'][0]}$", commands, re.M)
    for folder in (words[-1], environment["XDG_CACHE_HOME"]):
        assert re.search(rf"^install -d -o {service['User'][0]} .*{folder}$", commands, re.M), folder
    assert service["ReadWritePaths"] == [words[-1]]
    places = {"StateDirectory": ("XDG_STATE_HOME", "/var/lib"), "CacheDirectory": ("XDG_CACHE_HOME", "/var/cache")}
    for setting, (variable, base) in places.items():  # what systemd lets it write to holds what it writes
        place = Path(environment[variable])
        assert Path(base, service[setting][0]) in (place, place / "whisperbatch")
    (made,) = [line for line in setup() if environment["WHISPERBATCH_CONFIG"] in line]
    written = subprocess.run(
        ["sh", "-c", made.replace(environment["WHISPERBATCH_CONFIG"], "my.toml")], cwd=tmp_path, check=True
    )
    assert written.returncode == 0
    model = tomllib.loads((tmp_path / "my.toml").read_text())["model"]
    (fetched,) = [line for line in setup() if line.startswith("runuser")]
    assert fetched.endswith(f"{program} fetch {model}")
    assert f"env XDG_CACHE_HOME={environment['XDG_CACHE_HOME']} " in fetched


def test_the_settings_and_the_command_of_the_unit_are_understood(drop: Path, services: list[Service]):
    (made,) = [line for line in setup() if line.startswith("printf")]
    subprocess.run(["sh", "-c", made.replace("/etc/whisperbatch.toml", "my.toml")], cwd=drop.parent, check=True)
    (drop.parent / "state").mkdir()
    services.append(service := Service(drop.parent, WHISPERBATCH_CONFIG="my.toml", XDG_STATE_HOME="state"))
    write_wav(drop / "a.wav", 1)
    service.until("done: drop/a.wav")
    assert service.end() == int(unit()["SuccessExitStatus"][0])
    assert sorted(path.suffix for path in drop.iterdir()) == [".json", ".srt", ".wav"]
    services.append(lost := Service(drop.parent, WHISPERBATCH_CONFIG="none.toml"))
    assert lost.process.wait(60) == int(unit()["RestartPreventExitStatus"][0])
