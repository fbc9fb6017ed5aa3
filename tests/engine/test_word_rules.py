"""Words, their durations and made-up text, by openai-whisper's own functions. Policy only: no model runs."""

from collections.abc import Sequence
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
import whisper
from hypothesis import given, settings
from hypothesis import strategies as st
from whisper.timing import WordTiming, add_word_timestamps, dtw_cpu, merge_punctuations
from whisper.tokenizer import get_tokenizer

from whisperbatch.engine.device.dtw import first_frames
from whisperbatch.engine.scheduling import hallucinations, words
from whisperbatch.engine.scheduling.file_request import FileRequest
from whisperbatch.engine.scheduling.quality import Decoded, Judge
from whisperbatch.engine.scheduling.words import Timings, WordRules
from whisperbatch.options import DecodeOptions, OutputOptions, RunOptions, SubtitleOptions
from whisperbatch.records import Clip, ClipSettings, Segment, Word

ENGLISH = get_tokenizer(True, language="en", task="transcribe")
BEGIN, END = ENGLISH.timestamp_begin, ENGLISH.eot
TEXTS = {
    "en": " \"Well,\" he said - it's (almost) 10.30 p.m.... isn't it?! [Laughs] €5, naïve café.",
    "de": " „Grüß Gott“, sagte Frau Müller-Lüdenscheidt; die Straße heißt „Am Äußeren Weg“.",
    "ru": " Привет, мир! Как дела?",
    "ar": " مرحبا بالعالم، كيف حالك؟",
    "ko": " 안녕하세요, 만나서 반갑습니다.",
    "zh": "「你好,」他说:今天天气很好。龘䶮",
    "ja": " 今日はいい天気ですね。😀 鬱蒼とした森、🏳️‍🌈",
    "th": "สวัสดีครับ วันนี้อากาศดี",
    "my": "မင်္ဂလာပါ",
    "yue": "你食咗飯未呀?",
    "hi": " नमस्ते, आप कैसे हैं?",
}


@pytest.mark.parametrize("language", TEXTS)
def test_words_are_split_as_openai_whisper_splits_them(language: str):
    theirs = get_tokenizer(True, num_languages=100, language=language, task="transcribe")
    tokens = theirs.encode(TEXTS[language])
    for part in (tokens, tokens[1:], tokens[:-1], tokens[::2]):  # characters without beginning or end too
        texts, rows = theirs.split_to_word_tokens([*part, theirs.eot])
        found = words.split(part, language, theirs.decode)
        assert sum(n_tokens for _, n_tokens in found) == len(part)
        if rows[-1] == [theirs.eot]:  # else bytes that spell nothing take the last word with them
            assert found == [(text, len(row)) for text, row in zip(texts[:-1], rows[:-1], strict=True)]
        else:
            assert found[: len(rows) - 1] == [(t, len(row)) for t, row in zip(texts[:-1], rows[:-1], strict=True)]


def test_languages_without_spaces_are_split_at_characters():
    tokens = ENGLISH.encode(TEXTS["zh"])
    assert len(words.split(tokens, "zh", ENGLISH.decode)) > len(words.split(tokens, "en", ENGLISH.decode))


PIECES = st.sampled_from(
    [" Yes", " no", " one", "teen", ".", "!", ",", ' "', '"', " (", ")", " -", " ", " 3", "。", "…"]
)
STEPS = st.sampled_from([0, 0, 1, 5, 10, 15, 20, 40, 150])


@st.composite
def spoken(draw: st.DrawFn) -> tuple[list[Segment], Timings]:
    """Segments of a window with tokens, and when their tokens begin."""
    made, tokens = [], []
    for _ in range(draw(st.integers(1, 4))):
        text = ENGLISH.encode("".join(draw(st.lists(PIECES, max_size=7))))
        start = draw(st.integers(0, 1400)) / 50
        end = start + draw(st.integers(0, 200)) / 50
        made.append(Segment(100 + start, 100 + end, "", (BEGIN, *text, BEGIN + 5)))
        tokens += text
    starts = np.cumsum([draw(st.integers(0, 100)), *(draw(STEPS) for _ in tokens)]) / 50
    chances = [draw(st.floats(0.01, 1.0)) for _ in tokens]
    return made, Timings(starts.tolist(), chances)


def openai_words(segments: Sequence[Segment], timings: Timings, last_spoken_s: float) -> list[dict]:
    """What openai-whisper's ``add_word_timestamps`` makes of the same times."""

    def find_alignment(model: object, tokenizer: object, tokens: list[int], *rest: object) -> list[WordTiming]:
        texts, rows = ENGLISH.split_to_word_tokens([*tokens, END])
        if len(rows) <= 1:
            return []
        bounds = np.pad(np.cumsum([len(row) for row in rows[:-1]]), (1, 0))
        starts = np.array(timings.starts_s)
        return [
            WordTiming(text, row, starts[i], starts[j], np.mean(timings.probabilities[i:j]))
            for text, row, i, j in zip(texts, rows, bounds[:-1], bounds[1:], strict=False)
        ]

    made = [{"seek": 10_000, "start": s.start_s, "end": s.end_s, "tokens": list(s.tokens)} for s in segments]
    with mock.patch("whisper.timing.find_alignment", find_alignment):
        add_word_timestamps(
            segments=made, model=None, tokenizer=ENGLISH, mel=None, num_frames=3000, last_speech_timestamp=last_spoken_s
        )
    return made


