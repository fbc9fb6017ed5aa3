"""Renumber the token ids that the demo model uses without gaps, for training.

``Vocabulary`` maps between OpenAI's ids (from the multilingual tokenizer of the openai-whisper package) and compact
classes; the last class represents all unused ids.
"""

import math
import random
from dataclasses import dataclass

import numpy as np
from whisper.tokenizer import get_tokenizer

from whisperbatch.demo.training import grammar

N_VOCAB = 51_865
EOT, SOT, TRANSLATE, TRANSCRIBE, SOLM, SOP, NO_SPEECH, NO_TIMESTAMPS = (
    50_257, 50_258, 50_358, 50_359, 50_360, 50_361, 50_362, 50_363,
)  # fmt: skip
TIMESTAMP_0 = 50_364
N_TIMESTAMPS = 1_501  # 0.00 to 30.00 s in steps of 0.02 s
LANGUAGE_IDS = {"en": 50_259, "de": 50_261}
BLANK = 220  # a single space, which decoders suppress at the beginning
N_SENTENCES_SEEN = 40_000  # enough to meet every word in every position that it can have


@dataclass(frozen=True)
class Spelled:
    """A sentence in tokens: compact classes and, for each, its (start_s, end_s) in the spoken sentence."""

    tokens: np.ndarray  # int64 (n_tokens,)
    times: np.ndarray  # float64 (n_tokens, 2)


class Vocabulary:
    """The ids in use, and the mapping between ids and compact classes in both directions."""

    def __init__(self) -> None:
        """Collect the ids of the grammar's sentences, the special tokens and the timestamps."""
        self.encoding = get_tokenizer(True, num_languages=99).encoding
        rng = random.Random(20_250_625)
        text: set[int] = {BLANK}
        for _ in range(N_SENTENCES_SEEN):
            line = grammar.sentence(rng, rng.choice(list(grammar.GRAMMARS)), held_out=rng.random() < 0.5)
            text.update(self.encoding.encode(" " + line))
        specials = [EOT, SOT, *LANGUAGE_IDS.values(), TRANSCRIBE, SOP, NO_SPEECH, NO_TIMESTAMPS]
        timestamps = range(TIMESTAMP_0, TIMESTAMP_0 + N_TIMESTAMPS)
        self.text_ids = sorted(text)
        self.ids = np.array([*self.text_ids, *specials, *timestamps])
        self.compact = {int(full): index for index, full in enumerate(self.ids)}
        self.unused = len(self.ids)  # the class that is never a target
        self.log_n_unused = math.log(N_VOCAB - len(self.ids))
        self.timestamp_0 = self.compact[TIMESTAMP_0]

    @property
    def n_classes(self) -> int:
        """The number of used ids, plus one class for all others."""
        return len(self.ids) + 1

    def timestamp(self, at_s: float) -> int:
        """Return the class of a time in the window, in seconds."""
        return self.timestamp_0 + min(max(round(at_s / 0.02), 0), N_TIMESTAMPS - 1)

    def spell(self, text: str, words: tuple[tuple[int, int, float, float], ...]) -> Spelled:
        """Return the sentence's tokens with times; a word's time is divided among its bytes."""
        line = " " + text
        full = self.encoding.encode(line)
        byte_at = [len(line[: i + 1].encode()) for i in range(len(text) + 1)]  # character of text -> byte of line
        knots, seconds = [], []
        for first, last, start_s, end_s in words:
            knots += [byte_at[first], byte_at[last]]
            seconds += [start_s, end_s]
        ends = np.cumsum([len(self.encoding.decode_single_token_bytes(token)) for token in full])
        starts = np.concatenate([[0], ends[:-1]]) + 1  # the leading space has no sound
        times = np.stack([np.interp(np.minimum(starts, ends), knots, seconds), np.interp(ends, knots, seconds)], axis=1)
        return Spelled(np.array([self.compact[token] for token in full]), times)
