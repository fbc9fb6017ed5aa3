"""Open a recording's file, if it is a regular one, and look at bytes that a decoder does not report."""

import io
import os
import re
from pathlib import Path
from typing import BinaryIO

from whisperbatch.errors import LoadError
from whisperbatch.files import IrregularFileError, open_regular

RIFF_UNKNOWN = 0x7FFF0000  # programs that cannot seek back write sizes from here on
FIRST_PAGE = b"OggS\x00\x02"  # the start of a recording within an Ogg file
LIST_START = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<\?xml.*?>\s*)?(#EXTM3U|ffconcat|\[playlist\]|\[reference\]|<(MPD|asx|playlist|smil)\b|v=0\s)",
    re.DOTALL | re.IGNORECASE,
)
# formats that only the extension identifies: FFmpeg's name, and options
TELEPHONE = {"sample_rate": "8000"}  # mono
RAW: dict[str, tuple[str, dict[str, str]]] = {
    ".g722": ("g722", {}),
    ".g723_1": ("g723_1", {}),
    ".g726": ("g726", {}),  # 32 kbit/s, as most are
    ".g729": ("g729", {}),
    ".gsm": ("gsm", {}),
    ".sbc": ("sbc", {}),
    ".msbc": ("sbc", {}),
    ".aptx": ("aptx", {}),
    ".aptxhd": ("aptx_hd", {}),
    ".ul": ("mulaw", TELEPHONE),
    ".ulaw": ("mulaw", TELEPHONE),
    ".mulaw": ("mulaw", TELEPHONE),
    ".al": ("alaw", TELEPHONE),
    ".alaw": ("alaw", TELEPHONE),
    ".sln": ("s16le", TELEPHONE),
    ".sln16": ("s16le", {"sample_rate": "16000"}),
}
DS2 = re.compile(rb"[\x01-\x0f](ds2|enc)")  # the start of a DSS Pro dictation, or an encrypted one
N_SCAN = 1 << 20  # bytes per read


def opened(path: Path) -> BinaryIO:
    """Open the file; LoadError when it is not a regular file, is empty, or cannot be opened."""
    try:
        file = open_regular(path)
    except FileNotFoundError as err:
        raise LoadError("does not exist", path) from err
    except IrregularFileError as err:
        raise LoadError(str(err), path) from err
    except (OSError, ValueError) as err:
        raise LoadError(f"cannot be opened: {getattr(err, 'strerror', None) or err}", path) from err
    if os.fstat(file.fileno()).st_size == 0:
        file.close()
        raise LoadError("is empty", path)
    return io.BufferedReader(file)


def is_text(file: BinaryIO) -> bool:
    """True if the file begins like a text."""
    return b"\0" not in _head(file)


def is_list(file: BinaryIO) -> bool:
    """True if the file begins like a playlist or another list of files."""
    return LIST_START.match(_head(file)) is not None


def is_prose(file: BinaryIO) -> bool:
    """True if the file begins with lines of text for people or compilers, unlike raw sound."""
    head = _head(file)
    try:
        text = head.decode()
    except UnicodeDecodeError as err:
        if err.start < len(head) - 3:  # else it is a character cut off at the end
            return False
        text = head[: err.start].decode()
    return any(map(str.isspace, text)) and all(char.isprintable() or char.isspace() for char in text)


def is_ds2(file: BinaryIO) -> bool:
    """True if the file begins like a DS2 dictation."""
    return DS2.match(_head(file)) is not None


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(1024)


def next_recording(file: BinaryIO, start: int) -> int | None:
    """Return where the next recording of a chained Ogg file begins, after ``start``; None when there is none."""
    file.seek(start)
    at, held = start, b""
    while more := file.read(N_SCAN):
        held += more
        found = held.find(FIRST_PAGE)
        if found >= 0:
            return at + found
        kept = held[-len(FIRST_PAGE) + 1 :]
        at, held = at + len(held) - len(kept), kept
    return None


def promised_by_riff(file: BinaryIO) -> int:
    """Return the size that a WAVE file's header gives, when the file is shorter; else 0."""
    here = file.tell()
    file.seek(0)
    head, n_there = file.read(8), os.fstat(file.fileno()).st_size
    file.seek(here)
    size = int.from_bytes(head[4:], "little")
    return size if head[:4] == b"RIFF" and n_there < size + 8 < RIFF_UNKNOWN else 0


def id3_size(head: bytes) -> int:
    """Return the size of an ID3v2 tag in bytes, from its first ten bytes."""
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size
