"""A process a device: the same outputs, nothing lost and nothing done twice when processes die."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pools import contents, events, fill, names_of, pool_workers, processes, start, talk, wait_until
from sounds import write_wav

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills, and looks at /proc")


def end_of(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, told = process.communicate(timeout=120)
    return process.returncode, told.decode()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 files after a local run."""
    fill(folder := tmp_path_factory.mktemp("local") / "audio", 60)
    code, told = end_of(start(folder))
    assert code == 0, told
    return folder


def first(n_files: int, folder: Path) -> dict[str, bytes]:
    """The outputs of the first files."""
    return {name: data for name, data in contents(folder).items() if int(name[:3]) < n_files}


def assert_done_once(folder: Path, names: list[str]) -> None:
    told = events(folder)
    assert names_of(told, "done") == names
    wait_until(lambda: processes(folder) == {})  # load processes end once they notice that their worker has


def test_two_processes_give_what_one_run_gives(tmp_path: Path, local: Path):
    names = fill(folder := tmp_path / "two" / "audio", 24)
    code, told = end_of(start(folder, "--device", "cpu:2", step_s=0.02))
    assert code == 0, told
    assert contents(folder) == first(24, local)
    assert_done_once(folder, names)
    kinds = {one["event"] for one in events(folder)}
    assert kinds == {one["event"] for one in events(local)}
    assert told.count("done: ") == 24
    assert told.splitlines()[-1].startswith("24 done; ")


def test_two_processes_find_the_speakers_that_one_run_finds_and_add_them_later(tmp_path: Path):
    for name, given in (("one", ()), ("two", ("--device", "cpu:2")), ("later", ("--device", "cpu:2"))):
        talk(folder := tmp_path / name / "audio", 6)
        more = ("--word-timestamps",) if name == "later" else ("--word-timestamps", "--speakers", "--format", "rttm")
        code, told = end_of(start(folder, *given, *more))
        assert code == 0, told
    expected = contents(tmp_path / "one" / "audio")
    assert contents(tmp_path / "two" / "audio") == expected
    assert expected["000.rttm"].count(b"\n") == 2
    (tmp_path / "later" / "events").unlink()
    code, told = end_of(start(folder, "--device", "cpu:2", "--speakers", "--format", "rttm"))
    assert code == 0, told
    assert contents(folder) == expected
    assert names_of(events(folder), "batch") == []  # no text was decoded again


def test_a_second_run_skips_all_and_starts_no_process(tmp_path: Path):
    fill(folder := tmp_path / "audio", 3)
    assert end_of(start(folder, "--device", "cpu:2"))[0] == 0
    process = start(folder, "--device", "cpu:2")
    code, told = end_of(process)
    assert (code, told.count("skipped: ")) == (0, 3)


def test_processes_that_are_killed_are_replaced_and_every_file_is_done_once(tmp_path: Path, local: Path):
    names = fill(folder := tmp_path / "two" / "audio", 60)
    process = start(folder, "--device", "cpu:2", step_s=0.15)
    # what the first one had goes before the others, and is done by the second time: a file that two have is given up
    for n_done in (3, 40):
        wait_until(lambda n_done=n_done: len(names_of(events(folder), "done")) >= n_done)
        os.kill(pool_workers(folder)[0], signal.SIGKILL)
    code, told = end_of(process)
    assert code == 0, told
    assert contents(folder) == first(60, local)
    assert_done_once(folder, names)


def test_a_file_that_kills_two_processes_is_failed_and_the_others_are_done(tmp_path: Path):
    names = fill(folder := tmp_path / "audio", 12, poison=5)
    code, told = end_of(start(folder, "--device", "cpu:2", step_s=0.02))
    assert code == 1, told
    (failed,) = [line for line in told.splitlines() if line.startswith("failed: ")]
    assert "005.wav: the process that transcribed it died (signal 9, SIGKILL), and so did the next one" in failed
    assert_done_once(folder, [name for name in names if name != "005.wav"])
    again = end_of(start(folder, "--device", "cpu:2"))
    assert again[0] == 1
    assert "failed before" in again[1]


def test_without_retries_the_first_death_fails_what_the_process_had(tmp_path: Path):
    fill(folder := tmp_path / "audio", 1, poison=0)
    code, told = end_of(start(folder, "--device", "cpu:2", "--retries", "0"))
    assert code == 1
    assert "000.wav: the process that transcribed it died (signal 9, SIGKILL)\n" in told


