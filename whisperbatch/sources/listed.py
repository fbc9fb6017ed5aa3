"""A list of paths, from a file or standard input, to recordings: a line each, or NUL between them, taken as they come.

Who calls: the CLI.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from whisperbatch.errors import UsageError
from whisperbatch.records import AudioFile
from whisperbatch.sources.folders import Notice, below

N_BLOCK = 65_536
MAX_PATH = 65_536  # bytes; what has no end by then is no path
AUDIO_STARTS = (b"RIFF", b"ID3", b"fLaC", b"OggS", b"\x1a\x45\xdf\xa3", b"FORM", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1")
NOT_A_LIST = "standard input or list holds audio or other binary data; a list of paths is wanted, a path a line"
BOM = b"\xef\xbb\xbf"


def from_list(stream: BinaryIO, *, nul: bool = False, on_notice: Notice | None = None) -> Iterator[AudioFile]:
    """The recordings that a list names, each as soon as its line is there; folders are walked.

    A path that does not exist comes out too, for the loader to fail: one wrong line must not end a run.

    Raises:
        UsageError: The stream holds audio or other binary data and not a list.
    """
    seen: set[bytes] = set()
    for line in _lines(stream, b"\0" if nul else b"\n"):
        if line in seen:
            continue
        seen.add(line)
        yield from below(Path(os.fsdecode(line)), on_notice)


def _lines(stream: BinaryIO, end: bytes) -> Iterator[bytes]:
    """Non-empty lines, carriage returns at their ends and a byte order mark at the beginning cut off."""
    rest, is_first = b"", True
    read = getattr(stream, "read1", stream.read)
    while block := read(N_BLOCK):
        if is_first:
            _refuse_binary(block, end)
            block, is_first = block.removeprefix(BOM), False
        *whole, rest = (rest + block).split(end)
        for line in whole:
            if cleaned := _cleaned(line, end):
                yield cleaned
        if len(rest) > MAX_PATH:
            raise UsageError(NOT_A_LIST)
    if cleaned := _cleaned(rest, end):
        yield cleaned


def _cleaned(line: bytes, end: bytes) -> bytes:
    if end == b"\n":
        line = line.removesuffix(b"\r")
        if b"\0" in line:
            raise UsageError("the list has NUL between its paths; read it with -0")
    return line if line.strip() else b""


def _refuse_binary(block: bytes, end: bytes) -> None:
    controls = sum(byte < 32 and byte not in b"\t\r\n\0\x1b" for byte in block)
    is_box = block[4:8] == b"ftyp"
    if block.startswith(AUDIO_STARTS) or is_box or controls > 2 + len(block) // 50 or block.count(0) > len(block) // 4:
        raise UsageError(NOT_A_LIST)
