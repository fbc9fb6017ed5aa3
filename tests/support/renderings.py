"""Transcripts made up for tests, and what openai-whisper's own writers make of them."""

import io
from dataclasses import replace

from hypothesis import strategies as st
from whisper.utils import get_writer

from whisperbatch.records import Segment, Transcript, Word


def theirs(transcript: Transcript, name: str, **shaping: object) -> str:
    """What openai-whisper's own writer makes of the same segments."""
    entries = []
    for number, s in enumerate(transcript.segments):
        entry = {
            "id": number,
            "seek": s.seek,
            "start": s.start_s,
            "end": s.end_s,
            "text": s.text,
            "tokens": list(s.tokens),
            "temperature": s.temperature,
            "avg_logprob": s.avg_logprob,
            "compression_ratio": s.compression_ratio,
            "no_speech_prob": s.no_speech_prob,
        }
        if s.words is not None:
            entry["words"] = [
                {"word": w.word, "start": w.start_s, "end": w.end_s, "probability": w.probability} for w in s.words
            ]
        entries.append(entry)
    stream = io.StringIO()
    result = {"text": transcript.text, "segments": entries, "language": transcript.language}
    get_writer(name, ".").write_result(result, file=stream, **shaping)
    return stream.getvalue()


def transcript_of(*segments: Segment) -> Transcript:
    return Transcript("en", segments, duration_s=60.0)


PIECES = st.sampled_from(
    [" Hello", " world.", " I", "ll", ",", " -", "->", "-->", " --> x", "\t", " ", "", "日本", "語。", " שלום",
     " مرحبا", "🎙", " 👩‍👩‍👧", " x" * 3, " <u>", " {a}", " \\N", " \u2028b", "\n", " a\nb", " c\n",
     " Donaudampfschifffahrtsgesellschaft" * 3]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)  # fmt: skip


def spoken(pieces, times):
    """Words one after another; each time is a pause and a length in milliseconds."""
    words, at_ms = [], 0
    for piece, (pause, length) in zip(pieces, times, strict=True):
        words.append(Word(piece, (at_ms + pause) / 1000, (at_ms + pause + length) / 1000, 0.5))
        at_ms += pause + length
    return words


@st.composite
def transcripts(draw):
    """Words in time, with pauses around the three seconds at which cues break, cut into segments."""
    pieces = draw(st.lists(PIECES, max_size=30))
    gap = st.sampled_from([0, 0, 1, 80, 2900, 3000, 3001, 5000])
    length = st.sampled_from([0, 1, 100, 250, 999])
    words = spoken(pieces, draw(st.lists(st.tuples(gap, length), min_size=len(pieces), max_size=len(pieces))))
    segments = []
    words = [w if w.word[:1].isspace() or w.word[:1] in {"日", "語"} else replace(w, word=f" {w.word}") for w in words]
    while words:
        n_words = draw(st.integers(0, 9))
        part, words = tuple(words[:n_words]), words[n_words:]
        ends = (part[0].start_s, part[-1].end_s) if part else (0.0, 0.0)
        segments.append(Segment(*ends, "".join(word.word for word in part), words=part))
    return transcript_of(*segments)


def words(text: str, at_s: float = 0.0, probability: float = 0.9, speaker: str | None = None) -> Segment:
    """A segment of a text, a word every half second."""
    pieces = text.split()
    made = tuple(
        Word(f" {piece}", at_s + k / 2, at_s + k / 2 + 0.4, probability, speaker) for k, piece in enumerate(pieces)
    )
    return Segment(at_s, made[-1].end_s, f" {text}", words=made, speaker=speaker)


TALK = replace(
    transcript_of(
        words("Good day and welcome.", 1.0, speaker="SPEAKER_00"),
        words("Thank you.", 3.2, 0.3, speaker="SPEAKER_01"),
        words("It is *nice* to be here & there.", 4.5, speaker="SPEAKER_01"),
        Segment(12.0, 13.0, " A pause later.", speaker="SPEAKER_01"),
        Segment(3_725.0, 3_726.0, " 1. The end <of it>."),
    ),
    language="en",
    duration_s=3_730.0,
)
