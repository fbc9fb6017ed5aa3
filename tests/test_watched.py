"""Drop folders: settling on a fake clock, and a real folder."""

import os
import threading
from pathlib import Path

import pytest

from whisperbatch.errors import UsageError
from whisperbatch.options import WatchOptions
from whisperbatch.records import AudioFile
from whisperbatch.sources.watched import Settling, watch


def file(name: str, size: int, mtime: int = 1) -> AudioFile:
    return AudioFile(Path(name), None, size, mtime)


def ready(settling: Settling, files: list[AudioFile], now: float) -> list[str]:
    return [str(audio.path) for audio in settling.look(files, now)]


def test_a_file_is_ready_once_it_stood_still():
    settling = Settling(2.0)
    assert ready(settling, [file("a", 5)], 0.0) == []
    assert settling.next_due_s() == 2.0
    assert ready(settling, [file("a", 5)], 1.9) == []
    assert ready(settling, [file("a", 5)], 2.0) == ["a"]
    assert ready(settling, [file("a", 5)], 50.0) == []
    assert settling.next_due_s() is None


@pytest.mark.parametrize("grown", [file("a", 6), file("a", 5, 2)])
def test_a_file_that_grows_or_is_touched_starts_anew(grown: AudioFile):
    settling = Settling(2.0)
    ready(settling, [file("a", 5)], 0.0)
    assert ready(settling, [grown], 1.5) == []
    assert ready(settling, [grown], 2.5) == []
    assert ready(settling, [grown], 3.5) == ["a"]


def test_an_empty_file_waits_for_its_content():
    settling = Settling(2.0)
    assert ready(settling, [file("a", 0)], 0.0) == []
    assert ready(settling, [file("a", 0)], 100.0) == []
    assert settling.n_moving == 0
    assert ready(settling, [file("a", 3)], 101.0) == []
    assert ready(settling, [file("a", 3)], 103.0) == ["a"]


def test_a_file_that_changes_later_comes_out_again_and_one_that_goes_is_forgotten():
    settling = Settling(1.0)
    ready(settling, [file("a", 5)], 0.0)
    assert ready(settling, [file("a", 5)], 1.0) == ["a"]
    ready(settling, [file("a", 7, 2)], 2.0)
    assert ready(settling, [file("a", 7, 2)], 3.0) == ["a"]
    assert ready(settling, [], 4.0) == []
    ready(settling, [file("a", 7, 2)], 5.0)
    assert ready(settling, [file("a", 7, 2)], 6.0) == ["a"]


def test_a_real_folder(tmp_path: Path):
    (tmp_path / "there.wav").write_bytes(b"x")
    (tmp_path / "half.wav.part").write_bytes(b"x")
    stop = threading.Event()
    source = watch([tmp_path], WatchOptions(settle_s=0.3), stop)
    assert next(source).path == tmp_path / "there.wav"
    (tmp_path / "sub").mkdir()
    growing = (tmp_path / "sub" / "growing.wav").open("wb")
    sizes = []

    def grow() -> None:
        for _ in range(4):
            growing.write(b"x" * 10)
            growing.flush()
            os.fsync(growing.fileno())
            threading.Event().wait(0.15)
        growing.close()

    writer = threading.Thread(target=grow)
    writer.start()
    arrived = next(source)
    sizes.append(arrived.size)
    writer.join()
    assert arrived.path == tmp_path / "sub" / "growing.wav"
    assert arrived.root == tmp_path
    assert sizes == [40]
    stop.set()
    assert list(source) == []


def test_the_rescan_finds_what_nobody_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import watchfiles

    def deaf(*paths: Path, stop_event: threading.Event, **_: object):
        while not stop_event.is_set():
            threading.Event().wait(0.05)
            yield set()

    monkeypatch.setattr(watchfiles, "watch", deaf)
    stop = threading.Event()
    source = watch([tmp_path], WatchOptions(settle_s=0.1, rescan_s=0.2), stop)
    threading.Timer(0.4, lambda: (tmp_path / "late.wav").write_bytes(b"x")).start()
    assert next(source).path == tmp_path / "late.wav"
    stop.set()


def test_quiet_ends_it(tmp_path: Path):
    (tmp_path / "there.wav").write_bytes(b"x")
    options = WatchOptions(settle_s=0.2, until_idle_s=0.6)
    assert [audio.path.name for audio in watch([tmp_path], options, threading.Event())] == ["there.wav"]


def test_a_folder_that_is_not_there_is_told_at_once(tmp_path: Path):
    with pytest.raises(UsageError, match="there is no folder"):
        watch([tmp_path / "gone"], WatchOptions(), threading.Event())
