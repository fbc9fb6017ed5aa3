"""The speaker part of the JSON: speakers, turns, overlaps, and the settings that found them.

A turn names its speaker by label, so that people can rename speakers in the JSON, or merge two by giving them one
name. ``overlaps`` is derived from the turns and not read back.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Any

from whisperbatch.records import Speaker, Transcript, Turn

N_DECIMALS = 3


def block(transcript: Transcript) -> dict[str, Any]:
    """Return the keys for the transcript; empty if speakers were not looked for."""
    keys: dict[str, Any] = {}
    if transcript.speaker_settings:
        keys["speaker_settings"] = dict(transcript.speaker_settings)
    if transcript.speakers is None:
        return keys
    labels = [speaker.label for speaker in transcript.speakers]
    keys["speakers"] = [
        {"label": one.label, "seconds": one.seconds, "confidence": one.confidence} for one in transcript.speakers
    ]
    keys["turns"] = [
        {"start": one.start_s, "end": one.end_s, "speaker": labels[one.speaker], "confidence": one.confidence}
        for one in transcript.turns
    ]
    keys["overlaps"] = [{"start": start_s, "end": end_s} for start_s, end_s in overlaps(transcript.turns)]
    return keys


def read(block: Mapping[str, Any]) -> dict[str, Any]:
    """Read the speaker fields of a Transcript; ValueError, TypeError or KeyError if they are invalid.

    Speakers with the same label are merged.
    """
    settings = dict(block.get("speaker_settings") or {})
    if block.get("speakers") is None:
        return {"speaker_settings": settings}
    speakers: dict[str, Speaker] = {}
    for entry in block["speakers"]:
        one = Speaker(str(entry["label"]), _finite(entry.get("seconds")), _finite(entry.get("confidence")))
        speakers[one.label] = _merged(speakers[one.label], one) if one.label in speakers else one
    turns = [_turn(entry, speakers) for entry in block.get("turns") or ()]
    numbers = {label: number for number, label in enumerate(speakers)}
    return {
        "speaker_settings": settings,
        "speakers": tuple(speakers.values()),
        "turns": tuple(Turn(start_s, end_s, numbers[label], sure) for start_s, end_s, label, sure in turns),
    }


def overlaps(turns: Sequence[Turn]) -> list[tuple[float, float]]:
    """Return (start_s, end_s) where two or more speakers talk at once, ordered by time; adjacent ones are merged."""
    found: list[tuple[float, float]] = []
    running: list[tuple[float, int]] = []  # end and speaker of the open turns
    for turn in sorted(turns, key=lambda turn: (turn.start_s, turn.end_s)):
        while running and running[0][0] <= turn.start_s:
            heapq.heappop(running)
        others_s = max((end_s for end_s, speaker in running if speaker != turn.speaker), default=turn.start_s)
        until_s = min(others_s, turn.end_s)
        if until_s > turn.start_s:
            if found and turn.start_s <= found[-1][1]:
                found[-1] = found[-1][0], max(found[-1][1], until_s)
            else:
                found.append((turn.start_s, until_s))
        heapq.heappush(running, (turn.end_s, turn.speaker))
    return found


def _turn(entry: Mapping[str, Any], speakers: dict[str, Speaker]) -> tuple[float, float, str, float]:
    """Return times, label and confidence of a turn; adds its speaker if not listed."""
    label, start_s = str(entry["speaker"]), max(0.0, _finite(entry["start"]))
    speakers.setdefault(label, Speaker(label, 0.0, 0.0))
    return start_s, max(start_s, _finite(entry["end"])), label, _finite(entry.get("confidence"))


def _merged(one: Speaker, other: Speaker) -> Speaker:
    """Merge two speakers with one label."""
    seconds = one.seconds + other.seconds
    weighed = one.seconds * one.confidence + other.seconds * other.confidence
    sure = weighed / seconds if seconds else max(one.confidence, other.confidence)
    return Speaker(one.label, round(seconds, N_DECIMALS), round(sure, N_DECIMALS))


def _finite(value: Any) -> float:
    number = float(value or 0.0)
    if not math.isfinite(number):
        raise ValueError(number)
    return number
