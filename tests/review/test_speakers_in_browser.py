"""Speakers on the review page, in a real browser: rename, merge, move, save, convert."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from browser import axe, opened
from review_pages import ATTACK, css, downloaded, record, spoken, until
from whisperbatch.cli import main
from whisperbatch.options import read_rules
from whisperbatch.records import Segment, Speaker, Transcript, Turn, Word
from whisperbatch.replacements import corrected, restored
from whisperbatch.writers import read_json, render

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of selenium's sockets
]

WHO = (0, 1, 0, 2, 1, 0)  # who says each segment, two seconds long
LABELS = ("SPEAKER_00", "SPEAKER_01", ATTACK)


def conversation() -> Transcript:
    segments = tuple(spoken(2.0 * k, ["so", "it", "is"], speaker=LABELS[who]) for k, who in enumerate(WHO))
    turns = tuple(Turn(2.0 * k, 2.0 * k + 2.0 + 0.5 * (k == 0), who, 0.5) for k, who in enumerate(WHO))
    seconds = [sum(turn.end_s - turn.start_s for turn in turns if turn.speaker == who) for who in range(3)]
    speakers = tuple(Speaker(label, n, 0.5) for label, n in zip(LABELS, seconds, strict=True))
    return Transcript("en", segments, 12.0, speakers=speakers, turns=turns, speaker_settings={"min_speakers": None})


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    record(folder / "talk.wav", 12.0)
    (folder / "talk.json").write_text(render(conversation(), "json"))
    assert main(["review", str(folder), "--output", str(folder / "review.html")]) == 0
    return folder


@pytest.fixture(scope="module")
def started(desk: Path) -> Iterator[Any]:
    with opened(desk) as browser:
        yield browser


@pytest.fixture
def page(started: Any, desk: Path) -> Iterator[Any]:
    started.execute_script(
        "if (typeof files !== 'undefined') files.forEach((one) => { one.names.clear(); one.moves.clear(); })"
    )
    started.get((desk / "review.html").as_uri())
    css(started, "#files button")[0].click()
    yield started
    assert started.get_log("browser") == []
    assert started.execute_script("return window.hacked") is None


def who(page: Any) -> list[str]:
    return [one.text.removesuffix(":") for one in css(page, "#segments .who")]


def colours(page: Any) -> list[str]:
    return page.execute_script(
        "return [...document.querySelectorAll('#segments .who')].map((one) => getComputedStyle(one).color)"
    )


def rename(page: Any, number: int, name: str) -> None:
    field = css(page, "#speakers input")[number]
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(name, Keys.TAB)


def move(page: Any, index: int, name: str) -> None:
    css(page, "#segments .who")[index].click()
    Select(css(page, "#segments select.who")[0]).select_by_visible_text(name)


def saved(page: Any, desk: Path) -> Transcript:
    file = desk / "talk.corrected.json"
    file.unlink(missing_ok=True)
    css(page, "#save")[0].click()
    assert until(file.exists)
    return read_json(file.read_bytes())


def test_each_speaker_has_a_colour_and_a_field(page: Any):
    assert who(page) == [LABELS[one] for one in WHO]
    shown = colours(page)
    assert len(set(shown)) == 3
    assert [shown.index(one) for one in shown] == [0, 1, 0, 3, 1, 0]
    assert [one.get_attribute("value") for one in css(page, "#speakers input")] == list(LABELS)
    assert [one.text for one in css(page, "#speakers .count")] == ["3 segments", "2 segments", "1 segment"]
    assert not css(page, "#save")[0].is_enabled()


def test_a_speaker_is_renamed_once_for_all(page: Any, desk: Path):
    before = colours(page)
    rename(page, 0, "  Ann   Lee ")
    assert who(page) == ["Ann Lee", "SPEAKER_01", "Ann Lee", ATTACK, "SPEAKER_01", "Ann Lee"]
    assert colours(page) == before
    assert "not saved" in css(page, "#files .why")[0].text
    found = saved(page, desk)
    assert [one.speaker for one in found.segments] == who(page)
    assert {word.speaker for word in found.segments[0].words or ()} == {None}  # as it was: the segment says it
    assert [one.label for one in found.speakers or ()] == ["Ann Lee", "SPEAKER_01", ATTACK]
    assert found.turns == conversation().turns
    made = desk / "made"
    assert main(["convert", str(desk / "talk.corrected.json"), "--format", "txt,rttm", "-o", str(made)]) == 0
    assert (made / "talk.corrected.txt").read_text().startswith("[Ann Lee]: so it is\n[SPEAKER_01]: ")
    assert (made / "talk.corrected.rttm").read_text().count(" Ann_Lee <NA>") == 3


def test_two_speakers_are_merged_by_name_or_choice(page: Any, desk: Path):
    rename(page, 1, "SPEAKER_00")
    assert who(page) == ["SPEAKER_00", "SPEAKER_00", "SPEAKER_00", ATTACK, "SPEAKER_00", "SPEAKER_00"]
    rename(page, 0, "Ann")
    Select(css(page, "#speakers select")[1]).select_by_visible_text("Ann")
    assert set(who(page)) == {"Ann"}
    assert len(set(colours(page))) == 1
    assert css(page, "#speakers select") == []
    found = saved(page, desk)
    assert [(one.label, one.seconds) for one in found.speakers or ()] == [("Ann", 12.5)]
    assert {turn.speaker for turn in found.turns} == {0}
    block = json.loads((desk / "talk.corrected.json").read_text())["whisperbatch"]
    assert block["overlaps"] == []
    assert {turn["speaker"] for turn in block["turns"]} == {"Ann"}


def test_a_segment_is_moved_to_another_speaker_and_its_turn_with_it(page: Any, desk: Path):
    move(page, 3, "SPEAKER_01")
    move(page, 5, "new speaker")
    rename(page, 1, "Bob")
    assert who(page) == ["SPEAKER_00", "Bob", "SPEAKER_00", "Bob", "Bob", "SPEAKER_02"]
    found = saved(page, desk)
    assert [one.speaker for one in found.segments] == who(page)
    labels = [one.label for one in found.speakers or ()]
    assert labels == ["SPEAKER_00", "Bob", "SPEAKER_02"]
    assert [(turn.start_s, labels[turn.speaker]) for turn in found.turns] == [
        (2.0 * k, name) for k, name in enumerate(who(page))
    ]


def test_a_move_that_is_taken_back_changes_nothing(page: Any):
    move(page, 0, "SPEAKER_01")
    move(page, 0, "SPEAKER_00")
    css(page, "#segments .who")[1].click()
    css(page, "#segments select.who")[0].send_keys(Keys.ESCAPE)
    assert who(page) == [LABELS[one] for one in WHO]
    assert not css(page, "#save")[0].is_enabled()


def test_a_correction_and_a_speaker_go_together(page: Any, desk: Path):
    move(page, 1, "SPEAKER_00")
    css(page, "#segments .edit")[1].click()
    area = css(page, "#editor")[0]
    area.clear()
    area.send_keys("and now", Keys.CONTROL, Keys.ENTER)
    found = saved(page, desk)
    assert (found.segments[1].text, found.segments[1].speaker) == (" and now", "SPEAKER_00")


def test_documents_have_the_speakers_as_they_are_now(page: Any, desk: Path):
    rename(page, 0, "Ann Lee")
    move(page, 3, "Ann Lee")
    text = downloaded(page, desk / "talk.md", "Markdown").decode()
    assert "Ann Lee" in text
    assert "SPEAKER_00" not in text
    assert "hacked" not in text  # nobody is the third speaker any more


def test_words_before_replacements_have_the_new_names_too(tmp_path: Path):
    words = tuple(Word(f" {word}", k, k + 1.0, 0.9, "SPEAKER_00") for k, word in enumerate(["he", "sees"]))
    data = replace(conversation(), segments=(Segment(0.0, 2.0, " he sees", words=words, speaker="SPEAKER_00"),))
    place = tmp_path / "audio"
    place.mkdir()
    record(place / "talk.wav", 12.0)
    rules = tmp_path / "names.txt"
    rules.write_text("sees -> seas")
    (place / "talk.json").write_text(render(corrected(data, read_rules([rules])), "json"))
    assert main(["review", str(place), "--output", str(place / "review.html")]) == 0
    with opened(place) as browser:
        browser.get((place / "review.html").as_uri())
        css(browser, "#files button")[0].click()
        rename(browser, 0, "Ann")
        found = saved(browser, place)
    assert found.text == " he seas"
    undone = restored(found)
    assert undone.text == " he sees"
    assert {word.speaker for word in undone.segments[0].words or ()} == {"Ann"}


@pytest.mark.parametrize("is_dark", [False, True])
def test_nothing_serious_for_those_who_cannot_see_well(desk: Path, tmp_path: Path, is_dark: bool):
    source = axe(tmp_path)
    with opened(tmp_path, is_dark=is_dark) as browser:
        browser.get((desk / "review.html").as_uri())
        css(browser, "#files button")[0].click()
        for step in ("0", "document.querySelectorAll('#segments .who')[1].click()"):
            browser.execute_script(f"{step}; return 0")
            browser.execute_script(source)
            found = browser.execute_async_script("axe.run().then((told) => arguments[0](told.violations))")
            assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
