"""Assembly: any order of arrival gives the same transcript, in the file's time, inside the audio."""

from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperbatch.records import AudioFile, ClipText, FileLoaded, Segment, Word
from whisperbatch.transcripts import Assembly

AUDIO = AudioFile("talk.wav", size=1234)  # type: ignore[arg-type]
SETTINGS = {"task": "transcribe", "language": None}


def assemble(clips, *, order=None, settings=SETTINGS, duration_s=None, damage=None, loaded_first=False):
    """The transcript of [(start_s, duration_s, ClipText)], whose texts arrive in ``order``."""
    assembly = Assembly(AUDIO)
    for start_s, clip_s, text in clips:
        assembly.expect(text.index, start_s, clip_s)
    if duration_s is None:
        duration_s = max((start_s + clip_s for start_s, clip_s, _ in clips), default=0.0)
    last = FileLoaded(0, len(clips), duration_s, damage)
    if loaded_first:
        assembly.loaded(last)
    for place in order if order is not None else range(len(clips)):
        assert not assembly.complete
        assembly.add(clips[place][2])
    if not loaded_first:
        assert not assembly.complete
        assembly.loaded(last)
    assert assembly.complete
    return assembly.build(model="demo", revision="r", settings=settings)


def clip(index, start_s, clip_s, *segments, language="en", probability=0.9):
    return start_s, clip_s, ClipText(0, index, segments, language, probability)


@st.composite
def files(draw):
    """Clips one after the other, their segments in order but, as the model's padding allows, beyond the clip's end."""
    clips, at_s = [], 0.0
    for index in range(draw(st.integers(0, 6))):
        at_s += draw(st.sampled_from([0.0, 0.1, 1.7, 3.3]))
        clip_s = draw(st.floats(0.1, 30.0, allow_nan=False))
        times = sorted(draw(st.lists(st.floats(0, 30, allow_nan=False), max_size=8)))
        segments = []
        for number, (start_s, end_s) in enumerate(zip(times[::2], times[1::2], strict=False)):
            text = draw(st.sampled_from([f" {index}.{number}", f" {index}.{number}", "", "  "]))
            inside = (Word(text, start_s, end_s, 0.5),)
            segments.append(Segment(start_s, end_s, text, seek=0, words=draw(st.sampled_from([None, inside]))))
        language = draw(st.sampled_from(["en", "de"]))
        clips.append(clip(index, at_s, clip_s, *segments, language=language, probability=draw(st.floats(0, 1))))
        at_s += clip_s
    return clips


@given(files(), st.randoms(use_true_random=False), st.booleans())
def test_any_order_of_arrival_gives_the_same_transcript(clips, random, loaded_first):
    order = list(range(len(clips)))
    random.shuffle(order)
    assert assemble(clips, order=order, loaded_first=loaded_first) == assemble(clips)


@given(files())
def test_times_are_monotone_and_inside_the_audio_and_text_keeps_its_order(clips):
    transcript = assemble(clips)
    spoken = [s.text for _, _, text in clips for s in text.segments if s.text.strip()]
    assert [s.text for s in transcript.segments] == spoken
    assert transcript.text == "".join(spoken)
    assert all(one.start_s <= two.start_s for one, two in pairwise(transcript.segments))
    for segment in transcript.segments:
        spans = [segment, *(segment.words or ())]
        assert all(0 <= span.start_s <= span.end_s <= transcript.duration_s for span in spans)
        assert all(span.start_s == round(span.start_s, 3) and span.end_s == round(span.end_s, 3) for span in spans)


def test_offsets_go_onto_segments_words_and_seek_without_float_noise():
    word = Word(" b", 0.2, 0.4, 0.7)
    transcript = assemble([
        clip(0, 0.0, 29.9, Segment(0.1, 0.3, " a", seek=0)),
        clip(1, 29.9, 30.0, Segment(0.2, 0.4, " b", seek=250, words=(word,))),
    ])  # fmt: skip
    assert 29.9 + 0.2 != 30.1  # the noise is there
    second = transcript.segments[1]
    assert (second.start_s, second.end_s, second.seek) == (30.1, 30.3, 3240)
    assert second.words == (Word(" b", 30.1, 30.3, 0.7),)


