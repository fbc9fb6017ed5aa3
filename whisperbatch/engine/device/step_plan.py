"""Who sits in a lane's slots, and what follows from that for its steps.

Comes in: windows in slots. Goes out: what a pass is, whose turn it is, who has ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from whisperbatch.engine.placement import Snapshot
from whisperbatch.engine.scheduling.request import Window


@dataclass(eq=False, slots=True)
class SlotState:
    """A window in a slot.

    Attributes:
        window: Which one.
        opening: Tokens before the first sampled one; empty until it begins.
        temperature: Of this try; at 0 a group of several rows is a beam search.
        max_tokens: It ends when it has as many, opening included.
        n_given: Tokens at the opening's end that rules take for sampled: a prefix, or the window's text so far.
        n_returned: How many of these are part of what was sampled, as a prefix is.
        n_room: Sampled tokens that the window's audio has room for; with more, a text that repeats itself is ended.
            None: it may go on.
        keys: Of the noise, one a row; empty at temperature 0.
        heard: What the opening's pass gave, and the seat's row in it, once it has begun: the probability that nothing
            is said, then that of each language.
        n_tokens: Tokens so far, opening included.
    """

    window: Window
    opening: Sequence[int] = ()
    temperature: float = 0.0
    max_tokens: int = 0
    keys: Sequence[int] = ()
    n_given: int = 0
    n_returned: int = 0
    n_room: int | None = None
    heard: tuple[Snapshot, int] | None = None
    n_tokens: int = field(init=False)

    def __post_init__(self) -> None:
        """Nothing sampled yet."""
        self.n_tokens = len(self.opening)

    @property
    def no_speech_prob(self) -> float:
        """The probability that nothing is said; the host waits here for the opening's pass, and not when it begins."""
        return self._heard[0]

    @property
    def chances(self) -> list[float]:
        """The probability of each language; the host waits as for ``no_speech_prob``."""
        return self._heard[1:]

    @property
    def _heard(self) -> list[float]:
        assert self.heard is not None
        look, row = self.heard
        values: list[float] = look.tolist()[row]
        return values


class Shape(NamedTuple):
    """All that a pass depends on besides what the lane's tensors hold.

    Attributes:
        n_slots: How many take part, the first ones.
        reach: No row is as long.
        width: Candidates a row, for searches; 0 for none.
        draws: Whether a token a row is drawn.
        is_warm: Whether any row's temperature is above 0.
    """

    n_slots: int
    reach: int
    width: int
    draws: bool
    is_warm: bool


Seated = Sequence[tuple[int, SlotState]]  # the used slots and who sits there


class Plan(NamedTuple):
    """What stays the same from step to step until somebody comes or goes.

    Attributes:
        seated: Who takes part.
        searching: The slots of searches.
        sampling: The others.
        is_warm: Whether any seat's temperature is above 0.
    """

    seated: Seated = ()
    searching: Sequence[int] = ()
    sampling: Sequence[int] = ()
    is_warm: bool = False


class Step(NamedTuple):
    """A step that the device may still be at.

    Attributes:
        seated: Who took part.
        ended: Whether the windows of each of the first slots have ended, of searches under True, of others under False.
    """

    seated: Seated
    ended: dict[bool, Snapshot]
