"""Load workers in each mode: speech, whole files in a spool, channels apart, stretches; what is too long."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from loading import NO_VAD, SEQUENTIAL, load
from sounds import encode, noise, speechlike, write_wav
from whisperbatch import processes
from whisperbatch.audio import spool
from whisperbatch.audio.decode import Reader
from whisperbatch.audio.spool import Spool, Spooled
from whisperbatch.audio.worker_client import LoadWorker
from whisperbatch.errors import LoadError, UsageError
from whisperbatch.options import LoadOptions, RunOptions, SpeechOptions, parse_times
from whisperbatch.records import SAMPLE_RATE, Clip, ClipSettings, FileLoaded


@pytest.fixture(scope="module")
def lecture(sample_audio: Path) -> np.ndarray:
    return np.concatenate(list(Reader(sample_audio / "lecture.mp3").blocks()))


def samples_from(clip: Clip, samples: np.ndarray) -> np.ndarray:
    """The same samples, from the file, by the clip's start and joins."""
    parts, at, skipped = [], 0, 0
    for join_s, so_far_s in (*clip.joins, (clip.duration_s, 0.0)):
        join = round(join_s * SAMPLE_RATE)
        start = round(clip.start_s * SAMPLE_RATE) + skipped
        parts.append(samples[start + at : start + join])
        at, skipped = join, round(so_far_s * SAMPLE_RATE)
    return np.concatenate(parts)


def test_clips_carry_speech_joins_and_votes(tmp_path: Path, lecture: np.ndarray):
    pause = np.zeros(20 * SAMPLE_RATE, np.int16)
    samples = np.concatenate([lecture[: 12 * SAMPLE_RATE], pause, lecture, pause, lecture, lecture])
    clips, last = load(write_wav(tmp_path / "x.wav", samples))
    assert any(clip.joins for clip in clips)
    for clip in clips:
        assert np.array_equal(clip.samples, samples_from(clip, samples))
        assert all(0 <= one < two <= clip.duration_s for one, two in clip.speech)
        assert clip.channel is None
    assert [clip.vote for clip in clips if clip.vote] == [(k, 5) for k in range(5)] == [c.vote for c in clips[:5]]
    assert sorted(clip.index for clip in clips) == list(range(last.n_clips))
    assert last.speech_s == pytest.approx(sum(two - one for clip in clips for one, two in clip.speech))
    assert last.duration_s == len(samples) / SAMPLE_RATE
    assert not any(clip.vote for clip in load(tmp_path / "x.wav", ClipSettings("en"))[0])
    indexes = [clip.index for clip in load(tmp_path / "x.wav", ClipSettings("en"))[0]]
    assert indexes == sorted(indexes)


def test_a_file_without_speech_is_an_empty_one(tmp_path: Path, sample_audio: Path):
    for path in (sample_audio / "silence.flac", write_wav(tmp_path / "x.wav", noise(40))):
        clips, last = load(path)
        assert (clips, last.n_clips, last.speech_s) == ([], 0, 0.0)
        assert last.duration_s > 7


@pytest.mark.parametrize(("scale", "notices"), [(1.0, ()), (0.002, ("very quiet: peak at -59 dBFS",))])
def test_a_quiet_recording_has_the_speech_of_a_loud_one_and_says_that_it_is(
    tmp_path: Path, lecture: np.ndarray, scale: float, notices: tuple[str, ...]
):
    loud = lecture[: 20 * SAMPLE_RATE] * (0.56 * 32768 / np.abs(lecture[: 20 * SAMPLE_RATE].astype(int)).max())
    wanted_s = load(write_wav(tmp_path / "loud.wav", np.round(loud)))[1].speech_s
    clips, last = load(write_wav(tmp_path / "x.wav", np.round(loud * scale)))
    assert last.speech_s == pytest.approx(wanted_s, abs=0.5)
    assert clips[0].speech[0][0] < 1.5
    assert last.notices == notices


def test_options_of_speech_detection_reach_the_worker(tmp_path: Path, lecture: np.ndarray):
    path = write_wav(tmp_path / "x.wav", lecture[: 28 * SAMPLE_RATE])
    speech_s = load(path)[1].speech_s
    assert load(path, speech=SpeechOptions(vad_threshold=0.99))[1].speech_s < speech_s
    assert load(path, speech=SpeechOptions(vad_min_silence_s=3.0))[1].speech_s > speech_s
    assert load(path, speech=SpeechOptions(vad_min_speech_s=2.3))[1].speech_s < speech_s
    ((wide,), _), ((tight,), _) = load(path), load(path, speech=SpeechOptions(vad_pad_s=0.0))
    assert tight.start_s == pytest.approx(wide.start_s + wide.speech[0][0])
    assert load(path, speech=NO_VAD)[1].speech_s is None


