"""Read a list of recordings from a file or standard input: one path a line, or paths separated by NUL."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from whisperbatch.errors import UsageError
from whisperbatch.records import AudioFile, FileOptions
from whisperbatch.sources.file_options import is_json_line, parse_json_line
from whisperbatch.sources.folders import Wanted, all_below, once
from whisperbatch.sources.media import is_media

N_BLOCK = 65_536
N_HEAD = 4_096  # bytes by which a list is distinguished from audio
MAX_PATH = 65_536  # bytes; a longer line is not a path
# strict, since a folder may be called RIFF or ID3
AUDIO_START = re.compile(
    rb"RIFF....(WAVE|AVI )|RF64....WAVE|FORM....AIF[FC]|ID3[\x02-\x04]|fLaC[\0\x80]|OggS\0|caff\0|#!AMR"
    rb"|\x1a\x45\xdf\xa3|....ftyp|\xff[\xf1\xf3\xf9\xfa\xfb]",
    re.DOTALL,
)
NOT_A_LIST = "contains audio or other binary data; it must be a list of paths, one per line"
BOM = b"\xef\xbb\xbf"
WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")


def from_list(
    stream: BinaryIO,
    *,
    nul: bool = False,
    base: Path | None = None,
    name: str = "standard input",
    is_wanted: Wanted = is_media,
    rules_base: Path | None = None,
) -> Iterator[AudioFile]:
    """Yield the recordings that a list names, each as soon as its line has arrived; folders are searched.

    A line may be a JSON object with a path and the options of that file (``file_options``). A path that does not exist
    is yielded too, and will fail to load, and so is an invalid line of JSON: one wrong line must not end a run. A file
    listed twice counts once.

    Args:
        stream: The list's bytes.
        nul: Whether paths are separated by NUL, not by line ends.
        base: The folder that relative paths start from; None means the current one.
        name: The list's name in messages.
        is_wanted: Selects files in folders by their names.
        rules_base: The folder that relative paths of replacement rules start from; None means the current one.

    Raises:
        UsageError: The stream contains audio or other binary data, not a list.
    """
    lines = _lines(stream, b"\0" if nul else b"\n", name)
    return once(
        audio
        for number, line in lines
        for audio in _named(f"{name}, line {number}", line, (base, rules_base), is_wanted)
    )


def _named(where: str, line: bytes, bases: tuple[Path | None, Path | None], is_wanted: Wanted) -> Iterator[AudioFile]:
    """The recordings of one line; ``where`` names the list and line, its paths are relative to ``bases``."""
    base, rules_base = bases
    path, options = Path(os.fsdecode(line)), FileOptions()
    if is_json_line(line):
        try:
            path, options = parse_json_line(line, rules_base)
        except UsageError as err:
            yield AudioFile(Path(where), options=FileOptions(fault=err.message))
            return
    for audio in all_below(Path(base or "", path), is_wanted):
        yield audio if audio.options.fault is not None else replace(audio, options=options)


def _lines(stream: BinaryIO, end: bytes, name: str) -> Iterator[tuple[int, bytes]]:
    """Yield non-empty lines with their numbers from 1, without a trailing carriage return or byte order mark."""
    rest, head, number = b"", b"", 0
    read = getattr(stream, "read1", stream.read)
    while block := read(N_BLOCK):
        is_first = not head
        if len(head) < N_HEAD:
            head += block
            _refuse_binary(head, name)
        if is_first:
            block = block.removeprefix(BOM)
        *whole, rest = (rest + block).split(end)
        for line in whole:
            number += 1
            if cleaned := _cleaned(line, end, name):
                yield number, cleaned
        if len(rest) > MAX_PATH:
            raise UsageError(f"{name} {NOT_A_LIST}")
    if cleaned := _cleaned(rest, end, name):
        yield number + 1, cleaned


def _cleaned(line: bytes, end: bytes, name: str) -> bytes:
    if end == b"\n":
        line = line.removesuffix(b"\r")
        if b"\0" in line:
            raise UsageError(f"{name} has NUL between its paths; use -0")
    return line if line.strip() else b""


def _refuse_binary(head: bytes, name: str) -> None:
    if head.startswith(WIDE_BOMS) and b"\0" in head[:4]:
        raise UsageError(f"{name} is UTF-16 text; save it as UTF-8")
    # names may consist of control characters, but a list of them without NUL is not binary data
    controls = sum(byte < 32 and byte not in b"\t\r\n\0\x1b" for byte in head)
    is_noise = b"\0" in head and controls > 2 + len(head) // 50
    if AUDIO_START.match(head) or b"\0\0\0" in head or is_noise:
        raise UsageError(f"{name} {NOT_A_LIST}")
