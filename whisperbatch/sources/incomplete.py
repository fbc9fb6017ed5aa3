"""Detect incomplete files: by the extensions of unfinished downloads and copies, or shorter than their container says.

Reads a few headers and no audio.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

UNDER_WAY = frozenset(
    ".part .partial .filepart .tmp .temp .crdownload .download .opdownload .swp .swx .bak .!ut .!qb .~lock".split()
)  # rsync, browsers, WinSCP, editors, yt-dlp
SLACK = 64  # bytes; many programs miscount by a few, and so few hold no word
UNKNOWN = 0x7FFF_0000  # programs that do not know the length write 0, 0xFFFFFFFF, or about half of that
MAX_BOXES = 4_096  # at the top of an MP4; a fragmented one has a pair for every few seconds, its index at the start
MP4_STARTS = frozenset((b"ftyp", b"moov", b"mdat", b"wide", b"skip", b"free", b"pnot"))
MP4_NEEDED = frozenset((b"moov", b"mdat"))  # index and content


def is_under_way(name: str) -> bool:
    """True if the name says that the file is still being written: ``talk.part.wav``, ``talk.wav~``.

    This applies to folders too: a browser may keep ``talk.wav`` in ``talk.wav.download`` until it is complete.
    """
    if name.startswith((".", "~")) or name.endswith("~") or (name.startswith("#") and name.endswith("#")):
        return True
    return not UNDER_WAY.isdisjoint(suffix.lower() for suffix in Path(name).suffixes[-2:])


def is_cut_short(path: Path) -> bool:
    """True if a WAV, AVI or AIFF file's header promises more bytes than there are, or an MP4 lacks its index or end.

    False for other formats, for open lengths, and for a file that cannot be read.
    """
    try:
        with path.open("rb") as stream:
            n_bytes = stream.seek(0, 2)
            stream.seek(0)
            head = stream.read(36)
            if head[4:8] in MP4_STARTS:
                return _is_mp4_cut(stream, n_bytes)
            return _n_promised(head) > n_bytes + SLACK
    except (OSError, ValueError):
        return False


def _n_promised(head: bytes) -> int:
    """The file size that a RIFF, RF64 or AIFF header gives; 0 when it is open, or this is not such a header."""
    if len(head) < 12:
        return 0
    kind, form = head[:4], head[8:12]
    if kind in (b"RF64", b"BW64") and head[12:16] == b"ds64" and len(head) >= 28:
        (n_inside,) = struct.unpack("<Q", head[20:28])
        return int(n_inside) + 8 if n_inside < 1 << 62 else 0
    if kind == b"RIFF" and form in (b"WAVE", b"AVI "):
        (n_inside,) = struct.unpack("<I", head[4:8])
    elif kind == b"FORM" and form in (b"AIFF", b"AIFC"):
        (n_inside,) = struct.unpack(">I", head[4:8])
    else:
        return 0
    return 0 if n_inside >= UNKNOWN else int(n_inside) + 8


def _is_mp4_cut(stream: BinaryIO, n_bytes: int) -> bool:
    """True if the index or the content is missing, or the last box is cut off."""
    kinds: set[bytes] = set()
    for kind, end in _boxes(stream, n_bytes):
        if end > n_bytes + SLACK and (kind in MP4_NEEDED or not kinds >= MP4_NEEDED):
            return True  # anything may follow the boxes that are needed
        kinds.add(kind)
    return not kinds >= MP4_NEEDED


def _boxes(stream: BinaryIO, n_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Yield kind and end of each top-level box, until something follows that is not a box."""
    at = 0
    for _ in range(MAX_BOXES):
        stream.seek(at)
        head = stream.read(16)
        if len(head) < 8:
            return
        (size,), kind = struct.unpack(">I", head[:4]), head[4:8]
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack(">Q", head[8:16])
        end = n_bytes if size == 0 else at + size
        if not kind.isascii() or end < at + 8:
            return
        yield kind, end
        at = end
