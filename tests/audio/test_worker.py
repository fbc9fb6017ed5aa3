"""The load process: clips through the pipe, and what happens when it, its file or its parent comes to grief."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sounds import write_wav
from whisperbatch import processes
from whisperbatch.audio import worker, worker_client
from whisperbatch.audio.worker_client import LoadWorker
from whisperbatch.errors import LoadError, WorkerDiedError, WorkerStartError
from whisperbatch.options import LoadOptions, SpeechOptions
from whisperbatch.pipeline.retry_policy import lasts, may_pass
from whisperbatch.records import Clip, ClipSettings, FileLoaded

SETTINGS = ClipSettings(language="de")
NO_VAD = SpeechOptions(vad=False)  # most recordings here are noise


@pytest.fixture
def long_wav(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "long.wav", np.random.default_rng(0).integers(-3000, 3000, 16_000 * 100))


def test_clips_and_the_last_word(long_wav: Path):
    with LoadWorker(speech=NO_VAD) as worker:
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
    with LoadWorker(speech=NO_VAD) as worker:
        with pytest.raises(LoadError, match="not a readable audio") as caught:
            list(worker.load(0, bad, SETTINGS))
        assert caught.value.path == bad
        assert isinstance(list(worker.load(1, long_wav, SETTINGS))[-1], FileLoaded)


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="Windows has no niceness")
def test_the_engine_has_precedence(long_wav: Path):
    with LoadWorker(speech=NO_VAD) as loader:
        list(loader.load(0, long_wav, SETTINGS))
        niceness = os.getpriority(os.PRIO_PROCESS, loader._process.pid)
    assert niceness == min(19, os.getpriority(os.PRIO_PROCESS, 0) + worker.NICENESS)


def test_a_crash_is_told_and_the_next_file_loads(long_wav: Path):
    with LoadWorker(speech=NO_VAD) as worker:
        loading = worker.load(0, long_wav, SETTINGS)
        next(loading)
        os.kill(worker._process.pid, signal.SIGSEGV)
        with pytest.raises(LoadError, match=r"crashed on this file \(signal 11, SIGSEGV\)"):
            list(loading)
        assert isinstance(list(worker.load(1, long_wav, SETTINGS))[-1], FileLoaded)


def test_a_hanging_decoder_is_stopped(long_wav: Path):
    with LoadWorker(speech=NO_VAD) as worker:
        list(worker.load(0, long_wav, SETTINGS))
        os.kill(worker._process.pid, signal.SIGSTOP)
        worker._timeout_s = 0.5
        with pytest.raises(WorkerDiedError, match="hung on this file"):
            list(worker.load(1, long_wav, SETTINGS))


def test_a_process_that_is_slow_to_start_is_not_the_files_fault(long_wav: Path):
    with LoadWorker(timeout_s=0.5) as worker:
        worker.warm()
        os.kill(worker._process.pid, signal.SIGSTOP)
        with pytest.raises(WorkerStartError, match="did not start within"):
            list(worker.load(0, long_wav, SETTINGS))


def test_giving_a_file_up_leaves_the_worker_of_use(long_wav: Path):
    with LoadWorker(speech=NO_VAD) as worker:
        loading = worker.load(0, long_wav, SETTINGS)
        next(loading)
        loading.close()
        assert isinstance(list(worker.load(1, long_wav, SETTINGS))[-1], FileLoaded)


def test_close_from_another_thread_ends_a_load(long_wav: Path):
    worker = LoadWorker(speech=NO_VAD)
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
    for _ in range(15):  # two processes each
        with LoadWorker(speech=NO_VAD) as worker:
            next(loading := worker.load(0, long_wav, SETTINGS))
            loading.close()
            list(worker.load(1, long_wav, SETTINGS))
    assert n_open() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def started_with(code: str) -> str:
    """What a load process runs, with ``code`` put in before its main."""
    head, main, tail = processes.START.rpartition("import_module(")
    return head + textwrap.dedent(code) + main + tail


def with_blocks(body: str) -> str:
    """The same, with another ``Reader.blocks``; ``body`` is indented by four."""
    return started_with(
        "import numpy, os, threading\nfrom whisperbatch.audio import decode, worker\nold = decode.Reader.blocks\n"
        f"def blocks(self):\n{body}\ndecode.Reader.blocks = blocks\n"
    )


def is_gone(pid: int) -> bool:
    """Whether the process ended, within half a minute."""
    waiting = threading.Event()
    for _ in range(300):
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        if not state.stdout.strip() or state.stdout.startswith("Z"):
            return True
        waiting.wait(0.1)
    return False


@pytest.mark.skipif(shutil.which("ps") is None, reason="looks for processes with ps")
@pytest.mark.parametrize("state", ["idle", "in a file", "busy"])
def test_the_death_of_the_parent_ends_the_worker(long_wav: Path, state: str):
    """Idle; blocked in a full pipe; decoding something that gives no clips."""
    busy = with_blocks("    yield from old(self)\n    while True: pass\n    yield")
    script = f"""
