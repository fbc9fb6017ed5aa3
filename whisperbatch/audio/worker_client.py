"""The parent's side of a load process: files in, clips out."""

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
REAP_S = 10.0  # a killed process ends at once, unless the kernel holds it in a dead file system
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


class LoadWorker:
    """One load process, started when it is needed and again when it died.

    ``decode`` is for one thread at a time; ``warm`` and ``close`` may be called from any thread.
    """

    def __init__(
        self, load: LoadOptions | None = None, speech: SpeechOptions | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Start nothing yet; a process that is silent for ``timeout_s`` in the middle of a file is killed."""
        self._load = load or LoadOptions()
        self._speech = speech or SpeechOptions()
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False  # the process has said so
        self._in_flight = False  # a load will end the process itself
        self._closed = False
        self._lock = threading.Lock()

    def warm(self) -> None:
        """Start the process ahead of the first file, without waiting for it; nothing once closed."""
        with self._lock, suppress(OSError):  # load tells of it
            if not self._closed and self._process is None:
                self._process = self._start()

    def load(self, file_id: int, path: Path, settings: ClipSettings) -> Iterator[Clip | FileLoaded]:
        """The file's clips as they are cut, those that vote on its language first, and FileLoaded last.

        Closing the iterator early gives the file up by killing the process; the next load starts another.

        Raises:
            LoadError: The file can't be read, or the process died or hung on it, or the worker was closed.
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
            spools.clear()  # the error may be kept, and must not keep a full disk full with it
            self._put_back(process, whole)

    def close(self) -> None:
        """End the process; a load in flight raises LoadError unless all of it had come, and every later one does."""
        with self._lock:
            self._closed = True
            process, in_flight = self._process, self._in_flight
        if process is not None and in_flight:
            _kill(process)  # its pipes are closed by who reads them
        elif process is not None:
            self._end(process)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """End the process."""
        self.close()

    def _take(self, path: Path) -> subprocess.Popen[bytes]:
        """The process, marked as in use."""
        died = self._process
        if died is not None and died.poll() is not None:  # between two files, so neither is to blame
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
        whole = path if path.is_absolute() else Path.cwd() / path  # the current folder may have changed since its start
        try:
            process.stdin.write(LoadRequest(whole, settings, self._load, self._speech).encoded())
            process.stdin.flush()
        except (OSError, ValueError) as err:
            raise self._died(process, path) from err

    def _message(self, process: subprocess.Popen[bytes], path: Path) -> tuple[dict[str, Any], bytes]:
        """The next header and what follows it; a process that is silent for too long is killed, which ends the read."""
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
                told = f"the load process did not start within {self._timeout_s:.0f} s; --load-timeout gives it longer"
                raise WorkerStartError(told, path) from err
            told = f"the decoder hung on this file for {self._timeout_s:.0f} s and was stopped"
            raise WorkerDiedError(told, path) from err
        finally:
            watchdog.cancel()

    def _died(self, process: subprocess.Popen[bytes], path: Path) -> LoadError:
        if not self._closed:
            with suppress(subprocess.TimeoutExpired):
                process.wait(REAP_S)  # its pipe has ended, and its own exit code tells why
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
    """The clip that a message tells of, in seconds."""
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
    """What a load process told; its cause is the system's, where the file is not to blame."""
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
    """Kill and reap."""
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(REAP_S)
