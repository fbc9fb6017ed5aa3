"""Files that are made to mislead: lists of others, absurd headers, bombs, what is no file. And who opens what."""

import ctypes
import os
import select
import socket
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import numpy as np
import soundfile

from seed_recordings import encode, sound

IN_OPEN = 0x20
PNG_HEAD = b"\x89PNG\r\n\x1a\n"

# lists of other files; {} is where the other one lies
LISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n",
    "list.wav": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile '{}'\n",
    "concat.mp3": "ffconcat version 1.0\nfile '{}'\n",
    "list.mpd": (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" mediaPresentationDuration="PT3S"><Period>'
        '<AdaptationSet contentType="audio" mimeType="audio/mp4"><Representation id="1" bandwidth="100">'
        '<BaseURL>{}</BaseURL><SegmentList><SegmentURL media="{}"/></SegmentList>'
        "</Representation></AdaptationSet></Period></MPD>"
    ),
    "list.m3u": "{}\n",
    "list.pls": "[playlist]\nFile1={}\n",
    "list.asx": '<asx version="3.0"><entry><ref href="{}"/></entry></asx>\n',
    "list.xspf": '<?xml version="1.0"?><playlist><trackList><track><location>{}</location></track></trackList>',
    "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={}\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "list.cue": 'FILE "{}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
}  # fmt: skip


@contextmanager
def opens(folder: Path) -> Iterator[list[str]]:
    """The names of files in a folder that anybody opens meanwhile; Linux tells."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = libc.inotify_init()
    if number < 0 or libc.inotify_add_watch(number, os.fsencode(folder), IN_OPEN) < 0:
        raise OSError(ctypes.get_errno(), "inotify")
    names: list[str] = []
    try:
        yield names
    finally:
        while select.select([number], [], [], 0)[0]:
            data, at = os.read(number, 65_536), 0
            while at < len(data):
                length = struct.unpack_from("iIII", data, at)[3]
                names.append(os.fsdecode(data[at + 16 : at + 16 + length].rstrip(b"\0")))
                at += 16 + length
        os.close(number)


def wav(path: Path, n_channels: int, rate: int, data: bytes, *, bits: int = 16, told: int | None = None) -> Path:
    """A WAVE file with any header; ``told`` is how many bytes of sound it promises."""
    size = n_channels * bits // 8
    form = struct.pack("<HHIIHH", 1, n_channels, rate, (rate * size) & 0xFFFFFFFF, size & 0xFFFF, bits)
    n_told = len(data) if told is None else told
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", n_told) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", min(len(body) + n_told - len(data), 0xFFFFFFFF)) + body)
    return path


def png(width: int, height: int) -> bytes:
    """A black picture, some thousand times smaller than its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, row = zlib.compressobj(9), bytes(1 + width * 3)
    lines = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG_HEAD + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def with_picture(sound_file: bytes, picture: bytes) -> bytes:
    """An mp3 file with a picture in its tag."""
    body = b"\0image/png\0\x03\0" + picture
    frame = b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body
    size = bytes((len(frame) >> shift) & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frame + sound_file


def with_outside_data(data: bytes, target: Path) -> bytes:
    """A mov file whose sound lies in another file, as its data reference tells."""
    name = target.name.encode()
    tail = b"".join(
        struct.pack(">HH", kind, len(text)) + text + bytes(len(text) % 2)
        for kind, text in ((2, os.fsencode(target)), (0, os.fsencode(target.parent.name)), (0xFFFF, b""))
    )
    alias = (
        bytes(10) + b"\x01x" + bytes(26) + bytes(12) + bytes([len(name)]) + name.ljust(63, b"\0")
        + bytes(16) + struct.pack(">hh", 1, 1) + bytes(16) + tail
    )  # fmt: skip
    entry = b"alis" + bytes(4) + alias + bytes(160)
    entry = struct.pack(">I", len(entry) + 4) + entry
    at = data.index(b"dref") - 4
    old = struct.unpack_from(">I", data, at)[0]
    new = struct.pack(">I", 16 + len(entry)) + b"dref" + bytes(4) + struct.pack(">I", 1) + entry
    out = bytearray(data[:at] + new + data[at + old :])
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):  # those around it grow with it
        place = data.rindex(box, 0, at) - 4
        struct.pack_into(">I", out, place, struct.unpack_from(">I", data, place)[0] + len(new) - old)
    return bytes(out)


