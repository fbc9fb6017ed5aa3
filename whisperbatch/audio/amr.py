"""AMR telephone speech: find the frames that are pauses, which FFmpeg does not decode; pure.

While nobody speaks a phone sends only descriptions of the noise, and frames that mean "no data". Frame types and sizes
are those of RFC 4867, sections 4.3.1 and 5.3; a frame is 20 ms, its header one byte: 0, type (4 bits), quality, 0, 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass

FRAME_S = 0.02
NO_DATA = 15  # lost speech (14) is not a pause


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the two codecs.

    Attributes:
        rate: Sample rate in Hz.
        n_bytes: Size of each frame type including its header; 0 for unused types.
        pauses: The frame types that are sent while nobody speaks.
    """

    rate: int
    n_bytes: tuple[int, ...]
    pauses: frozenset[int]


KINDS = {  # by FFmpeg's codec name; silence descriptors of AMR, GSM-EFR, TDMA-EFR and PDC-EFR, and of AMR-WB
    "amrnb": Kind(8000, (13, 14, 16, 18, 20, 21, 27, 32, 6, 7, 6, 6, 0, 0, 0, 1), frozenset((8, 9, 10, 11, NO_DATA))),
    "amrwb": Kind(16000, (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 0, 0, 0, 0, 1, 1), frozenset((9, NO_DATA))),
}


def is_pause(kind: Kind, frame: bytes) -> bool:
    """True if a frame is a silence descriptor or means "no data", and is complete."""
    frame_type = frame[0] >> 3 & 15
    is_good = frame[0] & 0b1000_0011 == 0 and (frame[0] & 4 != 0 or frame_type == NO_DATA)
    return is_good and frame_type in kind.pauses and len(frame) == kind.n_bytes[frame_type]


def frames(kind: Kind, packet: bytes) -> Iterator[bytes]:
    """Yield the frames of a packet, which may hold several; the rest that is not a frame comes as it is."""
    while packet:
        n_bytes = kind.n_bytes[packet[0] >> 3 & 15] or len(packet)
        yield packet[:n_bytes]
        packet = packet[n_bytes:]
