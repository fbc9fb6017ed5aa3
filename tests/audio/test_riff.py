"""WAVE files with sound behind what their header tells of."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whisperbatch.audio import riff
from whisperbatch.audio.decode import Reader

RATE = 16_000
HALF = "its header says 1.0 s of sound; the {} s after that were read too"


def noise(seconds: float, seed: int = 0) -> bytes:
    """int16 samples."""
    return np.random.default_rng(seed).integers(-9000, 9000, round(seconds * RATE)).astype("<i2").tobytes()


def chunk(name: bytes, data: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(data) if size is None else size) + data + bytes(len(data) % 2)


def form(rate: int = RATE, tag: int = 1, n_channels: int = 1) -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, n_channels, rate, rate * 2 * n_channels, 2 * n_channels, 16))


def wave(data: bytes, size: int | None = None, behind: bytes = b"", head: bytes = b"") -> bytes:
    """A WAVE file; its header may tell another size than that of the sound."""
    inside = b"WAVE" + (head or form()) + chunk(b"data", data, size) + behind
    return b"RIFF" + struct.pack("<I", len(inside) - (len(data) - size if size and size < len(data) else 0)) + inside


ONE, TWO = noise(1.0, 1), noise(2.0, 2)
LIST = chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 4) + b"abcd")


@pytest.mark.parametrize(
    ("data", "sound", "told"),
    [
        pytest.param(wave(ONE), ONE, [], id="plain"),
        pytest.param(wave(ONE) + wave(TWO), ONE + TWO, [HALF.format("2.0")], id="joined"),
        pytest.param(
            wave(ONE, behind=LIST) + wave(TWO, behind=LIST), ONE + TWO, [HALF.format("2.0")], id="with chunks"
        ),
        pytest.param(wave(ONE) * 3, ONE * 3, [HALF.format("2.0")], id="three"),
        pytest.param(wave(ONE + TWO, 2 * RATE), ONE + TWO, [HALF.format("2.0")], id="recorder that died"),
        pytest.param(wave(ONE + TWO, 2 * RATE + 1), ONE + TWO, [HALF.format("2.0")], id="an odd size"),
        pytest.param(wave(ONE + TWO, 2 * RATE) + wave(ONE), ONE + TWO + ONE, [HALF.format("3.0")], id="both"),
        pytest.param(wave(ONE) + wave(TWO, 0xFFFFFFFF), ONE + TWO, [HALF.format("2.0")], id="second from a pipe"),
        pytest.param(wave(ONE) + wave(TWO, 0), ONE + TWO, [HALF.format("2.0")], id="second without size"),
        pytest.param(wave(ONE) + wave(TWO)[:-RATE], ONE + TWO[:-RATE], [HALF.format("1.5")], id="second cut short"),
        pytest.param(wave(ONE + TWO, 0), ONE + TWO, [], id="no size"),
        pytest.param(wave(ONE + TWO, 0xFFFFFFFF), ONE + TWO, [], id="from a pipe"),
        pytest.param(wave(ONE, behind=LIST), ONE, [], id="list"),
        pytest.param(wave(ONE, behind=LIST + chunk(b"bext", bytes(602)) + chunk(b"id3 ", TWO)), ONE, [], id="chunks"),
        pytest.param(wave(ONE, behind=chunk(b"LIST", b"INFO", 900_000)), ONE, [], id="list cut short"),
        pytest.param(wave(ONE) + b"ID3\4\0\0\0\0\x20\0" + TWO, ONE, [], id="tag"),
        pytest.param(wave(ONE) + b"TAG" + TWO[:125], ONE, [], id="old tag"),
        pytest.param(wave(ONE) + bytes(100_000), ONE, [], id="zeros"),
        pytest.param(wave(ONE) + TWO[:1000], ONE, [], id="a scrap"),
        pytest.param(
            wave(ONE) + wave(TWO, head=form(8000)),
            ONE,
            ["0.1 MB after its sound have another format and were skipped"],
            id="another rate",
        ),
    ],
)
def test_all_the_sound_is_read(tmp_path: Path, data: bytes, sound: bytes, told: list[str]):
    path = tmp_path / "x.wav"
    path.write_bytes(data)
    reader = Reader(path)
    samples = np.concatenate(list(reader.blocks()))
    assert samples.tobytes() == sound
    assert reader.notices == told
    assert reader.damage is None


def test_a_64_bit_header_is_read(tmp_path: Path):
    long = chunk(b"ds64", struct.pack("<QQQI", 0, len(ONE), 0, 0))
    path = tmp_path / "x.rf64"
    once = b"RF64\xff\xff\xff\xffWAVE" + long + form() + chunk(b"data", ONE, 0xFFFFFFFF)
    path.write_bytes(once + once)
    reader = Reader(path)
    assert np.concatenate(list(reader.blocks())).tobytes() == ONE + ONE
    assert reader.notices == [HALF.format("1.0")]


def test_stretches_of_a_file_read_as_one(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        pieces = riff.Pieces(b"ab", file, [(1, 3), (3, 3), (7, 10)])
        assert pieces.seek(0, 2) == 7
        assert [pieces.seek(at) and pieces.read(2) for at in range(1, 8)] == [
            b"b",
            b"12",
            b"2",
            b"78",
            b"89",
            b"9",
            b"",
        ]
        pieces.seek(0)
        assert b"".join(iter(lambda: pieces.read(3), b"")) == b"ab12789"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.lists(st.sampled_from((ONE[:40], LIST, wave(ONE[:100]), wave(ONE[:100], 0), b"RIFF", b"\xff", bytes(9)))))
def test_any_tail_is_taken_in_bounds(tmp_path: Path, tail: list[bytes]):
    path = tmp_path / "x.wav"
    path.write_bytes(wave(ONE[:100]) + b"".join(tail))
    with path.open("rb") as file:
        whole, _ = riff.all_sound(file)
        assert whole.seek(0, 2) <= path.stat().st_size + 44
