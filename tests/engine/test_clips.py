"""Clips mode: a clip is heard to its end, its gaps once more, doubts are told. A fake device, no torch."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from fake_device import BEGIN, LETTERS, LONG, FakeDevice, FakeSpeller, clip, make, run
from whisperbatch.engine import EngineFacts
from whisperbatch.engine.scheduling import coverage
from whisperbatch.engine.scheduling.continuous_batching import ContinuousEngine
from whisperbatch.engine.scheduling.quality import Decoded
from whisperbatch.engine.scheduling.request import Window
from whisperbatch.engine.scheduling.words import Timings
from whisperbatch.options import DecodeOptions
from whisperbatch.records import Clip, ClipText, Segment

ONCE = DecodeOptions(temperatures=(0.0,))
LOOP = " The same words again." * 30


def at(seconds: float) -> int:
    return BEGIN + round(seconds * 50)


def spoken(*spans: tuple[float, float], rest: float | None = None, **figures: object) -> Callable[[Window], Decoded]:
    """A window's text: a word a span, in seconds of the window; ``rest`` begins one that is not finished."""
    tokens = [token for k, (start_s, end_s) in enumerate(spans) for token in (at(start_s), 500 + k, at(end_s))]
    tokens += [] if rest is None else [at(rest)]
    return lambda window: told(window, tuple(tokens), **figures)


def told(window: Window, tokens: tuple[int, ...], *, text: str = " words", logprob: float = -0.2, silence: float = 0.0):
    return Decoded(tokens, text, 0.2 * len(window.tried), logprob, silence)


def script(*parts: Callable[[Window], Decoded]) -> Callable[[Window], Decoded]:
    """One verdict after the other; the last for all that come after."""
    left = list(parts)
    return lambda window: (left.pop(0) if len(left) > 1 else left[0])(window)


def hear(verdict, options: DecodeOptions = ONCE, **asked) -> tuple[ClipText, FakeDevice]:
    device = FakeDevice(2, verdict=verdict)
    answer = run(make(device, options), [clip(0, language="en", **asked)])[0, 0]
    assert isinstance(answer, ClipText)
    return answer, device


def spans(text: ClipText) -> list[tuple[float, float]]:
    return [(one.start_s, one.end_s) for one in text.segments]


def test_a_clip_is_heard_until_its_audio_is_used_up():
    verdict = script(spoken((0.0, 4.0), rest=4.0), spoken((1.0, 5.0), rest=5.0), spoken((0.0, 2.0)))
    text, device = hear(verdict, seconds=20.0)
    assert [(window.start, window.n_frames) for window in device.ended] == [(0, 2000), (400, 1600), (900, 1100)]
    assert spans(text) == [(0.0, 4.0), (5.0, 9.0), (9.0, 11.0)]
    assert [one.seek for one in text.segments] == [0, 400, 900]
    assert device.n_encoded == 3


def test_a_window_that_stands_still_is_left_after_a_second():
    verdict = script(spoken((0.0, 0.02), rest=0.02), spoken((0.0, 3.0)))
    _, device = hear(verdict, seconds=10.0)
    assert [window.start for window in device.ended] == [0, 100]


def test_a_rest_too_short_for_a_word_is_left():
    _, device = hear(script(spoken((0.0, 9.92), rest=9.92), spoken((0.0, 0.04))), seconds=10.0)
    assert len(device.ended) == 1
    _, device = hear(script(spoken((0.0, 9.9), rest=9.9), spoken((0.0, 0.04))), seconds=10.0)
    assert [window.start for window in device.ended] == [0, 990]


@pytest.mark.parametrize("n_samples", [0, 1, 159])
def test_a_clip_shorter_than_a_frame_has_no_window(n_samples: int):
    text, device = hear(spoken((0.0, 0.02)), seconds=n_samples / 16_000)
    assert (text.segments, device.ended) == ((), [])


