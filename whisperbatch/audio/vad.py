"""Voice activity detection: Silero VAD's probabilities for frames of 32 ms, and the spans of speech they give.

Works on a stream; each span is returned as soon as nothing that follows can change it. The package silero-vad is used
only for its model file: importing it would import torch and set torch's threads. With ``speakers``, the only place that
imports onnxruntime.
"""

import functools
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from whisperbatch.errors import LoadError
from whisperbatch.options import SpeechOptions
from whisperbatch.records import N_SAMPLES, SAMPLE_RATE

MODEL = "silero_vad_16k_sequence.onnx"
N_FRAME = 512  # samples per probability
N_CONTEXT = 64  # samples before a frame that the model also sees
N_BLOCK = 128 * N_FRAME  # samples per call: four seconds; longer ones are not faster
N_STATE = 128
QUIET = 10 ** (-36 / 20)  # of full scale; a block that peaks below it is also tried with a gain
FAINTEST = 2.5 / 32768  # lower peaks are noise of the last bits
TARGET = 10 ** (-20 / 20)  # the gain raises peaks to this level
MAX_GAIN = 10 ** (50 / 20)
DECAY = 10 ** (-1 / 20)  # of the level that the gain follows, per block
N_CLICK = 3  # frames
SURE = 0.5  # probability
N_WORD = 8  # frames of speech that a gain must add in a recording that has been quiet so far
N_MORE = 16  # frames of speech that it must add in a quiet part of any other recording
N_PATIENT = 8  # blocks without speech for which the gain stays on
LOUD = 300  # of 32,768; a lower peak may be noise
FAINT = 10  # a lower peak is noise
N_SHORT = SAMPLE_RATE // 100  # a hundredth of a second
N_SPOKEN = 8  # this many hundredths must exceed the noise by 12 dB
MIN_PAUSE_S = 0.098  # speech that is too long may be cut at a pause of this length; silero-vad's value
N_SEARCH = 12 * SAMPLE_RATE  # else it is cut in its last seconds
MISSING = (
    "speech detection is unavailable: silero-vad is installed without its model file; reinstall it or use --no-vad"
)


class Detector:
    """Computes the speech probabilities of one stream, for one thread.

    The model misses much quiet speech. A quiet block is also tried with a gain; where that finds clearly more speech,
    the gain stays on until something louder comes or the speech has ended. So speech that is found without a gain, and
    the pauses in it, keep the probabilities of the unchanged samples.
    """

    def __init__(self) -> None:
        """Load the model, once per process; LoadError when it is missing."""
        self._session = _session()
        self._block = np.empty(N_BLOCK, np.int16)
        self._n_held = 0
        self._plain = self._raised = _State()  # without and with a gain
        self._level: float | None = None  # level of the current quiet speech; None while there is none
        self._n_blank = 0  # blocks since there was any
        self._n_wanted = N_WORD  # frames of speech that a gain must add

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take int16 (n_samples,); return the new probabilities, float32 (n_frames,), often empty."""
        at, probabilities = 0, []
        while at < len(samples):
            taken = samples[at : at + N_BLOCK - self._n_held]
            self._block[self._n_held : self._n_held + len(taken)] = taken
            at, self._n_held = at + len(taken), self._n_held + len(taken)
            if self._n_held == N_BLOCK:
                probabilities.append(self._judge(self._block))
                self._n_held = 0
        return np.concatenate(probabilities) if probabilities else np.zeros(0, np.float32)

    def finish(self) -> np.ndarray:
        """Return the remaining probabilities; the last frame is padded with zeros."""
        n_frames = -(-self._n_held // N_FRAME)
        self._block[self._n_held :] = 0
        self._n_held = 0
        return self._judge(self._block[: n_frames * N_FRAME]) if n_frames else np.zeros(0, np.float32)

    def _judge(self, block: np.ndarray) -> np.ndarray:
        """A block's probabilities, with a gain or without."""
        frames = (block.astype(np.float32) / 32768).reshape(-1, N_FRAME)  # (n_frames, N_FRAME)
        level = max(level_of(frames), (self._level or 0.0) * DECAY)
        plain, self._plain = self._run(frames, self._plain)
        if not FAINTEST < level < QUIET:
            self._level, self._raised = None, self._plain
            self._n_wanted = N_MORE if level >= QUIET else self._n_wanted
            return plain
        louder = np.clip(frames * min(TARGET / level, MAX_GAIN), -1.0, 1.0)
        raised, self._raised = self._run(louder, self._raised)
        n_more = np.count_nonzero(raised >= SURE) - np.count_nonzero(plain >= SURE)
        self._n_blank = 0 if (raised >= SURE).any() else self._n_blank + 1
        if n_more < self._n_wanted and (self._level is None or self._n_blank >= N_PATIENT):
            self._level = None
            return plain
        self._level = level
        return raised

    def _run(self, frames: np.ndarray, state: "_State") -> tuple[np.ndarray, "_State"]:
        """Float32 (n_frames,) for frames (n_frames, N_FRAME) after a state, and the state after them."""
        contexts = np.concatenate([state.context[None], frames[:-1, -N_CONTEXT:]])
        inputs = {"input": np.concatenate([contexts, frames], axis=1), "h": state.hidden, "c": state.cell}
        probabilities, *after = self._session.run(["speech_probs", "hn", "cn"], inputs)
        return probabilities, _State(frames[-1, -N_CONTEXT:].copy(), *after)


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """The model's state: the last samples, and two vectors."""

    context: np.ndarray = field(default_factory=lambda: np.zeros(N_CONTEXT, np.float32))
    hidden: np.ndarray = field(default_factory=lambda: np.zeros((1, 1, N_STATE), np.float32))
    cell: np.ndarray = field(default_factory=lambda: np.zeros((1, 1, N_STATE), np.float32))


