"""A whole file, window after window, by openai-whisper's rules to the letter. Policy only: no torch.

Comes in: a clip that holds a whole file, and what was decoded of its windows. Goes out: windows with the text before
them, segments. The loop is that of openai-whisper's ``transcribe``
(whisper/transcribe.py, MIT); ours stands still between two windows, so that windows of many files share a batch.
"""

from collections.abc import Iterator
from dataclasses import replace

from whisperbatch.engine.scheduling import segments
from whisperbatch.engine.scheduling.hotwords import N_PROMPT
from whisperbatch.engine.scheduling.quality import Judge
from whisperbatch.engine.scheduling.request import FRAMES_A_SECOND, N_FRAMES, DecodeRequest, Tokenizer, Window
from whisperbatch.options import DecodeOptions
from whisperbatch.records import Clip, ClipText, Segment

MAX_CONDITIONED = 0.5  # above this temperature the text before is not relied on


class FileRequest(DecodeRequest):
    """A file decoded in sequence; what was heard stands before the next window."""

    def __init__(self, clip: Clip, number: int, speller: Tokenizer, options: DecodeOptions, judge: Judge) -> None:
        """Nothing heard yet."""
        super().__init__(clip, number, speller, options, judge)
        self.loudest: float | None = None  # the file's largest log-mel value; the runner's to find
        self._said: list[int] = list(self._asked)  # all tokens so far
        self._reset_at = 0  # text before this token is not relied on
        self._ranges = iter(self._stretches())
        self._range = next(self._ranges, None)
        if self._range is not None:
            self.seek = self._range[0]

    def next(self) -> Window | None:
        """The window at the seek; at first, where its language is not known, the file's first 30 seconds."""
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

    def text(self) -> ClipText:
        """What was heard; no one probability holds where each window's language was found by itself."""
        text = super().text()
        return replace(text, language_probability=None) if self.is_multilingual else text

    def settle(self, window: Window) -> tuple[Segment, ...]:
        """The window's segments, cleared where they are blank or last no time."""
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
        self._heard += new
        self._said += [token for segment in new for token in segment.tokens]
        if not self._options.condition_on_previous_text or decoded.temperature > MAX_CONDITIONED:
            self._reset_at = len(self._said)
        return tuple(new)

    def _draft(self, window: Window) -> tuple[list[Segment], float]:
        decoded = self.judge.best(window.tried)
        if self.judge.is_silence(decoded):
            return [], window.duration_s
        begin = self._speller.timestamp_begin
        pieces, moved_s = segments.split(decoded.tokens, begin, window.duration_s, faithful=True)
        return [self._segment(window, piece, decoded) for piece in pieces], moved_s

    def _prompt(self) -> list[int]:
        if not self._options.carry_initial_prompt:
            return self._before(self._said[self._reset_at :])
        n_ignored = max(len(self._asked), self._reset_at)
        n_left = N_PROMPT - len(self._asked)
        return self._before(self._asked + self._said[n_ignored:][-n_left:])

    def _stretches(self) -> Iterator[tuple[int, int]]:
        """The ranges of frames to decode."""
        points = [round(at_s * FRAMES_A_SECOND) for at_s in self.clip.settings.clip_timestamps] or [0]
        if len(points) % 2:
            points.append(self.n_frames)
        return zip(points[::2], points[1::2], strict=True)


def _cleared(segment: Segment) -> Segment:
    if segment.start_s == segment.end_s or not segment.text.strip():
        return replace(segment, text="", tokens=(), words=None if segment.words is None else ())
    return segment
