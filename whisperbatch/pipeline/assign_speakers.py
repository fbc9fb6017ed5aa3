"""Assign speakers to words and segments; pure.

Takes a transcript and the speaker turns of each of its channels. Returns the transcript with labels, segments cut where
the speaker changes, and the turns.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from whisperbatch.records import Segment, Speaker, Transcript, Turn, Word

MAX_AWAY_S = 1.0  # a word farther than this from every turn has no speaker
BUCKET_S = 10.0  # bucket of the index of turns
N_DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Voices:
    """Who speaks when on a channel, as a diarizer found it.

    Attributes:
        channel: Name of the channel, as in its segments; None if channels were mixed.
        turns: In time order; ``Turn.speaker`` is an index into ``names``.
        names: Name of each speaker; None if unknown.
    """

    channel: str | None
    turns: tuple[Turn, ...]
    names: tuple[str | None, ...]


def attributed(transcript: Transcript, channels: Sequence[Voices], settings: Mapping[str, Any]) -> Transcript:
    """Return the transcript with its speakers.

    A word gets the speaker whose turns cover most of it (of equals, the speaker of the word before), else the speaker
    of the nearest turn within a second, else the speaker of the word before. A segment in which the speaker changes is
    cut between words; its tokens stay with the first part, since they spell the whole segment. A segment without words
    gets the speaker who talks most in it, and is not cut.

    Args:
        transcript: The transcript without speakers.
        channels: The speakers of each channel.
        settings: Settings with which speakers were found.
    """
    turns = sorted(_labelled_turns(channels), key=lambda one: (one[0].start_s, one[0].end_s))
    labels = list(dict.fromkeys(label for _, label in turns))
    timelines = {voices.channel: _Timeline(voices.turns) for voices in channels}
    names = {voices.channel: _labels(voices) for voices in channels}
    segments: list[Segment] = []
    for segment in transcript.segments:
        timeline = timelines.get(segment.channel)
        if timeline is None:
            segments.append(_anonymous(segment))
        else:
            segments += _attributed(segment, timeline, names[segment.channel])
    numbered = tuple(replace(turn, speaker=labels.index(label)) for turn, label in turns)
    return replace(
        transcript,
        segments=tuple(segments),
        speakers=tuple(_summary(label, [turn for turn, whose in turns if whose == label]) for label in labels),
        turns=numbered,
        speaker_settings=settings,
    )


def _labelled_turns(channels: Sequence[Voices]) -> Iterator[tuple[Turn, str]]:
    """Yield each turn with its speaker's label, its times rounded as in a transcript."""
    for voices in channels:
        labels = _labels(voices)
        for turn in voices.turns:
            start_s, end_s = round(turn.start_s, N_DECIMALS), round(turn.end_s, N_DECIMALS)
            sure = round(min(1.0, max(0.0, turn.confidence)), N_DECIMALS)
            yield Turn(start_s, end_s, turn.speaker, sure), labels[turn.speaker]


def _labels(voices: Voices) -> list[str]:
    """Return the label of each speaker of a channel; an only speaker without a name gets the channel's."""
    named: list[str] = []
    for number, name in enumerate(voices.names):
        known = name if name not in named else None  # two voices that match one reference clip are still two speakers
        if known is None and voices.channel is not None and len(voices.names) == 1:
            named.append(voices.channel)
        else:
            who = known or f"SPEAKER_{number:02d}"
            named.append(who if voices.channel is None or known else f"{voices.channel} {who}")
    return named


def _summary(label: str, turns: Sequence[Turn]) -> Speaker:
    seconds = sum(turn.end_s - turn.start_s for turn in turns)
    weighed = sum((turn.end_s - turn.start_s) * turn.confidence for turn in turns)
    return Speaker(label, round(seconds, N_DECIMALS), round(weighed / seconds, N_DECIMALS) if seconds else 0.0)


