"""Formats against openai-whisper's own writers, on the same segments."""

import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper.utils import WriteJSON, WriteSRT, WriteTSV, WriteTXT, WriteVTT

from whisperbatch.errors import FileError
from whisperbatch.records import Segment, Transcript, Word
from whisperbatch.writers import FORMATS, read_json, render_all
from whisperbatch.writers.json_ import is_ours

THEIRS = {"txt": WriteTXT, "vtt": WriteVTT, "srt": WriteSRT, "tsv": WriteTSV, "json": WriteJSON}
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
TIMES = st.one_of(
    st.floats(0, 40_000), st.sampled_from([0.0, 0.9995, 59.9996, 3599.9995, 3600.0, 0.0005, 1.0015, 86_399.9999])
)


@st.composite
def segments(draw: st.DrawFn, words: bool) -> Segment:
    start, end = sorted((draw(TIMES), draw(TIMES)))
    made = None
    if words:
        texts = draw(st.lists(TEXT.filter(lambda t: "-->" not in t), min_size=0, max_size=4))
        times = sorted(draw(TIMES) for _ in range(2 * len(texts)))
        made = tuple(Word(" " + t, times[2 * i], times[2 * i + 1], draw(st.floats(0, 1))) for i, t in enumerate(texts))
    return Segment(
        start, end, draw(TEXT), tuple(draw(st.lists(st.integers(0, 51_864), max_size=4))), draw(st.integers(0, 10**6)),
        draw(st.sampled_from([0.0, 0.2, 1.0])), draw(st.floats(-5, 0)), draw(st.floats(0, 9)), draw(st.floats(0, 1)),
        made,
    )  # fmt: skip


def transcripts(words: bool) -> st.SearchStrategy[Transcript]:
    return st.builds(
        Transcript,
        language=st.sampled_from(["en", "de", "", "yue"]),
        segments=st.lists(segments(words), max_size=5).map(tuple),
        duration_s=st.floats(0, 50_000),
        model=st.just("demo"),
        settings=st.just({"task": "transcribe"}),
        warnings=st.just(("damaged",)),
        size=st.one_of(st.none(), st.integers(1, 10**12)),
        language_probability=st.one_of(st.none(), st.floats(0, 1)),
    )


def as_theirs(transcript: Transcript) -> dict:
    """openai-whisper's result dictionary of the same segments."""
    rows = []
    for number, s in enumerate(transcript.segments):
        row = {
            "id": number, "seek": s.seek, "start": s.start_s, "end": s.end_s, "text": s.text, "tokens": list(s.tokens),
            "temperature": s.temperature, "avg_logprob": s.avg_logprob, "compression_ratio": s.compression_ratio,
            "no_speech_prob": s.no_speech_prob,
        }  # fmt: skip
        if s.words is not None:
            row["words"] = [
                {"word": w.word, "start": w.start_s, "end": w.end_s, "probability": w.probability} for w in s.words
            ]
        rows.append(row)
    return {"text": transcript.text, "segments": rows, "language": transcript.language}


def written_by_them(name: str, transcript: Transcript) -> str:
    out = io.StringIO()
    THEIRS[name](".").write_result(as_theirs(transcript), out, {})
    return out.getvalue()


@pytest.mark.parametrize("name", ["txt", "vtt", "srt", "tsv"])
@given(transcript=transcripts(words=False))
def test_text_formats_are_openai_whispers_bytes(name: str, transcript: Transcript):
    assert FORMATS[name](transcript) == written_by_them(name, transcript)


@pytest.mark.parametrize("name", ["vtt", "srt"])
@given(transcript=transcripts(words=True))
def test_cues_with_words_are_openai_whispers_bytes(name: str, transcript: Transcript):
    if any(s.words for s in transcript.segments) or not transcript.segments:
        # texts hold no "-->": theirs would leave it in, and with it a broken cue
        assert FORMATS[name](transcript) == written_by_them(name, transcript)


@given(transcript=st.one_of(transcripts(words=False), transcripts(words=True)))
def test_json_is_openai_whispers_with_one_key_more(transcript: Transcript):
    ours = FORMATS["json"](transcript)
    data = json.loads(ours)
    assert list(data) == ["text", "segments", "language", "whisperbatch"]
    del data["whisperbatch"]
    assert json.dumps(data) == written_by_them("json", transcript)
    assert ours.isascii()
    assert "\n" not in ours


@given(transcript=st.one_of(transcripts(words=False), transcripts(words=True)))
def test_json_reads_back_as_it_was(transcript: Transcript):
    assert read_json(FORMATS["json"](transcript)) == transcript


@given(transcript=transcripts(words=True))
def test_openai_whispers_json_is_read(transcript: Transcript):
    read = read_json(written_by_them("json", transcript))
    assert read.segments == transcript.segments
    assert read.language == transcript.language
    assert not is_ours(written_by_them("json", transcript))


def test_nothing_is_nan_and_no_end_is_null():
    segment = Segment(0.0, 1.0, " x", avg_logprob=math.nan, compression_ratio=math.inf)
    row = json.loads(FORMATS["json"](Transcript("en", (segment,), 1.0)))["segments"][0]
    assert (row["avg_logprob"], row["compression_ratio"]) == (0.0, 0.0)
    theirs = '{"text": "x", "segments": [{"start": 1.5, "end": null, "text": "x"}], "language": null}'
    assert read_json(theirs).segments == (Segment(1.5, 1.5, "x"),)


@pytest.mark.parametrize("data", ["", "[]", "{}", '{"segments": 3}', '{"segments": [{}]}', b"\xff\xfe", "[" * 100_000])
def test_other_files_are_told_apart_in_a_sentence(data: str | bytes):
    with pytest.raises(FileError, match="is not a transcript"):
        read_json(data)
    assert not is_ours(data)


def test_a_first_cue_without_words_does_no_harm():
    # openai-whisper's srt writer raises KeyError here
    cleared = Segment(0.0, 0.0, "")
    spoken = Segment(1.0, 2.0, " a --> b", words=(Word(" a", 1.0, 1.4, 1.0), Word(" b", 1.5, 2.0, 1.0)))
    srt = FORMATS["srt"](Transcript("en", (cleared, spoken), 2.0))
    assert "00:00:01,000 --> 00:00:02,000\na -> b\n" in srt


def test_all_formats_render():
    assert set(render_all(Transcript("en", (), 0.0), tuple(FORMATS))) == {"txt", "vtt", "srt", "tsv", "json"}
