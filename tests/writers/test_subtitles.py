"""Subtitles: openai-whisper's shaping byte for byte; sentences, presets, times and labels beyond it."""

import itertools
import json
import math
import re
from dataclasses import replace

import pysubs2
import pytest
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st

from renderings import spoken, theirs, transcript_of, transcripts
from whisperbatch.errors import FileError, UsageError
from whisperbatch.options import PRESETS, SHAPED, SubtitleOptions, subtitle_options
from whisperbatch.records import Segment, Word
from whisperbatch.writers import FORMATS, read_json, render, render_all, speakers, time_order
from whisperbatch.writers.subtitles import shape, units
from whisperbatch.writers.subtitles.by_sentences import sentences
from whisperbatch.writers.subtitles.cues import Cue, shown, stamp, width
from whisperbatch.writers.subtitles.timing import highlighted, timed

WIDTHS, COUNTS, MANY = (None, 1, 5, 16, 42), (None, 1, 2, 3), (None, 1, 3, 7)
GRID = [
    {"max_line_width": w, "max_line_count": c, "max_words_per_line": m, "highlight_words": h}
    for w, c, m, h in itertools.product(WIDTHS, COUNTS, MANY, (False, True))
]


def said(text, *, word_s=0.3, at_s=0.0, **more):
    """A segment of a text, a word every ``word_s`` seconds; Chinese and Japanese, a character a word."""
    pieces = list(text) if not text.isascii() and " " not in text else [f" {word}" for word in text.split()]
    words = tuple(Word(p, at_s + i * word_s, at_s + (i + 1) * word_s, 1.0) for i, p in enumerate(pieces))
    return Segment(at_s, words[-1].end_s, "".join(pieces), words=words, **more)


def texts(transcript, **shaping):
    return [cue.text for cue in shape.cues(transcript, SubtitleOptions(**shaping))]


def without_arrows(text):
    """Their file as ours: arrows in text replaced, the lines with times left."""
    lines = []
    for line in text.split("\n"):
        is_times = (
            line.count(" --> ") == 1 and line.replace(" --> ", "").translate(dict.fromkeys(b"0123456789:.,")) == ""
        )
        while "-->" in line and not is_times:
            line = line.replace("-->", "->")
        lines.append(line)
    return "\n".join(lines)


# openai-whisper's shaping


@pytest.mark.parametrize("name", ["srt", "vtt"])
@settings(max_examples=40, deadline=None)  # each is a whole grid
@given(transcripts())
def test_every_shape_is_openai_whispers(name, transcript):
    for shaping in GRID:
        ours = render(transcript, name, SubtitleOptions(**shaping))
        assert ours == without_arrows(theirs(transcript, name, **shaping)), shaping


def test_the_grid_tells_shapes_apart():
    transcript = transcript_of(
        said("One two three four five six seven eight nine ten, eleven twelve."),
        said("And thirteen after a long pause, with some more words to fill the lines.", at_s=20.0),
    )
    made = {render(transcript, "srt", SubtitleOptions(**shaping)) for shaping in GRID}
    assert len(made) > 30


def test_highlighting_is_theirs_when_words_touch_and_when_they_do_not():
    words = (Word(" Good", 0.1, 0.4, 1), Word(" day", 0.4004, 0.9, 1), Word(" all.", 1.5, 2.0, 1))
    transcript = transcript_of(Segment(0, 2, " Good day all.", words=words))
    ours = render(transcript, "vtt", SubtitleOptions(highlight_words=True))
    assert ours == theirs(transcript, "vtt", highlight_words=True)
    assert "00:00.900 --> 00:01.500\nGood day all.\n" in ours
    assert "00:01.500 --> 00:02.000\nGood day <u>all.</u>\n" in ours


@pytest.mark.parametrize(
    "given",
    [{"max_line_width": 9}, {"max_line_count": 2}, {"max_words_per_line": 3}, {"highlight_words": True},
     {"break_at": "sentences"}, {"max_cue_s": 3.0}],
)  # fmt: skip
def test_shaping_without_word_times_is_refused_in_one_sentence(given):
    transcript = transcript_of(said("With words."), Segment(5, 6, " Without."))
    for name in SHAPED:
        with pytest.raises(FileError, match=r"no word times; transcribe the recording again with --word-timestamps"):
            render(transcript, name, SubtitleOptions(**given))
    for name in set(FORMATS) - SHAPED:
        assert render(transcript, name, SubtitleOptions(**given)) == FORMATS[name](transcript)
    assert render(transcript_of(Segment(0, 0, "")), "srt", SubtitleOptions(**given)) == ""


