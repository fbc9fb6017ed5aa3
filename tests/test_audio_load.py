"""Files to samples: against the ffmpeg command line where it is there, and on files that PyAV or libsndfile wrote."""

import os
import shutil
import subprocess
import wave
from pathlib import Path

import av
import librosa
import numpy as np
import pytest
import soundfile

from whisperbatch.audio.load import Reader
from whisperbatch.errors import LoadError

FFMPEG = shutil.which("ffmpeg")
RATE = 16_000


def read(path: Path) -> np.ndarray:
    return np.concatenate([*Reader(path).blocks(), np.zeros(0, np.int16)])


def speechlike(seconds: float, rate: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """float32 (n_samples, channels): bursts of coloured noise and tones."""
    rng = np.random.default_rng(seed)
    n = int(seconds * rate)
    at = np.arange(n)[:, None] / rate
    tones = sum(
        np.sin(2 * np.pi * f * at + rng.uniform(0, 6, channels)) / (i + 1) for i, f in enumerate((150, 420, 1900))
    )
    wave_ = (tones + 0.2 * rng.standard_normal((n, channels))) * (np.sin(2 * np.pi * 1.3 * at) > -0.3) * 0.15
    return wave_.astype(np.float32)


def encode(path: Path, samples: np.ndarray, rate: int, codec: str) -> Path:
    """Write float32 (n_samples, channels) with PyAV."""
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
        frame.sample_rate = rate
        for out in av.AudioResampler(format=stream.format, layout=layout, rate=rate).resample(frame):
            container.mux(stream.encode(out))
        container.mux(stream.encode(None))
    return path


KINDS = [
    ("a.wav", 16_000, 1, "pcm_s16le"),
    ("b.wav", 8_000, 1, "pcm_s16le"),
    ("c.wav", 44_100, 2, "pcm_s24le"),
    ("d.flac", 48_000, 2, "flac"),
    ("e.mp3", 44_100, 2, "libmp3lame"),
    ("f.m4a", 44_100, 1, "aac"),
    ("h.opus", 48_000, 1, "libopus"),
]


@pytest.mark.skipif(FFMPEG is None, reason="the ffmpeg command line is not there")
@pytest.mark.parametrize(("name", "rate", "channels", "codec"), KINDS)
def test_samples_are_those_of_ffmpeg(tmp_path: Path, name: str, rate: int, channels: int, codec: str):
    path = encode(tmp_path / name, speechlike(3.3, rate, channels), rate, codec)
    assert_equal_to_ffmpeg(path)


@pytest.mark.skipif(FFMPEG is None, reason="the ffmpeg command line is not there")
def test_the_sample_recordings_are_those_of_ffmpeg(sample_audio: Path, references):
    for name in references:
        assert_equal_to_ffmpeg(sample_audio / name)


@pytest.mark.skipif(FFMPEG is None, reason="the ffmpeg command line is not there")
def test_vorbis_written_by_libsndfile_is_read_as_ffmpeg_reads_it(tmp_path: Path):
    path = tmp_path / "x.ogg"
    soundfile.write(path, speechlike(3.3, 48_000, 2), 48_000, format="OGG", subtype="VORBIS")
    assert_equal_to_ffmpeg(path)


@pytest.mark.skipif(FFMPEG is None, reason="the ffmpeg command line is not there")
def test_a_video_gives_its_sound(tmp_path: Path):
    path = tmp_path / "film.mp4"
    subprocess.run(
        [FFMPEG, "-v", "error", "-f", "lavfi", "-i", "testsrc=d=2:s=64x64", "-f", "lavfi", "-i", "sine=d=2", path],
        check=True,
    )
    assert_equal_to_ffmpeg(path)


def assert_equal_to_ffmpeg(path: Path) -> None:
    """As openai-whisper's load_audio calls it; versions differ in rounding, by a few of 65,536 steps."""
    command = [FFMPEG, "-nostdin", "-v", "error", "-i", path, "-f", "s16le", "-ac", "1", "-acodec", "pcm_s16le"]
    raw = subprocess.run([*command, "-ar", "16000", "-"], capture_output=True, check=True).stdout
    theirs, ours = np.frombuffer(raw, np.int16), read(path)
    assert len(ours) == len(theirs), path
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max(initial=0) <= 4, path
    assert difference.mean() <= 0.5, path


@pytest.mark.parametrize(("name", "rate", "channels", "codec"), KINDS)
def test_what_was_encoded_comes_back(tmp_path: Path, name: str, rate: int, channels: int, codec: str):
    samples = speechlike(2.0, rate, channels)
    ours = read(encode(tmp_path / name, samples, rate, codec)).astype(np.float32) / 32768
    mono = librosa.resample(samples.mean(axis=1), orig_sr=rate, target_sr=RATE, res_type="soxr_hq")
    assert abs(len(ours) - len(mono)) <= 0.06 * RATE
    n = min(len(ours), len(mono))
    correlation = np.fft.irfft(np.fft.rfft(ours[:n], 2 * n) * np.conj(np.fft.rfft(mono[:n], 2 * n))).max()
    energy = np.linalg.norm(ours[:n]) * np.linalg.norm(mono[:n])
    assert correlation / energy > (0.8 if codec in ("libopus", "aac", "libmp3lame") else 0.97)


def test_blocks_are_small_however_long_the_file(tmp_path: Path):
    path = encode(tmp_path / "long.flac", np.zeros((60 * RATE, 1), np.float32), RATE, "flac")
    assert max(len(block) for block in Reader(path).blocks()) < 2 * RATE


def failure(path: Path) -> str:
    with pytest.raises(LoadError) as caught:
        read(path)
    assert caught.value.path == path
    assert "\n" not in caught.value.message
    return caught.value.message


def test_what_cannot_be_read_is_told_in_a_sentence(tmp_path: Path):
    empty, text, folder, pipe = (tmp_path / name for name in ("empty.wav", "text.mp3", "folder.wav", "pipe.wav"))
    empty.touch()
    text.write_text("not a recording\n" * 100)
    folder.mkdir()
    os.mkfifo(pipe)
    assert failure(empty) == "is empty"
    assert failure(text) == "is not audio or video that can be read"
    assert failure(folder) == "is a folder"
    assert failure(pipe) == "is not a regular file"
    assert failure(tmp_path / "gone.wav") == "does not exist"
    if os.geteuid() != 0:
        empty.chmod(0)
        assert "cannot be opened" in failure(empty)


def test_a_picture_holds_no_audio(tmp_path: Path):
    path = tmp_path / "picture.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert failure(path) == "holds no audio"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile '{}'\n"),
        ("list.wav", "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n"),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"),
    ],
)
def test_a_file_that_points_to_another_opens_nothing(tmp_path: Path, name: str, text: str):
    secret = encode(tmp_path / "secret.ts", speechlike(3, 48_000), 48_000, "mp2")
    path = tmp_path / name
    path.write_text(text.format(secret))
    assert failure(path)


