"""Settings from the command line, the environment and a file, in that order; what makes no sense is one sentence."""

import os
from pathlib import Path

import pytest

from whisperbatch.cli import app, config, legacy
from whisperbatch.cli.commands import run as run_command


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Run a command line up to the run itself: its exit code, what the run was told, the lines on standard error."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(config.PREFIX)]:
        monkeypatch.delenv(name)
    (tmp_path / "x.wav").write_bytes(b"RIFF")
    runs = []

    def execute(source, options, given, stop, **more):
        runs.append((options, given))

    monkeypatch.setattr(run_command, "execute", execute)

    def run(*argv: str, file: str | None = None, **environment: str):
        runs.clear()
        capfd.readouterr()
        if file is not None:
            (tmp_path / "my.toml").write_text(file)
            argv = (*argv, "--config", "my.toml")
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(f"WHISPERBATCH_{name}", value)
            code = app.run(list(argv))
        return code, runs[0] if runs else None, capfd.readouterr().err.splitlines()

    return run


ORDER = [
    ((), {}, None, 5),
    ((), {}, "beam-size = 2", 2),
    ((), {"BEAM_SIZE": "3"}, None, 3),
    ((), {"BEAM_SIZE": "3"}, "beam-size = 2", 3),
    (("--beam-size", "4"), {}, "beam-size = 2", 4),
    (("--beam-size", "4"), {"BEAM_SIZE": "3"}, None, 4),
    (("--beam_size", "4"), {"BEAM_SIZE": "3"}, "beam_size = 2", 4),
]


@pytest.mark.parametrize("command", ["transcribe", "watch"])
@pytest.mark.parametrize(("argv", "environment", "file", "beams"), ORDER)
def test_the_command_line_wins_then_the_environment_then_the_file(told, command, argv, environment, file, beams):
    what = "x.wav" if command == "transcribe" else "."
    code, (run, _), lines = told(command, what, *argv, file=file, **environment)
    assert (code, lines, run.decode.beam_size) == (0, [], beams)


@pytest.mark.parametrize(
    ("argv", "name", "value", "found", "unasked"),
    [
        ("--overwrite False", "OVERWRITE", "1", lambda run: run.output.overwrite, False),
        ("--highlight_words False", "HIGHLIGHT_WORDS", "true", lambda run: run.output.subtitles.highlight_words, False),
        ("--language None", "LANGUAGE", "de", lambda run: run.clip.language, None),
        ("--max_line_width=None", "MAX_LINE_WIDTH", "30", lambda run: run.output.subtitles.max_line_width, None),
        ("--fp16 True", "COMPUTE_TYPE", "float32", lambda run: run.engine.compute_type, "auto"),
    ],
)
def test_an_option_that_is_turned_off_on_the_command_line_stays_off(told, argv, name, value, found, unasked):
    setting = value if value in ("true", "30") else "true" if value == "1" else f'"{value}"'
    for given in ({name: value}, {"file": f"{name.lower()} = {setting}"}):
        code, (run, _), _ = told("transcribe", "x.wav", **given)
        assert (code, found(run) == unasked) == (0, False)
        code, (run, _), _ = told("transcribe", "x.wav", *argv.split(), **given)
        assert (code, found(run)) == (0, unasked)


def test_every_kind_of_value_is_taken_as_the_command_line_takes_it(told):
    file = """
        model = "small"
        language = "German"
        vad = false
        quiet = true
        format = ["srt", "json"]
        clip-timestamps = [0, 1.5]
        temperature = 0.2
        max-failures = 7
        no_speech_threshold = "None"
        compute-type = "float32"
        output-dir = "~/texts"
        retries = 0
    """
    code, (run, given), _ = told("x.wav", file=file)
    assert code == 0
    assert (run.engine.model, run.clip.language, run.speech.vad, given["quiet"]) == ("small", "de", False, True)
    assert (run.output.formats, run.clip.clip_timestamps) == (("srt", "json"), (0.0, 1.5))
    assert (run.decode.temperatures[0], run.failures.max_failures) == (0.2, 7)
    assert (run.decode.no_speech_threshold, run.engine.compute_type) == (None, "float32")
    assert run.output.output_dir == Path.home() / "texts"
    assert run.failures.retries == 0
    code, (run, given), _ = told("x.wav", FORMAT="srt,vtt", VAD="0", QUIET="yes", LANGUAGE="de", OUTPUT_DIR="~/t")
    assert (code, run.output.formats, run.speech.vad, given["quiet"]) == (0, ("srt", "vtt"), False, True)
    assert (run.clip.language, run.output.output_dir) == ("de", Path.home() / "t")


def test_the_command_line_turns_off_what_the_file_turns_on(told):
    _, (run, _), _ = told("x.wav", "--vad", file="vad = false")
    assert run.speech.vad
    _, (run, _), _ = told("x.wav", "--format", "vtt", file='format = "srt,json"')
    assert run.output.formats == ("vtt",)


