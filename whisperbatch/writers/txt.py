"""Plain text: a line a segment."""

from whisperbatch.records import Transcript
from whisperbatch.writers.labels import turns


def render(transcript: Transcript) -> str:
    """Each segment's text, stripped, on a line of its own, behind its speaker."""
    return "".join(f"{turn.labelled}\n" for turn in turns(transcript))
