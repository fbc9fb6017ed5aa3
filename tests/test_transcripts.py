"""Assembly: any order of arrival gives the same transcript, in the file's time, inside the audio."""

from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperbatch.records import AudioFile, ClipText, FileLoaded, Segment, Word
from whisperbatch.transcripts import Assembly

AUDIO = AudioFile("talk.wav", size=1234)  # type: ignore[arg-type]
SETTINGS = {"task": "transcribe", "language": None}


def assemble(clips, *, order=None, settings=SETTINGS, duration_s=None, damage=None, notices=(), loaded_first=False):
    """The transcript of [(start_s, duration_s, ClipText)], whose texts arrive in ``order``."""
    assembly = Assembly(AUDIO)
    for start_s, clip_s, text in clips:
        assembly.expect(text.index, start_s, clip_s)
    if duration_s is None:
        duration_s = max((start_s + clip_s for start_s, clip_s, _ in clips), default=0.0)
    last = FileLoaded(0, len(clips), duration_s, damage, notices=notices)
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


def assemble_placed(clips, *, duration_s, settings=SETTINGS, speech_s=None, channel_names=()):
    """The transcript of [(ClipText, arguments of expect)]."""
    assembly = Assembly(AUDIO)
    for text, place in clips:
        assembly.expect(text.index, **place)
        assembly.add(text)
    assembly.loaded(FileLoaded(0, len(clips), duration_s, None, speech_s))
    return assembly.build(model="demo", revision="r", settings=settings, channel_names=channel_names)


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


def test_segments_with_languages_of_their_own_decide_by_their_seconds():
    several = [Segment(0, 4, " a", language="de"), Segment(4, 9, " b", language="en"), Segment(9, 10, " c")]
    transcript = assemble([clip(0, 0, 30, *several, language="de", probability=None)])
    assert (transcript.language, transcript.language_probability) == ("de", None)
    transcript = assemble([clip(0, 0, 30, *several, language="fr", probability=0.5)])
    assert (transcript.language, transcript.language_probability) == ("en", None)
    assert [one.language for one in transcript.segments] == ["de", "en", "fr"]


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
    transcript = assemble([], damage="damaged: 1 s", notices=("the left channel was taken",), duration_s=3.0)
    assert transcript.warnings == ("damaged: 1 s", "the left channel was taken", "nothing heard")
    assert (transcript.size, transcript.model, transcript.revision, transcript.settings) == (
        1234,
        "demo",
        "r",
        SETTINGS,
    )
    assert assemble([]).warnings == ("nothing heard",)


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


@st.composite
def joined_clips(draw):
    """A clip's start, its length, and the pauses left out of it: where in the clip, and how long."""
    lengths = draw(st.lists(st.floats(0.5, 6), min_size=1, max_size=5))
    pauses = draw(st.lists(st.floats(2.1, 500), min_size=len(lengths) - 1, max_size=len(lengths) - 1))
    return draw(st.floats(0, 5000)), lengths, pauses


