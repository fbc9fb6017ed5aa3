"""Drop folders: settling on a fake clock, and a real folder."""

import itertools
import os
import threading
from pathlib import Path

import pytest

from whisperbatch.errors import UsageError
from whisperbatch.options import WatchOptions
from whisperbatch.records import AudioFile
from whisperbatch.sources.watched import Settling, _Looker, watch


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


def test_a_look_that_was_not_whole_forgets_nothing():
    settling = Settling(1.0)
    ready(settling, [file("a", 5)], 0.0)
    assert ready(settling, [file("a", 5)], 1.0) == ["a"]
    assert settling.look([], 2.0, is_whole=False) == []
    ready(settling, [file("a", 5)], 3.0)
    assert ready(settling, [file("a", 5)], 9.0) == []


def test_what_arrives_while_the_first_file_is_in_hand_is_told_of(tmp_path: Path):
    (tmp_path / "a.wav").write_bytes(b"x")
    stop = threading.Event()
    source = watch([tmp_path], WatchOptions(settle_s=0.0), stop, clock=lambda: 0.0)  # no rescan ever
    assert next(source).path.name == "a.wav"
    (tmp_path / "b.wav").write_bytes(b"x")  # before the source is asked again
    late = threading.Timer(20.0, stop.set)  # so that a source that missed it ends
    late.start()
    assert [audio.path.name for audio in itertools.islice(source, 1)] == ["b.wav"]
    late.cancel()
    stop.set()
    assert list(source) == []


def test_the_end_looks_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import watchfiles

    def deaf(*paths: Path, stop_event: threading.Event, **_: object):
        while not stop_event.is_set():
            threading.Event().wait(0.02)
            (tmp_path / "late.wav").write_bytes(b"x") if not (tmp_path / "late.wav").exists() else None
            yield set()

    monkeypatch.setattr(watchfiles, "watch", deaf)
    options = WatchOptions(settle_s=0.0, rescan_s=10_000.0, until_idle_s=0.3)
    stop = threading.Event()
    late = threading.Timer(20.0, stop.set)  # so that a watch that never ends does
    late.start()
    assert [audio.path.name for audio in watch([tmp_path], options, stop)] == ["late.wav"]
    assert not stop.is_set()
    late.cancel()


def test_stopping_ends_it_among_files_that_are_ready(tmp_path: Path):
    for n in range(5):
        (tmp_path / f"{n}.wav").write_bytes(b"x")
    stop = threading.Event()
    source = watch([tmp_path], WatchOptions(settle_s=0.0), stop)
    next(source)
    stop.set()
    assert list(source) == []


def test_a_system_that_cannot_listen_is_told_and_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import watchfiles

    def refuse(*_: object, **__: object):
        raise OSError("OS file watch limit reached")
        yield

    monkeypatch.setattr(watchfiles, "watch", refuse)
    told: list[str] = []
    options = WatchOptions(settle_s=0.0, rescan_s=0.1)
    stop = threading.Event()
    source = watch([tmp_path], options, stop, on_notice=lambda text, path: told.append(text))
    threading.Timer(0.3, lambda: (tmp_path / "a.wav").write_bytes(b"x")).start()
    assert next(source).path.name == "a.wav"
    assert ["watch limit reached" in text for text in told] == [True]
    stop.set()
    assert list(source) == []


def test_a_folder_that_is_gone_is_told_once_and_not_at_every_look(tmp_path: Path):
    place = tmp_path / "drop"
    told: list[tuple[str, Path | None]] = []
    looker = _Looker([place], lambda *one: told.append(one))
    for _ in range(3):
        assert looker.look() == []
        assert not looker.is_whole
    assert told == [("this folder is gone; it is looked for again", place)]
    place.mkdir()
    looker.look()
    assert looker.is_whole


def test_a_folder_that_goes_and_comes_back_is_told_and_its_files_do_not_count_again(tmp_path: Path):
    place, away = tmp_path / "drop", tmp_path / "away"
    place.mkdir()
    (place / "a.wav").write_bytes(b"x")
    told: list[Path | None] = []
    gone = threading.Event()

    def note(text: str, path: Path | None) -> None:
        told.append(path)
        gone.set()

    stop = threading.Event()
    source = watch([place], WatchOptions(settle_s=0.0, rescan_s=0.05), stop, on_notice=note)
    assert next(source).path == place / "a.wav"
    place.rename(away)

    def bring_back() -> None:
        assert gone.wait(60)
        (away / "b.wav").write_bytes(b"x")
        away.rename(place)

    back = threading.Thread(target=bring_back)
    back.start()
    assert next(source).path == place / "b.wav"  # and not a.wav again
    back.join()
    assert told == [place]
    stop.set()


def test_a_file_that_stayed_empty_is_told_at_the_end(tmp_path: Path):
    (tmp_path / "empty.wav").touch()
    told: list[tuple[str, Path | None]] = []
    options = WatchOptions(settle_s=0.0, until_idle_s=0.3)
    source = watch([tmp_path], options, threading.Event(), on_notice=lambda *one: told.append(one))
    assert list(source) == []
    assert told == [("this file is empty and was left out", tmp_path / "empty.wav")]
