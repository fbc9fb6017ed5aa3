"""Transcripts that other tools wrote, read by the extension of their names: JSON, subtitles, text with time stamps.

Comes in: a file's name and bytes, which may hold anything. Goes out: a Transcript without word times and scores.
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
NEAR_S = 0.1  # between cues that show one text, each with another word marked

_SPEAKER = re.compile(r"\[([^\[\]\n]{1,80})\]:\s+")
_VOICE = re.compile(r"<v(?:\.[^\s<>]{0,80})?\s+([^<>]{1,80})>")
_TAG = re.compile(r"</?(?:[ibusvc]|font|ruby|rt|lang)(?:[\s.][^<>]{0,200})?>|<[\d:.]{5,15}>", re.IGNORECASE)
_OVERRIDE = re.compile(r"\{\\[^{}]{0,500}\}")
_DRAWING = re.compile(r"\{[^{}]{0,500}\\p[1-9]")
_TIMING = re.compile(r"\d:\d\d[.,]\d+\s*-->\s*\d")
_TIME = re.compile(r"\d:\d\d[.,]\d")
_ASIDE = re.compile(r"\s*(?:NOTE|STYLE|REGION)(?:\s|$)")  # blocks of WebVTT that are not cues
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|lrm|rlm|#\d{1,6}|#[xX][\da-fA-F]{1,6});")
_COLON = "\ue000"  # in place of one that pysubs2 would take for a time's
_BACKSLASH = "\ue001"  # in place of one that would look like the line breaks that pysubs2 makes


@dataclass(frozen=True, slots=True)
class _Cue:
    start_s: float
    end_s: float
    raw: str
    text: str
    speaker: str | None


def read_transcript(path: Path, data: bytes) -> Transcript:
    """The transcript in a file: srt, vtt, ass or txt by its extension, else JSON; FileError when there is none.

    The language is taken from a name such as ``talk.de.srt``; the length is the last cue's end.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        return json_.read(data, path)
    if len(data) > MAX_TEXT:
        raise FileError(f"this is not a transcript; it is larger than {MAX_TEXT >> 20} MiB", path)
    try:
        segments = tuple(json_.parted([_segment(cue) for cue in _READERS[suffix](_decoded(data))]))
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
    """The text, with line ends as Python has them; UTF-16 only where it says so itself."""
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
    lines = [line for line in text.split("\n") if line.lstrip().startswith("Dialogue:")]  # neither fonts nor styles
    events = [one for one in _events("\n".join(["[Events]", *lines]), "ass") if not _DRAWING.search(one.text)]
    return _merged(_cue(event, _unescaped) for event in events)


_READERS: dict[str, Callable[[str], Iterable[_Cue]]] = {
    ".srt": _from_srt,
    ".vtt": _from_vtt,
    ".ass": _from_ass,
    ".txt": _from_txt,
}


def _events(text: str, name: str) -> list[Any]:
    """What pysubs2 finds, in the order of time."""
    import pysubs2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fields that are not read here
        options = {} if name == "ass" else {"keep_html_tags": True}
        return sorted(pysubs2.SSAFile.from_string(text, name, **options), key=lambda event: event.start)


def _numbered(lines: list[str]) -> str:
    """The lines of an srt or vtt file with a number before each cue, and after the last.

    Trap: pysubs2 takes a number in a cue's last line for the next cue's, names of WebVTT cues for text, and any line
    with two times for a cue's; long runs of empty lines keep it busy for hours.
    """
    kept: list[str] = []
    for line in lines:
        line = line.strip().replace("\\", _BACKSLASH)
        if _TIMING.search(line):
            if kept and (kept[-1].isdecimal() or (kept[-1] and (len(kept) < 2 or not kept[-2]))):
                kept.pop()
            kept += ["", "0", line]
        elif line or (kept and kept[-1]):
            kept.append(line.replace(":", _COLON) if _TIME.search(line) else line)
    return "\n".join([*kept, "", "0"])


def _cue(event: Any, clean: Callable[[str], str]) -> _Cue:
    voice = _VOICE.search(event.text)
    speaker, text = _labelled(_joined(clean(event.text)))
    named = " ".join((voice[1] if voice else event.name).split())
    return _Cue(max(0, event.start) / 1000, max(0, event.end) / 1000, event.text, text, speaker or named or None)


def _merged(cues: Iterable[_Cue]) -> Iterator[_Cue]:
    """The cues with text; those that show one text after another and mark another word in each are one."""
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
    """Text of an ass file, without commands and without what ``ass`` writes to keep text from being one."""
    text = _OVERRIDE.sub("", raw.replace("\\{", "\ue001").replace("\\}", "\ue002").replace("\\\u2060", "\ue003"))
    text = re.sub(r"\\[Nn]", "\n", text).replace("\\h", "\u00a0")
    return text.replace("\ue001", "{").replace("\ue002", "}").replace("\ue003", "\\")


def _joined(text: str) -> str:
    """A cue's lines as one, with a blank between them where its script has one."""
    whole = ""
    for line in text.split("\n"):
        part = line.strip()
        whole += part if not whole or not part or may_break(whole, part) else f" {part}"
    return whole.strip()


def _labelled(text: str) -> tuple[str | None, str]:
    """Speaker and text of ``[SPEAKER_00]: text``."""
    match = _SPEAKER.match(text)
    return (" ".join(match[1].split()), text[match.end() :].strip()) if match else (None, text.strip())
