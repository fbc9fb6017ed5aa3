"""What somebody sees who has just installed it: the start page, help by topic, completion, advice, what is wrong."""

import contextlib
import importlib
import io
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import typer

from whisperbatch import report
from whisperbatch.cli import app, eta, legacy, screen, topics
from whisperbatch.cli.commands import start
from whisperbatch.cli.diagnosis import Facts, findings
from whisperbatch.cli.params import names
from whisperbatch.cli.params.running import ProgressKind
from whisperbatch.engine import placement
from whisperbatch.engine.device import health
from whisperbatch.engine.model.model_names import OPENAI_NAMES
from whisperbatch.errors import RunError
from whisperbatch.options import FORMATS, EngineOptions, RunOptions
from whisperbatch.pipeline.decision import ALREADY
from whisperbatch.records import Event, Outcome, Status

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
    from whisperbatch.engine.model import local_caches

    monkeypatch.setattr(local_caches, "models", lambda folder: ["small"])
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
        assert legacy.translate([command]) == ([command], [], frozenset())


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


def test_every_option_belongs_to_a_topic():
    told = {
        option
        for name in topics.NAMES
        for option in importlib.import_module(f"whisperbatch.cli.topics.{name.replace('-', '_')}").OPTIONS
    }
    named = {(name, param.opts[0]) for name, command in COMMANDS.items() for param in command.params}
    told |= {"--json", "--help-all"}
    assert [one for one in sorted(named) if one[1].startswith("-") and one[1] not in told] == []


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
    assert "did you mean exit-codes?" in err
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


WRONG = [
    ({"n_models": 0}, "no model is cached: download one with 'whisperbatch fetch turbo'"),
    (
        {"n_models": 0, "is_hub_reachable": False},
        "the hub cannot be reached: run 'whisperbatch fetch turbo'",
    ),
    ({"is_offline": True}, "HF_HUB_OFFLINE is set, so models are not downloaded: unset it"),
    ({"has_nvidia": True, "driver": "550.54"}, "NVIDIA GPU (driver 550.54) but torch is a CPU-only build: install one"),
    ({"has_nvidia": True, "torch_cuda": "12.8"}, "built for CUDA 12.8, cannot use it: update the driver"),
    ({"has_bfloat16": False}, "neither AVX512-BF16 nor AMX"),
    ({"omp": "1"}, "OMP_NUM_THREADS=1 limits the model to 1 of 8 cores: unset it"),
    (
        {"n_allowed": 1.5},
        "may use 1.5 of 8 cores, but torch starts 8 threads, which wait for each other: set OMP_NUM_THR",
    ),
    ({"n_allowed": 2.0, "n_threads": 2}, "may use only 2 of 8 cores: allow more"),
    (
        {"places": {"model cache": Path("/c")}, "free": {"model cache": 5 * 10**8}},
        "cache /c has 0.50 GB left: free some space",
    ),
    (
        {"places": {"state folder": Path("/s")}, "closed": {"state folder": "why"}},
        "/s cannot be written to (why): fix",
    ),
    ({"journal": "it is damaged; name another"}, "it is damaged; name another"),
]


@pytest.mark.parametrize(("fact", "told"), WRONG)
def test_each_thing_that_is_wrong_is_told_alone_with_what_mends_it(fact: dict, told: str):
    (only,) = findings(Facts(**fact))
    assert told in only


@pytest.mark.parametrize(
    "fact",
    [
        {},
        {"has_nvidia": True, "torch_cuda": "12.8", "has_cuda": True, "has_bfloat16": False},
        {"has_mps": True, "has_bfloat16": False},
        {"omp": "8"},
        {"omp": "many"},
        {"places": {"model cache": Path("/c")}, "free": {"model cache": 5 * 10**9}},
    ],
)
def test_what_is_well_is_not_told(fact: dict):
    assert findings(Facts(**fact)) == []