def test_a_run_that_is_killed_leaves_no_process_and_is_resumed(tmp_path: Path, local: Path):
    names = fill(folder := tmp_path / "two" / "audio", 30)
    process = start(folder, "--device", "cpu:2", step_s=0.1)
    wait_until(lambda: len(names_of(events(folder), "done")) >= 5)
    process.kill()
    end_of(process)
    wait_until(lambda: processes(folder) == {})
    assert len(names_of(events(folder), "done")) < 30
    code, told = end_of(start(folder, "--device", "cpu:2"))
    assert code == 0, told
    assert contents(folder) == first(30, local)
    done = names_of(events(folder), "done")  # a file may be done without a chance to say so: it is skipped then
    assert sorted({*done, *names_of(events(folder), "skipped")}) == names
    assert len(set(done)) == len(done)
    wait_until(lambda: processes(folder) == {})  # load processes end once they notice that their worker has


def test_the_finished_clips_of_a_long_file_survive_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LONG_S", "60")
    wave = np.random.default_rng(0).integers(-900, 900, 16_000 * 300)
    for name in ("one", "two"):
        write_wav(tmp_path / name / "audio" / "long.wav", wave)
    assert end_of(start(tmp_path / "one" / "audio", "--language", "en"))[0] == 0
    folder = tmp_path / "two" / "audio"
    process = start(folder, "--device", "cpu:2", "--language", "en", step_s=0.3)
    wait_until(lambda: sum(one["event"] == "segment" for one in events(folder)) >= 5)
    process.kill()
    end_of(process)
    (tmp_path / "two" / "events").unlink()
    assert end_of(start(folder, "--device", "cpu:2", "--language", "en"))[0] == 0
    assert contents(folder) == contents(tmp_path / "one" / "audio")
    n_all, n_again = (
        sum(one["n_clips"] for one in events(place) if one["event"] == "batch")
        for place in (tmp_path / "one" / "audio", folder)
    )
    assert 1 <= n_again <= n_all - 3


def test_the_first_interrupt_ends_what_has_begun_and_leaves_no_process(tmp_path: Path):
    fill(folder := tmp_path / "audio", 30)
    process = start(folder, "--device", "cpu:2", step_s=0.2)
    wait_until(lambda: len(names_of(events(folder), "done")) >= 3)
    process.send_signal(signal.SIGINT)
    code, told = end_of(process)
    assert code == 130, told
    done, interrupted = names_of(events(folder), "done"), names_of(events(folder), "interrupted")
    assert len(done) < 30
    assert len(done) + len(interrupted) == 30
    assert {path.name for path in folder.glob("*.txt")} == {name.replace(".wav", ".txt") for name in done}
    wait_until(lambda: processes(folder) == {})  # load processes end once they notice that their worker has


def test_a_drop_folder_is_served_by_several_processes(tmp_path: Path):
    names = fill(folder := tmp_path / "audio", 6)
    more = ["--device", "cpu:2", "--settle", "0.2", "--until-idle", "2"]
    code, told = end_of(start(folder, *more, command="watch"))
    assert code == 0, told
    assert_done_once(folder, names)


def test_a_device_that_is_not_there_is_told_in_one_sentence(tmp_path: Path):
    fill(folder := tmp_path / "audio", 2)
    command = [sys.executable, "-m", "whisperbatch", "transcribe", str(folder), "--model", "demo", "--no-journal"]
    code, told = end_of(subprocess.Popen([*command, "--device", "cuda:7,cuda:8"], stderr=subprocess.PIPE))
    assert code == 2
    assert told.splitlines()[-1].startswith("whisperbatch: --device cuda:")
    assert "needs a CUDA device and torch sees" in told.splitlines()[-1]


def test_copies_are_transcribed_once_by_several_processes_and_what_was_renamed_not_again(tmp_path: Path):
    folder = tmp_path / "audio"
    folder.mkdir()
    sound = np.full(200_000, 5)  # too large for its sample to be all of it
    for index in range(10):
        write_wav(folder / f"{index:03d}.wav", sound)
    write_wav(folder / "other.wav", sound + 1)
    code, told = end_of(start(folder, "--device", "cpu:2", step_s=0.02))
    assert code == 0, told
    told = events(folder)
    one, other = names_of(told, "loaded")  # whichever copy was decided on first
    assert (one in names_of(told, "done")[:10], other) == (True, "other.wav")
    assert all("content" not in one for one in told)
    assert len(names_of(told, "done")) == 11
    (folder / "other.wav").rename(folder / "renamed.wav")
    (tmp_path / "events").unlink()
    code, told = end_of(start(folder, "--device", "cpu:2"))
    assert code == 0, told
    assert names_of(events(folder), "done") == ["renamed.wav"]
    assert names_of(events(folder), "loaded") == []  # the digest came from the process that had loaded it
