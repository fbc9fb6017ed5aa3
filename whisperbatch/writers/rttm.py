"""NIST's Rich Transcription Time Marked: one line per turn with speaker, start and duration; overlaps are kept.

The fields are those of NIST's RT-09 evaluation plan, appendix A: ``SPEAKER file channel start duration <NA> <NA> name
<NA> <NA>``. If the transcript has no turns (whisperX writes none), they are derived from its labels.
"""

from collections.abc import Iterator

from whisperbatch.records import Transcript
from whisperbatch.writers import speakers

JOINED_S = 0.5  # a shorter pause does not end a speaker's turn


def render(transcript: Transcript, title: str = "") -> str:
    """Write one line per turn, ordered by time; ``title`` names the recording."""
    file = _field(title) or "audio"
    lines = (
        f"SPEAKER {file} 1 {start_s:.3f} {end_s - start_s:.3f} <NA> <NA> {_field(label)} <NA> <NA>\n"
        for start_s, end_s, label in _turns(transcript)
    )
    return "".join(lines)


def _turns(transcript: Transcript) -> Iterator[tuple[float, float, str]]:
    """Yield start, end and label of each turn; parts without a label are skipped."""
    if transcript.speakers is not None:
        for turn in transcript.turns:
            yield turn.start_s, turn.end_s, transcript.speakers[turn.speaker].label
        return
    current: tuple[float, float, str] | None = None
    for part in speakers.turns(transcript):
        if part.label is None:
            continue
        if current is not None and current[2] == part.label and part.start_s - current[1] < JOINED_S:
            current = current[0], max(current[1], part.end_s), part.label
            continue
        if current is not None:
            yield current
        current = part.start_s, part.end_s, part.label
    if current is not None:
        yield current


def _field(text: str) -> str:
    """Replace spaces, which separate fields, by underscores."""
    return "_".join(text.split())
