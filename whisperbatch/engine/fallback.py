"""Is this text good enough: compression, log-probability, silence; and which of several tries is kept. No torch.

Thresholds and formulas are openai-whisper's (whisper/transcribe.py and decoding.py, MIT). ``faithful`` asks for its
rules to the letter (sequential mode); without it a loop is never taken for silence (as openai/whisper#2795 argues), and
when all temperatures failed the most probable text that is no loop is kept (as faster-whisper does, MIT).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from whisperbatch.options import DecodeOptions


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a decoder made of a window at one temperature; ``tokens`` without end of text."""

    tokens: tuple[int, ...]
    text: str
    temperature: float
    avg_logprob: float
    no_speech_prob: float

    @property
    def compression_ratio(self) -> float:
        """Bytes of the text over bytes of its zlib compression."""
        return compression_ratio(self.text.strip())


def compression_ratio(text: str) -> float:
    """Bytes of the text over bytes of its zlib compression; high for text that repeats itself."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


class Judge:
    """The thresholds of one run and what follows from them."""

    def __init__(self, options: DecodeOptions, *, faithful: bool) -> None:
        """Keep the thresholds; see above for ``faithful``."""
        self._max_ratio = options.compression_ratio_threshold
        self._min_logprob = options.logprob_threshold
        self._max_silence = options.no_speech_threshold
        self._faithful = faithful

    def is_loop(self, one: Decoded) -> bool:
        """Whether the text repeats itself."""
        return self._max_ratio is not None and one.compression_ratio > self._max_ratio

    def is_improbable(self, one: Decoded) -> bool:
        """Whether its mean log-probability is low."""
        return self._min_logprob is not None and one.avg_logprob < self._min_logprob

    def fails(self, one: Decoded) -> bool:
        """Whether the next temperature should be tried."""
        is_loop, is_improbable = self.is_loop(one), self.is_improbable(one)
        if self._max_silence is not None and one.no_speech_prob > self._max_silence and is_improbable:
            return is_loop and not self._faithful
        return is_loop or is_improbable

    def is_silence(self, one: Decoded) -> bool:
        """Whether the window is skipped as silent."""
        if self._max_silence is None or one.no_speech_prob <= self._max_silence:
            return False
        return self._min_logprob is None or one.avg_logprob <= self._min_logprob

    def best(self, tried: Sequence[Decoded]) -> Decoded:
        """The one to keep when the last was reached: the last by openai-whisper's rule, else the best."""
        if self._faithful or not self.fails(tried[-1]):
            return tried[-1]
        plain = [one for one in tried if not self.is_loop(one)]
        best = max(plain or tried, key=lambda one: one.avg_logprob)
        return next(one for one in tried if one.tokens == best.tokens)  # of the same text rounding would pick either