def test_a_clip_of_a_frame_has_one():
    text, device = hear(spoken((0.0, 0.02)), seconds=0.011)
    assert [window.n_frames for window in device.ended] == [1]
    assert spans(text) == [(0.0, 0.01)]


def test_times_lie_in_the_audio_and_what_begins_beyond_it_is_dropped():
    text, _ = hear(spoken((0.0, 7.0), (7.5, 9.0)), seconds=5.0)
    assert spans(text) == [(0.0, 5.0)]


def test_blank_segments_are_dropped():
    blank = lambda window: told(window, (at(0.0), at(2.0), at(2.0), 500, at(4.0)))  # noqa: E731
    text, _ = hear(blank, seconds=4.0)
    assert spans(text) == [(2.0, 4.0)]
    text, _ = hear(lambda window: told(window, ()), seconds=4.0)
    assert text.segments == ()


def test_silence_is_skipped_to_the_clips_end():
    text, device = hear(spoken((0.0, 1.0), rest=1.0, silence=0.9, logprob=-2.0), seconds=12.0)
    assert (text.segments, len(device.ended)) == ((), 1)


# second looks

SPEECH = ((0.5, 9.5), (12.0, 19.0))


def test_speech_without_text_is_heard_once_more():
    verdict = script(spoken((0.5, 4.0), (15.0, 19.0)), spoken((0.0, 5.0)), lambda window: told(window, ()))
    text, device = hear(verdict, seconds=20.0, speech=SPEECH)
    looks = [(window.start, window.n_frames) for window in device.ended if window.is_gap]
    assert looks == [(400, 550), (1200, 300)]
    assert spans(text) == [(0.5, 4.0), (4.0, 9.0), (15.0, 19.0)]
    assert text.covered_s == pytest.approx(3.5 + 5.0 + 4.0)
    assert [dict(one) for one in text.suspects] == [{"start": 12.0, "end": 15.0, "reason": "speech without text"}]
    assert device.n_encoded == 3


def test_a_gap_is_looked_at_once_and_its_own_gaps_never():
    text, device = hear(script(spoken((0.0, 1.0)), lambda window: told(window, ())), seconds=20.0, speech=SPEECH)
    assert [window.is_gap for window in device.ended] == [False, True, True]
    assert {one["reason"] for one in text.suspects} == {"speech without text"}


def test_short_gaps_and_clips_without_spans_and_without_the_option_get_no_second_look():
    verdict = spoken((0.0, 7.6))
    for options, speech in ((ONCE, ((0.0, 9.5),)), (ONCE, ()), (DecodeOptions(second_pass=False), SPEECH)):
        text, device = hear(verdict, options, seconds=20.0, speech=speech)
        assert len(device.ended) == 1
        assert (text.covered_s is None) == (not speech)


def test_a_second_look_that_finds_silence_leaves_a_suspect():
    nothing = spoken((0.0, 1.0), silence=0.9, logprob=-2.0)
    text, _ = hear(script(spoken((0.0, 9.5)), nothing), seconds=20.0, speech=SPEECH)
    assert [(one["start"], one["end"]) for one in text.suspects] == [(12.0, 19.0)]
    assert text.covered_s == pytest.approx(9.0)


def test_speech_said_to_lie_beyond_the_audio_does_no_harm():
    text, _ = hear(script(spoken((0.0, 4.0)), spoken((0.0, 1.0))), seconds=5.0, speech=((0.0, 9.0), (11.0, 20.0)))
    assert all(end_s <= 5.0 for _, end_s in spans(text))


def test_segments_within_others_uncover_nothing():
    heard = [Segment(0.0, 10.0, " long"), Segment(2.0, 4.0, " within"), Segment(30.0, 31.0, " elsewhere")]
    assert coverage.uncovered([(0.0, 20.0), (25.0, 26.0)], heard) == [(10.0, 20.0)]
    assert coverage.covered_s([(0.0, 20.0), (25.0, 26.0)], heard) == 10.0


# doubts


