"""NIST's Rich Transcription Time Marked: a line a turn, who speaks from when for how long; overlaps are kept.

The fields are those of NIST's RT-09 evaluation plan, appendix A: ``SPEAKER file channel start duration <NA> <NA> name
<NA> <NA>``. A transcript without turns, as whisperX writes them, gives those that its labels show.
"""

from collections.abc import Iterator

from whisperbatch.records import Transcript
from whisperbatch.writers import speakers

JOINED_S = 0.5  # a shorter pause between two stretches of one speaker is no end of a turn


def render(transcript: Transcript, title: str = "") -> str:
    """A line a turn, in order of time; ``title`` names the recording."""
    file = _field(title) or "audio"
    lines = (
        f"SPEAKER {file} 1 {start_s:.3f} {end_s - start_s:.3f} <NA> <NA> {_field(label)} <NA> <NA>\n"
        for start_s, end_s, label in _turns(transcript)
    )
    return "".join(lines)


def _turns(transcript: Transcript) -> Iterator[tuple[float, float, str]]:
    """Start, end and label of each turn; nobody's are left out."""
    if transcript.speakers is not None:
        for turn in transcript.turns:
            yield turn.start_s, turn.end_s, transcript.speakers[turn.speaker].label
        return
    held: tuple[float, float, str] | None = None
    for part in speakers.turns(transcript):
        if part.label is None:
            continue
        if held is not None and held[2] == part.label and part.start_s - held[1] < JOINED_S:
            held = held[0], max(held[1], part.end_s), part.label
            continue
        if held is not None:
            yield held
        held = part.start_s, part.end_s, part.label
    if held is not None:
        yield held


def _field(text: str) -> str:
    """The text as one field: blanks part fields."""
    return "_".join(text.split())
