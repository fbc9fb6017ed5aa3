"""Plain text: a line a segment."""

from whisperbatch.records import Transcript


def render(transcript: Transcript) -> str:
    """Each segment's text, stripped, on a line of its own."""
    return "".join(f"{segment.text.strip()}\n" for segment in transcript.segments)
