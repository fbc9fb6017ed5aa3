"""Options of subtitles: how srt, vtt and ass are cut into cues and lines, and the presets for that."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from whisperbatch.options.checks import require

BREAKS = ("words", "sentences")
MEASURES = ("characters", "columns", "wide")


@dataclass(frozen=True, slots=True)
class SubtitleOptions:
    """How srt, vtt and ass are cut into cues and lines; the defaults are openai-whisper's.

    Attributes:
        max_line_width: Most characters in a line.
        max_line_count: Most lines in a cue; with ``max_line_width``, a cue may cross segment boundaries.
        max_words_per_line: Most words in a cue.
        highlight_words: Write one cue per word, with the word underlined.
        break_at: ``words`` (as openai-whisper) or ``sentences``.
        min_cue_s: Shortest time to show a cue, where its neighbours leave room.
        max_cue_s: Split cues that last longer.
        max_cps: Most characters per second; faster cues are shown longer, where there is room.
        measure: How to count characters for widths and ``max_cps``: each as one (``characters``), wide ones as two
            (``columns``), or wide ones as one and others as half (``wide``).
    """

    max_line_width: int | None = None
    max_line_count: int | None = None
    max_words_per_line: int | None = None
    highlight_words: bool = False
    break_at: str = "words"
    min_cue_s: float | None = None
    max_cue_s: float | None = None
    max_cps: float | None = None
    measure: str = "characters"

    def __post_init__(self) -> None:
        """Check the ranges and names."""
        for name in ("max_line_width", "max_line_count", "max_words_per_line"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"`{name}` must be 1 or more")
        for name in ("min_cue_s", "max_cue_s", "max_cps"):
            value = getattr(self, name)
            require(value is None or 0 < value < float("inf"), f"`{name.removesuffix('_s')}` must be above 0")
        shortest, longest = self.min_cue_s or 0.0, self.max_cue_s or float("inf")
        require(shortest <= longest, "`min_cue` must not be above `max_cue`")
        require(self.break_at in BREAKS, f"unknown break '{self.break_at}'; choose from {', '.join(BREAKS)}")
        require(self.measure in MEASURES, f"unknown measure '{self.measure}'; choose from {', '.join(MEASURES)}")

    @property
    def needs_words(self) -> bool:
        """True if this layout needs word times."""
        limits = (self.max_line_width, self.max_line_count, self.max_words_per_line, self.max_cue_s)
        return self.highlight_words or self.break_at != "words" or any(limit is not None for limit in limits)


PRESETS: dict[str, SubtitleOptions] = {  # after Netflix's Timed Text Style Guides
    "standard": SubtitleOptions(
        42, 2, break_at="sentences", min_cue_s=0.833, max_cue_s=7.0, max_cps=17.0, measure="columns"
    ),
    "asian": SubtitleOptions(16, 2, break_at="sentences", min_cue_s=0.833, max_cue_s=7.0, max_cps=9.0, measure="wide"),
}


def subtitle_options(preset: str | None, given: Mapping[str, Any]) -> SubtitleOptions:
    """Return the preset, overridden by the values given that are not None; an unknown preset raises UsageError."""
    require(preset in (None, *PRESETS), f"unknown subtitles '{preset}'; choose from {', '.join(PRESETS)}")
    base = SubtitleOptions() if preset is None else PRESETS[preset]
    return replace(base, **{name: value for name, value in given.items() if value is not None})