def test_times_alone_need_no_words():
    transcript = transcript_of(Segment(0, 0.2, " Oh."), Segment(3, 4, " Well."))
    made = shape.cues(transcript, SubtitleOptions(min_cue_s=1.0))
    assert [(cue.start_s, cue.end_s) for cue in made] == [(0, 1.0), (3, 4)]


# sentences


def test_a_cue_is_a_sentence_and_segments_do_not_count():
    transcript = transcript_of(
        said("We went home. It was"), said("late, and dark. Nobody", at_s=1.5), said("came?", at_s=3.0)
    )
    assert texts(transcript, break_at="sentences") == ["We went home.", "It was late, and dark.", "Nobody came?"]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Mr. Smith went on. He did.", "Mr. Smith went on."),
        ("J. R. Tolkien wrote. Yes.", "J. R. Tolkien wrote."),
        ("Am 3. Mai war es. Gut.", "Am 3. Mai war es."),
        ("This e.g. that. Yes.", "This e.g. that."),
        ("Wait... what? No.", "Wait... what?"),
        ("He said “Go.” Then left.", "He said “Go.”"),
        ("So did I. Then we left.", "So did I."),
        ("It cost 3.5 euros! Really.", "It cost 3.5 euros!"),
        ("今日は。いい天気。", "今日は。"),
    ],
)
def test_where_a_sentence_ends(text, first):
    words = speakers.labelled_words(said(text))
    assert "".join(word.word for word in next(sentences(words))).strip() == first


def test_a_long_pause_and_another_speaker_end_a_sentence():
    transcript = transcript_of(said("well I"), said("think so", at_s=9.0), said("no you", at_s=9.6, speaker="B"))
    assert texts(transcript, break_at="sentences") == ["well I", "think so", "no you"]


def test_a_long_sentence_is_broken_after_commas_and_in_equal_parts():
    transcript = transcript_of(
        said("When the evening came, the old ferryman tied up his boat, and went home to his wife.")
    )
    made = texts(transcript, break_at="sentences", max_line_width=30, max_line_count=2)
    assert all(len(line) <= 30 for text in made for line in text.split("\n"))
    assert len(made) == 2
    assert made[0].endswith("boat,")


def test_no_line_ends_after_a_title():
    transcript = transcript_of(said("Today we talk to Dr. Miller about rivers of the old world and the new."))
    for shaping in ({"max_line_width": 22, "max_line_count": 9}, {"max_line_width": 30, "max_line_count": 2}):
        made = texts(transcript, break_at="sentences", **shaping)
        assert not any(line.endswith("Dr.") for text in made for line in text.split("\n"))


def test_lines_of_a_cue_are_about_as_long_as_each_other():
    transcript = transcript_of(said("This is a line that is a bit longer than that one."))
    (text,) = texts(transcript, break_at="sentences", max_line_width=42, max_line_count=2)
    first, second = text.split("\n")
    assert abs(len(first) - len(second)) <= 6


def test_sentences_gone_too_soon_are_joined_with_their_neighbour():
    transcript = transcript_of(said("Yes. No. Perhaps we should go there."))
    shaping = {"break_at": "sentences", "max_line_width": 42, "max_line_count": 2}
    assert texts(transcript, **shaping) == ["Yes.", "No.", "Perhaps we should go there."]
    assert texts(transcript, **shaping, min_cue_s=0.8)[0].startswith("Yes. No. Perhaps")
    between = transcript_of(said("We should go there soon. Yes. No. But when shall we leave?"))
    assert texts(between, **shaping, min_cue_s=0.8) == ["We should go there soon.", "Yes. No. But when shall we leave?"]
    last = transcript_of(said("We should go there soon. Yes."), said("But when?", at_s=2.2, speaker="B"))
    assert texts(last, **shaping, min_cue_s=0.8) == ["We should go there soon. Yes.", "But when?"]
    apart = transcript_of(said("Yes."), said("No.", at_s=5.0))
    assert texts(apart, **shaping, min_cue_s=0.8) == ["Yes.", "No."]
    speakers = transcript_of(said("Yes.", speaker="A"), said("No.", at_s=0.3, speaker="B"))
    assert texts(speakers, **shaping, min_cue_s=0.8) == ["Yes.", "No."]


