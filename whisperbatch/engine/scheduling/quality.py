"""Is this text good enough: compression, log-probability, silence; and which of several tries is kept. No torch.

Thresholds and formulas are openai-whisper's (whisper/transcribe.py and decoding.py, MIT). ``faithful`` asks for its
rules to the letter (sequential mode). Without it letters are counted and not bytes, so that right text in a script of
several bytes a letter is no loop; a loop is never taken for silence (as openai/whisper#2795 argues); and when all
temperatures failed the most probable text that is no loop is kept (as faster-whisper does, MIT).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from whisperbatch.options import DecodeOptions

MIN_CIRCLE, MIN_ROUNDS = 60, 5  # tokens, and times that they say the same, of a text that will not end by itself
SCRAP_S, HARDLY_S = 0.5, 1.0  # seconds; less speech than this is a scrap, or hardly speech
SILENT = 0.5  # a probability of no speech that is high where there is hardly any
MILD = 1.25  # times the limit, above which a text that repeats itself is a loop whatever else is known


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a decoder made of a window at one temperature; ``tokens`` without end of text."""

    tokens: tuple[int, ...]
    text: str
    temperature: float
    avg_logprob: float
    no_speech_prob: float
    is_cut: bool = False  # the text had not ended when there was no more room for it

    @property
    def compression_ratio(self) -> float:
        """Bytes of the text over bytes of its zlib compression."""
        return compression_ratio(self.text.strip())

    @property
    def repetition(self) -> float:
        """Letters of the text over bytes of their compression: the same for every script."""
        return repetition(self.text.strip())


def compression_ratio(text: str) -> float:
    """Bytes of the text over bytes of its zlib compression; high for text that repeats itself."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def repetition(text: str) -> float:
    """The compression ratio of a text whose letters take a byte each; of an English one its ``compression_ratio``.

    Bytes make text of several bytes a letter look like a loop: right Hindi has 2.6 in UTF-8 and 1.5 so.
    """
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        letters = {letter: 128 + number % 128 for number, letter in enumerate(dict.fromkeys(text)) if ord(letter) > 127}
        data = bytes(letters.get(letter, ord(letter) & 127) for letter in text)
    return len(data) / len(zlib.compress(data))


def goes_in_circles(tokens: Sequence[int], timestamp_begin: int) -> bool:
    """Whether the last tokens of a text say the same again and again, whatever their times."""
    text = [token for token in tokens if token < timestamp_begin]
    for period in range(1, len(text) // MIN_ROUNDS + 1):
        tail = text[-max(MIN_CIRCLE, MIN_ROUNDS * period) :]
        if len(tail) >= MIN_CIRCLE and tail[period:] == tail[:-period]:
            return True
    return False


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
        if self._max_ratio is None:
            return False
        return (one.compression_ratio if self._faithful else one.repetition) > self._max_ratio

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

    def is_made_up(self, one: Decoded, speech_s: float) -> bool:
        """Whether a text is the answer to a sound that is hardly speech, such as a bark, a sneeze or a sigh.

        Of the 184 recordings of speech that this was measured on (OpenAI's base), none has a no_speech_prob above 0.21.

        Args:
            one: The text that would be kept.
            speech_s: Seconds of speech that were detected in all of its clip.
        """
        is_silent = self._max_silence is not None and one.no_speech_prob > SILENT
        return (speech_s < HARDLY_S and is_silent) or (speech_s < SCRAP_S and self.is_improbable(one))

    def best(self, tried: Sequence[Decoded]) -> Decoded:
        """The one to keep when the last was reached: the last by openai-whisper's rule, else the best."""
        if self._faithful:
            return tried[-1]
        if not self.fails(tried[-1]):
            return next((one for one in tried[:-1] if self._outweighs(one, tried[-1])), tried[-1])
        plain = [one for one in tried if not self.is_loop(one)]
        best = max(plain or tried, key=lambda one: one.avg_logprob)
        return next(one for one in tried if one.tokens == best.tokens)  # of the same text rounding would pick either

    def _outweighs(self, one: Decoded, later: Decoded) -> bool:
        """Whether a text that only repeats itself somewhat is kept over a warmer one: a likelier, of twice the letters.

        A chorus or a list is such a text; in a true loop the ratio is far above the limit.
        """
        if self._max_ratio is None or self.is_improbable(one) or one.repetition > MILD * self._max_ratio:
            return False
        return len(one.text) > 2 * len(later.text) and one.avg_logprob > later.avg_logprob
