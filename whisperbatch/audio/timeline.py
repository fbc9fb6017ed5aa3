"""Time stamps: how much silence to insert before each frame of a stream, and what is odd about its time stamps; pure.

Times count from the container's start. A late start and holes in the time stamps become silence, so that everything
after them has the recording's times; nothing is ever cut, and time never runs backwards.
"""

import enum
import math
from dataclasses import dataclass

MAX_JITTER_S = 0.003  # tolerated gap after frames that could not be decoded
MAX_GAP_S = 0.1  # tolerated gap between other frames; time stamps of cheap recorders are coarse
MAX_LAG_S = 0.25  # small gaps and a slow clock may add up to this, before silence makes up for them
MAX_LEAD_S = 0.5  # the sound may be this far ahead of its time stamps; if further, they have jumped back
FAR = 2.0  # no sound is later than this multiple of the container's length, which may be an estimate,
FAR_S = 600.0  # plus these seconds,
UNKNOWN_S = 24 * 3600.0  # or than this where the container gives no length

# FFmpeg's names of containers that store the time of each packet; in others the times follow from the bytes before
TIMED = frozenset("matroska webm mov mpegts mpegtsraw mpeg flv live_flv kux asf asf_o mxf rm ivr nut wtv gxf".split())
COUNTED = frozenset(("flac",))  # each frame has the number of its first sample
RESTARTING = frozenset("ogg mpeg".split())  # a chain of recordings, a DVD's cells: the time stamps start again
RESET = frozenset("mpegts mpegtsraw mpeg".split())  # the clock is the sender's, and may jump by any amount
MAX_RESET_S = 3600.0  # a longer hole is such a jump; with derived time stamps, no more than this is taken as lost


@dataclass(frozen=True, slots=True)
class Clock:
    """The properties of a container's time stamps.

    Attributes:
        is_timed: The container stores them; else they are derived, and a hole means lost data.
        restarts: They may start again within an undamaged recording.
        max_gap_s: Longer gaps between frames are holes.
        start_s: Start time of the container, None when it has none.
        limit_s: No sound is later than this, from the start.
        max_hole_s: No hole is longer; with derived time stamps, nor all holes together.
    """

    is_timed: bool = True
    restarts: bool = False
    max_gap_s: float = MAX_GAP_S
    start_s: float | None = None
    limit_s: float = math.inf
    max_hole_s: float = math.inf

    @classmethod
    def of(cls, kinds: frozenset[str], start_s: float | None, length_s: float, max_s: float) -> "Clock":
        """Return the clock of a container.

        Args:
            kinds: FFmpeg's names of the container.
            start_s: Its start time, None when it has none.
            length_s: Its length; 0.0 when unknown.
            max_s: No sound is later than this.
        """
        limit_s = min(max_s, FAR * length_s + FAR_S if length_s > 0 else UNKNOWN_S)
        max_hole_s = MAX_RESET_S if kinds & RESET or not kinds & TIMED else math.inf
        max_gap_s = MAX_JITTER_S if kinds & COUNTED else MAX_GAP_S
        return cls(bool(kinds & TIMED), bool(kinds & RESTARTING), max_gap_s, start_s, limit_s, max_hole_s)


class Before(enum.Enum):
    """What was found before a frame, since the last one."""

    NOTHING = enum.auto()
    UNDECODED = enum.auto()  # parts that could not be decoded
    ASTRAY = enum.auto()  # frames without time stamps, from a parser that lost its way
    TAG = enum.auto()  # the tag of an appended recording; derived time stamps count it as sound
    SKIPPED = enum.auto()  # bytes that belong to no packet