REAL = st.sampled_from([" Hello", " world.", " and", " so,", " Donaudampfschiff", " I", " 3.", " Mr.", " really?", "日",
                        "本", "語。", " שלום", " 👩‍👩‍👧", " extraordinarily"])  # fmt: skip


@st.composite
def talks(draw):
    pieces = draw(st.lists(REAL, min_size=1, max_size=60))
    gap, length = st.sampled_from([0, 0, 0, 100, 700, 4000]), st.sampled_from([50, 200, 400])
    words = spoken(pieces, [(draw(gap), draw(length)) for _ in pieces])
    return transcript_of(Segment(0.0, words[-1].end_s, "".join(pieces), words=tuple(words)))


@pytest.mark.parametrize("preset", list(PRESETS))
@settings(max_examples=60, deadline=None)
@given(talks(), st.sampled_from(["sentences", "words"]))
def test_presets_hold_their_limits_and_lose_nothing(preset, transcript, break_at):
    shaping = replace(PRESETS[preset], break_at=break_at)
    cues = shape.cues(transcript, shaping)
    words = transcript.segments[0].words
    assert "".join("".join(cue.text.split()) for cue in cues) == "".join("".join(w.word.split()) for w in words)
    for cue, after in itertools.pairwise([*cues, None]):
        lines = cue.text.split("\n")
        assert len(lines) <= shaping.max_line_count
        assert all(width(line, shaping.measure) <= shaping.max_line_width or " " not in line.strip() for line in lines)
        assert cue.end_s - cue.start_s <= shaping.max_cue_s + 1e-9
        if after is not None:
            assert cue.end_s <= after.start_s + 1e-9
            is_boxed = abs(cue.end_s - after.start_s) < 1e-9
            n = width(" ".join(cue.text.split()), shaping.measure)
            assert is_boxed or n / (cue.end_s - cue.start_s) <= shaping.max_cps + 1e-6
            assert is_boxed or cue.end_s - cue.start_s >= shaping.min_cue_s - 1e-9


def test_no_fewer_cues_would_do_for_a_sentence():
    transcript = transcript_of(said(" ".join(["word"] * 40) + "."))
    shaping = {"max_line_width": 42, "max_line_count": 2}
    assert len(texts(transcript, break_at="sentences", **shaping)) == len(texts(transcript, **shaping)) == 3


# widths


@pytest.mark.parametrize(
    ("text", "characters", "columns", "wide"),
    [
        ("abc", 3, 3, 1.5),
        ("日本語", 3, 6, 3),
        ("ﾊﾝ", 2, 2, 1),
        ("e\u0301", 2, 1, 0.5),
        ("🎙", 1, 1, 0.5),
        ("😀", 1, 2, 1),
    ],
)
def test_wide_characters_count_double(text, characters, columns, wide):
    assert [width(text, measure) for measure in ("characters", "columns", "wide")] == [characters, columns, wide]


def test_the_asian_preset_has_sixteen_wide_characters_a_line():
    transcript = transcript_of(
        said("今天我们在这里讨论一个非常重要的问题因为它关系到我们每一个人的未来生活", word_s=0.2)
    )
    made = shape.cues(transcript, PRESETS["asian"])
    lines = [line for cue in made for line in cue.text.split("\n")]
    assert all(len(line) <= 16 for line in lines)
    assert max(map(len, lines)) > 8
    standard = [line for cue in shape.cues(transcript, PRESETS["standard"]) for line in cue.text.split("\n")]
    assert max(map(len, standard)) > 16


# times


def cue(start_s, end_s, text="Word"):
    return Cue(start_s, end_s, (Word(text, start_s, end_s, 1.0),))


def spans(cues, **shaping):
    return [(round(c.start_s, 3), round(c.end_s, 3)) for c in timed(cues, SubtitleOptions(**shaping))]


