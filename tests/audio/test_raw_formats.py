"""Recordings that nothing in them gives away, only their name; and names that folders are searched for."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from whisperbatch.audio import decode
from whisperbatch.audio.decode import Reader
from whisperbatch.audio.open_file import RAW
from whisperbatch.errors import LoadError
from whisperbatch.sources import MEDIA_SUFFIXES
from whisperbatch.sources.media import is_media

RATE = 16_000


def tone(seconds: float, rate: int) -> np.ndarray:
    """int16 (n_samples,), 440 Hz."""
    return (np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate) * 9000).astype(np.int16)


def write(path: Path, form: str, codec: str, rate: int) -> Path:
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = {"g723_1": 6300, "g726": 32_000}.get(codec, 128_000)
        stream.codec_context.open()  # else it does not tell its frame size
        frame = av.AudioFrame.from_ndarray(tone(2.0, rate)[None], format="s16", layout="mono")
        frame.sample_rate = rate
        size = stream.codec_context.frame_size or rate // 50
        for out in av.AudioResampler(stream.format or "s16", "mono", rate, size).resample(frame):
            container.mux(stream.encode(out))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "form", "codec", "rate"),
    [
        ("x.g722", "g722", "g722", 16_000),
        ("x.sbc", "sbc", "sbc", 16_000),
        ("X.UL", "mulaw", "pcm_mulaw", 8_000),
        ("x.ulaw", "mulaw", "pcm_mulaw", 8_000),
        ("x.al", "alaw", "pcm_alaw", 8_000),
        ("x.sln", "s16le", "pcm_s16le", 8_000),
        ("x.sln16", "s16le", "pcm_s16le", 16_000),
        ("x.g726", "g726", "g726", 8_000),
        ("x.g723_1", "g723_1", "g723_1", 8_000),
    ],
)
def test_the_name_decides_where_content_does_not(tmp_path: Path, name: str, form: str, codec: str, rate: int):
    reader = Reader(write(tmp_path / name, form, codec, rate))
    samples = np.concatenate(list(reader.blocks()))
    assert len(samples) / RATE == pytest.approx(2.0, abs=0.25)
    assert np.argmax(np.abs(np.fft.rfft(samples))) * RATE / len(samples) == pytest.approx(440, abs=5)
    assert (reader.damage, reader.notices) == (None, [])
    (tmp_path / "x.wav").write_bytes((tmp_path / name).read_bytes())
    assert failure(tmp_path / "x.wav") == "is not a readable audio or video file"


def failure(path: Path) -> str:
    with pytest.raises(LoadError) as caught:
        list(Reader(path).blocks())
    return caught.value.message


def test_content_decides_first(tmp_path: Path):
    path = tmp_path / "x.g722"
    soundfile.write(path, tone(1.0, RATE), RATE, format="FLAC")
    assert np.array_equal(np.concatenate(list(Reader(path).blocks())), tone(1.0, RATE))


@pytest.mark.parametrize("text", ['codeunit 50100 "Größe"\n{\n}\n', "#EXTM3U\nhttp://127.0.0.1/x.ts\n", "ä " * 2000])
def test_text_is_no_telephone_speech(tmp_path: Path, text: str):
    path = tmp_path / "x.al"
    path.write_text(text, encoding="utf-8")
    assert failure(path) in (decode.UNREADABLE, decode.POINTS)


@pytest.mark.parametrize("head", [b"\x03ds2", b"\x01ds2", b"\x03enc"])
def test_a_dictation_that_ffmpeg_does_not_know_is_named(tmp_path: Path, head: bytes):
    path = tmp_path / "x.ds2"
    path.write_bytes(head + bytes(2000))
    assert failure(path) == "is a DS2 dictation, which cannot be decoded; export it as DSS, WAV or MP3"


def test_only_formats_that_may_be_read_are_tried():
    assert {form for form, _ in RAW.values()} <= set(decode.READING.split(","))


def test_folders_are_searched_for_them():
    assert set(RAW) <= MEDIA_SUFFIXES
    for suffix in ".g722 .sbc .bwf .rf64 .dss .ds2 .3ga .oga .spx .3gpp .sph .qcp .m2t .wtv".split():
        assert is_media(f"x{suffix}"), suffix
    for suffix in ".txt .srt .jpg .lrv .adx .brstm .vag .json .sub .idx .cue .pdf".split():
        assert not is_media(f"x{suffix}"), suffix
