"""Drop folders: settling on a fake clock, and a real folder."""

import itertools
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from whisperbatch.errors import UsageError
from whisperbatch.options import WatchOptions
from whisperbatch.records import AudioFile
from whisperbatch.sources import change_events
from whisperbatch.sources.drop_folder import SettleTracker, _FolderScanner, _grows, watch


def file(name: str, size: int, mtime: int = 1) -> AudioFile:
    return AudioFile(Path(name), None, size, mtime)


def ready(settling: SettleTracker, files: list[AudioFile], now: float) -> list[str]:
    return [str(audio.path) for audio in settling.look(files, now)]


def test_a_file_is_ready_once_it_stood_still():
    settling = SettleTracker(2.0)
    assert ready(settling, [file("a", 5)], 0.0) == []
    assert settling.next_due_s() == 2.0
    assert ready(settling, [file("a", 5)], 1.9) == []
    assert ready(settling, [file("a", 5)], 2.0) == ["a"]
    assert ready(settling, [file("a", 5)], 50.0) == []
    assert settling.next_due_s() is None


@pytest.mark.parametrize("grown", [file("a", 6), file("a", 5, 2)])
def test_a_file_that_grows_or_is_touched_starts_anew(grown: AudioFile):
    settling = SettleTracker(2.0)
    ready(settling, [file("a", 5)], 0.0)
    assert ready(settling, [grown], 1.5) == []
    assert ready(settling, [grown], 2.5) == []
    assert ready(settling, [grown], 3.5) == ["a"]


def test_an_empty_file_waits_for_its_content():
    settling = SettleTracker(2.0)
    assert ready(settling, [file("a", 0)], 0.0) == []
    assert ready(settling, [file("a", 0)], 100.0) == []
    assert settling.n_moving == 0
    assert ready(settling, [file("a", 3)], 101.0) == []
    assert ready(settling, [file("a", 3)], 103.0) == ["a"]


def test_a_file_that_changes_later_comes_out_again_and_one_that_goes_is_forgotten():
    settling = SettleTracker(1.0)
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
    source = watch([tmp_path], WatchOptions(settle_s=1.5), stop)
    assert next(source).path == tmp_path / "there.wav"
    (tmp_path / "sub").mkdir()
    growing = (tmp_path / "sub" / "growing.wav").open("wb")
    sizes = []

    def grow() -> None:
        for _ in range(4):
            growing.write(b"x" * 10)
            growing.flush()
            os.fsync(growing.fileno())
            threading.Event().wait(0.5)  # less than it has to stand still, by more than a machine stands still itself
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
    settling = SettleTracker(1.0)
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
    scanner = _FolderScanner([place], lambda *one: told.append(one))
    for _ in range(3):
        assert scanner.scan() == []
        assert not scanner.is_whole
    assert told == [("this folder is gone; waiting for it to come back", place)]
    place.mkdir()
    scanner.scan()
    assert scanner.is_whole
    place.rmdir()
    scanner.scan()
    assert [text.partition(";")[0] for text, _ in told[1:]] == ["this folder is back", "this folder is gone"]


def test_a_folder_that_goes_and_comes_back_is_told_and_its_files_do_not_count_again(tmp_path: Path):
    place, away = tmp_path / "drop", tmp_path / "away"
    place.mkdir()
    (place / "a.wav").write_bytes(b"x")
    told: list[tuple[str, Path | None]] = []
    gone = threading.Event()

    def note(*one: object) -> None:
        told.append(one)
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
    assert told == [("this folder is gone; waiting for it to come back", place), ("this folder is back", place)]
    stop.set()


def test_a_file_that_stayed_empty_is_told_at_the_end(tmp_path: Path):
    (tmp_path / "empty.wav").touch()
    told: list[tuple[str, Path | None]] = []
    options = WatchOptions(settle_s=0.0, until_idle_s=0.3)
    source = watch([tmp_path], options, threading.Event(), on_notice=lambda *one: told.append(one))
    assert list(source) == []
    assert told == [("this file is empty; skipped", tmp_path / "empty.wav")]


def test_a_file_that_goes_on_growing_although_it_stood_still_waits_for_its_rest():
    whole = {"a": False}
    settling = SettleTracker(1.0, lambda audio: not whole[audio.path.name])
    ready(settling, [file("a", 5)], 0.0)
    assert ready(settling, [file("a", 5)], 1.0) == []
    assert (settling.n_moving, settling.next_due_s()) == (0, None)  # it holds up no end, and nothing is due
    assert settling.cut(0.5) == [(Path("a"), False)]
    assert settling.cut(-1.0) == []
    assert ready(settling, [file("a", 5)], 9_999.0) == []  # for as long as it takes
    whole["a"] = True
    ready(settling, [file("a", 9)], 10_000.0)
    assert ready(settling, [file("a", 9)], 10_001.0) == ["a"]
    assert settling.cut(float("inf")) == []


