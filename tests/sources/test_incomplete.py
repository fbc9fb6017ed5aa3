"""Files that are shorter than their container says, cut at many places; whole ones of every kind."""

import struct
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from whisperbatch.sources.incomplete import is_cut_short

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 32_000)).astype(np.float32)


def wav(path: Path, n_samples: int = 16_000) -> bytes:
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes(np.arange(n_samples, dtype=np.int16).tobytes())
    return path.read_bytes()


def made(path: Path, codec: str, **options: str) -> bytes:
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(NOISE, format="fltp", layout="mono")
        frame.rate = 16_000
        resampler = av.AudioResampler(stream.format, "mono", 16_000, frame_size=stream.codec_context.frame_size or 1024)
        for one in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(one))
        container.mux(stream.encode(None))
    return path.read_bytes()


def test_a_wav_is_cut_until_its_last_byte_has_come(tmp_path: Path):
    path = tmp_path / "a.wav"
    whole = wav(path)
    assert not is_cut_short(path)
    for n_bytes in (12, 44, 45, 1_000, len(whole) // 2, len(whole) - 100):
        path.write_bytes(whole[:n_bytes])
        assert is_cut_short(path), n_bytes
    path.write_bytes(whole + b"a tag at its end")
    assert not is_cut_short(path)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF024, 0x80000024])
def test_a_length_that_is_left_open_says_nothing(tmp_path: Path, size: int):
    path = tmp_path / "a.wav"
    whole = wav(path)
    path.write_bytes(whole[:4] + struct.pack("<I", size) + whole[8:5_000])
    assert not is_cut_short(path)


def test_writers_that_miscount_by_a_few_bytes_are_forgiven(tmp_path: Path):
    path = tmp_path / "a.wav"
    whole = wav(path)
    path.write_bytes(whole[:4] + struct.pack("<I", len(whole)) + whole[8:])  # without the 8 bytes taken off
    assert not is_cut_short(path)


def test_rf64_and_aiff_tell_their_length_too(tmp_path: Path):
    path = tmp_path / "a"
    body = bytes(4_000)
    ds64 = struct.pack("<4sIQQQ", b"ds64", 28, 4 + 36 + len(body), len(body), 0) + bytes(4)
    rf64 = b"RF64" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + ds64 + body
    aiff = b"FORM" + struct.pack(">I", 4 + len(body)) + b"AIFF" + body
    for whole in (rf64, aiff):
        path.write_bytes(whole)
        assert not is_cut_short(path)
        path.write_bytes(whole[:-500])
        assert is_cut_short(path)


def test_an_mp4_without_its_index_or_its_end_is_cut(tmp_path: Path):
    path = tmp_path / "a.m4a"
    for options in ({}, {"movflags": "faststart"}):
        whole = made(path, "aac", **options)
        assert not is_cut_short(path)
        for n_bytes in (20, len(whole) // 3, len(whole) // 2, len(whole) - 200):
            path.write_bytes(whole[:n_bytes])
            assert is_cut_short(path), (options, n_bytes)
    path.write_bytes(whole + b"\xff\xfe and what else a tool may put there")
    assert not is_cut_short(path)


def test_an_mp4_in_fragments_is_whole(tmp_path: Path):
    made(tmp_path / "a.mp4", "aac", movflags="frag_keyframe+empty_moov+default_base_moof", frag_duration="100000")
    assert not is_cut_short(tmp_path / "a.mp4")


def test_other_formats_are_never_cut(tmp_path: Path, sample_audio: Path):
    for path in sample_audio.iterdir():
        assert not is_cut_short(path)
    for name in ("lecture.mp3", "evening.flac", "numbers.ogg", "sommer.opus"):
        (tmp_path / name).write_bytes((sample_audio / name).read_bytes()[:10_000])
        assert not is_cut_short(tmp_path / name)
    assert not is_cut_short(tmp_path / "gone.wav")
    for content in (b"", b"RIFF", b"RIFF\xff\xff", b"\0\0\0\x01ftyp", b"RF64" + bytes(40)):
        (tmp_path / "a.wav").write_bytes(content)
        assert is_cut_short(tmp_path / "a.wav") == (b"ftyp" in content)