def test_times_in_the_padding_of_a_clip_stay_in_the_clip():
    transcript = assemble([
        clip(0, 0.0, 12.0, Segment(11.0, 30.0, " a"), Segment(30.0, 29.0, " late")),
        clip(1, 12.0, 5.0, Segment(0.0, 29.0, " b")),
    ])  # fmt: skip
    assert [(s.start_s, s.end_s) for s in transcript.segments] == [(11.0, 12.0), (12.0, 12.0), (12.0, 17.0)]


def test_an_end_is_never_before_its_start():
    word = Word(" a", 5.0, 4.0, 0.5)
    (segment,) = assemble([clip(0, 0.0, 12.0, Segment(5.0, 4.0, " a", words=(word,)))]).segments
    assert (segment.start_s, segment.end_s) == (5.0, 5.0)
    assert segment.words == (Word(" a", 5.0, 5.0, 0.5),)


def test_the_end_is_clamped_to_the_audio_that_decoded():
    transcript = assemble([clip(0, 0.0, 30.0, Segment(0.0, 30.0, " a"))], duration_s=12.34567)
    assert transcript.segments[0].end_s == transcript.duration_s == 12.346


def test_blank_segments_are_dropped_and_a_silent_file_is_an_empty_transcript():
    silent = assemble([clip(0, 0.0, 30.0, Segment(0, 30, " ")), clip(1, 30.0, 5.0)])
    assert (silent.segments, silent.language, silent.language_probability) == ((), "", None)
    assert assemble([]).segments == ()
    assert assemble([], settings={**SETTINGS, "language": "de"}).language == "de"


def test_the_language_is_that_of_most_of_the_heard_seconds():
    clips = [
        clip(0, 0, 30, Segment(0, 3, " a"), language="de", probability=0.6),
        clip(1, 30, 30, Segment(0, 20, " b"), language="en", probability=0.8),
        clip(2, 60, 10, Segment(0, 3, " c"), language="en", probability=0.4),
        clip(3, 70, 30, Segment(0, 30, " "), language="fr", probability=1.0),  # blank: no vote
        clip(4, 100, 20, language="en", probability=0.0),  # silent: no vote
    ]
    transcript = assemble(clips)
    assert transcript.language == "en"
    assert transcript.language_probability == pytest.approx((30 * 0.8 + 10 * 0.4) / 40)


def test_a_tie_between_languages_does_not_hang_on_the_order_of_arrival():
    heard = [("en", 0.1), ("en", 0.2), ("en", 0.3), ("de", 0.6)]
    assert (0.1 + 0.2) + 0.3 != (0.3 + 0.2) + 0.1
    clips = [clip(i, i * 30, 30, Segment(0, s, " a"), language=code) for i, (code, s) in enumerate(heard)]
    assert len({assemble(clips, order=order).language for order in permutations(range(4))}) == 1


def test_a_given_language_needs_no_vote():
    transcript = assemble([clip(0, 0, 30, Segment(0, 3, " a"))], settings={**SETTINGS, "language": "de"})
    assert (transcript.language, transcript.language_probability) == ("de", None)


def test_text_without_duration_still_has_its_language():
    assert assemble([clip(0, 0, 30, Segment(3, 3, " a"), language="de")]).language == "de"


def test_probability_is_none_when_the_engine_has_none():
    assert assemble([clip(0, 0, 30, Segment(0, 3, " a"), probability=None)]).language_probability is None


def test_damage_is_a_warning_and_facts_are_kept():
    transcript = assemble([], damage="the second half is damaged", duration_s=3.0)
    assert transcript.warnings == ("the second half is damaged",)
    assert (transcript.size, transcript.model, transcript.revision, transcript.settings) == (
        1234,
        "demo",
        "r",
        SETTINGS,
    )
    assert assemble([]).warnings == ()


def test_a_text_that_comes_twice_or_was_not_expected_is_our_mistake():
    assembly = Assembly(AUDIO)
    assembly.expect(0, 0.0, 30.0)
    text = ClipText(0, 0, (), "en")
    assert assembly.add(text) == 30.0
    with pytest.raises(AssertionError):
        assembly.add(text)
    with pytest.raises(AssertionError):
        assembly.add(ClipText(0, 1, (), "en"))
    with pytest.raises(AssertionError):
        assembly.loaded(FileLoaded(0, 2, 60.0))