@pytest.mark.parametrize("options", [SpeechOptions(), NO_VAD])
def test_sequential_mode_gives_one_clip_that_is_read_from_disk(tmp_path: Path, lecture: np.ndarray, options):
    folder = tmp_path / "spool"
    path = write_wav(tmp_path / "x.wav", lecture)
    (clip,), last = load(path, SEQUENTIAL, options=LoadOptions(spool_dir=folder), speech=options)
    assert (clip.index, clip.start_s, clip.joins, clip.vote, clip.settings) == (0, 0.0, (), None, SEQUENTIAL)
    assert isinstance(clip.samples, Spooled)
    assert len(clip.samples) == len(lecture)
    assert clip.duration_s == last.duration_s
    assert np.array_equal(clip.samples[:], lecture)
    assert np.array_equal(clip.samples[1000:70_001], lecture[1000:70_001])
    assert np.array_equal(clip.samples[len(lecture) - 5 : len(lecture) + 9], lecture[-5:])
    assert len(clip.samples[5:5]) == 0
    assert bool(clip.speech) == options.vad
    if os.name != "nt":
        assert list(folder.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks for open files in /proc")
def test_a_spool_is_freed_with_its_clip(tmp_path: Path):
    def held() -> int:
        here = [entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
        return sum(str(tmp_path / "spool") in str(target) for target in here)

    path = write_wav(tmp_path / "x.wav", noise(3))
    (clip,), _ = load(path, SEQUENTIAL, options=LoadOptions(spool_dir=tmp_path / "spool"))
    assert held() == 1
    del clip
    gc.collect()
    assert held() == 0


def test_a_file_without_samples_gives_no_clip_in_sequential_mode(tmp_path: Path):
    clips, last = load(
        write_wav(tmp_path / "x.wav", noise(0)), SEQUENTIAL, options=LoadOptions(spool_dir=tmp_path / "spool")
    )
    assert (clips, last.n_clips) == ([], 0)


def test_a_worker_that_is_killed_leaves_no_spool(tmp_path: Path):
    folder = tmp_path / "spool"
    hang = "    for n, block in enumerate(old(self)):\n        yield block\n        n < 300 or threading.Event().wait()"
    start = processes.START.rpartition("import_module(")
    code = (
        "import threading\nfrom whisperbatch.audio import decode\nold = decode.Reader.blocks\n"
        f"def blocks(self):\n{hang}\ndecode.Reader.blocks = blocks\n"
    )
    path = write_wav(tmp_path / "x.wav", noise(60))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "START", start[0] + code + start[1] + start[2])
        with LoadWorker(LoadOptions(spool_dir=folder), NO_VAD) as worker:
            list(worker.load(0, write_wav(tmp_path / "short.wav", noise(1)), SEQUENTIAL))  # its start may take long
            worker._timeout_s = 1.5
            with pytest.raises(LoadError, match="hung"):
                list(worker.load(1, path, SEQUENTIAL))
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="process ids are looked at as POSIX has them")
def test_spools_of_the_dead_are_removed_and_others_are_not(tmp_path: Path):
    """A spool whose reader never came stays until the next start."""
    script = (
        "import os, sys, signal; from pathlib import Path; from whisperbatch.audio.spool import Spool;"
        f"Spool(Path({str(tmp_path)!r})); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    host, pid, run, number = left.stem.removeprefix(".whisperbatch-").split("-")
    others = [
        f".whisperbatch-{'0' * 8}-{pid}-{run}-{number}.pcm",  # another machine's
        f".whisperbatch-{host}-{os.getppid()}-{run}-{number}.pcm",  # of a process that lives
        "notes.pcm",
    ]
    for name in others:
        (tmp_path / name).touch()
    spool._cleaned.clear()
    mine = Spool(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, mine.path.name])
    mine.give_up()


