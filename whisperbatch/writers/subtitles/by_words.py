"""Make cues and lines by openai-whisper's rules (SubtitlesWriter in whisper/utils.py, MIT), with the same results.

Added here: words that belong together (``units``) are never separated and count as one; a cue also ends where the
speaker changes and before it exceeds ``max_cue_s``; a cue's label counts towards the width of its first line.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from whisperbatch.options import SubtitleOptions
from whisperbatch.records import Word
from whisperbatch.writers.speakers import prefix
from whisperbatch.writers.subtitles.cues import Cue, cue_of, width
from whisperbatch.writers.subtitles.units import at_line_start, last_start_s, units

LINE_WIDTH = 1000  # openai-whisper's default
WORDS_A_CUE = 1000  # likewise
PAUSE_S = 3.0  # from a word's start to the next one's


def by_words(groups: Sequence[Sequence[Word]], shaping: SubtitleOptions) -> Iterator[Cue]:
    """Yield the cues of groups of words, one group per segment; limits that are None do not apply."""
    builder = _Builder(shaping)
    groups = units(groups, across=not builder.keeps_segments)
    pieces = [piece for group in groups for piece in _pieces(group, shaping.max_words_per_line or WORDS_A_CUE)]
    for piece in pieces:
        for position, word in enumerate(piece):
            if (cue := builder.add(word, is_first=position == 0)) is not None:
                yield cue
    if builder.words:
        yield cue_of(builder.words)


def _pieces(group: Sequence[Word], n_words: int) -> Iterator[Sequence[Word]]:
    for first in range(0, len(group), n_words):
        yield group[first : first + n_words]


class _Builder:
    """Collects words into the current cue; one per transcript."""

    def __init__(self, shaping: SubtitleOptions) -> None:
        self.words: list[Word] = []
        self._shaping = shaping
        self.keeps_segments = shaping.max_line_count is None or shaping.max_line_width is None
        self._max_width = shaping.max_line_width or LINE_WIDTH
        self._width = 0.0
        self._n_lines = 1
        self._last_s: float | None = None

    def add(self, word: Word, is_first: bool) -> Cue | None:
        """Add a word; return the cue that ends before it, if any."""
        done: Cue | None = None
        is_pause = not self.keeps_segments and self._last_s is not None and word.start_s - self._last_s > PAUSE_S
        is_cut = self._must_end(word, is_first)
        self._last_s = last_start_s(word)
        has_room = self._width + self._measured(word.word) <= self._max_width
        if self._width > 0 and has_room and not is_pause and not is_cut:
            self._width += self._measured(word.word)
            self.words.append(word)
            return None
        text = at_line_start(word)
        if is_cut or (self.words and self._is_full(is_pause)):
            done, self.words, self._n_lines = cue_of(self.words), [], 1
        elif self._width > 0:
            self._n_lines += 1
            text = "\n" + text
        label = prefix(word.speaker) if not self.words else ""
        self._width = self._measured(label + text.strip())
        self.words.append(replace(word, word=text))
        return done

    def _must_end(self, word: Word, is_first: bool) -> bool:
        """True if the cue must end here even if it has room."""
        if not self.words:
            return False
        longest_s = self._shaping.max_cue_s
        is_long = longest_s is not None and word.end_s - self.words[0].start_s > longest_s
        return is_long or (is_first and self.keeps_segments) or word.speaker != self.words[0].speaker

    def _is_full(self, is_pause: bool) -> bool:
        limit = self._shaping.max_line_count
        return limit is not None and (is_pause or self._n_lines >= limit)

    def _measured(self, text: str) -> float:
        return width(text, self._shaping.measure)