def test_a_size_that_the_folder_tells_of_late_counts_as_growing(tmp_path: Path):
    (tmp_path / "a.wav").write_bytes(b"xxx")
    status = (tmp_path / "a.wav").stat()
    for size, mtime_ns, grows in ((3, status.st_mtime_ns, False), (2, status.st_mtime_ns, True), (3, 1, True)):
        audio = AudioFile(tmp_path / "a.wav", None, size, mtime_ns)  # as an old look had it
        assert _grows(audio, lambda path: False) is grows
    assert not _grows(AudioFile(tmp_path / "gone.wav"), lambda path: True)  # whoever loads it says what is wrong


def test_a_container_that_tells_of_more_is_asked_once_a_state(tmp_path: Path):
    (tmp_path / "a.wav").write_bytes(b"xxx")
    looks = []
    source, stop = started([tmp_path], WatchOptions(settle_s=0.0, rescan_s=0.05),
                           is_cut=lambda path: len(looks.append(path) or looks) < 2)  # fmt: skip
    threading.Timer(0.3, lambda: (tmp_path / "a.wav").write_bytes(b"xxxxxx")).start()
    assert next(source).size == 6
    stop.set()
    assert list(source) == []
    assert looks == [tmp_path / "a.wav"] * 2  # once a state, not at every look


def test_a_file_that_ends_before_its_end_is_told_after_a_while_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "a.wav").write_bytes(b"xxx")
    monkeypatch.setattr("whisperbatch.sources.drop_folder.PATIENCE_S", 0.1)
    told: list[str] = []
    options = WatchOptions(settle_s=0.0, until_idle_s=0.6, rescan_s=0.1)
    source = watch([tmp_path], options, threading.Event(), on_notice=lambda text, path: told.append(text),
                   is_cut=lambda path: True)  # fmt: skip
    assert list(source) == []
    assert ["waiting for the rest" in text for text in told] == [True, False]
    assert "; skipped" in told[1]


@pytest.mark.parametrize(
    "name",
    "a.wav.part a.part.wav a.wav.tmp a.tmp.wav a.temp.m4a a.wav.crdownload .a.wav .a.wav.Xy12Zz ~a.wav #a.wav# a.wav~ "
    ".a.wav.swp ._a.wav a.wav.filepart a.wav.download/a.wav .~tmp~/a.wav moved/a.wav .git/a.wav".split(),
)
def test_what_is_under_way_never_counts(tmp_path: Path, name: str):
    for one in (name, "b.wav", "sub/moved.wav", "a.part1.wav", "v1.5.wav"):
        (tmp_path / one).parent.mkdir(exist_ok=True)
        (tmp_path / one).write_bytes(b"x")
    scanner = _FolderScanner([tmp_path], None, [tmp_path / "moved"])
    found = {audio.path.relative_to(tmp_path).as_posix() for audio in scanner.scan()}
    assert found == {"b.wav", "sub/moved.wav", "a.part1.wav", "v1.5.wav"}


def started(places: list[Path], options: WatchOptions, **more: object) -> tuple[Iterator[AudioFile], threading.Event]:
    """A watch that a timer ends, so that a source that misses something fails its test and does not hang."""
    stop = threading.Event()
    late = threading.Timer(30.0, stop.set)
    late.daemon = True
    late.start()
    return watch(places, options, stop, **more), stop


RARELY = WatchOptions(settle_s=0.1, rescan_s=10_000.0)  # what is found is found by events


def test_a_folder_that_is_made_anew_is_listened_to_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(change_events, "SAME_S", 0.2)
    place = tmp_path / "drop"
    place.mkdir()
    (place / "a.wav").write_bytes(b"x")
    source, stop = started([place], RARELY)
    assert next(source).path.name == "a.wav"
    shutil.rmtree(place)

    def bring_back() -> None:
        place.mkdir()
        threading.Event().wait(3.0)  # what comes now is heard of only by who listens to the new folder
        (place / "b.wav").write_bytes(b"x")

    threading.Timer(0.8, bring_back).start()
    assert [audio.path.name for audio in itertools.islice(source, 1)] == ["b.wav"]
    stop.set()
    assert list(source) == []


