"""The wheel: what is in it, and that it works in an environment of its own."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def run(*command: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by pip, from a copy without what lies about."""
    source, out = tmp_path_factory.mktemp("source") / "whisperbatch", tmp_path_factory.mktemp("wheel")
    source.mkdir()
    for name in ("whisperbatch", "tests"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    done = run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, source)
    if "No matching distribution found for hatchling" in done.stderr:
        pytest.skip("hatchling cannot be had here")
    assert done.returncode == 0, done.stderr
    (file,) = out.glob("*.whl")
    return file


def test_it_holds_the_package_without_the_training_and_the_licence_and_nothing_else(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = message_from_bytes(archive.read(next(name for name in names if name.endswith("/METADATA"))))
        points = archive.read(next(name for name in names if name.endswith("/entry_points.txt"))).decode()
    tops = {name.partition("/")[0] for name in names}
    assert len(tops) == 2, tops
    package = {name for name in names if name.startswith("whisperbatch/")}
    ours = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "whisperbatch").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    training = {name for name in ours if name.startswith("whisperbatch/demo/training/")}
    assert training
    assert package == ours - training
    assert {"whisperbatch/py.typed", "whisperbatch/demo/model/model.safetensors"} <= package
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "whisperbatch = whisperbatch.cli:main" in points
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_payload().strip() == (REPOSITORY / "README.md").read_text(encoding="utf-8").strip()
    assert metadata["License-Expression"] == "MIT"


@pytest.mark.skipif(os.name == "nt", reason="its scripts lie elsewhere")
def test_it_transcribes_from_an_environment_of_its_own(wheel: Path, tmp_path: Path, sample_audio: Path):
    place = tmp_path / "environment"
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    done = run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel)
    assert done.returncode == 0, done.stderr
    (packages,) = place.glob("lib/python*/site-packages")
    # torch and the others are those of the tests; its own whisperbatch comes first
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    done = run(python, "-c", "import whisperbatch; print(whisperbatch.__file__)", cwd=tmp_path)
    assert Path(done.stdout.strip()).is_relative_to(place), done
    shutil.copy(sample_audio / "garden.wav", tmp_path)
    done = run(place / "bin" / "whisperbatch", "transcribe", "garden.wav", "--model", "demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "first coffee" in (tmp_path / "garden.txt").read_text()
