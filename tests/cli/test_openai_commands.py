"""Command lines for openai-whisper, each flag of theirs given to ours; shaping on each command and in the API."""

import argparse
import json
import math
import os

import pytest
from whisper.transcribe import cli as their_cli

from renderings import theirs, transcript_of
from whisperbatch import api
from whisperbatch.cli import app, config, legacy
from whisperbatch.cli.commands import run as run_command
from whisperbatch.errors import UsageError
from whisperbatch.options import ALL_FORMATS, FORMATS, PRESETS, SubtitleOptions, parse_formats
from whisperbatch.records import Segment, Word
from whisperbatch.writers import read_json, render
from whisperbatch.writers.content import encoded

NO_MEANING = {"--threads"}
UNDERSTOOD = [  # flag, value, what our run is then told
    ("--model", "tiny.en", lambda run, given: run.engine.model == "tiny.en"),
    ("--model_dir", "models", lambda run, given: str(run.engine.model_dir) == "models"),
    ("--device", "cuda", lambda run, given: run.engine.device == "cuda"),
    ("--output_dir", "out", lambda run, given: str(run.output.output_dir) == "out"),
    ("-o", "out", lambda run, given: str(run.output.output_dir) == "out"),
    ("--output_format", "vtt", lambda run, given: run.output.formats == ("vtt",)),
    ("--output_format", "all", lambda run, given: run.output.formats == ALL_FORMATS),
    ("-f", "srt", lambda run, given: run.output.formats == ("srt",)),
    ("--verbose", "True", lambda run, given: given["verbose"]),
    ("--verbose", "False", lambda run, given: not given["verbose"]),
    ("--task", "translate", lambda run, given: run.clip.task == "translate"),
    ("--language", "de", lambda run, given: run.clip.language == "de"),
    ("--language", "English", lambda run, given: run.clip.language == "en"),
    ("--initial_prompt", "Dr. Who", lambda run, given: run.clip.prompt == "Dr. Who"),
    ("--clip_timestamps", "1,2.5", lambda run, given: run.clip.clip_timestamps == (1.0, 2.5)),
    ("--clip_timestamps", "0", lambda run, given: run.clip.clip_timestamps in ((), (0.0,))),
    ("--fp16", "True", lambda run, given: run.engine.compute_type == "auto"),
    ("--fp16", "False", lambda run, given: run.engine.compute_type == "float32"),
    ("--temperature", "0", lambda run, given: run.decode.temperatures == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
    ("--temperature", "0.5", lambda run, given: run.decode.temperatures == (0.5, 0.7, 0.9)),
    ("--temperature_increment_on_fallback", "0.5", lambda run, given: run.decode.temperatures == (0.0, 0.5, 1.0)),
    ("--temperature_increment_on_fallback", "None", lambda run, given: run.decode.temperatures == (0.0,)),
    ("--beam_size", "3", lambda run, given: run.decode.beam_size == 3),
    ("--beam_size", "None", lambda run, given: run.decode.beam_size == 1),
    ("--best_of", "2", lambda run, given: run.decode.best_of == 2),
    ("--best_of", "None", lambda run, given: run.decode.best_of == 1),
    ("--patience", "2.0", lambda run, given: run.decode.patience == 2.0),
    ("--patience", "None", lambda run, given: run.decode.patience == 1.0),
    ("--length_penalty", "0.5", lambda run, given: run.decode.length_penalty == 0.5),
    ("--length_penalty", "None", lambda run, given: run.decode.length_penalty is None),
    ("--suppress_tokens", "-1", lambda run, given: run.decode.suppress_tokens == (-1,)),
    ("--suppress_tokens", "11,13", lambda run, given: run.decode.suppress_tokens == (11, 13)),
    ("--suppress_tokens", "", lambda run, given: run.decode.suppress_tokens == ()),
    ("--carry_initial_prompt", "True", lambda run, given: run.decode.carry_initial_prompt),
    ("--condition_on_previous_text", "False", lambda run, given: not run.decode.condition_on_previous_text),
    ("--condition_on_previous_text", "True", lambda run, given: run.decode.condition_on_previous_text),
    ("--compression_ratio_threshold", "2.0", lambda run, given: run.decode.compression_ratio_threshold == 2.0),
    ("--logprob_threshold", "-2.0", lambda run, given: run.decode.logprob_threshold == -2.0),
    ("--logprob_threshold", "None", lambda run, given: run.decode.logprob_threshold is None),
    ("--no_speech_threshold", "0.7", lambda run, given: run.decode.no_speech_threshold == 0.7),
    ("--word_timestamps", "True", lambda run, given: run.decode.word_timestamps),
    ("--word_timestamps", "False", lambda run, given: not run.decode.word_timestamps),
    ("--prepend_punctuations", "([", lambda run, given: run.decode.prepend_punctuations == "(["),
    ("--append_punctuations", ".)", lambda run, given: run.decode.append_punctuations == ".)"),
    ("--hallucination_silence_threshold", "2.0", lambda run, given: run.decode.hallucination_silence_threshold == 2.0),
    ("--hallucination_silence_threshold", "None", lambda run, given: not run.decode.hallucination_silence_threshold),
    ("--highlight_words", "True", lambda run, given: run.output.subtitles.highlight_words),
    ("--highlight_words", "False", lambda run, given: not run.output.subtitles.highlight_words),
    ("--max_line_width", "42", lambda run, given: run.output.subtitles.max_line_width == 42),
    ("--max_line_width", "None", lambda run, given: run.output.subtitles.max_line_width is None),
    ("--max_line_count", "2", lambda run, given: run.output.subtitles.max_line_count == 2),
    ("--max_words_per_line", "7", lambda run, given: run.output.subtitles.max_words_per_line == 7),
]


def their_actions():
    """What openai-whisper's parser knows, its help and the recordings left out."""
    made = []

    def keep(self, *args, **kwargs):
        made.append(self)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", keep)
        with pytest.raises(KeyboardInterrupt):
            their_cli()
    return [action for action in made[0]._actions if action.option_strings and action.dest != "help"]


ACTIONS = their_actions()
FLAGS = [flag for action in ACTIONS for flag in action.option_strings]


def value_for(action):
    if action.choices:
        return str(sorted(action.choices)[0])
    return "-1" if action.dest == "suppress_tokens" else "True" if action.type.__name__ == "str2bool" else "2"


@pytest.fixture
def told(monkeypatch, tmp_path, capfd):
    """Run a command line up to the run itself: its exit code, what the run was told, the lines on standard error."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(config.PREFIX)]:
        monkeypatch.delenv(name)
    (tmp_path / "x.wav").write_bytes(b"RIFF")
    runs = []

    def note(source, options, given, stop, **more):
        runs.append((options, given))

    monkeypatch.setattr(run_command, "execute", note)

    def run(*argv):
        runs.clear()
        capfd.readouterr()
        code = app.run(list(argv))
        return code, runs[0] if runs else None, capfd.readouterr().err.splitlines()

    return run


def test_their_parser_has_the_flags_that_are_sorted_here():
    sorted_here = {flag for flag, *_ in UNDERSTOOD} | NO_MEANING
    assert set(FLAGS) == sorted_here
    assert len(FLAGS) > 25


@pytest.mark.parametrize(("flag", "value", "is_told"), UNDERSTOOD)
@pytest.mark.parametrize("form", ["{flag}|{value}", "{flag}={value}", "{dashed}|{value}"])
def test_a_flag_that_means_something_here_is_understood(told, flag, value, is_told, form):
    if "=" in form and not flag.startswith("--"):
        form = "{flag}{value}"
    argv = form.format(flag=flag, dashed=flag.replace("_", "-"), value=value).split("|")
    argv += ["-f", "srt"] if flag.startswith(("--max", "--highlight")) else []
    for line in (["transcribe", "x.wav", *argv], ["x.wav", *argv]):
        code, run, lines = told(*line)
        assert (code, lines) == (0, [])
        assert is_told(*run)


@pytest.mark.parametrize("action", [a for a in ACTIONS if set(a.option_strings) & NO_MEANING],
                         ids=lambda action: action.dest)  # fmt: skip
@pytest.mark.parametrize("dashed", [False, True])
def test_a_flag_without_meaning_is_told_in_one_line(told, action, dashed):
    (flag,) = action.option_strings
    given = flag.replace("_", "-") if dashed else flag
    plain = told("x.wav")[1][0]
    code, run, lines = told("x.wav", given, value_for(action))
    assert code == 0
    assert run[0] == plain
    assert lines == [f"{flag.replace('_', '-')} has no effect in whisperbatch and is ignored"]


def test_true_and_false_turn_options_on_and_off(monkeypatch):
    on_and_off = {"--condition-on-previous-text": "--no-condition-on-previous-text"}
    monkeypatch.setattr(legacy, "DECLARED", {"--beam-size": None, "--word-timestamps": "", **on_and_off})
    given = "x.wav --beam_size 3 --word_timestamps True --condition_on_previous_text False --word_timestamps=False"
    arguments, notices, _ = legacy.translate(given.split())
    assert arguments == ["transcribe", "x.wav", "--beam-size", "3", "--word-timestamps", *on_and_off.values()]
    assert notices == []


def test_their_longest_command_line_is_understood(told):
    line = (
        "x.wav --model small --language English --output_format srt --output_dir . --word_timestamps True "
        "--max_line_width 42 --max_line_count 2 --highlight_words False --fp16 False --beam_size 5 --threads 4"
    )
    code, (run, _), lines = told(*line.split())
    assert code == 0
    assert run.output.subtitles == SubtitleOptions(42, 2)
    assert [text.split()[0] for text in lines] == ["--threads"]
    assert run.decode.word_timestamps


# shaping on the commands


SHAPING = {
    "--subtitles": "asian", "--break-at": "words", "--max-line-width": "20", "--max-line-count": "3",
    "--max-words-per-line": "9", "--min-cue": "0.5", "--max-cue": "5", "--max-cps": "12",
}  # fmt: skip
SHAPED = SubtitleOptions(20, 3, 9, True, "words", 0.5, 5.0, 12.0, "wide")


@pytest.mark.parametrize("command", ["transcribe", "watch"])
def test_shaping_reaches_the_run(told, command):
    words = [word for pair in SHAPING.items() for word in pair]
    code, (run, _), _ = told(command, "x.wav" if command == "transcribe" else ".", *words, "--highlight-words")
    assert code == 0
    assert run.output.subtitles == SHAPED
    assert told(command, "x.wav" if command == "transcribe" else ".")[1][0].output.subtitles == SubtitleOptions()


def test_shaping_what_has_no_cues_is_told(told):
    assert told("x.wav", "--subtitles", "standard")[2] == [
        "subtitle options have no effect on txt, json; add --format srt, vtt or ass"
    ]
    assert told("x.wav", "--subtitles", "standard", "--format", "txt,vtt")[2] == []
    assert told("x.wav")[2] == []


@pytest.mark.parametrize(
    "given", [("--max-line-width", "0"), ("--min-cue", "nan"), ("--subtitles", "huge"), ("--break-at", "letters")]
)
def test_shaping_that_makes_no_sense_exits_2(told, given):
    code, run, lines = told("x.wav", *given)
    assert (code, run) == (2, None)
    assert any(given[0] in line for line in lines)


def test_the_api_takes_shaping_by_flat_names():
    flat = {flag[2:].replace("-", "_"): value for flag, value in SHAPING.items()}
    flat |= {name: int(flat[name]) for name in ("max_line_width", "max_line_count", "max_words_per_line")}
    flat |= {name: float(flat[name]) for name in ("min_cue", "max_cue", "max_cps")}
    assert api.run_options_from(**flat, highlight_words=True).output.subtitles == SHAPED
    assert api.run_options_from(subtitles="standard").output.subtitles == PRESETS["standard"]
    assert api.run_options_from(subtitles=SHAPED, max_cps=8.0).output.subtitles.max_cps == 8.0
    assert api.run_options_from().output.subtitles == SubtitleOptions()
    with pytest.raises(UsageError, match="unknown subtitles"):
        api.run_options_from(subtitles="huge")


def test_all_means_the_five_and_more_are_known():
    assert parse_formats(["all"]) == ALL_FORMATS == ("txt", "vtt", "srt", "tsv", "json")
    assert parse_formats(["all,ass", "lrc"]) == (*ALL_FORMATS, "ass", "lrc")
    assert set(FORMATS) - set(ALL_FORMATS) == {"lrc", "csv", "aud", "ass", "md", "docx", "rttm"}
    with pytest.raises(
        UsageError, match="choose from txt, vtt, srt, tsv, json, lrc, csv, aud, ass, md, docx, rttm or all"
    ):
        parse_formats(["odt"])


# convert


PIECES = " One two three four five, six seven eight. Nine ten eleven twelve.".split()
TALK = transcript_of(
    Segment(0, 6, " ".join(PIECES), words=tuple(Word(f" {p}", i / 2, i / 2 + 0.4, 1) for i, p in enumerate(PIECES)))
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ours.json").write_text(render(TALK, "json"))
    (tmp_path / "theirs.json").write_text(theirs(TALK, "json"))
    plain = transcript_of(Segment(0, 6, " Without any words."))
    (tmp_path / "plain.json").write_text(theirs(plain, "json"))
    return tmp_path


@pytest.mark.parametrize("stem", ["ours", "theirs"])
def test_convert_shapes_from_any_json(folder, stem):
    line = ["convert", f"{stem}.json", "--format", "srt,vtt", "--max_line_width", "12", "--max_line_count", "2"]
    assert app.run(line) == 0
    for name in ("srt", "vtt"):
        made = (folder / f"{stem}.{name}").read_text()
        assert made == theirs(TALK, name, max_line_width=12, max_line_count=2)
        assert made != theirs(TALK, name)


def test_convert_makes_every_format_and_preset(folder):
    assert app.run(["convert", "ours.json", "--format", ",".join(FORMATS), "--subtitles", "standard"]) == 0
    for name in FORMATS:
        assert (folder / f"ours.{name}").read_bytes() == encoded(render(TALK, name, PRESETS["standard"], title="ours"))
    assert "One two three four five, six seven eight.\n" in (folder / "ours.srt").read_text()
    assert "Nine ten eleven twelve.\n" in (folder / "ours.srt").read_text()


def test_convert_without_word_times_says_what_to_do_and_goes_on(folder, capfd):
    line = ["convert", "plain.json", "ours.json", "--format", "srt", "--subtitles", "standard"]
    assert app.run(line) == 1
    (told,) = [text for text in capfd.readouterr().err.splitlines() if "plain" in text]
    assert told.startswith("plain.json: its subtitles cannot be shaped, since the transcript has no word times; ")
    assert "--word-timestamps" in told
    assert not (folder / "plain.srt").exists()
    assert (folder / "ours.srt").exists()
    assert app.run(["convert", "plain.json", "--format", "srt", "--min-cue", "7"]) == 0
    assert "00:00:00,000 --> 00:00:07,000" in (folder / "plain.srt").read_text()


def test_convert_makes_two_transcripts_of_one_name_no_one_text(folder, capfd):
    for place, data in (("x", "ours.json"), ("y", "plain.json")):
        (folder / place).mkdir()
        (folder / data).rename(folder / place / "talk.json")
    for more in ([], ["--overwrite"]):
        line = ["convert", "x/talk.json", "y/talk.json", "--format", "txt", "-o", f"out{len(more)}", *more]
        assert app.run(line) == 1
        assert "was just written from another transcript" in capfd.readouterr().err
        assert (folder / f"out{len(more)}" / "talk.txt").read_text() == render(TALK, "txt")


def test_convert_does_nothing_where_a_name_is_wrong(folder, capfd):
    assert app.run(["convert", "ours.json", "gone.json", "plain.json", "--format", "srt"]) == 2
    assert "there is no file or folder gone.json" in capfd.readouterr().err
    assert not (folder / "ours.srt").exists()


@pytest.fixture
def tree(folder):
    """Transcripts in folders, one of them twice of a name, among JSON of other kinds."""
    for place in ("in/a/talk.json", "in/b/talk.json", "in/b/.hidden.json"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(render(TALK, "json"))
    (folder / "in" / "package.json").write_text('{"name": "x"}')
    (folder / "in" / "a" / "rows.json").write_text("[1, 2")
    (folder / "in" / "a" / "talk.wav").write_bytes(b"RIFF")
    return folder


def made_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.srt"))


def test_convert_takes_a_folder_and_keeps_its_tree(tree, capfd):
    assert app.run(["convert", "in", "--format", "srt", "-o", "out"]) == 0
    told = capfd.readouterr().err.splitlines()
    assert told == [
        "wrote out/a/talk.srt", "wrote out/b/talk.srt",
        "ignored 2 JSON files that are not transcripts, such as in/package.json"]  # fmt: skip
    assert made_below(tree) == ["out/a/talk.srt", "out/b/talk.srt"]
    assert app.run(["convert", "in", "--format", "srt"]) == 0
    assert "in/b/talk.srt" in made_below(tree)


@pytest.mark.parametrize("how", ["pattern", "list", "standard input", "nul"])
def test_convert_takes_patterns_and_lists(tree, monkeypatch, how, capfd):
    (tree / "list").write_bytes(b"in/a/talk.json\nin/b/talk.json\nin/b\n")
    (tree / "nul").write_bytes(b"in/a/talk.json\0in/b/talk.json\0")
    line = {"pattern": ["in/**/t*.json"], "list": ["--from-file", "list"], "standard input": ["-"],
            "nul": ["-0", "--from-file", "nul"]}[how]  # fmt: skip
    with (tree / "list").open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert app.run(["convert", *line, "--format", "srt", "-o", "out"]) == 0
    assert made_below(tree) == ["out/in/a/talk.srt", "out/in/b/talk.srt"]


def test_what_a_list_or_a_hand_names_has_to_be_a_transcript(tree, capfd):
    (tree / "list").write_text('in/package.json\nin/gone.json\n{"path": }\nin/a/talk.json\n')
    assert app.run(["convert", "--from-file", "list", "in/a/rows.json", "--format", "srt", "-o", "out"]) == 1
    told = capfd.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in told] == [
        "in/a/rows.json", "in/package.json", "in/gone.json", "list, line 3", "wrote out/in/a/talk.srt"]  # fmt: skip
    assert made_below(tree) == ["out/in/a/talk.srt"]


def test_convert_of_a_folder_without_transcripts_is_refused(tree, capfd):
    (tree / "none").mkdir()
    (tree / "none" / "x.json").write_text("{}")
    for line in (["none"], ["none", "--stdout"]):
        assert app.run(["convert", *line, "--format", "srt"]) == 2
        assert "no transcripts found" in capfd.readouterr().err
    assert app.run(["convert", "--format", "srt"]) == 2


def test_convert_of_a_folder_shows_one_line_on_a_terminal(tree, monkeypatch, capfd):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    (tree / "in" / "b" / "talk.srt").write_text("mine")
    assert app.run(["convert", "in", "--format", "srt,vtt"]) == 1
    told = capfd.readouterr().err
    assert "wrote " not in told
    assert "in/b/talk.json: in/b/talk.srt is in the way; use --overwrite to replace it" in told
    assert told.rstrip().endswith("1 converted, 1 failed; 2 files written")
    assert (tree / "in" / "b" / "talk.srt").read_text() == "mine"


def test_a_transcript_is_converted_once_however_it_is_reached(tree, capfd):
    assert app.run(["convert", "in/a/talk.json", "in", "in/b/../b/talk.json", "--format", "srt"]) == 0
    assert capfd.readouterr().err.count("wrote") == 2


def test_times_that_jump_back_are_put_in_order_and_it_is_said(folder, capfd):
    told = [{"start": start, "end": start + 1, "text": f" At {start}."} for start in (5, 7, 2)]
    (folder / "back.json").write_text(json.dumps({"segments": told}))
    assert app.run(["convert", "back.json", "ours.json", "--format", "srt,json,txt", "-o", "out"]) == 0
    said = [line for line in capfd.readouterr().err.splitlines() if "jump" in line]
    assert said == ["back.json: its times jump back in 1 place; the outputs are sorted by time"]
    assert (folder / "out" / "back.txt").read_text() == "At 2.\nAt 5.\nAt 7.\n"
    assert [one["start"] for one in json.loads((folder / "out" / "back.json").read_text())["segments"]] == [2, 5, 7]


def test_words_of_whisperx_keep_their_blanks(folder):
    words = [{"word": word, "start": i, "end": i + 1, "score": 0.9} for i, word in enumerate(["One", "two", "three."])]
    english = {"start": 0, "end": 3, "text": " One two three.", "words": words}
    words = [{"word": word, "start": i, "end": i + 1, "score": 0.9} for i, word in enumerate("日本語", start=4)]
    japanese = {"start": 4, "end": 7, "text": "日本語", "words": [*words, {"word": "。"}]}
    (folder / "x.json").write_text(json.dumps({"segments": [english, japanese]}))
    assert app.run(["convert", "x.json", "--format", "srt", "--max-words-per-line", "2"]) == 0
    assert (folder / "x.srt").read_text().splitlines()[2::4] == ["One two", "three.", "日本", "語。"]


def test_a_start_that_no_recording_has_fails_one_file_and_not_the_others(folder, capfd):
    (folder / "huge.json").write_text(json.dumps({"segments": [{"text": " a", "start": 1e308, "end": 2}]}))
    assert app.run(["convert", "huge.json", "ours.json", "--format", "vtt"]) == 1
    assert "this is not a transcript" in capfd.readouterr().err
    assert (folder / "ours.vtt").exists()


@pytest.mark.parametrize(
    ("more", "times"),
    [
        ({"end": 1e308}, "00:01.000 --> 00:01.000"),
        ({"end": 2, "words": [{"word": " a", "start": 1e99, "end": 1e99}]}, "00:01.000 --> 00:01.000"),
        ({"end": 2, "words": [{"word": " a", "start": 1.5, "end": 1e99}]}, "00:01.500 --> 00:01.500"),
    ],
)
def test_any_other_time_that_no_recording_has_counts_as_none(folder, more, times):
    (folder / "huge.json").write_text(json.dumps({"segments": [{"text": " a", "start": 1} | more]}))
    assert app.run(["convert", "huge.json", "--format", "vtt"]) == 0
    assert (folder / "huge.vtt").read_text().splitlines()[2:4] == [times, "a"]


def test_speakers_of_whisperx_come_through_convert(folder, capfdbinary):
    data = {"segments": [{"start": 0, "end": 1, "text": " Hi.", "speaker": "SPEAKER_01"}]}
    (folder / "x.json").write_text(json.dumps(data))
    assert app.run(["convert", "x.json", "--format", "txt", "--stdout"]) == 0
    assert capfdbinary.readouterr().out == b"[SPEAKER_01]: Hi.\n"
    assert read_json(json.dumps(data)).segments[0].speaker == "SPEAKER_01"
    assert math.isclose(read_json(json.dumps(data)).duration_s, 1.0)
