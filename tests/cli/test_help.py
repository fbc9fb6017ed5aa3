"""Help in terminals of several widths: names whole, lines that fit, room for the text, the common options first."""

import re
import textwrap

import pytest
import typer

from whisperbatch.cli import app, help_page, text_layout, topics
from whisperbatch.cli.commands import start

COMMANDS = typer.main.get_command(app.app).commands  # type: ignore[attr-defined]
WIDTHS = [60, 80, 160]
PAGES = [
    *([], ["--help"], ["help"]),
    *([name, "--help"] for name in COMMANDS),
    *([name, "--help-all"] for name in ("transcribe", "watch")),
    *(["help", name] for name in topics.NAMES),
]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """What a command line prints in a terminal of some width."""

    def run(columns: int, *argv: str) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        assert app.run(list(argv)) == 0
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("argv", PAGES, ids=" ".join)
def test_no_line_is_too_long_and_no_word_is_broken(printed, argv: list[str], columns: int):
    page = printed(columns, *argv)
    assert [line for line in page.splitlines() if len(line) > columns] == []
    written = printed(1000, *argv)
    assert page.replace(" \\\n", " ").split() == written.split()


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("name", COMMANDS)
def test_each_name_is_whole_and_the_text_has_half_the_width(printed, name: str, columns: int):
    page = printed(columns, name, "--help-all" if name in ("transcribe", "watch") else "--help")
    assert not re.search(r"<\w+>|list\[|…", page)
    for param in COMMANDS[name].params:
        for one in (*param.opts, *param.secondary_opts):
            if one.startswith("-"):
                assert re.search(rf"^  (?:\S.*)?(?<!\S){re.escape(one)}(?![\w-])", page, re.M), one
        assert " ".join(param.help.split()) in " ".join(page.split())
    starts = {len(found) for found in re.findall(r"^ {10,}(?=\S)", page, re.M)}
    assert len(starts) <= 1
    assert all(start <= min(columns, text_layout.MAX_COLUMNS) / 2 for start in starts)


@pytest.mark.parametrize("name", ["transcribe", "watch"])
def test_help_of_a_run_shows_what_people_use_and_help_all_the_rest(printed, name: str):
    short, whole = printed(80, name, "--help"), printed(80, name, "--help-all")
    assert len(short.splitlines()) <= 110
    told = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", short, re.M))
    assert 20 <= len(told) <= 30
    assert f"whisperbatch {name} --help-all shows all" in " ".join(short.split())
    every = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", whole, re.M))
    assert {param.opts[0] for param in COMMANDS[name].params if param.opts[0].startswith("--")} <= every
    for title in ("Output", "Model", "Decoding", "Subtitles (srt, vtt, ass)", "Many machines"):
        assert f"\n{title}:\n" in whole
    assert "shows all" not in whole


def test_the_common_options_are_options():
    named = {param.name for name in ("transcribe", "watch") for param in COMMANDS[name].params}
    assert help_page.COMMON - named == {"help"}


def test_every_option_with_a_value_has_a_word_for_it():
    assert [
        (name, param.opts[0])
        for name, command in COMMANDS.items()
        for param in command.params
        if param.param_type_name == "option" and not param.is_flag and param.metavar is None
    ] == []


def test_a_wrapped_command_is_still_one_for_a_shell(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    line = "    whisperbatch convert interviews/*.json --format srt,ass --subtitles asian"
    told = text_layout.fitted(line)
    assert max(map(len, told.splitlines())) <= 60
    assert " ".join(told.replace("\\\n", "").split()) == line.strip()


def test_the_start_page_fits_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    page = start.page([])
    assert max(map(len, page.splitlines())) <= 60
    assert re.search(r"^  whisperbatch fetch turbo\n +1\.6 GB", page, re.M)
    assert textwrap.dedent(page) == page
