"""Files to samples: against the ffmpeg command line where it is there, and on files that PyAV or libsndfile wrote."""

import os
import re
import shutil
import socket
import subprocess
import sys
import wave
from pathlib import Path

import av
import librosa
import numpy as np
import pytest
import soundfile

from sounds import encode, likeness, speechlike
from whisperbatch.audio import decode
from whisperbatch.audio.decode import Reader
from whisperbatch.errors import LoadError

FFMPEG = shutil.which("ffmpeg")
RATE = 16_000


def read(path: Path) -> np.ndarray:
    return np.concatenate([*Reader(path).blocks(), np.zeros(0, np.int16)])


KINDS = [
    ("a.wav", 16_000, 1, "pcm_s16le"),
    ("b.wav", 8_000, 1, "pcm_s16le"),
    ("c.wav", 44_100, 2, "pcm_s24le"),
    ("d.wav", 44_100, 2, "pcm_s16le"),
    ("e.flac", 48_000, 2, "flac"),
    ("f.mp3", 44_100, 2, "libmp3lame"),
    ("g.mp3", 22_050, 1, "libmp3lame"),
    ("h.m4a", 44_100, 1, "aac"),
    ("i.m4a", 48_000, 2, "aac"),
    ("j.aac", 48_000, 2, "aac"),
    ("k.opus", 48_000, 1, "libopus"),
    ("l.webm", 48_000, 2, "libopus"),
    ("m.wav", 48_000, 6, "pcm_s16le"),
    ("n.flac", 48_000, 6, "flac"),
    ("o.m4a", 48_000, 6, "aac"),
    ("p.ac3", 48_000, 6, "ac3"),
    ("q.ts", 44_100, 2, "mp2"),
    ("r.aiff", 44_100, 2, "pcm_s16be"),
    ("t.wav", 8_000, 1, "pcm_mulaw"),
]
# FFmpeg 9 leaves out what an AAC encoder put behind the last sample, at most a frame; the command line may be older
DROPS_PADDING = av.library_versions["libavformat"] >= (63,)
LOSSY = ("libopus", "aac", "libmp3lame", "ac3", "mp2", "pcm_mulaw")
needs_ffmpeg = pytest.mark.skipif(FFMPEG is None, reason="the ffmpeg command line is not there")


@needs_ffmpeg
@pytest.mark.parametrize("seconds", [3.3, 0.04])
@pytest.mark.parametrize(("name", "rate", "channels", "codec"), KINDS)
def test_samples_are_those_of_ffmpeg(tmp_path: Path, name: str, rate: int, channels: int, codec: str, seconds: float):
    assert_equal_to_ffmpeg(encode(tmp_path / name, speechlike(seconds, rate, channels), rate, codec))


@needs_ffmpeg
def test_the_sample_recordings_are_those_of_ffmpeg(sample_audio: Path, references):
    for name in references:
        assert_equal_to_ffmpeg(sample_audio / name)


@needs_ffmpeg
def test_vorbis_written_by_libsndfile_is_read_as_ffmpeg_reads_it(tmp_path: Path):
    path = tmp_path / "x.ogg"
    soundfile.write(path, speechlike(3.3, 48_000, 2), 48_000, format="OGG", subtype="VORBIS")
    assert_equal_to_ffmpeg(path)


@needs_ffmpeg
@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_a_video_gives_its_sound(tmp_path: Path, name: str):
    path = tmp_path / name
    subprocess.run(
        [FFMPEG, "-v", "error", "-f", "lavfi", "-i", "testsrc=d=2:s=64x64", "-f", "lavfi", "-i", "sine=d=2.7", path],
        check=True,
    )
    assert_equal_to_ffmpeg(path)


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("most_channels.ts", ["-c:a", "mp2", "-ac:a:0", "1", "-ac:a:1", "2"]),
        ("most_channels.mp4", ["-ac:a:0", "1", "-ac:a:1", "6", "-disposition:a", "0"]),
        ("default.mkv", ["-ac:a:0", "2", "-ac:a:1", "1", "-disposition:a:0", "0", "-disposition:a:1", "default"]),
        ("first.mp4", ["-b:a:0", "48k", "-b:a:1", "192k", "-disposition:a", "0"]),
    ],
)
def test_of_several_streams_it_is_the_one_that_ffmpeg_takes(tmp_path: Path, name: str, arguments: list[str]):
    path, inputs = tmp_path / name, ["-f", "lavfi", "-i", "sine=300:d=2", "-f", "lavfi", "-i", "sine=900:d=2"]
    subprocess.run([FFMPEG, "-v", "error", *inputs, "-map", "0", "-map", "1", *arguments, path], check=True)
    assert_equal_to_ffmpeg(path, max_difference=4)


