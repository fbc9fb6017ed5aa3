"""The review page in a real browser: listening, sorting, filtering, correcting; nothing asked of the network."""

import io
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docx
import pytest

from browser import axe, opened, requests
from review_pages import ATTACK, css, downloaded, record, spoken, until
from whisperbatch.cli import main
from whisperbatch.records import DAMAGED, Segment, Transcript, Word
from whisperbatch.review import link_into
from whisperbatch.writers import read_json, render

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of selenium's sockets
]

N_SEGMENTS = 12
STATES = (
    "",
    "show(shown[2])",
    "edit(3)",
    "byId('editor').value = 'x'; leaveEditor()",
    "show(shown[1])",
    "document.querySelector('footer details').open = true",
)
TEXT = "the harbour lay quiet under a pale morning sky".split()


def transcripts() -> dict[str, Transcript]:
    clear = [spoken(2.0 * k, TEXT) for k in range(N_SEGMENTS)]
    doubtful = [*clear[:3], spoken(6.0, ["ravens", "call"], 0.1, avg_logprob=-1.6), *clear[4:]]
    asked = {"speech_s": 24.0, "language_probability": 0.99, "model": "demo"}
    return {
        "b clear.wav": Transcript("en", tuple(clear), 24.0, covered_s=24.0, **asked),
        "c doubtful.wav": Transcript("en", tuple(doubtful), 24.0, covered_s=23.5, **asked),
        "a missing.wav": Transcript("en", tuple(clear[:6]), 24.0, covered_s=12.0, **asked),
        f"{ATTACK.replace('/', '_')}.wav": Transcript(
            "en", (Segment(0.0, 2.0, f" {ATTACK}", speaker=ATTACK),), 24.0, warnings=(f"{DAMAGED}{ATTACK}",)
        ),
        "e people.wav": Transcript("de", people(), 24.0, **asked),
        "d #1 100%.wav": Transcript("zh", (Segment(0.0, 2.0, "今天天气很好。", words=han()),), 24.0),
    }


def people() -> tuple[Segment, ...]:
    """Turns, pauses, long paragraphs, marks of Markdown and of XML, a speaker within a segment."""
    long = [
        spoken(30.0 + 2 * k, ["Das", "ist", "ein", "Satz", "von", "z.B.", "Dr.", "Who,", "oder."]) for k in range(40)
    ]
    return (
        spoken(0.0, ["#", "Hello", "*you*", "<b>", "&amp;", "a_b", "_c_"], 0.4, speaker="A_1"),
        spoken(3.0, ["1.", "First"], speaker="B"), spoken(5.0, ["2)", "second", "#"], speaker="B"),
        replace(spoken(9.0, ["x", "y"]), words=(Word(" x", 9.0, 9.5, 0.9, "A_1"), Word(" y", 9.5, 10.0, 0.9, "B"))),
        *long, Segment(3_700.0, 3_701.0, " "), Segment(3_725.5, 3_726.0, " Ende\x0b\x01", channel="left"),
    )  # fmt: skip


