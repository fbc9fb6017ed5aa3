"""SubRip subtitles."""

from whisperbatch.records import Transcript
from whisperbatch.writers.cues import cues, stamp


def render(transcript: Transcript) -> str:
    """Numbered cues, hours always shown, a comma before the milliseconds."""
    return "".join(
        f"{number}\n{stamp(start, ',', True)} --> {stamp(end, ',', True)}\n{text}\n\n"
        for number, (start, end, text) in enumerate(cues(transcript), start=1)
    )
