"""The queue that gives out batches, and the rule that says when."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from whisperbatch.errors import UsageError

T = TypeVar("T")
N_KEPT = 10_000  # batches that Stats remembers one by one; a watch may run for months


@dataclass(frozen=True, slots=True)
class Policy:
    """When a batch is due: ``max_batch_size`` items, or ``max_wait_s`` seconds after its first item came."""

    max_batch_size: int
    max_wait_s: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.max_batch_size < 1 or self.max_wait_s < 0:
            raise UsageError("a batch holds 1 item or more and waits for 0 seconds or more")

    def due_at(self, n_items: int, first_came_s: float, *, idle: bool, ended: bool, full: bool = False) -> float:
        """The time from which the batch may go out; -inf for at once, inf for not before something changes.

        Args:
            n_items: How many items wait.
            first_came_s: When the first of them came; of no meaning when none waits.
            idle: Whether the consumer has nothing to do; a busy one takes what there is and never waits.
            ended: Whether no more items will come.
            full: Whether no further item can join: the consumer has no room for it, or the queue has none.
        """
        if n_items == 0:
            return -math.inf if ended or not idle else math.inf
        if n_items >= self.max_batch_size or full or ended or not idle:
            return -math.inf
        return first_came_s + self.max_wait_s


@dataclass(slots=True)
class Stats:
    """What has gone out; of the latest batches their sizes and how long the first item of each waited, in seconds."""

    batches: int = 0
    items: int = 0
    sizes: list[int] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)

    def add(self, size: int, wait_s: float) -> None:
        """Note a batch that goes out; the oldest are forgotten."""
        self.batches += 1
        self.items += size
        self.sizes.append(size)
        self.waits_s.append(wait_s)
        if len(self.sizes) >= 2 * N_KEPT:
            del self.sizes[:N_KEPT], self.waits_s[:N_KEPT]


class Batcher(Generic[T]):
    """A bounded first-in first-out queue that gives out batches; any thread may call it."""

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
        """Bound the queue by ``max_items`` and ``max_weight``; an item above the bounds passes alone."""
        self.policy = Policy(max_batch_size, max_wait_s)
        self.stats = Stats()
        self._max_items, self._max_weight, self._weight_of = max_items, max_weight, weight
        self._clock = clock
        self._items: deque[tuple[T, float]] = deque()
        self._waiting: deque[tuple[float, object]] = deque()  # producers: weight and a mark of their own
        self._weight = 0.0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T, cancelled: Callable[[], bool] | None = None) -> bool:
        """Add an item, waiting while the queue is full; producers get in in the order in which they came.

        False, and the item stays out, when the queue was aborted or closed, or when ``cancelled()`` says that nobody
        wants the item any more. ``cancelled`` is asked whenever the queue changes; ``discard`` is such a change.
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
                    self._changed.notify_all()  # what is queued is as full as it gets: an idle taker need not wait on
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
        """The next batch, of at most ``limit`` items and never more than a full one.

        An idle consumer waits until a batch is due; an empty list tells it that no more will come. A busy one gets at
        once what there is.
        """
        with self._changed:
            while True:
                first_s = self._items[0][1] if self._items else 0.0
                full = len(self._items) >= limit or self._is_stuck()
                due_s = self.policy.due_at(len(self._items), first_s, idle=idle, ended=self._closed, full=full)
                wait_s = due_s - self._clock()
                if wait_s <= 0:
                    return self._give(limit)
                self._changed.wait(None if wait_s == math.inf else min(wait_s, threading.TIMEOUT_MAX))

    def resize(self, max_batch_size: int, *, max_items: int, max_weight: float = math.inf) -> None:
        """Another batch size, and other bounds of the queue, from now on."""
        with self._changed:
            self.policy = Policy(max_batch_size, self.policy.max_wait_s)
            self._max_items, self._max_weight = max_items, max_weight
            self._changed.notify_all()

    def discard(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take out and give back the queued items that ``unwanted`` picks."""
        with self._changed:
            marked = [(entry, unwanted(entry[0])) for entry in self._items]
            self._items = deque(entry for entry, is_gone in marked if not is_gone)
            self._weight = sum(self._weight_of(item) for item, _ in self._items)
            self._changed.notify_all()
            return [entry[0] for entry, is_gone in marked if is_gone]

    def close(self) -> None:
        """No more items come; what is queued still goes out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> list[T]:
        """No more items come, and what is queued is given back here; everyone who waits goes on."""
        with self._changed:
            self._closed = True
            gone = [item for item, _ in self._items]
            self._items.clear()
            self._weight = 0.0
            self._changed.notify_all()
            return gone

    @property
    def finished(self) -> bool:
        """Whether nothing is queued and nothing will come."""
        with self._changed:
            return self._closed and not self._items

    def __len__(self) -> int:
        """How many items are queued."""
        with self._changed:
            return len(self._items)

    def _fits(self, weight: float) -> bool:
        has_room = len(self._items) < self._max_items and self._weight + weight <= self._max_weight
        return has_room or not self._items  # one above the bounds passes alone

    def _is_stuck(self) -> bool:
        return bool(self._waiting) and not self._fits(self._waiting[0][0])

    def _give(self, limit: int) -> list[T]:
        n = min(limit, self.policy.max_batch_size, len(self._items))
        if n <= 0:
            return []
        self.stats.add(n, self._clock() - self._items[0][1])
        batch = [self._items.popleft()[0] for _ in range(n)]
        self._weight = self._weight - sum(map(self._weight_of, batch)) if self._items else 0.0
        self._changed.notify_all()
        return batch
