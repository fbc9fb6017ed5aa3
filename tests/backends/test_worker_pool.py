"""Worker pools with scripted workers, and workers in threads: assigning files, replacing workers, giving them up."""

import io
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pools import fill, options, wait_until
from sounds import write_wav
from whisperbatch.backends import local, open_backend, process_workers
from whisperbatch.backends.messages import (
    Drain,
    Flush,
    FolderNotVisible,
    FromWorker,
    Over,
    PoolWorkerDiedError,
    Ready,
    ToWorker,
)
from whisperbatch.backends.remote import RemoteBackend
from whisperbatch.backends.worker import Worker
from whisperbatch.backends.worker_pool import MAX_FAILED_STARTS, WorkerPool
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.errors import LoadError, ModelError, RunError, UsageError, WorkerDiedError, WriteError
from whisperbatch.options import EngineOptions
from whisperbatch.pipeline import FileEnded, FileTask, WorkerEvent, WorkerLost
from whisperbatch.pipeline.open_files import Job
from whisperbatch.pipeline.remote_stages import LookAhead
from whisperbatch.pipeline.retry_policy import may_pass
from whisperbatch.records import AudioFile, Outcome, Status
from whisperbatch.sources import from_paths
from whisperbatch.transcripts import Assembly


class Scripted:
    """A worker that sends what the test puts into ``tells``, and keeps what it receives."""

    def __init__(self) -> None:
        self.tells: queue.SimpleQueue[FromWorker | Exception] = queue.SimpleQueue()
        self.sent: list[ToWorker] = []

    def send(self, message: ToWorker) -> None:
        self.sent.append(message)

    def messages(self) -> Iterator[FromWorker]:
        while True:
            told = self.tells.get()
            if isinstance(told, Exception):
                raise told
            yield told
            if isinstance(told, Over):
                return

    def kill(self) -> None:
        self.tells.put(PoolWorkerDiedError("killed"))

    @property
    def numbers(self) -> list[int]:
        return [message.number for message in self.sent if isinstance(message, FileTask)]