def han() -> tuple[Word, ...]:
    parts = ("今天", "天气", "很好。")
    return tuple(Word(part, 0.5 * k, 0.5 * k + 0.5, 0.9) for k, part in enumerate(parts))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recordings and transcripts, and their page."""
    folder = tmp_path_factory.mktemp("desk")
    for name, found in transcripts().items():
        record(folder / name, 24.0)
        (folder / f"{name}.json").write_text(render(found, "json"))
    assert main(["review", str(folder), "--output", str(folder / "review.html")]) == 0
    return folder


@pytest.fixture(scope="module")
def started(desk: Path) -> Iterator[Any]:
    with opened(desk) as browser:
        yield browser


def clear(browser: Any) -> None:
    """Take back what a test has left in the page, which would ask whether to be left."""
    browser.execute_script(
        "if (typeof files !== 'undefined') {"
        "leaveEditor(); localStorage.clear();"
        "files.forEach((one) => [one.edits, one.names, one.moves].forEach((map) => map.clear())); }"
    )


@pytest.fixture
def page(started: Any, desk: Path) -> Iterator[Any]:
    """The page, opened afresh; whatever a test did, nothing was complained of and nothing asked of a network."""
    clear(started)
    started.get((desk / "review.html").as_uri())
    yield started
    assert started.get_log("browser") == []
    asked = requests(started)
    assert asked, "the log tells of no request at all"
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}
    assert started.execute_script("return window.hacked") is None


PLAYER = "const a = document.querySelector('audio'); return [a.paused, a.readyState, a.seeking, a.currentTime]"


def names(page: Any) -> list[str]:
    return page.execute_script("return [...document.querySelectorAll('#files .name')].map(e => e.textContent[0])")


def choose(page: Any, control: str, value: str) -> None:
    css(page, f"#{control} option[value={value}]")[0].click()


def show(page: Any, start: str) -> None:
    next(button for button in css(page, "#files button") if button.text.startswith(start)).click()
    assert until(lambda: page.execute_script("return document.querySelector('audio').readyState")) >= 1


def at_s(page: Any) -> float:
    return page.execute_script("return document.querySelector('audio').currentTime")


def now(page: Any) -> int:
    return page.execute_script("return Number(document.querySelector('#segments .now')?.dataset.index ?? -1)")


def press(page: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(page).send_keys(*keys).perform()


def test_a_click_moves_the_player_and_it_follows(page: Any):
    show(page, "b")
    css(page, "#segments .time")[4].click()
    assert until(lambda: at_s(page) > 8.0)
    assert 8.0 <= at_s(page) < 10.0
    assert now(page) == 4
    assert until(lambda: now(page) == 5)  # it plays on, and the mark goes with it
    assert at_s(page) >= 10.0
    css(page, "#segments li:nth-child(2) .text span")[6].click()
    word_s = transcripts()["b clear.wav"].segments[1].words[6].start_s
    assert until(lambda: word_s <= at_s(page) < word_s + 1.5)


def test_a_step_away_and_back_before_the_player_is_there_does_not_stop_it(page: Any):
    show(page, "b")
    assert until(lambda: page.execute_script("return document.querySelector('audio').readyState") == 4)
    page.execute_script("go(1, false); go(2, false); go(1, true)")
    assert until(lambda: 2.2 < at_s(page) < 4.0), page.execute_script(PLAYER)
    page.execute_script("audio().pause(); go(1, false); skip(3); skip(3); skip(-1)")
    assert until(lambda: at_s(page) == 7.0 and now(page) == 3), page.execute_script(PLAYER)


def test_doubts_come_first_and_lead_to_their_place(page: Any):
    assert names(page) == ["a", "<", "c", "b", "d", "e"]
    show(page, "c")
    reason = next(one for one in css(page, ".reasons li") if "log-probability" in one.text.lower())
    reason.find_element("css selector", "button").click()
    assert until(lambda: now(page) == 3)
    assert [one.text for one in css(page, "#segments mark")] == ["ravens", "call"]


def test_sorting_filtering_and_searching(page: Any):
    choose(page, "sort", "path")
    assert names(page) == ["<", "a", "b", "c", "d", "e"]
    choose(page, "sort", "coverage")
    assert names(page)[0] == "a"
    choose(page, "sort", "logprob")
    assert names(page)[0] == "c"
    choose(page, "filter", "coverage")
    assert names(page) == ["a"]
    choose(page, "filter", "damage")
    assert names(page) == ["<"]
    choose(page, "filter", "all")
    css(page, "#search")[0].send_keys("RAVENS")
    assert until(lambda: names(page) == ["c"])
    assert css(page, "#count")[0].text == "1 of 6 files"


def test_hostile_names_and_texts_are_shown_and_do_nothing(page: Any):
    show(page, "<")
    assert css(page, "h2")[0].text == f"{ATTACK.replace('/', '_')}.wav"
    assert css(page, "#segments .text")[0].text == f"{ATTACK}: {ATTACK}"
    assert ATTACK in css(page, ".reasons")[0].text
    assert css(page, "img") == []


def correct(page: Any, index: int, text: str) -> None:
    from selenium.webdriver import Keys

    css(page, "#segments .edit")[index].click()
    area = css(page, "#editor")[0]
    area.clear()
    area.send_keys(text)
    area.send_keys(Keys.CONTROL + Keys.ENTER)
    assert css(page, "#editor") == []


def saved(page: Any, folder: Path, name: str) -> Path:
    file = folder / f"{name}.corrected.json"
    file.unlink(missing_ok=True)
    css(page, "#save")[0].click()
    assert until(file.exists)
    return file


@pytest.mark.parametrize("stem", ["c doubtful", "d #1 100%", "e people"])
def test_documents_are_those_that_convert_makes(page: Any, desk: Path, stem: str):
    show(page, stem[0])
    if stem[0] == "c":
        correct(page, 3, "Two *ravens* called & left")
    corrected = read_json((saved(page, desk, stem) if stem[0] == "c" else desk / f"{stem}.wav.json").read_bytes())
    assert downloaded(page, desk / f"{stem}.md", "Markdown").decode() == render(corrected, "md", title=stem)
    ours, theirs = (
        [[(run.style.name, run.text) for run in one.runs] for one in docx.Document(io.BytesIO(data)).paragraphs]
        for data in (render(corrected, "docx", title=stem), downloaded(page, desk / f"{stem}.docx", "Word"))
    )
    assert [joined(one) for one in theirs] == [joined(one) for one in ours]


def joined(runs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Runs with those of a style that follow each other as one."""
    groups = itertools.groupby(runs, key=lambda run: run[0])
    return [(style, "".join(text for _, text in group)) for style, group in groups]