def test_a_loop_that_no_temperature_mends_is_kept_and_told():
    options = DecodeOptions(temperatures=(0.0, 0.2))
    text, device = hear(spoken((0.0, 4.0), text=LOOP), options, seconds=4.0)
    assert len(device.ended) == 2
    assert [dict(one) for one in text.suspects] == [{"start": 0.0, "end": 4.0, "reason": "the text repeats itself"}]


def test_of_failed_tries_the_likeliest_that_is_no_loop_is_kept():
    verdict = script(spoken((0.0, 1.0), text=LOOP), spoken((0.0, 2.0), logprob=-1.5), spoken((0.0, 3.0), logprob=-1.9))
    text, _ = hear(verdict, DecodeOptions(temperatures=(0.0, 0.2, 0.4)), seconds=4.0)
    assert spans(text) == [(0.0, 2.0)]
    assert text.segments[0].temperature == pytest.approx(0.2)
    assert [one["reason"] for one in text.suspects] == ["the text is improbable"]


def test_a_loop_is_no_silence():
    verdict = script(spoken((0.0, 4.0), text=LOOP, silence=0.9, logprob=-2.0), spoken((0.0, 4.0), silence=0.9))
    text, device = hear(verdict, DecodeOptions(temperatures=(0.0, 0.2)), seconds=4.0)
    assert len(device.ended) == 2
    assert spans(text) == [(0.0, 4.0)]


@pytest.mark.parametrize("seed", range(30))
def test_any_text_ends_in_time_and_in_order(seed: int):
    rng = np.random.default_rng(seed)

    def verdict(window: Window) -> Decoded:
        times = np.sort(rng.uniform(0, 30, rng.integers(0, 7)))
        pairs = list(zip(times[::2], times[1::2], strict=False))
        rest = float(times[-1]) if len(times) % 2 else None
        return spoken(*pairs, rest=rest, logprob=float(rng.choice([-0.1, -2.0])), silence=rng.random())(window)

    seconds = float(rng.uniform(0.0, 30.0))
    edges = np.sort(rng.uniform(0, seconds, 6))
    speech = tuple((float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=True))
    text, device = hear(verdict, DecodeOptions(), seconds=seconds, speech=speech)
    assert all(0 <= start_s <= end_s <= seconds + 0.01 for start_s, end_s in spans(text))
    assert spans(text) == sorted(spans(text), key=lambda span: span[0])
    assert len([window for window in device.ended if not window.tried[:-1]]) <= 31 + 3
    assert text.covered_s <= sum(b - a for a, b in speech) + 1e-6


def further(*spans_s: tuple[float, float], rest: float | None = None, **figures: object) -> Callable[[Window], Decoded]:
    """What a window says that goes on: it begins with text, since its time is given."""
    made = spoken(*spans_s, rest=rest, **figures)
    return lambda window: replace(told := made(window), tokens=told.tokens[1:])


def test_speech_behind_a_texts_end_is_said_in_the_same_window():
    verdict = script(spoken((0.0, 4.0), rest=4.0), further((4.0, 9.0), rest=9.0), further((9.0, 12.0)))
    text, device = hear(verdict, seconds=12.5, speech=((0.0, 12.0),))
    assert device.n_encoded == 1
    assert [window.resume_tokens[-1:] for window in device.ended] == [(), (at(4.0),), (at(9.0),)]
    assert [window.start for window in device.ended] == [0, 0, 0]
    assert device.ended[2].resume_tokens == (at(0.0), 500, at(4.0), at(4.0), 500, at(9.0), at(9.0))
    assert spans(text) == [(0.0, 4.0), (4.0, 9.0), (9.0, 12.0)]
    assert [one.tokens[0] for one in text.segments] == [at(0.0), at(4.0), at(9.0)]
    assert text.suspects == ()


def test_a_window_ends_where_hardly_any_speech_is_left():
    text, device = hear(script(spoken((0.0, 4.0), rest=4.0)), seconds=9.0, speech=((0.0, 4.1),))
    assert len(device.ended) == 1
    assert spans(text) == [(0.0, 4.0)]


