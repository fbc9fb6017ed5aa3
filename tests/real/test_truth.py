"""On OpenAI's base and people's voices: nothing made up where nobody speaks, and as true in every type of number.

``tests/bench/compare_truth.py`` measures the same on all recordings and beside other programs; here a part has to hold.
"""

import functools
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile

import corpus
import real_speech
from whisperbatch import cli
from whisperbatch.records import SAMPLE_RATE

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import compare_truth

pytestmark = pytest.mark.real
MAX_WORSE = 0.02  # of the words; of so few recordings one word is a third of it
TYPES = ("bfloat16", "int8_bfloat16", "int8_float32")


def heard(recordings: list[real_speech.Spoken], target: Path, *options: str) -> dict[str, dict]:
    """The JSON of each recording."""
    model = real_speech.weights() / "hf-base"
    command = [
        "transcribe",
        *(str(one.path) for one in recordings),
        "--model",
        str(model),
        "--format",
        "json",
        "--quiet",
    ]
    command += ["--no-journal", "--output-dir", str(target), "--relative-to", str(real_speech.speech()), *options]
    assert cli.main(command) == 0
    return {one.name: json.loads((target / one.name).with_suffix(".json").read_text()) for one in recordings}


@functools.cache
def some() -> list[real_speech.Spoken]:
    """Short recordings of speech, one in fifteen of all languages."""
    spoken = [one for one in real_speech.recordings() if one.reference and one.kind != "nospeech" and one.seconds < 30]
    return spoken if corpus.WHOLE else spoken[::15]


@pytest.fixture(scope="module")
def in_float32(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    return heard(some(), tmp_path_factory.mktemp("float32"), "--compute-type", "float32")


def error_rate(told: dict[str, dict]) -> float:
    n_wrong, n_all = compare_truth.errors(told, some())
    return n_wrong / n_all


def test_nothing_unflagged_is_said_where_nobody_speaks(tmp_path: Path):
    silent = [one for one in real_speech.recordings() if one.kind == "nospeech"]
    assert len(silent) > 20
    told = heard(silent, tmp_path)
    made_up = {name: one["text"] for name, one in told.items() if one["text"].strip()}
    assert not [name for name in made_up if not told[name]["whisperbatch"]["suspects"]], made_up
    assert len(made_up) <= 1, made_up


@pytest.mark.parametrize("compute_type", TYPES)
def test_other_numbers_are_as_true_as_float32(tmp_path: Path, in_float32: dict[str, dict], compute_type: str):
    told = heard(some(), tmp_path, "--compute-type", compute_type)
    n_same = sum(told[name]["text"] == one["text"] for name, one in in_float32.items())
    rates = error_rate(told), error_rate(in_float32)
    print(f"{compute_type}: {n_same} of {len(told)} texts are float32's; {rates[0]:.2%} of words wrong, {rates[1]:.2%}")
    assert rates[0] <= rates[1] + MAX_WORSE
    assert n_same >= 0.6 * len(told)


def joined(recordings: Sequence[real_speech.Spoken], target: Path) -> Path:
    """One recording of several, with 0.6 s between them."""
    pause = np.zeros(SAMPLE_RATE * 6 // 10, np.int16)
    parts = [part for one in recordings for part in (corpus.read(one.path), pause)]
    soundfile.write(target, np.concatenate(parts), SAMPLE_RATE)
    return target


LATE = "en " * 18 + "de de"  # the clips that vote on a language are the five with most speech


@pytest.mark.parametrize("order", ["en en en de de de", "de de de en en en", "en de en de", "en en en de en en", LATE])
def test_each_language_of_a_recording_is_written_as_it_is_spoken(tmp_path: Path, order: str):
    read = {
        code: [one for one in real_speech.recordings() if (one.kind, one.language) == ("read", code)]
        for code in ("en", "de")
    }
    left = {code: iter([one for one in some if 6 < one.seconds < 12]) for code, some in read.items()}
    chosen = [next(left[code]) for code in order.split()]
    path = joined(chosen, tmp_path / "talk.wav")
    command = [
        "transcribe",
        str(path),
        "--model",
        str(real_speech.weights() / "hf-base"),
        "--format",
        "json",
        "--quiet",
    ]
    assert cli.main([*command, "--no-journal"]) == 0
    told = json.loads(path.with_suffix(".json").read_text())
    spoken = [one["language"] for one in told["segments"]]
    assert [code for code, _ in itertools.groupby(spoken)] == [code for code, _ in itertools.groupby(order.split())]
    assert any(warning.startswith("several languages: ") for warning in told["whisperbatch"]["warnings"])
    truth = jiwer.process_words(
        compare_truth.normal(" ".join(one.reference for one in chosen), "en"), compare_truth.normal(told["text"], "en")
    )
    print(f"{order}: {truth.wer:.1%} of words wrong")
    assert truth.wer < 0.2