def test_a_correction_is_saved_and_rendered(page: Any, desk: Path):
    show(page, "c")
    assert not css(page, "#save")[0].is_enabled()
    correct(page, 3, "Two ravens called")
    correct(page, 4, "the harbour lay very still, under a pale morning sky")
    assert "2 corrected, not saved" in css(page, "#files [aria-current]")[0].text
    file = saved(page, desk, "c doubtful")
    before, after = json.loads((desk / "c doubtful.wav.json").read_text()), json.loads(file.read_text())
    assert list(after) == list(before)
    assert after["whisperbatch"] == before["whisperbatch"]
    same = [k for k in range(N_SEGMENTS) if after["segments"][k] == before["segments"][k]]
    assert same == [k for k in range(N_SEGMENTS) if k not in (3, 4)]
    assert after["text"] == "".join(one["text"] for one in after["segments"])
    for index in (3, 4):
        words, whole = after["segments"][index]["words"], after["segments"][index]
        assert "".join(word["word"] for word in words) == whole["text"]
        times = [time_s for word in words for time_s in (word["start"], word["end"])]
        assert times == sorted(times)
        assert whole["start"] <= times[0] and times[-1] <= whole["end"]
    kept = {word["word"]: word for word in before["segments"][4]["words"]}
    assert [word for word in after["segments"][4]["words"] if word["word"] == " pale"] == [kept[" pale"]]
    plain, shaped = desk / "plain", desk / "shaped"
    assert main(["convert", str(file), "--format", "txt,srt", "-o", str(plain)]) == 0
    shaping = ["--max-words-per-line", "2"]
    assert main(["convert", str(file), "--format", "srt", "-o", str(shaped), *shaping]) == 0
    texts = [one.read_text() for one in (*plain.iterdir(), *shaped.iterdir())]
    assert len(texts) == 3
    for text in texts:
        spoken_now = " ".join(line for line in text.split("\n") if line and "-->" not in line and not line.isdigit())
        assert "Two ravens called the harbour lay very still, under a pale" in spoken_now
        assert "ravens call " not in spoken_now


def test_a_correction_in_a_script_without_blanks(page: Any, desk: Path):
    show(page, "d")
    correct(page, 0, "明天天气很好。")
    (segment,) = read_json(saved(page, desk, "d #1 100%").read_bytes()).segments
    assert segment.text == "明天天气很好。"
    assert segment.words is not None
    assert "".join(word.word for word in segment.words) == segment.text
    assert [word.word for word in segment.words][-1].endswith("。")
    assert len(segment.words) > 1
    assert [word.start_s for word in segment.words if word.word == "天气"] == [0.5]


def exported(page: Any, folder: Path) -> str:
    file = folder / "corrections.txt"
    file.unlink(missing_ok=True)
    css(page, "#export")[0].click()
    assert until(file.exists)
    return file.read_text()


