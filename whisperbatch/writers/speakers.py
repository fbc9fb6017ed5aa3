"""Speaker labels of words and segments, for all formats.

A label is the speaker, or else the channel. A format without a field for it shows it as whisperX does:
``[SPEAKER_00]: text``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from whisperbatch.records import Segment, Transcript, Word
from whisperbatch.writers.time_order import in_order


@dataclass(frozen=True, slots=True)
class Turn:
    """A segment, or the part of it with one label; ``label`` is None if unknown, ``text`` is not stripped."""

    start_s: float
    end_s: float
    text: str
    label: str | None

    @property
    def labelled(self) -> str:
        """The label, then the stripped text."""
        return prefix(self.label) + self.text.strip()


def turns(transcript: Transcript) -> list[Turn]:
    """Return the segments ordered by start; one whose words have several speakers is split."""
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
    """Return the segment's words, each with its label as the speaker."""
    return tuple(replace(word, speaker=_clean(word.speaker) or _label(segment)) for word in segment.words or ())


def as_one_word(segment: Segment) -> Word:
    """Return the segment as a single word."""
    return Word(segment.text, segment.start_s, segment.end_s, 1.0, _label(segment))


def prefix(label: str | None) -> str:
    """The text ``[label]: ``, or nothing without a label."""
    return f"[{label}]: " if label else ""


def _label(segment: Segment) -> str | None:
    return _clean(segment.speaker) or _clean(segment.channel)


def _clean(name: str | None) -> str | None:
    """Return the name on one line; None if it is blank."""
    return " ".join((name or "").split()) or None
