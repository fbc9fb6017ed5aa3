"""Judge whether a text is good enough (compression, log-probability, silence) and pick one of several tries. No torch.

Thresholds and formulas are openai-whisper's (whisper/transcribe.py and decoding.py, MIT). ``faithful`` applies its
rules exactly (sequential mode). Otherwise letters are counted instead of bytes, so that correct text in a script of
several bytes per letter does not count as a loop; a loop is never taken for silence (as openai/whisper#2795 argues);
and if all temperatures failed, the most probable text that is not a loop is kept (as faster-whisper does, MIT).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from whisperbatch.options import DecodeOptions

MIN_CIRCLE, MIN_ROUNDS = 60, 5  # tokens, and repetitions in them, of a text that will not end by itself
SCRAP_S, HARDLY_S = 0.5, 1.0  # seconds; less speech than this is a scrap, or hardly speech
SILENT = 0.5  # above this, no_speech_prob is high for audio with hardly any speech
MILD = 1.25  # above this many times the limit, a text that repeats itself is always a loop


@dataclass(frozen=True, slots=True)
class Decoded:
    """The result of decoding a window at one temperature; ``tokens`` without end of text."""

    tokens: tuple[int, ...]
    text: str
    temperature: float
    avg_logprob: float
    no_speech_prob: float
    is_cut: bool = False  # the room for tokens was used up before the text ended

    @property
    def compression_ratio(self) -> float:
        """The text's bytes divided by the bytes of its zlib compression."""
        return compression_ratio(self.text.strip())

    @property
    def repetition(self) -> float:
        """The text's letters divided by the bytes of their compression: comparable across scripts."""
        return repetition(self.text.strip())


def compression_ratio(text: str) -> float:
    """Return a text's bytes divided by the bytes of its zlib compression; high for text that repeats itself."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def repetition(text: str) -> float:
    """Return the compression ratio of a text as if each letter took one byte; for English, its ``compression_ratio``.

    In UTF-8, text with several bytes per letter looks like a loop: correct Hindi has a ratio of 2.6, here 1.5.
    """
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        letters = {letter: 128 + number % 128 for number, letter in enumerate(dict.fromkeys(text)) if ord(letter) > 127}
        data = bytes(letters.get(letter, ord(letter) & 127) for letter in text)
    return len(data) / len(zlib.compress(data))


def goes_in_circles(tokens: Sequence[int], timestamp_begin: int) -> bool:
    """Return True if a text ends in a phrase repeated again and again, whatever its timestamps."""
    text = [token for token in tokens if token < timestamp_begin]
    for period in range(1, len(text) // MIN_ROUNDS + 1):
        tail = text[-max(MIN_CIRCLE, MIN_ROUNDS * period) :]
        if len(tail) >= MIN_CIRCLE and tail[period:] == tail[:-period]:
            return True
    return False


class Judge:
    """Applies the thresholds of one run."""

    def __init__(self, options: DecodeOptions, *, faithful: bool) -> None:
        """Store the thresholds; for ``faithful`` see the module's docstring."""
        self._max_ratio = options.compression_ratio_threshold
        self._min_logprob = options.logprob_threshold
        self._max_silence = options.no_speech_threshold
        self._faithful = faithful

    def is_loop(self, one: Decoded) -> bool:
        """Return True if the text repeats itself."""
        if self._max_ratio is None:
            return False
        return (one.compression_ratio if self._faithful else one.repetition) > self._max_ratio

    def is_improbable(self, one: Decoded) -> bool:
        """Return True if the mean log-probability is low."""
        return self._min_logprob is not None and one.avg_logprob < self._min_logprob

    def fails(self, one: Decoded) -> bool:
        """Return True if the next temperature should be tried."""
        is_loop, is_improbable = self.is_loop(one), self.is_improbable(one)
        if self._max_silence is not None and one.no_speech_prob > self._max_silence and is_improbable:
            return is_loop and not self._faithful
        return is_loop or is_improbable

    def is_silence(self, one: Decoded) -> bool:
        """Return True if the window should be skipped as silent."""
        if self._max_silence is None or one.no_speech_prob <= self._max_silence:
            return False
        return self._min_logprob is None or one.avg_logprob <= self._min_logprob

    def is_made_up(self, one: Decoded, speech_s: float) -> bool:
        """Return True if a text was probably made up from hardly any speech, such as a bark, a sneeze or a sigh.

        None of the 184 recordings of speech measured (OpenAI's base) has a no_speech_prob above 0.21.

        Args:
            one: The result that would be kept.
            speech_s: Seconds of speech detected in the whole clip.
        """
        is_silent = self._max_silence is not None and one.no_speech_prob > SILENT
        return (speech_s < HARDLY_S and is_silent) or (speech_s < SCRAP_S and self.is_improbable(one))

    def best(self, tried: Sequence[Decoded]) -> Decoded:
        """Return the result to keep after the last try: the last by openai-whisper's rule, otherwise the best."""
        if self._faithful:
            return tried[-1]
        if not self.fails(tried[-1]):
            return next((one for one in tried[:-1] if self._outweighs(one, tried[-1])), tried[-1])
        plain = [one for one in tried if not self.is_loop(one)]
        best = max(plain or tried, key=lambda one: one.avg_logprob)
        return next(one for one in tried if one.tokens == best.tokens)  # among equal texts, rounding would decide

    def _outweighs(self, one: Decoded, later: Decoded) -> bool:
        """Return True if a mildly repetitive text beats a later one: it is more probable and over twice as long.

        A chorus or a list is such a text; in a true loop the ratio is far above the limit.
        """
        if self._max_ratio is None or self.is_improbable(one) or one.repetition > MILD * self._max_ratio:
            return False
        return len(one.text) > 2 * len(later.text) and one.avg_logprob > later.avg_logprob