def test_what_was_corrected_twice_is_exported_as_rules_that_convert_reads(page: Any, desk: Path, tmp_path: Path):
    assert not css(page, "#export")[0].is_displayed()
    show(page, "b")
    correct(page, 0, "The Harbour lay quite, under a pale morning sky")
    assert css(page, "#export")[0].text == "Export corrections (none made twice)"
    assert not css(page, "#export")[0].is_enabled()
    correct(page, 1, "the Harbour lay quite under a pale sky")
    show(page, "c")
    correct(page, 2, "the Harbour lay quiet under a pale sky")
    correct(page, 4, "the quay lay quiet under a light morning")
    show(page, "a")
    correct(page, 3, "the harbour lay quiet under a bright morning sky")
    correct(page, 4, "the quay lay quiet under a bright morning sky")
    correct(page, 5, "the haven lay quiet under a pale morning sky")
    show(page, "b")
    correct(page, 2, "the haven lay quiet under a pale morning sky")
    assert css(page, "#export")[0].text == "Export corrections (6)"
    head, *lines = exported(page, desk).splitlines()
    assert head.startswith("# ")
    assert sorted(lines[1:]) == sorted(
        [
            *("# harbour -> Harbour", "# harbour -> haven", "# harbour -> quay"),
            *("morning ->", "pale -> bright", "quiet -> quite"),
        ]
    )
    assert lines[0] == "[en]"  # there is Chinese on the page too
    rules = ["--replace", str(desk / "corrections.txt")]
    file = desk / "b clear.wav.json"
    assert main(["convert", str(file), "--format", "txt", "-o", str(tmp_path), *rules]) == 0
    assert (tmp_path / "b clear.wav.txt").read_text() == "the harbour lay quite under a bright sky\n" * N_SEGMENTS


def test_a_correction_of_a_replaced_text_is_not_undone_with_the_rules(desk: Path, tmp_path: Path, started: Any):
    (tmp_path / "names.txt").write_text("quiet -> calm\n")
    rules = ["--replace", str(tmp_path / "names.txt")]
    talk = tmp_path / "talk.json"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "talk.json").write_text((desk / "b clear.wav.json").read_text())
    assert main(["convert", str(tmp_path / "b" / "talk.json"), "--format", "json", "-o", str(tmp_path), *rules]) == 0
    assert read_json(talk.read_bytes()).segments[0].original is not None
    assert main(["review", str(talk), "--output", str(tmp_path / "review.html")]) == 0
    clear(started)
    started.get((tmp_path / "review.html").as_uri())
    next(button for button in css(started, "#files button") if button.text.startswith("talk")).click()
    correct(started, 0, "the harbour lay very calm under a pale morning sky")
    after = json.loads(saved(started, desk, "talk").read_text())
    assert [("original" in one, "original_words" in one) for one in after["segments"][:2]] == [
        (False, False),
        (True, True),
    ]
    assert all("original" not in word for word in after["segments"][0]["words"])
    (tmp_path / "empty.txt").write_text("")
    file, undo = desk / "talk.corrected.json", ["--replace", str(tmp_path / "empty.txt")]
    assert main(["convert", str(file), "--format", "txt", "-o", str(tmp_path), *undo]) == 0
    first, second, *_ = (tmp_path / "talk.corrected.txt").read_text().splitlines()
    assert first == "the harbour lay very calm under a pale morning sky"
    assert second == "the harbour lay quiet under a pale morning sky"


def test_a_correction_dropped_or_taken_back_changes_nothing(page: Any):
    from selenium.webdriver import Keys

    show(page, "b")
    was = css(page, "#segments .text")[0].text
    css(page, "#segments .edit")[0].click()
    css(page, "#editor")[0].send_keys("more" + Keys.ESCAPE)
    assert css(page, "#segments .text")[0].text == was
    correct(page, 0, "other")
    correct(page, 0, was)
    assert not css(page, "#save")[0].is_enabled()
    css(page, "#segments .edit")[0].click()
    css(page, "#editor")[0].send_keys(" and more")
    show(page, "c")  # an open editor is kept, not lost
    show(page, "b")
    assert css(page, "#segments .text")[0].text == f"{was} and more"
    correct(page, 0, was)


def test_the_first_in_doubt_is_open_and_the_page_has_a_title_of_its_own(page: Any, desk: Path):
    assert css(page, "h1")[0].text == f"Transcripts in {desk.name}"
    assert page.title == f"a missing.wav – Transcripts in {desk.name}"
    assert css(page, "#files [aria-current]")[0].text.startswith("a missing")
    assert page.execute_script("return document.activeElement === document.body")  # which keys still scroll
    assert page.execute_script("return document.querySelector('audio').paused")


