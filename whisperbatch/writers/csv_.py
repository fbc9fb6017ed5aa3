"""Comma-separated values, as whisper.cpp writes them (examples/cli, MIT)."""

from whisperbatch.records import Transcript
from whisperbatch.writers.speakers import turns


def render(transcript: Transcript) -> str:
    """Write a header line, then start and end in milliseconds and the quoted text with its leading space.

    If speakers are known, they get a column before the text.
    """
    rows = list(turns(transcript))
    has_labels = any(row.label for row in rows)
    lines = ["start,end,speaker,text\n" if has_labels else "start,end,text\n"]
    for row in rows:
        label = f"{_quoted(row.label or '')}," if has_labels else ""
        lines.append(f"{round(1000 * row.start_s)},{round(1000 * row.end_s)},{label}{_quoted(row.text)}\n")
    return "".join(lines)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
