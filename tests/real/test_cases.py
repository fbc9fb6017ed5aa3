"""Small inputs that once showed faults, on OpenAI's base: what is right for each stands beside them.

``WHISPERBATCH_CASES`` names their folder, else ``shared/cases`` beside the repository is looked at.
"""

import json
import os
from pathlib import Path

import pytest

import real_speech
from whisperbatch import cli

CASES = Path(os.environ.get("WHISPERBATCH_CASES") or real_speech.REPOSITORY.parent / "shared" / "cases")
FIRST, SECOND = "arts and crafts represented in the exhibition", "took impressions from wood blocks"
pytestmark = [pytest.mark.real, pytest.mark.skipif(not CASES.is_dir(), reason=f"no folder {CASES}")]


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """The JSON of each case's recording, by its name."""
    target = tmp_path_factory.mktemp("cases")
    paths = sorted(path for path in CASES.iterdir() if path.suffix not in (".json", ".md"))
    command = ["transcribe", *map(str, paths), "--model", str(real_speech.weights() / "hf-base"), "--format", "json"]
    command += ["--no-journal", "--quiet", "--output-dir", str(target), "--relative-to", str(CASES), "--language", "en"]
    assert cli.main(command) == 0
    told = {}
    for path in paths:
        whole = target / f"{path.name}.json"
        told[path.name] = json.loads((whole if whole.exists() else target / f"{path.stem}.json").read_text())
    return told


def start_of(told: dict, words: str) -> float:
    """Where the first segment with these words begins."""
    return next(one["start"] for one in told["segments"] if words in one["text"])


@pytest.mark.parametrize("name", ["late.mkv", "late.mp4"])
def test_sound_that_starts_late_has_late_times(heard: dict[str, dict], name: str):
    assert heard[name]["segments"][0]["start"] == pytest.approx(4.1, abs=0.5)
    assert FIRST in heard[name]["text"]


@pytest.mark.parametrize("name", ["meeting.webm", "call.3gp"])
def test_a_muted_stretch_keeps_its_time_and_is_no_damage(heard: dict[str, dict], name: str):
    told = heard[name]
    assert FIRST in told["text"]
    assert start_of(told, "although the Chinese") == pytest.approx(29.5, abs=0.7)
    assert start_of(told, SECOND) > 29.5
    assert all(one["end"] < 11 or one["start"] > 28 for one in told["segments"])
    assert told["whisperbatch"]["warnings"] == []


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("inverted.flac", "left and right cancel each other out; the left channel was taken"),
        ("quiet.flac", "very quiet: peak at -55 dBFS"),
        ("two_tracks.mkv", "2 audio tracks: 1, 2; no speech was found in track 1, so track 2 was taken"),
    ],
)
def test_speech_that_was_missed_is_heard_and_told(heard: dict[str, dict], name: str, warning: str):
    assert FIRST in heard[name]["text"]
    assert heard[name]["segments"][0]["text"].strip().startswith("Printing, in the only sense")
    assert heard[name]["whisperbatch"]["warnings"] == [warning]


def test_a_format_without_a_magic_number_is_known_by_its_name(heard: dict[str, dict]):
    assert FIRST in heard["raw.g722"]["text"]
