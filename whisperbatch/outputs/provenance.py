"""Decide whether a file on disk was made from a transcript, and in which shape."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from whisperbatch.errors import FileError
from whisperbatch.files import read_regular
from whisperbatch.options import DOCUMENTS, PRESETS, SHAPED, DocumentOptions, OutputOptions
from whisperbatch.records import Transcript
from whisperbatch.writers import PLAIN, render
from whisperbatch.writers.content import encoded


def is_from(path: Path, name: str, json_file: Path, transcript: Transcript, options: OutputOptions) -> bool:
    """Return whether an output was made from the transcript in the JSON file, even if corrected by hand since."""
    try:
        if path == json_file or holds(path, name, transcript, options):
            return True
        return path.is_file() and path.stat().st_mtime_ns >= json_file.stat().st_mtime_ns
    except OSError:
        return False


def is_shaped_otherwise(path: Path, name: str, transcript: Transcript, wanted: OutputOptions) -> bool:
    """Return whether an output has the transcript in a shape other than ``wanted``: unshaped, or a preset's.

    Trap: a shape that no preset has can't be distinguished from a correction by hand; nor can a document whose
    paragraph pause is neither the default nor the one wanted now.
    """
    if name not in SHAPED | DOCUMENTS or holds(path, name, transcript, wanted):
        return False
    return any(holds(path, name, transcript, options) for options in _others(name, wanted))


def _others(name: str, wanted: OutputOptions) -> Iterator[OutputOptions]:
    """Yield the shapes in which the format may have been written before."""
    if name in SHAPED:
        yield from (replace(wanted, subtitles=shaping) for shaping in (PLAIN, *PRESETS.values()))
        return
    for pause_s in {DocumentOptions().paragraph_pause_s, wanted.documents.paragraph_pause_s}:
        for has_stamps in (False, True):
            yield replace(wanted, documents=DocumentOptions(pause_s, has_stamps))


def is_as_made(path: Path, name: str, transcript: Transcript, wanted: OutputOptions) -> bool:
    """Return whether a file has the transcript exactly as whisperbatch writes it, in the shape wanted or another.

    JSON that another program wrote (a review page, an editor) is recognised by its formatting.
    """
    if name == "json":
        return _is_our_json(path, transcript)
    return holds(path, name, transcript, wanted) or is_shaped_otherwise(path, name, transcript, wanted)


def _is_our_json(path: Path, transcript: Transcript) -> bool:
    """True if the JSON is formatted as whisperbatch does it, and the words match the text."""
    texts = ((one.text, one.words) for one in transcript.segments if one.words)
    try:
        data = read_regular(path)
        is_formatted = json.dumps(json.loads(data)).encode() == data
    except (OSError, ValueError, RecursionError):
        return False
    return is_formatted and all("".join(word.word for word in words) == text for text, words in texts)


def holds(path: Path, name: str, transcript: Transcript, options: OutputOptions) -> bool:
    """Return whether a file is the transcript in that format and shape, byte for byte; its stem is the title."""
    try:
        data = encoded(render(transcript, name, options.subtitles, options.documents, path.stem))
        return path.stat().st_size == len(data) and read_regular(path) == data
    except (OSError, FileError):  # a shape may need word times that the transcript lacks
        return False