def test_a_folder_that_cannot_hold_a_spool_is_told(tmp_path: Path):
    (tmp_path / "file").touch()
    path = write_wav(tmp_path / "x.wav", noise(1))
    with pytest.raises(LoadError, match=r"cannot be spooled to .*; use --spool-dir") as caught:
        load(path, SEQUENTIAL, options=LoadOptions(spool_dir=tmp_path / "file" / "spool"))
    assert caught.value.path == path


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to a full device")
def test_a_full_disk_is_told(tmp_path: Path):
    written = Spool(tmp_path)
    with Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), written._file.fileno())
    with pytest.raises(LoadError, match=r"No space left on device\); use --spool-dir"):
        for _ in range(20):
            written.write(noise(10))
    written.give_up()


def test_the_spool_lies_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path in spool.default_folder().parents
    assert spool.default_folder().name == "spool"


def test_samples_that_are_gone_are_no_endless_read(tmp_path: Path):
    written = Spool(tmp_path)
    spooled = Spooled(written.path)
    written.write(noise(1))
    written.close()
    spooled.seal(10 * SAMPLE_RATE)
    with pytest.raises(OSError, match="gone"):
        spooled[:]


@pytest.mark.parametrize("lack", [True, False])
def test_spooled_samples_are_read_without_preadv_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lack: bool):
    if lack:
        monkeypatch.delattr(os, "preadv", raising=False)
    samples, written = noise(100), Spool(tmp_path)
    spooled = Spooled(written.path)
    written.write(samples)
    written.close()
    spooled.seal(len(samples))
    assert np.array_equal(spooled[3 : 99 * SAMPLE_RATE], samples[3 : 99 * SAMPLE_RATE])


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_channels_are_kept_apart(tmp_path: Path, sample_audio: Path, lecture: np.ndarray, suffix: str):
    left = lecture[: 60 * SAMPLE_RATE]
    right = np.concatenate(list(Reader(sample_audio / "garden.wav").blocks()))
    right = np.pad(right, (20 * SAMPLE_RATE, len(left) - len(right) - 20 * SAMPLE_RATE))
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, np.stack([left, right], 1), SAMPLE_RATE, subtype="PCM_16")
    clips, last = load(path, options=LoadOptions(channels="split"))
    assert [clip.index for clip in sorted(clips, key=lambda clip: clip.index)] == list(range(last.n_clips))
    assert {clip.channel for clip in clips} == {0, 1}
    for channel, samples in enumerate((left, right)):
        own = [clip for clip in clips if clip.channel == channel]
        alone, _ = load(write_wav(tmp_path / "alone.wav", samples))
        assert [(c.start_s, c.speech, c.joins) for c in own] == [(c.start_s, c.speech, c.joins) for c in alone]
        assert all(np.array_equal(one.samples, two.samples) for one, two in zip(own, alone, strict=True))
    assert last.duration_s == 60.0
    (vote,) = {clip.vote[1] for clip in clips if clip.vote}
    assert vote == len(clips)


def test_one_channel_is_no_channel_and_more_than_two_are_all_taken(tmp_path: Path):
    split = LoadOptions(channels="split", spool_dir=tmp_path / "spool")
    one = write_wav(tmp_path / "one.wav", noise(2))
    assert [clip.channel for clip in load(one, options=split, speech=NO_VAD)[0]] == [None]
    rows = np.stack([noise(2, seed) for seed in range(5)])
    five = write_wav(tmp_path / "five.wav", rows)
    for settings in (ClipSettings(), SEQUENTIAL):
        clips, _ = load(five, settings, options=split, speech=NO_VAD)
        assert [clip.channel for clip in clips] == list(range(5))
        assert all(np.array_equal(clip.samples[:], rows[clip.channel]) for clip in clips)


@pytest.mark.parametrize("n_channels", [7, 8, 9, 16, 32])
def test_as_many_channels_as_a_recorder_has_are_kept_apart(tmp_path: Path, n_channels: int):
    rows = np.stack([noise(2, seed) for seed in range(n_channels)])
    path = write_wav(tmp_path / "x.wav", rows)
    clips, _ = load(path, options=LoadOptions(channels="split"), speech=NO_VAD)
    assert sorted(clip.channel for clip in clips) == list(range(n_channels))
    assert all(np.array_equal(clip.samples[:], rows[clip.channel]) for clip in clips)