def test_a_link_opens_the_page_at_a_second_of_a_transcript(page: Any, desk: Path):
    page.get("about:blank")  # else only what stands behind # would change
    page.get(link_into(desk / "review.html", desk / "d #1 100%.wav.json", 1.2))
    assert css(page, "#files [aria-current]")[0].text.startswith("d #1 100%")
    assert until(lambda: at_s(page) >= 1.2) and at_s(page) < 4.0
    assert now(page) == 0
    page.get(link_into(desk / "review.html", Path("/elsewhere/b clear.wav.json"), 9.0))  # the page was moved
    assert until(lambda: css(page, "#files [aria-current]")[0].text.startswith("b clear"))
    assert until(lambda: at_s(page) >= 9.0 and now(page) >= 4)
    page.get(link_into(desk / "review.html", Path("/elsewhere/none.json"), 3.0))
    assert until(
        lambda: (
            css(page, "#announcement")[0].get_attribute("textContent") == "/elsewhere/none.json is not on this page."
        )
    )
    assert css(page, "#files [aria-current]")[0].text.startswith("b clear")


def test_missing_speech_is_named_by_its_times_which_play(page: Any):
    show(page, "a")
    span = next(one for one in css(page, ".reasons button") if "–" in one.text)
    assert span.text == "0:12–0:24"
    span.click()
    assert until(lambda: 12.0 < at_s(page) < 14.0), page.execute_script(PLAYER)
    assert not page.execute_script("return document.querySelector('audio').paused")


def test_what_is_checked_stays_so_in_the_browser_and_in_the_saved_file(page: Any, desk: Path, tmp_path: Path):
    show(page, "a")
    assert css(page, "#next")[0].text == "Next in doubt (3 left)"
    assert not css(page, "#save")[0].is_enabled()
    css(page, "#checked")[0].click()
    assert css(page, "#files [aria-current] .why")[0].text == "checked"
    css(page, "#next")[0].click()
    assert css(page, "h2")[0].text.startswith("<")
    press(page, "c", "d")
    assert css(page, "h2")[0].text.startswith("c")
    assert css(page, "#next")[0].text == "Next in doubt (1 left)"
    assert not css(page, "#next")[0].is_enabled()  # this one is the last
    page.refresh()
    assert css(page, "h2")[0].text.startswith("c")  # the first that is still to be checked
    choose(page, "filter", "checked")
    assert names(page) == ["a", "<"]
    choose(page, "filter", "unchecked")
    assert names(page) == ["c"]
    page.execute_script("show(files.find((one) => one.entry.name.startsWith('a')))")
    file = saved(page, desk, "a missing")
    before, after = json.loads((desk / "a missing.wav.json").read_text()), json.loads(file.read_text())
    assert after["whisperbatch"] == before["whisperbatch"] | {"checked": True}
    assert after["segments"] == before["segments"]
    file = file.rename(tmp_path / file.name)
    assert main(["review", str(file), "--output", str(tmp_path / "page.html")]) == 0
    page.get((tmp_path / "page.html").as_uri())
    assert css(page, "#checked")[0].is_selected()
    css(page, "#checked")[0].click()  # and can be taken back
    page.refresh()
    assert not css(page, "#checked")[0].is_selected()


def test_another_text_is_not_taken_for_the_one_that_was_checked(desk: Path, tmp_path: Path, started: Any):
    page, words = tmp_path / "page.html", ("one", "two")
    for word in words:
        found = Transcript("en", (Segment(0.0, 2.0, f" {word}", avg_logprob=-2.0),), 24.0)
        (tmp_path / "talk.json").write_text(render(found, "json"))
        assert main(["review", str(tmp_path), "--output", str(page)]) == 0
        started.get(page.as_uri())
        assert not css(started, "#checked")[0].is_selected(), word
        css(started, "#checked")[0].click()


def test_the_speed_stays_from_file_to_file(page: Any):
    show(page, "b")
    choose_rate = css(page, "#rate option[value='1.5']")[0]
    choose_rate.click()
    assert page.execute_script("return document.querySelector('audio').playbackRate") == 1.5
    show(page, "c")
    rate = "return document.querySelector('audio').playbackRate"
    assert until(lambda: page.execute_script(rate) == 1.5)
    press(page, ">")
    assert page.execute_script(rate) == 1.75
    assert page.execute_script("return byId('rate').value") == "1.75"


