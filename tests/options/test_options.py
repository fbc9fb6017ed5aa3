"""Options: the command line and the Python face make the same ones."""

import os
from dataclasses import replace

import pytest

from command_lines import parsed
from whisperbatch import api, cli
from whisperbatch.cli import app
from whisperbatch.cli.flags import with_flags
from whisperbatch.errors import UsageError
from whisperbatch.options import (
    ALL_FORMATS,
    EngineOptions,
    LoadOptions,
    RunOptions,
    engine,
    load_workers_for,
)

COMMAND = """
    --no-vad --vad-threshold 0.4 --vad-min-silence 0.3 --vad-min-speech 0.2 --vad-pad 0.1 --long-form sequential
    --clip-timestamps 0,30,60 --channels split --channel-names agent,caller --max-duration 3600 --spool-dir spools
    --track ger
""".split()
FLAT = {
    "vad": False, "vad_threshold": 0.4, "vad_min_silence": 0.3, "vad_min_speech": 0.2, "vad_pad": 0.1,
    "long_form": "sequential", "clip_timestamps": "0,30,60", "channels": "split", "channel_names": "agent,caller",
    "max_duration": 3600.0, "spool_dir": "spools", "track": "German",
}  # fmt: skip


@pytest.mark.parametrize("command", ["transcribe", "watch"])
def test_speech_and_channels_from_the_command_line_and_from_python(monkeypatch, tmp_path, command: str):
    options = parsed(monkeypatch, command, str(tmp_path), *COMMAND)
    assert options == api.run_options_from(**FLAT)
    assert (options.speech.vad, options.speech.vad_min_silence_s, options.speech.vad_pad_s) == (False, 0.3, 0.1)
    assert options.clip.clip_timestamps == (0.0, 30.0, 60.0)
    assert options.load.channel_names == ("agent", "caller")
    assert options.load.spool_dir is not None
    assert (options.load.track, api.run_options_from(track=2).load.track) == ("de", "2")
    sequences = {**FLAT, "clip_timestamps": [0, 30, 60], "channel_names": ["agent", "caller"]}
    assert api.run_options_from(**sequences) == options


@pytest.mark.parametrize("command", ["transcribe", "watch"])
def test_the_defaults_are_the_same(monkeypatch, tmp_path, command: str):
    assert parsed(monkeypatch, command, str(tmp_path)) == api.run_options_from()


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--temperature", "nan"),
        ("--temperature", "0,inf"),
        ("--temperature-increment-on-fallback", "inf"),
        ("--patience", "inf"),
        ("--no-repeat-ngram-size", "100000"),
        ("--load-timeout", "inf"),
        ("--load-timeout", "nan"),
    ],
)
def test_a_number_without_bounds_is_reported_before_anything_is_done(tmp_path, capsys, flag: str, value: str):
    assert app.run(["transcribe", str(tmp_path), flag, value]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"whisperbatch: {flag}")


@pytest.mark.parametrize(
    ("python", "command_line"),
    [
        ("`beam_size` must be 1 or more", "--beam-size must be 1 or more"),
        ("`ray_address` needs `backend=ray`", "--ray-address needs --backend ray"),
        ("give `journal` or `use_journal=False`, not both", "give --journal or --no-journal, not both"),
        ("`write=False` writes no files; add `formats=srt`", "--stdout writes no files; add --format srt"),
        ("`sample_len` and `temperatures`", "`sample_len` and --temperature"),  # the first has no flag
    ],
)
def test_an_error_names_the_argument_for_python_and_the_flag_for_the_command_line(python: str, command_line: str):
    assert with_flags(python) == command_line


def test_a_python_caller_is_not_shown_a_flag():
    with pytest.raises(UsageError, match=r"^`beam_size` must be 1 or more$"):
        api.run_options_from(beam_size=0)


def test_shaped_subtitles_turn_word_times_on(monkeypatch, tmp_path):
    options = parsed(monkeypatch, "transcribe", str(tmp_path), "--format", "srt", "--subtitles", "standard")
    assert options.decode.word_timestamps
    assert api.run_options_from(formats="srt", subtitles="standard") == options
    assert api.run_options_from(formats=["SRT"], subtitles="standard") == options
    assert api.run_options_from(formats=("all",)).output.formats == ALL_FORMATS
    assert parsed(monkeypatch, "transcribe", str(tmp_path), "--word-timestamps").decode.word_timestamps
    assert not parsed(monkeypatch, "transcribe", str(tmp_path), "--no-word-timestamps").decode.word_timestamps


