"""Formats: byte for byte openai-whisper's writers, and what theirs break; JSON there and back."""

import csv
import io
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renderings import theirs, transcript_of
from whisperbatch import options
from whisperbatch.errors import FileError
from whisperbatch.records import Segment, Transcript, Word
from whisperbatch.writers import FORMATS, read_json, render_all
from whisperbatch.writers.time_order import in_order

EDGES = [0.0, 0.0005, 0.9994, 0.9995, 0.9996, 1.0005, 59.9994, 59.9996, 60.0, 3599.9995, 3600.0, 86_399.9999, 360_000.0]
TIMES = st.sampled_from(EDGES) | st.floats(0, 400_000, allow_nan=False)
FINITE = st.floats(-1e6, 1e6, allow_nan=False)
CHARACTERS = st.characters(exclude_categories=["Cs"])  # openai-whisper cannot write halves of surrogate pairs
TEXTS = st.lists(
    st.sampled_from([" Hello", " world.", "\t", "-->", " --> ", " ", "", "日本語", " naïve", "\u2028", '"', "<u>", "🎙"])
    | st.text(CHARACTERS, max_size=8),
    max_size=6,
).map("".join)


@st.composite
def words(draw):
    pieces = draw(st.lists(TEXTS, max_size=6))
    return tuple(Word(piece, *sorted([draw(TIMES), draw(TIMES)]), draw(st.floats(0, 1))) for piece in pieces)


@st.composite
def segments(draw, with_words=False):
    return Segment(
        *sorted([draw(TIMES), draw(TIMES)]),
        text=draw(TEXTS),
        tokens=tuple(draw(st.lists(st.integers(0, 51_864), max_size=4))),
        seek=draw(st.integers(0, 10**7)),
        temperature=draw(st.sampled_from([0.0, 0.2, 0.6000000000000001, 1.0])),
        avg_logprob=draw(FINITE),
        compression_ratio=draw(FINITE),
        no_speech_prob=draw(st.floats(0, 1)),
        words=draw(words()) if with_words else None,
    )


TRANSCRIPTS = st.builds(
    Transcript,
    language=st.sampled_from(["en", "de", ""]),
    segments=st.booleans().flatmap(lambda has_words: st.lists(segments(has_words), max_size=5)).map(tuple),
    duration_s=TIMES,
    language_probability=st.none() | st.floats(0, 1),
    speech_s=st.none() | TIMES,
    covered_s=st.none() | TIMES,
    size=st.none() | st.integers(1, 2**50),
    sha256=st.none() | st.just("ab" * 32),
    model=st.text(max_size=5),
    revision=st.none() | st.text(max_size=5),
    settings=st.just({"task": "transcribe", "language": None}),
    suspects=st.just(()) | st.just(({"start": 1.0, "why": "loop"},)),
    warnings=st.lists(st.text(max_size=5), max_size=2).map(tuple),
)


def timed_well(transcript: Transcript) -> Transcript:
    """The transcript in the order of time, segments starting with their first word."""
    segments = [replace(s, start_s=s.words[0].start_s, end_s=s.words[-1].end_s) if s.words else s
                for s in in_order(transcript).segments]  # fmt: skip
    return in_order(replace(transcript, segments=tuple(segments)))


@given(TRANSCRIPTS)
def test_txt_and_tsv_are_openai_whispers(transcript):
    transcript = timed_well(transcript)
    for name in ("txt", "tsv"):
        assert FORMATS[name](transcript) == theirs(transcript, name)


@given(TRANSCRIPTS)
def test_srt_and_vtt_are_openai_whispers(transcript):
    if any(s.words is not None for s in transcript.segments):  # there, they leave arrows in
        safe = [replace(s, words=tuple(replace(w, word=w.word.replace(">", "")) for w in s.words))
                for s in transcript.segments]  # fmt: skip
        transcript = replace(transcript, segments=tuple(safe))
    transcript = timed_well(transcript)
    for name in ("srt", "vtt"):
        assert FORMATS[name](transcript) == theirs(transcript, name)


@given(TRANSCRIPTS)
def test_json_is_openai_whispers_with_one_key_at_the_end(transcript):
    data = json.loads(FORMATS["json"](transcript))
    assert list(data) == ["text", "segments", "language", "whisperbatch"]
    del data["whisperbatch"]
    assert json.dumps(data) == theirs(transcript, "json")
    assert FORMATS["json"](transcript).startswith(theirs(transcript, "json")[:-1] + ', "whisperbatch": {"schema": 1, ')


@given(TRANSCRIPTS)
def test_json_read_back_is_the_same_transcript(transcript):
    text = FORMATS["json"](transcript)
    assert text.isascii()
    assert "\n" not in text
    assert read_json(text) == transcript
    assert read_json(text.encode()) == transcript