def test_figures_say_what_they_mean_and_an_editor_has_save_and_cancel(page: Any):
    show(page, "c")
    for selector in (".facts div", ".flag", ".reasons li", ".check"):
        assert any(one.get_attribute("title") for one in css(page, selector)), selector
    assert css(page, "#shades")[0].is_selected()
    colour = "return getComputedStyle(document.querySelector('#segments mark')).backgroundColor"
    assert page.execute_script(colour) != "rgba(0, 0, 0, 0)"
    css(page, "#shades")[0].click()
    assert page.execute_script(colour) == "rgba(0, 0, 0, 0)"
    css(page, "#segments .edit")[0].click()
    assert [one.text for one in css(page, ".keep button")] == ["Save", "Cancel"]
    css(page, ".keep button")[1].click()
    show(page, "<")  # which has no word times
    assert "--word-timestamps" in css(page, ".legend")[0].text


def test_a_narrow_screen_begins_with_the_list_and_folds_the_figures(desk: Path, tmp_path: Path):
    with opened(tmp_path, width=400) as browser:
        browser.get((desk / "review.html").as_uri())
        assert css(browser, "#files")[0].is_displayed()
        css(browser, "#files button")[0].click()
        assert not css(browser, ".facts")[0].is_displayed()
        css(browser, ".about summary")[0].click()
        assert css(browser, ".facts")[0].is_displayed()
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 400


def test_all_of_it_works_from_the_keyboard(page: Any):
    from selenium.webdriver import Keys

    assert css(page, "h2")[0].text.startswith("a")  # the first in doubt is open from the start
    press(page, "n", "n")
    assert until(lambda: css(page, "h2")[0].text.startswith("c"))
    press(page, "p", "p")
    press(page, "j", "j", "j", "k")
    assert until(lambda: now(page) == 1)
    assert until(lambda: 2.0 <= at_s(page) < 2.5)
    assert page.execute_script("return document.activeElement.className") == "time"
    press(page, " ")
    assert until(lambda: at_s(page) > 2.2), page.execute_script(PLAYER)
    press(page, " ")
    assert until(lambda: page.execute_script("return document.querySelector('audio').paused"))
    press(page, Keys.ARROW_RIGHT)
    assert until(lambda: at_s(page) > 5.0)
    press(page, "e")
    press(page, "jk n")
    assert css(page, "#editor")[0].get_attribute("value").endswith("jk n")  # letters, while one types
    press(page, Keys.ESCAPE)
    press(page, "/")
    assert page.execute_script("return document.activeElement.id") == "search"


def test_without_a_recording_there_is_no_player_until_one_is_chosen(desk: Path, tmp_path: Path, started: Any):
    (tmp_path / "talk.json").write_text(render(transcripts()["b clear.wav"], "json"))
    assert main(["review", str(tmp_path), "--output", str(tmp_path / "page.html")]) == 0
    started.get((tmp_path / "page.html").as_uri())
    css(started, "#files button")[0].click()
    assert until(lambda: "recording was not found" in css(started, ".trouble")[0].text)
    assert not css(started, "audio")[0].is_displayed()
    css(started, "#pick")[0].send_keys(str(desk / "b clear.wav"))
    assert until(lambda: css(started, "audio")[0].is_displayed())


def test_a_recording_that_does_not_play_is_told(desk: Path, tmp_path: Path, started: Any):
    page = tmp_path / "moved.html"
    page.write_bytes((desk / "review.html").read_bytes())
    started.get(page.as_uri())
    next(button for button in css(started, "#files button") if button.text.startswith("b")).click()
    assert until(lambda: "cannot play b clear.wav" in css(started, ".trouble")[0].text)
    css(started, "#pick")[0].send_keys(str(desk / "b clear.wav"))
    assert until(lambda: started.execute_script("return document.querySelector('audio').readyState")) >= 1
    assert css(started, ".trouble")[0].text == ""
    started.get_log("browser")  # Chromium tells there of the file that is not there
    requests(started)


@pytest.mark.parametrize(("width", "is_dark"), [(1280, False), (1280, True), (360, False), (360, True)])
def test_nothing_serious_for_those_who_cannot_see_well(
    desk: Path, tmp_path: Path, width: int, is_dark: bool, tmp_path_factory: pytest.TempPathFactory
):
    source = axe(tmp_path_factory.mktemp("axe"))
    with opened(tmp_path, is_dark=is_dark, width=width) as browser:
        browser.get((desk / "review.html").as_uri())
        for state in STATES:
            browser.execute_script(state)
            browser.execute_cdp_cmd("Runtime.evaluate", {"expression": source})
            found = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
            assert found["passes"]
            told = [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in found["violations"]]
            assert [one for one in told if one[1] in ("serious", "critical")] == [], state
            wide = browser.execute_script("return document.documentElement.scrollWidth")
            assert wide <= width
