"""Clips' texts to one transcript, whatever the order in which they come."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from whisperbatch.records import AudioFile, ClipText, FileLoaded, Segment
from whisperbatch.transcripts import Assembly

AUDIO = AudioFile(Path("talk.wav"), size=1234)


def built(texts: list[ClipText], starts: list[tuple[float, float]], order: list[int], loaded_at: int, duration: float):
    assembly = Assembly(AUDIO)
    for index, (start, length) in enumerate(starts):
        assembly.expect(index, start, length)
    for step, index in enumerate(order):
        if step == loaded_at:
            assembly.loaded(FileLoaded(0, len(starts), duration))
        assert not assembly.complete
        assert assembly.add(texts[index]) == starts[index][1]
    if loaded_at >= len(order):
        assembly.loaded(FileLoaded(0, len(starts), duration))
    assert assembly.complete
    return assembly.build(model="demo", revision="1", settings={"language": None})


@given(data=st.data(), n=st.integers(0, 6))
def test_any_order_gives_the_same_transcript(data: st.DataObject, n: int):
    starts = [(index * 29.3, 29.3) for index in range(n)]
    texts = [
        ClipText(
            0, i, tuple(Segment(t, t + 1.5, f" {i}.{t}") for t in sorted(data.draw(st.sets(st.integers(0, 27))))), "en"
        )
        for i in range(n)
    ]
    straight = built(texts, starts, list(range(n)), n, n * 29.3)
    order = data.draw(st.permutations(range(n)))
    assert built(texts, starts, order, data.draw(st.integers(0, n)), n * 29.3) == straight
    assert straight.text == "".join(s.text for text in texts for s in text.segments)
    firsts = [s.start_s for s in straight.segments]
    assert firsts == sorted(firsts)


def test_times_and_seeks_count_from_the_files_start_without_float_noise():
    texts = [ClipText(0, 0, (), "en"), ClipText(0, 1, (Segment(0.1, 40.0, " x", seek=3),), "en", 0.9)]
    transcript = built(texts, [(0.0, 29.9), (29.9, 10.2)], [1, 0], 2, 40.1)
    (segment,) = transcript.segments
    assert (segment.start_s, segment.end_s, segment.seek) == (30.0, 40.1, 2993)
    assert (transcript.duration_s, transcript.size, transcript.model) == (40.1, 1234, "demo")


def test_blank_segments_are_dropped_and_silence_has_no_language():
    texts = [ClipText(0, 0, (Segment(0.0, 1.0, "  "),), "de", 0.3)]
    transcript = built(texts, [(0.0, 5.0)], [0], 0, 5.0)
    assert (transcript.segments, transcript.language, transcript.language_probability) == ((), "", None)


def test_the_language_is_that_of_most_speech():
    texts = [
        ClipText(0, 0, (Segment(0.0, 2.0, " kurz"),), "de", 0.99),
        ClipText(0, 1, (Segment(0.0, 20.0, " long"),), "en", 0.8),
        ClipText(0, 2, (Segment(0.0, 10.0, " long"),), "en", 0.6),
    ]
    transcript = built(texts, [(0.0, 30.0), (30.0, 30.0), (60.0, 10.0)], [2, 0, 1], 1, 70.0)
    assert (transcript.language, transcript.language_probability) == ("en", 0.75)


def test_a_file_without_clips_is_an_empty_transcript_and_damage_is_told():
    assembly = Assembly(AUDIO)
    assembly.loaded(FileLoaded(0, 0, 0.0, "damaged: all of it"))
    assert assembly.complete
    transcript = assembly.build(model="demo", revision=None, settings={"language": "de"})
    assert (transcript.text, transcript.language, transcript.warnings) == ("", "de", ("damaged: all of it",))