@pytest.mark.parametrize("suffix", [".mp3", ".ts", ".aac"])
def test_rate_and_channels_may_change_midway(tmp_path: Path, suffix: str):
    codec = {".mp3": "libmp3lame", ".ts": "mp2", ".aac": "aac"}[suffix]
    one = encode(tmp_path / f"1{suffix}", speechlike(3, 44_100, 1), 44_100, codec)
    two = encode(tmp_path / f"2{suffix}", speechlike(3, 48_000, 2, seed=1), 48_000, codec)
    both = tmp_path / f"both{suffix}"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    ours = read(both)
    assert np.array_equal(ours[: 2 * RATE], read(one)[: 2 * RATE])
    assert likeness(ours[-2 * RATE :], read(two)[-2 * RATE :]) > 0.98
    if FFMPEG is not None:  # of before 2024: it drops what the resampler holds at the change, a few milliseconds
        assert 0 <= len(ours) - len(by_ffmpeg(both)) < 100


def by_ffmpeg(path: Path) -> np.ndarray:
    """As openai-whisper's load_audio calls it."""
    command = [FFMPEG, "-nostdin", "-v", "error", "-i", path, "-f", "s16le", "-ac", "1", "-acodec", "pcm_s16le"]
    raw = subprocess.run([*command, "-ar", "16000", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.int16)


def assert_equal_to_ffmpeg(path: Path, max_difference: int | None = None) -> None:
    """Of equal length, and equal but for what versions of libswresample differ in.

    FFmpeg 5.1 against 8.1 here: nothing or 1 step where a decoder gives floats or more than 16 bits; up to 3 steps
    where 8 or 16 bits are resampled or mixed, which both versions do in 16-bit arithmetic.
    """
    with av.open(str(path)) as container:
        n_bytes = container.streams.best("audio").format.bytes
    coarse = n_bytes <= 2 or path.suffix == ".ts"  # mp2, which some versions decode to 16 bits
    theirs, ours = by_ffmpeg(path), read(path)
    if DROPS_PADDING and path.suffix in (".m4a", ".mp4"):
        assert 0 <= len(theirs) - len(ours) <= 1024 + 1, path
        ours = ours[: max(0, len(ours) - 32)]  # the resampler looks so far ahead
        theirs = theirs[: len(ours)]
    assert len(ours) == len(theirs), path
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max(initial=0) <= (max_difference or (4 if coarse else 1)), path
    assert difference.sum() <= (0.6 if coarse or max_difference else 0.01) * len(ours) + 1, path


@pytest.mark.parametrize(("name", "rate", "channels", "codec"), KINDS)
def test_what_was_encoded_comes_back(tmp_path: Path, name: str, rate: int, channels: int, codec: str):
    samples = speechlike(2.0, rate, channels)
    reader = Reader(encode(tmp_path / name, samples, rate, codec))
    ours = np.concatenate(list(reader.blocks())).astype(np.float32) / 32768
    assert reader.damage is None
    # of 5.1, FFmpeg leaves the low frequencies out, and centre and surround come in with 0.707
    weights = np.array([1, 1, 2**0.5, 0, 1, 1]) if channels == 6 else np.ones(channels)
    mono = librosa.resample(samples @ (weights / weights.sum()), orig_sr=rate, target_sr=RATE, res_type="soxr_hq")
    assert abs(len(ours) - len(mono)) <= 0.06 * RATE
    assert likeness(ours, mono) > (0.8 if codec in LOSSY else 0.97)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="measures memory as POSIX tells it")
def test_an_hour_needs_no_more_memory_than_five_minutes(tmp_path: Path):
    script = (
        "import resource, sys; from pathlib import Path; from whisperbatch.audio import clips, decode;"
        "cuts = clips.cut(decode.Reader(Path(sys.argv[1])).blocks(), lambda channel: clips.QuietCutter());"
        "n = sum(len(cut.samples) for cut in cuts);"
        "print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for minutes in (5, 60):
        path = tmp_path / f"{minutes}.flac"
        with soundfile.SoundFile(path, "w", RATE, 1) as sound:
            for i in range(minutes):
                sound.write(speechlike(60, RATE, seed=i)[:, 0])
        done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
        n_samples, peak = map(int, done.stdout.split())
        assert n_samples == minutes * 60 * RATE
        peaks.append(peak)
    assert peaks[1] < 1.15 * peaks[0]


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
    assert failure(empty) == "is empty"
    assert failure(text) == "is not a readable audio or video file"
    assert failure(folder) == "is a folder"
    assert failure(tmp_path / "gone.wav") == "does not exist"
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe)
        assert failure(pipe) == "is not a regular file"
        assert failure(Path(os.devnull)) == "is not a regular file"
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        text.chmod(0)
        assert "cannot be opened" in failure(text)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="has no sockets in folders")