@given(TRANSCRIPTS)
def test_openai_whispers_json_is_read_and_rendered_the_same(transcript):
    read = read_json(theirs(transcript, "json"))
    assert read.segments == transcript.segments
    for name in ("txt", "srt", "vtt", "tsv"):
        assert FORMATS[name](read) == FORMATS[name](transcript)


def test_all_formats_are_the_options_formats_in_their_order():
    assert tuple(FORMATS) == options.FORMATS
    texts = render_all(transcript_of(Segment(0, 1, " Hi.")), ("srt", "txt"))
    assert texts == {"srt": "1\n00:00:00,000 --> 00:00:01,000\nHi.\n\n", "txt": "Hi.\n"}


def test_an_empty_transcript_has_what_openai_whispers_has():
    for name in ("txt", "srt", "vtt", "tsv"):
        assert FORMATS[name](transcript_of()) == theirs(transcript_of(), name)


def test_long_words_break_lines_and_a_thousand_words_break_cues_as_there():
    long = tuple(Word(f" {'x' * 300}{i}", i, i + 0.5, 1.0) for i in range(5))
    many = tuple(Word(" a", i / 10, i / 10 + 0.05, 1.0) for i in range(2100))
    transcript = transcript_of(Segment(0, 5, "x", words=long), Segment(5, 250, "a", words=many))
    assert FORMATS["srt"](transcript) == theirs(transcript, "srt")
    assert FORMATS["srt"](transcript).count("-->") == 4
    assert f"{'x' * 300}3\n" not in theirs(transcript, "srt").split("\n\n")[1]


def test_an_arrow_is_replaced_in_words_too():
    transcript = transcript_of(Segment(0, 1, " a --> b", words=(Word(" a", 0, 0.2, 1), Word(" --> b", 0.2, 1, 1))))
    assert "a --> b" in theirs(transcript, "srt")
    assert FORMATS["srt"](transcript) == theirs(transcript, "srt").replace("a --> b", "a -> b")


def test_a_cleared_first_segment_does_not_cost_the_others():
    cleared, spoken = Segment(0, 0, "", words=()), Segment(1, 2, " Hello.")
    with pytest.raises(KeyError):
        theirs(transcript_of(cleared, spoken), "srt")
    first_plain = theirs(transcript_of(replace(cleared, words=None), spoken), "srt")
    assert FORMATS["srt"](transcript_of(cleared, spoken)) == first_plain
    with_words = transcript_of(cleared, Segment(1, 2, " Hello.", words=(Word(" Hello.", 1.1, 1.9, 0.5),)))
    assert FORMATS["srt"](with_words) == theirs(with_words, "srt") != ""
    later = transcript_of(spoken, replace(cleared, start_s=2, end_s=2))
    assert FORMATS["vtt"](later) == theirs(later, "vtt")
    only = transcript_of(cleared)
    assert FORMATS["srt"](only) == theirs(only, "srt") == ""


def test_text_without_word_times_among_words_keeps_its_cue():
    transcript = transcript_of(
        Segment(0, 1, " One.", words=(Word(" One.", 0.1, 0.9, 1),)),
        Segment(1, 2, " Two.", words=None),
        Segment(2, 3, "", words=()),
    )
    assert [line for line in FORMATS["vtt"](transcript).splitlines()[2:] if line] == [
        "00:00.100 --> 00:00.900", "One.", "00:01.000 --> 00:02.000", "Two.",
    ]  # fmt: skip


ODD = transcript_of(
    Segment(0.0, 59.999, ' He said "yes",\tthen\nno.'),
    Segment(59.999, 3725.6789, " Back\\Nslash {\\b1} and --> arrow"),
    Segment(6000.0, 6001.0, ""),
)


def test_lrc_is_whisper_cpps_with_hundredths_cut():
    assert FORMATS["lrc"](ODD).splitlines() == [
        "[by:whisperbatch]",
        '[00:00.00] He said "yes",\tthen no.',
        "[00:59.99] Back\\Nslash {\\b1} and --> arrow",
        "[100:00.00]",
    ]


def test_csv_is_whisper_cpps_and_read_by_others():
    text = FORMATS["csv"](ODD)
    assert text.startswith('start,end,text\n0,59999," He said ""yes"",\tthen\nno."\n')
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[1:] == [[str(round(s.start_s * 1000)), str(round(s.end_s * 1000)), s.text] for s in ODD.segments]


