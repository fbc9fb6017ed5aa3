"""Words and segments to speakers, on turns made up here; whisperX's published rule beside ours."""

import random
from collections.abc import Sequence

import pytest

from whisperbatch.pipeline.assign_speakers import Voices, attributed
from whisperbatch.records import Segment, Transcript, Turn, Word

SETTINGS = {"min_speakers": None, "max_speakers": None}


def words(*timed: tuple[float, float]) -> tuple[Word, ...]:
    return tuple(Word(f" w{k}", start_s, end_s, 0.9) for k, (start_s, end_s) in enumerate(timed))


def segment(*timed: tuple[float, float], **traits: object) -> Segment:
    found = words(*timed)
    text = "".join(word.word for word in found)
    return Segment(timed[0][0], timed[-1][1], text, (5, 6), words=found, **traits)  # type: ignore[arg-type]


def labelled(segments: Sequence[Segment], *turns: tuple[float, float, int], channel: str | None = None) -> Transcript:
    n = 1 + max((speaker for *_, speaker in turns), default=-1)
    voices = Voices(channel, tuple(Turn(*turn) for turn in turns), (None,) * n)
    return attributed(Transcript("en", tuple(segments), 60.0), [voices], SETTINGS)


def speakers(transcript: Transcript) -> list[list[str | None]]:
    return [[word.speaker and word.speaker[-1] for word in one.words or ()] for one in transcript.segments]


def test_a_segment_is_cut_where_the_speaker_changes():
    said = segment((0, 1), (1, 2), (2, 3), (3, 4))
    found = labelled([said], (0, 1.9, 0), (2.1, 5, 1))
    assert speakers(found) == [["0", "0"], ["1", "1"]]
    assert [(one.start_s, one.end_s, one.text, one.speaker) for one in found.segments] == [
        (0, 2, " w0 w1", "SPEAKER_00"),
        (2, 4, " w2 w3", "SPEAKER_01"),
    ]
    assert [one.tokens for one in found.segments] == [(5, 6), ()]
    assert found.text == said.text
    assert all(one.text == "".join(word.word for word in one.words or ()) for one in found.segments)


def test_a_word_goes_to_whom_most_of_it_is():
    assert speakers(labelled([segment((0, 1))], (0, 0.4, 0), (0.4, 3, 1))) == [["1"]]


def test_a_word_between_turns_goes_to_the_nearest_within_a_second():
    found = labelled([segment((3.0, 3.2), (8.0, 8.2)), segment((40, 41))], (0, 2.5, 0), (4.5, 7.5, 1))
    assert speakers(found) == [["0"], ["1"], [None]]
    assert found.segments[-1].speaker is None


def test_a_word_that_nobody_is_near_cuts_nothing():
    assert speakers(labelled([segment((0, 1), (4, 5), (9, 10))], (0, 1, 0), (8.9, 10, 0))) == [["0", "0", "0"]]
    assert speakers(labelled([segment((0, 1), (4, 5))], (4, 5, 0))) == [["0", "0"]]


def test_in_an_overlap_who_spoke_before_goes_on():
    found = labelled([segment((0, 1), (1, 1.5), (2, 2.5), (3, 4))], (0, 2.6, 0), (0.9, 5, 1))
    assert speakers(found) == [["0", "0", "0"], ["1"]]
    found = labelled([segment((0, 0.5), (1.8, 2.3), (3.1, 3.4))], (0, 0.5, 1), (1, 3, 0), (1.2, 4, 1))
    assert speakers(found) == [["1", "1", "1"]]


def test_a_stray_word_is_smoothed_only_if_its_turn_could_not_hold_it():
    said = segment((0, 1), (1, 1.4), (1.4, 3))
    assert speakers(labelled([said], (0, 1.05, 0), (1.05, 1.35, 1), (1.35, 3, 0))) == [["0", "0", "0"]]
    assert speakers(labelled([said], (0, 1.0, 0), (1.0, 1.4, 1), (1.4, 3, 0))) == [["0"], ["1"], ["0"]]


def test_a_segment_without_words_is_whose_it_is_most_and_stays_whole():
    found = labelled([Segment(0, 6, " a b", (1,))], (0, 2, 0), (2, 6, 1))
    assert [(one.speaker, one.text) for one in found.segments] == [("SPEAKER_01", " a b")]