def test_one_file_serves_all_commands(told):
    file = 'settle = 9\nmodel = "small"\njournal = "j"'
    assert told("x.wav", file=file)[1][0].engine.model == "small"  # settle is another command's
    assert told("watch", ".", file=file)[1][0].engine.model == "small"
    assert told("status", file=file)[0] == 0


def test_the_environment_may_name_the_file(told, tmp_path: Path):
    (tmp_path / "other.toml").write_text("beam-size = 2")
    assert told("x.wav", CONFIG="other.toml")[1][0].decode.beam_size == 2
    assert told("x.wav", CONFIG="other.toml", file="beam-size = 1")[1][0].decode.beam_size == 1


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ('modle = "x"', "whisperbatch: my.toml: unknown setting 'modle' (did you mean model?)"),
        ("dry-run = true", "whisperbatch: my.toml: unknown setting 'dry-run'"),
        ("[watch]\nsettle = 1", "whisperbatch: my.toml: unknown setting 'watch'"),
        ("beam-size = true", "whisperbatch: my.toml: beam_size cannot be True"),
        ("beam-size = {a = 1}", "whisperbatch: my.toml: beam_size cannot be a table"),
        ("beam-size = 2026-01-01", "whisperbatch: my.toml: beam_size cannot be 2026-01-01"),
        ("quiet = 1", "whisperbatch: my.toml: quiet must be true or false"),
        ('beam-size = "x"', "whisperbatch: my.toml: beam_size: "),
        ('progress = "huge"', "whisperbatch: my.toml: progress: 'huge' is not one of"),
        ("beam-size =", "whisperbatch: the settings in my.toml are not valid TOML: "),
    ],
)
def test_a_file_that_makes_no_sense_is_one_sentence_and_exit_code_2(told, file, sentence):
    code, run, lines = told("x.wav", file=file)
    assert (code, run, len(lines)) == (2, None, 1)
    assert lines[0].startswith(sentence)


def test_a_file_that_is_not_there_is_one_sentence_and_exit_code_2(told):
    code, run, lines = told("x.wav", "--config", "gone.toml")
    assert (code, run) == (2, None)
    assert lines == ["whisperbatch: the settings in gone.toml cannot be read: No such file or directory"]


def test_a_variable_that_makes_no_sense_is_told_by_its_name(told):
    code, run, lines = told("x.wav", BEAM_SIZE="many")
    assert (code, run, len(lines)) == (2, None, 1)
    assert lines[0].startswith("whisperbatch: WHISPERBATCH_BEAM_SIZE: ")


def test_a_variable_that_names_no_option_is_a_notice_and_no_more(told):
    code, run, lines = told("x.wav", MODLE="small", FULL="1", SETTLE="3")
    assert (code, run is not None) == (0, True)
    assert lines == ["WHISPERBATCH_MODLE is ignored: there is no such option (did you mean WHISPERBATCH_MODEL?)"]
    assert told("x.wav", BEAM_SIZE="")[1][0].decode.beam_size == 5  # an empty one is none


def test_every_option_of_a_run_can_be_set_by_a_variable():
    names = {name.removeprefix("--").replace("-", "_").upper() for name in legacy.DECLARED}
    names -= {"JSON", "DRY_RUN", "HELP_ALL"}
    assert config.unknown_variables({config.PREFIX + name: "1" for name in names}, legacy.DECLARED) == []
    assert len(names) > 60


# drop folders


def test_the_watch_takes_its_options_from_all_three(told, monkeypatch: pytest.MonkeyPatch):
    from whisperbatch import sources

    seen = []
    monkeypatch.setattr(
        sources, "watch", lambda folders, options, stop, **more: seen.append((options, more)) or iter(())
    )
    assert told("watch", ".", "--rescan", "7", file="settle = 3\npoll = true", UNTIL_IDLE="9")[0] == 0
    (options, _), *_ = seen
    assert (options.settle_s, options.rescan_s, options.poll, options.until_idle_s) == (3.0, 7.0, True, 9.0)


@pytest.mark.parametrize("flag", ["--move-done", "--move-failed"])
def test_recordings_do_not_move_to_where_they_are_looked_for(told, tmp_path: Path, flag: str):
    (tmp_path / "in").mkdir()
    for place in ("in", ".", "in/../in"):
        code, run, lines = told("watch", "in", flag, place)
        assert (code, run) == (2, None)
        assert lines == [
            f"whisperbatch: {flag} {Path(place)} is or contains the drop folder in; name a folder beside or below it"
        ]
    for place in ("in/done", "done"):
        code, (run, _), _ = told("watch", "in", flag, place)
        assert code == 0
        assert getattr(run.output, flag[2:].replace("-", "_")) == Path(place)
