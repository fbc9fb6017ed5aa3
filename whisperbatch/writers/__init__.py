"""Transcripts to files: one small leaf a format, and where the files go (``beside``, ``places``, ``atomic``).

A format is ``render(transcript) -> str``; a new one is a leaf, a line in ``FORMATS`` and its name in ``options``. Those
that show cues (``options.SHAPED``) take SubtitleOptions too, and share ``shape`` and its steps: ``lines``,
``sentences``, ``timing``. The bytes are those of openai-whisper's writers (whisper/utils.py, MIT), whisper.cpp's (lrc,
csv) and whisperX's (aud); a speaker stands as whisperX has it, ``[SPEAKER_00]: text``, where a format has no field for
it. Who calls: the pipeline's writer thread and the CLI.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from whisperbatch.options import SHAPED, SubtitleOptions
from whisperbatch.records import Segment, Transcript
from whisperbatch.writers import ass, aud, csv_, json_, lrc, srt, tsv, txt, vtt
from whisperbatch.writers.json_ import read as read_json
from whisperbatch.writers.shape import PLAIN

FORMATS: dict[str, Callable[..., str]] = {
    "txt": txt.render,
    "vtt": vtt.render,
    "srt": srt.render,
    "tsv": tsv.render,
    "json": json_.render,
    "lrc": lrc.render,
    "csv": csv_.render,
    "aud": aud.render,
    "ass": ass.render,
}

__all__ = ["FORMATS", "PLAIN", "read_json", "render", "render_all"]


def render(transcript: Transcript, name: str, shaping: SubtitleOptions = PLAIN) -> str:
    """The transcript in one format; FileError when shaping needs word times that it has not."""
    if name != "json" and any(_is_gone(segment) for segment in transcript.segments):
        transcript = replace(transcript, segments=tuple(one for one in transcript.segments if not _is_gone(one)))
    return FORMATS[name](transcript, shaping) if name in SHAPED else FORMATS[name](transcript)


def render_all(transcript: Transcript, formats: Sequence[str], shaping: SubtitleOptions = PLAIN) -> dict[str, str]:
    """The transcript in each of the formats, by the format's name; FileError as for one."""
    return {name: render(transcript, name, shaping) for name in formats}


def _is_gone(segment: Segment) -> bool:
    """Whether replacement rules have left nothing of a segment."""
    return segment.original is not None and not segment.text.strip()
