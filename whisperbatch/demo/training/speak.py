"""Speak sentences with the espeak-ng library: 16 kHz samples with word and phoneme times.

Needs Debian's libespeak-ng1 (``apt-get install espeak-ng``).
"""

import ctypes
import ctypes.util
import random
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soxr

from whisperbatch.errors import RunError
from whisperbatch.records import SAMPLE_RATE

_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT of speak_lib.h
_PHONEME_EVENTS = 1
_UTF8 = 1
_WORD, _PHONEME = 1, 7
_RATE, _PITCH, _RANGE = 1, 3, 4
_AUDIBLE = 120  # int16; quieter samples at both ends of a sentence are silence

ACCENTS = {"en": ("gmw/en-US", "gmw/en-US", "gmw/en-GB-x-rp"), "de": ("gmw/de",)}
VARIANTS = ("", "+m1", "+m3", "+m4", "+m7", "+f2", "+f4", "+f5")
HELD_OUT_VARIANTS = ("+m2", "+f1", "+f3")  # voices that training never uses


@dataclass(frozen=True)
class Voice:
    """A way to speak: espeak voice and variant (``gmw/de+f2``), words per minute, pitch and its range (0-99)."""

    name: str
    rate: int = 165
    pitch: int = 50
    pitch_range: int = 50


def random_voice(rng: random.Random, language: str, held_out: bool) -> Voice:
    """Draw a voice for training, or one that training never uses."""
    variant = rng.choice(HELD_OUT_VARIANTS if held_out else VARIANTS)
    name = rng.choice(ACCENTS[language]) + variant
    return Voice(name, rng.randint(140, 190), rng.randint(35, 65), rng.randint(35, 65))


@dataclass(frozen=True)
class Spoken:
    """A spoken sentence.

    Attributes:
        samples: int16 (n_samples,), 16 kHz mono, trimmed at both ends.
        text: The spoken text.
        words: (first character, end character, start_s, end_s) of each word in ``text``.
        phonemes: (name, start_s, end_s) of each phoneme.
    """

    samples: np.ndarray
    text: str
    words: tuple[tuple[int, int, float, float], ...]
    phonemes: tuple[tuple[str, float, float], ...]

    @property
    def duration_s(self) -> float:
        """Seconds of audio."""
        return len(self.samples) / SAMPLE_RATE


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class _Mark:
    """The beginning of a word or phoneme; ``position`` is the 0-based character, ``name`` the phoneme."""

    is_word: bool
    position: int
    at_s: float
    name: str


class Speaker:
    """The espeak-ng library; owned by one thread, one per process, since the library has global state."""

    def __init__(self) -> None:
        """Load the library; RunError if it is not installed."""
        name = ctypes.util.find_library("espeak-ng")
        if name is None:
            raise RunError("espeak-ng is not installed; on Debian: apt-get install espeak-ng")
        self._lib = ctypes.CDLL(name)
        self.source_rate = self._lib.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS)
        self._lib.espeak_Info.restype = ctypes.c_char_p
        data = ctypes.c_char_p()
        self._lib.espeak_Info(ctypes.byref(data))
        self._variants = Path((data.value or b"").decode()) / "voices" / "!v"
        self._blocks: list[np.ndarray] = []
        self._marks: list[_Mark] = []
        self._callback = _CALLBACK(self._collect)
        self._lib.espeak_SetSynthCallback(self._callback)
        self._voice: str | None = None

    def say(self, text: str, voice: Voice) -> Spoken:
        """Speak a sentence; RunError if espeak-ng does not know the voice."""
        self._set(voice)
        self._blocks.clear()
        self._marks.clear()
        data = text.encode()
        self._lib.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 0, 0, _UTF8, None, None)
        raw = np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.int16)
        loud = np.flatnonzero(np.abs(raw.astype(np.int32)) > _AUDIBLE)
        if len(loud) == 0:
            raise RunError(f"espeak-ng produced no sound for {text!r}")
        first, last = int(loud[0]), int(loud[-1]) + 1
        end_s = (last - first) / self.source_rate
        marks = [
            _Mark(m.is_word, m.position, min(max(m.at_s - first / self.source_rate, 0.0), end_s), m.name)
            for m in self._marks
        ]
        samples = soxr.resample(raw[first:last].astype(np.float32), self.source_rate, SAMPLE_RATE, quality="HQ")
        rounded = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
        return Spoken(rounded, text, _words(text, marks, end_s), _phonemes(marks, end_s))

    def _set(self, voice: Voice) -> None:
        if voice.name != self._voice:
            # espeak silently falls back: always on an unknown variant, on a language unless its full file name is used
            variant = voice.name.partition("+")[2]
            known = not variant or (self._variants / variant).is_file()
            if not known or self._lib.espeak_SetVoiceByName(voice.name.encode()) != 0:
                raise RunError(f"espeak-ng has no voice {voice.name!r}")
            self._voice = voice.name
        for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.pitch_range)):
            self._lib.espeak_SetParameter(parameter, value, 0)

    def _collect(self, wave: "ctypes._Pointer[ctypes.c_short]", n: int, events: "ctypes._Pointer[_Event]") -> int:
        if wave and n > 0:
            self._blocks.append(np.ctypeslib.as_array(wave, (n,)).copy())
        i = 0
        while events[i].type:
            event = events[i]
            if event.type in (_WORD, _PHONEME):
                name = event.id.string.decode(errors="replace") if event.type == _PHONEME else ""
                at_s = event.audio_position / 1000
                self._marks.append(_Mark(event.type == _WORD, event.text_position - 1, at_s, name))
            i += 1
        return 0


def _words(text: str, marks: list[_Mark], end_s: float) -> tuple[tuple[int, int, float, float], ...]:
    """Return character ranges of words with times; words that espeak joined share their time by length."""
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    starts: dict[int, float] = {}
    for mark in marks:
        if mark.is_word:
            index = max((i for i, (first, _) in enumerate(spans) if first <= mark.position), default=0)
            starts.setdefault(index, mark.at_s)
    starts[0] = 0.0
    known = [*sorted(starts), len(spans)]
    words: list[tuple[int, int, float, float]] = []
    for here, after in pairwise(known):
        total_s = starts.get(after, end_s) - starts[here]
        n_characters = sum(last - first for first, last in spans[here:after])
        at_s = starts[here]
        for first, last in spans[here:after]:
            stop_s = at_s + total_s * (last - first) / n_characters
            words.append((first, last, at_s, stop_s))
            at_s = stop_s
    return tuple(words)


def _phonemes(marks: list[_Mark], end_s: float) -> tuple[tuple[str, float, float], ...]:
    sounds = [(mark.name, mark.at_s) for mark in marks if not mark.is_word]
    ends = [at_s for _, at_s in sounds[1:]] + [end_s]
    return tuple((name, at_s, stop) for (name, at_s), stop in zip(sounds, ends, strict=True) if name and stop > at_s)