def test_a_socket_is_no_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # such names must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.wav")
        assert failure(Path("s.wav")) == "is not a regular file"


def test_noise_and_zeros_are_no_recordings(tmp_path: Path, capfd: pytest.CaptureFixture):
    rng = np.random.default_rng(0)
    for name, data in (("noise.wav", rng.bytes(100_000)), ("noise.flac", rng.bytes(5)), ("zeros.wav", bytes(100_000))):
        (tmp_path / name).write_bytes(data)
        assert failure(tmp_path / name) == "is not a readable audio or video file"
    assert capfd.readouterr() == ("", "")


def test_a_picture_holds_no_audio(tmp_path: Path):
    path = tmp_path / "picture.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert failure(path) == "contains no audio"


def test_a_recording_without_samples_is_empty_and_no_failure(tmp_path: Path):
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros(0), RATE)
    assert len(read(path)) == 0


def test_audio_that_nothing_decodes_is_told(tmp_path: Path):
    unknown = encode(tmp_path / "unknown.mkv", speechlike(1, 48_000), 48_000, "libopus")
    unknown.write_bytes(unknown.read_bytes().replace(b"A_OPUS", b"A_XXXX"))
    assert failure(unknown) == "contains audio in a format that cannot be decoded"
    locked = encode(tmp_path / "locked.m4a", speechlike(3, 44_100), 44_100, "aac")
    data = bytearray(locked.read_bytes())
    start, end = data.find(b"mdat") + 4, data.find(b"moov") - 4
    data[start:end] = np.random.default_rng(0).bytes(end - start)
    locked.write_bytes(data)
    assert failure(locked) == "contains audio, but none of it can be decoded"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n"),
        ("list.wav", "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile '{}'\n"),
        ("concat.wav", "ffconcat version 1.0\nfile '{}'\n"),
        ("list.m3u", "{}\n"),
        ("list.pls", "[playlist]\nFile1={}\n"),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"),
    ],
)
def test_a_file_that_points_to_another_opens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
):
    encode(tmp_path / "secret.ts", speechlike(3, 48_000), 48_000, "mp2")
    monkeypatch.chdir(tmp_path)
    path, opened = tmp_path / name, []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.ts"
        for target in ("secret.ts", str(tmp_path / "secret.ts"), url):
            path.write_text(text.format(target))
            assert failure(path)
        with pytest.raises(BlockingIOError):
            opened.append(server.accept())


def test_either_guard_alone_keeps_a_list_from_opening_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    encode(tmp_path / "secret.ts", speechlike(3, 48_000), 48_000, "mp2")
    path = tmp_path / "list.ffconcat"
    path.write_text("ffconcat version 1.0\nfile secret.ts\n")
    monkeypatch.chdir(tmp_path)
    for guard, value in decode.GUARDS.items():
        with monkeypatch.context() as patch:
            patch.setattr(decode, "GUARDS", {guard: value})
            assert failure(path)
    with av.open(str(path)) as unguarded:  # else this test would show nothing
        assert unguarded.format.name == "concat"


@pytest.mark.parametrize("name", ["-x.wav", "http:x.wav", "a:b.wav", "%d.wav", "spät \n.wav", b"\xff\xfe.wav"])
def test_odd_names_are_files_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | bytes):
    monkeypatch.chdir(tmp_path)
    path = Path(os.fsdecode(name))
    samples = (speechlike(0.5, RATE)[:, 0] * 32767).astype(np.int16)
    try:
        file = path.open("wb")
    except OSError:
        pytest.skip("such a name cannot be here")
    with file, wave.open(file, "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        out.writeframes(samples.tobytes())
    assert np.array_equal(read(path), samples)


def test_most_channels_are_taken_of_several_streams(tmp_path: Path):
    """As ffmpeg does, without it."""
    path = tmp_path / "two.ts"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mp2", rate=48_000, layout=layout) for layout in ("mono", "stereo")]
        for stream, hertz in zip(streams, (300, 900), strict=True):
            tone = np.sin(2 * np.pi * hertz * np.arange(96_000) / 48_000) * 8000
            frame = av.AudioFrame.from_ndarray(tone[None].astype(np.int16), format="s16", layout="mono")
            frame.sample_rate = 48_000
            for out in av.AudioResampler("s16", stream.layout, 48_000).resample(frame):
                container.mux(stream.encode(out))
            container.mux(stream.encode(None))
    samples = read(path)
    assert np.argmax(np.abs(np.fft.rfft(samples))) * RATE / len(samples) == pytest.approx(900, abs=5)


def test_recordings_joined_into_one_ogg_file_are_all_read(tmp_path: Path):
    mono = encode(tmp_path / "1.opus", speechlike(3, 48_000, 1), 48_000, "libopus")
    stereo = encode(tmp_path / "2.opus", speechlike(2, 48_000, 2), 48_000, "libopus")
    path = tmp_path / "chain.opus"
    path.write_bytes(mono.read_bytes() + stereo.read_bytes() + mono.read_bytes())
    reader = Reader(path)
    assert abs(sum(map(len, reader.blocks())) - 8 * RATE) < 0.1 * RATE
    assert reader.damage is None


def damaged(path: Path) -> tuple[float, str | None]:
    """Seconds that were read, and what is told."""
    reader = Reader(path)
    return sum(map(len, reader.blocks())) / RATE, reader.damage


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("x.mp3", "libmp3lame", {}),
        ("x.flac", "flac", {}),
        ("x.wav", "pcm_s16le", {}),
        ("x.aiff", "pcm_s16be", {}),
        ("x.m4a", "aac", {"movflags": "faststart"}),
        ("x.mka", "libopus", {}),
    ],
)
def test_a_truncated_file_gives_what_it_holds_and_tells(tmp_path: Path, name: str, codec: str, options: dict):
    path = encode(tmp_path / name, speechlike(20, 48_000), 48_000, codec, **options)
    whole_s, told = damaged(path)
    assert told is None
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 6 // 10)
    cut_s, told = damaged(path)
    assert 0.5 * whole_s < cut_s < 0.7 * whole_s
    assert told is not None
    found = re.fullmatch(r"damaged: .*it breaks off after ([\d.]+) of ([\d.]+) s", told)
    assert found, told
    assert float(found[1]) == pytest.approx(cut_s, abs=0.2)
    assert float(found[2]) == pytest.approx(20, abs=0.2)


