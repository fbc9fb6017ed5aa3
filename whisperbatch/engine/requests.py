"""One clip's decode state: how far it has come, what was heard, which window is next. Policy only: no torch.

Comes in: a clip, and what was decoded of its windows. Goes out: windows, segments, at last a ClipText. Who calls:
``engine/continuous``. ``ClipRequest`` (clips mode) is here; ``FileRequest`` (sequential mode) in ``sequential``.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from whisperbatch.engine import coverage, inventions, segments
from whisperbatch.engine.fallback import Decoded, Judge
from whisperbatch.engine.words import Timings, WordRules, last_end_s
from whisperbatch.options import DecodeOptions
from whisperbatch.records import SAMPLE_RATE, WINDOW_S, Clip, ClipSettings, ClipText, Segment

FRAMES_A_SECOND = 100
N_FRAMES = int(WINDOW_S * FRAMES_A_SECOND)
N_HOP = SAMPLE_RATE // FRAMES_A_SECOND
MIN_REST = 10  # frames; less audio than this at a clip's end holds no word
MADE_UP = "text that may be made up was left out"
CUT_OFF = "the text was cut off, as it had no end when the decoder was full"
MIN_GAIN = 1.5  # times the letters that a second look must give to replace a text
MIN_LEFT_S = 0.2  # less speech than this after a text's end is where the two see that end
MAX_GIVEN = 200  # tokens; a window has room for 224, and its rest needs some
N_PROMPT = 223  # openai-whisper keeps the last so many tokens of a prompt


class Speller(Protocol):
    """What a request asks of ``engine/spelling``."""

    end: int
    timestamp_begin: int

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
        starved: The segment with too little text that a second look may replace.
        is_probe: Whether only its language is asked.
        given: Its text so far, a time at its end, when it goes on from there.
        tried: What was decoded of it so far, a temperature each.
        no_speech_prob: Of the first try; the others' openings are the same.
        audio: The encoder's output, kept while another pass may need it; the runner's to know.
        said: The tokens of text whose times are asked for.
        timings: Their times, once they are known.
    """

    request: "Request"
    start: int
    n_frames: int
    prompt: Sequence[int] = ()
    is_gap: bool = False
    starved: Segment | None = None
    is_probe: bool = False
    given: tuple[int, ...] = ()
    tried: list[Decoded] = field(default_factory=list)
    no_speech_prob: float = 0.0
    audio: Any = None
    said: tuple[int, ...] = ()
    timings: Timings | None = None

    @property
    def start_s(self) -> float:
        """Where it begins in the clip."""
        return self.start / FRAMES_A_SECOND

    @property
    def duration_s(self) -> float:
        """Seconds of audio in it."""
        return self.n_frames / FRAMES_A_SECOND


@dataclass(frozen=True, slots=True)
class Sampled:
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


class Request(ABC):
    """A clip on its way through the engine; owned by the engine's thread.

    Attributes:
        clip: The clip.
        number: Of its admission; the lower goes first.
        language: Whisper's code, once it is known.
        language_probability: Of the detected language; None when it was given.
    """

    def __init__(self, clip: Clip, number: int, speller: Speller, options: DecodeOptions, judge: Judge) -> None:
        """Nothing heard yet."""
        self.clip, self.number = clip, number
        self.language = clip.settings.language
        self.language_probability: float | None = None
        self.n_frames = len(clip.samples) // N_HOP
        self.judge = judge
        self.seek = 0
        self._speller, self._options = speller, options
        self._heard: list[Segment] = []
        self._suspects: list[dict[str, Any]] = []
        self._is_multilingual = options.multilingual and self.language is None
        self._words = WordRules(options, speller.decode, speller.end) if options.word_timestamps else None
        self._last_spoken_s = 0.0
        self._hot = _ids(speller, options.hotwords)[:N_PROMPT] if not (options.prefix or "").strip() else []
        self._asked = _ids(speller, clip.settings.prompt)

    @abstractmethod
    def next(self) -> Window | None:
        """The window to decode next; None when the clip is done. Asked once for each window."""

    @abstractmethod
    def settle(self, window: Window) -> tuple[Segment, ...]:
        """The segments of a window whose last temperature was tried; the clip moves on."""

    @abstractmethod
    def _draft(self, window: Window) -> tuple[list[Segment], float]:
        """The segments of a window by its text alone, none if it is silent, and by how many seconds the clip moves."""

    def to_align(self, window: Window) -> bool:
        """Whether the times of words are to be found before the window is settled."""
        window.said = self._words.text_of(self._draft(window)[0]) if self._words else ()
        return bool(window.said)

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
            language=self.language if self._is_multilingual else None,
        )

    def _with_words(
        self, window: Window, drafted: list[Segment], seek: int, *, back_to_words: bool = True
    ) -> inventions.Verdict:
        """Segments with their words, without those that may be made up, and the frame to go on from.

        ``back_to_words``: that frame is where the last word ends, unless the window ends in a single timestamp.
        """
        if self._words is None:
            return inventions.Verdict(drafted, seek)
        spoken_s = self._last_spoken_s
        new = self._words.add(drafted, window.timings, self.language, window.start_s, spoken_s)
        ends_in_one = segments.ends_in_one(self.judge.best(window.tried).tokens, self._speller.timestamp_begin)
        last_s, threshold_s = last_end_s(new), self._options.hallucination_silence_threshold
        if back_to_words and not ends_in_one and last_s is not None and last_s > window.start_s:
            seek = round(last_s * FRAMES_A_SECOND)
        verdict = inventions.Verdict(new, seek)
        if threshold_s is not None:
            stretch = inventions.Stretch(window.start, window.n_frames, self.n_frames)
            verdict = inventions.skip(new, stretch, seek, threshold_s, spoken_s, ends_in_one=ends_in_one)
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