def test_who_speaks_how_long_and_where_at_once():
    found = labelled([], (0, 4, 0), (3, 6, 1))
    assert found.speakers is not None
    assert [(one.label, one.seconds, one.confidence) for one in found.speakers] == [
        ("SPEAKER_00", 4, 1),
        ("SPEAKER_01", 3, 1),
    ]
    assert found.turns == (Turn(0, 4, 0), Turn(3, 6, 1))
    assert found.speaker_settings == SETTINGS


def test_a_channels_only_speaker_has_its_name_and_several_have_numbers_behind_it():
    left = Voices("LEFT", (Turn(1, 2, 0),), (None,))
    right = Voices("RIGHT", (Turn(0, 1, 0), Turn(2, 3, 1), Turn(3, 4, 2)), (None, None, "Ann"))
    said = [segment((1, 2), channel="LEFT"), segment((0, 1), channel="RIGHT"), segment((3, 4), channel="RIGHT")]
    found = attributed(Transcript("en", tuple(said), 9.0), [left, right], SETTINGS)
    assert [one.speaker for one in found.segments] == ["LEFT", "RIGHT SPEAKER_00", "Ann"]
    assert [one.label for one in found.speakers or ()] == ["RIGHT SPEAKER_00", "LEFT", "RIGHT SPEAKER_01", "Ann"]
    assert [turn.speaker for turn in found.turns] == [0, 1, 2, 3]


def test_names_from_reference_clips_are_used_once_each():
    voices = Voices(None, (Turn(0, 1, 0), Turn(1, 2, 1), Turn(2, 3, 2)), ("Ann", None, "Ann"))
    found = attributed(Transcript("en", (), 9.0), [voices], SETTINGS)
    assert [one.label for one in found.speakers or ()] == ["Ann", "SPEAKER_01", "SPEAKER_02"]


def test_labels_of_an_earlier_search_do_not_stay():
    old = segment((30, 31), speaker="SPEAKER_07", channel="LEFT")
    found = attributed(Transcript("en", (old,), 60.0), [Voices("RIGHT", (Turn(0, 1, 0),), (None,))], SETTINGS)
    assert found.segments[0].speaker is None


def whisperx(said: Sequence[Segment], turns: Sequence[tuple[float, float, int]]) -> list[int | None]:
    """Each word's speaker by whisperX's rule (whisperx/diarize.py, assign_word_speakers, BSD-2-Clause).

    The speaker with the longest intersection over all turns that meet the word, the first of equals; none without.
    """
    chosen: list[int | None] = []
    for word in (word for one in said for word in one.words or ()):
        met: dict[int, float] = {}
        for start_s, end_s, speaker in turns:
            seconds = min(end_s, word.end_s) - max(start_s, word.start_s)
            if seconds > 0:
                met[speaker] = met.get(speaker, 0.0) + seconds
        chosen.append(max(met, key=lambda one: met[one]) if met else None)
    return chosen


def talk(seed: int) -> tuple[list[Segment], list[int], list[tuple[float, float, int]]]:
    """Segments, the true speaker of each word, and turns as a diarizer finds them: edges off, pauses and overlaps."""
    dice = random.Random(seed)
    said: list[Segment] = []
    truth: list[int] = []
    turns: list[tuple[float, float, int]] = []
    at_s, before = 0.0, -1
    for _ in range(60):
        speaker = dice.choice([one for one in range(3) if one != before])
        start_s, timed = at_s, []
        for _ in range(dice.randint(1, 25)):
            lasts_s = dice.uniform(0.1, 0.6)
            timed.append((at_s, at_s + lasts_s))
            at_s += lasts_s + dice.choice([0.0, 0.0, 0.05, 0.4])
        said.append(segment(*timed))
        truth += [speaker] * len(timed)
        edges = start_s + dice.gauss(0, 0.15), timed[-1][1] + dice.gauss(0, 0.15)
        turns.append((min(edges), max(edges), speaker))
        at_s, before = at_s - (0.5 if dice.random() < 0.15 else -dice.uniform(0, 0.8)), speaker
    return said, truth, sorted(turns)


@pytest.mark.parametrize("seed", range(5))
def test_more_words_have_their_speaker_than_by_whisperxs_rule(seed: int):
    said, truth, turns = talk(seed)
    ours: list[int | None] = [
        None if word.speaker is None else int(word.speaker[-2:])
        for one in labelled(said, *turns).segments
        for word in one.words or ()
    ]
    right = sum(one == true for one, true in zip(ours, truth, strict=True))
    theirs = sum(one == true for one, true in zip(whisperx(said, turns), truth, strict=True))
    assert right >= theirs
    assert right / len(truth) >= 0.97