@settings(deadline=None, max_examples=400)
@given(spoken(), st.sampled_from([0.0, 99.0, 100.0]))
def test_words_and_segments_get_openai_whispers_times(said: tuple[list[Segment], Timings], last_spoken_s: float):
    segments, timings = said
    theirs = openai_words(segments, timings, last_spoken_s)
    rules = WordRules(DecodeOptions(word_timestamps=True), ENGLISH.decode, END)
    ours = rules.add(segments, timings if timings.probabilities else None, "en", 100.0, last_spoken_s)
    assert [(s.start_s, s.end_s) for s in ours] == [(s["start"], s["end"]) for s in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert [(w.word, w.start_s, w.end_s, w.probability) for w in one.words] == [
            (w["word"], w["start"], w["end"], w["probability"]) for w in other["words"]
        ]
    assert [s.words for s in segments] == [None] * len(segments)  # what was given is left alone


@given(st.lists(PIECES, max_size=9), st.text("\"'“¿([{-.", max_size=4), st.text("\"'.。,!?)", max_size=4))
def test_marks_are_merged_as_openai_whisper_merges_them(texts: list[str], prepended: str, appended: str):
    theirs = [WordTiming(text, [7], 0.0, 0.0, 1.0) for text in texts]
    merge_punctuations(theirs, prepended, appended)
    ours = [words.Timed(text, 1, 0.0, 0.0, 1.0) for text in texts]
    words.merge_marks(ours, prepended, appended)
    assert [(one.word, one.n_tokens) for one in ours] == [(one.word, len(one.tokens)) for one in theirs]


def test_the_ways_of_many_windows_are_those_of_openai_whispers_dtw():
    rng = np.random.default_rng(3)
    for kind in range(30):
        sizes = [(int(rng.integers(1, 25)), int(rng.integers(1, 90))) for _ in range(4)]
        costs = np.zeros((4, max(n for n, _ in sizes), max(m for _, m in sizes)), np.float32)
        costs += rng.normal(size=costs.shape).astype(np.float32)  # what pads has no meaning
        if kind % 3 == 0:
            costs[:, :, 1:] *= 1e-6  # sums that float32 could not tell apart
        if kind % 3 == 1:
            costs = costs.round()  # ties
        if kind % 3 == 2:
            costs[:, :, rng.integers(costs.shape[2])] = np.nan
        found = first_frames(costs, *np.array(sizes).T)
        for (n, m), cost, ours in zip(sizes, costs, found, strict=True):
            rows, columns = dtw_cpu(cost[:n, :m].astype(np.float64))
            jumps = np.pad(np.diff(rows), (1, 0), constant_values=1).astype(bool)
            assert ours[:n].tolist() == columns[jumps].tolist()
            assert not ours[n:].any()


@st.composite
def doubtful(draw: st.DrawFn) -> tuple[list[int], list[list[Word]], list[tuple[float, float]]]:
    """A window's tokens; each segment's words and its times after alignment."""
    tokens, said, times, now = [], [], [], draw(st.sampled_from([0.0, 0.4, 3.0, 20.0, 26.0]))
    n = draw(st.integers(1, 4))
    for index in range(n):
        mine = []
        for _ in range(draw(st.integers(0, 4))):
            length = draw(st.sampled_from([0.02, 0.06, 0.12, 0.3, 0.5, 2.6, 4.5]))
            chance = draw(st.sampled_from([0.05, 0.14, 0.5, 0.9]))
            mine.append(Word(draw(st.sampled_from([" word", ".", " more"])), now, round(now + length, 2), chance))
            now = round(now + length, 2)
        said.append(mine)
        start, end = (mine[0].start_s, mine[-1].end_s) if mine else (now, round(now + 0.4, 2))
        times.append((start, end))
        tokens += [BEGIN + round(start * 50), *ENGLISH.encode(" word"), BEGIN + min(1500, round(end * 50))]
        now = round(now + draw(st.sampled_from([0.0, 0.1, 0.7, 1.4, 2.5, 6.0])), 2)
        if index == n - 1 and draw(st.booleans()):
            tokens.append(tokens[-1])  # else the text ends in a single timestamp
    return tokens, said, times


class Scripted:
    """An openai-whisper model whose decoder says what it is told, and then one word a window."""

    def __init__(self, tokens: list[int]) -> None:
        self.dims = SimpleNamespace(n_mels=80, n_audio_ctx=1500, n_text_ctx=448)
        self.device, self.is_multilingual, self.num_languages = torch.device("cpu"), True, 99
        self._tokens = tokens

    def decode(self, mel: torch.Tensor, options: object) -> object:
        tokens, self._tokens = self._tokens, [BEGIN, *ENGLISH.encode(" later"), BEGIN + 1500]
        return whisper.decoding.DecodingResult(
            audio_features=mel, language="en", tokens=tokens, text=" x", avg_logprob=0.0, no_speech_prob=0.0,
            temperature=0.0, compression_ratio=1.0,
        )  # fmt: skip


def openai_decision(script: tuple, seconds: float, threshold_s: float | None) -> tuple[list, int | None, float | None]:
    """The tokens that openai-whisper keeps of the first window, where it goes on, and where speech ended before that.

    Both are None when it does not go on.
    """
    tokens, said, times = script
    calls: list[int] = []
    spoken_s: list[float] = []

    def add(*, segments: list[dict], **rest: object) -> None:
        calls.append(segments[0]["seek"])
        spoken_s.append(rest["last_speech_timestamp"])
        for index, segment in enumerate(segments):
            segment["words"] = []
            if len(calls) == 1:
                segment["start"], segment["end"] = times[index]
                segment["words"] = [
                    {"word": w.word, "start": w.start_s, "end": w.end_s, "probability": w.probability}
                    for w in said[index]
                ]

    with mock.patch("whisper.transcribe.add_word_timestamps", add):
        found = whisper.transcribe(
            Scripted(tokens), np.zeros(round(seconds * 16_000), np.float32), language="en", temperature=0.0, fp16=False,
            word_timestamps=True, hallucination_silence_threshold=threshold_s,
        )  # fmt: skip
    kept = [tuple(s["tokens"]) for s in found["segments"] if s["seek"] == 0]
    return (kept, calls[1], spoken_s[1]) if len(calls) > 1 else (kept, None, None)


class English:
    """As much of ``engine/spelling`` as a request asks for."""

    encode, decode = staticmethod(ENGLISH.encode), staticmethod(ENGLISH.decode)
    end, timestamp_begin = END, BEGIN


@settings(deadline=None, max_examples=300)
@given(doubtful(), st.sampled_from([30.0, 31.0, 45.0]), st.sampled_from([None, 0.3, 1.0, 2.0]))
def test_made_up_text_is_skipped_where_openai_whisper_skips_it(
    script: tuple, seconds: float, threshold_s: float | None
):
    tokens, said, times = script
    kept, seek, spoken_s = openai_decision(script, seconds, threshold_s)
    options = DecodeOptions(word_timestamps=True, hallucination_silence_threshold=threshold_s)
    clip = Clip(0, 0, 0.0, np.zeros(round(seconds * 16_000), np.int16), ClipSettings("en", long_form="sequential"))
    request = FileRequest(clip, 0, English(), options, Judge(options, faithful=True))
    window = request.next()
    window.tried.append(Decoded(tuple(tokens), " x", 0.0, 0.0, 0.0))

    def add(segments: Sequence[Segment], *rest: object) -> list[Segment]:
        return [
            Segment(start, end, one.text, one.tokens, one.seek, words=tuple(mine))
            for one, mine, (start, end) in zip(segments, said, times, strict=True)
        ]

    with mock.patch.object(request._words, "add", add):
        ours = request.settle(window)
    assert [one.tokens for one in ours] == kept
    after = request.next()
    assert (after and after.start) == seek
    assert after is None or request._last_spoken_s == spoken_s


def test_material_for_every_decision_is_there():
    """The test above would say nothing if its windows were never doubtful."""
    long = [Word(" word", 5.0, 9.5, 0.1), Word(" word", 9.5, 14.0, 0.05)]
    one = Segment(5.0, 14.0, " word word", words=tuple(long))
    assert hallucinations.is_anomaly(one)
    stretch = hallucinations.Stretch(0, 3000, 6000)
    assert hallucinations.skip([one], stretch, 3000, 1.0, 0.0, ends_in_one=False) == hallucinations.Verdict(
        [], 500, True
    )
    fine = Segment(1.0, 4.0, " fine", words=(Word(" fine", 1.0, 1.6, 0.9), Word(" words", 1.6, 2.2, 0.9)))
    late = Segment(25.0, 29.0, " made up", words=(Word(" up", 25.0, 29.0, 0.05),))
    assert hallucinations.skip([fine, late], stretch, 3000, 1.0, 0.0, ends_in_one=True) == hallucinations.Verdict(
        [fine], 2500
    )


def test_shaped_subtitles_turn_word_times_on():
    assert not RunOptions().decode.word_timestamps
    shaped = RunOptions(output=OutputOptions(subtitles=SubtitleOptions(max_line_width=20)))
    assert shaped.decode.word_timestamps
    assert RunOptions(decode=DecodeOptions(beam_size=2), output=shaped.output).decode.beam_size == 2
