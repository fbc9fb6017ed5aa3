"""Assign windows to slots, the row groups of the caches, and find the moves that close gaps. Policy only: no torch."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Slots(Generic[T]):
    """A fixed number of slots, each with an occupant or free; owned by one thread."""

    def __init__(self, n_slots: int) -> None:
        """Start with all slots free."""
        self._occupants: list[T | None] = [None] * n_slots

    def __len__(self) -> int:
        """The number of slots."""
        return len(self._occupants)

    def __iter__(self) -> Iterator[tuple[int, T]]:
        """Iterate over used slots with their occupants, in the order of the slots."""
        return ((slot, one) for slot, one in enumerate(self._occupants) if one is not None)

    @property
    def n_used(self) -> int:
        """The number of slots with an occupant."""
        return sum(one is not None for one in self._occupants)

    @property
    def n_free(self) -> int:
        """The number of free slots."""
        return len(self._occupants) - self.n_used

    @property
    def n_spanned(self) -> int:
        """The number of slots up to the last used one."""
        return max((slot + 1 for slot, _ in self), default=0)

    def put(self, one: T) -> int:
        """Put an occupant into the lowest free slot; return the slot."""
        slot = self._occupants.index(None)
        self._occupants[slot] = one
        return slot

    def replace(self, slot: int, one: T) -> None:
        """Replace the occupant of a used slot."""
        assert self._occupants[slot] is not None
        self._occupants[slot] = one

    def clear(self, slot: int) -> None:
        """Free a slot."""
        assert self._occupants[slot] is not None
        self._occupants[slot] = None

    def discard(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Free the slots of occupants that ``unwanted`` picks; return these occupants."""
        gone = [(slot, one) for slot, one in self if unwanted(one)]
        for slot, _ in gone:
            self._occupants[slot] = None
        return [one for _, one in gone]

    def compact(self) -> list[tuple[int, int]]:
        """Move occupants so that the used slots are the first ones; return the moves (from, to)."""
        moves, n_used = [], self.n_used
        for to in range(n_used):
            if self._occupants[to] is None:
                source = max(slot for slot, _ in self)
                self._occupants[to], self._occupants[source] = self._occupants[source], None
                moves.append((source, to))
        return moves