class Scene:
    """A pool of scripted workers, all handles it ever had, and the messages it yielded."""

    def __init__(self, n_workers: int) -> None:
        self.handles: list[Scripted] = []
        self.received: list[object] = []
        self.pool = WorkerPool(self._start_worker, [f"worker {index}" for index in range(n_workers)])
        self.pool.open()
        self.error: Exception | None = None
        self.listen()
        self.pool.warm()
        wait_until(lambda: all(worker.handle is not None for worker in self.pool._workers))
        self.handles = [worker.handle for worker in self.pool._workers]  # their threads start_worker in any task

    def _start_worker(self, name: str) -> Scripted:
        self.handles.append(Scripted())
        return self.handles[-1]

    def listen(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        try:
            for one in self.pool.messages():
                self.received.append(one)
        except (RunError, ModelError) as err:
            self.error = err

    def submit(self, number: int, *, is_exclusive: bool = False) -> threading.Thread:
        thread = threading.Thread(target=self.pool.submit, args=(task(number, is_exclusive=is_exclusive),), daemon=True)
        thread.start()
        return thread


def task(number: int, *, is_exclusive: bool = False) -> FileTask:
    return FileTask(number, AudioFile(Path(f"/{number}.wav")), is_exclusive)


def ended(number: int) -> FileEnded:
    return FileEnded(number, Outcome(Path(f"/{number}.wav"), Status.DONE))


@pytest.fixture
def pair() -> Iterator[Scene]:
    scene = Scene(2)
    yield scene
    scene.pool.close()


def test_a_file_waits_for_a_worker_that_is_ready_and_goes_to_the_one_with_the_fewest(pair: Scene):
    one, two = pair.handles
    waiting = pair.submit(0)
    waiting.join(0.1)
    assert waiting.is_alive()
    one.tells.put(Ready())
    waiting.join(10)
    wait_until(lambda: one.numbers == [0])
    for worker in (one, two):
        worker.tells.put(Ready())
    wait_until(lambda: all(worker.is_ready for worker in pair.pool._workers))
    pair.submit(1).join(10)
    assert (one.numbers, two.numbers) == ([0], [1])


def test_what_a_dead_worker_had_is_reported_as_lost_and_the_worker_is_replaced(pair: Scene):
    one, two = pair.handles
    for number in (0, 1):
        one.tells.put(Ready())
        pair.submit(number).join(10)
    one.tells.put(ended(0))
    one.tells.put(PoolWorkerDiedError("signal 9"))
    wait_until(lambda: len(pair.handles) == 3)
    wait_until(lambda: len(pair.received) == 2)
    assert pair.received == [ended(0), WorkerLost(1, "signal 9")]
    pair.handles[2].tells.put(Ready())
    pair.submit(2).join(10)
    assert (pair.handles[2].numbers, two.numbers) == ([2], [])


def test_a_file_that_is_exclusive_waits_until_a_worker_has_nothing_else_and_then_gets_no_company(pair: Scene):
    one, two = pair.handles
    for number, worker in ((0, one), (1, two), (2, two)):
        worker.tells.put(Ready())
        pair.submit(number).join(10)
    alone = pair.submit(3, is_exclusive=True)
    one.tells.put(Ready())  # it has the fewest, so it is kept free, and told to finish what it has
    wait_until(lambda: any(isinstance(message, Flush) for message in one.sent))
    other = pair.submit(4)
    other.join(0.1)
    assert other.is_alive()  # though one wants a file
    assert alone.is_alive()
    one.tells.put(ended(0))
    one.tells.put(Ready())
    alone.join(10)
    assert one.numbers == [0, 3]
    one.tells.put(Ready())
    other.join(0.1)
    assert other.is_alive()
    one.tells.put(ended(3))
    other.join(10)
    assert one.numbers == [0, 3, 4]


def test_a_file_that_is_exclusive_does_not_wait_for_a_worker_that_has_no_node_yet(pair: Scene):
    two = pair.handles[1]
    alone = pair.submit(0, is_exclusive=True)
    two.tells.put(Ready())
    alone.join(10)
    assert two.numbers == [0]


def test_when_nothing_waits_workers_are_flushed_once(pair: Scene):
    one, two = pair.handles
    one.tells.put(Ready())
    pair.submit(0).join(10)
    one.tells.put(Ready())
    two.tells.put(Ready())
    wait_until(lambda: all(worker.is_ready for worker in pair.pool._workers))
    pair.pool.flush()
    assert [type(message) for message in one.sent[-1:]] == [Flush]
    assert not any(isinstance(message, Flush) for message in two.sent)  # it has had nothing
    one.tells.put(ended(0))
    one.tells.put(Ready())  # it asks again when it has finished
    wait_until(lambda: all(worker.is_ready for worker in pair.pool._workers))
    assert sum(isinstance(message, Flush) for message in one.sent) == 1


def test_a_worker_that_never_starts_is_given_up_and_the_last_one_ends_the_run():
    scene = Scene(1)
    for index in range(MAX_FAILED_STARTS):
        wait_until(lambda index=index: len(scene.handles) == index + 1)
        scene.handles[-1].tells.put(PoolWorkerDiedError("exit code 1, no such library"))
    wait_until(lambda: scene.error is not None)
    assert str(scene.error) == "nothing can be transcribed: exit code 1, no such library"


def test_a_worker_that_cannot_see_a_folder_is_given_up_and_its_file_is_not_to_blame(pair: Scene):
    one, two = pair.handles
    one.tells.put(Ready())
    pair.submit(0).join(10)
    one.tells.put(FolderNotVisible(Path("/share")))
    wait_until(lambda: len(pair.received) == 2)
    why = "worker 0 cannot see /share; mount it there at the same path"
    assert pair.received[0] == WorkerLost(0, why, is_to_blame=False)
    assert isinstance(pair.received[1], WorkerEvent)
    assert pair.received[1].data["text"] == f"giving up on worker 0: {why}"
    two.tells.put(Ready())
    pair.submit(0).join(10)
    assert two.numbers == [0]
    assert len(pair.handles) == 2


def test_a_drained_pool_takes_nothing_and_replaces_nobody(pair: Scene):
    waiting = pair.submit(0)
    pair.pool.drain()
    waiting.join(10)
    assert not waiting.is_alive()
    assert all(isinstance(worker.sent[-1], Drain) for worker in pair.handles)
    pair.handles[0].tells.put(Over())
    wait_until(lambda: pair.pool._workers[0].thread is None)
    assert len(pair.handles) == 2


def job(number: int, size: int, n_deaths: int = 0) -> Job:
    audio = AudioFile(Path(f"/{number}.wav"), size=size)
    made = Job(number, audio, Assembly(audio))
    made.n_deaths = n_deaths
    return made


def test_the_longest_goes_first_and_nobody_is_overtaken_for_ever():
    ahead = LookAhead(4)
    for number, size in enumerate((1, 50, 30)):
        ahead.put(job(number, size))
    taken = []
    for number in range(3, 9):  # longer ones keep coming
        ahead.put(job(number, 100 + number))
        taken.append(ahead.take().file_id)
    assert taken == [3, 4, 5, 6, 0, 1]  # four have overtaken those that came first
    ahead.put_back(job(20, 1, n_deaths=1))
    assert [ahead.take().file_id for _ in range(3)] == [2, 20, 7]


def test_the_look_ahead_is_over_when_all_that_was_taken_is_dealt_with():
    ahead = LookAhead(4)
    ahead.put(job(0, 1))
    ahead.put(job(1, 1))
    assert ahead.take() is not None
    assert not ahead.end()
    assert not ahead.done_with_one()
    assert ahead.take() is not None
    assert ahead.done_with_one()
    ahead.abort()
    assert ahead.take() is None


class Twin:
    """A worker in a thread of this process."""

    def __init__(self, run_options: object) -> None:
        self.worker = Worker(run_options)  # type: ignore[arg-type]
        self.is_dead = threading.Event()
        threading.Thread(target=self.worker.work, daemon=True).start()

    def send(self, message: ToWorker) -> None:
        self.worker.receive(pickle.loads(pickle.dumps(message)))

    def messages(self) -> Iterator[FromWorker]:
        while not self.is_dead.is_set():
            for message in self.worker.messages_within(0.05):
                yield pickle.loads(pickle.dumps(message))
                if isinstance(message, Over):
                    return
        raise PoolWorkerDiedError("gone")

    def kill(self) -> None:
        self.is_dead.set()
        self.worker.receive(Drain())


def test_a_file_is_requested_when_few_clips_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One that asked for all would leave the others nothing to do."""
    go = threading.Event()
    monkeypatch.setattr(local, "open_engine", lambda *given, **named: FakeEngine(2, lambda clips: go.wait()))
    fill(tmp_path, 12)
    twin = Twin(options(write=False, use_journal=False, load_workers=1))
    n_given, files = 0, list(from_paths([str(tmp_path)]))
    pause = threading.Event()
    n_left = 60  # looks, once the first four have been asked for
    for _ in range(2_000):
        n_left -= n_given >= 4
        if not n_left:
            break
        n_wanted = sum(isinstance(message, Ready) for message in twin.worker.messages_within(0.05))
        for _ in range(n_wanted):
            twin.send(FileTask(n_given, files[n_given]))
            n_given += 1
        pause.wait(0.01)
    assert 4 <= n_given <= 6  # two in the engine, two that wait for it, one that is being loaded
    go.set()
    twin.kill()


def test_the_engine_is_not_left_to_the_last_clips_of_a_long_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another file is asked for while the last clips of one are decoded."""
    pause = threading.Event()
    monkeypatch.setattr(local, "open_engine", lambda *given, **named: FakeEngine(2, lambda clips: pause.wait(0.2)))
    write_wav(tmp_path / "long.wav", np.random.default_rng(0).integers(-900, 900, 16_000 * 300))
    fill(tmp_path / "short", 6)
    twin = Twin(options(write=False, use_journal=False, load_workers=1))
    files = [*from_paths([str(tmp_path / "long.wav")]), *from_paths([str(tmp_path / "short")])]
    n_given, told = 0, []
    while not any(isinstance(message, FileEnded) and message.number == 0 for message in told):
        told += (new := twin.worker.messages_within(0.05))
        for _ in [message for message in new if isinstance(message, Ready)]:
            twin.send(FileTask(n_given, files[n_given]))
            n_given += 1
    assert n_given >= 4  # the long one, one that was asked for before its clips came, and more
    twin.kill()


def test_a_worker_that_ended_with_an_error_works_in_the_next_run(pair: Scene):
    one, _ = pair.handles
    one.tells.put(Ready())
    pair.submit(0).join(10)
    one.tells.put(Over(ModelError("cannot be read")))
    wait_until(lambda: pair.error is not None)
    pair.pool.end_run()
    pair.pool.open()
    waiting = pair.submit(0)
    wait_until(lambda: len(pair.handles) == 3)
    pair.handles[2].tells.put(Ready())
    waiting.join(10)
    assert (one.numbers, pair.handles[2].numbers) == ([0], [0])


def test_no_file_is_handed_to_a_pool_that_is_closed(pair: Scene):
    pair.pool.close()
    pair.pool.open()
    waiting = pair.submit(0)
    waiting.join(30)
    assert not waiting.is_alive()


def test_what_a_worker_still_sends_of_a_run_that_was_left_does_not_reach_the_next(pair: Scene):
    one, two = pair.handles
    one.tells.put(Ready())
    pair.submit(0).join(10)
    die, one.kill = one.kill, lambda: None  # it is killed, and what it has told before is heard only later
    pair.pool.end_run()
    pair.pool.open()
    pair.listen()
    for told in (WorkerEvent(0, "notice", {"text": "of another file"}), ended(0), Ready()):
        one.tells.put(told)
    wait_until(one.tells.empty)
    waiting = pair.submit(0)  # the same number, another file
    two.tells.put(Ready())
    waiting.join(10)
    die()
    wait_until(lambda: len(pair.handles) == 3)
    two.tells.put(ended(0))
    wait_until(lambda: bool(pair.received))
    assert (one.numbers, two.numbers, pair.received) == ([0], [0], [ended(0)])


def test_models_stay_loaded_between_runs_and_a_run_left_early_does_not_disturb_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    engines: list[FakeEngine] = []

    def open_engine(*given: object, **named: object) -> FakeEngine:
        engines.append(FakeEngine(2, lambda clips: pause.wait(step_s[-1])))
        return engines[-1]

    pause, step_s = threading.Event(), [0.02]
    monkeypatch.setattr(local, "open_engine", open_engine)
    names = fill(tmp_path / "audio", 10)
    run_options = options(write=False, use_journal=False)
    pool = WorkerPool(lambda name: Twin(run_options), ["one", "two"])
    backend = RemoteBackend(run_options, pool)

    def run(folder: str = "audio") -> Iterator[Outcome]:
        source = from_paths([str(tmp_path / folder)])
        return backend.run(source, on_event=lambda event: None, stop=threading.Event())

    for _ in range(2):
        outcomes = list(run())
        assert sorted(outcome.path.name for outcome in outcomes) == names
        assert all(outcome.transcript is not None for outcome in outcomes)
    assert 1 <= len(engines) <= 2
    texts = {outcome.path.name: outcome.transcript.text for outcome in outcomes}
    fill(tmp_path / "other", 11, poison=0)  # the same names but one more, so that numbers mean other files
    step_s.append(0.5)  # so that the workers still have files when it is left
    left = run("other")
    next(left)
    left.close()
    assert {outcome.path.name: outcome.transcript.text for outcome in run()} == texts
    backend.close()


def test_errors_travel_with_what_tells_whether_they_may_pass():
    error = WriteError("no room", Path("/x.wav"))
    error.__cause__ = RuntimeError()
    error.__cause__.__cause__ = OSError(5, "Input/output error")
    arrived = pickle.loads(pickle.dumps(error))
    assert (type(arrived), arrived.message, arrived.path) == (WriteError, "no room", Path("/x.wav"))
    assert may_pass(arrived, Path("/x.wav"))
    plain = pickle.loads(pickle.dumps(WorkerDiedError("died")))
    assert (type(plain), plain.path, plain.__cause__) == (WorkerDiedError, None, None)
    assert isinstance(pickle.loads(pickle.dumps(LoadError("x"))), LoadError)


def test_a_message_that_death_cut_short_is_the_end_of_its_pipe():
    stream = io.BytesIO()
    process_workers._send(stream, ended(3))
    whole = stream.getvalue()
    assert process_workers._read(io.BytesIO(whole)) == ended(3)
    for n_bytes in (0, 2, 4, len(whole) // 2, len(whole) - 1):
        with pytest.raises(EOFError):
            process_workers._read(io.BytesIO(whole[:n_bytes]))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("auto", ("auto",)),
        ("cpu", ("cpu",)),
        ("cpu:3", ("cpu",) * 3),
        ("cuda", ("cuda",)),
        ("cuda:0,cuda:1", ("cuda:0", "cuda:1")),
        ("cuda:1,cpu:2", ("cuda:1", "cpu", "cpu")),
        ("all", ("all",)),
    ],
)
def test_devices_are_a_process_each(given: str, meant: tuple[str, ...]):
    assert EngineOptions(device=given).devices == meant


@pytest.mark.parametrize(
    "given", ["", "cpu:0", "cpu:", "cpu:x", "cuda:-1", "cuda:", "mps:1", "all,cpu", "auto,cpu", "x"]
)
def test_devices_that_make_no_sense_are_refused(given: str):
    with pytest.raises(UsageError):
        EngineOptions(device=given)


def test_ray_options_need_ray_and_ray_needs_its_library(monkeypatch: pytest.MonkeyPatch):
    for wrong in ({"actors": 2}, {"ray_address": "auto"}, {"cpus_per_actor": 1}, {"backend": "slurm"}):
        with pytest.raises(UsageError):
            options(**wrong)
    with pytest.raises(UsageError, match="each actor has its own"):
        options(backend="ray", device="cuda:0,cuda:1")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"in a clone of whisperbatch: pip install '\.\[ray\]'"):
        open_backend(options(backend="ray"))


def test_nothing_imports_ray_unasked():
    code = (
        "import sys; from whisperbatch import api, cli, backends; from whisperbatch.cli import app; "
        "api.Transcriber(model='demo', device='cpu:2'); "
        "assert not any(name.partition('.')[0] == 'ray' for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
