"""On OpenAI's base and people's voices: nothing made up where nobody speaks, and as true in every type of number.

``tests/bench/compare_truth.py`` measures the same on all recordings and beside other programs; here a part has to hold.
"""

import functools
import json
import sys
from pathlib import Path

import corpus
import pytest
import real

from whisperbatch import cli

sys.path.insert(0, str(Path(__file__).resolve().parent / "bench"))

import compare_truth

pytestmark = pytest.mark.real
MAX_WORSE = 0.02  # of the words; of so few recordings one word is a third of it
TYPES = ("bfloat16", "int8_bfloat16", "int8_float32")


def heard(recordings: list[real.Spoken], target: Path, *options: str) -> dict[str, dict]:
    """The JSON of each recording."""
    model = real.weights() / "hf-base"
    command = [
        "transcribe",
        *(str(one.path) for one in recordings),
        "--model",
        str(model),
        "--format",
        "json",
        "--quiet",
    ]
    command += ["--no-journal", "--output-dir", str(target), "--relative-to", str(real.speech()), *options]
    assert cli.main(command) == 0
    return {one.name: json.loads((target / one.name).with_suffix(".json").read_text()) for one in recordings}


@functools.cache
def some() -> list[real.Spoken]:
    """Short recordings of speech, one in fifteen of all languages."""
    spoken = [one for one in real.recordings() if one.reference and one.kind != "nospeech" and one.seconds < 30]
    return spoken if corpus.WHOLE else spoken[::15]


@pytest.fixture(scope="module")
def in_float32(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    return heard(some(), tmp_path_factory.mktemp("float32"), "--compute-type", "float32")


def error_rate(told: dict[str, dict]) -> float:
    n_wrong, n_all = compare_truth.errors(told, some())
    return n_wrong / n_all


def test_nothing_unflagged_is_said_where_nobody_speaks(tmp_path: Path):
    silent = [one for one in real.recordings() if one.kind == "nospeech"]
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