def test_openai_whispers_spelling_is_understood(monkeypatch, tmp_path):
    options = parsed(monkeypatch, "transcribe", str(tmp_path), "--clip_timestamps", "5,10.5")
    assert options.clip.clip_timestamps == (5.0, 10.5)


def test_python_options_that_no_room_knows_are_refused():
    with pytest.raises(UsageError, match="vad_filter"):
        api.run_options_from(vad_filter=True)


def test_decoding_from_the_command_line_and_from_python(monkeypatch, tmp_path):
    line = """
        --beam-size 2 --best-of 3 --patience 1.5 --length-penalty 0.6 --temperature 0,0.4 --logprob-threshold -0.8
        --compression-ratio-threshold 2.2 --no-speech-threshold None --no-condition-on-previous-text
        --carry-initial-prompt --prefix So --without-timestamps --suppress-tokens -1,11 --seed 7 --no-second-pass
    """
    flat = {
        "beam_size": 2, "best_of": 3, "patience": 1.5, "length_penalty": 0.6, "temperatures": (0.0, 0.4),
        "logprob_threshold": -0.8, "compression_ratio_threshold": 2.2, "no_speech_threshold": None,
        "condition_on_previous_text": False, "carry_initial_prompt": True, "prefix": "So", "without_timestamps": True,
        "suppress_tokens": (-1, 11), "seed": 7, "second_pass": False,
    }  # fmt: skip
    assert parsed(monkeypatch, "transcribe", str(tmp_path), *line.split()) == api.run_options_from(**flat)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("--beam-size 0", "--beam-size"),
        ("--temperature warm", "--temperature"),
        ("--temperature=-1", "--temperature"),
        ("--suppress-tokens x", "--suppress-tokens"),
        ("--length-penalty 2", "--length-penalty"),
        ("--temperature-increment-on-fallback 0", "--temperature-increment"),
    ],
)
def test_decoding_that_makes_no_sense_is_refused(monkeypatch, tmp_path, capfd, line: str, word: str):
    assert app.run(["transcribe", str(tmp_path), *line.split()]) == 2
    assert word in capfd.readouterr().err


def test_loading_has_half_the_cores_beside_a_cpu_and_all_but_one_beside_a_gpu():
    assert [load_workers_for(n) for n in (1, 2, 5, 16, 64)] == [1, 1, 2, 8, 8]
    assert [load_workers_for(n, beside_gpu=True) for n in (1, 2, 5, 16, 64)] == [1, 1, 4, 15, 32]


@pytest.mark.parametrize(
    ("device", "without_driver", "with_driver"),
    [("cuda", 15, 15), ("cuda:0,cuda:1", 15, 15), ("auto", 8, 15), ("all", 8, 15), ("cpu", 8, 8), ("cpu:2", 8, 8)],
)
def test_whether_there_is_a_gpu_is_known_before_torch_is(
    device: str, without_driver: int, with_driver: int, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.setattr(engine, "NVIDIA", tmp_path / "version")
    options = RunOptions(EngineOptions(device=device))
    assert options.n_load_workers == without_driver
    (tmp_path / "version").touch()
    assert options.n_load_workers == with_driver
    assert replace(options, load=LoadOptions(3)).n_load_workers == 3


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("beam_sise", "did you mean beam_size"),
        ("batchsize", "did you mean batch_size"),
        ("max_wait_seconds", "did you mean max_wait"),
        ("qqq", "see help"),
    ],
)
def test_a_name_that_no_option_has_is_told_the_nearest(name: str, told: str):
    with pytest.raises(UsageError, match=f"unknown option {name}; {told}"):
        api.run_options_from(**{name: 1})


@pytest.mark.parametrize("option", ["--prompt", "--hotwords", "--prefix"])
def test_text_that_is_not_utf_8_is_refused_before_anything_loads(option: str, capsys: pytest.CaptureFixture[str]):
    command = ["transcribe", "x.wav", "--model", "demo", option, os.fsdecode(b"caf\xe9")]
    assert cli.main(command) == 2
    assert f"{option} is not valid UTF-8" in capsys.readouterr().err
