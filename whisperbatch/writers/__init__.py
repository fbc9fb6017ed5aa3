"""Transcripts to files: one small leaf a format, and where the files go (``beside``, ``places``, ``atomic``).

A format is ``render(transcript) -> str``; a new one is a leaf, a line in ``FORMATS`` and its name in ``options``. Those
that show cues (``options.SHAPED``) take SubtitleOptions too, and share ``shape`` and its steps: ``lines``,
``sentences``, ``timing``. The bytes are those of openai-whisper's writers (whisper/utils.py, MIT), whisper.cpp's (lrc,
csv), whisperX's (aud) and NIST's (rttm); a speaker stands as whisperX has it, ``[SPEAKER_00]: text``, where a format
has no field for it; ``speakers_json`` is the part of the JSON that says who speaks. Who calls: the pipeline's writer
thread and the CLI.
"""

from collections.abc import Callable, Sequence

from whisperbatch.options import SHAPED, SubtitleOptions
from whisperbatch.records import Transcript
from whisperbatch.writers import ass, aud, csv_, json_, lrc, rttm, srt, tsv, txt, vtt
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
    "rttm": rttm.render,
}

__all__ = ["FORMATS", "PLAIN", "read_json", "render", "render_all"]


def render(transcript: Transcript, name: str, shaping: SubtitleOptions = PLAIN, stem: str = "") -> str:
    """The transcript in one format; FileError when shaping needs word times that it has not.

    ``stem`` is the recording's name without its suffix, which rttm repeats in each line.
    """
    if name in SHAPED:
        return FORMATS[name](transcript, shaping)
    return rttm.render(transcript, stem) if name == "rttm" else FORMATS[name](transcript)


def render_all(
    transcript: Transcript, formats: Sequence[str], shaping: SubtitleOptions = PLAIN, stem: str = ""
) -> dict[str, str]:
    """The transcript in each of the formats, by the format's name; arguments and errors as for one."""
    return {name: render(transcript, name, shaping, stem) for name in formats}
