"""Read all sound of WAVE files that have more than their header says: joined files, or a recorder that crashed.

A second header is skipped and the sound after it read, where it is plain samples of the same format. Chunks and tags
after the sound are normal: they are not sound, and do not cause a notice.
"""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAX_SIZE = 0x7FFF0000  # programs that cannot seek back write sizes from here on
PLAIN = frozenset((1, 3, 6, 7))  # format tags: integers, floats, A-law, mu-law
EXTENSIBLE = 0xFFFE
RIFFS = (b"RIFF", b"RF64", b"BW64")
TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")  # meant for MP3 files, but some programs put them into others
COMMON = frozenset((b"LIST", b"id3 ", b"bext", b"iXML", b"_PMX", b"JUNK", b"FLLR", b"PAD ", b"cue ", b"smpl", b"cart"))
MAX_CHUNKS = 4_096
MIN_S = 0.25  # a shorter rest is not worth a notice
N_SCAN = 1 << 20  # bytes per read


@dataclass(frozen=True, slots=True)
class Wave:
    """One WAVE recording within a file: its ``fmt`` chunk, and the position of its sound by the header."""

    form: bytes
    start: int
    n_bytes: int

    @property
    def is_plain(self) -> bool:
        """True if it is a plain sequence of samples, without blocks that are compressed together."""
        tag = int.from_bytes(self.form[:2], "little")
        tag = int.from_bytes(self.form[24:26], "little") if tag == EXTENSIBLE else tag
        return tag in PLAIN and self.n_block > 0 and self.rate > 0

    @property
    def n_block(self) -> int:
        """Bytes of one sample of all channels."""
        return int.from_bytes(self.form[12:14], "little")

    @property
    def rate(self) -> int:
        """Sample rate in Hz."""
        return int.from_bytes(self.form[4:8], "little")


@dataclass(slots=True)
class _Found:
    """The sound of a file, as (start, end) in bytes; the bytes of it after the header's, and other bytes after it."""

    pieces: list[tuple[int, int]]
    n_more: int = 0
    n_other: int = 0


class Pieces(io.RawIOBase):
    """A read-only file made of some bytes and stretches of another file; for one thread."""

    def __init__(self, head: bytes, file: BinaryIO, pieces: list[tuple[int, int]]) -> None:
        """Store them; the stretches are read on demand."""
        self._head, self._file, self._pieces, self._at = head, file, pieces, 0
        self._n_bytes = len(head) + sum(end - start for start, end in pieces)

    def read(self, size: int = -1) -> bytes:
        """Read at most ``size`` bytes, fewer at a seam."""
        at = self._at
        if at < len(self._head):
            found = self._head[at:] if size < 0 else self._head[at : at + size]
        else:
            found = self._read_piece(at - len(self._head), size)
        self._at += len(found)
        return found

    def _read_piece(self, at: int, size: int) -> bytes:
        for start, end in self._pieces:
            if at < end - start:
                self._file.seek(start + at)
                return self._file.read(end - start - at if size < 0 else min(size, end - start - at))
            at -= end - start
        return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, relative to the start, the position or the end."""
        self._at = max(0, offset + (0, self._at, self._n_bytes)[whence])
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return True."""
        return True


def all_sound(file: BinaryIO) -> tuple[BinaryIO, list[str]]:
    """Return the file, or one with all of its sound after one header; and notices about what followed."""
    try:
        n_bytes = os.fstat(file.fileno()).st_size
        first = _wave(file, 0)
        if first is None or not 0 < first.n_bytes < n_bytes - first.start:
            return file, []
        found = _find_sound(file, first, n_bytes)
    except OSError:  # decoding will report it
        return file, []
    per_second, notices = max(1, first.n_block * first.rate), []
    if found.n_more:
        notices.append(
            f"its header says {first.n_bytes / per_second:.1f} s of sound; the "
            f"{found.n_more / per_second:.1f} s after that were read too"
        )
    if found.n_other:
        notices.append(f"{found.n_other / 1e6:.1f} MB after its sound have another format and were skipped")
    if not found.n_more:
        return file, notices
    n_sound = sum(end - start for start, end in found.pieces)
    size = (n_sound if n_sound < MAX_SIZE else 0xFFFFFFFF).to_bytes(4, "little")
    form = b"fmt " + len(first.form).to_bytes(4, "little") + first.form + bytes(len(first.form) % 2)
    head = b"RIFF\xff\xff\xff\xffWAVE" + form + b"data" + size
    return Pieces(head, file, found.pieces), notices  # type: ignore[return-value]  # it has what av.open needs


