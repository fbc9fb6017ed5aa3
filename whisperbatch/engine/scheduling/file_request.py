"""Decode a whole file window by window (sequential mode), exactly by openai-whisper's rules. Policy only: no torch.

The loop is that of openai-whisper's ``transcribe`` (whisper/transcribe.py, MIT); ours returns between two windows, so
that windows of many files share a batch.
"""

from collections.abc import Iterator
from dataclasses import replace

from whisperbatch.engine.scheduling import segments
from whisperbatch.engine.scheduling.hotwords import N_PROMPT
from whisperbatch.engine.scheduling.quality import Judge
from whisperbatch.engine.scheduling.request import FRAMES_A_SECOND, N_FRAMES, DecodeRequest, Tokenizer, Window
from whisperbatch.options import DecodeOptions
from whisperbatch.records import Clip, ClipText, Segment

MAX_CONDITIONED = 0.5  # above this temperature a text is not used as a prompt


class FileRequest(DecodeRequest):
    """A file decoded in sequence; the text so far is the prompt of the next window."""

    def __init__(self, clip: Clip, number: int, tokenizer: Tokenizer, options: DecodeOptions, judge: Judge) -> None:
        """Start with no segments."""
        super().__init__(clip, number, tokenizer, options, judge)
        self.loudest: float | None = None  # the file's largest log-mel value; set by the runner
        self._text_tokens: list[int] = list(self._prompt_tokens)  # all tokens so far
        self._reset_at = 0  # text before this token is not used as a prompt
        self._ranges = iter(self._stretches())
        self._range = next(self._ranges, None)
        if self._range is not None:
            self.seek = self._range[0]

    def next_window(self) -> Window | None:
        """Return the window at ``seek``; first a probe of the file's first 30 seconds if its language is not known."""
        while self._range is not None and self.seek >= self._range[1]:
            self._range = next(self._ranges, None)
            if self._range is not None:
                self.seek = self._range[0]
        if self._range is None or self.seek >= self.n_frames:
            return None
        size = min(N_FRAMES, self.n_frames - self.seek, self._range[1] - self.seek)
        if self.language is None and not self.is_multilingual and (self.seek, size) != (0, N_FRAMES):
            return Window(self, 0, N_FRAMES, is_probe=True)
        if self.is_multilingual:
            self.language = self.language_probability = None
        return Window(self, self.seek, size, self._prompt())

    def result(self) -> ClipText:
        """Return the file's text; without a language probability if each window's language was detected by itself."""
        text = super().result()
        return replace(text, language_probability=None) if self.is_multilingual else text

    def finish(self, window: Window) -> tuple[Segment, ...]:
        """Return the window's segments, cleared where they are blank or have no duration."""
        decoded = self.judge.best(window.tried)
        drafted, moved_s = self._draft(window)
        seek = self.seek + round(moved_s * FRAMES_A_SECOND)
        if self.judge.is_silence(decoded):
            self.seek = seek
            return ()
        verdict = self._with_words(window, drafted, seek)
        self.seek = verdict.seek
        if verdict.is_void:
            return ()
        new = [_cleared(segment) for segment in verdict.kept]
        self._note_doubts(new, decoded)
        self._segments += new
        self._text_tokens += [token for segment in new for token in segment.tokens]
        if not self._options.condition_on_previous_text or decoded.temperature > MAX_CONDITIONED:
            self._reset_at = len(self._text_tokens)
        return tuple(new)

    def _draft(self, window: Window) -> tuple[list[Segment], float]:
        decoded = self.judge.best(window.tried)
        if self.judge.is_silence(decoded):
            return [], window.duration_s
        begin = self._tokenizer.timestamp_begin
        pieces, moved_s = segments.split(decoded.tokens, begin, window.duration_s, faithful=True)
        return [self._segment(window, piece, decoded) for piece in pieces], moved_s

    def _prompt(self) -> list[int]:
        if not self._options.carry_initial_prompt:
            return self._with_hotwords(self._text_tokens[self._reset_at :])
        n_ignored = max(len(self._prompt_tokens), self._reset_at)
        n_left = N_PROMPT - len(self._prompt_tokens)
        return self._with_hotwords(self._prompt_tokens + self._text_tokens[n_ignored:][-n_left:])

    def _stretches(self) -> Iterator[tuple[int, int]]:
        """Return the ranges of frames to decode."""
        points = [round(at_s * FRAMES_A_SECOND) for at_s in self.clip.settings.clip_timestamps] or [0]
        if len(points) % 2:
            points.append(self.n_frames)
        return zip(points[::2], points[1::2], strict=True)


def _cleared(segment: Segment) -> Segment:
    if segment.start_s == segment.end_s or not segment.text.strip():
        return replace(segment, text="", tokens=(), words=None if segment.words is None else ())
    return segment
