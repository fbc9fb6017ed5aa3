"""Whether a file on disk was made from a transcript. Who calls: ``beside`` and the planner's ``outputs``."""

import json
from pathlib import Path

from whisperbatch.errors import FileError
from whisperbatch.files import read_regular
from whisperbatch.options import PRESETS, SHAPED, SubtitleOptions
from whisperbatch.records import Transcript
from whisperbatch.writers import PLAIN, render


def is_from(path: Path, name: str, json_file: Path, transcript: Transcript, shaping: SubtitleOptions) -> bool:
    """Whether an output was made from the transcript in the JSON file, or from it and corrected by hand since."""
    try:
        if path == json_file or holds(path, name, transcript, shaping):
            return True
        return path.is_file() and path.stat().st_mtime_ns >= json_file.stat().st_mtime_ns
    except OSError:
        return False


def is_shaped_otherwise(path: Path, name: str, transcript: Transcript, wanted: SubtitleOptions) -> bool:
    """Whether an output holds the transcript's subtitles unshaped or as a preset has them, but not as wanted.

    Trap: one in a shape that no preset has can't be told from one that was corrected by hand.
    """
    if name not in SHAPED or holds(path, name, transcript, wanted):
        return False
    return any(holds(path, name, transcript, shaping) for shaping in (PLAIN, *PRESETS.values()))


def is_as_made(path: Path, name: str, transcript: Transcript) -> bool:
    """Whether a file holds the transcript as we write it, its subtitles unshaped or as a preset has them.

    JSON that another program or version wrote is told by its spelling: a review page's, an editor's.
    """
    if name == "json":
        return _is_our_json(path, transcript)
    shapes = (PLAIN, *PRESETS.values()) if name in SHAPED else (PLAIN,)
    return any(holds(path, name, transcript, shaping) for shaping in shapes)


def _is_our_json(path: Path, transcript: Transcript) -> bool:
    """Whether a transcript's JSON is spelled as ours, and its words are those of its text."""
    spelled = ((one.text, one.words) for one in transcript.segments if one.words)
    try:
        data = read_regular(path)
        is_spelled = json.dumps(json.loads(data)).encode() == data
    except (OSError, ValueError, RecursionError):
        return False
    return is_spelled and all("".join(word.word for word in words) == text for text, words in spelled)


def holds(path: Path, name: str, transcript: Transcript, shaping: SubtitleOptions) -> bool:
    """Whether a file holds the transcript in that format and shape, to the byte."""
    try:
        text = render(transcript, name, shaping).encode(errors="replace")
        return path.stat().st_size == len(text) and read_regular(path) == text
    except (OSError, FileError):  # a shape may want word times that the transcript has not
        return False