def _find_sound(file: BinaryIO, first: Wave, n_bytes: int) -> _Found:
    end = first.start + first.n_bytes
    found = _Found([_cut(first, first.start, end)])
    for _ in range(MAX_CHUNKS):
        at, head = _next_head(file, end, n_bytes)
        if n_bytes - end < max(8, MIN_S * first.n_block * first.rate) and head[:4] not in RIFFS:
            break
        if head.startswith(TAGS) and head[:4] not in COMMON:
            break
        if head[:4] in RIFFS and head[8:] == b"WAVE":
            end = _take_joined(found, first, _wave(file, at), at, n_bytes)
        elif _is_chunk(head, n_bytes - at):
            size = int.from_bytes(head[4:8], "little")
            if head[:4] == b"data":  # FFmpeg goes on reading there
                found.pieces.append(_cut(first, at + 8, min(at + 8 + size, n_bytes)))
            end = at + 8 + size
        else:
            end = _take_rest(file, found, first, end, n_bytes)
    return found


def _take_joined(found: _Found, first: Wave, wave: Wave | None, at: int, n_bytes: int) -> int:
    """Add another recording, if it has the first one's format; return its end."""
    if wave is None:
        found.n_other += n_bytes - at
        return n_bytes
    end = min(wave.start + wave.n_bytes, n_bytes) if 0 < wave.n_bytes < MAX_SIZE else n_bytes
    if first.is_plain and wave.form[:16] == first.form[:16]:
        found.pieces.append(_cut(first, wave.start, end))
        found.n_more += end - wave.start
    else:
        found.n_other += end - wave.start
    return end


def _take_rest(file: BinaryIO, found: _Found, first: Wave, start: int, n_bytes: int) -> int:
    """Add bytes that are not a chunk as sound, if they follow sound directly; return their end."""
    end, is_empty = _end_of_rest(file, start, n_bytes)
    last_start, last_end = found.pieces[-1]
    if is_empty:
        return end
    if first.is_plain and 0 <= start - last_end < first.n_block:
        found.pieces[-1] = _cut(first, last_start, end)
        found.n_more += end - start
    else:
        found.n_other += end - start
    return end


def _end_of_rest(file: BinaryIO, start: int, n_bytes: int) -> tuple[int, bool]:
    """Where the next header is, or the end; and whether there are only zeros up to there."""
    file.seek(start)
    at, held, is_empty = start, b"", True
    while more := file.read(N_SCAN):
        held += more
        for place in _headers(held):
            return at + place, is_empty and not any(held[:place])
        is_empty = is_empty and held.count(0) == len(held)
        kept = held[-11:]
        at, held = at + len(held) - len(kept), kept
    return n_bytes, is_empty


def _headers(held: bytes) -> Iterator[int]:
    place = held.find(b"WAVE")
    while place >= 0:
        if place >= 8 and held[place - 8 : place - 4] in RIFFS:
            yield place - 8
        place = held.find(b"WAVE", place + 1)


def _cut(wave: Wave, start: int, end: int) -> tuple[int, int]:
    """A stretch without an incomplete sample at its end."""
    return start, end - (end - start) % max(1, wave.n_block)


def _next_head(file: BinaryIO, end: int, n_bytes: int) -> tuple[int, bytes]:
    """Where the chunk after an end begins, and its first bytes; some programs omit the byte that makes sizes even."""
    for at in (end + end % 2, end):
        file.seek(at)
        head = file.read(12)
        if _is_chunk(head, n_bytes - at):
            return at, head
    return end, head


def _is_chunk(head: bytes, n_left: int) -> bool:
    is_name = len(head) >= 8 and all(0x20 <= byte < 0x7F for byte in head[:4])
    return is_name and (head[:4] in COMMON or head[:4] in RIFFS or int.from_bytes(head[4:8], "little") <= n_left - 8)


def _wave(file: BinaryIO, at: int) -> Wave | None:
    """The recording whose header is at a position; None when there is none."""
    file.seek(at)
    head = file.read(12)
    if head[:4] not in RIFFS or head[8:] != b"WAVE":
        return None
    at, form, n_long = at + 12, b"", 0
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        head = file.read(8)
        name, size = head[:4], int.from_bytes(head[4:], "little")
        if len(head) < 8:
            return None
        if name == b"data":
            size = n_long if size == 0xFFFFFFFF else size  # 0 if written to a pipe: everything that follows is sound
            return Wave(form, at + 8, size) if len(form) >= 16 else None
        if name == b"fmt ":
            form = file.read(min(size, 64))
        if name == b"ds64":
            n_long = int.from_bytes(file.read(16)[8:], "little")
        at += 8 + size + size % 2
    return None
