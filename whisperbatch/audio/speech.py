"""Where there is speech: Silero VAD's probabilities, frame by frame, and the spans they tell of.

Comes in: samples as they are decoded. Goes out: a probability for each frame of 32 ms; spans, each as soon as nothing
that follows can change it. Who calls: ``audio/clips``. The package silero-vad gives the model only: importing it would
import torch and set its threads.
"""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whisperbatch.errors import LoadError
from whisperbatch.options import SpeechOptions
from whisperbatch.records import N_SAMPLES, SAMPLE_RATE

MODEL = "silero_vad_16k_sequence.onnx"
N_FRAME = 512  # samples a probability stands for
N_CONTEXT = 64  # samples before a frame that the model looks at too
N_BLOCK = 128 * N_FRAME  # samples a call: four seconds; longer ones are no faster
N_STATE = 128
MIN_PAUSE_S = 0.098  # where speech that runs on for too long may be cut without looking further; silero-vad's value
N_SEARCH = 12 * SAMPLE_RATE  # else it is cut somewhere in its last seconds
MISSING = "speech detection is not whole (the package silero-vad lacks its model); install again, or use --no-vad"


class Detector:
    """The speech probabilities of one stream, for one thread."""

    def __init__(self) -> None:
        """Load the model, once a process; LoadError when it is not there."""
        self._session = _session()
        self._block = np.empty(N_BLOCK, np.int16)
        self._n_held = 0
        self._context = np.zeros(N_CONTEXT, np.float32)
        self._state = [np.zeros((1, 1, N_STATE), np.float32)] * 2

    def push(self, samples: np.ndarray) -> np.ndarray:
        """What int16 (n_samples,) tells beyond what was told: float32 (n_frames,), often empty."""
        at, told = 0, []
        while at < len(samples):
            taken = samples[at : at + N_BLOCK - self._n_held]
            self._block[self._n_held : self._n_held + len(taken)] = taken
            at, self._n_held = at + len(taken), self._n_held + len(taken)
            if self._n_held == N_BLOCK:
                told.append(self._run(self._block))
                self._n_held = 0
        return np.concatenate(told) if told else np.zeros(0, np.float32)

    def finish(self) -> np.ndarray:
        """The rest; the last frame is filled up with zeros."""
        n_frames = -(-self._n_held // N_FRAME)
        self._block[self._n_held :] = 0
        self._n_held = 0
        return self._run(self._block[: n_frames * N_FRAME]) if n_frames else np.zeros(0, np.float32)

    def _run(self, block: np.ndarray) -> np.ndarray:
        frames = (block.astype(np.float32) / 32768).reshape(-1, N_FRAME)  # (n_frames, N_FRAME)
        contexts = np.concatenate([self._context[None], frames[:-1, -N_CONTEXT:]])
        self._context = frames[-1, -N_CONTEXT:].copy()
        inputs = {"input": np.concatenate([contexts, frames], axis=1), "h": self._state[0], "c": self._state[1]}
        told, *self._state = self._session.run(["speech_probs", "hn", "cn"], inputs)
        return told


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of speech in samples: ``[start, end)`` with its pads, ``[first, last)`` the speech alone."""

    start: int
    end: int
    first: int
    last: int


class Spans:
    """Probabilities to spans, as they come; pure.

    The rules and their odd cases are those of ``get_speech_timestamps`` in silero-vad (MIT) as faster-whisper 1.2.1
    (MIT) has them. Changed: it streams; speech that runs on without a pause is cut where it is least speech-like and
    not at its longest.
    """

    def __init__(self, options: SpeechOptions, n_longest: int | None = N_SAMPLES) -> None:
        """Expect the first frame at 0; no span is longer than ``n_longest``, pads included."""
        self._threshold = options.vad_threshold
        self._neg_threshold = max(options.vad_threshold - 0.15, 0.01)
        self._min_speech = options.vad_min_speech_s * SAMPLE_RATE
        self._min_silence = options.vad_min_silence_s * SAMPLE_RATE
        self._pad = round(options.vad_pad_s * SAMPLE_RATE)
        self._longest = np.inf if n_longest is None else n_longest - N_FRAME - 2 * self._pad
        self._at = 0  # where the next frame begins
        self._begin: int | None = None  # of the speech that goes on
        self._start: int | None = None  # the same with its pad, once it is sure not to be too short
        self._quiet: int | None = None  # since when it may be over
        self._pause: int | None = None  # begin of its last pause where it could be cut
        self._resumed: int | None = None  # where it went on after that
        self._heard: list[float] = []  # its frames since it began
        self._before: Span | None = None  # the one before, whose end pad hangs on what follows
        self._done: list[Span] = []

    @property
    def needed(self) -> int:
        """Where the samples begin that a span still to come may have."""
        if self._before is not None:
            return self._before.start
        if self._start is not None:
            return self._start
        return max(0, (self._at if self._begin is None else self._begin) - self._pad)

    def push(self, probabilities: np.ndarray) -> list[Span]:
        """The spans that are settled after these frames."""
        for probability in probabilities.tolist():
            self._hear(probability)
            self._at += N_FRAME
            self._settle()
        done, self._done = self._done, []
        return done

    def finish(self, n_samples: int) -> list[Span]:
        """The rest, when the stream has ended after ``n_samples``."""
        if self._begin is not None:
            self._close(n_samples)
        if self._before is not None:
            self._emit(min(n_samples, self._before.last + self._pad))
        done, self._done = self._done, []
        return done

    def _hear(self, probability: float) -> None:
        """Take the frame at ``_at``."""
        is_speech = probability >= self._threshold
        if is_speech and self._quiet is not None:
            self._quiet = None
            if self._pause is not None and (self._resumed is None or self._resumed < self._pause):
                self._resumed = self._at
        if self._begin is None:
            if is_speech:
                self._open(self._at, [probability])
            return
        if self._at - self._begin > self._longest:
            self._cut()
        self._heard.append(probability)
        if probability < self._neg_threshold and self._begin is not None:
            self._hush()

    def _hush(self) -> None:
        """Take a frame without speech while there is some."""
        if self._quiet is None:
            self._quiet = self._at
        if self._at - self._quiet > MIN_PAUSE_S * SAMPLE_RATE:
            self._pause = self._quiet
        if self._at - self._quiet >= self._min_silence:
            self._close(self._quiet)

    def _cut(self) -> None:
        """End speech that has become too long: in its last pause, else where it is least speech-like."""
        self._confirm()  # also where the part before the cut is short
        if self._pause is not None:
            resumed = self._resumed if self._resumed is not None and self._resumed >= self._pause else None
            self._close(self._pause, resumed)
        elif self._quiet is not None:
            self._close(self._quiet)
        else:
            backwards = self._heard[: -1 - N_SEARCH // N_FRAME : -1]
            middle = self._at - backwards.index(min(backwards)) * N_FRAME - N_FRAME // 2
            self._close(middle, middle)

    def _open(self, begin: int | None, heard: list[float]) -> None:
        self._begin, self._heard = begin, heard
        self._start = self._quiet = self._pause = self._resumed = None

    def _close(self, end: int, resumed: int | None = None) -> None:
        """End the speech that goes on; it begins again where it ``resumed``."""
        begin, heard = self._begin, self._heard
        assert begin is not None
        if end - begin > self._min_speech:
            self._confirm()
        if self._start is not None:
            self._before = Span(self._start, end, begin, end)
        n_frames = 0 if resumed is None else -(-(self._at - resumed) // N_FRAME)
        self._open(resumed, heard[len(heard) - n_frames :])

    def _settle(self) -> None:
        """Emit the span before once its pads are known."""
        if self._begin is not None and self._start is None and self._quiet is None:
            if self._at - N_FRAME - self._begin >= self._min_speech:  # the last frame of a file may be a short one
                self._confirm()
        elif self._before is not None:
            earliest = self._at if self._begin is None else self._begin
            if earliest - self._before.last >= 2 * self._pad:
                self._emit(self._before.last + self._pad)

    def _confirm(self) -> None:
        """Settle where the speech that goes on starts; in a short silence the two pads meet in its middle."""
        assert self._begin is not None
        if self._start is not None:
            return
        pad = self._pad
        if self._before is not None:
            pad = min(pad, (self._begin - self._before.last) // 2)
            self._emit(self._before.last + pad)
        self._start = max(0, self._begin - pad)

    def _emit(self, end: int) -> None:
        assert self._before is not None
        self._done.append(Span(self._before.start, end, self._before.first, self._before.last))
        self._before = None


@functools.cache
def _session() -> Any:
    import onnxruntime  # takes a while, so only where speech is looked for

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])


def model_path() -> Path:
    """Where the model lies; LoadError when it doesn't."""
    spec = importlib.util.find_spec("silero_vad")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / "data" / MODEL
        if path.is_file():
            return path
    raise LoadError(MISSING)
