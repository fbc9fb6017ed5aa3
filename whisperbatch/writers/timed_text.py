"""Read plain text with time stamps: ``[00:12] text``, ``00:00:12 text``, ``[00:12.3 --> 00:15.0] text``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from whisperbatch.writers.subtitles.cues import width

NO_STAMPS = "this is not a transcript; its text must begin with a time stamp, as in: [00:12] text"
SHORTEST_S = 1.0
COLUMNS_A_SECOND = 15.0  # speed of speech, which gives the duration of a text without an end time

_CLOCK = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{2})(?:[.,](\d{1,3}))?"
_BARE = re.compile(rf"\s*{_CLOCK}(?:\s+|$)")
_IN_BRACKETS = re.compile(rf"\s*[\[(]\s*{_CLOCK}(?:\s*-->\s*{_CLOCK})?\s*[\])]\s*")


@dataclass(slots=True)
class _Piece:
    start_s: float
    end_s: float | None
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(filter(None, self.lines))


def stamped_lines(text: str) -> Iterator[tuple[float, float, str]]:
    """Yield start, end and text after each time stamp; lines without a stamp continue the line before.

    All stamps have brackets or none has, as the first one shows; text that does not begin with a stamp yields nothing.
    A missing end is the next start, or earlier if the text is too short to last that long.
    """
    pieces: list[_Piece] = []
    form: re.Pattern[str] | None = None
    for line in text.split("\n"):
        if form is None:
            if not line.strip():
                continue
            form = next((one for one in (_IN_BRACKETS, _BARE) if one.match(line)), None)
            if form is None:
                return
        if (match := form.match(line)) is not None:
            start_s, end_s = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
            pieces.append(_Piece(start_s or 0.0, end_s, [line[match.end() :].strip()]))
        else:
            pieces[-1].lines.append(line.strip())
    yield from _ended([piece for piece in pieces if piece.text])


def _ended(pieces: list[_Piece]) -> Iterator[tuple[float, float, str]]:
    for position, piece in enumerate(pieces):
        lasts_s = max(SHORTEST_S, width(piece.text, "columns") / COLUMNS_A_SECOND)
        next_s = pieces[position + 1].start_s if position + 1 < len(pieces) else piece.start_s
        end_s = min(next_s, piece.start_s + lasts_s) if next_s > piece.start_s else piece.start_s + lasts_s
        yield piece.start_s, piece.end_s if piece.end_s is not None else end_s, piece.text


def _seconds(groups: tuple[str | None, ...]) -> float | None:
    """Return the seconds of matched hours, minutes, seconds and fraction; None if they did not match."""
    hours, minutes, seconds, fraction = groups or (None,) * 4
    if minutes is None:
        return None
    return 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds or 0) + float(f"0.{fraction or 0}")
