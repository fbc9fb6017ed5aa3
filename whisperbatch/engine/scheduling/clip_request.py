"""Decode a clip of at most one window (clips mode): its next window, and what is kept. Policy only: no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from whisperbatch.engine.scheduling import coverage, language_changes, pauses, segments
from whisperbatch.engine.scheduling.quality import Decoded, Judge
from whisperbatch.engine.scheduling.request import FRAMES_A_SECOND, MADE_UP, N_FRAMES, DecodeRequest, Tokenizer, Window
from whisperbatch.engine.scheduling.words import Timed
from whisperbatch.languages import LANGUAGES, foreign_share
from whisperbatch.options import DecodeOptions
from whisperbatch.records import Clip, ClipText, Segment, Word

MIN_REST = 10  # frames; less audio than this at a clip's end holds no word
CUT_OFF = "the text was cut off, as it had no end when the decoder was full"
CERTAIN = 0.95  # below this probability of its language a clip may hold two languages
MAX_FOREIGN = 0.5  # share of a segment's letters in a script that its language is not written in
MIN_GAIN = 1.5  # a second look must give this many times the letters to replace a text
MIN_LEFT_S = 0.2  # with less speech than this left, text and speech count as ending together
MAX_RESUMED = 200  # tokens of a text to resume; with more, a prompt and the rest might not fit


class ClipRequest(DecodeRequest):
    """A clip of at most a window, decoded until its audio is used up; blank segments are dropped.

    At the end, speech without text is decoded once more, one window per stretch.
    """

    def __init__(self, clip: Clip, number: int, tokenizer: Tokenizer, options: DecodeOptions, judge: Judge) -> None:
        """Start with no segments."""
        super().__init__(clip, number, tokenizer, options, judge)
        self._gaps: list[tuple[coverage.Span, Segment | None]] | None = None
        self._replacements: list[Segment] = []  # segments from second looks at a sparse segment
        self._resumed: Window | None = None  # the last window, to resume where its text ends
        self._among: Sequence[str] = ()  # the languages of its file, if there are several
        self._whole: Window | None = None  # the first window, while the pieces' languages are detected
        self._pieces = language_changes.pieces(clip.speech)
        self._piece_probs: list[Mapping[str, float]] = []  # of the pieces probed so far
        self._runs: list[language_changes.LanguageRun] = []  # several if the language changes
        self._run = 0  # the one that ``seek`` is in

    def needs_retry(self, window: Window) -> bool:
        """Return True if the window should be tried at the next temperature; a resumed one starts afresh instead."""
        return not window.resume_tokens and super().needs_retry(window)

    def next_window(self) -> Window | None:
        """Return a window of the rest of the clip, then of its gaps."""
        if self._resumed is not None:
            window, self._resumed = self._resumed, None
            return window
        if self._whole is not None and len(self._piece_probs) < len(self._pieces):
            return self._stretch(self._pieces[len(self._piece_probs)], is_language_run=True, is_probe=True)
        if self._whole is not None:
            window, self._whole = self._whole, None
            if not self._among or not self._find_runs():
                return window
        while True:
            rest = self._end_of_run() - self.seek
            if rest >= MIN_REST or (self.seek == 0 and rest > 0):
                prompt = self._with_hotwords(self._prompt_tokens)
                return Window(self, self.seek, min(rest, N_FRAMES), prompt, is_language_run=bool(self._runs))
            if self._run + 1 >= len(self._runs):
                break
            self._enter_run(self._run + 1)
            self.seek = max(self.seek, round(self._runs[self._run].start_s * FRAMES_A_SECOND))
        if self._gaps is None:
            self._gaps = self._second_looks() if self._options.second_pass and self.seek > 0 else []
        if self._gaps:
            span, sparse = self._gaps.pop(0)
            self._enter_run(max((k for k, run in enumerate(self._runs) if run.start_s <= span[0]), default=0))
            return self._stretch(span, is_gap=True, sparse_segment=sparse)
        return None

    def take_language(self, window: Window) -> None:
        """Record the language of a window or a piece; in a file of several languages, one of these."""
        assert window.language_probs is not None
        if window.is_probe:
            self._piece_probs.append(window.language_probs)
        elif self._among:
            self.language, self.language_probability = language_changes.share(window.language_probs, self._among)
        else:
            super().take_language(window)

    @property
    def is_probing(self) -> bool:
        """True while the languages of the clip's pieces are detected, before its first window is decoded."""
        return self._whole is not None

    def votes(self, window: Window) -> Sequence[tuple[float, Mapping[str, float]]]:
        """Return a vote for the whole clip, or one per piece if its first window may hold several languages."""
        assert window.language_probs is not None
        if window.is_probe:
            self._piece_probs.append(window.language_probs)
        elif max(window.language_probs.values()) < CERTAIN and len(self._pieces) > 1:
            self._whole = window
            return ()
        else:
            return super().votes(window)
        if len(self._piece_probs) < len(self._pieces):
            return ()
        seconds = [coverage.seconds_in(self.clip.speech, *piece) for piece in self._pieces]
        return list(zip(seconds, self._piece_probs, strict=True))

    def may_change_language(self, window: Window) -> bool:
        """Return True if the window is the clip's first and the clip has no language of its own yet."""
        return window.start == 0 and not (window.resume_tokens or window.is_bounded or window.is_probe or self._among)

    def window_among(self, window: Window, languages: Sequence[str]) -> Window:
        """Return the window to run in a file of several languages: a probe of a piece, or a language run."""
        if self._among:
            return window
        self._among, self.is_multilingual = languages, True
        if len(self._pieces) > 1:
            self._whole = window
            following = self.next_window()
            assert following is not None
            return following
        if window.language_probs is not None:
            self.take_language(window)
        return window

    def _find_runs(self) -> bool:
        """Find the language runs from the pieces; return True if there are several."""
        found = language_changes.runs(self._pieces, self._piece_probs, self._among, self.clip.duration_s)
        self._runs = found
        self._enter_run(0)
        self._runs = found if len(found) > 1 else []
        return len(found) > 1

    def _enter_run(self, number: int) -> None:
        """Continue in a run's language."""
        if self._runs:
            self._run = number
            self.language, self.language_probability = self._runs[number].language, self._runs[number].probability

    def _end_of_run(self) -> int:
        """The frame where the current language run ends, or the clip."""
        if self._run + 1 < len(self._runs):
            return round(self._runs[self._run].end_s * FRAMES_A_SECOND)
        return self.n_frames

    def _stretch(self, span: coverage.Span, **kind: Any) -> Window:
        start, end = (round(at_s * FRAMES_A_SECOND) for at_s in span)
        return Window(self, start, min(end, self.n_frames) - start, self._with_hotwords(self._prompt_tokens), **kind)

    def finish(self, window: Window) -> tuple[Segment, ...]:
        """Return the window's segments that have text, within its audio."""
        decoded = self.judge.best(window.tried)
        if window.resume_tokens and self.judge.fails(decoded):
            return ()  # a fresh window begins where this one was resumed
        drafted, moved_s = self._draft(window)
        drafted = self._cut_at_pauses(window, drafted)
        if decoded.text.strip() and self._is_made_up(decoded):
            self._suspect(window.start_s, window.start_s + window.duration_s, MADE_UP)
        if window.is_gap:
            before = (one.end_s for one in self._segments if one.end_s <= window.start_s)
            self._last_spoken_s = max(before, default=0.0)
        seek = window.start + min(round(moved_s * FRAMES_A_SECOND), window.n_frames)
        # a text that is not cut off and has no pair of timestamps is complete: where its words end says no more
        is_whole = not decoded.is_cut and not segments.has_pair(decoded.tokens, self._tokenizer.timestamp_begin)
        verdict = self._with_words(window, drafted, seek, back_to_words=not is_whole)
        new = [_inside(one, window.start_s + window.duration_s) for one in verdict.kept]
        if window.sparse_segment is not None:
            return self._replace(window.sparse_segment, new, decoded)
        self._note_doubts(new, decoded)
        if decoded.is_cut and verdict.seek >= window.start + window.n_frames:
            self._suspect(window.start_s, window.start_s + window.duration_s, CUT_OFF)
        self._segments += new
        if window.is_gap:
            self._segments.sort(key=lambda one: one.start_s)
        else:
            least = self.seek + round(segments.MIN_ADVANCE_S * FRAMES_A_SECOND)
            self.seek = min(max(verdict.seek, least), window.start + window.n_frames)
            self._resume(window, decoded)
        return tuple(new)

    def needs_alignment(self, window: Window) -> bool:
        """Return True if word times are needed: where they are wanted, or where a segment crosses a pause."""
        drafted = self._draft(window)[0] if self.clip.joins and not self._words else []
        if not any(pauses.crossed(segment, self.clip.joins) for segment in drafted):
            return super().needs_alignment(window)
        window.align_tokens = (*self._resumed_text(window), *self._rules.text_of(drafted))
        return True

    def _resumed_text(self, window: Window) -> list[int]:
        return [token for token in window.resume_tokens if token < self._tokenizer.end]

    def _cut_at_pauses(self, window: Window, drafted: list[Segment]) -> list[Segment]:
        """Split segments that cross a pause which was left out of the clip, by the times of their words."""
        if window.timings is None:
            return drafted
        words = self._rules.timed(window.align_tokens, window.timings, self.language)
        words, found = _after(words, len(self._resumed_text(window))), []
        for segment in drafted:
            text = self._rules.text_of([segment])
            mine, words = _within(words, len(text)), _after(words, len(text))
            places = pauses.crossed(segment, self.clip.joins)
            if not places or sum(one.n_tokens for one in mine) != len(text):
                found.append(segment)
                continue
            for word in mine:
                word.start_s, word.end_s = word.start_s + window.start_s, word.end_s + window.start_s
            found += pauses.cut(replace(segment, tokens=text), mine, places)
        return found

    def _second_looks(self) -> list[tuple[coverage.Span, Segment | None]]:
        """List speech without text, and both halves of speech with too little: the whole would give the same text."""
        looks: list[tuple[coverage.Span, Segment | None]] = []
        looks += [(gap, None) for gap in coverage.uncovered(self.clip.speech, self._segments)]
        for segment in coverage.sparse(self.clip.speech, self._segments):
            looks += [(part, segment) for part in coverage.halves(self.clip.speech, segment.start_s, segment.end_s)]
        return looks

    def _replace(self, sparse: Segment, new: Sequence[Segment], decoded: Decoded) -> tuple[Segment, ...]:
        """Replace a sparse segment by the texts of its two halves, if those are good and much longer."""
        self._replacements += [] if self.judge.fails(decoded) else new
        assert self._gaps is not None
        if any(segment is sparse for _, segment in self._gaps):
            return ()  # the other half is still to come
        instead, self._replacements = self._replacements, []
        n_before, n_now = (coverage.n_letters("".join(one.text for one in some)) for some in ([sparse], instead))
        if n_now < MIN_GAIN * n_before:
            return ()
        kept = [one for one in self._segments if one is not sparse]
        self._segments = sorted(kept + instead, key=lambda one: one.start_s)
        return tuple(instead)

    def _resume(self, window: Window, decoded: Decoded) -> None:
        """Resume the same window if its text ended before its speech; otherwise end with the speech.

        A model leaves a last sentence that is cut off to the next window: it gives only the start of the sentence. When
        it gets its text so far and that start again, and may not end at once, it decodes the rest with all earlier text
        as context, and the encoder need not run again. Word times need windows of their own.
        """
        end = window.start + window.n_frames
        if self.seek >= end or not self.clip.speech:
            return
        left_s = coverage.seconds_in(self.clip.speech, self.seek / FRAMES_A_SECOND, end / FRAMES_A_SECOND)
        if left_s < MIN_LEFT_S:
            self.seek = end
        if left_s < MIN_LEFT_S or self._words is not None:
            return
        resumed = (*window.resume_tokens, *decoded.tokens)
        last_frame = window.start + 2 * (resumed[-1] - self._tokenizer.timestamp_begin) if resumed else 0
        if last_frame == self.seek and len(resumed) <= MAX_RESUMED:
            self._resumed = replace(window, resume_tokens=resumed, tried=[], timings=None)

    def _draft(self, window: Window) -> tuple[list[Segment], float]:
        decoded = self.judge.best(window.tried)
        if self.judge.is_silence(decoded) or self._is_made_up(decoded):
            return [], window.duration_s
        tokens = (*window.resume_tokens[-1:], *decoded.tokens)
        pieces, moved_s = segments.split(tokens, self._tokenizer.timestamp_begin, window.duration_s)
        made = (self._segment(window, piece, decoded) for piece in pieces if piece.start_s < window.duration_s)
        return [one for one in made if one.text.strip()], moved_s

    def _is_made_up(self, decoded: Decoded) -> bool:
        speech_s = coverage.seconds_in(self.clip.speech)
        return bool(self.clip.speech) and self.judge.is_made_up(decoded, speech_s)

    def result(self) -> ClipText:
        """Return the clip's text, with speech that still has no text as suspects."""
        for start_s, end_s in coverage.uncovered(self.clip.speech, self._segments):
            self._suspect(start_s, end_s, "speech without text")
        for segment in coverage.sparse(self.clip.speech, self._segments):
            self._suspect(segment.start_s, segment.end_s, "little text for so much speech")
        for segment in self._segments:
            code = segment.language or self.language
            if code and foreign_share(segment.text, code) > MAX_FOREIGN:
                self._suspect(
                    segment.start_s, segment.end_s, f"text in a script that {LANGUAGES[code].title()} is not written in"
                )
        return super().result()


def _within(words: Sequence[Timed], n_tokens: int) -> list[Timed]:
    """Return the first words, with at most ``n_tokens`` tokens."""
    totals = accumulate(word.n_tokens for word in words)
    return [word for word, total in zip(words, totals, strict=True) if total <= n_tokens]


def _after(words: Sequence[Timed], n_tokens: int) -> list[Timed]:
    return list(words[len(_within(words, n_tokens)) :])


def _inside(segment: Segment, limit_s: float) -> Segment:
    """Clip a segment and its words to the audio, in whole hundredths of a second."""

    def inside(start_s: float, end_s: float) -> tuple[float, float]:
        start_s = max(0.0, start_s)
        return round(start_s, 2), round(max(start_s, min(end_s, limit_s)), 2)

    def inside_word(word: Word) -> Word:
        start_s, end_s = inside(word.start_s, word.end_s)
        return replace(word, start_s=start_s, end_s=end_s)

    words = None if segment.words is None else tuple(inside_word(word) for word in segment.words)
    start_s, end_s = inside(segment.start_s, segment.end_s)
    return replace(segment, start_s=start_s, end_s=end_s, words=words)
