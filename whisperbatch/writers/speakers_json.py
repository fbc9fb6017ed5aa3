"""The part of our JSON block that says who speaks: speakers, turns, overlaps, and with which settings they were found.

A turn names its speaker by label, so that renaming a speaker, or giving two the same name, makes sense to whoever
reads or edits the JSON. ``overlaps`` follows from the turns and is not read back. Used by ``json_``.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Any

from whisperbatch.records import Speaker, Transcript, Turn

N_DECIMALS = 3


def block(transcript: Transcript) -> dict[str, Any]:
    """The keys; none when nobody looked for speakers."""
    told: dict[str, Any] = {}
    if transcript.speaker_settings:
        told["speaker_settings"] = dict(transcript.speaker_settings)
    if transcript.speakers is None:
        return told
    labels = [speaker.label for speaker in transcript.speakers]
    told["speakers"] = [
        {"label": one.label, "seconds": one.seconds, "confidence": one.confidence} for one in transcript.speakers
    ]
    told["turns"] = [
        {"start": one.start_s, "end": one.end_s, "speaker": labels[one.speaker], "confidence": one.confidence}
        for one in transcript.turns
    ]
    told["overlaps"] = [{"start": start_s, "end": end_s} for start_s, end_s in overlaps(transcript.turns)]
    return told


def read(block: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a Transcript; ValueError, TypeError or KeyError when they make no sense.

    Speakers of the same label are one.
    """
    settings = dict(block.get("speaker_settings") or {})
    if block.get("speakers") is None:
        return {"speaker_settings": settings}
    speakers: dict[str, Speaker] = {}
    for entry in block["speakers"]:
        one = Speaker(str(entry["label"]), _finite(entry.get("seconds")), _finite(entry.get("confidence")))
        speakers[one.label] = _both(speakers[one.label], one) if one.label in speakers else one
    turns = [_turn(entry, speakers) for entry in block.get("turns") or ()]
    numbers = {label: number for number, label in enumerate(speakers)}
    return {
        "speaker_settings": settings,
        "speakers": tuple(speakers.values()),
        "turns": tuple(Turn(start_s, end_s, numbers[label], sure) for start_s, end_s, label, sure in turns),
    }


def overlaps(turns: Sequence[Turn]) -> list[tuple[float, float]]:
    """Where two speakers or more talk at once, in order of time; stretches that touch are one."""
    found: list[tuple[float, float]] = []
    running: list[tuple[float, int]] = []  # end and speaker of the turns that go on
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
    """Times, label and confidence of a turn; a speaker who is named nowhere else is added."""
    label, start_s = str(entry["speaker"]), max(0.0, _finite(entry["start"]))
    speakers.setdefault(label, Speaker(label, 0.0, 0.0))
    return start_s, max(start_s, _finite(entry["end"])), label, _finite(entry.get("confidence"))


def _both(one: Speaker, other: Speaker) -> Speaker:
    """Two speakers of one label."""
    seconds = one.seconds + other.seconds
    weighed = one.seconds * one.confidence + other.seconds * other.confidence
    sure = weighed / seconds if seconds else max(one.confidence, other.confidence)
    return Speaker(one.label, round(seconds, N_DECIMALS), round(sure, N_DECIMALS))


def _finite(value: Any) -> float:
    number = float(value or 0.0)
    if not math.isfinite(number):
        raise ValueError(number)
    return number
