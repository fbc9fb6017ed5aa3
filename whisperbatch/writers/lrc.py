"""Timed lyrics, as whisper.cpp writes them (examples/cli, MIT)."""

from whisperbatch.records import Transcript
from whisperbatch.writers.speakers import turns


def render(transcript: Transcript) -> str:
    """Write one line per segment after its ``[MM:SS.xx]`` time; the text keeps its leading space.

    Labels have no brackets, since LRC uses those for time stamps and tags.
    """
    lines = ["[by:whisperbatch]\n"]
    for turn in turns(transcript):
        label = f" {turn.label}:" if turn.label else ""
        lines.append(f"[{_stamp(turn.start_s)}]{label}{' '.join(turn.text.splitlines())}\n")
    return "".join(lines)


def _stamp(seconds: float) -> str:
    """``MM:SS.xx``, truncated; minutes may exceed 99."""
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes:02d}:{rest // 1000:02d}.{rest % 1000 // 10:02d}"