def test_a_rest_that_is_improbable_is_heard_afresh_and_not_warmer():
    options = DecodeOptions()
    verdict = script(spoken((0.0, 4.0), rest=4.0), further((4.0, 5.0), logprob=-2.0), spoken((0.0, 6.0)))
    text, device = hear(verdict, options, seconds=10.0, speech=((0.0, 10.0),))
    assert [(w.start, bool(w.resume_tokens)) for w in device.ended] == [
        (0, False),
        (0, True),
        (400, False),
    ]
    assert spans(text) == [(0.0, 4.0), (4.0, 10.0)]
    assert device.n_encoded == 2


def test_without_spans_of_speech_or_with_words_a_window_of_its_own_hears_the_rest():
    verdict = script(spoken((0.0, 4.0), rest=4.0), spoken((0.0, 6.0)))
    _, device = hear(verdict, seconds=10.0)
    assert [window.start for window in device.ended] == [0, 400]
    words = replace(ONCE, word_timestamps=True)
    _, device = hear(verdict, words, seconds=10.0, speech=((0.0, 10.0),))
    assert not any(window.resume_tokens for window in device.ended)


def test_text_on_a_scrap_of_speech_is_left_out_and_told():
    for figures, speech in (({"silence": 0.62, "logprob": -0.66}, 0.35), ({"silence": 0.1, "logprob": -1.15}, 0.1)):
        text, _ = hear(spoken((0.0, 2.0), **figures), seconds=5.0, speech=((1.0, 1.0 + speech),))
        assert text.segments == ()
        assert [one["reason"] for one in text.suspects] == ["text that may be made up was left out"]
        text, _ = hear(spoken((0.0, 2.0), **figures), seconds=5.0, speech=((1.0, 4.0),))
        assert len(text.segments) == 1
    text, _ = hear(spoken((0.0, 1.0), silence=0.2, logprob=-0.6), seconds=5.0, speech=((1.0, 1.4),))
    assert len(text.segments) == 1


# too little text

STARVED = ((0.0, 9.0), (10.5, 20.0))


def letters(n: int, *spans: tuple[float, float], **figures: object) -> Callable[[Window], Decoded]:
    """A segment a span, of so many letters each."""
    marked = spoken(*spans, **figures)

    def verdict(window: Window) -> Decoded:
        tokens = [LETTERS + n if LONG <= token < LETTERS else token for token in marked(window).tokens]
        return replace(marked(window), tokens=tuple(tokens))

    return verdict


def test_a_segment_with_too_few_letters_is_heard_again_in_its_halves_which_replace_it():
    verdict = script(letters(20, (0.0, 20.0)), letters(90, (0.0, 9.0)), letters(95, (0.0, 9.5)))
    text, device = hear(verdict, seconds=20.0, speech=STARVED)
    assert [(window.start, window.n_frames, window.is_gap) for window in device.ended] == [
        (0, 2000, False), (0, 900, True), (1050, 950, True)
    ]  # fmt: skip
    assert spans(text) == [(0.0, 9.0), (10.5, 20.0)]
    assert text.suspects == ()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (letters(10, (0.0, 9.0)), letters(15, (0.0, 9.5))),  # hardly more
        (letters(90, (0.0, 9.0), logprob=-2.0), letters(0, (0.0, 9.5))),  # improbable
    ],
)
def test_a_starved_segment_is_kept_and_told_where_its_halves_are_no_better(first, second):
    text, _ = hear(script(letters(20, (0.0, 20.0)), first, second), seconds=20.0, speech=STARVED)
    assert spans(text) == [(0.0, 20.0)]
    assert [dict(one) for one in text.suspects] == [
        {"start": 0.0, "end": 20.0, "reason": "little text for so much speech"}
    ]


