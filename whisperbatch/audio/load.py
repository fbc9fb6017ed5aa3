"""Any media file to 16 kHz mono int16 samples, as a stream of blocks: the samples ffmpeg gives openai-whisper.

Comes in: a path. Goes out: blocks, and what was damaged. Who calls: ``audio/worker``. PyAV carries FFmpeg's libraries;
librosa (libsndfile) reads what they can't. Only regular local files are opened, and nothing that a file points to.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np

from whisperbatch.errors import LoadError
from whisperbatch.records import SAMPLE_RATE

av.logging.set_level(None)  # what matters is told in our own sentences

# containers that open other files or the network; FFmpeg's names
POINTING = frozenset(
    "hls applehttp concat dash imf image2 rtsp sdp rtp lavfi tee tty webm_dash_manifest".split(),
)
# with no protocol allowed, a playlist that slips through can open nothing
NO_PROTOCOLS = {"protocol_whitelist": "none"}
MAX_JITTER_S = 0.003
UNREADABLE = "is not audio or video that can be read"


class Reader:
    """The samples of one file; ``damage`` is a sentence once blocks have been read, None when all decoded."""

    def __init__(self, path: Path) -> None:
        """Keep the path; ``blocks`` opens it."""
        self.path = path
        self.damage: str | None = None

    def blocks(self) -> Iterator[np.ndarray]:
        """Blocks of int16 (n_samples,), 16 kHz mono; LoadError when the file can't be read at all."""
        with self._open() as file:
            n_samples, error = 0, None
            try:
                for block in self._decoded(file):
                    n_samples += len(block)
                    yield block
            except LoadError as err:
                error = err
            if n_samples or (error is None and self.damage is None):
                return
            file.seek(0)
            self.damage = None
            yield from self._by_librosa(file, error)

    def _open(self) -> BinaryIO:
        """The file, opened; regular ones only, without waiting on a pipe that nobody writes to."""
        try:
            number = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except FileNotFoundError as err:
            raise LoadError("does not exist", self.path) from err
        except OSError as err:
            raise LoadError(f"cannot be opened: {err.strerror}", self.path) from err
        file = os.fdopen(number, "rb", closefd=True) if not _is_folder(number) else None
        if file is None:
            os.close(number)
            raise LoadError("is a folder", self.path)
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
            file.close()
            raise LoadError("is empty" if stat.S_ISREG(status.st_mode) else "is not a regular file", self.path)
        return file

    def _decoded(self, file: BinaryIO) -> Iterator[np.ndarray]:
        try:
            container = av.open(file, options=dict(NO_PROTOCOLS), metadata_errors="replace")
        except (av.FFmpegError, ValueError) as err:
            raise LoadError(UNREADABLE, self.path) from err
        with container:
            if POINTING & set(container.format.name.split(",")):
                raise LoadError("is a playlist or list of files, not a recording", self.path)
            stream = container.streams.best("audio")
            if stream is None:
                raise LoadError("holds no audio", self.path)
            yield from self._resampled(container, stream)

    def _resampled(self, container: Any, stream: Any) -> Iterator[np.ndarray]:
        resampler, kind, n_bad = None, None, 0
        for frame in _frames(container, stream):
            if frame is None:
                n_bad += 1
                self.damage = f"damaged: {n_bad} part{'s' * (n_bad > 1)} of it could not be decoded and were left out"
                continue
            here = (frame.format.name, frame.layout.name, frame.sample_rate)
            if here != kind:  # some recordings change channels or rate midway
                if resampler is not None:
                    yield from _arrays(resampler.resample(None))
                resampler, kind = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE), here
            frame.pts = None  # a gap in the time stamps is no silence, as for ffmpeg's s16le output
            yield from _arrays(resampler.resample(frame))
        if resampler is not None:
            yield from _arrays(resampler.resample(None))

    def _by_librosa(self, file: BinaryIO, error: LoadError | None) -> Iterator[np.ndarray]:
        """The second loader: what libsndfile reads and FFmpeg doesn't."""
        import librosa
        import soundfile

        try:
            channels, rate = soundfile.read(file, dtype="float32", always_2d=True)
            wave = librosa.resample(
                librosa.to_mono(channels.T), orig_sr=rate, target_sr=SAMPLE_RATE, res_type="soxr_hq"
            )
        except (soundfile.SoundFileError, ValueError, OSError) as err:
            raise (error or LoadError(UNREADABLE, self.path)) from err
        if len(wave) == 0:
            raise error or LoadError(UNREADABLE, self.path)
        yield np.clip(np.rint(wave * 32768), -32768, 32767).astype(np.int16)


def _is_folder(number: int) -> bool:
    return stat.S_ISDIR(os.fstat(number).st_mode)


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames; None for each packet that would not decode. A container that breaks off ends the stream."""
    packets, due_s, untimed = container.demux(stream), 0.0, False
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError:
            yield None
            return
        try:
            for frame in packet.decode():
                # a parser that has lost its way says nothing, but gives frames without time stamps, and then a gap
                if untimed and frame.time is not None and frame.time > due_s + MAX_JITTER_S:
                    yield None
                untimed = frame.time is None
                due_s = (due_s if untimed else frame.time) + frame.samples / frame.sample_rate
                yield frame
        except av.FFmpegError:
            yield None


def _arrays(frames: list[Any]) -> Iterator[np.ndarray]:
    for frame in frames:
        if frame is not None and frame.samples:
            yield frame.to_ndarray()[0]
