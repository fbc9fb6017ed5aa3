"""One clip's decode state: how far it has come, what was heard, which window is next. Policy only: no torch.

Comes in: a clip, and what was decoded of its windows. Goes out: windows, segments, at last a ClipText. ``ClipRequest``
(clips mode) is in ``clip_request``, ``FileRequest`` (sequential mode) in ``file_request``.
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
    """What a request asks of ``engine/model/tokenizer``."""

    end: int
    timestamp_begin: int

    @property
    def languages(self) -> Mapping[str, int]:
        """Id by language code; empty for English-only models."""
        ...

    def __hash__(self) -> int:
        """As any object; ids of hotwords are kept for each speller."""
        ...

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        ...

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of ids."""
        ...

    def refusal(self, settings: ClipSettings) -> str | None:
        """Why the model can't do what a clip asks for; None when it can."""
        ...


@dataclass(eq=False, slots=True)
class Window:
    """A stretch of a clip that the model looks at at once.

    Attributes:
        request: Whose it is.
        start: Its first frame (10 ms) in the clip.
        n_frames: How much of the clip it holds, at most a window.
        prompt: Tokens of text that stands before it.
        is_gap: Whether it is a second look at speech without text, or with too little.
        sparse_segment: The segment with too little text that this second look may replace.
        is_language_run: Whether it ends where the language changes.
        is_probe: Whether only its language is wanted, not its text.
        language_probs: The probability of each language, where they were computed.
        resume_tokens: The text so far, ending in a timestamp, when decoding resumes from there.
        tried: The results so far, one per temperature.
        no_speech_prob: From the first try; later tries have the same opening.
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
        """Where it begins in the clip."""
        return self.start / FRAMES_A_SECOND

    @property
    def duration_s(self) -> float:
        """Seconds of audio in it."""
        return self.n_frames / FRAMES_A_SECOND

    @property
    def is_bounded(self) -> bool:
        """Whether the model must not hear what comes after it in the clip."""
        return self.is_gap or self.is_language_run


@dataclass(frozen=True, slots=True)
class SampledTokens:
    """Sampled tokens without end of text, and the sum of their log-probabilities with that of the end.

    ``is_cut``: no end of text came before there was no more room for tokens.
    """

    tokens: tuple[int, ...]
    sum_logprob: float
    is_cut: bool = False

    @property
    def avg_logprob(self) -> float:
        """Mean log-probability, the end counted."""
        return self.sum_logprob / (len(self.tokens) + 1)


class DecodeRequest(ABC):
    """A clip on its way through the engine; owned by the engine's thread.

    Attributes:
        clip: The clip.
        number: Of its admission; the lower goes first.
        language: Whisper's code, once it is known.
        language_probability: Of the detected language; None when it was given.
        has_voted: Whether the file knows what the clip has to say of its language.
        is_multilingual: Whether the clip has a language of its own, in place of its file's.
        n_left_out: How many of its hotwords have no room.
    """

    def __init__(self, clip: Clip, number: int, speller: Tokenizer, options: DecodeOptions, judge: Judge) -> None:
        """Nothing heard yet."""
        self.clip, self.number = clip, number
        self.language = clip.settings.language
        self.language_probability: float | None = None
        self.has_voted = False
        self.n_frames = len(clip.samples) // N_HOP
        self.judge = judge
        self.seek = 0
        self._speller, self._options = speller, options
        self._heard: list[Segment] = []
        self._suspects: list[dict[str, Any]] = []
        self.is_multilingual = options.multilingual and self.language is None
        self._rules = WordRules(options, speller.decode, speller.end)
        self._words = self._rules if options.word_timestamps else None
        self._last_spoken_s = 0.0
        hotwords = clip.settings.hotwords if not (options.prefix or "").strip() else None
        self._hot, self.n_left_out = hot_ids(speller, hotwords or "")
        self._asked = ids_of(speller, clip.settings.prompt)

    @abstractmethod
    def next(self) -> Window | None:
        """The window to decode next; None when the clip is done. Asked once for each window."""

    @abstractmethod
    def settle(self, window: Window) -> tuple[Segment, ...]:
        """The segments of a window whose last temperature was tried; the clip moves on."""

    @abstractmethod
    def _draft(self, window: Window) -> tuple[list[Segment], float]:
        """The segments of a window by its text alone, none if it is silent, and by how many seconds the clip moves."""

    def take_chances(self, window: Window) -> None:
        """Take the most probable language of a window for the clip's."""
        chances = window.language_probs
        assert chances is not None
        self.language = max(chances, key=lambda code: chances[code])
        self.language_probability = chances[self.language]

    @property
    def looks_closer(self) -> bool:
        """Whether pieces of the clip are asked for their languages before its first window is decoded."""
        return False

    def votes(self, window: Window) -> Sequence[tuple[float, Mapping[str, float]]]:
        """What a clip that votes says of its file's language, seconds and chances; nothing while it looks closer."""
        assert window.language_probs is not None
        return [(self.speech_s, window.language_probs)]

    @property
    def speech_s(self) -> float:
        """Seconds of speech in the clip; all of it where no speech detection ran."""
        return coverage.seconds_in(self.clip.speech) or self.clip.duration_s

    def is_opened_by(self, window: Window) -> bool:
        """Whether the clip may still change its language, as the window is the first of it."""
        return False

    def among(self, window: Window, languages: Sequence[str]) -> Window:
        """What runs in place of a window of a file in several languages."""
        return window

    def to_align(self, window: Window) -> bool:
        """Whether the times of words are to be found before the window is settled."""
        window.align_tokens = self._words.text_of(self._draft(window)[0]) if self._words else ()
        return bool(window.align_tokens)

    def text(self) -> ClipText:
        """What was heard."""
        speech, clip = self.clip.speech, self.clip
        return ClipText(
            clip.file_id,
            clip.index,
            tuple(self._heard),
            self.language or "en",
            self.language_probability,
            covered_s=coverage.covered_s(speech, self._heard) if speech else None,
            suspects=tuple(self._suspects),
        )

    def wants_more(self, window: Window) -> bool:
        """Whether the window is to be tried at the next temperature."""
        return len(window.tried) < len(self._options.temperatures) and self.judge.fails(window.tried[-1])

    def _before(self, tokens: Sequence[int]) -> list[int]:
        """What stands before a window: the hotwords, and as much of the text before it as there is room for."""
        n_left = N_PROMPT - len(self._hot)
        return [*self._hot, *(tokens[-n_left:] if n_left else ())]

    def _segment(self, window: Window, piece: segments.Piece, decoded: Decoded) -> Segment:
        return Segment(
            start_s=window.start_s + piece.start_s,
            end_s=window.start_s + piece.end_s,
            text=self._speller.decode(piece.tokens),
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
        """Segments with their words, without those that may be made up, and the frame to go on from.

        ``back_to_words``: that frame is where the last word ends, unless the window ends in a single timestamp.
        """
        if self._words is None:
            return hallucinations.Verdict(drafted, seek)
        spoken_s = self._last_spoken_s
        new = self._words.add(drafted, window.timings, self.language, window.start_s, spoken_s)
        ends_in_one = segments.ends_in_one(self.judge.best(window.tried).tokens, self._speller.timestamp_begin)
        last_s, threshold_s = last_end_s(new), self._options.hallucination_silence_threshold
        if back_to_words and not ends_in_one and last_s is not None and last_s > window.start_s:
            seek = round(last_s * FRAMES_A_SECOND)
        verdict = hallucinations.Verdict(new, seek)
        if threshold_s is not None:
            stretch = hallucinations.Stretch(window.start, window.n_frames, self.n_frames)
            verdict = hallucinations.skip(new, stretch, seek, threshold_s, spoken_s, ends_in_one=ends_in_one)
        for one in new[len(verdict.kept) :]:
            self._suspect(one.start_s, one.end_s, MADE_UP)
        if verdict.kept:
            self._last_spoken_s = last_end_s(verdict.kept) or 0.0
        return verdict

    def _suspect(self, start_s: float, end_s: float, reason: str) -> None:
        self._suspects.append({"start": round(start_s, 2), "end": round(end_s, 2), "reason": reason})

    def _note_doubts(self, new: Sequence[Segment], decoded: Decoded) -> None:
        """List what was kept although no temperature gave better."""
        if not new or not self.judge.fails(decoded):
            return
        reason = "the text repeats itself" if self.judge.is_loop(decoded) else "the text is improbable"
        self._suspect(new[0].start_s, new[-1].end_s, reason)


def failure_of(clip: Clip, err: Exception, *, lacks_memory: bool) -> ClipFailed:
    """What becomes of a clip that ``err`` kept from being decoded; ``lacks_memory``: the device had too little."""
    if isinstance(err, InferenceError):
        return ClipFailed(clip.file_id, clip.index, err)
    reason = str(err).strip().partition("\n")[0] or type(err).__name__
    traceback.clear_frames(err.__traceback__)  # the caller may keep the failure, and must not keep tensors with it
    failure = InferenceError(f"the model failed on it ({reason})")
    failure.__cause__ = err
    if lacks_memory:  # a device has an error of its own for that
        failure.__cause__ = MemoryError(reason)
        failure.__cause__.__cause__ = err
    return ClipFailed(clip.file_id, clip.index, failure)