def test_a_short_cue_lasts_longer_where_there_is_room():
    assert spans([cue(1, 1.2), cue(5, 6)], min_cue_s=1.0) == [(1, 2), (5, 6)]
    assert spans([cue(1, 1.2), cue(1.5, 3)], min_cue_s=1.0) == [(0.5, 1.5), (1.5, 3)]
    assert spans([cue(0, 1), cue(1.1, 1.2), cue(1.5, 3)], min_cue_s=1.0) == [(0, 1), (1, 1.5), (1.5, 3)]


def test_a_fast_cue_lasts_longer_but_never_beyond_the_longest_time():
    fast = [cue(0, 1, "x" * 40), cue(10, 11)]
    assert spans(fast, max_cps=20.0) == [(0, 2), (10, 11)]
    assert spans(fast, max_cps=20.0, max_cue_s=1.5) == [(0, 1.5), (10, 11)]
    assert spans([cue(0, 1, "x" * 40), cue(1.7, 11)], max_cps=20.0) == [(0, 1.7), (1.7, 11)]
    assert spans([cue(0, 1, "字" * 20), cue(10, 11)], max_cps=20.0, measure="columns") == [(0, 2), (10, 11)]
    assert spans([cue(0, 9)], max_cue_s=7.0) == [(0, 7)]
    assert spans([cue(0, 0.1, "x")], max_cps=1000.0) == [(0, 0.1)]


def test_a_long_cue_is_split_at_words():
    made = shape.cues(transcript_of(said("one two three four five six", word_s=1.0)), SubtitleOptions(max_cue_s=2.0))
    assert [c.text for c in made] == ["one two", "three four", "five six"]
    made = shape.cues(
        transcript_of(said("one two three four five six", word_s=1.0)),
        SubtitleOptions(max_cue_s=2.0, break_at="sentences"),
    )
    assert [c.text for c in made] == ["one two", "three four", "five six"]


def test_the_highlight_ends_with_its_word_and_the_cue_stays():
    whole = Cue(0.0, 3.0, (Word("a", 0.0, 0.5, 1), Word(" b", 0.5, 1.0, 1)))
    assert [(c.start_s, c.end_s, shown(c)) for c in highlighted([whole])] == [
        (0.0, 0.5, "<u>a</u> b"), (0.5, 1.0, "a <u>b</u>"), (1.0, 3.0, "a b")]  # fmt: skip


# options


def test_a_preset_gives_way_to_what_is_given():
    assert subtitle_options("standard", {"max_line_width": 37, "max_cps": None}) == replace(
        PRESETS["standard"], max_line_width=37
    )
    assert subtitle_options(None, {}) == SubtitleOptions()
    assert not SubtitleOptions().needs_words
    assert not SubtitleOptions(min_cue_s=1, max_cps=20).needs_words
    with pytest.raises(UsageError, match="choose from standard, asian"):
        subtitle_options("wide", {})


@pytest.mark.parametrize(
    ("given", "told"),
    [({"max_line_width": 0}, "`max_line_width`"), ({"max_line_count": -1}, "`max_line_count`"),
     ({"max_words_per_line": 0}, "`max_words_per_line`"), ({"min_cue_s": 0}, "`min_cue`"),
     ({"max_cue_s": -1}, "`max_cue`"), ({"max_cps": math.nan}, "`max_cps`"), ({"max_cps": math.inf}, "`max_cps`"),
     ({"break_at": "x"}, "words, sentences"),
     ({"min_cue_s": 3, "max_cue_s": 2}, "`min_cue` must not be above"), ({"measure": "x"}, "characters, columns")],
)  # fmt: skip
def test_shaping_that_makes_no_sense_is_told(given, told):
    with pytest.raises(UsageError, match=told):
        SubtitleOptions(**given)


# speakers


TALK = transcript_of(
    said("Good day.", speaker="SPEAKER_00"),
    Segment(
        2, 3, " And you?", words=(Word(" And", 2, 2.5, 1, "A, B"), Word(" you?", 2.5, 3, 1, "B\n-->")), channel="left"
    ),
    said("Fine, thanks.", at_s=4.0, channel="right"),
    said("Bye.", at_s=6.0),
)


