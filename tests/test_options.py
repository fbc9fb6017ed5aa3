"""Options: the command line and the Python face make the same ones."""

import threading

import pytest

from whisperbatch import api
from whisperbatch.cli import app
from whisperbatch.errors import UsageError
from whisperbatch.options import RunOptions

COMMAND = """
    --no-vad --vad-threshold 0.4 --vad-min-silence 0.3 --vad-min-speech 0.2 --vad-pad 0.1 --long-form sequential
    --clip-timestamps 0,30,60 --channels split --channel-names agent,caller --max-duration 3600 --spool-dir spools
""".split()
FLAT = {
    "vad": False, "vad_threshold": 0.4, "vad_min_silence": 0.3, "vad_min_speech": 0.2, "vad_pad": 0.1,
    "long_form": "sequential", "clip_timestamps": "0,30,60", "channels": "split", "channel_names": "agent,caller",
    "max_duration": 3600.0, "spool_dir": "spools",
}  # fmt: skip


def parsed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> RunOptions:
    """What a command line asks for; nothing is run."""
    made: list[RunOptions] = []

    def execute(source, options, given, stop: threading.Event, **more) -> None:
        made.append(options)

    monkeypatch.setattr(app, "_execute", execute)
    assert app.run(list(arguments)) == 0
    return made[0]


@pytest.mark.parametrize("command", ["transcribe", "watch"])
def test_speech_and_channels_from_the_command_line_and_from_python(monkeypatch, tmp_path, command: str):
    options = parsed(monkeypatch, command, str(tmp_path), *COMMAND)
    assert options == api.run_options_from(**FLAT)
    assert (options.speech.vad, options.speech.vad_min_silence_s, options.speech.vad_pad_s) == (False, 0.3, 0.1)
    assert options.clip.clip_timestamps == (0.0, 30.0, 60.0)
    assert options.load.channel_names == ("agent", "caller")
    assert options.load.spool_dir is not None
    sequences = {**FLAT, "clip_timestamps": [0, 30, 60], "channel_names": ["agent", "caller"]}
    assert api.run_options_from(**sequences) == options


@pytest.mark.parametrize("command", ["transcribe", "watch"])
def test_the_defaults_are_the_same(monkeypatch, tmp_path, command: str):
    assert parsed(monkeypatch, command, str(tmp_path)) == api.run_options_from()


def test_openai_whispers_spelling_is_understood(monkeypatch, tmp_path):
    options = parsed(monkeypatch, "transcribe", str(tmp_path), "--clip_timestamps", "5,10.5")
    assert options.clip.clip_timestamps == (5.0, 10.5)


def test_python_options_that_no_room_knows_are_refused():
    with pytest.raises(UsageError, match="vad_filter"):
        api.run_options_from(vad_filter=True)
