"""Tab-separated values: start and end in integer milliseconds, and text."""

from whisperbatch.records import Transcript
from whisperbatch.writers.speakers import turns


def render(transcript: Transcript) -> str:
    """Write a header line, then one line per segment; tabs in text become spaces."""
    lines = ["start\tend\ttext\n"]
    for turn in turns(transcript):
        text = turn.labelled.replace("\t", " ")
        lines.append(f"{round(1000 * turn.start_s)}\t{round(1000 * turn.end_s)}\t{text}\n")
    return "".join(lines)
