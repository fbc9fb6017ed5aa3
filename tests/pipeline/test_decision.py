"""What a run does with a file: a table of cases for the pure functions that decide it."""

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from whisperbatch.journal import Entry, Key, State
from whisperbatch.outputs.existing import OutputSet
from whisperbatch.pipeline.decision import (
    Decision,
    Known,
    NameFacts,
    Wishes,
    decide_from_disk,
    decide_from_journal,
    with_name,
)
from whisperbatch.records import Transcript

TABLE = Path(__file__).with_name("cases") / "decisions.toml"
CASES = tomllib.loads(TABLE.read_text(encoding="utf-8"))["case"]
T = Transcript("en", (), duration_s=2.0)
PATHS = ("outputs", "kept", "there", "ours", "stale", "proven", "complete")


def values(told: dict[str, Any]) -> dict[str, Any]:
    """A case's values as the records have them."""
    return {
        name: T if value == "T" else tuple(map(Path, value)) if name in PATHS else value for name, value in told.items()
    }


def entry_of(told: dict[str, Any]) -> Entry:
    blank = dict.fromkeys((field.name for field in fields(Entry)), None)
    made = blank | {"key": Key(Path("/a/talk.wav"), Path("/a")), "outputs": (), "changed": 0.0} | told
    return Entry(**made | {"state": State(told["state"]), "is_permanent": told.get("is_permanent", False)})


def name_of(told: dict[str, Any]) -> NameFacts:
    found = OutputSet(T, **values(told["found"])) if "found" in told else None
    return NameFacts(**values({name: value for name, value in told.items() if name != "found"}), found=found)


@pytest.mark.parametrize("case", CASES, ids=[case["title"] for case in CASES])
def test_a_file_is_decided_on_as_the_table_says(case: dict[str, Any]):
    wishes = Wishes(**case.get("wishes", {}))
    if "entry" in case:
        decision = decide_from_journal(Known(entry_of(case["entry"]), **values(case.get("known", {}))), wishes)
    else:
        decision = decide_from_disk(map(name_of, case["names"]), wishes)
    assert decision == (Decision(**values(case["decision"])) if case["decision"] else None)


def test_every_case_has_a_title_of_its_own():
    titles = [case["title"] for case in CASES]
    assert len(titles) == len(set(titles)) > 30


def test_names_are_looked_at_only_until_one_decides():
    looked_at = []

    def names():
        for base in ("talk", "talk.wav", "more"):
            looked_at.append(base)
            yield NameFacts(base, found=OutputSet(T, is_complete=True) if base == "talk.wav" else None)

    decision = decide_from_disk(names(), Wishes())
    assert decision is not None
    assert (decision.base, looked_at) == ("talk.wav", ["talk", "talk.wav"])


def test_a_transcript_to_reuse_gets_the_name_that_the_disk_leaves():
    reused, named = (
        Decision(reuse=T, content="c"),
        Decision(skip="there", base="talk.wav", kept=(Path("talk.wav.txt"),)),
    )
    assert with_name(reused, named) == Decision(reuse=T, content="c", base="talk.wav", kept=(Path("talk.wav.txt"),))
