"""Who said what: the label of words and of stretches of text.

A label is the speaker, or else the channel. It is shown as whisperX shows speakers, ``[SPEAKER_00]: text``, where the
format has no better place for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from whisperbatch.records import Segment, Transcript, Word
from whisperbatch.writers.time_order import in_order


@dataclass(frozen=True, slots=True)
class Turn:
    """A segment, or the part of one that is somebody's; ``text`` as spelled, ``label`` None when nobody is known."""

    start_s: float
    end_s: float
    text: str
    label: str | None

    @property
    def labelled(self) -> str:
        """The stripped text behind its label."""
        return prefix(self.label) + self.text.strip()


def turns(transcript: Transcript) -> list[Turn]:
    """Each segment, by its start; one in which the speaker changes comes in parts, as its words tell."""
    return sorted(_turns(in_order(transcript)), key=lambda turn: turn.start_s)


def _turns(transcript: Transcript) -> Iterator[Turn]:
    for segment in transcript.segments:
        words = labelled_words(segment)
        parts = [list(part) for _, part in groupby(words, key=lambda word: word.speaker)]
        if len(parts) < 2:
            label = words[0].speaker if words else _label(segment)
            yield Turn(segment.start_s, segment.end_s, segment.text, label)
            continue
        for part in parts:
            yield Turn(part[0].start_s, part[-1].end_s, "".join(word.word for word in part), part[0].speaker)


def labelled_words(segment: Segment) -> tuple[Word, ...]:
    """The segment's words, each with its label as its speaker."""
    return tuple(replace(word, speaker=_clean(word.speaker) or _label(segment)) for word in segment.words or ())


def whole(segment: Segment) -> Word:
    """The segment as if it were one word."""
    return Word(segment.text, segment.start_s, segment.end_s, 1.0, _label(segment))


def prefix(label: str | None) -> str:
    """What stands before a text to tell whose it is."""
    return f"[{label}]: " if label else ""


def _label(segment: Segment) -> str | None:
    return _clean(segment.speaker) or _clean(segment.channel)


def _clean(name: str | None) -> str | None:
    """A name that cannot break a line; None when nothing is left."""
    return " ".join((name or "").split()) or None
