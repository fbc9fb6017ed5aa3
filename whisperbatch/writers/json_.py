"""openai-whisper's JSON with one key of ours at the end; and reading it back, ours and theirs.

Nothing in it depends on the run; nothing is null where a player wants a number, and nothing is NaN.
"""

import json
import math
from pathlib import Path
from typing import Any

from whisperbatch import __version__
from whisperbatch.errors import FileError
from whisperbatch.records import Segment, Transcript, Word

SCHEMA = 1
NOT_A_TRANSCRIPT = "is not a transcript in whisperbatch's or openai-whisper's JSON"


def render(transcript: Transcript) -> str:
    """One line, ASCII, keys in openai-whisper's order, no newline at the end."""
    data = {
        "text": transcript.text,
        "segments": [_segment(number, segment) for number, segment in enumerate(transcript.segments)],
        "language": transcript.language,
        "whisperbatch": _block(transcript),
    }
    return json.dumps(data, allow_nan=False)


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    data: dict[str, Any] = {
        "id": number,
        "seek": segment.seek,
        "start": _finite(segment.start_s),
        "end": _finite(segment.end_s),
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": _finite(segment.temperature),
        "avg_logprob": _finite(segment.avg_logprob),
        "compression_ratio": _finite(segment.compression_ratio),
        "no_speech_prob": _finite(segment.no_speech_prob),
    }
    if segment.words is not None:
        data["words"] = [
            {"word": w.word, "start": w.start_s, "end": w.end_s, "probability": _finite(w.probability)}
            for w in segment.words
        ]
    return data


def _block(transcript: Transcript) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "version": __version__,
        "model": transcript.model,
        "revision": transcript.revision,
        "settings": dict(transcript.settings),
        "duration": transcript.duration_s,
        "size": transcript.size,
        "sha256": transcript.sha256,
        "language_probability": transcript.language_probability,
        "speech_seconds": transcript.speech_s,
        "covered_seconds": transcript.covered_s,
        "suspects": [dict(suspect) for suspect in transcript.suspects],
        "warnings": list(transcript.warnings),
    }


def _finite(number: float) -> float:
    return number if math.isfinite(number) else 0.0


def read(data: str | bytes, path: Path | None = None) -> Transcript:
    """The transcript in a JSON file, ours or openai-whisper's; FileError when it isn't one."""
    try:
        content = json.loads(data)
        segments = tuple(_read_segment(entry) for entry in content["segments"])
        block = content.get("whisperbatch") or {}
        return Transcript(
            language=str(content.get("language") or ""),
            segments=segments,
            duration_s=float(block.get("duration") or max((s.end_s for s in segments), default=0.0)),
            language_probability=block.get("language_probability"),
            speech_s=block.get("speech_seconds"),
            covered_s=block.get("covered_seconds"),
            size=block.get("size"),
            sha256=block.get("sha256"),
            model=str(block.get("model") or ""),
            revision=block.get("revision"),
            settings=block.get("settings") or {},
            suspects=tuple(block.get("suspects") or ()),
            warnings=tuple(block.get("warnings") or ()),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as err:
        raise FileError(NOT_A_TRANSCRIPT, path) from err


def is_ours(data: str | bytes) -> bool:
    """Whether the JSON carries our block."""
    try:
        return isinstance(json.loads(data)["whisperbatch"]["schema"], int)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def _read_segment(entry: dict[str, Any]) -> Segment:
    start_s = float(entry["start"])
    words = entry.get("words")
    return Segment(
        start_s=start_s,
        end_s=float(start_s if entry.get("end") is None else entry["end"]),
        text=str(entry["text"]),
        tokens=tuple(int(token) for token in entry.get("tokens") or ()),
        seek=int(entry.get("seek") or 0),
        temperature=float(entry.get("temperature") or 0.0),
        avg_logprob=float(entry.get("avg_logprob") or 0.0),
        compression_ratio=float(entry.get("compression_ratio") or 0.0),
        no_speech_prob=float(entry.get("no_speech_prob") or 0.0),
        words=None if words is None else tuple(_read_word(word) for word in words),
    )


def _read_word(entry: dict[str, Any]) -> Word:
    return Word(str(entry["word"]), float(entry["start"]), float(entry["end"]), float(entry.get("probability") or 0.0))
