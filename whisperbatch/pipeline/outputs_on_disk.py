"""Outputs on disk, and whether they are still as we left them."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from whisperbatch.errors import FileError
from whisperbatch.files import read_regular
from whisperbatch.journal import Entry, Output
from whisperbatch.options import OutputOptions
from whisperbatch.outputs.paths import absolute
from whisperbatch.outputs.provenance import holds
from whisperbatch.records import Transcript
from whisperbatch.writers import FORMATS, read_json
from whisperbatch.writers.content import Content, encoded


def ours(entry: Entry) -> tuple[Output, ...]:
    """Return the outputs that nobody has changed since we, or a run that was interrupted, wrote them."""
    return tuple(output for output in entry.outputs if is_as_left(output) or is_intended(output))


def edited(entry: Entry) -> tuple[Path, ...]:
    """Return the outputs that somebody has changed since we wrote them."""
    changed = (one for one in entry.outputs if not (is_as_left(one) or is_intended(one)))
    return tuple(one.path for one in changed if os.path.lexists(one.path))


def is_as_left(output: Output) -> bool:
    """Return whether an output has the size and mtime that it had when it was done."""
    try:
        status = output.path.lstat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (output.size, output.mtime_ns)


def is_intended(output: Output) -> bool:
    """Return whether an output holds what its run was about to write when it was interrupted."""
    if output.intended is None:
        return False
    try:
        return hashlib.sha256(read_regular(output.path)).hexdigest() == output.intended
    except OSError:
        return False


def as_left(name: str, path: Path) -> Output:
    """Return an output with its present size and mtime."""
    try:
        status = path.lstat()
    except OSError:  # somebody was quick to take it away
        return Output(absolute(path), name)
    return Output(absolute(path), name, status.st_size, status.st_mtime_ns)


def as_kept(form: str, path: Path, entry: Entry, transcript: Transcript, options: OutputOptions) -> Output:
    """Return an output that was there before; one that somebody has corrected never becomes ours."""
    known = next((output for output in entry.outputs if output.path == absolute(path)), None)
    if known is None:
        return as_left(form, path) if is_made_from(path, transcript, options) else Output(absolute(path), form)
    return as_left(known.format, path) if is_as_left(known) or is_intended(known) else replace(known, intended=None)


def is_made_from(path: Path, transcript: Transcript, options: OutputOptions) -> bool:
    """Return whether an output is a transcript's JSON, or renders from it to the byte."""
    name = path.suffix[1:]
    return name == "json" or (name in FORMATS and holds(path, name, transcript, options))


def transcript_in(path: Path) -> Transcript | None:
    """Return the transcript in a JSON file; None when there is none."""
    try:
        return read_json(read_regular(path))
    except (OSError, FileError):
        return None


def transcript_among(outputs: Iterable[Output]) -> Transcript | None:
    """Return the transcript in the JSON among outputs; None when there is none."""
    return next(filter(None, (transcript_in(output.path) for output in outputs if output.name == "json")), None)


def digest(content: Content) -> str:
    """Return the SHA-256 of an output's bytes, hexadecimal."""
    return hashlib.sha256(encoded(content)).hexdigest()
