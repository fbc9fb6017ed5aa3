"""Read transcripts that other tools wrote: JSON, subtitles, text with time stamps, by file extension.

The bytes are not trusted. Except from JSON, the Transcript has no word times and scores.
"""

import html
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from whisperbatch.errors import FileError
from whisperbatch.languages import LANGUAGES, tagged_language
from whisperbatch.records import Segment, Transcript
from whisperbatch.writers import json_
from whisperbatch.writers.subtitles.units import may_break
from whisperbatch.writers.timed_text import NO_STAMPS, stamped_lines

MAX_TEXT = 1 << 24  # bytes; ten hours of subtitles have one million
NO_CUES = "this is not a transcript; no subtitles were found in it"
NOT_UTF8 = "this is not text in UTF-8; save it as UTF-8 and try again"
NEAR_S = 0.1  # largest gap between cues that repeat one text, each with a different word marked

_SPEAKER = re.compile(r"\[([^\[\]\n]{1,80})\]:\s+")
_VOICE = re.compile(r"<v(?:\.[^\s<>]{0,80})?\s+([^<>]{1,80})>")
_TAG = re.compile(r"</?(?:[ibusvc]|font|ruby|rt|lang)(?:[\s.][^<>]{0,200})?>|<[\d:.]{5,15}>", re.IGNORECASE)
_OVERRIDE = re.compile(r"\{\\[^{}]{0,500}\}")
_DRAWING = re.compile(r"\{[^{}]{0,500}\\p[1-9]")
_TIMING = re.compile(r"\d:\d\d[.,]\d+\s*-->\s*\d")
_TIME = re.compile(r"\d:\d\d[.,]\d")
_ASIDE = re.compile(r"\s*(?:NOTE|STYLE|REGION)(?:\s|$)")  # blocks of WebVTT that are not cues
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|lrm|rlm|#\d{1,6}|#[xX][\da-fA-F]{1,6});")
_COLON = "\ue000"  # replaces a colon that pysubs2 would read as part of a time
_BACKSLASH = "\ue001"  # replaces a backslash that would look like a line break of pysubs2


@dataclass(frozen=True, slots=True)
class _Cue:
    start_s: float
    end_s: float
    raw: str
    text: str
    speaker: str | None


