"""Replacement rules: how files of them are read, what they do to text, words and JSON, and how they are undone."""

import re
import unicodedata
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from whisperbatch import replacements
from whisperbatch.cli import main
from whisperbatch.errors import UsageError
from whisperbatch.options import read_rules
from whisperbatch.options.replacements import parse_rules
from whisperbatch.records import UNREPLACED, Segment, Transcript, Word
from whisperbatch.replacement_rules import Rule, Rules
from whisperbatch.replacements import corrected, restored
from whisperbatch.writers import read_json, render

HAN = re.compile("[一-鿿]")


def rules(*lines: str) -> Rules:
    made = tuple(parse_rules("\n".join(lines).encode(), Path("names.txt")))
    return Rules(f"digest of {lines}", made)


def spoken(text: str, at_s: float = 0.0, **traits) -> Segment:
    """A segment with a word a second, each said for 0.8 s; of Chinese, a character a word."""
    pieces = list(text) if HAN.search(text) else re.findall(r"\s*\S+", text)
    words = tuple(
        Word(piece, at_s + k, round(at_s + k + 0.8, 3), 0.5 + k / 1000, "ANN") for k, piece in enumerate(pieces)
    )
    return Segment(at_s, at_s + len(words), text, (1, 2, 3), words=words, **traits)


def heard(*texts: str, language: str = "en") -> Transcript:
    return Transcript(language, tuple(spoken(text, 100.0 * k) for k, text in enumerate(texts)), 1000.0)


def after(text: str, *lines: str, language: str = "en") -> str:
    return corrected(heard(text, language=language), rules(*lines)).text


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        (" I met jon  smith, and Jon Smithers", "jon smith -> John Smyth", " I met John Smyth, and Jon Smithers"),
        (" jonathan and jon", "jon -> John", " jonathan and John"),
        (" Jon's and asp.net, .net", ".net -> .NET", " Jon's and asp.net, .NET"),
        (" in C++ or C++11", "c++ -> C plus plus", " in C plus plus or C++11"),
        (" STRASSE Straße strasse", "straße -> Weg", " Weg Weg Weg"),
        (" I um think, um, so", "um ->", " I think,, so"),
        ("我用iphone手机", "iphone -> iPhone", "我用iPhone手机"),
        ("今天天气好", "天气 -> 气候", "今天气候好"),
        (" 12 km, 3 km", r"/(\d+) km\b/ -> \1 kilometres", " 12 kilometres, 3 kilometres"),
        (" ab AB", r"/(a)(b)/i -> \2\1\\\0", r" ba\ab BA\AB"),
        (" a/b c", r"/a\/b/ -> d", " d c"),
        (" a b", r"/(x)?a/ -> [\1]", " [] b"),
        (" 1.5 -> 2", r"/1\.5/ -> 1,5", " 1,5 -> 2"),
        (" [music] plays", "[music] -> (music)", " (music) plays"),
        (" Zoë", unicodedata.normalize("NFD", "zoë -> Zoe"), " Zoe"),
        (" (?r)", "/(?r)b|a/ -> x", " (?r)"),
        (" aab", "/(?r)[ab]/ -> x", " xxx"),
        ("no blank", "/^no/ -> yes", "yes blank"),
        (" its blank stays", "/^ its/ -> their", " their blank stays"),
    ],
)
def test_a_rule(text: str, line: str, expected: str):
    assert after(text, line) == expected


def test_rules_apply_once_each_in_order():
    assert after(" a b", "a -> b", "b -> c") == " c c"
    assert after(" a b", "b -> c", "a -> b") == " b c"
    assert after(" a", "a -> a a") == " a a"
    assert after(" a b", "a -> b", "b -> a") == " a a"