def test_letters_are_counted_in_every_script():
    assert coverage.n_letters("Well, 3 words!") == 10
    assert coverage.n_letters("\u0939\u093f\u0928\u094d\u0926\u0940") == 6
    assert coverage.n_letters("\u4f60\u597d\u3002") == 6
    line = Segment(0.0, 20.0, "a" * 90)
    assert coverage.starved([(0.0, 20.0)], [line]) == [line]
    assert coverage.starved([(0.0, 20.0)], [replace(line, text="a" * 100)]) == []
    assert coverage.starved([(0.0, 5.9)], [line]) == []


# text that has no end


def test_a_text_that_was_cut_off_without_a_pair_of_times_is_told():
    cut = lambda window: replace(told(window, (at(0.0), 500)), is_cut=True)  # noqa: E731
    text, _ = hear(cut, seconds=10.0)
    assert [one["reason"] for one in text.suspects] == [
        "the text was cut off, as it had no end when the decoder was full"
    ]
    ends = script(lambda window: replace(spoken((0.0, 4.0), rest=4.0)(window), is_cut=True), spoken((0.0, 6.0)))
    text, _ = hear(ends, seconds=10.0)  # the next window hears the rest
    assert (text.suspects, spans(text)) == ((), [(0.0, 4.0), (4.0, 10.0)])


def test_words_of_a_text_without_a_pair_of_times_do_not_have_its_rest_heard_again():
    words = replace(ONCE, word_timestamps=True)
    text, device = hear(lambda window: told(window, (at(0.0), 500)), words, seconds=10.0)
    assert len(device.ended) == 1
    assert len(text.segments) == 1


def test_words_have_no_rest_heard_again_in_which_there_is_no_speech():
    words = replace(ONCE, word_timestamps=True)
    _, device = hear(script(spoken((0.0, 4.0), rest=4.0)), words, seconds=9.0, speech=((0.0, 0.6),))
    assert len(device.ended) == 1


# several languages

EN, DE = {"en": 0.97, "de": 0.02}, {"en": 0.03, "de": 0.96}
DOUBT = {"en": 0.2, "de": 0.8}
TWO = ((0.0, 4.0), (4.4, 8.0), (8.6, 12.0), (12.4, 16.0))


def hear_file(clips: Sequence[Clip], chances: Callable[[Window], dict[str, float]], **device: object):
    """The texts of a file's clips, by number, and the device."""
    made = FakeDevice(3, **device)
    made.language_probs = chances
    found = run(make(made, ONCE), clips)
    return {index: found[0, index] for _, index in found}, made


def heard_in(text: ClipText) -> list[tuple[float, float, str | None]]:
    return [(one.start_s, one.end_s, one.language) for one in text.segments]


def test_where_voters_are_sure_of_two_languages_each_clip_has_its_own():
    clips = [clip(0, k, 16.0, vote=(k, 2) if k < 2 else None, speech=((0.0, 16.0),)) for k in range(4)]
    texts, device = hear_file(clips, lambda window: (EN, DE, DE, EN)[window.request.clip.index])
    assert [texts[k].language for k in range(4)] == ["en", "de", "de", "en"]
    assert [one.language for k in range(4) for one in texts[k].segments] == ["en", "de", "de", "en"]
    assert device.n_encoded == 4


@pytest.mark.parametrize(("later", "seconds", "expected"), [(DE, 16.0, "de"), (DOUBT, 16.0, "en"), (DE, 2.9, "en")])
def test_a_clip_after_the_voters_that_is_surely_in_another_language_has_its_own(later, seconds, expected):
    clips = [clip(0, 0, 16.0, vote=(0, 1), speech=((0.0, 16.0),)), clip(0, 1, 16.0, speech=((0.0, seconds),))]
    texts, device = hear_file(clips, lambda window: later if window.request.clip.index else EN)
    assert (texts[0].language, texts[1].language) == ("en", expected)
    assert {one.language for one in texts[1].segments} == {"de" if expected == "de" else None}
    assert device.n_encoded == 2