def silence(path: Path, minutes: int) -> Path:
    """A flac file of silence, a thousand times smaller than its samples."""
    with soundfile.SoundFile(path, "w", 8_000, 1, format="FLAC") as file:
        for _ in range(minutes):
            file.write(np.zeros(8_000 * 60, np.int16))
    return path


def opus_silence(path: Path, minutes: int) -> Path:
    """The same as opus."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        stream.bit_rate = 6_000
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48_000 * 60), np.int16), format="s16", layout="mono")
        frame.sample_rate = 48_000
        resampler = av.AudioResampler(stream.format, "mono", 48_000)
        for _ in range(minutes):
            frame.pts = None
            for out in resampler.resample(frame):
                container.mux(stream.encode(out))
        container.mux(stream.encode(None))
    return path


def specials(folder: Path, url: str, secret: Path) -> Iterator[Path]:
    """Files that are made to mislead, and what is no file; ``url`` and ``secret`` are what they point to."""
    for name, text in LISTS.items():
        for number, target in enumerate((url, str(secret), secret.name)):
            path = folder / f"{number}-{name}"
            path.write_text(text.replace("{}", target))
            yield path
    whole = encode(folder / "whole.mp3", sound(1.0, 44_100), 44_100, "libmp3lame", "mono").read_bytes()
    mov = encode(folder / "whole.mov", sound(1.0, 16_000), 16_000, "pcm_s16le", "mono").read_bytes()
    flac = bytearray(encode(folder / "whole.flac", sound(1.0, 44_100), 44_100, "flac", "mono").read_bytes())
    flac[21] |= 0x0F
    flac[22:26] = b"\xff" * 4  # how many samples there are, and 18 days are told
    data = {
        "outside.mov": with_outside_data(mov, secret),
        "picture.mp3": with_picture(whole, png(9_000, 9_000)),
        "days.flac": bytes(flac),
        "empty.wav": b"",
        "one-byte.mp3": b"\xff",
        "text.wav": "kein Ton, nur Text: äöü\n".encode() * 50,
        "page.mp3": b"<!doctype html><html><body>404 not found</body></html>",
        "picture.wav": png(64, 64),
        "subtitles.mp3": b"1\n00:00:00,000 --> 00:00:01,000\nHello\n\n",
        "%03d.png": png(8, 8),
        "zeros.flac": bytes(20_000),
        "noise.m4a": np.random.default_rng(0).bytes(20_000),
        "tag.mp3": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(300),
        "nested.json": b"[" * 100_000,
        "pages.opus": b"OggS\0\x02" * 20_000,
    }
    for name, content in data.items():
        (folder / name).write_bytes(content)
        yield folder / name
    for n_channels in (0, 9, 255, 1_024, 65_535):
        yield wav(folder / f"channels-{n_channels}.wav", n_channels, 16_000, bytes(n_channels * 2 * 400 or 100))
    for rate in (0, 1, 7, 0x7FFFFFFF, 0xFFFFFFFF):
        yield wav(folder / f"rate-{rate}.wav", 1, rate, bytes(80_000))
    for bits in (0, 1, 255, 65_535):
        yield wav(folder / f"bits-{bits}.wav", 1, 16_000, bytes(8_000), bits=bits)
    yield wav(folder / "promises.wav", 1, 16_000, bytes(8_000), told=0xFFFFFFF0)
    yield silence(folder / "bomb.flac", 90)
    yield opus_silence(folder / "bomb.opus", 8)
    yield from _no_files(folder)


def _no_files(folder: Path) -> Iterator[Path]:
    (folder / "loop-a.wav").symlink_to("loop-b.wav")
    (folder / "loop-b.wav").symlink_to("loop-a.wav")
    (folder / "nowhere.wav").symlink_to("gone.wav")
    (folder / "zero.wav").symlink_to("/dev/zero")
    (folder / "null.wav").symlink_to(os.devnull)
    names = ["loop-a.wav", "nowhere.wav", "zero.wav", "null.wav", "pipe.wav", "gone-for-good.wav"]
    os.mkfifo(folder / "pipe.wav")
    with suppress(OSError), socket.socket(socket.AF_UNIX) as server:  # such names must be short
        server.bind(str(folder / "s.wav"))
        names.append("s.wav")
    yield from (folder / name for name in names)
