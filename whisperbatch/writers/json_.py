"""openai-whisper's JSON plus one key, ``whisperbatch``; also reads both back.

The JSON does not depend on the run. Where players expect a number it is never null, and never NaN.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from whisperbatch import __version__
from whisperbatch.errors import FileError
from whisperbatch.records import Segment, Transcript, Word
from whisperbatch.writers import speakers_json
from whisperbatch.writers.subtitles.units import may_break

SCHEMA = 1
LATEST_S = 1e9  # about thirty years; a later time is invalid, like an infinite one
NOT_A_TRANSCRIPT = "this is not a transcript; give a JSON file that whisperbatch or openai-whisper wrote"


def render(transcript: Transcript) -> str:
    """Write one line of ASCII, keys in openai-whisper's order, no newline at the end."""
    data = {
        "text": transcript.text,
        "segments": [_segment(number, segment) for number, segment in enumerate(transcript.segments)],
        "language": transcript.language,
        "whisperbatch": _block(transcript),
    }
    return json.dumps(data, allow_nan=False)


def read(data: str | bytes, path: Path | None = None) -> Transcript:
    """Read a transcript from JSON of whisperbatch, openai-whisper or a similar tool; FileError if it is not one.

    Keys that other tools leave out are filled in: scores with 0, a missing end with the start, a word without times
    (whisperX) with the end of the word before.
    """
    try:
        content = json.loads(data)
        segments = tuple(_read_segment(entry) for entry in content["segments"])
        if content.get("text") != "".join(segment.text for segment in segments):
            segments = tuple(restore_spaces(segments))
        block = content.get("whisperbatch") or {}
        return Transcript(
            language=str(content.get("language") or ""),
            segments=segments,
            duration_s=_number(block.get("duration"), max((s.end_s for s in segments), default=0.0)),
            language_probability=_optional(block.get("language_probability")),
            speech_s=_optional(block.get("speech_seconds")),
            covered_s=_optional(block.get("covered_seconds")),
            size=None if block.get("size") is None else int(block["size"]),
            sha256=block.get("sha256"),
            model=str(block.get("model") or ""),
            revision=block.get("revision"),
            settings=dict(block.get("settings") or {}),
            suspects=tuple(dict(suspect) for suspect in block.get("suspects") or ()),
            warnings=tuple(str(warning) for warning in block.get("warnings") or ()),
            is_checked=block.get("checked") is True,
            replacements=str(block.get("replacements") or ""),
            **speakers_json.read(block),
        )
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as err:
        raise FileError(NOT_A_TRANSCRIPT, path) from err


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    start_s = _number(segment.start_s)
    data: dict[str, Any] = {
        "id": number,
        "seek": segment.seek,
        "start": start_s,
        "end": _number(segment.end_s, start_s),
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": _number(segment.temperature),
        "avg_logprob": _number(segment.avg_logprob),
        "compression_ratio": _number(segment.compression_ratio),
        "no_speech_prob": _number(segment.no_speech_prob),
    }
    if segment.words is not None:
        data["words"] = [_word(word) for word in segment.words]
    data |= _known(speaker=segment.speaker, channel=segment.channel, language=segment.language)
    data |= _known(original=segment.original)
    if segment.original_words is not None:
        data["original_words"] = [_word(word) for word in segment.original_words]
    return data


def _word(word: Word) -> dict[str, Any]:
    start_s = _number(word.start_s)
    return {
        "word": word.word,
        "start": start_s,
        "end": _number(word.end_s, start_s),
        "probability": _number(word.probability),
        **_known(speaker=word.speaker, original=word.original),
    }


def _known(**names: str | None) -> dict[str, str]:
    """Leave out unset names, so that without them the JSON is exactly openai-whisper's."""
    return {key: name for key, name in names.items() if name is not None}


