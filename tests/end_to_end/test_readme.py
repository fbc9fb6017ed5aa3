"""Every command and every script in README and the pages that it leads users to, run as a reader runs it.

What cannot be run here has a stand-in.

The models that the pages name are the demo's weights under their names, and the hub is a stand-in.
"""

import ast
import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import typer

from fake_hub import hub
from speaker_networks import campplus_state
from whisperbatch import report
from whisperbatch.cli import app, topics
from whisperbatch.cli.params import names

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
UNIT = REPOSITORY / ".github" / "whisperbatch.service"
PAGES = [REPOSITORY / name for name in ("README.md", ".github/CLUSTERS.md", ".github/PYTHON.md")]
BLOCKS = list(
    dict.fromkeys(
        block for page in PAGES for block in re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    )
)
SHELL = [text for language, text in BLOCKS if language == "sh"]
PYTHON = [text for language, text in BLOCKS if language == "python"]
COMMANDS = typer.main.get_command(app.app).commands  # type: ignore[attr-defined]
LINES = [line for block in SHELL for line in block.replace("\\\n", "").splitlines() if line]

# what is not run as it stands, and why; what is run in its place, if anything
STAND_INS = {
    "python3 -m venv .venv && .venv/bin/pip install . && ": "downloads gigabytes; the rest of the line is run",
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && ": "these tests; .ci/run runs the line",
    "git clone ADDRESS": "whoever reads it knows the address",
    "uv tool install .": "downloads gigabytes; test_wheel.py installs the wheel",
    "uv tool install --torch-backend cpu .": "the same",
    "ray start --head": "test_ray.py starts clusters",
    "whisperbatch transcribe /share/interviews --backend ray": "test_ray.py runs it",
    "srun --": "no Slurm here; the commands in it are the ones above",
    "head=$(scontrol": "the same",
    "#SBATCH": "the same",
}
INSTEAD = {"--until-idle 60": "--until-idle 1", "--device cuda:0,cuda:1": "--device cpu:2"}
SBATCH = """#!/bin/bash
# each task of the array, one after the other
while [ $# -gt 0 ]; do
    case $1 in
        --array=*) range=${1#--array=} ;;
        --wrap) job=$2; shift ;;
        --gres=*) ;;
        *) echo "sbatch: $1?" >&2; exit 64 ;;
    esac
    shift
done
for task in $(seq ${range%-*} ${range#*-}); do SLURM_ARRAY_TASK_ID=$task bash -euc "$job" || exit; done
"""


def parts(line: str) -> Iterator[list[str]]:
    """The words of each whisperbatch command in a line of shell."""
    for text in (line, *re.findall(r"'(awk .*)'", line)):
        words = shlex.split(text, comments=True)
        for start, word in enumerate(words):
            if word.endswith("whisperbatch") and words[start - 1 : start] not in (["install"], ["--now"]):
                ends = (i for i in range(start, len(words)) if words[i] in ("|", "&&", ">"))
                yield words[start + 1 : next(ends, len(words))]


def is_stood_in_for(line: str) -> bool:
    return any(line.startswith(known) for known in STAND_INS)


def test_there_is_something_to_run():
    assert len(SHELL) > 10
    assert len(PYTHON) == 3
    assert sum(not is_stood_in_for(line) for line in LINES) > 15


@pytest.mark.parametrize("known", [*STAND_INS, *INSTEAD])
def test_every_stand_in_stands_for_something(known: str):
    assert any(known in line for line in LINES)


@pytest.mark.parametrize("line", [line for line in LINES if "whisperbatch" in line])
def test_commands_have_the_options_that_they_are_given(line: str):
    for words in parts(line):
        if words and not (words[0] not in COMMANDS and is_stood_in_for(line)):
            known = {name for param in COMMANDS[words[0]].params for name in (*param.opts, *param.secondary_opts)}
            used = {word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z0-9]", word)}
            assert used <= known, line


def test_every_option_that_is_named_anywhere_exists():
    ours = set(names()) | set(filter(None, names().values()))
    others = {
        *("--nodes", "--ntasks-per-node", "--cpus-per-task", "--overlap"),
        *("--head", "--port", "--block", "--address"),
        *("--array", "--gres", "--wrap"),
        *("--torch-backend", "--force", "--help-all"),
    }
    openai_whispers = {"--output_format", "--fp16"}
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]+", text)) - {"--help"} <= ours | others | openai_whispers


def test_the_list_of_topics_is_whole():
    (line,) = re.findall(r"^\* `whisperbatch help TOPIC` explains the rest: (.*?)\.\n\*", README, re.S | re.M)
    assert set(re.findall(r"`([\w-]+)`", line)) == set(topics.NAMES)


def test_it_is_short():
    assert len(README.splitlines()) <= 250