def test_a_file_whose_length_was_never_written_is_not_damaged(tmp_path: Path):
    path = encode(tmp_path / "x.wav", speechlike(2, RATE), RATE, "pcm_s16le")
    data = bytearray(path.read_bytes())
    at = data.find(b"data") + 4
    data[4:8] = data[at : at + 4] = b"\xff\xff\xff\xff"  # what a program writes into a pipe
    path.write_bytes(data)
    assert damaged(path) == (pytest.approx(2, abs=0.1), None)


@pytest.mark.parametrize(
    ("name", "codec", "told"),
    [
        ("x.flac", "flac", r"damaged: \d+ parts? could not be decoded"),
        ("x.mp3", "libmp3lame", r"damaged: \d+ parts? could not be decoded.*"),
        ("x.m4a", "aac", r"damaged: \d+ parts? could not be decoded.*"),
        ("x.opus", "libopus", r"damaged: [\d.]+ s are missing in the middle"),
    ],
)
def test_a_hole_in_the_middle_is_left_out_and_told(
    tmp_path: Path, capfd: pytest.CaptureFixture, name: str, codec: str, told: str
):
    path = encode(tmp_path / name, speechlike(20, 48_000), 48_000, codec)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    path.write_bytes(data)
    read_s, sentence = damaged(path)
    assert 15 < read_s <= 20.1
    assert re.fullmatch(told, sentence or ""), sentence
    assert capfd.readouterr() == ("", "")


def test_garbage_in_the_middle_is_left_out_and_told(tmp_path: Path):
    path = encode(tmp_path / "x.flac", speechlike(8, RATE), RATE, "flac")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(1).bytes(3000)
    path.write_bytes(data)
    read_s, told = damaged(path)
    assert 4 < read_s < 9
    assert told is not None
    assert told.startswith("damaged: ")


def test_libsndfile_reads_what_pyav_cannot(tmp_path: Path):
    path, samples = tmp_path / "x.mat", speechlike(2.5, 44_100, 2)
    soundfile.write(path, samples, 44_100, format="MAT5", subtype="PCM_16")
    blocks = list(Reader(path).blocks())
    assert max(map(len, blocks)) < 2 * RATE
    expected = librosa.resample(samples.mean(axis=1), orig_sr=44_100, target_sr=RATE, res_type="soxr_hq")
    ours = np.concatenate(blocks).astype(np.float32) / 32768
    assert len(ours) == pytest.approx(len(expected), abs=2)
    inner = slice(RATE // 10, 2 * RATE)
    assert np.corrcoef(ours[inner], expected[inner])[0, 1] > 0.99


def test_librosa_takes_over_when_pyav_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "x.wav"
    samples = (speechlike(1.0, RATE)[:, 0] * 32767).astype(np.int16)
    soundfile.write(path, samples, RATE, subtype="PCM_16")

    def refuse(*args: object, **kwargs: object) -> None:
        raise av.error.InvalidDataError(1, "no")

    monkeypatch.setattr(av, "open", refuse)
    assert np.abs(read(path).astype(int) - samples).max() <= 1