def test_every_format_tells_who_speaks():
    assert render(TALK, "txt").splitlines() == [
        "[SPEAKER_00]: Good day.", "[A, B]: And", "[B -->]: you?", "[right]: Fine, thanks.", "Bye."]  # fmt: skip
    assert render(TALK, "tsv").splitlines()[1:3] == ["0\t600\t[SPEAKER_00]: Good day.", "2000\t2500\t[A, B]: And"]
    assert render(TALK, "lrc").splitlines()[:3] == [
        "[by:whisperbatch]", "[00:00.00] SPEAKER_00: Good day.", "[00:02.00] A, B: And"]  # fmt: skip
    assert render(TALK, "csv").splitlines()[:3] == [
        "start,end,speaker,text", '0,600,"SPEAKER_00"," Good day."', '2000,2500,"A, B"," And"']  # fmt: skip
    assert render(TALK, "csv").splitlines()[-1] == '6000,6300,""," Bye."'
    assert render(TALK, "aud").splitlines()[0] == "0.0\t0.6\t[[SPEAKER_00]]Good day."
    for name in ("srt", "vtt"):
        parts = render(TALK, name).split("\n\n")
        assert any(part.endswith("\n[SPEAKER_00]: Good day.") for part in parts)
        assert any(part.endswith("\n[B ->]: you?") for part in parts)
        assert any(part.endswith("\nBye.") for part in parts)
    events = pysubs2.SSAFile.from_string(render(TALK, "ass"))
    assert [event.name for event in events] == ["SPEAKER_00", "A  B", "B -->", "right", ""]
    assert events[0].plaintext == "[SPEAKER_00]: Good day."


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_shaped_cue_is_one_speakers_and_its_label_counts_for_the_width(preset):
    who = "A very long name of somebody"
    transcript = transcript_of(
        said("one two three four five six seven eight nine ten", speaker=who), said("yes", at_s=3.0, speaker="B")
    )
    shaping = PRESETS[preset]
    for break_at in ("words", "sentences"):
        made = shape.cues(transcript, replace(shaping, break_at=break_at))
        assert made[-1].label == "B"
        lines = [line for c in made for line in shown(c).split("\n")]
        widest = 1 + len(f"[{who}]: three") / (2 if preset == "asian" else 1)
        assert all(width(line, shaping.measure) <= max(shaping.max_line_width, widest) for line in lines)


@pytest.mark.parametrize("break_at", ["words", "sentences"])
@pytest.mark.parametrize("n_lines", [1, 2])
def test_every_cue_has_room_for_its_label(break_at, n_lines):
    transcript = transcript_of(said("one two three four five six seven eight nine ten eleven", speaker="Anna"))
    shaping = SubtitleOptions(20, n_lines, break_at=break_at)
    made = [shown(cue) for cue in shape.cues(transcript, shaping)]
    assert len(made) > 1
    assert all(text.startswith("[Anna]: ") for text in made)
    assert all(len(line) <= 20 for text in made for line in text.split("\n"))


def test_speakers_and_channels_survive_json_and_leave_no_key_when_unknown():
    read = read_json(render(TALK, "json"))
    assert read.segments == TALK.segments
    unknown = transcript_of(said("Bye."))
    assert "speaker" not in render(unknown, "json")
    assert "channel" not in render(unknown, "json")
    whisperx = (
        '{"segments": [{"start": 0, "end": 1, "text": "a", "speaker": "S", "words": [{"word": "a", "speaker": "S"}]}]}'
    )
    assert read_json(whisperx).segments[0].speaker == read_json(whisperx).segments[0].words[0].speaker == "S"


# independent readers


