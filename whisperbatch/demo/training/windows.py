"""Compose spoken sentences into training examples with tokens, times and frame labels.

A ``Row`` has augmented audio, the token sequence as openai-whisper would write it, and the targets of the auxiliary
losses.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from whisperbatch.demo.training import grammar, sound
from whisperbatch.demo.training import vocabulary as ids
from whisperbatch.demo.training.speak import Speaker, Spoken, random_voice
from whisperbatch.demo.training.vocabulary import Spelled, Vocabulary
from whisperbatch.records import N_SAMPLES, SAMPLE_RATE, WINDOW_S

FRAME_S = 0.02  # one encoder frame, and one timestamp step
MAX_PROMPT = 223  # openai-whisper keeps this many tokens of previous text
MAX_INITIAL_S = 1.0  # max_initial_timestamp of every decoder


@dataclass(frozen=True)
class Sentence:
    """A spoken and spelled sentence, with labels for each 20 ms frame of it."""

    spoken: Spoken
    spelled: Spelled
    language: str
    voice: str
    phonemes: np.ndarray  # int64 (n_frames,), 0 is silence
    words: np.ndarray  # int64 (n_frames,), 0 is silence


@dataclass(frozen=True)
class Row:
    """One training example.

    Attributes:
        samples: float32 (n_samples,) in [-1, 1).
        tokens: int64 (n_tokens,), compact classes, prompt included.
        n_prompt: Number of tokens before start-of-transcript.
        times: float64 (n_tokens, 2), start and end of each token, in seconds from the first sample; NaN if it has none.
        phonemes: int64 (n_samples / 320,).
        words: int64 (n_samples / 320,).
        position: Encoder position of the first frame.
    """

    samples: np.ndarray
    tokens: np.ndarray
    n_prompt: int
    times: np.ndarray
    phonemes: np.ndarray
    words: np.ndarray
    position: int


@dataclass(frozen=True)
class Recipe:
    """How to compose a row: length, number of sentences, noise, and the probabilities of variants."""

    length_s: float
    n_sentences: tuple[int, int]
    snr_db: tuple[float, float] = (30.0, 40.0)
    p_prompt: float = 0.0
    p_silence: float = 0.05
    p_telephone: float = 0.1
    p_plain: float = 0.25  # rows without timestamps
    may_cut: bool = True  # a window's end may fall into a sentence

    @property
    def is_window(self) -> bool:
        """True if rows are whole windows, so that their end may cut a sentence."""
        return self.length_s >= WINDOW_S


class Labels:
    """Class numbers of phonemes and words for the auxiliary losses; 0 is silence."""

    def __init__(self) -> None:
        """Number the grammar's words; phonemes are numbered as they occur."""
        self.words = {word: index for index, word in enumerate(grammar.vocabulary(), start=1)}
        self.phonemes: dict[str, int] = {}

    def of(self, spoken: Spoken, language: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the phoneme and word class of each 20 ms frame of a sentence."""
        n_frames = int(spoken.duration_s / FRAME_S) + 1
        phonemes, words = np.zeros(n_frames, np.int64), np.zeros(n_frames, np.int64)
        for name, start_s, end_s in spoken.phonemes:
            number = self.phonemes.setdefault(f"{language}:{name}", len(self.phonemes) + 1)
            phonemes[round(start_s / FRAME_S) : round(end_s / FRAME_S)] = number
        for first, last, start_s, end_s in spoken.words:
            (word,) = grammar.words_of(spoken.text[first:last])
            words[round(start_s / FRAME_S) : round(end_s / FRAME_S)] = self.words[word]
        return phonemes, words


def speak_pool(seed: int, hours: float, vocabulary: Vocabulary, labels: Labels, held_out: bool) -> list[Sentence]:
    """Speak ``hours`` of sentences, about two English ones to one German, with a new voice every 8 sentences."""
    rng, speaker, pool, left_s = random.Random(seed), Speaker(), [], hours * 3600
    while left_s > 0:
        language = "en" if rng.random() < 0.64 else "de"
        voice = random_voice(rng, language, held_out)
        for _ in range(8):
            spoken = speaker.say(grammar.sentence(rng, language, held_out), voice)
            spelled = vocabulary.spell(spoken.text, spoken.words)
            phonemes, words = labels.of(spoken, language)
            pool.append(Sentence(spoken, spelled, language, voice.name, phonemes, words))
            left_s -= spoken.duration_s
    return pool


class Composer:
    """Composes rows on demand from a pool of sentences; owned by one thread."""

    def __init__(self, pool: Iterable[Sentence], vocabulary: Vocabulary, seed: int) -> None:
        """Sort the pool by language and by voice."""
        self._rng = random.Random(seed)
        self._noise = np.random.default_rng(seed)
        self._vocabulary = vocabulary
        self._by_language: dict[str, list[Sentence]] = {}
        self._by_voice: dict[str, list[Sentence]] = {}
        for sentence in pool:
            self._by_language.setdefault(sentence.language, []).append(sentence)
            self._by_voice.setdefault(sentence.voice, []).append(sentence)

    def row(self, recipe: Recipe) -> Row:
        """Compose one training example."""
        if self._rng.random() < recipe.p_silence:
            return self._silence(recipe)
        return self._speech(recipe)

    def _draw(self, n: int) -> list[Sentence]:
        language = self._rng.choices(["en", "de"], [0.62, 0.38])[0]
        first = self._rng.choice(self._by_language[language])
        pool = self._by_voice[first.voice] if self._rng.random() < 0.85 else self._by_language[language]
        return [first, *self._rng.choices(pool, k=n - 1)]

    def _start_s(self) -> float:
        kind = self._rng.random()
        if kind < 0.55:
            return self._rng.uniform(0, 0.3)
        return self._rng.uniform(0.3, 1.0) if kind < 0.92 else self._rng.uniform(1.0, 3.0)

    def _pause_s(self) -> float:
        if self._rng.random() < 0.04:
            return self._rng.uniform(3.0, 7.0)
        return 0.25 + min(self._rng.expovariate(1 / 0.6), 2.75)

    def _place(self, sentences: list[Sentence], recipe: Recipe) -> list[tuple[Sentence, float]]:
        """Return sentences with their start in seconds; only in a window may the last extend beyond the end."""
        placed: list[tuple[Sentence, float]] = []
        at_s = self._start_s()
        for sentence in sentences:
            runs_over = at_s + sentence.spoken.duration_s > recipe.length_s - 0.02
            whole_only = not recipe.is_window or not recipe.may_cut
            if at_s > recipe.length_s - 0.5 or (runs_over and whole_only and placed):
                break
            if runs_over and not recipe.is_window:
                at_s = max(0.0, recipe.length_s - sentence.spoken.duration_s - 0.04)
            placed.append((sentence, at_s))
            if runs_over:
                break
            at_s += sentence.spoken.duration_s + self._pause_s()
        return placed

    def _speech(self, recipe: Recipe) -> Row:
        rng = self._rng
        placed = self._place(self._draw(rng.randint(*recipe.n_sentences)), recipe)
        n_samples = round(recipe.length_s * SAMPLE_RATE)
        wave = np.zeros(n_samples, np.float32)
        phonemes, words = np.zeros(n_samples // 320, np.int64), np.zeros(n_samples // 320, np.int64)
        for sentence, at_s in placed:
            first = round(at_s * SAMPLE_RATE)
            piece = sentence.spoken.samples[: n_samples - first]
            wave[first : first + len(piece)] += piece * (10 ** rng.uniform(-0.15, 0.0) / 32768)
            frame = round(at_s / FRAME_S)
            for labels, of_sentence in ((phonemes, sentence.phonemes), (words, sentence.words)):
                labels[frame : frame + len(of_sentence)] = of_sentence[: len(labels) - frame]
        last_s = min(placed[-1][1] + placed[-1][0].spoken.duration_s, recipe.length_s)
        end_s = recipe.length_s if rng.random() < 0.4 else min(last_s + rng.uniform(0, 1.5), recipe.length_s)
        wave = sound.roughen(wave, round(end_s * SAMPLE_RATE), rng, self._noise, recipe.snr_db, recipe.p_telephone)
        position = 0 if recipe.is_window else rng.randrange(0, (N_SAMPLES - n_samples) // 320)
        return self._spell(wave, placed, recipe, position, phonemes, words)

    def _spell(
        self,
        wave: np.ndarray,
        placed: list[tuple[Sentence, float]],
        recipe: Recipe,
        position: int,
        phonemes: np.ndarray,
        words: np.ndarray,
    ) -> Row:
        sequence = _Sequence(self._vocabulary, position * FRAME_S)
        language = placed[0][0].language
        if self._rng.random() < recipe.p_prompt:
            self._prompt(sequence, language)
        timed = self._rng.random() >= recipe.p_plain
        n_prompt = sequence.open(language, timed)
        for index, (sentence, at_s) in enumerate(placed):
            sequence.say(sentence, at_s, recipe.length_s, timed, is_first=index == 0 and recipe.is_window)
        sequence.add(ids.EOT)
        return Row(wave, sequence.array(), n_prompt, sequence.times(), phonemes, words, position)

    def _prompt(self, sequence: "_Sequence", language: str) -> None:
        """Add previous text, mostly with timestamps, as openai-whisper puts it before the next window."""
        timed, at_s = self._rng.random() < 0.75, self._start_s()
        tokens: list[int] = []
        n_sentences = self._rng.randint(1, 9) if self._rng.random() < 0.5 else self._rng.randint(10, 24)
        for sentence in self._rng.choices(self._by_language[language], k=n_sentences):
            end_s = at_s + sentence.spoken.duration_s
            text = sentence.spelled.tokens.tolist()
            marks = self._vocabulary.timestamp(at_s), self._vocabulary.timestamp(end_s)
            tokens += [marks[0], *text, marks[1]] if timed else text
            at_s = end_s + self._pause_s()
        sequence.add(ids.SOP)
        for token in tokens[-MAX_PROMPT:]:
            sequence.add_compact(token)

    def _silence(self, recipe: Recipe) -> Row:
        n_samples = round(recipe.length_s * SAMPLE_RATE)
        wave = sound.without_speech(n_samples, self._rng, self._noise)
        position = 0 if recipe.is_window else self._rng.randrange(0, (N_SAMPLES - n_samples) // 320)
        sequence = _Sequence(self._vocabulary, 0.0)
        language = self._rng.choice(["en", "de"])
        if self._rng.random() < recipe.p_prompt:
            self._prompt(sequence, language)
        timed = self._rng.random() >= recipe.p_plain
        n_prompt = sequence.open(language, timed)
        if timed:
            sequence.add(ids.TIMESTAMP_0)
        sequence.add(ids.EOT)
        empty = np.zeros(n_samples // 320, np.int64)
        return Row(wave, sequence.array(), n_prompt, sequence.times(), empty, empty, position)


class _Sequence:
    """Collects the tokens of a row, with the time of each."""

    def __init__(self, vocabulary: Vocabulary, offset_s: float) -> None:
        self._vocabulary = vocabulary
        self._offset_s = offset_s
        self._tokens: list[int] = []
        self._times: list[tuple[float, float]] = []

    def add_compact(self, token: int, times: tuple[float, float] = (np.nan, np.nan)) -> None:
        self._tokens.append(token)
        self._times.append(times)

    def add(self, full_id: int) -> None:
        self.add_compact(self._vocabulary.compact[full_id])

    def open(self, language: str, timed: bool) -> int:
        n_prompt = len(self._tokens)
        for full_id in (ids.SOT, ids.LANGUAGE_IDS[language], ids.TRANSCRIBE):
            self.add(full_id)
        if not timed:
            self.add(ids.NO_TIMESTAMPS)
        return n_prompt

    def say(self, sentence: Sentence, at_s: float, length_s: float, timed: bool, is_first: bool) -> None:
        """Add a sentence; if the window's end cuts it, only its start, or without timestamps its whole words."""
        end_s = at_s + sentence.spoken.duration_s
        is_cut = end_s > length_s - 0.01
        if timed:
            shown_s = min(at_s, MAX_INITIAL_S) if is_first else at_s
            self._mark(shown_s, (at_s, at_s + 0.1))
            if is_cut:
                return
        n_shown = len(sentence.spelled.tokens)
        if is_cut:
            whole = [last for _, _, _, last in sentence.spoken.words if at_s + last <= length_s - 0.02]
            n_shown = int(np.sum(sentence.spelled.times[:, 1] <= whole[-1] + 1e-6)) if whole else 0
        for token, (start_s, stop_s) in zip(
            sentence.spelled.tokens[:n_shown], sentence.spelled.times[:n_shown] + at_s, strict=True
        ):
            self.add_compact(int(token), (start_s, stop_s))
        if timed:
            self._mark(end_s, (end_s - 0.1, end_s + 0.04))

    def _mark(self, at_s: float, times: tuple[float, float]) -> None:
        self.add_compact(self._vocabulary.timestamp(at_s + self._offset_s), times)

    def array(self) -> np.ndarray:
        return np.array(self._tokens)

    def times(self) -> np.ndarray:
        return np.array(self._times)