class ClipRequest(Request):
    """A clip of at most a window, decoded until its audio is used up; blank segments are dropped.

    When it ends, its speech that has no text is decoded once more, a window each stretch.
    """

    def __init__(self, clip: Clip, number: int, speller: Speller, options: DecodeOptions, judge: Judge) -> None:
        """Nothing heard yet."""
        super().__init__(clip, number, speller, options, judge)
        self._gaps: list[tuple[coverage.Span, Segment | None]] | None = None
        self._instead: list[Segment] = []  # what second looks at a starved segment gave
        self._further: Window | None = None  # the last window, to go on from where its text ends

    def wants_more(self, window: Window) -> bool:
        """Whether the window is to be tried at the next temperature; one that goes on is rather looked at afresh."""
        return not window.given and super().wants_more(window)

    def next(self) -> Window | None:
        """The rest of the clip, then its gaps."""
        if self._further is not None:
            window, self._further = self._further, None
            return window
        rest = self.n_frames - self.seek
        if rest >= MIN_REST or (self.seek == 0 and rest > 0):
            return Window(self, self.seek, min(rest, N_FRAMES), self._before(self._asked))
        if self._gaps is None:
            self._gaps = self._second_looks() if self._options.second_pass and self.seek > 0 else []
        if self._gaps:
            (start_s, end_s), starved = self._gaps.pop(0)
            start, end = round(start_s * FRAMES_A_SECOND), round(end_s * FRAMES_A_SECOND)
            n_frames = min(end, self.n_frames) - start
            return Window(self, start, n_frames, self._before(self._asked), is_gap=True, starved=starved)
        return None

    def settle(self, window: Window) -> tuple[Segment, ...]:
        """The window's segments that have text and lie in its audio."""
        decoded = self.judge.best(window.tried)
        if window.given and self.judge.fails(decoded):
            return ()  # the next window begins where this was to go on
        drafted, moved_s = self._draft(window)
        if decoded.text.strip() and self._is_made_up(decoded):
            self._suspect(window.start_s, window.start_s + window.duration_s, MADE_UP)
        if window.is_gap:
            before = (one.end_s for one in self._heard if one.end_s <= window.start_s)
            self._last_spoken_s = max(before, default=0.0)
        drawn = window.start + min(round(moved_s * FRAMES_A_SECOND), window.n_frames)
        # a text without a pair of times, and not cut off, is all that was heard: its words' ends say no more
        is_whole = not decoded.is_cut and not segments.has_pair(decoded.tokens, self._speller.timestamp_begin)
        verdict = self._with_words(window, drafted, drawn, back_to_words=not is_whole)
        new = [_inside(one, window.start_s + window.duration_s) for one in verdict.kept]
        if window.starved is not None:
            return self._replace(window.starved, new, decoded)
        self._note_doubts(new, decoded)
        if decoded.is_cut and verdict.seek >= window.start + window.n_frames:
            self._suspect(window.start_s, window.start_s + window.duration_s, CUT_OFF)
        self._heard += new
        if window.is_gap:
            self._heard.sort(key=lambda one: one.start_s)
        else:
            least = self.seek + round(segments.MIN_ADVANCE_S * FRAMES_A_SECOND)
            self.seek = min(max(verdict.seek, least), window.start + window.n_frames)
            self._go_further(window, decoded)
        return tuple(new)

    def _second_looks(self) -> list[tuple[coverage.Span, Segment | None]]:
        """Speech without text; and both halves of speech that has too little, as the whole would give the same."""
        looks: list[tuple[coverage.Span, Segment | None]] = []
        looks += [(gap, None) for gap in coverage.uncovered(self.clip.speech, self._heard)]
        for segment in coverage.starved(self.clip.speech, self._heard):
            looks += [(part, segment) for part in coverage.parted(self.clip.speech, segment.start_s, segment.end_s)]
        return looks

    def _replace(self, starved: Segment, new: Sequence[Segment], decoded: Decoded) -> tuple[Segment, ...]:
        """Take what two looks at a starved segment's halves gave in its place, if that is good, and far more."""
        self._instead += [] if self.judge.fails(decoded) else new
        assert self._gaps is not None
        if any(segment is starved for _, segment in self._gaps):
            return ()  # the other half is still to come
        instead, self._instead = self._instead, []
        n_before, n_now = (coverage.n_letters("".join(one.text for one in some)) for some in ([starved], instead))
        if n_now < MIN_GAIN * n_before:
            return ()
        self._heard = sorted([one for one in self._heard if one is not starved] + instead, key=lambda one: one.start_s)
        return tuple(instead)

    def _go_further(self, window: Window, decoded: Decoded) -> None:
        """Go on in the same window where its text ended before its speech did, or end with the speech.

        A model that hears a last sentence cut off leaves it for a window of its own: it gives the sentence's start
        alone. Asked again with its text so far and that start, and not allowed to end at once, it says the rest with
        all that was said before in sight, and the encoder need not look again. Words' times need windows of their own.
        """
        end = window.start + window.n_frames
        if self.seek >= end or not self.clip.speech:
            return
        left_s = coverage.seconds_from(self.clip.speech, self.seek / FRAMES_A_SECOND)
        if left_s < MIN_LEFT_S:
            self.seek = end
        if left_s < MIN_LEFT_S or self._words is not None:
            return
        given = (*window.given, *decoded.tokens)
        last_frame = window.start + 2 * (given[-1] - self._speller.timestamp_begin) if given else 0
        if last_frame == self.seek and len(given) <= MAX_GIVEN:
            self._further = replace(window, given=given, tried=[], timings=None)

    def _draft(self, window: Window) -> tuple[list[Segment], float]:
        decoded = self.judge.best(window.tried)
        if self.judge.is_silence(decoded) or self._is_made_up(decoded):
            return [], window.duration_s
        tokens = (*window.given[-1:], *decoded.tokens)
        pieces, moved_s = segments.split(tokens, self._speller.timestamp_begin, window.duration_s)
        made = (self._segment(window, piece, decoded) for piece in pieces if piece.start_s < window.duration_s)
        return [one for one in made if one.text.strip()], moved_s

    def _is_made_up(self, decoded: Decoded) -> bool:
        speech_s = coverage.seconds_from(self.clip.speech, 0.0)
        return bool(self.clip.speech) and self.judge.is_made_up(decoded, speech_s)

    def text(self) -> ClipText:
        """What was heard, and which speech still has no text."""
        for start_s, end_s in coverage.uncovered(self.clip.speech, self._heard):
            self._suspect(start_s, end_s, "speech without text")
        for segment in coverage.starved(self.clip.speech, self._heard):
            self._suspect(segment.start_s, segment.end_s, "little text for so much speech")
        return super().text()


def _ids(speller: Speller, text: str | None) -> list[int]:
    """The ids of a text that follows other text; none of a blank one."""
    return speller.encode(" " + text.strip()) if text and text.strip() else []


def _inside(segment: Segment, limit_s: float) -> Segment:
    """A segment and its words inside the audio, in whole hundredths of a second."""

    def inside(start_s: float, end_s: float) -> dict[str, float]:
        start_s = max(0.0, start_s)
        return {"start_s": round(start_s, 2), "end_s": round(max(start_s, min(end_s, limit_s)), 2)}

    words = segment.words
    if words is not None:
        words = tuple(replace(word, **inside(word.start_s, word.end_s)) for word in words)
    return replace(segment, **inside(segment.start_s, segment.end_s), words=words)
