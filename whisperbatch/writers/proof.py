"""Whether a file on disk was made from a transcript. Who calls: ``beside`` and the planner's ``outputs``."""

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


def holds(path: Path, name: str, transcript: Transcript, shaping: SubtitleOptions) -> bool:
    """Whether a file holds the transcript in that format and shape, to the byte."""
    try:
        text = render(transcript, name, shaping, path.stem).encode(errors="replace")
        return path.stat().st_size == len(text) and read_regular(path) == text
    except (OSError, FileError):  # a shape may want word times that the transcript has not
        return False
