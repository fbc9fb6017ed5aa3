"""Many channels to one: where the mix loses the sound, the loudest channel is taken; all else is ffmpeg's mix."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from sounds import encode, likeness, speechlike
from whisperbatch.audio.decode import Reader
from whisperbatch.audio.mixdown import Choice, graph, through, weights_of
from whisperbatch.audio.worker_client import LoadWorker
from whisperbatch.options import LoadOptions
from whisperbatch.records import ClipSettings, FileLoaded

RATE = 48_000
STEREO = np.array([0.5, 0.5])


def voice(seconds: float = 1.0, seed: int = 0, loudness: float = 0.1) -> np.ndarray:
    """float32 (n_samples,): noise that is louder where it is lower."""
    white = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    smooth = np.convolve(white, np.ones(30) / 30, "same")
    return np.float32(smooth * loudness / np.abs(smooth).max())


def read(path: Path) -> tuple[np.ndarray, list[str]]:
    reader = Reader(path)
    return np.concatenate(list(reader.blocks())), reader.notices


def mixed(path: Path) -> np.ndarray:
    """All of a file through one of ffmpeg's graphs, frame by frame."""
    made, blocks = None, []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            made = made or graph(frame, "mono")
            frame.pts = None
            blocks += through(made, frame)
    return np.concatenate([*blocks, *through(made, None)])


@pytest.mark.parametrize(
    ("planes", "taken"),
    [
        (lambda s: (s, s), None),
        (lambda s: (s, -s), 0),
        (lambda s: (-0.8 * s, s), 1),
        (lambda s: (s, -s + voice(seed=1, loudness=0.01)), 0),
        (lambda s: (s, voice(seed=1)), None),
        (lambda s: (0 * s, s), None),
        (lambda s: (voice(seed=1), 0.01 * s), None),
        (lambda s: (s, -0.5 * s), None),  # what is left is loud enough
        (lambda s: (s / 30_000, -s / 30_000), None),  # silence
        (lambda s: (s * np.nan, -s), None),
        (lambda s: (s * np.inf, -s), None),
    ],
)
def test_a_channel_is_taken_only_where_two_cancel_each_other(planes: Callable, taken: int | None):
    assert Choice(STEREO).take(np.stack(planes(voice())), RATE)[0] == taken


def test_speech_that_cancels_is_seen_below_a_hum_and_a_hiss_that_do_not():
    at = np.arange(RATE) / RATE
    hum = np.float32(0.05 * np.sin(2 * np.pi * 50 * at))
    hiss = np.random.default_rng(3).standard_normal((2, RATE)).astype(np.float32) * 0.001
    s = voice()
    assert Choice(STEREO).take(np.stack([s + hum, hum - s]) + hiss, RATE)[0] is not None
    # a hum that cancels is well lost, and the voice is kept
    assert Choice(STEREO).take(np.stack([s + hum, s - hum]) + hiss, RATE)[0] is None


def test_a_choice_stays_through_pauses_and_doubt_and_ends_with_them():
    choice, s, other = Choice(STEREO), voice(), voice(seed=1)
    doubtful = np.stack([s, -0.9 * s + 0.43 * other])  # alike to 90 %

    def take(planes: np.ndarray) -> int | None:
        return choice.take(planes, RATE)[0]

    assert take(doubtful) is None
    assert take(np.stack([s, -s])) == 0
    assert take(np.stack([s, -s]) * 0) == 0
    assert take(doubtful) == 0
    assert take(np.stack([s, -1.1 * s])) == 0  # no louder than makes a change worth it
    assert take(np.stack([s, other])) is None
    assert take(np.stack([s, s]) * 0) is None


def test_of_many_channels_the_mix_has_what_ffmpeg_gives_them():
    assert weights_of("stereo", 2) == pytest.approx([0.5, 0.5])
    assert weights_of("5.1", 6) == pytest.approx([0.207, 0.207, 0.293, 0, 0.146, 0.146], abs=1e-3)
    with pytest.raises(av.FFmpegError):
        weights_of("9 channels", 9)


def test_a_channel_that_the_mix_leaves_out_is_missed_but_not_rumble():
    weights = weights_of("5.1", 6)
    alone = np.zeros((6, RATE), np.float32)
    alone[3] = voice()
    assert Choice(weights).take(alone, RATE)[0] == 3  # the fourth microphone of six
    assert Choice(weights, frozenset({3})).take(alone, RATE)[0] is None
    for number in (0, 2, 4):
        alone[:] = 0
        alone[number] = voice()
        assert Choice(weights).take(alone, RATE)[0] is None


