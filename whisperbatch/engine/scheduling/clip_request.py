"""A clip of at most a window: what is decoded of it next, and what is kept. Policy only: no torch.

Comes in: a clip, and what was decoded of its windows. Goes out: windows, segments, at last a ClipText.
"""

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
CERTAIN = 0.95  # the probability of a language below which a clip may hold two
MAX_FOREIGN = 0.5  # of a segment's letters in a script that its language is not written in
MIN_GAIN = 1.5  # times the letters that a second look must give to replace a text
MIN_LEFT_S = 0.2  # less speech than this after a text's end is where the two see that end
MAX_GIVEN = 200  # tokens of a text that goes on; with more, a prompt and the rest might not fit


class ClipRequest(DecodeRequest):
    """A clip of at most a window, decoded until its audio is used up; blank segments are dropped.

    When it ends, its speech that has no text is decoded once more, a window each stretch.
    """

    def __init__(self, clip: Clip, number: int, speller: Tokenizer, options: DecodeOptions, judge: Judge) -> None:
        """Nothing heard yet."""
        super().__init__(clip, number, speller, options, judge)
        self._gaps: list[tuple[coverage.Span, Segment | None]] | None = None
        self._instead: list[Segment] = []  # what second looks at a starved segment gave
        self._further: Window | None = None  # the last window, to go on from where its text ends
        self._among: Sequence[str] = ()  # the languages of its file, if there are several
        self._whole: Window | None = None  # the first window, while the clip's pieces are asked for their languages
        self._pieces = language_changes.pieces(clip.speech)
        self._chances: list[Mapping[str, float]] = []  # of the pieces that have been asked
        self._runs: list[language_changes.Run] = []  # more than one, where the language changes
        self._run = 0  # the one that the seek is in

    def wants_more(self, window: Window) -> bool:
        """Whether the window is to be tried at the next temperature; one that goes on is rather looked at afresh."""
        return not window.resume_tokens and super().wants_more(window)

    def next(self) -> Window | None:
        """The rest of the clip, then its gaps."""
        if self._further is not None:
            window, self._further = self._further, None
            return window
        if self._whole is not None and len(self._chances) < len(self._pieces):
            return self._stretch(self._pieces[len(self._chances)], is_language_run=True, is_probe=True)
        if self._whole is not None:
            window, self._whole = self._whole, None
            if not self._among or not self._find_runs():
                return window
        while True:
            rest = self._end_of_run() - self.seek
            if rest >= MIN_REST or (self.seek == 0 and rest > 0):
                prompt = self._before(self._asked)
                return Window(self, self.seek, min(rest, N_FRAMES), prompt, is_language_run=bool(self._runs))
            if self._run + 1 >= len(self._runs):
                break
            self._speak(self._run + 1)
            self.seek = max(self.seek, round(self._runs[self._run].start_s * FRAMES_A_SECOND))
        if self._gaps is None:
            self._gaps = self._second_looks() if self._options.second_pass and self.seek > 0 else []
        if self._gaps:
            span, starved = self._gaps.pop(0)
            self._speak(max((k for k, run in enumerate(self._runs) if run.start_s <= span[0]), default=0))
            return self._stretch(span, is_gap=True, sparse_segment=starved)
        return None

    def take_chances(self, window: Window) -> None:
        """Take a window's language, or a piece's, in a file of several languages one of these."""
        assert window.language_probs is not None
        if window.is_probe:
            self._chances.append(window.language_probs)
        elif self._among:
            self.language, self.language_probability = language_changes.share(window.language_probs, self._among)
        else:
            super().take_chances(window)

    @property
    def looks_closer(self) -> bool:
        """Whether pieces of the clip are asked for their languages before its first window is decoded."""
        return self._whole is not None

    def votes(self, window: Window) -> Sequence[tuple[float, Mapping[str, float]]]:
        """A vote for the whole clip, or for each piece where its first window may hold several languages."""
        assert window.language_probs is not None
        if window.is_probe:
            self._chances.append(window.language_probs)
        elif max(window.language_probs.values()) < CERTAIN and len(self._pieces) > 1:
            self._whole = window
            return ()
        else:
            return super().votes(window)
        if len(self._chances) < len(self._pieces):
            return ()
        seconds = [coverage.seconds_in(self.clip.speech, *piece) for piece in self._pieces]
        return list(zip(seconds, self._chances, strict=True))

    def is_opened_by(self, window: Window) -> bool:
        """Whether the window is the clip's first, and nothing in it was looked at for its own language."""
        return window.start == 0 and not (window.resume_tokens or window.is_bounded or window.is_probe or self._among)

    def among(self, window: Window, languages: Sequence[str]) -> Window:
        """What runs for a window of a file in several languages: a piece that is asked for its own, or a run."""
        if self._among:
            return window
        self._among, self.is_multilingual = languages, True
        if len(self._pieces) > 1:
            self._whole = window
            following = self.next()
            assert following is not None
            return following
        if window.language_probs is not None:
            self.take_chances(window)
        return window

    def _find_runs(self) -> bool:
        """Take in the languages of all pieces; whether there are several."""
        found = language_changes.runs(self._pieces, self._chances, self._among, self.clip.duration_s)
        self._runs = found
        self._speak(0)
        self._runs = found if len(found) > 1 else []
        return len(found) > 1

    def _speak(self, number: int) -> None:
        """Go on in a run's language."""
        if self._runs:
            self._run = number
            self.language, self.language_probability = self._runs[number].language, self._runs[number].probability

    def _end_of_run(self) -> int:
        """The frame at which the clip, or the run that the seek is in, ends."""
        if self._run + 1 < len(self._runs):
            return round(self._runs[self._run].end_s * FRAMES_A_SECOND)
        return self.n_frames

    def _stretch(self, span: coverage.Span, **kind: Any) -> Window:
        start, end = (round(at_s * FRAMES_A_SECOND) for at_s in span)
        return Window(self, start, min(end, self.n_frames) - start, self._before(self._asked), **kind)

    def settle(self, window: Window) -> tuple[Segment, ...]:
        """The window's segments that have text and lie in its audio."""
        decoded = self.judge.best(window.tried)
        if window.resume_tokens and self.judge.fails(decoded):
            return ()  # the next window begins where this was to go on
        drafted, moved_s = self._draft(window)
        drafted = self._cut_at_pauses(window, drafted)
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
        if window.sparse_segment is not None:
            return self._replace(window.sparse_segment, new, decoded)
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

    def to_align(self, window: Window) -> bool:
        """Whether the times of words are to be found: where they are wanted, or where a segment runs over a pause."""
        drafted = self._draft(window)[0] if self.clip.joins and not self._words else []
        if not any(pauses.crossed(segment, self.clip.joins) for segment in drafted):
            return super().to_align(window)
        window.align_tokens = (*self._text_given(window), *self._rules.text_of(drafted))
        return True

    def _text_given(self, window: Window) -> list[int]:
        return [token for token in window.resume_tokens if token < self._speller.end]

    def _cut_at_pauses(self, window: Window, drafted: list[Segment]) -> list[Segment]:
        """The segments, those that run over a pause which was left out of the clip in parts, as their words tell."""
        if window.timings is None:
            return drafted
        words = self._rules.timed(window.align_tokens, window.timings, self.language)
        words, found = _after(words, len(self._text_given(window))), []
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
        left_s = coverage.seconds_in(self.clip.speech, self.seek / FRAMES_A_SECOND, end / FRAMES_A_SECOND)
        if left_s < MIN_LEFT_S:
            self.seek = end
        if left_s < MIN_LEFT_S or self._words is not None:
            return
        given = (*window.resume_tokens, *decoded.tokens)
        last_frame = window.start + 2 * (given[-1] - self._speller.timestamp_begin) if given else 0
        if last_frame == self.seek and len(given) <= MAX_GIVEN:
            self._further = replace(window, resume_tokens=given, tried=[], timings=None)

    def _draft(self, window: Window) -> tuple[list[Segment], float]:
        decoded = self.judge.best(window.tried)
        if self.judge.is_silence(decoded) or self._is_made_up(decoded):
            return [], window.duration_s
        tokens = (*window.resume_tokens[-1:], *decoded.tokens)
        pieces, moved_s = segments.split(tokens, self._speller.timestamp_begin, window.duration_s)
        made = (self._segment(window, piece, decoded) for piece in pieces if piece.start_s < window.duration_s)
        return [one for one in made if one.text.strip()], moved_s

    def _is_made_up(self, decoded: Decoded) -> bool:
        speech_s = coverage.seconds_in(self.clip.speech)
        return bool(self.clip.speech) and self.judge.is_made_up(decoded, speech_s)

    def text(self) -> ClipText:
        """What was heard, and which speech still has no text."""
        for start_s, end_s in coverage.uncovered(self.clip.speech, self._heard):
            self._suspect(start_s, end_s, "speech without text")
        for segment in coverage.starved(self.clip.speech, self._heard):
            self._suspect(segment.start_s, segment.end_s, "little text for so much speech")
        for segment in self._heard:
            code = segment.language or self.language
            if code and foreign_share(segment.text, code) > MAX_FOREIGN:
                self._suspect(
                    segment.start_s, segment.end_s, f"text in a script that {LANGUAGES[code].title()} is not written in"
                )
        return super().text()


def _within(words: Sequence[Timed], n_tokens: int) -> list[Timed]:
    """The first words, with so many tokens at most."""
    totals = accumulate(word.n_tokens for word in words)
    return [word for word, total in zip(words, totals, strict=True) if total <= n_tokens]


def _after(words: Sequence[Timed], n_tokens: int) -> list[Timed]:
    return list(words[len(_within(words, n_tokens)) :])


def _inside(segment: Segment, limit_s: float) -> Segment:
    """A segment and its words inside the audio, in whole hundredths of a second."""

    def inside(start_s: float, end_s: float) -> tuple[float, float]:
        start_s = max(0.0, start_s)
        return round(start_s, 2), round(max(start_s, min(end_s, limit_s)), 2)

    def inside_word(word: Word) -> Word:
        start_s, end_s = inside(word.start_s, word.end_s)
        return replace(word, start_s=start_s, end_s=end_s)

    words = None if segment.words is None else tuple(inside_word(word) for word in segment.words)
    start_s, end_s = inside(segment.start_s, segment.end_s)
    return replace(segment, start_s=start_s, end_s=end_s, words=words)
