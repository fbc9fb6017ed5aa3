"""The load process: clips through the pipe, and what happens when it, its file or its parent comes to grief."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import wave
from pathlib import Path

import numpy as np
import pytest

from whisperbatch.audio.pool import LoadWorker
from whisperbatch.errors import LoadError
from whisperbatch.records import Clip, ClipSettings, FileLoaded

SETTINGS = ClipSettings(language="de")


def write_wav(path: Path, samples: np.ndarray) -> Path:
    with path.open("wb") as file, wave.open(file, "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes(samples.astype(np.int16).tobytes())
    return path


@pytest.fixture
def long_wav(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "long.wav", np.random.default_rng(0).integers(-3000, 3000, 16_000 * 100))


def test_clips_and_the_last_word(long_wav: Path):
    with LoadWorker() as worker:
        *clips, last = worker.load(7, long_wav, SETTINGS)
    assert all(isinstance(clip, Clip) for clip in clips)
    assert [(clip.file_id, clip.index, clip.settings) for clip in clips] == [
        (7, i, SETTINGS) for i in range(len(clips))
    ]
    with wave.open(str(long_wav)) as whole:
        expected = np.frombuffer(whole.readframes(-1), np.int16)
    assert np.array_equal(np.concatenate([clip.samples for clip in clips]), expected)
    assert [clip.start_s for clip in clips] == pytest.approx(
        np.cumsum([0, *(clip.duration_s for clip in clips)])[:-1].tolist()
    )
    assert last == FileLoaded(7, len(clips), 100.0, None)


def test_one_bad_file_costs_only_itself(tmp_path: Path, long_wav: Path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"nothing")
    with LoadWorker() as worker:
        with pytest.raises(LoadError, match="not audio") as caught:
            list(worker.load(0, bad, SETTINGS))
        assert caught.value.path == bad
        assert isinstance(list(worker.load(1, long_wav, SETTINGS))[-1], FileLoaded)


def test_a_crash_is_told_and_the_next_file_loads(long_wav: Path):
    with LoadWorker() as worker:
        loading = worker.load(0, long_wav, SETTINGS)
        next(loading)
        os.kill(worker._process.pid, signal.SIGSEGV)
        with pytest.raises(LoadError, match=r"crashed on this file \(SIGSEGV\)"):
            list(loading)
        assert isinstance(list(worker.load(1, long_wav, SETTINGS))[-1], FileLoaded)


def test_a_hanging_decoder_is_stopped(long_wav: Path):
    with LoadWorker(timeout_s=0.5) as worker:
        worker.warm()
        os.kill(worker._process.pid, signal.SIGSTOP)
        with pytest.raises(LoadError, match="hung"):
            list(worker.load(0, long_wav, SETTINGS))


def test_giving_a_file_up_leaves_the_worker_of_use(long_wav: Path):
    with LoadWorker() as worker:
        loading = worker.load(0, long_wav, SETTINGS)
        next(loading)
        loading.close()
        assert isinstance(list(worker.load(1, long_wav, SETTINGS))[-1], FileLoaded)


def test_close_from_another_thread_ends_a_load(long_wav: Path):
    worker = LoadWorker()
    loading = worker.load(0, long_wav, SETTINGS)
    next(loading)
    os.kill(worker._process.pid, signal.SIGSTOP)
    threading.Timer(0.3, worker.close).start()
    with pytest.raises(LoadError, match="ended"):
        list(loading)
    with pytest.raises(LoadError, match="ended"):
        list(worker.load(1, long_wav, SETTINGS))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts files through /proc")
def test_no_file_or_process_is_leaked(tmp_path: Path, long_wav: Path):
    def n_open() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = n_open()
    for _ in range(5):
        with LoadWorker() as worker:
            next(loading := worker.load(0, long_wav, SETTINGS))
            loading.close()
            list(worker.load(1, long_wav, SETTINGS))
    assert n_open() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("state", ["idle", "in a file"])
def test_the_death_of_the_parent_ends_the_worker(tmp_path: Path, long_wav: Path, state: str):
    script = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from whisperbatch.audio.pool import LoadWorker
        from whisperbatch.records import ClipSettings
        worker = LoadWorker()
        loading = worker.load(0, Path({str(long_wav)!r}), ClipSettings())
        next(loading) if {state!r} != "idle" else list(loading)
        print(worker._process.pid, flush=True)
        sys.stdin.read()
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdin is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    parent.stdin.close()
    deadline = threading.Event()
    for _ in range(300):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            return
        deadline.wait(0.1)
    pytest.fail("the worker outlived its parent")


def test_it_never_imports_torch_and_ignores_the_current_folder(tmp_path: Path, long_wav: Path):
    (tmp_path / "numpy.py").write_text("raise SystemExit('shadowed')")
    script = f"""
import os; os.chdir({str(tmp_path)!r})
from pathlib import Path
from whisperbatch.audio.pool import LoadWorker
from whisperbatch.records import ClipSettings
print(len(list(LoadWorker().load(0, Path({str(long_wav)!r}), ClipSettings()))))
"""
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    code = "import sys, whisperbatch.audio.worker; sys.exit('torch' in sys.modules or 'librosa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
