"""Tab-separated values: start and end in integer milliseconds, and text."""

from whisperbatch.records import Transcript


def render(transcript: Transcript) -> str:
    """A header line, then a line a segment; tabs in text become spaces."""
    lines = ["start\tend\ttext\n"]
    for segment in transcript.segments:
        text = segment.text.strip().replace("\t", " ")
        lines.append(f"{round(1000 * segment.start_s)}\t{round(1000 * segment.end_s)}\t{text}\n")
    return "".join(lines)
