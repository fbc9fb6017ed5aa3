"""A fake diarizer without weights, for tests: a voice is the octave of the strongest frequency.

It has the contract of a real one; tones of 100, 300 and 900 Hz are three speakers.
"""

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from whisperbatch.options import SpeakerOptions
from whisperbatch.records import SAMPLE_RATE, Turn
from whisperbatch.speakers import Diarization

N_PIECE = SAMPLE_RATE // 4  # samples per voice
LOWEST_HZ = 50.0
N_VOICES = 8
MAX_GAP_S = 0.5  # a shorter pause does not end a turn


class FakeDiarizer:
    """Distinguishes octaves; any thread may call it.

    Attributes:
        n_added: Stretches taken so far.
        closed: Whether ``close`` was called.
    """

    def __init__(
        self,
        names: Sequence[str | None] = (),
        before_add: Callable[[int, float, np.ndarray], None] | None = None,
        before_finish: Callable[[int], None] | None = None,
    ) -> None:
        """Start without any file.

        Args:
            names: The name of each voice from the lowest octave up; the rest have none.
            before_add: Called with the arguments of ``add``; may block or raise.
            before_finish: Called with the file's number; may block or raise.
        """
        self.n_added = 0
        self.closed = False
        self._names = names
        self._before_add = before_add
        self._before_finish = before_finish
        self._lock = threading.Lock()
        self._pieces: dict[int, list[tuple[float, float, int]]] = defaultdict(list)

    def add(self, file_id: int, start_s: float, samples: np.ndarray) -> None:
        """Find the voice of each piece of a stretch."""
        if self._before_add is not None:
            self._before_add(file_id, start_s, samples)
        pieces = [samples[at : at + N_PIECE] for at in range(0, len(samples), N_PIECE)]
        with self._lock:
            self.n_added += 1
            for index, piece in enumerate(pieces):
                start = start_s + index * N_PIECE / SAMPLE_RATE
                self._pieces[file_id].append((start, start + len(piece) / SAMPLE_RATE, voice_of(piece)))

    def finish(self, file_id: int, options: SpeakerOptions) -> Diarization:
        """Return the turns of a file; beyond ``max_speakers`` the highest voices count as one."""
        if self._before_finish is not None:
            self._before_finish(file_id)
        with self._lock:
            pieces = sorted(self._pieces.pop(file_id, []))
        if not pieces:
            return Diarization()
        voices = sorted({voice for *_, voice in pieces})
        kept = voices[: options.max_speakers]
        order = list(dict.fromkeys(min(voice, kept[-1]) for *_, voice in pieces))
        turns: list[Turn] = []
        for start_s, end_s, voice in pieces:
            speaker = order.index(min(voice, kept[-1]))
            if turns and turns[-1].speaker == speaker and start_s - turns[-1].end_s < MAX_GAP_S:
                start_s, end_s = turns[-1].start_s, max(turns.pop().end_s, end_s)
            turns.append(Turn(start_s, end_s, speaker))
        names = tuple(self._names[voice] if voice < len(self._names) else None for voice in order)
        return Diarization(tuple(turns), np.eye(N_VOICES, dtype=np.float32)[order], names)

    def forget(self, file_id: int) -> None:
        """Drop a file's pieces."""
        with self._lock:
            self._pieces.pop(file_id, None)

    def close(self) -> None:
        """Record the call."""
        self.closed = True


def voice_of(samples: np.ndarray) -> int:
    """Return the voice, 0 to 7, of int16 (n_samples,): the octave of its strongest frequency above 50 Hz."""
    if len(samples) < 2:
        return 0
    power = np.abs(np.fft.rfft(samples.astype(np.float64) * np.hanning(len(samples))))
    hz = int(power[1:].argmax() + 1) * SAMPLE_RATE / len(samples)
    return min(max(int(math.log2(hz / LOWEST_HZ)), 0), N_VOICES - 1)
