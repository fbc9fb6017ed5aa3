"""Transcripts to files: one small leaf a format, and where the files go (``beside``, ``places``, ``atomic``).

A format is ``render(transcript) -> str``; a new one is a leaf and a line in ``FORMATS``. The bytes are those of
openai-whisper's writers (whisper/utils.py, MIT). Who calls: the pipeline's writer thread and the CLI.
"""

from collections.abc import Callable, Sequence

from whisperbatch.records import Transcript
from whisperbatch.writers import json_, srt, tsv, txt, vtt
from whisperbatch.writers.json_ import read as read_json

Renderer = Callable[[Transcript], str]

FORMATS: dict[str, Renderer] = {
    "txt": txt.render,
    "vtt": vtt.render,
    "srt": srt.render,
    "tsv": tsv.render,
    "json": json_.render,
}

__all__ = ["FORMATS", "Renderer", "read_json", "render_all"]


def render_all(transcript: Transcript, formats: Sequence[str]) -> dict[str, str]:
    """The transcript in each of the formats, by the format's name."""
    return {name: FORMATS[name](transcript) for name in formats}
