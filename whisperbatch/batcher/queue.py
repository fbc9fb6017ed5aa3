"""A bounded queue that releases batches, and the rule for when a batch is due."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from whisperbatch.errors import UsageError

T = TypeVar("T")
N_KEPT = 10_000  # batches that Stats remembers individually; ``watch`` may run for months


@dataclass(frozen=True, slots=True)
class Policy:
    """A batch is due at ``max_batch_size`` items, or ``max_wait_s`` seconds after its first item came."""

    max_batch_size: int
    max_wait_s: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.max_batch_size < 1 or self.max_wait_s < 0:
            raise UsageError("the batch size must be 1 or more, and the wait 0 seconds or more")

    def due_at(self, n_items: int, first_came_s: float, *, idle: bool, ended: bool, full: bool = False) -> float:
        """Return when the batch is due; -inf means at once, inf means not before something changes.

        Args:
            n_items: The number of items that wait.
            first_came_s: When the first of them came; ignored when none waits.
            idle: Whether the consumer has nothing to do; a busy one takes what there is and never waits.
            ended: Whether no more items will come.
            full: Whether no further item can join: the consumer or the queue has no room for it.
        """
        if n_items == 0:
            return -math.inf if ended or not idle else math.inf
        if n_items >= self.max_batch_size or full or ended or not idle:
            return -math.inf
        return first_came_s + self.max_wait_s


@dataclass(slots=True)
class Stats:
    """Counts of released batches; for the latest ones, their sizes and the wait of their first item in seconds."""

    batches: int = 0
    items: int = 0
    sizes: list[int] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)

    def add(self, size: int, wait_s: float) -> None:
        """Count a released batch; the oldest ones are forgotten."""
        self.batches += 1
        self.items += size
        self.sizes.append(size)
        self.waits_s.append(wait_s)
        if len(self.sizes) >= 2 * N_KEPT:
            del self.sizes[:N_KEPT], self.waits_s[:N_KEPT]


class Batcher(Generic[T]):
    """A bounded first-in, first-out queue that releases batches; any thread may call it."""

    def __init__(
        self,
        max_batch_size: int,
        max_wait_s: float,
        *,
        max_items: int,
        max_weight: float = math.inf,
        weight: Callable[[T], float] = lambda item: 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bound the queue by ``max_items`` and ``max_weight``; an item above the bounds may still be queued alone."""
        self.policy = Policy(max_batch_size, max_wait_s)
        self.stats = Stats()
        self._max_items, self._max_weight, self._weight_of = max_items, max_weight, weight
        self._clock = clock
        self._items: deque[tuple[T, float]] = deque()
        self._waiting: deque[tuple[float, object]] = deque()  # producers: weight and a unique mark
        self._weight = 0.0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T, cancelled: Callable[[], bool] | None = None) -> bool:
        """Add an item, waiting while the queue is full; producers are served in the order in which they came.

        Returns False, without adding the item, when the queue is closed or aborted, or once ``cancelled()`` is true.
        ``cancelled`` is called whenever the queue changes, for example by ``discard``.
        """
        weight = self._weight_of(item)
        me = (weight, object())

        def unwanted() -> bool:
            return self._closed or (cancelled is not None and cancelled())

        def may_go() -> bool:
            return unwanted() or (self._waiting[0] is me and self._fits(weight))

        with self._changed:
            self._waiting.append(me)
            try:
                if not may_go():
                    self._changed.notify_all()  # the batch is as full as it can get: an idle consumer need not wait
                    self._changed.wait_for(may_go)
                if unwanted():
                    return False
                self._items.append((item, self._clock()))
                self._weight += weight
                return True
            finally:
                self._waiting.remove(me)
                self._changed.notify_all()

    def take(self, limit: int, *, idle: bool) -> list[T]:
        """Return the next batch, of at most ``limit`` and at most ``max_batch_size`` items.

        An idle consumer waits until a batch is due; an empty list means that no more will come. A busy one gets at once
        what there is.
        """
        with self._changed:
            while True:
                first_s = self._items[0][1] if self._items else 0.0
                full = len(self._items) >= limit or self._is_stuck()
                due_s = self.policy.due_at(len(self._items), first_s, idle=idle, ended=self._closed, full=full)
                wait_s = due_s - self._clock()
                if wait_s <= 0:
                    return self._release(limit)
                self._changed.wait(None if wait_s == math.inf else min(wait_s, threading.TIMEOUT_MAX))

    def resize(self, max_batch_size: int, *, max_items: int, max_weight: float = math.inf) -> None:
        """Change the batch size and the bounds of the queue."""
        with self._changed:
            self.policy = Policy(max_batch_size, self.policy.max_wait_s)
            self._max_items, self._max_weight = max_items, max_weight
            self._changed.notify_all()

    def discard(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Remove and return the queued items for which ``unwanted`` is true."""
        with self._changed:
            marked = [(entry, unwanted(entry[0])) for entry in self._items]
            self._items = deque(entry for entry, is_gone in marked if not is_gone)
            self._weight = sum(self._weight_of(item) for item, _ in self._items)
            self._changed.notify_all()
            return [entry[0] for entry, is_gone in marked if is_gone]

    def close(self) -> None:
        """Accept no more items; what is queued is still released."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> list[T]:
        """Accept no more items, and remove and return those that are queued; all waiting threads go on."""
        with self._changed:
            self._closed = True
            gone = [item for item, _ in self._items]
            self._items.clear()
            self._weight = 0.0
            self._changed.notify_all()
            return gone

    @property
    def finished(self) -> bool:
        """True when nothing is queued and nothing more will come."""
        with self._changed:
            return self._closed and not self._items

    def __len__(self) -> int:
        """The number of queued items."""
        with self._changed:
            return len(self._items)

    def _fits(self, weight: float) -> bool:
        has_room = len(self._items) < self._max_items and self._weight + weight <= self._max_weight
        return has_room or not self._items  # an item above the bounds is queued alone

    def _is_stuck(self) -> bool:
        return bool(self._waiting) and not self._fits(self._waiting[0][0])

    def _release(self, limit: int) -> list[T]:
        n = min(limit, self.policy.max_batch_size, len(self._items))
        if n <= 0:
            return []
        self.stats.add(n, self._clock() - self._items[0][1])
        batch = [self._items.popleft()[0] for _ in range(n)]
        self._weight = self._weight - sum(map(self._weight_of, batch)) if self._items else 0.0
        self._changed.notify_all()
        return batch
