"""Render transcripts in each output format, and read transcripts back.

A format is a module with ``render(transcript) -> str | bytes``. To add one, add the module, a line in ``FORMATS`` and
the name in ``options``.

Modules:
    Plain formats: txt, tsv, csv_, lrc, aud, rttm (speaker turns), json_ (also reads JSON back).
    Subtitle formats (``options.SHAPED``, which take SubtitleOptions): srt, vtt and ass, on the cues of subtitles.
    Documents (``options.DOCUMENTS``, which take DocumentOptions): md and docx, on paragraphs.
    Shared: content (the type of a rendered file), speakers (labels and turns), speakers_json (the speaker part of the
    JSON), time_order (sort segments and words by time).
    Other tools' files: importing, timed_text (plain text with time stamps).

``TITLED`` formats name the recording by its file name without the extension. The bytes are those of openai-whisper's
writers (whisper/utils.py, MIT), whisper.cpp's (lrc, csv), whisperX's (aud) and NIST's (rttm). A format without a field
for the speaker shows it as whisperX does: ``[SPEAKER_00]: text``.
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
    """Render the transcript in one format; FileError if shaping needs word times that it lacks."""
    if name != "json" and any(_is_emptied(segment) for segment in transcript.segments):
        transcript = replace(transcript, segments=tuple(one for one in transcript.segments if not _is_emptied(one)))
    extras = ((SHAPED, shaping), (DOCUMENTS, documents), (TITLED, title))
    return FORMATS[name](transcript, *(extra for names, extra in extras if name in names))


def render_all(
    transcript: Transcript,
    formats: Sequence[str],
    shaping: SubtitleOptions = PLAIN,
    documents: DocumentOptions = DEFAULT,
    title: str = "",
) -> dict[str, Content]:
    """Render the transcript in each format; returns content by format name. FileError as for ``render``."""
    return {name: render(transcript, name, shaping, documents, title) for name in formats}


def _is_emptied(segment: Segment) -> bool:
    """True if replacement rules have removed all of the segment's text."""
    return segment.original is not None and not segment.text.strip()