@pytest.mark.parametrize("name", ["-x.wav", "http:x.wav", "a:b.wav", "%d.wav", "spät \n.wav", b"\xff\xfe.wav"])
def test_odd_names_are_files_like_any_other(tmp_path: Path, name: str | bytes):
    path = tmp_path / os.fsdecode(name)
    samples = (speechlike(0.5, RATE)[:, 0] * 32767).astype(np.int16)
    with path.open("wb") as file, wave.open(file, "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        out.writeframes(samples.tobytes())
    assert np.array_equal(read(path), samples)


def test_a_truncated_file_gives_what_it_holds(tmp_path: Path):
    whole = encode(tmp_path / "whole.mp3", speechlike(8, 44_100), 44_100, "libmp3lame")
    cut = tmp_path / "cut.mp3"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    n_whole, n_cut = len(read(whole)), len(read(cut))
    assert 0.4 * n_whole < n_cut < 0.6 * n_whole


def test_garbage_in_the_middle_is_left_out_and_told(tmp_path: Path):
    whole = encode(tmp_path / "whole.flac", speechlike(8, RATE), RATE, "flac")
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(1).bytes(3000)
    path = tmp_path / "damaged.flac"
    path.write_bytes(data)
    reader = Reader(path)
    n_samples = sum(len(block) for block in reader.blocks())
    assert 4 * RATE < n_samples < 9 * RATE
    assert reader.damage is not None
    assert reader.damage.startswith("damaged: ")


def test_what_pyav_cannot_read_libsndfile_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "x.wav"
    samples = (speechlike(1.0, RATE)[:, 0] * 32767).astype(np.int16)
    soundfile.write(path, samples, RATE, subtype="PCM_16")

    def refuse(*args: object, **kwargs: object) -> None:
        raise av.error.InvalidDataError(1, "no")

    monkeypatch.setattr(av, "open", refuse)
    assert np.abs(read(path).astype(int) - samples).max() <= 1