@given(joined_clips(), st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_times_map_back_through_the_pauses_that_were_left_out(clip, shares):
    """Each time, to within a sample, against walking along the clip's parts."""
    start_s, lengths, pauses = clip
    clip_s = sum(lengths)
    ends = [sum(lengths[: n + 1]) for n in range(len(lengths))]
    joins = tuple((ends[n], sum(pauses[: n + 1])) for n in range(len(pauses)))

    def place_s(time_s, is_end):
        part = sum(time_s > end_s or (time_s == end_s and not is_end) for end_s in ends[:-1])
        return start_s + time_s + sum(pauses[:part])

    times = sorted(share * clip_s for share in shares)
    words = tuple(Word(" w", one, two, 0.5) for one, two in pairwise(times))
    segment = Segment(times[0], times[-1], " w", words=words, seek=0)
    place = {"start_s": start_s, "duration_s": clip_s, "joins": joins}
    text = ClipText(0, 0, (segment,), "en")
    duration_s = start_s + clip_s + sum(pauses)
    for speech in ((), tuple(pairwise([0.0, *ends]))):  # with speech up to the pauses on both sides
        (same,) = assemble_placed([(text, {**place, "speech": speech})], duration_s=duration_s).segments
        for word, (one, two) in zip(same.words, pairwise(times), strict=True):
            assert word.start_s == pytest.approx(place_s(one, False), abs=0.001)
            assert word.end_s == pytest.approx(max(place_s(one, False), place_s(two, True)), abs=0.001)
        assert all(one.start_s <= two.start_s and one.end_s <= two.end_s for one, two in pairwise(same.words))


def test_a_segment_does_not_hang_over_a_pause_that_was_left_out():
    """Speech at 1 to 9 and 11 to 20 s in the clip, ten minutes left out at 10 s."""
    place = {"start_s": 100.0, "duration_s": 21.0, "joins": ((10.0, 600.0),), "speech": ((1.0, 9.0), (11.0, 20.0))}
    times = [(0.5, 9.4), (9.4, 12.0), (3.0, 10.8), (3.0, 15.0), (10.0, 12.0), (2.0, 10.0)]
    texts = tuple(Segment(one, two, f" {one} {two}", seek=round(one * 100)) for one, two in times)
    segments = assemble_placed([(ClipText(0, 0, texts, "en"), place)], duration_s=2000.0).segments
    assert [(s.start_s, s.end_s) for s in segments] == [
        (100.5, 109.4),
        (710.0, 712.0),  # begins in the silence before the pause
        (103.0, 110.0),  # ends in the silence after it
        (103.0, 715.0),  # text on both sides
        (710.0, 712.0),
        (102.0, 110.0),
    ]
    assert [s.seek for s in segments] == [10_050, 10_940, 10_300, 10_300, 71_000, 10_200]


def test_channels_are_merged_by_time_and_named():
    texts = [
        (ClipText(0, 0, (Segment(0, 2, " a"), Segment(5, 6, " c")), "en"), 0),
        (ClipText(0, 1, (Segment(1, 4, " b"), Segment(7, 8, " d")), "en"), 1),
        (ClipText(0, 2, (Segment(3, 4, " e"),), "en"), 2),
    ]
    clips = [(text, {"start_s": 0.0, "duration_s": 10.0, "channel": channel}) for text, channel in texts]
    transcript = assemble_placed(clips, duration_s=10.0, channel_names=("agent", "caller"))
    assert [(s.text, s.channel) for s in transcript.segments] == [
        (" a", "agent"),
        (" b", "caller"),
        (" e", "CH3"),
        (" c", "agent"),
        (" d", "caller"),
    ]
    mixed = assemble_placed([(text, {"start_s": 0.0, "duration_s": 10.0}) for text, _ in texts], duration_s=10.0)
    assert {s.channel for s in mixed.segments} == {None}


def test_coverage_is_summed_and_unknown_when_it_is_of_any_clip():
    place = {"start_s": 0.0, "duration_s": 10.0}
    clips = [(ClipText(0, k, (), "en", covered_s=covered_s), place) for k, covered_s in enumerate((1.5, 2.25))]
    known = assemble_placed(clips, duration_s=20.0, speech_s=5.0)
    assert (known.speech_s, known.covered_s) == (5.0, 3.75)
    assert assemble_placed(clips, duration_s=20.0).covered_s is None
    unknown = [*clips, (ClipText(0, 2, (), "en"), place)]
    transcript = assemble_placed(unknown, duration_s=20.0, speech_s=5.0)
    assert (transcript.speech_s, transcript.covered_s) == (5.0, None)
    silent = assemble_placed([], duration_s=20.0, speech_s=0.0)
    assert (silent.speech_s, silent.covered_s) == (0.0, 0.0)


def test_suspects_come_in_the_files_time():
    late = ClipText(0, 1, (), "en", suspects=({"start": 1.0, "end": 12.0, "reason": "loop"},))
    early = ClipText(0, 0, (), "en", suspects=({"start": 2.0, "end": 3.0, "reason": "no text"},))
    clips = [
        (late, {"start_s": 30.0, "duration_s": 20.0, "joins": ((10.0, 60.0),)}),
        (early, {"start_s": 0.0, "duration_s": 30.0}),
    ]
    assert assemble_placed(clips, duration_s=200.0).suspects == (
        {"start": 2.0, "end": 3.0, "reason": "no text"},
        {"start": 31.0, "end": 102.0, "reason": "loop"},
    )


def test_sequential_mode_keeps_cleared_segments_and_its_language():
    """As openai-whisper does."""
    text = ClipText(0, 0, (Segment(0, 30, " a"), Segment(30, 30, ""), Segment(31, 35, "")), "de", 0.7)
    place = {"start_s": 0.0, "duration_s": 60.0}
    sequential = assemble_placed([(text, place)], duration_s=60.0, settings={**SETTINGS, "long_form": "sequential"})
    assert [s.text for s in sequential.segments] == [" a", "", ""]
    silent = ClipText(0, 0, (), "de", 0.7)
    quiet = assemble_placed([(silent, place)], duration_s=60.0, settings={**SETTINGS, "long_form": "sequential"})
    assert (quiet.language, quiet.language_probability) == ("de", 0.7)
    assert [s.text for s in assemble_placed([(text, place)], duration_s=60.0).segments] == [" a"]


def test_the_languages_of_a_file_in_several_are_told():
    english, german = Segment(0.0, 6.0, " Hello.", language="en"), Segment(0.0, 2.0, " Hallo.", language="de")
    two = [(0.0, 10.0, ClipText(0, 0, (english,), "en", 0.9)), (10.0, 10.0, ClipText(0, 1, (german,), "de", 0.9))]
    assert assemble(two).warnings == ("several languages: English (75%), German (25%)",)
    assert assemble(two[:1]).warnings == ()


def test_where_one_clip_has_a_language_of_its_own_every_segment_says_in_which_it_is():
    english, german = Segment(0.0, 6.0, " Hello."), Segment(0.0, 2.0, " Hallo.", language="de")
    two = [(0.0, 10.0, ClipText(0, 0, (english,), "en", 0.9)), (10.0, 10.0, ClipText(0, 1, (german,), "de", 0.9))]
    transcript = assemble(two)
    assert transcript.warnings == ("several languages: English (75%), German (25%)",)
    assert [one.language for one in transcript.segments] == ["en", "de"]
    assert [one.language for one in assemble(two[:1]).segments] == [None]