@pytest.mark.parametrize(("name", "codec"), [("x.wav", "pcm_s16le"), ("x.flac", "flac"), ("x.m4a", "aac")])
@pytest.mark.parametrize("n_channels", [2, 6])
def test_what_does_not_cancel_is_ffmpegs_mix_to_the_sample(tmp_path: Path, name: str, codec: str, n_channels: int):
    path = encode(tmp_path / name, speechlike(3.3, RATE, n_channels), RATE, codec)
    ours, notices = read(path)
    assert np.array_equal(ours, mixed(path))
    assert notices == []


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("x.wav", "pcm_s16le", 16_000),
        ("u8.wav", "pcm_u8", 8_000),
        ("s24.wav", "pcm_s24le", 44_100),
        ("flt.wav", "pcm_f32le", 44_100),
        ("dbl.wav", "pcm_f64le", 44_100),
        ("x.flac", "flac", 48_000),
        ("x.mp3", "libmp3lame", 44_100),
        ("x.m4a", "aac", 48_000),
        ("x.opus", "libopus", 48_000),
    ],
)
def test_a_channel_turned_upside_down_loses_nothing(tmp_path: Path, name: str, codec: str, rate: int):
    left = speechlike(3.3, rate)
    alone, _ = read(encode(tmp_path / f"mono-{name}", left, rate, codec))
    ours, notices = read(encode(tmp_path / name, np.concatenate([left, -0.8 * left], 1), rate, codec))
    assert notices == ["left and right cancel each other out; the left channel was taken"]
    assert abs(len(ours) - len(alone)) <= 0.06 * 16_000
    assert likeness(ours, alone) > 0.95
    assert np.abs(ours.astype(int)).max() > 0.8 * np.abs(alone.astype(int)).max()


def test_a_part_that_cancels_is_told_with_its_length(tmp_path: Path):
    first, second = speechlike(10, RATE), speechlike(10, RATE, seed=1)
    left = np.concatenate([first, second])
    right = np.concatenate([first, -second])
    ours, (notice,) = read(encode(tmp_path / "x.wav", np.concatenate([left, right], 1), RATE, "pcm_s16le"))
    alone, _ = read(encode(tmp_path / "mono.wav", left, RATE, "pcm_s16le"))
    assert notice.startswith(("in 9.", "in 10."))
    assert notice.endswith(" s, left and right cancel each other out; the left channel was taken there")
    assert np.abs(ours.astype(int) - alone)[11 * 16_000 :].max() <= 4
    assert np.abs(ours.astype(int) - alone)[: 9 * 16_000].max() <= 4


def test_more_than_two_channels_may_cancel_too(tmp_path: Path):
    left = speechlike(3, RATE)
    rows = np.zeros((len(left), 6), np.float32)
    rows[:, 0], rows[:, 1] = -left[:, 0], left[:, 0] * 1.2
    ours, notices = read(encode(tmp_path / "x.flac", rows, RATE, "flac"))
    alone, _ = read(encode(tmp_path / "mono.flac", left, RATE, "flac"))
    assert notices == ["the mix of its 6 channels is nearly silent; channel 2 was taken"]
    assert likeness(ours, alone) > 0.99


def test_the_second_loader_hears_what_cancels_too(tmp_path: Path):
    left = speechlike(3, 16_000)[:, 0]
    path = tmp_path / "x.mat"
    soundfile.write(path, np.stack([left, -left], 1), 16_000, format="MAT5", subtype="PCM_16")
    ours, notices = read(path)
    assert likeness(ours, left) > 0.99
    assert notices == ["left and right cancel each other out; the left channel was taken"]


def test_channels_that_are_kept_apart_are_left_alone(tmp_path: Path):
    left = speechlike(3, 16_000)
    path = encode(tmp_path / "x.wav", np.concatenate([left, -left], 1), 16_000, "pcm_s16le")
    reader = Reader(path, split=True)
    rows = np.concatenate(list(reader.blocks()), axis=1)
    assert np.array_equal(rows[0], -rows[1].astype(int))
    assert reader.notices == []


def test_a_recording_with_a_channel_turned_is_heard_and_says_so(tmp_path: Path, sample_audio: Path):
    samples, rate = soundfile.read(sample_audio / "garden.wav")
    path = tmp_path / "x.flac"
    soundfile.write(path, np.stack([samples, -samples], 1), rate)
    ends = {}
    for name in (sample_audio / "garden.wav", path):
        with LoadWorker(LoadOptions()) as worker:
            *clips, last = worker.load(0, name, ClipSettings())
        assert isinstance(last, FileLoaded)
        ends[name] = clips, last
    (one, plain), (other, turned) = ends.values()
    assert np.array_equal(one[0].samples, other[0].samples)
    assert one[0].speech == other[0].speech
    assert (plain.notices, turned.speech_s) == ((), plain.speech_s)
    assert turned.notices == ("left and right cancel each other out; the left channel was taken",)
