"""Transcripts to files: one small leaf a format, and where the files go (``namer``, ``paths``, ``atomic``).

A format is ``render(transcript) -> str | bytes``; a new one is a leaf, a line in ``FORMATS`` and its name in
``options``. Those that show cues (``options.SHAPED``) take SubtitleOptions too, and share ``shape`` and its steps:
``by_words``, ``by_sentences``, ``timing``. Documents (``options.DOCUMENTS``) take DocumentOptions and share
``paragraphs``; ``TITLED`` ones name the recording, by its file without the extension. ``content`` is what a format
renders to; ``speakers_json`` is the part of the JSON that says who speaks; ``importing`` and ``timed_text`` read other
tools' files. The bytes are those of openai-whisper's writers (whisper/utils.py, MIT), whisper.cpp's (lrc, csv),
whisperX's (aud) and NIST's (rttm); a speaker stands as whisperX has it, ``[SPEAKER_00]: text``, where a format has no
field for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from whisperbatch.options import DOCUMENTS, SHAPED, DocumentOptions, SubtitleOptions
from whisperbatch.records import Segment, Transcript
from whisperbatch.writers import ass, aud, csv_, docx, json_, lrc, md, rttm, srt, tsv, txt, vtt
from whisperbatch.writers.content import Content
from whisperbatch.writers.json_ import read as read_json
from whisperbatch.writers.paragraphs import DEFAULT
from whisperbatch.writers.subtitles.shape import PLAIN

FORMATS: dict[str, Callable[..., Content]] = {
    "txt": txt.render,
    "vtt": vtt.render,
    "srt": srt.render,
    "tsv": tsv.render,
    "json": json_.render,
    "lrc": lrc.render,
    "csv": csv_.render,
    "aud": aud.render,
    "ass": ass.render,
    "md": md.render,
    "docx": docx.render,
    "rttm": rttm.render,
}
TITLED = frozenset(("md", "docx", "rttm"))

__all__ = ["FORMATS", "PLAIN", "Content", "read_json", "render", "render_all"]


def render(
    transcript: Transcript,
    name: str,
    shaping: SubtitleOptions = PLAIN,
    documents: DocumentOptions = DEFAULT,
    title: str = "",
) -> Content:
    """The transcript in one format; FileError when shaping needs word times that it has not."""
    if name != "json" and any(_is_gone(segment) for segment in transcript.segments):
        transcript = replace(transcript, segments=tuple(one for one in transcript.segments if not _is_gone(one)))
    taken = ((SHAPED, shaping), (DOCUMENTS, documents), (TITLED, title))
    return FORMATS[name](transcript, *(one for names, one in taken if name in names))


def render_all(
    transcript: Transcript,
    formats: Sequence[str],
    shaping: SubtitleOptions = PLAIN,
    documents: DocumentOptions = DEFAULT,
    title: str = "",
) -> dict[str, Content]:
    """The transcript in each of the formats, by the format's name; FileError as for one."""
    return {name: render(transcript, name, shaping, documents, title) for name in formats}


def _is_gone(segment: Segment) -> bool:
    """Whether replacement rules have left nothing of a segment."""
    return segment.original is not None and not segment.text.strip()
