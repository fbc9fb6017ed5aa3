"""Audacity labels, as whisperX writes them (whisperx/utils.py, BSD-2-Clause)."""

from whisperbatch.records import Transcript
from whisperbatch.writers.speakers import turns


def render(transcript: Transcript) -> str:
    """Write one line per segment, no header: start and end in seconds, ``[[speaker]]`` and text."""
    lines = []
    for turn in turns(transcript):
        label = f"[[{turn.label}]]" if turn.label else ""
        text = " ".join(turn.text.strip().replace("\t", " ").splitlines())
        lines.append(f"{float(turn.start_s)}\t{float(turn.end_s)}\t{label}{text}\n")
    return "".join(lines)
