"""Pool workers as processes, one per device of this machine: the parent's side and the process's own.

Messages are pickles, each after its length in 4 bytes, little-endian, on the process's standard input and output. The
first message to it is its ``RunOptions``. When its input ends, the parent has ended, and it ends too. Not yet tried
with CUDA devices.
"""

import os
import pickle
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import IO, Any, BinaryIO

from whisperbatch.backends.messages import FromWorker, Over, PoolWorkerDiedError, ToWorker
from whisperbatch.backends.worker import Worker, options_of_worker
from whisperbatch.backends.worker_pool import WorkerHandle, WorkerPool
from whisperbatch.options import RunOptions
from whisperbatch.processes import LENGTH, command, describe_exit, n_cores, pipes_to_parent, read_exactly, start

REAP_S = 10.0  # a killed process ends at once, unless the kernel blocks it
N_STDERR = 2_000  # bytes at the end of its standard error that are read


def pool_of(options: RunOptions, devices: Sequence[str]) -> WorkerPool:
    """Return a pool with a process for each device; load workers and cores are divided among them.

    Args:
        options: Options of the run.
        devices: The torch device of each process, such as ``cpu`` or ``cuda:1``.
    """
    names = [f"{device} ({index + 1} of {len(devices)})" for index, device in enumerate(devices)]
    of_name = dict(zip(names, devices, strict=True))
    n_load_workers = -(-options.n_load_workers // len(devices))
    n_threads = max(1, _n_threads() // len(devices))

    def start_worker(name: str) -> WorkerHandle:
        own = options_of_worker(options, device=of_name[name], n_load_workers=n_load_workers)
        own = replace(own, engine=replace(own.engine, n_sharing=devices.count(of_name[name])))
        return ProcessWorker(own, n_threads)

    return WorkerPool(start_worker, names)


class ProcessWorker:
    """A process, as its parent sees it; ``messages`` is for one thread, the rest for any."""

    def __init__(self, options: RunOptions, n_threads: int) -> None:
        """Start it; its libraries use ``n_threads`` threads."""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the process)
        variables = {"OMP_NUM_THREADS": str(n_threads)}
        self._process = start(command("whisperbatch.backends.process_workers"), variables, self._stderr)
        self._sending = threading.Lock()
        self.send(options)

    def send(self, message: ToWorker | RunOptions) -> None:
        """Send a message; does nothing when the process is gone."""
        assert self._process.stdin is not None
        with self._sending, suppress(OSError):  # the thread in ``messages`` will notice
            _send(self._process.stdin, message)

    def messages(self) -> Iterator[FromWorker]:
        """Yield its messages, up to ``Over``; PoolWorkerDiedError when it dies."""
        assert self._process.stdout is not None
        message: FromWorker | None = None
        while not isinstance(message, Over):
            try:
                message = _read(self._process.stdout)
            except EOFError as err:
                raise PoolWorkerDiedError(self._why()) from err
            yield message

    def kill(self) -> None:
        """Kill and reap it; ``messages`` then reads to the end of its pipe."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(REAP_S)

    def _why(self) -> str:
        """How it ended, as text."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(REAP_S)
        code = self._process.returncode or 0
        if code < 0:
            return describe_exit(code)
        self._stderr.seek(max(0, self._stderr.seek(0, os.SEEK_END) - N_STDERR))
        last = self._stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        return describe_exit(code) + (f", {last}" if last else "")


def main() -> None:
    """Serve as a worker until the parent closes the pipe or drains it."""
    incoming, outgoing = pipes_to_parent()
    serve(Worker(_read(incoming)), incoming, outgoing)


def serve(worker: Worker, incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Pass messages between a worker and its parent until the worker ends."""
    threading.Thread(target=_receive, args=(incoming, worker.receive), daemon=True).start()
    threading.Thread(target=worker.work, daemon=True).start()
    message: FromWorker | None = None
    try:
        while not isinstance(message, Over):
            message = worker.outbox.get()
            _send(outgoing, message)
    except BrokenPipeError:
        pass
    os._exit(0)


def _receive(stream: BinaryIO, receive: Callable[[ToWorker], None]) -> None:
    """Receive messages to the end of the pipe; then the parent has ended, and this process ends."""
    with suppress(EOFError):
        while True:
            receive(_read(stream))
    os._exit(0)


def _send(stream: IO[bytes], message: object) -> None:
    data = pickle.dumps(message)
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


def _read(stream: IO[bytes]) -> Any:
    """Read the next message; EOFError at the end. Only our own processes are at the other end."""
    (length,) = LENGTH.unpack(read_exactly(stream, LENGTH.size))
    return pickle.loads(read_exactly(stream, length))


def _n_threads() -> int:
    """The number of threads that one process alone would use."""
    with suppress(KeyError, ValueError):
        return int(os.environ["OMP_NUM_THREADS"])
    return n_cores()


if __name__ == "__main__":
    main()
