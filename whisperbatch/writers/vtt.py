"""WebVTT subtitles."""

from whisperbatch.records import Transcript
from whisperbatch.writers.cues import cues, stamp


def render(transcript: Transcript) -> str:
    """Cues without numbers, hours shown when there are some, a point before the milliseconds."""
    parts = [
        f"{stamp(start, '.', False)} --> {stamp(end, '.', False)}\n{text}\n\n" for start, end, text in cues(transcript)
    ]
    return "WEBVTT\n\n" + "".join(parts)
