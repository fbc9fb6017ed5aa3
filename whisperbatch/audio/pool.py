"""The parent's side of a load process: files in, clips out.

Who calls: the pipeline's load threads, a LoadWorker each.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from whisperbatch.audio.worker import LENGTH
from whisperbatch.errors import LoadError
from whisperbatch.records import SAMPLE_RATE, Clip, ClipSettings, FileLoaded

TIMEOUT_S = 120.0  # without a sign of life; decoding a window takes a fraction of a second
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
PACKAGE_PARENT = str(Path(__file__).resolve().parent.parent.parent)


class LoadWorker:
    """One load process, started when it is needed and again when it died.

    ``load`` is for one thread at a time; ``close`` may be called from any thread.
    """

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        """Start nothing yet; a process that is silent for ``timeout_s`` in the middle of a file is killed."""
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._in_flight = False  # a load will end the process itself
        self._lock = threading.Lock()

    def warm(self) -> None:
        """Start the process ahead of the first file, without waiting for it."""
        self._running()

    def load(self, file_id: int, path: Path, settings: ClipSettings) -> Iterator[Clip | FileLoaded]:
        """The file's clips as they are cut, and FileLoaded last.

        Closing the iterator early gives the file up; the worker stays of use.

        Raises:
            LoadError: The file can't be read, or the process died or hung on it, or the worker was closed.
        """
        process, whole, n_clips = self._running(path), False, 0
        try:
            request = json.dumps({"path": os.fsencode(path).hex()}) + "\n"
            self._write(process, request.encode(), path)
            while True:
                header = self._header(process, path)
                if header["kind"] == "clip":
                    data = self._read(process, header["n_samples"] * 2, path)
                    samples = np.frombuffer(data, np.int16)
                    yield Clip(file_id, n_clips, header["start"] / SAMPLE_RATE, samples, settings)
                    n_clips += 1
                    continue
                whole = True
                if header["kind"] == "failed":
                    raise LoadError(header["message"], path)
                yield FileLoaded(file_id, n_clips, header["n_samples"] / SAMPLE_RATE, header["damage"])
                return
        finally:
            with self._lock:
                self._in_flight = False
                whole = whole and not self._closed
            if not whole:
                self._end(process)

    def close(self) -> None:
        """End the process; a load in flight raises LoadError."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is not None:
            process.kill()
            if not self._in_flight:
                self._end(process)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """End the process."""
        self.close()

    def _running(self, path: Path | None = None) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise LoadError("loading was ended", path)
            if self._process is None or self._process.poll() is not None:
                self._process = self._start()
            self._in_flight = path is not None
            return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        paths = [PACKAGE_PARENT, *filter(None, [os.environ.get("PYTHONPATH")])]
        # the current folder must not shadow modules, which "-m" alone would let it
        environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "whisperbatch.audio.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C in the terminal is the parent's to handle
        )

    def _write(self, process: subprocess.Popen[bytes], data: bytes, path: Path) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(data)
            process.stdin.flush()
        except (OSError, ValueError) as err:
            raise self._died(process, path) from err

    def _header(self, process: subprocess.Popen[bytes], path: Path) -> dict[str, Any]:
        (length,) = LENGTH.unpack(self._read(process, LENGTH.size, path))
        return json.loads(self._read(process, length, path))

    def _read(self, process: subprocess.Popen[bytes], n_bytes: int, path: Path) -> bytes:
        """Exactly so many bytes; a process that is silent for too long is killed, which ends the read."""
        assert process.stdout is not None
        hung = threading.Event()

        def give_up() -> None:
            hung.set()
            process.kill()

        watchdog = threading.Timer(self._timeout_s, give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            data = process.stdout.read(n_bytes)
        except ValueError:  # closed by another thread
            data = b""
        finally:
            watchdog.cancel()
        if len(data) < n_bytes:
            if hung.is_set():
                raise LoadError(f"the decoder hung on this file for {self._timeout_s:.0f} s and was stopped", path)
            raise self._died(process, path)
        return data

    def _died(self, process: subprocess.Popen[bytes], path: Path) -> LoadError:
        if self._closed:
            return LoadError("loading was ended", path)
        process.kill()
        code = process.wait()
        why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return LoadError(f"the decoder crashed on this file ({why})", path)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill and reap the process, and close its pipes."""
        with self._lock:
            if self._process is process:
                self._process = None
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except BrokenPipeError:
                pass
