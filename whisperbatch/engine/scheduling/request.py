"""Track how far a clip is decoded: its segments so far and its next window. Policy only: no torch.

A request takes a clip and the results of its windows, and gives windows, segments and finally a ClipText.
``ClipRequest`` (clips mode) is in ``clip_request``, ``FileRequest`` (sequential mode) in ``file_request``.
"""

import traceback
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from whisperbatch.engine.scheduling import coverage, hallucinations, segments
from whisperbatch.engine.scheduling.hotwords import N_PROMPT, hot_ids, ids_of
from whisperbatch.engine.scheduling.quality import Decoded, Judge
from whisperbatch.engine.scheduling.words import Timings, WordRules, last_end_s
from whisperbatch.errors import InferenceError
from whisperbatch.options import DecodeOptions
from whisperbatch.records import SAMPLE_RATE, WINDOW_S, Clip, ClipFailed, ClipSettings, ClipText, Segment

FRAMES_A_SECOND = 100
N_FRAMES = int(WINDOW_S * FRAMES_A_SECOND)
N_HOP = SAMPLE_RATE // FRAMES_A_SECOND
MADE_UP = "text that may be made up was left out"


class Tokenizer(Hashable, Protocol):
    """What a request needs from ``engine/model/tokenizer``."""

    end: int
    timestamp_begin: int

    @property
    def languages(self) -> Mapping[str, int]:
        """Id by language code; empty for English-only models."""
        ...

    def __hash__(self) -> int:
        """Hash by identity; the ids of hotwords are cached for each tokenizer."""
        ...

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        ...

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of ids."""
        ...

    def refusal(self, settings: ClipSettings) -> str | None:
        """Return why the model can't do what a clip's settings require; None if it can."""
        ...


@dataclass(eq=False, slots=True)
class Window:
    """A stretch of a clip that the model decodes in one go.

    Attributes:
        request: The request that it belongs to.
        start: Its first frame (10 ms) in the clip.
        n_frames: Frames of the clip that it holds, at most 30 s.
        prompt: Tokens of the text that precedes it.
        is_gap: Whether it decodes speech again that has no text, or too little.
        sparse_segment: The segment with too little text that this second look may replace.
        is_language_run: Whether it ends where the language changes.
        is_probe: Whether only its language is wanted, not its text.
        language_probs: The probability of each language, where they were computed.
        resume_tokens: The text so far, ending in a timestamp, when decoding resumes from there.
        tried: The results so far, one per temperature.
        no_speech_prob: The probability of no speech, from the first try; later tries have the same opening.
        audio_features: The encoder's output, kept while another pass may need it; opaque to the scheduling layer.
        align_tokens: The text tokens to align with the audio.
        timings: The times of ``align_tokens``, once they are known.
    """

    request: "DecodeRequest"
    start: int
    n_frames: int
    prompt: Sequence[int] = ()
    is_gap: bool = False
    sparse_segment: Segment | None = None
    is_language_run: bool = False
    is_probe: bool = False
    language_probs: Mapping[str, float] | None = None
    resume_tokens: tuple[int, ...] = ()
    tried: list[Decoded] = field(default_factory=list)
    no_speech_prob: float = 0.0
    audio_features: Any = None
    align_tokens: tuple[int, ...] = ()
    timings: Timings | None = None

    @property
    def start_s(self) -> float:
        """Where it begins, in seconds of the clip."""
        return self.start / FRAMES_A_SECOND

    @property
    def duration_s(self) -> float:
        """Seconds of audio in the window."""
        return self.n_frames / FRAMES_A_SECOND

    @property
    def is_bounded(self) -> bool:
        """True if the model must not get audio of the clip after the window."""
        return self.is_gap or self.is_language_run


@dataclass(frozen=True, slots=True)
class SampledTokens:
    """Sampled tokens without the end of text, and the sum of log-probabilities including the end.

    ``is_cut``: the room for tokens was used up before an end of text.
    """

    tokens: tuple[int, ...]
    sum_logprob: float
    is_cut: bool = False

    @property
    def avg_logprob(self) -> float:
        """The mean log-probability, counting the end of text."""
        return self.sum_logprob / (len(self.tokens) + 1)


class DecodeRequest(ABC):
    """A clip on its way through the engine; owned by the engine's thread.

    Attributes:
        clip: The clip.
        number: The order of admission; lower numbers go first.
        language: Whisper's code, once it is known.
        language_probability: The probability of the detected language; None when the language was given.
        has_voted: Whether the clip has cast its vote on the file's language.
        is_multilingual: Whether the clip has its own language instead of its file's.
        n_left_out: The number of its hotwords that have no room.
    """

    def __init__(self, clip: Clip, number: int, tokenizer: Tokenizer, options: DecodeOptions, judge: Judge) -> None:
        """Start with no segments."""
        self.clip, self.number = clip, number
        self.language = clip.settings.language
        self.language_probability: float | None = None
        self.has_voted = False
        self.n_frames = len(clip.samples) // N_HOP
        self.judge = judge
        self.seek = 0
        self._tokenizer, self._options = tokenizer, options
        self._segments: list[Segment] = []
        self._suspects: list[dict[str, Any]] = []
        self.is_multilingual = options.multilingual and self.language is None
        self._rules = WordRules(options, tokenizer.decode, tokenizer.end)
        self._words = self._rules if options.word_timestamps else None
        self._last_spoken_s = 0.0
        hotwords = clip.settings.hotwords if not (options.prefix or "").strip() else None
        self._hotword_ids, self.n_left_out = hot_ids(tokenizer, hotwords or "")
        self._prompt_tokens = ids_of(tokenizer, clip.settings.prompt)

    @abstractmethod
    def next_window(self) -> Window | None:
        """Return the window to decode next, None when the clip is done; called once per window."""

    @abstractmethod
    def finish(self, window: Window) -> tuple[Segment, ...]:
        """Return the segments of a window that needs no more tries, and move on in the clip."""

    @abstractmethod
    def _draft(self, window: Window) -> tuple[list[Segment], float]:
        """Return a window's segments from its text alone, none if silent, and the seconds the clip moves on."""

    def take_language(self, window: Window) -> None:
        """Give the clip the most probable language of a window."""
        probs = window.language_probs
        assert probs is not None
        self.language = max(probs, key=lambda code: probs[code])
        self.language_probability = probs[self.language]

    @property
    def is_probing(self) -> bool:
        """True while the languages of pieces of the clip are detected, before its first window is decoded."""
        return False

    def votes(self, window: Window) -> Sequence[tuple[float, Mapping[str, float]]]:
        """Return the clip's votes on its file's language, seconds and probabilities; none while it is probing."""
        assert window.language_probs is not None
        return [(self.speech_s, window.language_probs)]

    @property
    def speech_s(self) -> float:
        """Seconds of speech in the clip; its whole length where no speech detection ran."""
        return coverage.seconds_in(self.clip.speech) or self.clip.duration_s

    def may_change_language(self, window: Window) -> bool:
        """Return True if the clip may still change its language, since this is its first window."""
        return False

    def window_among(self, window: Window, languages: Sequence[str]) -> Window:
        """Return the window to run instead of this one in a file of several languages."""
        return window

    def needs_alignment(self, window: Window) -> bool:
        """Set ``align_tokens``; return True if word times are needed before the window is finished."""
        window.align_tokens = self._words.text_of(self._draft(window)[0]) if self._words else ()
        return bool(window.align_tokens)

    def result(self) -> ClipText:
        """Return the clip's text."""
        speech, clip = self.clip.speech, self.clip
        return ClipText(
            clip.file_id,
            clip.index,
            tuple(self._segments),
            self.language or "en",
            self.language_probability,
            covered_s=coverage.covered_s(speech, self._segments) if speech else None,
            suspects=tuple(self._suspects),
        )

    def needs_retry(self, window: Window) -> bool:
        """Return True if the window should be tried at the next temperature."""
        return len(window.tried) < len(self._options.temperatures) and self.judge.fails(window.tried[-1])

    def _with_hotwords(self, tokens: Sequence[int]) -> list[int]:
        """Return a window's prompt: the hotwords, and as much of the text before it as fits."""
        n_left = N_PROMPT - len(self._hotword_ids)
        return [*self._hotword_ids, *(tokens[-n_left:] if n_left else ())]

    def _segment(self, window: Window, piece: segments.Piece, decoded: Decoded) -> Segment:
        return Segment(
            start_s=window.start_s + piece.start_s,
            end_s=window.start_s + piece.end_s,
            text=self._tokenizer.decode(piece.tokens),
            tokens=piece.tokens,
            seek=window.start,
            temperature=decoded.temperature,
            avg_logprob=decoded.avg_logprob,
            compression_ratio=decoded.compression_ratio,
            no_speech_prob=decoded.no_speech_prob,
            language=self.language if self.is_multilingual else None,
        )

    def _with_words(
        self, window: Window, drafted: list[Segment], seek: int, *, back_to_words: bool = True
    ) -> hallucinations.Verdict:
        """Add words to segments, drop those that may be hallucinated, and find the frame to continue from.

        ``back_to_words``: that frame is where the last word ends, unless the window ends in a single timestamp.
        """
        if self._words is None:
            return hallucinations.Verdict(drafted, seek)
        spoken_s = self._last_spoken_s
        new = self._words.add(drafted, window.timings, self.language, window.start_s, spoken_s)
        ends_in_one = segments.ends_in_one(self.judge.best(window.tried).tokens, self._tokenizer.timestamp_begin)
        last_s, threshold_s = last_end_s(new), self._options.hallucination_silence_threshold
        if back_to_words and not ends_in_one and last_s is not None and last_s > window.start_s:
            seek = round(last_s * FRAMES_A_SECOND)
        verdict = hallucinations.Verdict(new, seek)
        if threshold_s is not None:
            span = hallucinations.WindowSpan(window.start, window.n_frames, self.n_frames)
            verdict = hallucinations.skip(new, span, seek, threshold_s, spoken_s, ends_in_one=ends_in_one)
        for one in new[len(verdict.kept) :]:
            self._suspect(one.start_s, one.end_s, MADE_UP)
        if verdict.kept:
            self._last_spoken_s = last_end_s(verdict.kept) or 0.0
        return verdict

    def _suspect(self, start_s: float, end_s: float, reason: str) -> None:
        self._suspects.append({"start": round(start_s, 2), "end": round(end_s, 2), "reason": reason})

    def _note_doubts(self, new: Sequence[Segment], decoded: Decoded) -> None:
        """List as suspect any text that was kept although no temperature gave a better one."""
        if not new or not self.judge.fails(decoded):
            return
        reason = "the text repeats itself" if self.judge.is_loop(decoded) else "the text is improbable"
        self._suspect(new[0].start_s, new[-1].end_s, reason)


def failure_of(clip: Clip, err: Exception, *, lacks_memory: bool) -> ClipFailed:
    """Turn an error into the clip's ClipFailed; ``lacks_memory``: the device had too little."""
    if isinstance(err, InferenceError):
        return ClipFailed(clip.file_id, clip.index, err)
    reason = str(err).strip().partition("\n")[0] or type(err).__name__
    traceback.clear_frames(err.__traceback__)  # a caller that keeps the failure must not keep tensors with it
    failure = InferenceError(f"the model failed on it ({reason})")
    failure.__cause__ = err
    if lacks_memory:  # devices raise their own kinds of error for that
        failure.__cause__ = MemoryError(reason)
        failure.__cause__.__cause__ = err
    return ClipFailed(clip.file_id, clip.index, failure)