def test_channels_stay_apart_where_the_layout_changes_midway(tmp_path: Path):
    one = encode(tmp_path / "1.mp3", speechlike(3, 48_000, 2), 48_000, "libmp3lame")
    two = encode(tmp_path / "2.mp3", speechlike(3, 44_100, 1, seed=1), 44_100, "libmp3lame")
    for name, parts in (("ab.mp3", (one, two)), ("ba.mp3", (two, one))):
        path = tmp_path / name
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
        shapes = {np.atleast_2d(block).shape[0] for block in Reader(path, split=True).blocks()}
        assert shapes == {2 if parts[0] is one else 1}


def test_channels_are_kept_apart_by_the_second_loader_too(tmp_path: Path):
    path = tmp_path / "x.mat"
    rows = np.stack([noise(2, seed) for seed in range(2)])
    soundfile.write(path, rows.T, SAMPLE_RATE, format="MAT5", subtype="PCM_16")
    read = np.concatenate(list(Reader(path, split=True).blocks()), axis=1)
    assert np.abs(read.astype(int) - rows).max() <= 1


@pytest.mark.parametrize("speech", [SpeechOptions(), NO_VAD])
def test_only_the_stretches_asked_for_become_clips(tmp_path: Path, lecture: np.ndarray, speech: SpeechOptions):
    settings = ClipSettings(clip_timestamps=(10.0, 20.0, 50.5, 95.0, 140.0))
    clips, last = load(write_wav(tmp_path / "x.wav", lecture), settings, speech=speech)
    for clip in clips:
        end_s = clip.start_s + clip.duration_s + max((skipped for _, skipped in clip.joins), default=0.0)
        assert any(one <= clip.start_s and end_s <= two for one, two in ((10, 20), (50.5, 95), (140, 1000)))
        assert np.array_equal(clip.samples, samples_from(clip, lecture))
    assert {clip.start_s // 10 for clip in clips} >= {1, 5, 14}
    assert last.duration_s == len(lecture) / SAMPLE_RATE


@pytest.mark.parametrize("suffix", ["wav", "flac", "m4a", "mp3", "aac"])
def test_a_recording_that_is_too_long_is_refused_in_a_sentence(tmp_path: Path, suffix: str):
    """By its header before anything is transcribed; where that tells nothing sure, once it has come so far."""
    codec = {"wav": "pcm_s16le", "flac": "flac", "m4a": "aac", "mp3": "libmp3lame", "aac": "aac"}[suffix]
    path = encode(tmp_path / f"x.{suffix}", speechlike(40, 16_000), 16_000, codec)
    clips = []
    with LoadWorker(LoadOptions(max_duration_s=36.0), NO_VAD) as worker:
        with pytest.raises(LoadError) as caught:
            clips += worker.load(0, path, ClipSettings("en"))
        assert caught.value.message == "is longer than 0.01 hours; --max-duration allows more"
        assert caught.value.path == path
    assert len(clips) == (suffix in ("mp3", "aac"))
    with LoadWorker(LoadOptions(max_duration_s=41.0), NO_VAD) as worker:
        assert isinstance(list(worker.load(0, path, ClipSettings("en")))[-1], FileLoaded)


def test_options_that_make_no_sense_are_refused():
    for name, value in (
        ("vad_threshold", 0.0), ("vad_threshold", 1.0), ("vad_min_silence_s", -1), ("vad_min_speech_s", -0.1),
        ("vad_pad_s", 16.0), ("vad_pad_s", -1.0),
    ):  # fmt: skip
        with pytest.raises(UsageError, match="`vad_"):
            SpeechOptions(**{name: value})
    for name, value in (("channels", "left"), ("channel_names", ("A", "A")), ("channel_names", ("",))):
        with pytest.raises(UsageError, match="channel"):
            LoadOptions(**{name: value})
    with pytest.raises(UsageError, match="`max_duration`"):
        LoadOptions(max_duration_s=0)
    for times in ((5.0, 1.0), (-1.0, 2.0), (0.0, float("nan")), (0.0, float("inf"))):
        with pytest.raises(UsageError, match="`clip_timestamps`"):
            RunOptions(clip=ClipSettings(clip_timestamps=times))
    with pytest.raises(UsageError, match="long form"):
        RunOptions(clip=ClipSettings(long_form="windows"))
    with pytest.raises(UsageError, match="`clip_timestamps`"):
        parse_times("0,a")
    assert parse_times("0, 1.5,") == (0.0, 1.5)
