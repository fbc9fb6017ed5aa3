"""What somebody sees who has just installed it: the start page, help by topic, completion, advice, what is wrong."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from whisperbatch import report
from whisperbatch.cli import app, legacy, start, topics
from whisperbatch.cli.params import names
from whisperbatch.options import FORMATS

COMMANDS = typer.main.get_command(app.app).commands  # type: ignore[attr-defined]


def printed(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = app.run(list(argv))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("cached", [[], ["turbo"], ["small", "tiny"], ["somebody/whisper-with-a-long-name"] * 9])
def test_the_start_page_fits_a_terminal_and_tells_what_to_type_first(cached: list[str]):
    page = start.page(cached)
    lines = page.splitlines()
    assert len(lines) <= 20
    if "/" not in page.partition("Then:")[0].replace("whisperbatch ", ""):
        assert max(map(len, lines)) <= 80
    first = next(line for line in lines if line.startswith("  whisperbatch"))
    assert ("--model demo" in first) == (not cached)
    assert ("fetch turbo" in page) == (not cached)
    if cached and "turbo" not in cached:
        assert f"--model {cached[0]}" in first


def test_whisperbatch_alone_shows_it_on_standard_output(capsys, monkeypatch, tmp_path: Path):
    from whisperbatch.engine import checkpoint

    monkeypatch.setattr(checkpoint, "cached_models", lambda folder: ["small"])
    assert printed(capsys) == (0, start.page(["small"]), "")


def test_every_command_that_the_start_page_names_is_one():
    for page in (start.page([]), start.page(["small"])):
        for command, rest in re.findall(r"^  whisperbatch (\S+)(.*)", page, re.M):
            assert command in (*COMMANDS, "--help")
            known = {name for param in COMMANDS.get(command, COMMANDS["info"]).params for name in param.opts}
            assert set(re.findall(r"--[a-z-]+", rest)) <= known


def test_openai_whispers_spelling_leaves_every_command_alone(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        (tmp_path / command).mkdir()  # a folder of that name is no reason to transcribe it
        assert legacy.translate([command]) == ([command], [])


def test_help_lists_topics_and_commands(capsys):
    code, out, err = printed(capsys, "help")
    assert (code, err) == (0, "")
    told = re.findall(r"^  (\S+)  +\S", out, re.M)
    assert told == [*topics.NAMES, *COMMANDS]


@pytest.mark.parametrize("topic", topics.NAMES)
def test_a_topic_is_told_with_its_options(capsys, monkeypatch, topic: str):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = printed(capsys, "help", topic)
    assert (code, err) == (0, "")
    leaf = importlib.import_module(f"whisperbatch.cli.topics.{topic.replace('-', '_')}")
    assert out.split("\n\n")[0].replace("\n", " ") == leaf.__doc__.partition("\n")[0]
    assert max(map(len, out.splitlines())) <= 80
    for option in leaf.OPTIONS:
        (paragraph,) = re.findall(rf"^  (?:-\w, )?{option}\b(?!-)(.*(?:\n   .*)*)", out, re.M)
        param = next(p for c in COMMANDS.values() for p in c.params if option in p.opts)
        assert " ".join(param.help.split()) in " ".join(paragraph.split()), option
    declared = set(names()) | set(filter(None, names().values())) | {"--help"}
    assert set(re.findall(r"--[a-z][a-z-]+[a-z]", out)) <= declared | {"--index-url"}


def test_topics_say_what_the_code_does():
    text = {
        name: importlib.import_module(f"whisperbatch.cli.topics.{name}").__doc__ for name in ("exit_codes", "formats")
    }
    told = {int(code) for code in re.findall(r"^    (\d+) ", text["exit_codes"], re.M)}
    assert told == {value for name, value in vars(report).items() if name.startswith("EXIT_")}
    table = text["formats"].split("\n\n")[1]
    assert set(FORMATS) <= set(re.findall(r"[a-z]+", table))


def test_help_of_a_command_is_its_own_and_a_slip_is_met(capsys):
    code, out, _ = printed(capsys, "help", "fetch")
    assert code == 0
    assert "Usage: whisperbatch fetch" in out
    code, out, err = printed(capsys, "help", "exitcodes")
    assert (code, out) == (2, "")
    assert "is exit-codes meant?" in err
    assert "'whisperbatch help' lists them" in printed(capsys, "help", "zzz")[2]


@pytest.fixture
def shell_path(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``whisperbatch`` is this one."""
    bin = tmp_path / "bin"
    bin.mkdir()
    script = bin / "whisperbatch"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m whisperbatch "$@"\n')
    script.chmod(0o755)
    package = str(Path(app.__file__).parents[2])
    return {**os.environ, "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": package}


def completed(shell: str, line: str, where: Path, environment: dict[str, str]) -> list[str]:
    """What a shell offers for a line, its last word begun, asked as the shell's own script asks."""
    script = subprocess.run(
        ["whisperbatch"],
        env={**environment, "_WHISPERBATCH_COMPLETE": f"source_{shell}"},
        capture_output=True,
        check=True,
    ).stdout
    (where / "script").write_bytes(script)
    words = line.split(" ")
    if shell == "bash":
        quoted = " ".join(f"'{word}'" for word in words)
        code = (
            f"source ./script; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
            '_whisperbatch_completion whisperbatch; printf "%s\\n" "${COMPREPLY[@]}"\n'
        )
    elif shell == "fish":
        code = f"source ./script; complete --do-complete '{line}'"
    else:  # zsh has no way to ask but a keyboard: the script's function is called with what the keys would set
        quoted = " ".join(f"'{word}'" for word in words)
        code = (
            "compdef() { }; source ./script; _files() { }\n"
            "_arguments() { print -l -- $@ }\n_describe() { print -l -- $@ }\n"
            f"words=({quoted}); CURRENT={len(words)}\n_whisperbatch_completion\n"
        )
    done = subprocess.run([shell, "-c", code], cwd=where, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_topics_models_and_options(shell: str, tmp_path: Path, shell_path: dict[str, str]):
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    for line, wanted in {
        "whisperbatch tran": "transcribe",
        "whisperbatch help exit": "exit-codes",
        "whisperbatch transcribe --model tur": "turbo",
        "whisperbatch transcribe --max-line-c": "--max-line-count",
        "whisperbatch transcribe --long-form seq": "sequential",
    }.items():
        offered = completed(shell, line, tmp_path, shell_path)
        assert any(wanted in one for one in offered), (line, offered)
        assert not any("watch" in one for one in offered), line
