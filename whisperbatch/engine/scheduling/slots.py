"""Who sits in which row of the caches. Policy only: no torch.

Comes in: windows. Goes out: their slots, and which rows have to be moved so that the used ones come first.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Slots(Generic[T]):
    """A fixed number of slots with an occupant each, or none; owned by one thread."""

    def __init__(self, n_slots: int) -> None:
        """All free."""
        self._occupants: list[T | None] = [None] * n_slots

    def __len__(self) -> int:
        """How many slots there are."""
        return len(self._occupants)

    def __iter__(self) -> Iterator[tuple[int, T]]:
        """Each used slot with its occupant, in the order of the slots."""
        return ((slot, one) for slot, one in enumerate(self._occupants) if one is not None)

    @property
    def n_used(self) -> int:
        """How many have an occupant."""
        return sum(one is not None for one in self._occupants)

    @property
    def n_free(self) -> int:
        """How many have none."""
        return len(self._occupants) - self.n_used

    @property
    def n_spanned(self) -> int:
        """How many there are up to the last used one."""
        return max((slot + 1 for slot, _ in self), default=0)

    def put(self, one: T) -> int:
        """The lowest free slot, now taken."""
        slot = self._occupants.index(None)
        self._occupants[slot] = one
        return slot

    def replace(self, slot: int, one: T) -> None:
        """Seat another in a used slot."""
        assert self._occupants[slot] is not None
        self._occupants[slot] = one

    def clear(self, slot: int) -> None:
        """Free a slot."""
        assert self._occupants[slot] is not None
        self._occupants[slot] = None

    def discard(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Free the slots of the occupants that ``unwanted`` picks; those."""
        gone = [(slot, one) for slot, one in self if unwanted(one)]
        for slot, _ in gone:
            self._occupants[slot] = None
        return [one for _, one in gone]

    def compact(self) -> list[tuple[int, int]]:
        """The moves (from, to), done here, after which the used slots are the first ones."""
        moves, n_used = [], self.n_used
        for to in range(n_used):
            if self._occupants[to] is None:
                source = max(slot for slot, _ in self)
                self._occupants[to], self._occupants[source] = self._occupants[source], None
                moves.append((source, to))
        return moves
