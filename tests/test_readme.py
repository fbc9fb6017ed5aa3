"""Every command and every script in README.md, run as a reader runs it; what cannot be run here has a stand-in.

The models that the README names are the demo's weights under their names, and the hub is a stand-in.
"""

import ast
import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from hub import hub

from whisperbatch import events, report
from whisperbatch.cli import app, topics
from whisperbatch.cli.params import names
from whisperbatch.options import FORMATS

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
UNIT = REPOSITORY / ".github" / "whisperbatch.service"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
SHELL = [text for language, text in BLOCKS if language == "sh"]
PYTHON = [text for language, text in BLOCKS if language == "python"]
COMMANDS = typer.main.get_command(app.app).commands  # type: ignore[attr-defined]
LINES = [line for block in SHELL for line in block.replace("\\\n", "").splitlines() if line]

# what is not run as it stands, and why; what is run in its place, if anything
STAND_INS = {
    "python3 -m venv .venv && .venv/bin/pip install -q . && ": "downloads gigabytes; the rest of the line is run",
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && ": "these tests; .ci/run runs the line",
    "uv tool install .": "downloads gigabytes; test_wheel.py installs the wheel",
    "pipx install .": "the same",
    "uv tool install --torch-backend cpu .": "the same",
    "ray start --head": "test_ray.py starts clusters",
    "whisperbatch transcribe /share/interviews --backend ray": "test_ray.py runs it",
    "srun --": "no Slurm here; the commands in it are the ones above",
    "head=$(scontrol": "the same",
    "#SBATCH": "the same",
    "python3 -m venv /opt/whisperbatch": "changes the machine; so do the lines after it",
    "useradd": "the same",
    "install -d": "the same",
    "printf '%s\\n' 'model": "the same",
    "runuser": "the same",
    "install -m 644": "the same",
    "systemctl daemon-reload": "no systemd here; the unit's own command is looked at below",
    "whisperbatch bench interviews/": "takes minutes; test_bench.py runs it",
    "whisperbatch bench --model random:large-v3": "takes minutes and 6 GB; test_bench.py runs random:tiny",
    "apt-get install espeak-ng": "changes the machine",
    "pip install -e '.[train]'": "downloads gigabytes",
    "python -m whisperbatch.demo.train": "takes hours; test_demo.py holds its parts",
}
INSTEAD = {
    "whisperbatch watch ~/dropbox --format srt": "whisperbatch watch ~/dropbox --format srt --until-idle 1",
    "--until-idle 60": "--until-idle 1",
    "--device cuda:0,cuda:1": "--device cpu:2",
}
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
        "--torch-backend",
        "--now",
        "--array",
        "--gres",
        "--wrap",
        "--work",
        "--install",
        "--install-completion",
        *("--system", "--user-group", "--home-dir", "--shell", "--build-arg", "--force", "--help-all"),
    }
    openai_whispers = {"--output_format", "--fp16"}
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]+", README)) - {"--help"} <= ours | others | openai_whispers


def test_tables_and_lists_say_what_the_code_does():
    told = re.search(r"\| topics \|.*?\n\n", README, re.S)
    assert told is not None
    assert set(re.findall(r"`([\w-]+)`", told[0])) == set(topics.NAMES)
    codes = re.search(r"\*\*Exit codes\.\*\*(.*?)\n\n", README, re.S)
    assert codes is not None
    assert {int(n) for n in re.findall(r"\b\d+\b", codes[1])} == {
        value for name, value in vars(report).items() if name.startswith("EXIT_")
    }
    table = README.partition("`--format` chooses among")[2].partition("Where a transcript")[0]
    assert set(FORMATS) <= set(re.findall(r"`(\w+)`", table))
    assert f"`schema` ({report.SCHEMA})" in README
    assert f"`v` ({events.VERSION})" in README


def test_what_topics_and_readme_both_tell_of_the_report_is_the_same():
    import whisperbatch.cli.topics.report as page

    told = README.partition("**`--report FILE.json`**")[2].partition("Keys may be added")[0]
    words = set(re.findall(r"`(\w+)`", told))
    assert words <= set(re.findall(r"\w+", page.__doc__ or ""))
    assert {"schema", "totals", "moved_to", "exit_code", "queued", "n_clips", "interrupted"} <= words


def test_links_and_pictures_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (REPOSITORY / target).exists(), target
    for name in re.findall(r"`(tests/[\w/.]+|whisperbatch/\w+)`", README):
        assert (REPOSITORY / name).exists(), name


def test_the_settings_are_settings():
    (text,) = [text for language, text in BLOCKS if language == "toml"]
    known = {name.lstrip("-") for name in names()}
    assert set(tomllib.loads(text)) <= known


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
        "home/dropbox/one.wav": "telephone.wav",
        "incoming/one.wav": "telephone.wav",
        "talk.wav": "garden.wav",
        "film.mp4": "kitchen.m4a",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(sample_audio / source, tmp_path / name)
    samples = tmp_path / "sample_audio"
    shutil.copytree(sample_audio, samples, ignore=shutil.ignore_patterns("*.txt", "*.json", "*.srt", "*.vtt"))
    return tmp_path


@pytest.fixture
def environment(place: Path, demo_folder: Path) -> Iterator[dict[str, str]]:
    """One in which the default model is the demo's, ``small`` is on the hub, and every command is on the path."""
    bin = place / "bin"
    bin.mkdir()
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
    "dropbox": ["home/dropbox/one.srt", "interviews/garden.txt", "interviews/numbers.json"],
    "sample_audio --model demo": ["sample_audio/garden.txt", "sample_audio/garden.json"],
    "--output-dir transcripts": ["transcripts/garden.vtt", "transcripts/numbers.tsv", "interviews/garden.txt"],
    "film.mp4": ["film.srt", "film.vtt", "film.ass"],
    "list.jsonl": ["subtitles/talk.srt", "interviews/garden.txt", "interviews/garden.json"],
    "--redo": ["interviews/garden.txt"],
    "--move-done": ["done/one.wav", "done/one.txt"],
    "fetch small": ["interviews/garden.txt"],
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