def test_the_service_starts_a_command_that_there_is(tmp_path: Path):
    text = UNIT.read_text(encoding="utf-8")
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text)
    command = shlex.split(unit["Service"]["ExecStart"])
    assert Path(command[0]).name == "whisperbatch"
    assert command[1] in COMMANDS
    assert int(unit["Service"]["SuccessExitStatus"]) == report.EXIT_INTERRUPTED
    assert int(unit["Service"]["RestartPreventExitStatus"]) == report.EXIT_USAGE
    if shutil.which("systemd-analyze"):
        (tmp_path / "whisperbatch.service").write_text(text.replace(command[0], "/bin/true"))
        told = subprocess.run(
            ["systemd-analyze", "verify", tmp_path / "whisperbatch.service"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Unknown" not in told.stderr, told.stderr


@pytest.fixture
def place(tmp_path: Path, sample_audio: Path) -> Path:
    """A folder with all the recordings that the README names."""
    for name, source in {
        "interviews/garden.wav": "garden.wav",
        "interviews/numbers.mp3": "station.mp3",
        "calls/monday.wav": "telephone.wav",
        "recordings/one.wav": "garden.wav",
        "recordings/two.wav": "telephone.wav",
        "recordings/three.wav": "garden.wav",
        "recordings/four.wav": "telephone.wav",
        "incoming/one.wav": "telephone.wav",
        "talk.wav": "garden.wav",
        "film.mp4": "kitchen.m4a",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(sample_audio / source, tmp_path / name)
    (tmp_path / "voices").mkdir()
    torch.save(campplus_state(), tmp_path / "voices" / "campplus.pt")
    samples = tmp_path / "sample_audio"
    shutil.copytree(sample_audio, samples, ignore=shutil.ignore_patterns("*.txt", "*.json", "*.srt", "*.vtt"))
    return tmp_path


@pytest.fixture
def environment(place: Path, demo_folder: Path) -> Iterator[dict[str, str]]:
    """One in which the default model is the demo's, ``small`` is on the hub, and every command is on the path."""
    bin = place / "bin"
    bin.mkdir()
    (place / "home").mkdir()
    scripts = {"whisperbatch": f'#!/bin/sh\nexec "{sys.executable}" -m whisperbatch "$@"\n', "sbatch": SBATCH}
    for name, text in scripts.items():
        (bin / name).write_text(text)
        (bin / name).chmod(0o755)
    with hub(demo_folder, "openai/whisper-small") as endpoint:
        yield {
            **{name: text for name, text in os.environ.items() if not name.startswith(("WHISPERBATCH_", "HF_"))},
            "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(place / "home"),
            "XDG_STATE_HOME": str(place / "home" / "state"),
            "HF_HOME": str(place / "home" / "hf"),
            "HF_ENDPOINT": endpoint,
            "HF_HUB_DISABLE_XET": "1",
            "WHISPERBATCH_MODEL": "demo",
        }


WRITTEN = {  # what has to lie there after a block, by a part of it
    "sample_audio --model demo": ["sample_audio/garden.txt", "sample_audio/garden.json"],
    "--output-dir transcripts": ["transcripts/garden.vtt", "transcripts/numbers.tsv", "subtitles/garden.ass"],
    "film.mp4": ["film.srt", "film.vtt", "film.ass"],
    "list.jsonl": ["subtitles/talk.srt", "interviews/garden.txt", "interviews/garden.json"],
    "--redo": ["interviews/garden.txt"],
    "--move-done": ["done/one.wav", "done/one.txt"],
    "fetch small": ["interviews/garden.txt"],
    "--report run.html": ["run.html", "review.html"],
    "sbatch": ["recordings/one.txt", "recordings/two.txt", "recordings/four.txt", "home/journal-0", "home/journal-3"],
}
RUNNABLE = [block for block in SHELL if any(not is_stood_in_for(line) for line in block.splitlines() if line)]
RUNNABLE += [line for line in LINES if line.startswith("python3 -m venv") and "transcribe" in line]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell's")
@pytest.mark.parametrize("block", RUNNABLE, ids=lambda block: " ".join(block.split()[:3]))
def test_a_block_of_commands_runs_as_it_stands(block: str, place: Path, environment: dict[str, str]):
    lines = [line for line in block.replace("\\\n", "").splitlines() if not is_stood_in_for(line)]
    text = "\n".join(lines) or block.rpartition("&& .venv/bin/")[2]
    for told, run in INSTEAD.items():
        text = text.replace(told, run)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (text, done.stderr)
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr
    for part, files in WRITTEN.items():
        if part in block:
            assert [name for name in files if not (place / name).is_file()] == []


def test_every_expectation_belongs_to_a_block():
    assert [part for part in WRITTEN if not any(part in block for block in RUNNABLE)] == []


@pytest.mark.slow
@pytest.mark.parametrize("script", PYTHON, ids=range(len(PYTHON)))
def test_a_script_runs_as_it_stands(script: str, place: Path, environment: dict[str, str]):
    ast.parse(script)
    (place / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if "formats=" in script:
        assert sorted(path.name for path in (place / "interviews").iterdir() if path.suffix in (".txt", ".srt")) == [
            "garden.srt",
            "garden.txt",
            "numbers.srt",
            "numbers.txt",
        ]
        assert done.stdout.count("Status.DONE") + done.stdout.count(" done ") == 2
    elif "Transcriber" in script:
        assert "first coffee" in done.stdout


@pytest.mark.slow
def test_openai_whispers_line_runs(place: Path, environment: dict[str, str]):
    (line,) = re.findall(r"^`(whisperbatch transcribe talk\.wav --output_format.*?)`", README, re.M)
    done = subprocess.run(["bash", "-c", line], cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (place / "talk.srt").is_file()


@pytest.mark.slow
def test_the_line_on_speakers_runs(place: Path, environment: dict[str, str]):
    (line,) = re.findall(r"^\* Who speaks: `(whisperbatch transcribe .*?)`", README, re.M)
    line += " --speaker-model voices/"  # in place of the weights on the hub
    done = subprocess.run(["bash", "-c", line], cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (place / "interviews" / "garden.rttm").read_text().startswith("SPEAKER garden 1 ")
    assert "[SPEAKER_00]: " in (place / "interviews" / "garden.srt").read_text()
