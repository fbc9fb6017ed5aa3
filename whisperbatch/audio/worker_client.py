"""The parent's side of a load worker: send it files, receive clips."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np

from whisperbatch.audio.spool import Spooled
from whisperbatch.audio.worker import LoadRequest
from whisperbatch.errors import LoadError, WorkerDiedError, WorkerStartError
from whisperbatch.options import LoadOptions, SpeechOptions
from whisperbatch.processes import LENGTH, command, describe_exit, read_exactly, start
from whisperbatch.records import SAMPLE_RATE, Clip, ClipSettings, FileLoaded

TIMEOUT_S = 120.0  # without a sign of life; decoding a window takes a fraction of a second
REAP_S = 10.0  # a killed process ends at once, unless it is blocked in a dead file system
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


class LoadWorker:
    """One load worker, whose process is started when needed and restarted when it has died.

    ``load`` is for one thread at a time; ``warm`` and ``close`` may be called from any thread.
    """

    def __init__(
        self, load: LoadOptions | None = None, speech: SpeechOptions | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Start nothing yet; a process that sends nothing for ``timeout_s`` in the middle of a file is killed."""
        self._load = load or LoadOptions()
        self._speech = speech or SpeechOptions()
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False  # the process has sent ``ready``
        self._in_flight = False  # a load is running, and will end the process itself
        self._closed = False
        self._lock = threading.Lock()

    def warm(self) -> None:
        """Start the process before the first file, without waiting for it; do nothing once closed."""
        with self._lock, suppress(OSError):  # ``load`` will report it
            if not self._closed and self._process is None:
                self._process = self._start()

    def load(self, file_id: int, path: Path, settings: ClipSettings) -> Iterator[Clip | FileLoaded]:
        """Yield the file's clips as they are cut, those that vote on its language first, and FileLoaded last.

        Closing the iterator early abandons the file by killing the process; the next load starts another.

        Raises:
            LoadError: The file cannot be read, the process died or hung on it, or the worker was closed.
        """
        process, whole, n_clips = self._take(path), False, 0
        spools: dict[str, Spooled] = {}
        try:
            self._request(process, path, settings)
            while True:
                header, payload = self._message(process, path)
                match header["kind"]:
                    case "spool":
                        spools[header["path"]] = _opened(header["path"], path)
                    case "clip":
                        samples = spools.pop(header["spool"]) if header["spool"] else np.frombuffer(payload, np.int16)
                        yield _clip(file_id, header, samples, settings)
                        n_clips += 1
                    case "loaded":
                        whole = True
                        yield _loaded(file_id, n_clips, header)
                        return
                    case "failed":
                        whole = True
                        raise _failed(header, path)
                    case "unfit":
                        raise WorkerStartError(f"the load process cannot start ({header['message']})", path)
                    case "ready":
                        self._is_ready = True
        finally:
            spools.clear()  # the caller may keep the error, whose traceback must not keep files on a full disk
            self._put_back(process, whole)

    def close(self) -> None:
        """End the process; a running load raises LoadError unless it is complete, and so does every later one."""
        with self._lock:
            self._closed = True
            process, in_flight = self._process, self._in_flight
        if process is not None and in_flight:
            _kill(process)  # ``load`` closes its pipes
        elif process is not None:
            self._end(process)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """End the process."""
        self.close()

    def _take(self, path: Path) -> subprocess.Popen[bytes]:
        """Return the process, marked as in use."""
        died = self._process
        if died is not None and died.poll() is not None:  # it died between two files, so neither is to blame
            self._end(died)
        with self._lock:
            if self._closed:
                raise LoadError("loading was ended", path)
            if self._process is None:
                try:
                    self._process = self._start()
                except OSError as err:
                    raise WorkerStartError(f"the load process cannot start ({err.strerror or err})", path) from err
            self._in_flight = True
            return self._process

    def _put_back(self, process: subprocess.Popen[bytes], whole: bool) -> None:
        """Keep the process for the next file if it is done with this one."""
        with self._lock:
            self._in_flight = False
            keep = whole and not self._closed
        if not keep:
            self._end(process)

    def _start(self) -> subprocess.Popen[bytes]:
        self._is_ready = False
        return start(command("whisperbatch.audio.worker"), ONE_THREAD)

    def _request(self, process: subprocess.Popen[bytes], path: Path, settings: ClipSettings) -> None:
        assert process.stdin is not None
        absolute = path if path.is_absolute() else Path.cwd() / path  # the process may have another current folder
        try:
            process.stdin.write(LoadRequest(absolute, settings, self._load, self._speech).encoded())
            process.stdin.flush()
        except (OSError, ValueError) as err:
            raise self._died(process, path) from err

    def _message(self, process: subprocess.Popen[bytes], path: Path) -> tuple[dict[str, Any], bytes]:
        """Read the next header and its payload; a process that sends nothing for too long is killed."""
        hung = threading.Event()

        def give_up() -> None:
            hung.set()
            process.kill()

        watchdog = threading.Timer(self._timeout_s, give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            return _read_message(process)
        except EOFError as err:
            if self._closed or not hung.is_set():
                raise self._died(process, path) from err
            if not self._is_ready:
                message = f"the load process did not start within {self._timeout_s:.0f} s; increase --load-timeout"
                raise WorkerStartError(message, path) from err
            message = f"the decoder hung on this file for {self._timeout_s:.0f} s and was stopped"
            raise WorkerDiedError(message, path) from err
        finally:
            watchdog.cancel()

    def _died(self, process: subprocess.Popen[bytes], path: Path) -> LoadError:
        if not self._closed:
            with suppress(subprocess.TimeoutExpired):
                process.wait(REAP_S)  # its pipe has ended; its own exit code says why
        _kill(process)
        if self._closed:
            return LoadError("loading was ended", path)
        why = describe_exit(process.returncode or 0)
        if not self._is_ready:
            return WorkerStartError(f"the load process cannot start ({why})", path)
        return WorkerDiedError(f"the decoder crashed on this file ({why})", path)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill and reap the process, and close its pipes."""
        with self._lock:
            if self._process is process:
                self._process = None
        _kill(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def _clip(file_id: int, header: dict[str, Any], samples: np.ndarray | Spooled, settings: ClipSettings) -> Clip:
    """The clip of a message, in seconds."""
    if isinstance(samples, Spooled):
        samples.seal(header["n_samples"])
    return Clip(
        file_id,
        header["index"],
        header["start"] / SAMPLE_RATE,
        samples,
        settings,
        speech=_in_seconds(header["speech"]),
        joins=_in_seconds(header["joins"]),
        vote=None if header["vote"] is None else (header["vote"][0], header["vote"][1]),
        channel=header["channel"],
    )


def _in_seconds(pairs: list[list[int]]) -> tuple[tuple[float, float], ...]:
    return tuple((one / SAMPLE_RATE, two / SAMPLE_RATE) for one, two in pairs)


def _loaded(file_id: int, n_clips: int, header: dict[str, Any]) -> FileLoaded:
    n_speech = header["n_speech"]
    speech_s = None if n_speech is None else n_speech / SAMPLE_RATE
    length_s, notices, names = header["n_samples"] / SAMPLE_RATE, header["notices"], header["channel_names"]
    return FileLoaded(file_id, n_clips, length_s, header["damage"], speech_s, tuple(notices), tuple(names))


def _failed(header: dict[str, Any], path: Path) -> LoadError:
    """The error of a ``failed`` message, with the system's error as its cause where the file is not to blame."""
    error, number = LoadError(header["message"], path), header["errno"]
    if number is not None:
        error.__cause__ = OSError(number, os.strerror(number))
    return error


def _opened(encoded: str, path: Path) -> Spooled:
    spool = Path(os.fsdecode(bytes.fromhex(encoded)))
    try:
        return Spooled(spool)
    except OSError as err:
        raise LoadError(f"its samples cannot be read back from {spool.parent}: {err.strerror or err}", path) from err


def _read_message(process: subprocess.Popen[bytes]) -> tuple[dict[str, Any], bytes]:
    stream = process.stdout
    assert stream is not None
    (length,) = LENGTH.unpack(read_exactly(stream, LENGTH.size))
    header = json.loads(read_exactly(stream, length))
    n_bytes = header["n_samples"] * 2 if header["kind"] == "clip" and not header["spool"] else 0
    return header, read_exactly(stream, n_bytes)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and wait for it."""
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(REAP_S)