def level_of(frames: np.ndarray) -> float:
    """Return the peak of (n_frames, N_FRAME) without the loudest few frames, which may be a click; full scale is 1."""
    peaks = np.sort(np.abs(frames).max(axis=1))
    return float(peaks[-1 - N_CLICK] if len(peaks) > 2 * N_CLICK else peaks[-1])


def is_sound(samples: np.ndarray) -> bool:
    """True if a second or less of int16 (n_samples,) is more than noise: something is loud, or stands out."""
    loudness = np.abs(samples.astype(np.int32))
    if loudness.max() >= LOUD:
        return True
    powers = np.square(loudness[: len(loudness) // N_SHORT * N_SHORT].reshape(-1, N_SHORT)).mean(axis=1)
    if len(powers) < N_SPOKEN or loudness.max() < FAINT:
        return False
    return bool(np.sort(powers)[-N_SPOKEN] >= max(16 * np.quantile(powers, 0.1), 4.0))


@dataclass(frozen=True, slots=True)
class Span:
    """A span of speech in samples: ``[start, end)`` with padding, ``[first, last)`` without."""

    start: int
    end: int
    first: int
    last: int


class Spans:
    """Turns a stream of probabilities into spans; pure.

    The rules and their odd cases are those of ``get_speech_timestamps`` in silero-vad (MIT) as faster-whisper 1.2.1
    (MIT) has them. Changed: it streams; speech without a pause is cut where it is least speech-like, not at the maximum
    length.
    """

    def __init__(self, options: SpeechOptions, n_longest: int | None = N_SAMPLES) -> None:
        """Start at sample 0; no span is longer than ``n_longest`` including padding."""
        self._threshold = options.vad_threshold
        self._neg_threshold = max(options.vad_threshold - 0.15, 0.01)
        self._min_speech = options.vad_min_speech_s * SAMPLE_RATE
        self._min_silence = options.vad_min_silence_s * SAMPLE_RATE
        self._pad = round(options.vad_pad_s * SAMPLE_RATE)
        self._longest = np.inf if n_longest is None else n_longest - N_FRAME - 2 * self._pad
        self._at = 0  # where the next frame begins
        self._begin: int | None = None  # start of the current speech
        self._start: int | None = None  # the same with padding, once it is known not to be too short
        self._quiet: int | None = None  # since when it may have ended
        self._pause: int | None = None  # start of its last pause where it could be cut
        self._resumed: int | None = None  # where it went on after that pause
        self._frames: list[float] = []  # probabilities of its frames so far
        self._before: Span | None = None  # the previous span, whose end padding depends on what follows
        self._done: list[Span] = []

    @property
    def needed(self) -> int:
        """The earliest sample that a future span may contain."""
        if self._before is not None:
            return self._before.start
        if self._start is not None:
            return self._start
        return max(0, (self._at if self._begin is None else self._begin) - self._pad)

    def push(self, probabilities: np.ndarray) -> list[Span]:
        """Take the next frames' probabilities; return the spans that are final now."""
        for probability in probabilities.tolist():
            self._take(probability)
            self._at += N_FRAME
            self._emit_if_final()
        done, self._done = self._done, []
        return done

    def finish(self, n_samples: int) -> list[Span]:
        """Return the remaining spans of a stream that ended after ``n_samples``."""
        if self._begin is not None:
            self._close(n_samples)
        if self._before is not None:
            self._emit(min(n_samples, self._before.last + self._pad))
        done, self._done = self._done, []
        return done

    def _take(self, probability: float) -> None:
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
        self._frames.append(probability)
        if probability < self._neg_threshold and self._begin is not None:
            self._take_quiet()

    def _take_quiet(self) -> None:
        """Take a frame without speech during speech."""
        if self._quiet is None:
            self._quiet = self._at
        if self._at - self._quiet > MIN_PAUSE_S * SAMPLE_RATE:
            self._pause = self._quiet
        if self._at - self._quiet >= self._min_silence:
            self._close(self._quiet)

    def _cut(self) -> None:
        """End speech that has become too long: in its last pause, else where it is least speech-like."""
        self._confirm()  # even if the part before the cut is short
        if self._pause is not None:
            resumed = self._resumed if self._resumed is not None and self._resumed >= self._pause else None
            self._close(self._pause, resumed)
        elif self._quiet is not None:
            self._close(self._quiet)
        else:
            backwards = self._frames[: -1 - N_SEARCH // N_FRAME : -1]
            middle = self._at - backwards.index(min(backwards)) * N_FRAME - N_FRAME // 2
            self._close(middle, middle)

    def _open(self, begin: int | None, frames: list[float]) -> None:
        self._begin, self._frames = begin, frames
        self._start = self._quiet = self._pause = self._resumed = None

    def _close(self, end: int, resumed: int | None = None) -> None:
        """End the current speech; it begins again where it ``resumed``."""
        begin, frames = self._begin, self._frames
        assert begin is not None
        if end - begin > self._min_speech:
            self._confirm()
        if self._start is not None:
            self._before = Span(self._start, end, begin, end)
        n_frames = 0 if resumed is None else -(-(self._at - resumed) // N_FRAME)
        self._open(resumed, frames[len(frames) - n_frames :])

    def _emit_if_final(self) -> None:
        """Emit the previous span once its padding is known."""
        if self._begin is not None and self._start is None and self._quiet is None:
            if self._at - N_FRAME - self._begin >= self._min_speech:  # the last frame of a file may be a short one
                self._confirm()
        elif self._before is not None:
            earliest = self._at if self._begin is None else self._begin
            if earliest - self._before.last >= 2 * self._pad:
                self._emit(self._before.last + self._pad)

    def _confirm(self) -> None:
        """Fix the start of the current speech; in a short silence the padding of both sides meets in the middle."""
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
    import onnxruntime  # slow to import, so only when speech detection runs

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])


def model_path() -> Path:
    """Return the path of the model file; LoadError when it is missing."""
    spec = importlib.util.find_spec("silero_vad")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / "data" / MODEL
        if path.is_file():
            return path
    raise LoadError(MISSING)
