"""Times are those of the recording: sound that starts late, holes and jumps in time stamps, pauses of telephones."""

import re
import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from whisperbatch.audio import frames
from whisperbatch.audio.decode import Reader

RATE = 16_000
TONE_S = 0.5
KINDS = [  # container, codec, rate
    ("x.mkv", "pcm_s16le", 16_000),
    ("x.mka", "libopus", 48_000),
    ("x.mp4", "aac", 48_000),
    ("x.mov", "aac", 48_000),
    ("x.ts", "mp2", 48_000),
    ("x.flv", "libmp3lame", 44_100),
]


DURATION = b"\x44\x89\x88"  # what stands before it in Matroska, milliseconds as a double


def tone(seconds: float, rate: int) -> np.ndarray:
    """int16 (1, n_samples)."""
    return (np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate) * 12_000).astype(np.int16)[None]


def film(container: av.container.OutputContainer, seconds: float, start_s: float = 0.0) -> list[av.Packet]:
    """Packets of a black film at 5 pictures a second."""
    stream = container.add_stream("flv1" if container.format.name == "flv" else "mpeg4", rate=5)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    packets = []
    for index in range(round(seconds * 5)):
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        picture.pts, picture.time_base = index + round(start_s * 5), Fraction(1, 5)
        packets += stream.encode(picture)
    return packets + stream.encode(None)