def test_a_clip_after_the_voters_is_cut_where_its_language_changes():
    def chances(window: Window) -> dict[str, float]:
        return EN if window.request.clip.index == 0 or (window.is_probe and window.start < 800) else DE

    clips = [clip(0, 0, 17.0, vote=(0, 1), speech=TWO), clip(0, 1, 17.0, speech=TWO)]
    texts, _ = hear_file(clips, chances, verdict=lambda window: spoken((0.0, window.duration_s))(window))
    assert heard_in(texts[0]) == [(0.0, 17.0, None)]
    assert heard_in(texts[1]) == [(0.0, 8.3, "en"), (8.3, 17.0, "de")]


def test_a_clip_after_the_voters_keeps_the_language_that_was_asked_for():
    clips = [clip(0, k, 16.0, speech=((0.0, 16.0),), language="en") for k in range(2)]
    texts, _ = hear_file(clips, lambda window: DE)
    assert [texts[k].language for k in range(2)] == ["en", "en"]


def test_a_clip_is_cut_where_its_language_changes():
    def chances(window: Window) -> dict[str, float]:
        if window.request.clip.index:
            return DE
        return DE if window.is_probe and window.start >= 800 else EN

    clips = [clip(0, k, 17.0, vote=(k, 2), speech=TWO) for k in range(2)]
    texts, device = hear_file(clips, chances, verdict=lambda window: spoken((0.0, window.duration_s))(window))
    assert heard_in(texts[0]) == [(0.0, 8.3, "en"), (8.3, 17.0, "de")]
    assert heard_in(texts[1]) == [(0.0, 17.0, "de")]
    looks = [(w.start, w.n_frames) for w in device.encoded if w.is_probe and w.request.clip.index == 0]
    assert looks == [(0, 400), (440, 360), (860, 340), (1240, 360)]
    assert device.n_encoded == 2 + 8 + 2  # the first windows, the pieces, and the two runs of the first clip


def test_a_lone_clip_that_is_not_certain_of_its_language_is_looked_at_in_pieces():
    doubt = {"en": 0.9, "de": 0.08}
    for second, expected in (
        (DE, [(0.0, 8.3, "en"), (8.3, 17.0, "de")]),
        (doubt, [(0.0, 17.0, None)]),
    ):

        def chances(window: Window, second=second) -> dict[str, float]:
            return second if window.start >= 800 else EN if window.is_probe else doubt

        clips = [clip(0, 0, 17.0, vote=(0, 1), speech=TWO)]
        texts, device = hear_file(clips, chances, verdict=lambda window: spoken((0.0, window.duration_s))(window))
        assert heard_in(texts[0]) == expected
        assert device.n_encoded == 1 + 4 + (2 if second is DE else 0)


def test_a_voter_that_is_not_sure_or_short_does_not_break_the_vote():
    unsure, sure = {"en": 0.4, "de": 0.6}, {"en": 0.1, "de": 0.9}
    for odd, speech in ((unsure, ((0.0, 16.0),)), (sure, ((0.0, 2.9),))):
        clips = [clip(0, k, 16.0, vote=(k, 3), speech=speech if k == 1 else ((0.0, 16.0),)) for k in range(3)]
        texts, _ = hear_file(clips, lambda window, odd=odd: odd if window.request.clip.index == 1 else EN)
        assert [texts[k].language for k in range(3)] == ["en"] * 3
        assert {one.language for text in texts.values() for one in text.segments} == {None}


def test_a_second_look_in_a_run_has_its_language():
    def verdict(window: Window) -> Decoded:
        return spoken((0.0, 3.0) if not window.is_gap and window.start >= 800 else (0.0, window.duration_s))(window)

    def chances(window: Window) -> dict[str, float]:
        return DE if window.request.clip.index or (window.is_probe and window.start >= 800) else EN

    clips = [clip(0, k, 17.0, vote=(k, 2), speech=TWO if k == 0 else ((0.0, 17.0),)) for k in range(2)]
    texts, _ = hear_file(clips, chances, verdict=verdict)
    assert heard_in(texts[0])[0] == (0.0, 8.3, "en")
    assert {language for start_s, _, language in heard_in(texts[0]) if start_s > 8} == {"de"}
    assert max(end_s for _, end_s, _ in heard_in(texts[0])) >= 16.0