import sys
from pathlib import Path
from whisperbatch import processes
from whisperbatch.audio import worker_client
from whisperbatch.options import SpeechOptions
from whisperbatch.records import ClipSettings
if {state!r} == "busy":
    processes.START = {busy!r}
worker = worker_client.LoadWorker(speech=SpeechOptions(vad=False))
loading = worker.load(0, Path({str(long_wav)!r}), ClipSettings("de"))
list(loading) if {state!r} == "idle" else next(loading)
if {state!r} == "busy":
    [next(loading) for _ in range(2)]
print(worker._process.pid, flush=True)
sys.stdin.read()
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdin is not None
    pid = int(parent.stdout.readline())
    assert os.getsid(pid) == pid  # a Ctrl-C in the terminal does not reach it
    parent.kill()
    parent.wait()
    parent.stdout.close()
    parent.stdin.close()
    assert is_gone(pid)


def test_a_worker_that_died_between_two_files_is_replaced(long_wav: Path):
    with LoadWorker(speech=NO_VAD) as worker:
        list(worker.load(0, long_wav, SETTINGS))
        os.kill(worker._process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, worker._process.pid, os.WEXITED | os.WNOWAIT)
        assert isinstance(list(worker.load(1, long_wav, SETTINGS))[-1], FileLoaded)


@pytest.mark.parametrize(
    ("start", "why"),
    [
        ("raise SystemExit(3)", r"exit code 3"),
        (started_with("sys.modules['av'] = None\n"), r"ModuleNotFoundError: import of av halted; None in sys.modules"),
    ],
)
def test_a_process_that_cannot_start_is_not_blamed_on_the_file(
    long_wav: Path, monkeypatch: pytest.MonkeyPatch, start: str, why: str
):
    monkeypatch.setattr(processes, "START", start)
    with LoadWorker(speech=NO_VAD) as worker:
        worker.warm()
        for _ in range(2):
            with pytest.raises(LoadError, match=rf"the load process cannot start \({why}\)"):
                list(worker.load(0, long_wav, SETTINGS))
        monkeypatch.undo()
        assert isinstance(list(worker.load(1, long_wav, SETTINGS))[-1], FileLoaded)


