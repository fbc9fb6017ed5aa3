"""The state of a decode batch's slots, and what it implies for the next steps."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from whisperbatch.engine.placement import Snapshot
from whisperbatch.engine.scheduling.request import Window


@dataclass(eq=False, slots=True)
class SlotState:
    """A window in a slot.

    Attributes:
        window: The window.
        opening: Tokens before the first sampled one; empty until decoding begins.
        temperature: Temperature of this try; at 0 a group of several rows is a beam search.
        max_tokens: Decoding ends at this number of tokens, opening included.
        n_given: Tokens at the opening's end that the rules treat as sampled: a prefix, or the window's text so far.
        n_returned: How many of these belong to the returned text, as a prefix does.
        n_room: Sampled tokens that the window's audio has room for; a longer text that repeats itself is ended. None:
            never ended.
        keys: Keys of the sampling noise, one per row; empty at temperature 0.
        opening_probs: The probabilities from the opening's pass and this window's row in them, once decoding has
            begun: first that of no speech, then that of each language.
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
    opening_probs: tuple[Snapshot, int] | None = None
    n_tokens: int = field(init=False)

    def __post_init__(self) -> None:
        """Start with nothing sampled."""
        self.n_tokens = len(self.opening)

    @property
    def no_speech_prob(self) -> float:
        """The probability of no speech; reading it makes the host wait for the opening's pass."""
        return self._probs[0]

    @property
    def language_probs(self) -> list[float]:
        """The probability of each language; the host waits as for ``no_speech_prob``."""
        return self._probs[1:]

    @property
    def _probs(self) -> list[float]:
        assert self.opening_probs is not None
        snapshot, row = self.opening_probs
        values: list[float] = snapshot.tolist()[row]
        return values


class PassShape(NamedTuple):
    """Everything that a pass depends on besides the contents of the batch's tensors.

    Attributes:
        n_slots: The number of slots that take part, from the first.
        reach: An upper bound (exclusive) of all rows' positions.
        width: Candidates per row for beam search; 0 for none.
        draws: True if one token per row is drawn.
        is_warm: True if any row's temperature is above 0.
    """

    n_slots: int
    reach: int
    width: int
    draws: bool
    is_warm: bool


ActiveSlots = Sequence[tuple[int, SlotState]]  # the slots in use and their states


class StepPlan(NamedTuple):
    """What stays the same from step to step until a window enters or leaves.

    Attributes:
        active: The slots in use.
        searching: The slots that run a beam search.
        sampling: The other slots.
        is_warm: True if any slot's temperature is above 0.
    """

    active: ActiveSlots = ()
    searching: Sequence[int] = ()
    sampling: Sequence[int] = ()
    is_warm: bool = False


class Step(NamedTuple):
    """A step that the device may still be working on.

    Attributes:
        active: The slots that took part.
        ended: Flags that say whether the window in each of the first slots has ended: under True for beam searches,
            under False for sampling.
    """

    active: ActiveSlots
    ended: dict[bool, Snapshot]
