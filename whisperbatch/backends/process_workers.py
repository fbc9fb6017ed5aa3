"""A process a device on this machine: the parent's side of such a worker, and what the process runs.

Messages are pickles with a 4-byte little-endian length before each, on the process's standard input and output; the
first one to it is its ``RunOptions``. The end of its input is the end of the parent, and so its own. CUDA devices have
not yet been used by it.
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
from whisperbatch.processes import LENGTH, command, ending, n_cores, pipes_to_parent, read_exactly, start

REAP_S = 10.0  # a killed process ends at once, unless the kernel holds it
N_TOLD = 2_000  # characters of its last complaints that are looked at


def pool_of(options: RunOptions, devices: Sequence[str]) -> WorkerPool:
    """A worker pool with a process for each device; load workers and cores are shared out among them.

    Args:
        options: The run's.
        devices: One torch device a process, as ``cpu`` or ``cuda:1``.
    """
    names = [f"{device} ({index + 1} of {len(devices)})" for index, device in enumerate(devices)]
    of_name = dict(zip(names, devices, strict=True))
    n_load_workers = -(-options.n_load_workers // len(devices))
    n_threads = max(1, _n_threads() // len(devices))

    def hire(name: str) -> WorkerHandle:
        own = options_of_worker(options, device=of_name[name], n_load_workers=n_load_workers)
        own = replace(own, engine=replace(own.engine, n_sharing=devices.count(of_name[name])))
        return ProcessWorker(own, n_threads)

    return WorkerPool(hire, names)


class ProcessWorker:
    """A process, seen from its parent; ``hear`` is for one thread, the rest for any."""

    def __init__(self, options: RunOptions, n_threads: int) -> None:
        """Start it; its libraries use so many threads."""
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the process)
        variables = {"OMP_NUM_THREADS": str(n_threads)}
        self._process = start(command("whisperbatch.backends.process_workers"), variables, self._complaints)
        self._sending = threading.Lock()
        self.send(options)

    def send(self, message: ToWorker | RunOptions) -> None:
        """Hand it a message; nothing happens when it is gone."""
        assert self._process.stdin is not None
        with self._sending, suppress(OSError):  # who listens will notice
            _send(self._process.stdin, message)

    def hear(self) -> Iterator[FromWorker]:
        """What it tells; PoolWorkerDiedError when it dies."""
        assert self._process.stdout is not None
        message: FromWorker | None = None
        while not isinstance(message, Over):
            try:
                message = _read(self._process.stdout)
            except EOFError as err:
                raise PoolWorkerDiedError(self._why()) from err
            yield message

    def kill(self) -> None:
        """Kill and reap it; who listens reads to the end of its pipe."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(REAP_S)

    def _why(self) -> str:
        """How it ended, in words."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(REAP_S)
        code = self._process.returncode or 0
        if code < 0:
            return ending(code)
        self._complaints.seek(max(0, self._complaints.seek(0, os.SEEK_END) - N_TOLD))
        last = self._complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
        return ending(code) + (f", {last}" if last else "")


def main() -> None:
    """Serve as a worker until the parent closes the pipe or drains it."""
    incoming, outgoing = pipes_to_parent()
    serve(Worker(_read(incoming)), incoming, outgoing)


def serve(worker: Worker, incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Pass messages between a worker and its parent until it is over."""
    threading.Thread(target=_take, args=(incoming, worker.take), daemon=True).start()
    threading.Thread(target=worker.work, daemon=True).start()
    message: FromWorker | None = None
    try:
        while not isinstance(message, Over):
            message = worker.told.get()
            _send(outgoing, message)
    except BrokenPipeError:
        pass
    os._exit(0)


def _take(stream: BinaryIO, take: Callable[[ToWorker], None]) -> None:
    """Take messages to the end of the pipe, which is the end of the parent and so of this process."""
    with suppress(EOFError):
        while True:
            take(_read(stream))
    os._exit(0)


def _send(stream: IO[bytes], message: object) -> None:
    data = pickle.dumps(message)
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


def _read(stream: IO[bytes]) -> Any:
    """The next message; EOFError at the end. Only a process of our own is at the other end."""
    (length,) = LENGTH.unpack(read_exactly(stream, LENGTH.size))
    return pickle.loads(read_exactly(stream, length))


def _n_threads() -> int:
    """The threads that one process would use by itself."""
    with suppress(KeyError, ValueError):
        return int(os.environ["OMP_NUM_THREADS"])
    return n_cores()


if __name__ == "__main__":
    main()