def test_text_in_another_script_is_told():
    class Urdu(FakeSpeller):
        def decode(self, tokens):
            return " \u0627\u0631\u062f\u0648" * 60

    answer = run(
        ContinuousEngine(
            FakeDevice(1, verdict=spoken((0.0, 4.0))), Urdu(("hi", "ur")), ONCE, EngineFacts("fake"), print
        ),
        [clip(0, seconds=4.0, language="hi")],
    )[0, 0]
    assert [one["reason"] for one in answer.suspects] == ["text in a script that Hindi is not written in"]


# pauses that were left out


class Evenly(FakeDevice):
    """Words of a window sound one after the other, each for as long."""

    def align(self, windows: Sequence[Window]) -> None:
        super().align(windows)
        for window in windows:
            n = len(window.align_tokens)
            window.timings = Timings([window.duration_s * k / n for k in range(n + 1)], [0.9] * n)


def hear_joined(tokens: tuple[int, ...], joins, options: DecodeOptions = ONCE, seconds: float = 20.0):
    device = Evenly(2, verdict=lambda window: told(window, tokens))
    asked = {"seconds": seconds, "joins": joins, "speech": ((0.0, seconds),), "language": "en"}
    (text,) = run(make(device, options), [clip(0, **asked)]).values()
    return text, device


def test_a_segment_that_runs_over_a_pause_is_cut_there():
    tokens = (at(0.0), 500, 501, 502, 503, at(20.0))
    for words in (False, True):
        text, device = hear_joined(tokens, ((9.0, 30.0),), replace(ONCE, word_timestamps=words, second_pass=False))
        assert [one.text.split()[0][:3] for one in text.segments] == ["500", "502"]
        assert [len(one.text.split()) for one in text.segments] == [2, 2]
        assert [one.tokens for one in text.segments] == [(500, 501), (502, 503)]
        assert text.segments[0].end_s <= 10.0 and text.segments[1].start_s >= 9.0
        assert len(device.aligned) == 1


def test_a_segment_whose_words_lie_on_one_side_keeps_to_it():
    tokens = (at(0.0), 500, at(9.8), at(9.8), 501, 502, 503, at(20.0))
    text, _ = hear_joined(tokens, ((1.0, 30.0),))
    assert spans(text) == [(1.0, 9.8), (9.8, 20.0)]


def test_short_pauses_and_those_between_segments_need_no_times_of_words():
    tokens = (at(0.0), 500, at(9.0), at(9.0), 501, at(20.0))
    for joins in (((5.0, 1.9),), ((5.0, 1.9), (15.0, 3.8)), ((9.0, 30.0),), ()):
        text, device = hear_joined(tokens, joins)
        assert (spans(text), device.aligned) == ([(0.0, 9.0), (9.0, 20.0)], [])


def test_a_window_that_goes_on_is_aligned_with_its_text_so_far():
    first = lambda window: told(window, (at(0.0), 500, 501, at(8.0), at(8.0)))  # noqa: E731
    rest = lambda window: told(window, (502, 503, at(20.0)))  # noqa: E731
    device = Evenly(2, verdict=script(first, rest))
    asked = {"seconds": 20.0, "joins": ((14.0, 30.0),), "speech": ((0.0, 20.0),), "language": "en"}
    (text,) = run(make(device, ONCE), [clip(0, **asked)]).values()
    assert device.aligned[0][0].align_tokens == (500, 501, 502, 503)
    assert [(one.start_s, one.end_s, len(one.text.split())) for one in text.segments] == [
        (0.0, 8.0, 2), (8.0, 14.0, 1), (14.0, 20.0, 1)
    ]  # fmt: skip