class Timeline:
    """Places the frames of one stream, in the order in which they are decoded.

    Attributes:
        end_s: The end of the sound so far, from the container's start.
        missing_s: Seconds of silence that replace lost data.
    """

    def __init__(self, clock: Clock) -> None:
        """Start at the container's start."""
        self._clock = clock
        self._due_s: float | None = None  # the expected next time stamp
        self._shift_s = self._old_shift_s = 0.0  # from time stamps to the sound's time, now and before the last jump
        self._n_back = self._n_ahead = 0
        self._filled_s = 0.0
        self.end_s = self.missing_s = 0.0

    @property
    def notices(self) -> list[str]:
        """Sentences about jumps of the time stamps."""
        sentences = []
        if self._n_back:
            sentences.append(f"its time stamps jump back {_times(self._n_back)}; times continue from the sound before")
        if self._n_ahead:
            sentences.append(
                f"its time stamps jump ahead {_times(self._n_ahead)}, beyond its possible length; "
                "times continue from the sound before"
            )
        return sentences

    def silence(self, begin_s: float | None, n_samples: int, rate: int, before: Before = Before.NOTHING) -> int:
        """Return the number of samples of silence before a frame.

        Args:
            begin_s: Its time stamp, None when it has none.
            n_samples: Its length.
            rate: Its sample rate in Hz.
            before: What was found before it.
        """
        n_silent = 0
        if begin_s is None:
            begin_s = self._begin_s() if self._due_s is None else self._due_s
        if self._due_s is None:
            n_silent = self._first(begin_s, rate, before)
        else:
            n_silent = self._next(begin_s, begin_s - self._due_s, rate, before)
        self._due_s = begin_s + n_samples / rate
        self.end_s += (n_silent + n_samples) / rate
        return n_silent

    def _begin_s(self) -> float:
        return self._clock.start_s or 0.0

    def _first(self, begin_s: float, rate: int, before: Before) -> int:
        start_s = begin_s if self._clock.start_s is None else min(begin_s, self._clock.start_s)
        self._shift_s = self._old_shift_s = -start_s
        lag_s = begin_s - start_s
        return self._fill(begin_s, lag_s, rate) if lag_s > self._tolerated_s(before) else 0

    def _next(self, begin_s: float, gap_s: float, rate: int, before: Before) -> int:
        if not self._clock.is_timed:  # only the gap before this frame counts
            gap_s = 0.0 if before is Before.TAG else gap_s
            self._shift_s = self.end_s - (begin_s - gap_s)
        lag_s = begin_s + self._shift_s - self.end_s
        is_back = gap_s < -MAX_GAP_S and lag_s < -MAX_LEAD_S
        is_hole = lag_s > MAX_JITTER_S and (gap_s > self._tolerated_s(before) or lag_s > MAX_LAG_S)
        if (is_back or (is_hole and lag_s > MAX_GAP_S)) and self._is_back_on_time(begin_s):
            self._shift_s, self._old_shift_s = self._old_shift_s, self._shift_s  # the last jump is undone
            return 0
        if is_back:
            self._n_back += self._clock.is_timed and not self._clock.restarts
            self._jump(begin_s)
        if not is_hole:
            return 0
        n_silent = self._fill(begin_s, lag_s, rate)
        if gap_s > self._clock.max_gap_s and n_silent and self._is_loss(before):
            self.missing_s += n_silent / rate
        return n_silent

    def _is_back_on_time(self, begin_s: float) -> bool:
        return self._clock.is_timed and abs(begin_s + self._old_shift_s - self.end_s) <= MAX_GAP_S

    def _is_loss(self, before: Before) -> bool:
        return before is Before.SKIPPED or (not self._clock.is_timed and before is not Before.ASTRAY)

    def _tolerated_s(self, before: Before) -> float:
        return MAX_JITTER_S if before in (Before.UNDECODED, Before.ASTRAY) else self._clock.max_gap_s

    def _fill(self, begin_s: float, lag_s: float, rate: int) -> int:
        """The samples of silence for a hole; 0 for an impossible one."""
        all_s = lag_s + (0.0 if self._clock.is_timed else self._filled_s)
        if all_s <= self._clock.max_hole_s and begin_s + self._shift_s <= self._clock.limit_s:
            self._filled_s += lag_s
            return round(lag_s * rate)
        self._n_ahead += 1
        self._jump(begin_s)
        return 0

    def _jump(self, begin_s: float) -> None:
        self._old_shift_s, self._shift_s = self._shift_s, self.end_s - begin_s


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"