def test_an_interpreter_that_is_not_there_is_told(long_wav: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with LoadWorker(speech=NO_VAD) as worker:
        worker.warm()
        with pytest.raises(LoadError, match=r"cannot start \(No such file"):
            list(worker.load(0, long_wav, SETTINGS))


def test_what_a_library_prints_or_reads_does_no_harm(long_wav: Path, monkeypatch: pytest.MonkeyPatch):
    noisy = "    os.write(1, b'noise'); print('noise'); assert sys.stdin.read() == ''\n    yield from old(self)"
    monkeypatch.setattr(processes, "START", with_blocks(noisy))
    with LoadWorker(speech=NO_VAD) as worker:
        for i in range(2):
            assert list(worker.load(i, long_wav, SETTINGS))[-1] == FileLoaded(i, 5, 100.0, None)


def test_slow_is_not_hung(long_wav: Path, monkeypatch: pytest.MonkeyPatch):
    slow = (
        "    for _ in range(15):\n        threading.Event().wait(0.2)\n        self.n_samples += 1600\n"
        "        yield numpy.ones(1600, numpy.int16)"
    )
    monkeypatch.setattr(processes, "START", with_blocks("    worker.ALIVE_S = 0.1\n" + slow))
    with LoadWorker(speech=NO_VAD) as worker:
        list(worker.load(0, long_wav, SETTINGS))  # its start may take long
        worker._timeout_s = 2.0
        assert list(worker.load(1, long_wav, SETTINGS))[-1] == FileLoaded(1, 1, 1.5, None)


def test_what_nobody_foresaw_costs_one_file(long_wav: Path, monkeypatch: pytest.MonkeyPatch):
    odd = "    if 'odd' in self.path.name: raise RuntimeError('first\\nsecond')\n    yield from old(self)"
    monkeypatch.setattr(processes, "START", with_blocks(odd))
    with LoadWorker(speech=NO_VAD) as worker:
        with pytest.raises(LoadError) as caught:
            list(worker.load(0, long_wav.with_name("odd.wav"), SETTINGS))
        assert caught.value.message == "cannot be read (RuntimeError: first)"
        pid = worker._process.pid
        assert isinstance(list(worker.load(1, long_wav, SETTINGS))[-1], FileLoaded)
        assert worker._process.pid == pid


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
def test_memory_that_a_file_makes_a_decoder_ask_for_has_a_limit(
    tmp_path: Path, long_wav: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "zeros.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    with path.open("r+b") as file:  # FFmpeg's parser gathers zeros until it finds a frame
        file.truncate(800 << 20)
    code = "from whisperbatch.audio import worker\nworker.MAX_MEMORY = 3 << 27\n"
    monkeypatch.setattr(processes, "START", started_with(code))
    with LoadWorker(speech=NO_VAD) as worker:
        try:
            list(worker.load(0, path, SETTINGS))
        except LoadError as err:
            assert "memory" in err.message or "crashed" in err.message
            worker.warm()
        status = Path(f"/proc/{worker._process.pid}/status").read_text()
        assert int(status.split("VmHWM:")[1].split()[0]) < 500_000
        assert isinstance(list(worker.load(1, long_wav, SETTINGS))[-1], FileLoaded)


def test_damage_comes_with_the_last_word(tmp_path: Path, long_wav: Path):
    with long_wav.open("r+b") as file:
        file.truncate(44 + 2 * 16_000 * 40)
    with LoadWorker(speech=NO_VAD) as worker:
        *_, last = worker.load(0, long_wav, SETTINGS)
    assert last == FileLoaded(0, 2, 40.0, "damaged: it breaks off after 40.0 of 100.0 s")


def test_a_file_without_samples_gives_no_clips(tmp_path: Path):
    with LoadWorker(speech=NO_VAD) as worker:
        path = write_wav(tmp_path / "x.wav", np.zeros(0))
        assert list(worker.load(0, path, SETTINGS)) == [FileLoaded(0, 0, 0.0, None)]


@pytest.mark.parametrize("name", [b"\xff\xfe \n.wav", b"-x.wav", b"http:x.wav"])
def test_odd_and_relative_names_mean_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes):
    """Relative to where the caller is now, not to where the process started."""
    here = Path(os.fsdecode(name))
    with LoadWorker(speech=NO_VAD) as worker:
        worker.warm()
        (tmp_path / "a").mkdir()
        monkeypatch.chdir(tmp_path / "a")
        try:
            write_wav(here, np.ones(1600))
        except OSError:
            pytest.skip("such a name cannot be here")
        assert list(worker.load(0, here, SETTINGS))[-1] == FileLoaded(0, 1, 0.1, None)
        with pytest.raises(LoadError, match="does not exist") as caught:
            list(worker.load(0, Path("gone.wav"), SETTINGS))
        assert caught.value.path == Path("gone.wav")


def test_warm_and_close_may_come_in_any_order_from_any_thread(long_wav: Path):
    worker = LoadWorker(speech=NO_VAD)
    worker.close()
    worker.warm()
    assert worker._process is None
    for _ in range(10):
        worker = LoadWorker(speech=NO_VAD)
        worker.warm()
        loading = worker.load(0, long_wav, SETTINGS)
        next(loading)
        worker.warm()
        process = worker._process
        os.kill(process.pid, signal.SIGSTOP)  # or all of it might come before the first of them
        closers = [threading.Thread(target=worker.close) for _ in range(3)]
        for thread in closers:
            thread.start()
        with pytest.raises(LoadError, match="ended"):
            list(loading)
        for thread in closers:
            thread.join()
        assert process.returncode is not None
        assert process.stdin.closed
        assert process.stdout.closed


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
def test_a_slow_reader_holds_the_worker_back(tmp_path: Path):
    """The pipe is the only buffer: an hour that is not taken is not decoded ahead."""
    path, second = tmp_path / "hour.wav", np.random.default_rng(0).integers(-3000, 3000, 16_000).astype(np.int16)
    with path.open("wb") as file, wave.open(file, "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        for _ in range(3600):
            out.writeframes(second.tobytes())
    with LoadWorker(speech=NO_VAD) as worker:
        loading = worker.load(0, path, SETTINGS)
        next(loading)
        threading.Event().wait(2.0)
        status = Path(f"/proc/{worker._process.pid}/status").read_text()
        peak_kb = int(status.split("VmHWM:")[1].split()[0])
        n_seconds = sum(item.duration_s for item in loading if isinstance(item, Clip))
    assert peak_kb < 120_000  # the hour alone has 115 MB, the libraries 55
    assert 3500 < n_seconds < 3600


def test_a_script_needs_no_guard(tmp_path: Path, long_wav: Path):
    script = tmp_path / "script.py"
    script.write_text(
        f"""
from pathlib import Path
from whisperbatch.audio.worker_client import LoadWorker
from whisperbatch.options import SpeechOptions
from whisperbatch.records import ClipSettings
print("once")
with LoadWorker(speech=SpeechOptions(vad=False)) as worker:
    print(len(list(worker.load(0, Path({str(long_wav)!r}), ClipSettings()))))
"""
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("once\n6\n", "")


def test_the_worker_is_the_parents_and_nothing_beside_it_shadows_a_library(tmp_path: Path, long_wav: Path):
    package = processes.PACKAGE.parent
    shutil.copytree(package, tmp_path / "whisperbatch", ignore=shutil.ignore_patterns("demo", "__pycache__"))
    load = tmp_path / "whisperbatch" / "audio" / "open_file.py"
    load.write_text(load.read_text(encoding="utf-8").replace("does not exist", "is not there, says the copy"))
    for name in ("json", "queue", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')")
    script = f"""
import json, queue, signal, subprocess, threading, numpy, sys
sys.path.insert(0, {str(tmp_path)!r})
from pathlib import Path
from whisperbatch.audio.worker_client import LoadWorker
from whisperbatch.errors import LoadError
from whisperbatch.options import LoadOptions, SpeechOptions
from whisperbatch.options import SpeechOptions
from whisperbatch.records import ClipSettings
try:
    list(LoadWorker(speech=SpeechOptions(vad=False)).load(0, Path("gone.wav"), ClipSettings()))
except LoadError as err:
    print(err.message)
"""
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "is not there, says the copy\n", done.stderr


def test_it_never_imports_torch_and_ignores_the_current_folder(tmp_path: Path, long_wav: Path):
    (tmp_path / "numpy.py").write_text("raise SystemExit('shadowed')")
    script = f"""
import os; os.chdir({str(tmp_path)!r})
from pathlib import Path
from whisperbatch import processes
from whisperbatch.audio import worker_client
from whisperbatch.audio.worker_client import LoadWorker
from whisperbatch.options import SpeechOptions
from whisperbatch.records import ClipSettings
print(len(list(LoadWorker(speech=SpeechOptions(vad=False)).load(0, Path({str(long_wav)!r}), ClipSettings()))))
"""
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, absent in (
        ("decode", {"torch", "librosa"}),
        ("worker_client", {"torch", "av"}),
    ):  # the parent decodes nothing
        code = f"import sys, whisperbatch.audio.{name}; sys.exit(bool({absent} & set(sys.modules)))"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_lack_of_memory_in_a_load_process_may_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Short:
        def __init__(self, *given: object, **named: object) -> None:
            pass

        def blocks(self) -> Iterator[np.ndarray]:
            raise MemoryError

    path = tmp_path / "talk.wav"
    path.touch()
    monkeypatch.setattr("whisperbatch.audio.decode.Reader", Short)
    out = io.BytesIO()
    worker.serve(worker.LoadRequest(path, ClipSettings(), LoadOptions(), SpeechOptions(vad=False)), out)
    header = json.loads(out.getvalue()[worker.LENGTH.size :])
    error = worker_client._failed(header, path)
    assert may_pass(error, path)
    assert not lasts(error, path)