def test_aud_is_whisperxs_a_line_a_segment():
    assert FORMATS["aud"](ODD).splitlines() == [
        '0.0\t59.999\tHe said "yes", then no.',
        "59.999\t3725.6789\tBack\\Nslash {\\b1} and --> arrow",
        "6000.0\t6001.0\t",
    ]


def test_ass_has_no_commands_out_of_the_text():
    lines = FORMATS["ass"](ODD).split("[Events]\n")[1].splitlines()[1:]
    assert lines[0] == 'Dialogue: 0,0:00:00.00,0:01:00.00,Default,,0,0,0,,He said "yes",\tthen\\Nno.'
    assert lines[1] == (
        "Dialogue: 0,0:01:00.00,1:02:05.68,Default,,0,0,0,,Back\\\u2060Nslash \\{\\\u2060b1\\} and --> arrow"
    )
    highlighted = transcript_of(Segment(0, 1, " a b", words=(Word(" a", 0, 0.5, 1), Word(" b", 0.5, 1, 1))))
    events = FORMATS["ass"](highlighted, options.SubtitleOptions(highlight_words=True)).splitlines()[-2:]
    assert [event.split(",,")[-1] for event in events] == [r"{\u1}a{\u0} b", r"a {\u1}b{\u0}"]


def test_nothing_in_the_json_is_nan_or_infinite():
    bad = math.nan
    word = Word(" a", math.inf, bad, bad)
    segment = Segment(1.0, math.inf, " a", avg_logprob=-math.inf, compression_ratio=bad, words=(word,))
    transcript = Transcript(
        "en", (segment,), duration_s=bad, speech_s=bad, settings={"x": [bad, 1.5]}, suspects=({"y": math.inf},)
    )

    def refuse(name):
        raise AssertionError(name)

    data = json.loads(FORMATS["json"](transcript), parse_constant=refuse)
    assert data["segments"][0]["end"] == 1.0
    assert data["whisperbatch"]["settings"] == {"x": [None, 1.5]}
    assert data["whisperbatch"]["speech_seconds"] is None


def test_numbers_are_floats_whatever_the_engine_gave():
    data = json.loads(FORMATS["json"](transcript_of(Segment(0, 2, " a", words=(Word(" a", 0, 1, 1),)))))
    entry = data["segments"][0]
    keys = "start end temperature avg_logprob compression_ratio no_speech_prob".split()
    assert all(isinstance(entry[key], float) for key in keys)
    assert all(isinstance(entry["words"][0][key], float) for key in ("start", "end", "probability"))


def test_our_block_has_these_keys_and_nothing_of_the_run():
    block = json.loads(FORMATS["json"](transcript_of()))["whisperbatch"]
    assert (
        list(block)
        == (
            "schema version model revision settings duration size sha256 language_probability speech_seconds "
            "covered_seconds suspects warnings"
        ).split()
    )


def test_what_follows_openai_whisper_loosely_is_read():
    data = {
        "segments": [
            {"start": 1, "end": None, "text": " a", "extra": 1, "avg_logprob": math.nan},
            {"start": 2, "end": 4, "text": " b 7", "words": [
                {"word": " b", "start": 2.5, "end": 3, "score": 0.5}, {"word": " 7"}]},
        ],
    }  # fmt: skip
    read = read_json(json.dumps(data))
    assert (read.language, read.duration_s, read.size) == ("", 4.0, None)
    assert read.segments[0] == Segment(1.0, 1.0, " a")
    assert read.segments[1].words == (Word(" b", 2.5, 3.0, 0.5), Word(" 7", 3.0, 3.0, 0.0))


@pytest.mark.parametrize(
    "data",
    [
        "", "null", "[]", "7", "{}", '{"segments": 3}', '{"segments": [{"start": 0, "end": 1}]}', b"\xff\xfe\x00",
        '{"segments": [{"start": NaN, "text": "a"}]}', '{"segments": [{"start": 0, "text": null}]}',
        '{"segments": [{"start": 0, "text": "a", "seek": 1e999}]}', '{"segments": [], "whisperbatch": 7}',
        '{"segments": [], "whisperbatch": {"settings": 7}}', '{"segments": [{"start": "x", "text": "a"}]}',
        '{"segments": [{"start": 0, "end": "1", "text": "a"}]}', "[" * 100_000, b"RIFF\x00\x00WAVE",
        '{"segments": [{"start": 0, "text": "a", "words": [{"start": 1}]}]}',
    ],
)  # fmt: skip
def test_what_is_no_transcript_is_refused_in_one_sentence(data, tmp_path):
    with pytest.raises(FileError) as caught:
        read_json(data, tmp_path / "x.json")
    assert caught.value.path == tmp_path / "x.json"
    assert caught.value.message.startswith("this is not a transcript")