def _block(transcript: Transcript) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "version": __version__,
        "model": transcript.model,
        "revision": transcript.revision,
        "settings": _plain(transcript.settings),
        "duration": _number(transcript.duration_s),
        "size": transcript.size,
        "sha256": transcript.sha256,
        "language_probability": _optional(transcript.language_probability),
        "speech_seconds": _optional(transcript.speech_s),
        "covered_seconds": _optional(transcript.covered_s),
        "suspects": _plain(transcript.suspects),
        "warnings": list(transcript.warnings),
        **({"checked": True} if transcript.is_checked else {}),
        **({"replacements": transcript.replacements} if transcript.replacements else {}),
        **speakers_json.block(transcript),
    }


def _read_segment(entry: dict[str, Any]) -> Segment:
    start_s, text, words, before = entry["start"], entry["text"], entry.get("words"), entry.get("original_words")
    if not isinstance(text, str) or not _is_time(start_s):
        raise ValueError(entry)
    start_s = max(0.0, float(start_s))
    return Segment(
        start_s=start_s,
        end_s=max(start_s, _time(entry.get("end"), start_s)),
        text=text,
        tokens=tuple(int(token) for token in entry.get("tokens") or ()),
        seek=int(entry.get("seek") or 0),
        temperature=_number(entry.get("temperature")),
        avg_logprob=_number(entry.get("avg_logprob")),
        compression_ratio=_number(entry.get("compression_ratio")),
        no_speech_prob=_number(entry.get("no_speech_prob")),
        words=None if words is None else _read_words(_spaced(words, text), start_s),
        speaker=_name(entry.get("speaker")),
        channel=_name(entry.get("channel")),
        language=_name(entry.get("language")),
        original=_name(entry.get("original")),
        original_words=None if before is None else _read_words(before, start_s),
    )


def _read_words(entries: list[dict[str, Any]], from_s: float) -> tuple[Word, ...]:
    words = []
    for entry in entries:
        start_s = max(0.0, _time(entry.get("start"), from_s))
        from_s = max(start_s, _time(entry.get("end"), start_s))
        probability = _number(entry.get("probability", entry.get("score")))  # whisperX calls it score
        names = _name(entry.get("speaker")), _name(entry.get("original"))
        words.append(Word(str(entry["word"]), start_s, from_s, probability, *names))
    return tuple(words)


def _spaced(entries: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """Restore the spaces before words, from the text, if all words were stripped (whisperX)."""
    words = [str(entry["word"]) for entry in entries]
    if any(word != word.strip() for word in words[1:]):
        return entries
    spaced, at = [], 0
    for entry, word in zip(entries, words, strict=True):
        found = text.find(word, at)
        between = text[at:found] if found >= 0 else ""
        at = found + len(word) if found >= 0 else at
        spaced.append({**entry, "word": between[len(between.rstrip()) :] + word})
    return spaced


def restore_spaces(segments: Sequence[Segment]) -> Sequence[Segment]:
    """Restore the spaces between segments if the tool stripped all of them."""
    texts = [segment.text for segment in segments]
    if any(text != text.strip() for text in texts):
        return segments
    spaced = list(segments[:1])
    for before, segment in pairwise(segments):
        if before.text and segment.text and not may_break(before.text, segment.text):
            first = [replace(word, word=f" {word.word}") for word in (segment.words or ())[:1]]
            words = None if segment.words is None else (*first, *segment.words[1:])
            segment = replace(segment, text=f" {segment.text}", words=words)
        spaced.append(segment)
    return spaced


def _name(value: Any) -> str | None:
    return None if value is None else str(value)


def _is_time(value: float) -> bool:
    return math.isfinite(value) and value <= LATEST_S


def _time(value: float | None, otherwise: float) -> float:
    """Return the time as a float, or ``otherwise`` if it is missing or not a plausible time."""
    return float(value) if value is not None and _is_time(value) else otherwise


def _number(value: float | None, otherwise: float = 0.0) -> float:
    """Return the number as a float, or ``otherwise`` if it is missing or not finite."""
    return float(value) if value is not None and math.isfinite(value) else otherwise


def _optional(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """Convert to plain JSON types; infinities and NaN become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return _optional(value) if isinstance(value, float) else value