def info(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "whisperbatch", "info", *arguments],
        env={**{k: v for k, v in os.environ.items() if not k.startswith("OMP_")}, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_info_finds_what_is_wrong_here(tmp_path: Path):
    (tmp_path / "state" / "whisperbatch").mkdir(parents=True)
    (tmp_path / "state" / "whisperbatch" / "journal.sqlite3").write_text("no journal " * 99)
    (tmp_path / "file").touch()
    page = info(
        *("--model-dir", str(tmp_path / "file" / "models")),
        HF_HUB_OFFLINE="1",
        XDG_STATE_HOME=str(tmp_path / "state"),
        OMP_NUM_THREADS="1",
    )
    told = page.partition("\nwhat is wrong\n")[2]
    assert "HF_HUB_OFFLINE is set" in told
    assert f"model cache {tmp_path}/file/models cannot be written to ({tmp_path}/file is a file)" in told
    assert "journal.sqlite3: the journal cannot be used (this file is not a journal)" in told
    assert ("OMP_NUM_THREADS=1" in told) == (health.n_allowed() > 1)
    assert (tmp_path / "state" / "whisperbatch" / "journal.sqlite3").read_text() == "no journal " * 99


def test_what_is_mended_is_found_no_more(tmp_path: Path, demo_folder: Path):
    models = tmp_path / "models" / "models--openai--whisper-tiny"
    shutil.copytree(demo_folder, models / "snapshots" / ("0" * 40))
    (models / "refs").mkdir()
    (models / "refs" / "main").write_text("0" * 40)
    page = info("--model-dir", str(tmp_path / "models"), XDG_STATE_HOME=str(tmp_path))
    assert f"  models            {tmp_path / 'models'} (--model-dir, HF_HOME): tiny\n" in page
    assert "no model is cached" not in page
    assert "state folder" not in page


def test_info_says_where_each_thing_is_stored_and_what_names_another_place(tmp_path: Path):
    (tmp_path / "state" / "whisperbatch").mkdir(parents=True)
    (tmp_path / "my.toml").touch()
    page = info(
        XDG_STATE_HOME=str(tmp_path / "state"),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        HF_HOME=str(tmp_path / "hub"),
        WHISPERBATCH_CONFIG=str(tmp_path / "my.toml"),
        TRITON_CACHE_DIR=str(tmp_path / "kernels"),
    )
    table = page.partition("\nwhere things are stored\n")[2].partition("\n\n")[0]
    told = dict(re.match(r"  (\S+(?: \S+)*)  +(.*)", line).groups() for line in table.splitlines())
    assert told == {
        "journal": f"{tmp_path}/state/whisperbatch/journal.sqlite3, not there yet (--journal, XDG_STATE_HOME)",
        "models": f"{tmp_path}/hub/hub, not there yet (--model-dir, HF_HOME): none",
        "openai-whisper's": f"{tmp_path}/cache/whisper, not there yet (XDG_CACHE_HOME): none",
        "demo model": str(Path(app.__file__).parents[1] / "demo" / "model"),
        "settings": f"{tmp_path}/my.toml, 0 kB (WHISPERBATCH_CONFIG)",
        "spool": f"{tmp_path}/cache/whisperbatch/spool, not there yet (--spool-dir, XDG_CACHE_HOME)",
        "step times": f"{tmp_path}/cache/whisperbatch/step-times.json, not there yet (XDG_CACHE_HOME)",
        "CUDA kernels": f"{tmp_path}/kernels, not there yet (TRITON_CACHE_DIR)",
    }
    assert re.search(r"^  settings +none \(--config, WHISPERBATCH_CONFIG\)$", info(), re.M)


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_info_fits_the_terminal_and_breaks_no_word(columns: int, monkeypatch, tmp_path: Path):
    from whisperbatch.cli.commands import info

    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    monkeypatch.setattr(info, "findings", lambda found: ["a sentence of many words, all of them short " * 9])
    plain = info.page(tmp_path)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    sys.stdout.isatty = lambda: True  # type: ignore[method-assign]
    wrapped = info.page(tmp_path)
    assert wrapped.split() == plain.split()
    too_long = [line for line in wrapped.splitlines() if len(line) > columns]
    assert all(re.fullmatch(r" {6}/\S+", line) for line in too_long), too_long  # a path that no line holds
    assert max(map(len, plain.splitlines())) > 160


@pytest.mark.parametrize(
    ("limit", "wanted"), [("150000 100000", 1.5), ("max 100000", None), ("9900000 100000", None), ("", None)]
)
def test_a_containers_share_of_the_cores(limit: str, wanted: float | None, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(health, "CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)), raising=False)
    (tmp_path / "cpu.max").write_text(limit)
    assert health.n_allowed() == (wanted or 4.0)


HOUR = 3600.0
ADVISED = [
    (
        (30, 2 * HOUR, 60, "turbo", 5),
        "the other 1:59:30 of audio take about 4 hours on this CPU; faster: --model small, ",
    ),
    ((30, 2 * HOUR, 60, "large-v3", 1), "faster: --model turbo, a GPU"),
    ((30, 2 * HOUR, 60, "small.en", 1), "faster: --model base.en, a GPU"),
    ((30, 2 * HOUR, 60, "tiny", 5), "faster: --beam-size 1, a GPU"),
    ((30, 2 * HOUR, 60, "somebody/model", 1), "faster: a GPU"),
    ((30, HOUR, 15, "turbo", 5), "(2x real time) the other 59:30 of audio take about 30 minutes"),
    ((30, 900 * HOUR, 60, "turbo", 5), "about 75 days"),
    ((30, HOUR, 4, "turbo", 5), None),  # fast
    ((30, 330, 60, "turbo", 5), "about 10 minutes"),  # just long enough to tell
    ((30, 329, 60, "turbo", 5), None),
    ((0, HOUR, 60, "turbo", 5), None),
    ((1, 900 * HOUR, 5, "turbo", 5), None),  # too early to tell
]


@pytest.mark.parametrize(("seen", "told"), ADVISED)
def test_a_long_run_is_told_how_long_and_what_would_be_faster(seen, told: str | None):
    line = eta.advice(*seen)
    assert line is None if told is None else told in line


def test_eight_bits_are_faster_where_the_cpu_computes_in_float32():
    line = eta.advice(30, 2 * HOUR, 60, "turbo", 1, in_float32=True)
    assert line is not None
    assert line.endswith("faster: --model small, --compute-type int8, a GPU")


def test_every_model_that_is_named_as_faster_is_one_and_smaller():
    order = ["tiny", "base", "small", "medium", "large-v1", "large-v2", "large-v3", "large"]
    for model, smaller in eta.SMALLER.items():
        assert {model, smaller} <= set(OPENAI_NAMES)
        if "turbo" not in (model, smaller) and model in order:
            assert order.index(smaller) < order.index(model)


@pytest.mark.parametrize(
    ("quiet", "endless", "on_cpu", "n_lines"), [(0, 0, 1, 1), (1, 0, 1, 0), (0, 1, 1, 0), (0, 0, 0, 0)]
)
def test_it_is_said_once_a_run_and_not_when_nobody_asked(monkeypatch, tmp_path, quiet, endless, on_cpu, n_lines):
    now_s = [0.0]
    monkeypatch.setattr(eta.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(
        placement, "choose", lambda options: placement.Placement(torch.device("cpu" if on_cpu else "cuda"), "float32")
    )
    view = screen.Screen(report.Report())
    view.is_endless = bool(endless)
    lines: list[str] = []
    monkeypatch.setattr(view, "line", lines.append)
    listen = eta.advising(view, RunOptions(engine=EngineOptions(model="small")), not quiet)
    path = tmp_path / "long.wav"
    listen(Event("queued", path))
    listen(Event("loading", path))
    listen(Event("loaded", path, {"duration_s": 5 * HOUR, "n_clips": 600}))
    listen(Event("batch", None, {"n_clips": 1, "n_files": 1, "audio_s": 30.0}))
    for _ in range(5):
        now_s[0] += 30
        listen(Event("progress", path, {"audio_s": 10.0, "segments": ()}))
    assert len(lines) == n_lines
    assert all("--compute-type int8" in line for line in lines)


def test_clips_that_come_back_together_are_not_taken_for_slow(monkeypatch, tmp_path):
    now_s = [0.0]
    monkeypatch.setattr(eta.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(placement, "choose", lambda options: placement.Placement(torch.device("cpu"), "float32"))
    view = screen.Screen(report.Report())
    lines: list[str] = []
    monkeypatch.setattr(view, "line", lines.append)
    listen = eta.advising(view, RunOptions(engine=EngineOptions(model="small")), True)
    path = tmp_path / "long.wav"
    for event in (Event("queued", path), Event("loading", path), Event("loaded", path, {"duration_s": 5 * HOUR})):
        listen(event)
    heard = Event("progress", path, {"audio_s": 10.0, "segments": ()})
    for n_given, after_s, n_heard, is_told in ((64, 16, 1, False), (1, 0, 63, False), (64, 164, 1, True)):
        listen(Event("batch", None, {"n_clips": n_given, "n_files": 1, "audio_s": 10.0 * n_given}))
        now_s[0] += after_s
        for _ in range(n_heard):
            listen(heard)
        assert bool(lines) is is_told, lines
    (line,) = lines
    assert "(7.2x real time)" in line  # 129 windows of 10 s in 180 s


def test_a_real_run_says_it_once(tmp_path: Path, sample_audio: Path):
    for name in ("lecture.mp3", "garden.wav", "telephone.wav"):
        shutil.copy(sample_audio / name, tmp_path)
    code = (
        "import sys; from whisperbatch.cli import eta, main; eta.LONG_S = eta.SEEN_S = 0.0\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "transcribe", ".", "--model", "demo", "--device", "cpu", "--batch-size", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "at this speed" in line]
    in_bytes = "--compute-type int8, " if placement.choose(EngineOptions(device="cpu")).dtype == torch.float32 else ""
    assert line.endswith(f"on this CPU; faster: --beam-size 1, {in_bytes}a GPU")
    assert "of audio take about" in line


@pytest.mark.parametrize(("quiet", "told"), [(True, "a.wav: b\n"), (False, "the demo model\na.wav: b\n")])
def test_quiet_says_nothing_of_a_run_that_goes_well(quiet: bool, told: str, capsys):
    view = screen.open_screen(ProgressKind.NONE, quiet, False, report.Report())
    view.on_event(Event("notice", None, {"text": "the demo model"}))
    view.on_event(Event("notice", Path("a.wav"), {"text": "b"}))
    assert capsys.readouterr().err == told


def told_at_the_end(monkeypatch: pytest.MonkeyPatch, *outcomes: Outcome) -> str:
    """What the live view leaves in the terminal."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    counts = report.Report()
    with screen.LiveScreen(counts) as view:
        for outcome in outcomes:
            counts.add(outcome)
            view.on_event(Event("finished", outcome.path, {"outcome": outcome}))
    return written.getvalue()


def test_the_end_of_a_run_says_where_the_transcripts_are(monkeypatch):
    outcomes = [
        Outcome(Path(f"in/{n}.wav"), Status.DONE, outputs=(Path(f"in/{n}.txt"), Path(f"in/{n}.json")), audio_s=9.0)
        for n in range(3)
    ]
    assert "wrote in/0.txt and 5 more\n" in told_at_the_end(monkeypatch, *outcomes)
    one = Outcome(Path("[a].wav"), Status.DONE, outputs=(Path("[a].txt"),), audio_s=9.0)
    assert "wrote [a].txt\n" in told_at_the_end(monkeypatch, one)


def test_a_run_with_nothing_to_do_says_why(monkeypatch):
    done = Outcome(Path("a.wav"), Status.SKIPPED, reason=ALREADY)
    other = Outcome(Path("b.wav"), Status.SKIPPED, reason="failed before")
    assert "nothing to do: all files are done already; --redo transcribes them again" in told_at_the_end(
        monkeypatch, done, done
    )
    told = told_at_the_end(monkeypatch, done, other)
    assert "nothing to do" not in told
    assert "speed" not in told  # of nothing


@pytest.mark.parametrize("kind", [screen.PlainScreen, screen.BarScreen, screen.LiveScreen])
@pytest.mark.parametrize(
    ("n_done", "error", "told"),
    [(0, RunError("no model"), False), (2, RunError("no GPU any more"), True), (0, None, True)],
)
def test_the_end_of_a_run_is_not_told_file_by_file(monkeypatch, kind, n_done: int, error: RunError | None, told: bool):
    monkeypatch.setattr(sys, "stderr", written := io.StringIO())
    counts = report.Report()
    done = Outcome(Path("a.wav"), Status.DONE, audio_s=9.0)
    reason = error.message if error else "interrupted"
    waiting = [Outcome(Path(f"{n}.wav"), Status.INTERRUPTED, reason=reason) for n in range(5_000)]
    with contextlib.suppress(RunError), kind(counts) as view:
        for outcome in [done] * n_done + waiting:
            counts.add(outcome)
            view.on_event(Event("finished", outcome.path, {"outcome": outcome}))
        if error is not None:
            raise error
    assert ".wav" not in written.getvalue()
    assert reason == "interrupted" or reason not in written.getvalue()  # whoever catches the error tells it, once
    assert ("interrupted" in written.getvalue() and "5000" in written.getvalue()) is told


def test_what_was_interrupted_has_not_ended():
    tally, paths = screen.Tally(), [Path(f"{n}.wav") for n in range(4)]
    for path in paths:
        tally.add(Event("queued", path))
    for path in paths[:2]:
        tally.add(Event("loading", path))
        tally.add(Event("loaded", path, {"duration_s": 10.0, "n_clips": 1}))
    tally.add(Event("finished", paths[0], {"outcome": Outcome(paths[0], Status.DONE, audio_s=10.0)}))
    for path in paths[1:]:
        tally.add(Event("finished", path, {"outcome": Outcome(path, Status.INTERRUPTED)}))
    assert (tally.n_found, tally.n_ended, tally.n_interrupted) == (4, 1, 3)
    assert (tally.decoded_s, tally.whole_s) == (10.0, 40.0)
    assert tally.progress().data["n_ended"] == 1
    view = screen.Screen(report.Report())
    view.tally = tally
    assert "nothing in progress" in view.watch_state()


def test_a_run_without_a_model_ends_with_one_line_for_all_files(tmp_path: Path, sample_audio: Path):
    for n in range(40):
        shutil.copy(sample_audio / "garden.wav", tmp_path / f"{n}.wav")
    command = [sys.executable, "-m", "whisperbatch", "transcribe", ".", "--model", "tiny"]
    nowhere = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "no hub")}
    done = subprocess.run(command, cwd=tmp_path, env=nowhere, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("whisperbatch: model tiny is not in the cache")


def test_a_log_tells_now_and_then_how_far_a_long_run_is(monkeypatch, capsys):
    monkeypatch.setattr(screen, "STATE_S", 0.05)
    with contextlib.ExitStack() as last:
        view = last.enter_context(screen.open_screen(ProgressKind.PLAIN, False, False, report.Report()))
        for name in "abc":
            view.on_event(Event("queued", Path(name)))
        view.tally.began_s -= 60.0
        view.on_event(Event("loading", Path("a")))
        view.on_event(Event("loaded", Path("a"), {"duration_s": HOUR, "n_clips": 120}))
        view.on_event(Event("progress", Path("a"), {"audio_s": HOUR / 2, "segments": ()}))
        last.enter_context(screen.reporting_progress(view.on_event, view))
        told, until_s = "", time.monotonic() + 60
        while "audio" not in told and time.monotonic() < until_s:
            told += capsys.readouterr().err
    line = next(line for line in told.splitlines() if "audio" in line)
    found = re.fullmatch(r"so far: 0/3 files, 30:00/3:00:00 audio, (\S+)x, (5:[0-5]\d) left", line)
    assert found, told
    assert 25.0 < float(found[1]) <= 30.0


@pytest.mark.parametrize(("quiet", "kind"), [(True, ProgressKind.AUTO), (False, ProgressKind.NONE)])
def test_a_log_that_wants_failures_only_is_told_nothing_of_how_far(quiet: bool, kind: ProgressKind, capsys):
    with screen.open_screen(kind, quiet, False, report.Report()) as view:
        view.on_event(Event("queued", Path("a")))
        view.state()
    assert capsys.readouterr().err == ""


def helps() -> list[tuple[str, str]]:
    """Each help text, with the option or command that it belongs to."""
    found = [(name, command.help) for name, command in COMMANDS.items()]
    return found + [
        (f"{name} {param.opts[0]}", param.help) for name, command in COMMANDS.items() for param in command.params
    ]


@pytest.mark.parametrize(("where", "text"), helps())
def test_help_texts_are_alike_in_form(where: str, text: str):
    assert re.match(r"[A-Z]|[a-z-]+[ ,:.]", text), text  # a sentence, or a value and what it means
    assert text.endswith("."), text
    assert "  " not in text
    assert not re.search(r"\b(color|behavior|initialize|e\.g\.|i\.e\.|etc)\b", text), text
