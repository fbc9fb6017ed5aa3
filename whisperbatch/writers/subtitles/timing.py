"""Set when cues appear and disappear."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from whisperbatch.options import SubtitleOptions
from whisperbatch.writers.subtitles.cues import Cue, width


def timed(cues: Sequence[Cue], shaping: SubtitleOptions) -> list[Cue]:
    """Show short and fast cues longer where their neighbours leave room, and none beyond ``max_cue_s``."""
    if shaping.min_cue_s is None and shaping.max_cue_s is None and shaping.max_cps is None:
        return list(cues)
    starts = [*(cue.start_s for cue in cues), math.inf]
    shown: list[Cue] = []
    for cue, next_s in zip(cues, starts[1:], strict=True):
        before_s = shown[-1].end_s if shown else 0.0
        shown.append(_timed(cue, before_s, next_s, shaping))
    return shown


def highlighted(cues: Sequence[Cue]) -> Iterator[Cue]:
    """Yield one cue per word with that word marked; between words, the cue without a mark."""
    for cue in cues:
        last_ms = _ms(cue.start_s)
        for position, word in enumerate(cue.words):
            if last_ms < _ms(word.start_s):
                yield replace(cue, start_s=last_ms / 1000, end_s=word.start_s)
            yield replace(cue, start_s=word.start_s, end_s=word.end_s, marked=position)
            last_ms = _ms(word.end_s)
        if last_ms < _ms(cue.end_s):
            yield replace(cue, start_s=last_ms / 1000)


def _timed(cue: Cue, before_s: float, next_s: float, shaping: SubtitleOptions) -> Cue:
    """Extend a cue within the end of the one before and the start of the next: first its end, then its start."""
    shortest_s, longest_s = shaping.min_cue_s or 0.0, shaping.max_cue_s or math.inf
    reading_s = width(" ".join(cue.text.split()), shaping.measure) / (shaping.max_cps or math.inf)
    start_s = cue.start_s
    end_s = max(cue.end_s, min(start_s + max(shortest_s, reading_s), next_s))
    if end_s - start_s < shortest_s:
        start_s = min(start_s, max(before_s, end_s - shortest_s))
    return replace(cue, start_s=start_s, end_s=min(end_s, start_s + longest_s))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