class _Timeline:
    """The turns of a channel, indexed by time."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns: dict[int, list[Turn]] = defaultdict(list)
        for turn in turns:
            for bucket in range(int(turn.start_s // BUCKET_S), int(turn.end_s // BUCKET_S) + 1):
                self._turns[bucket].append(turn)

    def near(self, start_s: float, end_s: float) -> list[Turn]:
        """Return the turns within a second of a stretch, each once, in order."""
        first, last = int((start_s - MAX_AWAY_S) // BUCKET_S), int((end_s + MAX_AWAY_S) // BUCKET_S)
        found: dict[Turn, None] = {}
        for bucket in range(first, last + 1):
            found |= dict.fromkeys(self._turns.get(bucket, ()))
        return [one for one in found if one.start_s - end_s <= MAX_AWAY_S and start_s - one.end_s <= MAX_AWAY_S]

    def speakers_of(self, start_s: float, end_s: float) -> list[int]:
        """Return the candidate speakers of a stretch: those who cover most of it, else the nearest."""
        turns = self.near(start_s, end_s)
        covered: dict[int, float] = defaultdict(float)
        for turn in turns:
            covered[turn.speaker] += max(0.0, min(turn.end_s, end_s) - max(turn.start_s, start_s))
        most_s = max(covered.values(), default=0.0)
        if most_s > 0.0:
            return [speaker for speaker, seconds in covered.items() if seconds > most_s - 1e-6]
        away = {turn: max(turn.start_s - end_s, start_s - turn.end_s, 0.0) for turn in turns}
        least_s = min(away.values(), default=0.0)
        return list(dict.fromkeys(turn.speaker for turn, far_s in away.items() if far_s < least_s + 1e-6))

    def longest_turn_s(self, word: Word, speaker: int) -> float:
        """Return the length in seconds of a speaker's longest turn near a word."""
        turns = (turn for turn in self.near(word.start_s, word.end_s) if turn.speaker == speaker)
        return max((turn.end_s - turn.start_s for turn in turns), default=0.0)


def _anonymous(segment: Segment) -> Segment:
    words = None if segment.words is None else tuple(replace(word, speaker=None) for word in segment.words)
    return replace(segment, words=words, speaker=None)


def _attributed(segment: Segment, timeline: _Timeline, labels: Sequence[str]) -> list[Segment]:
    """Return the segment with its speaker, or its parts if the speaker changes."""
    if not segment.words:
        speakers = timeline.speakers_of(segment.start_s, segment.end_s)
        return [replace(segment, speaker=labels[speakers[0]] if speakers else None)]
    whose = _smoothed(segment.words, _chosen(segment.words, timeline), timeline)
    words = [
        replace(word, speaker=None if speaker is None else labels[speaker])
        for word, speaker in zip(segment.words, whose, strict=True)
    ]
    parts = [list(part) for _, part in groupby(words, key=lambda word: word.speaker)]
    if len(parts) == 1:
        return [replace(segment, words=tuple(words), speaker=words[0].speaker)]
    return list(_cut(segment, parts))


def _chosen(words: Sequence[Word], timeline: _Timeline) -> list[int | None]:
    """Return each word's speaker; a word near no turn goes with the words before it, at the start with those after."""
    chosen: list[int | None] = []
    for word in words:
        candidates = timeline.speakers_of(word.start_s, word.end_s)
        before = chosen[-1] if chosen else None
        chosen.append(before if not candidates or before in candidates else candidates[0])
    first = next((speaker for speaker in chosen if speaker is not None), None)
    return [first if speaker is None else speaker for speaker in chosen]


def _smoothed(words: Sequence[Word], whose: Sequence[int | None], timeline: _Timeline) -> list[int | None]:
    """Drop speaker changes for a single word whose speaker's turn is too short to contain it."""
    smooth = list(whose)
    for at in range(1, len(words) - 1):
        before, here, after = smooth[at - 1], whose[at], whose[at + 1]
        if here is None or before != after or here == before:
            continue
        if timeline.longest_turn_s(words[at], here) < words[at].end_s - words[at].start_s:
            smooth[at] = before
    return smooth


def _cut(segment: Segment, parts: Sequence[Sequence[Word]]) -> Iterator[Segment]:
    """Yield the parts of a segment; the outer ones keep its start and end."""
    last = len(parts) - 1
    for number, part in enumerate(parts):
        start_s = part[0].start_s if number else segment.start_s
        yield replace(
            segment,
            start_s=start_s,
            end_s=max(start_s, part[-1].end_s if number < last else segment.end_s),
            text="".join(word.word for word in part),
            tokens=() if number else segment.tokens,
            words=tuple(part),
            speaker=part[0].speaker,
        )