def write(
    path: Path,
    codec: str,
    rate: int,
    begins_s: Iterable[float],
    film_s: tuple[float, float] | None = None,
    **options: str,
) -> Path:
    """Tones of half a second that begin then, as time stamps say; and a film from when to when, where wanted."""
    begins_s = list(begins_s)
    with av.open(str(path), "w", options=options) as container:
        sound = container.add_stream(codec, rate=rate, layout="mono")
        pictures = film(container, film_s[1] - film_s[0], film_s[0]) if film_s else []
        frame = av.AudioFrame.from_ndarray(np.tile(tone(TONE_S, rate), len(begins_s)), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        size = sound.codec_context.frame_size or rate // 50
        outs = av.AudioResampler(sound.format or "s16", "mono", rate, size).resample(frame)
        packets = [packet for out in [*outs, None] for packet in sound.encode(out)]
        for packet in packets:
            index = min(max(0, int(packet.pts * packet.time_base / TONE_S + 1e-9)), len(begins_s) - 1)
            packet.pts = packet.dts = packet.pts + round((begins_s[index] - index * TONE_S) / packet.time_base)
        packets += pictures
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def heard(path: Path) -> tuple[list[float], Reader]:
    """Where tones begin, in seconds, and the reader that read them."""
    reader = Reader(path)
    samples = np.concatenate([*reader.blocks(), np.zeros(0, np.int16)])
    blocks = np.abs(samples[: len(samples) // 160 * 160].reshape(-1, 160).astype(int)).max(axis=1) > 3000
    near = np.convolve(blocks, np.ones(5), "full")[: len(blocks)] > 0
    return [float(at) / 100 for at in np.flatnonzero(np.diff([0, *near.astype(int)]) > 0)], reader


@pytest.mark.parametrize(("name", "codec", "rate"), [kind for kind in KINDS if kind[0] != "x.mka"])
@pytest.mark.parametrize(("film_s", "late_s"), [((0, 5), 3.0), ((2, 5), 1.0)])
def test_sound_that_starts_late_has_silence_before_it(
    tmp_path: Path, name: str, codec: str, rate: int, film_s: tuple[float, float], late_s: float
):
    begins_s, reader = heard(write(tmp_path / name, codec, rate, [3.0], film_s))
    assert begins_s == [pytest.approx(late_s, abs=0.1)]
    assert (reader.damage, reader.notices) == (None, [])


@pytest.mark.parametrize(("name", "codec", "rate"), KINDS)
def test_a_hole_in_the_time_stamps_is_silence_and_no_damage(tmp_path: Path, name: str, codec: str, rate: int):
    begins_s, reader = heard(write(tmp_path / name, codec, rate, [0.0, 3.0, 7.0]))
    assert begins_s == [pytest.approx(at, abs=0.1) for at in (0, 3, 7)]
    assert (reader.damage, reader.notices) == (None, [])


def test_the_cover_is_no_film(tmp_path: Path):
    path = tmp_path / "x.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=RATE, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 16
        cover.pix_fmt = "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        packets = [*cover.encode(picture), *cover.encode(None)]
        frame = av.AudioFrame.from_ndarray(tone(TONE_S, RATE), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 9 * RATE, Fraction(1, RATE)
        outs = av.AudioResampler("fltp", "mono", RATE, 1024).resample(frame)
        packets += [packet for out in [*outs, None] for packet in sound.encode(out)]
        for packet in packets:
            container.mux(packet)
    assert heard(path)[0] == [pytest.approx(0.0, abs=0.1)]
    with av.open(str(path)) as container:
        assert [frames._is_timed(stream) for stream in container.streams] == [True, False]


@pytest.mark.parametrize(
    ("name", "codec", "rate", "told"),
    [
        ("x.ts", "mp2", 48_000, ["its time stamps jump back once; times continue from the sound before"]),
        ("x.opus", "libopus", 48_000, []),
        ("x.mp3", "libmp3lame", 44_100, []),
    ],
)
def test_joined_recordings_go_on_from_the_sound_before(
    tmp_path: Path, name: str, codec: str, rate: int, told: list[str]
):
    once = write(tmp_path / name, codec, rate, [0.0, 0.5, 1.0]).read_bytes()
    joined = tmp_path / f"joined{name}"
    joined.write_bytes(once + once)
    _, reader = heard(joined)
    assert reader.n_samples / RATE == pytest.approx(3.0, abs=0.2)
    assert (reader.damage, reader.notices) == (None, told)


def test_a_jump_that_cannot_be_is_no_silence(tmp_path: Path):
    path = write(tmp_path / "x.mkv", "pcm_s16le", RATE, [0.0, 90_000.0, 90_002.0])
    data = path.read_bytes()
    at = data.index(DURATION) + len(DURATION)
    path.write_bytes(data[:at] + struct.pack(">d", 3000.0) + data[at + 8 :])
    begins_s, reader = heard(path)
    assert begins_s == [0.0, pytest.approx(2.5, abs=0.05)]
    assert reader.notices == [
        "its time stamps jump ahead once, beyond its possible length; times continue from the sound before"
    ]


def test_a_long_hole_comes_in_blocks(tmp_path: Path):
    path = write(tmp_path / "x.mka", "libopus", 48_000, [0.0, 3600.0])
    longest, n_samples = 0, 0
    for block in Reader(path).blocks():
        longest, n_samples = max(longest, len(block)), n_samples + len(block)
    assert n_samples / RATE == pytest.approx(3600.5, abs=0.1)
    assert longest <= 2 * RATE


@pytest.mark.parametrize(("name", "codec"), [("x.m4a", "aac"), ("x.flac", "flac")])
def test_what_could_not_be_decoded_keeps_its_time(tmp_path: Path, name: str, codec: str):
    path = write(tmp_path / name, codec, 48_000, [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5])
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = next(packet for packet in container.demux() if packet.pts * packet.time_base >= 1.9)
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    n_before = sum(map(len, Reader(path).blocks()))
    path.write_bytes(data)
    reader = Reader(path)
    assert sum(map(len, reader.blocks())) == pytest.approx(n_before, abs=0.03 * RATE)
    assert re.fullmatch(r"damaged: (\d+ parts? could not be decoded.*|0.1 s are missing in the middle)", reader.damage)


def test_a_tag_between_joined_mp3_files_is_no_damage(tmp_path: Path):
    once = write(tmp_path / "x.mp3", "libmp3lame", 44_100, [0.0, 0.5]).read_bytes()
    tag = b"ID3\x03\0\0\0\2\x10\0" + np.random.default_rng(0).bytes((2 << 14) + (16 << 7))
    joined = tmp_path / "joined.mp3"
    joined.write_bytes(once + once)
    n_samples = sum(map(len, Reader(joined).blocks()))
    joined.write_bytes(once + tag + once)
    reader = Reader(joined)
    assert sum(map(len, reader.blocks())) == n_samples
    assert reader.damage is None


@pytest.mark.parametrize(("name", "codec"), [("x.mp3", "libmp3lame"), ("x.ac3", "ac3")])
def test_a_lost_stretch_of_bytes_keeps_its_time(tmp_path: Path, name: str, codec: str):
    path = write(tmp_path / name, codec, 48_000, [index * TONE_S for index in range(20)])
    n_before, data = sum(map(len, Reader(path).blocks())), bytearray(path.read_bytes())
    half, n_lost = len(data) // 2, len(data) // 10
    data[half : half + n_lost] = bytes(n_lost)
    path.write_bytes(data)
    reader = Reader(path)
    assert sum(map(len, reader.blocks())) == pytest.approx(n_before, abs=0.15 * RATE)
    damage = r"damaged: \d+ parts? could not be decoded, [01]\.\d s are missing in the middle"
    assert re.fullmatch(damage, reader.damage or "")


def test_a_hole_where_bytes_were_lost_is_silence_and_damage(tmp_path: Path):
    path = write(tmp_path / "x.mka", "libopus", 48_000, [index * TONE_S for index in range(60)])
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path.write_bytes(data)
    reader = Reader(path)
    assert sum(map(len, reader.blocks())) == pytest.approx(30 * RATE, abs=0.1 * RATE)
    assert re.fullmatch(r"damaged: \d+\.\d s are missing in the middle", reader.damage or "")
