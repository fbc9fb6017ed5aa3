"""Whether a file on disk was made from a transcript."""

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
    """Whether an output was made from the transcript in the JSON file, or from it and corrected by hand since."""
    try:
        if path == json_file or holds(path, name, transcript, options):
            return True
        return path.is_file() and path.stat().st_mtime_ns >= json_file.stat().st_mtime_ns
    except OSError:
        return False


def is_shaped_otherwise(path: Path, name: str, transcript: Transcript, wanted: OutputOptions) -> bool:
    """Whether an output holds the transcript in another shape than is wanted: unshaped, or as a preset has it.

    Trap: one in a shape that no preset has can't be told from one that was corrected by hand; nor can a document with
    paragraphs by a pause that is neither the default nor wanted now.
    """
    if name not in SHAPED | DOCUMENTS or holds(path, name, transcript, wanted):
        return False
    return any(holds(path, name, transcript, options) for options in _others(name, wanted))


def _others(name: str, wanted: OutputOptions) -> Iterator[OutputOptions]:
    """The shapes that a format may have been given before."""
    if name in SHAPED:
        yield from (replace(wanted, subtitles=shaping) for shaping in (PLAIN, *PRESETS.values()))
        return
    for pause_s in {DocumentOptions().paragraph_pause_s, wanted.documents.paragraph_pause_s}:
        for has_stamps in (False, True):
            yield replace(wanted, documents=DocumentOptions(pause_s, has_stamps))


def is_as_made(path: Path, name: str, transcript: Transcript, wanted: OutputOptions) -> bool:
    """Whether a file holds the transcript as we write it, in the shape that is wanted or in another.

    JSON that another program or version wrote is told by its spelling: a review page's, an editor's.
    """
    if name == "json":
        return _is_our_json(path, transcript)
    return holds(path, name, transcript, wanted) or is_shaped_otherwise(path, name, transcript, wanted)


def _is_our_json(path: Path, transcript: Transcript) -> bool:
    """Whether a transcript's JSON is spelled as ours, and its words are those of its text."""
    spelled = ((one.text, one.words) for one in transcript.segments if one.words)
    try:
        data = read_regular(path)
        is_spelled = json.dumps(json.loads(data)).encode() == data
    except (OSError, ValueError, RecursionError):
        return False
    return is_spelled and all("".join(word.word for word in words) == text for text, words in spelled)


def holds(path: Path, name: str, transcript: Transcript, options: OutputOptions) -> bool:
    """Whether a file holds the transcript in that format and shape, to the byte; its own name is the title."""
    try:
        data = encoded(render(transcript, name, options.subtitles, options.documents, path.stem))
        return path.stat().st_size == len(data) and read_regular(path) == data
    except (OSError, FileError):  # a shape may want word times that the transcript has not
        return False