def test_sections_limit_rules_to_a_language():
    lines = ("a -> all", "[de]", "# Namen", "", "b -> de", "[ German ]", "c -> de", "[all]", "d -> all")
    assert after(" a b c d", *lines) == " all b c all"
    assert after(" a b c d", *lines, language="de") == " all de de all"
    mixed = Transcript("en", (spoken(" b"), spoken(" b", 9.0, language="de")), 20.0)
    assert corrected(mixed, rules(*lines)).text == " b de"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"a -> b\n\nc\n", "line 3: expected a rule such as: wrong -> right"),
        (b"-> b", "line 1: there is nothing before ->"),
        (b"# x\r\n/(a/ -> b", "line 2: the regular expression is not valid"),
        (b"/a/x -> b", "line 1: unknown flag 'x'; the only flag is i"),
        (b"/a -> b", "line 1: expected a rule such as: /wrong/ -> right"),
        (rb"/(a)/ -> \2", "line 1: there is no group 2"),
        (rb"/a/ -> \n", r"line 1: '\n' means nothing on the right"),
        (b"[xx]\na -> b", "line 1: unknown language 'xx'"),
        (b"a -> \xff", "line 1: this is not UTF-8 text"),
        (b"a -> b\0", "line 1: the line contains a control character"),
        (b"a -> " + b"b" * 1000, "line 1: the line is longer than 1000 characters"),
        (b"a" * 1_000_001, "is larger than 1000 kB"),
    ],
)
def test_a_file_that_makes_no_sense_ends_the_command_before_any_work(tmp_path: Path, capfd, data: bytes, sentence: str):
    file = tmp_path / "names.txt"
    file.write_bytes(data)
    with pytest.raises(UsageError, match=re.escape(sentence)):
        read_rules([file])
    (tmp_path / "talk.json").write_text(render(heard(" a"), "json"))
    for command in (["transcribe", str(tmp_path), "--model", "demo"], ["convert", str(tmp_path), "--format", "srt"]):
        assert main([*command, "--replace", str(file)]) == 2
        told = capfd.readouterr().err
        assert sentence in told
        assert str(file) in told
        assert told.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["names.txt", "talk.json"]


def test_what_is_no_file_is_refused(tmp_path: Path):
    for path in (tmp_path, tmp_path / "missing.txt", Path("nul\0")):
        with pytest.raises(UsageError, match="cannot be read"):
            read_rules([path])


def test_too_many_rules_are_refused(tmp_path: Path):
    file = tmp_path / "names.txt"
    file.write_text("a -> b\n" * 6_000)
    with pytest.raises(UsageError, match="more than 10000 replacement rules"):
        read_rules([file, file])