def test_new_folders_renames_and_replaced_content_are_told_of(tmp_path: Path):
    outside = tmp_path / "outside"
    place = tmp_path / "drop"
    outside.mkdir()
    place.mkdir()
    source, stop = started([place], RARELY)

    def after(act: object) -> str:
        timer = threading.Timer(0.5, act)
        timer.start()
        (audio,) = itertools.islice(source, 1)
        timer.join()
        return audio.path.relative_to(place).as_posix()

    def new_folders() -> None:
        (place / "new" / "deep").mkdir(parents=True)
        (place / "new" / "deep" / "a.wav").write_bytes(b"x")

    assert after(new_folders) == "new/deep/a.wav"
    (place / "half.part").write_bytes(b"x")
    assert after(lambda: (place / "half.part").rename(place / "half.wav")) == "half.wav"
    (outside / "c.wav").write_bytes(b"x")
    assert after(lambda: (outside / "c.wav").rename(place / "c.wav")) == "c.wav"
    (outside / "folder").mkdir()
    (outside / "folder" / "d.wav").write_bytes(b"x")
    assert after(lambda: (outside / "folder").rename(place / "folder")) == "folder/d.wav"
    (outside / "e.wav").write_bytes(b"other")
    assert after(lambda: (outside / "e.wav").replace(place / "c.wav")) == "c.wav"
    assert after(lambda: (place / "half.wav").write_bytes(b"longer")) == "half.wav"
    assert after(lambda: (place / "c.wav").unlink() or (place / "f.wav").write_bytes(b"x")) == "f.wav"
    assert after(lambda: (place / "c.wav").write_bytes(b"other")) == "c.wav"  # it is new again
    stop.set()
    assert list(source) == []


def test_polling_asks_the_system_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import watchfiles

    monkeypatch.setattr(watchfiles, "watch", None)
    monkeypatch.setattr(change_events, "POLL_S", 0.3)
    source, stop = started([tmp_path], WatchOptions(settle_s=0.1, rescan_s=10_000.0, poll=True))
    threading.Timer(0.5, lambda: (tmp_path / "a.wav").write_bytes(b"x")).start()
    assert [audio.path.name for audio in itertools.islice(source, 1)] == ["a.wav"]
    stop.set()
    assert list(source) == []


def test_an_empty_place_of_another_file_system_forgets_nothing_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    told: list[str] = []
    scanner = _FolderScanner([tmp_path], lambda text, path: told.append(text))
    (tmp_path / "a.wav").write_bytes(b"x")
    scanner.scan()
    assert scanner.is_whole
    real = Path.stat
    here = tmp_path.stat()
    monkeypatch.setattr(Path, "stat", lambda self, **more: os.stat_result(
        (*here[:2], here.st_dev + 1, *here[3:])) if self == tmp_path else real(self, **more))  # fmt: skip
    scanner.scan()
    scanner.scan()
    assert not scanner.is_whole
    monkeypatch.undo()
    scanner.scan()
    assert scanner.is_whole
    assert [text.partition(";")[0] for text in told] == [
        "this folder is now on another file system",
        "this folder is back",
    ]


def test_a_file_tells_that_it_will_come_again(tmp_path: Path):
    (tmp_path / "a.wav").write_bytes(b"x")
    (audio,) = watch([tmp_path], WatchOptions(settle_s=0.0, until_idle_s=0.3), threading.Event())
    assert audio.is_watched


def test_a_file_that_nobody_may_read_yet_is_looked_at_again():
    closed, asked = {Path("a")}, []
    settling = SettleTracker(1.0, lambda audio: asked.append(audio.path) or False, lambda audio: audio.path in closed)
    files = [AudioFile(Path("a"), None, 5, 1), AudioFile(Path("b"), None, 5, 1)]
    assert settling.look(files, 0.0) == []
    assert [audio.path.name for audio in settling.look(files, 1.0)] == ["b"]
    assert (settling.n_moving, settling.next_due_s()) == (0, None)  # a run that waits for quiet may end
    assert settling.cut(float("inf")) == [(Path("a"), True)]
    assert settling.look(files, 2.0) == []
    closed.clear()  # its size and mtime are what they were
    assert [audio.path.name for audio in settling.look(files, 3.0)] == ["a"]
    assert asked == [Path("b"), Path("a")]


@pytest.mark.parametrize(("name", "is_taken"), [("#1 intro.wav", True), ("C#.wav", True), ("#talk.wav#", False)])
def test_a_number_sign_is_an_ordinary_character(tmp_path: Path, name: str, is_taken: bool):
    (tmp_path / "C#").mkdir()
    for place in (tmp_path / name, tmp_path / "C#" / name):
        place.write_bytes(b"RIFF")
    found = watch([tmp_path], WatchOptions(settle_s=0.0, until_idle_s=0.1), threading.Event())
    assert len(list(found)) == (2 if is_taken else 0)


@pytest.mark.parametrize("way", ["drop folder", "folder in it"])
def test_a_folder_that_is_left_out_is_left_out_by_all_its_names(tmp_path: Path, way: str):
    real, link = tmp_path / "real", tmp_path / "link"
    (real / "done").mkdir(parents=True)
    link.symlink_to(real)
    for place in (real / "a.wav", real / "done" / "b.wav"):
        place.write_bytes(b"RIFF")
    if way == "folder in it":
        (real / "done").rename(tmp_path / "done")
        (real / "done").symlink_to(tmp_path / "done")
    watched, left_out = (link, real / "done") if way == "drop folder" else (real, tmp_path / "done")
    options = WatchOptions(settle_s=0.0, until_idle_s=0.1, leave_out=(left_out,))
    assert [audio.path.name for audio in watch([watched], options, threading.Event())] == ["a.wav"]