def read_transcript(path: Path, data: bytes) -> Transcript:
    """Read a transcript: srt, vtt, ass or txt by its extension, otherwise JSON; FileError if it is not one.

    The language comes from a name such as ``talk.de.srt``; the duration is the end of the last cue.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        return json_.read(data, path)
    if len(data) > MAX_TEXT:
        raise FileError(f"this is not a transcript; it is larger than {MAX_TEXT >> 20} MiB", path)
    try:
        segments = tuple(json_.restore_spaces([_segment(cue) for cue in _READERS[suffix](_decoded(data))]))
    except UnicodeDecodeError as err:
        raise FileError(NOT_UTF8, path) from err
    except (ValueError, TypeError, KeyError, ArithmeticError) as err:
        raise FileError(NO_CUES, path) from err
    if not segments:
        raise FileError(NO_STAMPS if suffix == ".txt" else NO_CUES, path)
    tag = tagged_language(Path(path.stem).suffix[1:])
    language = tag if tag in LANGUAGES else ""
    return Transcript(language, segments, duration_s=max(segment.end_s for segment in segments))


def _decoded(data: bytes) -> str:
    """Decode UTF-8, or UTF-16 with a byte order mark; unify line ends."""
    is_wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = data.decode("utf-16" if is_wide else "utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _segment(cue: _Cue) -> Segment:
    return Segment(cue.start_s, max(cue.start_s, cue.end_s), cue.text, speaker=cue.speaker)


def _from_txt(text: str) -> Iterator[_Cue]:
    for start_s, end_s, line in stamped_lines(text):
        speaker, spoken = _labelled(line)
        if spoken:
            yield _Cue(start_s, end_s, line, spoken, speaker)


def _from_srt(text: str) -> Iterator[_Cue]:
    return _merged(_cue(event, _untagged) for event in _events(_numbered(text.split("\n")), "srt"))


def _from_vtt(text: str) -> Iterator[_Cue]:
    blocks = [block for block in re.split(r"\n\s*\n", text) if not _ASIDE.match(block)]
    lines = "\n\n".join(blocks).split("\n")
    return _merged(_cue(event, _unescaped_vtt) for event in _events(_numbered(lines), "vtt"))


def _from_ass(text: str) -> Iterator[_Cue]:
    lines = [line for line in text.split("\n") if line.lstrip().startswith("Dialogue:")]  # drop fonts and styles
    events = [one for one in _events("\n".join(["[Events]", *lines]), "ass") if not _DRAWING.search(one.text)]
    return _merged(_cue(event, _unescaped) for event in events)


_READERS: dict[str, Callable[[str], Iterable[_Cue]]] = {
    ".srt": _from_srt,
    ".vtt": _from_vtt,
    ".ass": _from_ass,
    ".txt": _from_txt,
}


def _events(text: str, name: str) -> list[Any]:
    """Parse with pysubs2; returns events sorted by start."""
    import pysubs2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about fields that are not read here
        options = {} if name == "ass" else {"keep_html_tags": True}
        return sorted(pysubs2.SSAFile.from_string(text, name, **options), key=lambda event: event.start)


def _numbered(lines: list[str]) -> str:
    """Put a number before each cue of an srt or vtt file, and one after the last.

    Trap: pysubs2 reads a number in a cue's last line as the next cue's, WebVTT cue identifiers as text, and any line
    with two times as a cue's timing; long runs of empty lines keep it busy for hours.
    """
    numbered: list[str] = []
    for line in lines:
        line = line.strip().replace("\\", _BACKSLASH)
        if _TIMING.search(line):
            if numbered and (numbered[-1].isdecimal() or (numbered[-1] and (len(numbered) < 2 or not numbered[-2]))):
                numbered.pop()
            numbered += ["", "0", line]
        elif line or (numbered and numbered[-1]):
            numbered.append(line.replace(":", _COLON) if _TIME.search(line) else line)
    return "\n".join([*numbered, "", "0"])


def _cue(event: Any, clean: Callable[[str], str]) -> _Cue:
    voice = _VOICE.search(event.text)
    speaker, text = _labelled(_joined(clean(event.text)))
    named = " ".join((voice[1] if voice else event.name).split())
    return _Cue(max(0, event.start) / 1000, max(0, event.end) / 1000, event.text, text, speaker or named or None)


def _merged(cues: Iterable[_Cue]) -> Iterator[_Cue]:
    """Yield the cues that have text; consecutive cues that repeat one text with a different word marked are merged."""
    last: _Cue | None = None
    for cue in cues:
        if not cue.text:
            continue
        if (
            last is not None
            and (cue.text, cue.speaker) == (last.text, last.speaker)
            and cue.raw != last.raw
            and cue.start_s - last.end_s < NEAR_S
        ):
            last = replace(last, end_s=max(last.end_s, cue.end_s), raw=cue.raw)
            continue
        if last is not None:
            yield last
        last = cue
    if last is not None:
        yield last


def _untagged(raw: str) -> str:
    text = raw.replace("\\N", "\n").replace(_BACKSLASH, "\\").replace(_COLON, ":")
    return _OVERRIDE.sub("", _TAG.sub("", text))


def _unescaped_vtt(raw: str) -> str:
    return _ENTITY.sub(lambda match: html.unescape(match[0]), _untagged(raw))


def _unescaped(raw: str) -> str:
    """Remove commands from ASS text, and undo the escapes that the ``ass`` module writes."""
    text = _OVERRIDE.sub("", raw.replace("\\{", "\ue001").replace("\\}", "\ue002").replace("\\\u2060", "\ue003"))
    text = re.sub(r"\\[Nn]", "\n", text).replace("\\h", "\u00a0")
    return text.replace("\ue001", "{").replace("\ue002", "}").replace("\ue003", "\\")


def _joined(text: str) -> str:
    """Join a cue's lines, with a space between them if the script uses spaces."""
    whole = ""
    for line in text.split("\n"):
        part = line.strip()
        whole += part if not whole or not part or may_break(whole, part) else f" {part}"
    return whole.strip()


def _labelled(text: str) -> tuple[str | None, str]:
    """Split ``[SPEAKER_00]: text`` into speaker (None if absent) and text."""
    match = _SPEAKER.match(text)
    return (" ".join(match[1].split()), text[match.end() :].strip()) if match else (None, text.strip())