def test_a_digest_is_that_of_the_rules_alone(tmp_path: Path):
    texts = ("a -> b\n[de]\nc -> d", "# names\n\na  ->  b\n\n[ DE ]\nc -> d\n", "a -> b\nc -> d", "c -> d\na -> b")
    digests = []
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text)
        digests.append(read_rules([tmp_path / f"{number}.txt"]).digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    (tmp_path / "empty.txt").write_text("# nothing\n")
    assert read_rules([tmp_path / "empty.txt"]) == Rules()


def test_words_of_a_changed_stretch_share_its_time_by_their_length():
    found = corrected(heard(" I met jon smith, then"), rules("jon smith -> Jonathan Smyth of York")).segments[0]
    assert [word.word for word in found.words] == [" I", " met", " Jonathan", " Smyth", " of", " York,", " then"]
    before = heard(" I met jon smith, then").segments[0].words
    assert (found.words[0], found.words[1], found.words[-1]) == (before[0], before[1], before[4])
    new = found.words[2:6]
    assert (new[0].start_s, new[-1].end_s) == (2.0, 3.8)
    assert all(one.end_s == two.start_s for one, two in pairwise(new))
    lengths = [word.end_s - word.start_s for word in new]
    assert lengths == pytest.approx([1.8 * len(word.word) / 24 for word in new], abs=0.002)
    assert {word.original for word in new} == {" jon smith,"}
    assert {word.probability for word in new} == {0.502}
    assert {word.speaker for word in new} == {"ANN"}


def test_a_word_put_beside_one_that_stays_takes_no_time_from_it():
    found = corrected(heard(" in york today"), rules("york -> New york")).segments[0]
    assert [(word.word, word.start_s, word.end_s) for word in found.words] == [
        (" in", 0.0, 0.8),
        (" New", 0.8, 1.0),
        (" york", 1.0, 1.8),
        (" today", 2.0, 2.8),
    ]


def test_what_was_replaced_can_be_undone_from_the_json():
    before = heard(" I met jon smith.", " um", " nothing here")
    made = corrected(before, rules("jon -> John", "um ->"))
    assert made.replacements
    assert [one.original for one in made.segments] == [" I met jon smith.", " um", None]
    assert made.segments[2] is before.segments[2]
    again = read_json(render(made, "json"))
    assert again == made
    assert restored(again) == before
    assert corrected(again, rules("jon -> Jon")).text == " I met Jon smith. um nothing here"
    assert corrected(again, None) == before
    assert corrected(before, None) is before


def test_without_word_times_the_text_is_replaced_all_the_same():
    before = Transcript("en", (Segment(0.0, 2.0, " jon smith", (1, 2)),), 2.0)
    made = corrected(before, rules("jon -> John"))
    (segment,) = made.segments
    assert (segment.text, segment.words, segment.original, segment.tokens) == (
        " John smith",
        None,
        " jon smith",
        (1, 2),
    )
    assert restored(read_json(render(made, "json"))) == before


def test_a_segment_without_text_left_is_in_the_json_alone():
    made = corrected(heard(" um", " well"), rules("um ->"))
    assert render(made, "txt") == "[ANN]: well\n"
    assert render(made, "srt").count("-->") == 1
    assert len(read_json(render(made, "json")).segments) == 2


def test_a_text_that_somebody_has_changed_since_is_not_undone():
    made = corrected(heard(" jon smith"), rules("jon -> John"))
    edited = replace(made, segments=(replace(made.segments[0], text=" John Smithee"),))
    assert restored(edited).text == " John Smithee"


def test_openai_whispers_keys_stay_as_they_are():
    made = corrected(heard(" jon smith"), rules("jon -> John"))
    plain, text = (render(one, "json") for one in (heard(" jon smith"), made))
    assert '"replacements"' in text
    assert "original" not in plain
    assert "replacements" not in plain
    assert text.index('"language": "en"') < text.index('"replacements"')


def slow() -> str:
    """A regular expression that ``regex`` tries for a very long time on a row of the letter a."""
    return "(a|a|aa)+" * 2 + "$"


def test_a_rule_that_takes_too_long_is_stopped_named_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replacements, "LIMIT_S", 0.05)
    text = " " + "a" * 60 + "b"
    with pytest.raises(TimeoutError):
        regex.search(slow(), text, timeout=0.05)
    made = corrected(heard(" bb bc aa", text), rules("bb -> first", f"/{slow()}/ -> x", "bc -> third"))
    assert made.text == " first third aa" + text
    assert made.warnings == (f"{UNREPLACED}names.txt, line 2 was stopped because it took longer than 0.05 seconds",)
    again = read_json(render(made, "json"))
    assert restored(again).warnings == ()
    assert corrected(again, rules("bb -> first")).warnings == ()


def test_a_rule_that_makes_a_text_far_longer_is_stopped():
    made = corrected(heard(" " + "a" * 500), rules("/a/ -> " + "b" * 300, "/a+/ -> short"))
    assert made.text == " short"
    assert made.warnings == (f"{UNREPLACED}names.txt, line 1 was stopped because it makes a text far too long",)


def test_words_are_found_in_many_segments_however_often_these_change(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replacements, "MAX_CHANGED", 2)
    texts = [f" Straße {k % 7}, word{k % 5}" if k % 3 else f" word{k % 5} 天气{k % 4}" for k in range(40)]
    lines = [
        *(f"word{k} -> term{k}" for k in range(5)),
        "strasse -> street",
        "天气 -> 气",
        "term3 ->",
        "2, -> two",
        "2 -> zwei",
    ]
    whole = corrected(heard(*texts), rules(*lines))
    assert [one.text for one in whole.segments] == [after(text, *lines) for text in texts]