READABLE = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co", "Zl", "Zp"], exclude_characters="<>&\\{}"),
    min_size=1,
    max_size=12,
).filter(str.strip)  # what is markup in one of the formats is a matter of its reader
SPEECH = st.lists(READABLE | st.sampled_from([" -->", " 12", " 日本語", " שלום"]), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(SPEECH, st.sampled_from([SubtitleOptions(), *PRESETS.values(), SubtitleOptions(max_words_per_line=2)]))
def test_others_read_our_subtitles(tmp_path_factory, pieces, shaping):
    words = tuple(Word(f" {piece.strip()}", i * 0.5, i * 0.5 + 0.4, 1.0) for i, piece in enumerate(pieces))
    transcript = transcript_of(Segment(0, len(words) / 2, "".join(w.word for w in words), words=words))
    cues = shape.cues(transcript, shaping)
    expected = [(round(c.start_s * 1000), round(c.end_s * 1000), shown(c)) for c in cues]
    for name in ("srt", "vtt", "ass"):
        events = pysubs2.SSAFile.from_string(render(transcript, name, shaping), format_=name)
        read = [(event.start, event.end, event.plaintext) for event in events]
        assert len(read) == len(expected), name
        for (start, end, text), (start_ms, end_ms, ours) in zip(read, expected, strict=True):
            assert max(abs(start - start_ms), abs(end - end_ms)) <= 5  # ass has hundredths
            assert text.replace("-->", "->").split() == ours.split()
    folder = tmp_path_factory.mktemp("subtitles")
    for name, read in (("vtt", webvtt.read), ("srt", webvtt.from_srt)):
        path = folder / f"x.{name}"
        path.write_text(render(transcript, name, shaping), encoding="utf-8")
        captions = read(path)
        assert [caption.text.split() for caption in captions] == [ours.split() for _, _, ours in expected]
        assert [(caption.start, caption.end) for caption in captions] == [
            (stamp(start / 1000, ".", True), stamp(end / 1000, ".", True)) for start, end, _ in expected
        ]


# what no break may part; times in order


NUMBERS = (" The well|-known company in the U|.S. paid about $12|,500|,000 at 4|:30 for twenty|-one long|-term loans at"
           " 3|.14159 percent|.")  # fmt: skip


def pieces_of(text, *, at_s=0.0, word_s=0.35):
    """A segment of a text, its words cut where a bar or a blank is."""
    pieces = [piece for word in text.split(" ")[1:] for piece in f" {word}".split("|")]
    words = spoken(pieces, [(at_s * 1000 if i == 0 else 0, word_s * 1000) for i in range(len(pieces))])
    return Segment(words[0].start_s, words[-1].end_s, "".join(pieces), words=tuple(words))


@pytest.mark.parametrize("break_at", ["words", "sentences"])
@pytest.mark.parametrize("highlight", [False, True])
@pytest.mark.parametrize(
    "limits",
    [{"max_words_per_line": 1}, {"max_line_width": 4}, {"max_line_width": 9, "max_line_count": 1},
     {"max_line_width": 12, "max_line_count": 2}, {"max_cue_s": 0.5}],
)  # fmt: skip
def test_nothing_breaks_inside_a_word_or_a_number(break_at, highlight, limits):
    transcript = transcript_of(pieces_of(NUMBERS))
    made = shape.cues(transcript, SubtitleOptions(**limits, break_at=break_at, highlight_words=highlight))
    shown_words = {word for cue in made for word in cue.text.split()}
    assert shown_words == set(NUMBERS.replace("|", "").split())
    if not highlight:
        assert " ".join(cue.text.replace("\n", " ") for cue in made) == NUMBERS.replace("|", "").strip()


def test_the_words_of_a_number_are_still_marked_one_by_one():
    transcript = transcript_of(pieces_of(" for $12|,500|,000 yes"))
    made = [shown(cue) for cue in shape.cues(transcript, SubtitleOptions(6, 1, highlight_words=True))]
    assert made == ["<u>for</u>", "<u>$12</u>,500,000", "$12<u>,500</u>,000", "$12,500<u>,000</u>", "<u>yes</u>"]


@pytest.mark.parametrize(
    ("before", "after", "may"),
    [(" long", "-term", False), (" 3", ".14", False), (" I", "'ll", False), (" long", " term", True),
     ("Hello ", "you", True), ("日", "本", True), ("本", "。", False), ("「", "本", False), ("在", "2024", True),
     ("2024", "年", True), ("コ", "ー", False), ("ち", "ょ", False), ("สวัส", "ดี", True), ("ก", "\u0e34", False),
     ("เ", "ก", False), ("한국", "어", False), ("", "x", True), ("x", "", False), ("👩", "\u200d", False)],
)  # fmt: skip
def test_where_a_line_may_end(before, after, may):
    assert units.may_break(before, after) is may


def test_a_word_that_goes_on_in_the_next_segment_is_not_parted_where_segments_do_not_count():
    first, second = pieces_of(" a long"), pieces_of(" |-term loan", at_s=0.7)
    second = replace(second, text="-term loan", words=(replace(second.words[1]), *second.words[2:]))
    third = pieces_of(" And so on.", at_s=2.1)
    transcript = transcript_of(first, second, third)
    for shaping in ({"break_at": "sentences", "max_line_width": 6}, {"max_line_width": 6, "max_line_count": 1}):
        assert "long-term" in " ".join(texts(transcript, **shaping)).split()
    assert texts(transcript, max_words_per_line=9) == ["a long", "-term loan", "And so on."]


def test_segments_that_all_come_without_blanks_are_not_run_together():
    told = [{"start": i, "end": i + 1, "text": text, "words": [{"word": w} for w in text.split()]}
            for i, text in enumerate(["Hello there you", "good day to all"])]  # fmt: skip
    transcript = read_json(json.dumps({"segments": told}))
    assert [word.word for word in transcript.segments[0].words] == ["Hello", " there", " you"]
    made = texts(transcript, max_line_width=8, max_line_count=1)
    assert " ".join(made).split() == "Hello there you good day to all".split()


UNITS = st.sampled_from([" long", "-term", " 3", ".14159", "日", "本", "。", " $12", ",500", " you", "'ll", ""])


@st.composite
def out_of_order(draw):
    """Segments and words whose times jump back, words without blanks among them."""
    at = st.floats(-1, 60, allow_nan=False)
    segments = []
    for _ in range(draw(st.integers(1, 5))):
        speaker = draw(st.sampled_from([None, None, "A", "B"]))
        pieces = [" So", *draw(st.lists(UNITS, max_size=8))]
        words = tuple(Word(piece, draw(at), draw(at), 0.9, speaker) for piece in pieces)
        segments.append(Segment(draw(at), draw(at), "".join(pieces), words=words))
    return transcript_of(*segments)


def times_of(name, text):
    """Starts and ends in a file of that format, in seconds; ends are None where it has none."""
    if name in ("txt", "md", "docx"):
        return []
    if name in ("srt", "vtt", "ass"):
        events = pysubs2.SSAFile.from_string(text, format_=name) if text != "WEBVTT\n\n" and text else []
        return [(event.start / 1000, event.end / 1000) for event in events]
    if name == "lrc":
        stamps = re.findall(r"^\[(\d+):(\d\d\.\d\d)\]", text, re.MULTILINE)
        return [(60 * int(minutes) + float(seconds), None) for minutes, seconds in stamps]
    if name == "json":
        return [(one["start"], one["end"]) for one in json.loads(text)["segments"]]
    cells = [re.split("[\t,]", line) for line in text.splitlines() if re.match(r"-?\d", line)]
    return [(float(start), float(end)) for start, end, *_ in cells]


SHAPES = [
    SubtitleOptions(), *PRESETS.values(), SubtitleOptions(break_at="sentences", max_line_width=9),
    SubtitleOptions(max_words_per_line=2), SubtitleOptions(8, 1), SubtitleOptions(8, 2), SubtitleOptions(max_cue_s=2.0),
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(out_of_order(), st.sampled_from(SHAPES), st.booleans())
def test_times_are_in_order_and_text_is_whole_in_every_format(transcript, shaping, highlight):
    shaping = replace(shaping, highlight_words=highlight)
    letters = sorted("".join(transcript.text.split()))
    for name, text in render_all(time_order.in_order(transcript), list(FORMATS), shaping).items():
        found = times_of(name, text)
        starts = [start for start, _ in found]
        assert starts == sorted(starts), name
        assert all(start >= 0 and (end is None or end >= start) for start, end in found), name
    assert render(transcript, "srt", shaping) == render(time_order.in_order(transcript), "srt", shaping)
    for name in set(FORMATS) - SHAPED - {"json"}:
        assert render(transcript, name) == render(time_order.in_order(transcript), name), name
    cues = shape.cues(transcript, replace(shaping, highlight_words=False))
    assert sorted("".join("".join(cue.text.split()) for cue in cues)) == letters
    forbidden = ("-", ".", "'", ",", "。")
    assert not any(line.lstrip().startswith(forbidden) for cue in cues for line in cue.text.split("\n"))


def test_transcripts_in_order_stay_as_they_are():
    transcript = transcript_of(said("one two"), said("three", at_s=2.0))
    assert time_order.in_order(transcript) is transcript
    assert time_order.n_out_of_order(transcript) == 0
    assert time_order.n_out_of_order(transcript_of(*transcript.segments[::-1])) == 1