PIECES = st.sampled_from(
    [" a", " b", " ab", " Jon", " smith,", ".", " c-d", "天", "气", "。", "\n", " ", " É", " 12", "’s"]
)
SOME = st.lists(PIECES, max_size=12)
WRONG = st.sampled_from(["a", "b", "jon", "jon smith", "天", "天气", "é", "12", "a b", "zz"])
RIGHT = st.sampled_from(["", "a", "b", "x", "Jon Smith", "气候", "a x b", "É", "ein langes Wort", "。"])
LINES = st.lists(
    st.builds("{} -> {}".format, WRONG, RIGHT)
    | st.builds("/{}/ -> {}".format, st.sampled_from(["[ab]", " ", "^", "$", r"\s*a", "(?=a)", "."]), RIGHT),
    max_size=6,
)


@st.composite
def transcripts(draw):
    """Words in time, in segments; blank words and texts, and times that touch."""
    segments, at_s = [], 0.0
    for _ in range(draw(st.integers(0, 3))):
        words = []
        for piece in draw(SOME):
            start_s = at_s + draw(st.sampled_from([0.0, 0.0, 0.12, 1.5]))
            at_s = start_s + draw(st.sampled_from([0.0, 0.2, 0.5]))
            words.append(Word(piece, round(start_s, 3), round(at_s, 3), draw(st.sampled_from([0.1, 0.9]))))
        ends = (words[0].start_s, words[-1].end_s) if words else (at_s, at_s)
        segments.append(Segment(*ends, "".join(word.word for word in words), words=tuple(words)))
    return Transcript("en", tuple(segments), round(at_s, 3), warnings=("worth knowing",))


def plainly(text: str, rule: Rule) -> str:
    """What a rule does to a text, by ``regex`` alone."""
    flags = regex.VERSION1 | (regex.IGNORECASE | regex.FULLCASE if rule.ignores_case else 0)
    return regex.sub(rule.pattern, lambda found: "".join(map(str, rule.right)), text, flags=flags)


@given(transcripts(), LINES)
def test_text_equals_words_joined_and_untouched_words_keep_their_times(transcript: Transcript, lines: list[str]):
    asked = rules(*lines)
    made = corrected(transcript, asked)
    for before, now in zip(transcript.segments, made.segments, strict=True):
        assert now.text == "".join(word.word for word in now.words)
        expected = before.text
        for rule in asked.rules:
            expected = plainly(expected, rule) if expected.strip() else expected
        assert now.text.split() == expected.split()
        assert (now.start_s, now.end_s, now.tokens) == (before.start_s, before.end_s, before.tokens)
        kept = [word for word in now.words if word.original is None]
        assert is_among(kept, before.words)
        times = [at for word in now.words for at in (word.start_s, word.end_s)]
        assert times == sorted(times)
        if now.original is None:
            assert now is before
    assert restored(read_json(render(made, "json"))) == transcript
    assert corrected(made, asked) == made


def is_among(some: list[Word], words: tuple[Word, ...]) -> bool:
    """Whether some words are among others, in that order, exactly as they are."""
    rest = iter(words)
    return all(any(one == other for other in rest) for one in some)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["one", "two words", "", "wrong7", "Wrong"])), max_size=12))
def test_every_word_but_those_that_a_rule_names_is_as_it_was(some: list[tuple[bool, str]]):
    before = heard("".join(f" wrong{k}," if is_wrong else f" fine{k}" for k, (is_wrong, _) in enumerate(some)))
    lines = [f"wrong{k} -> {right}" for k, (is_wrong, right) in enumerate(some) if is_wrong]
    made = corrected(before, rules(*lines))
    fine = [word for word in before.segments[0].words if word.word.startswith(" fine")]
    assert [word for word in made.segments[0].words if word.word.startswith(" fine")] == fine
