"""Size-or-timeout batching: a batch goes out when it is full or when its first item has waited long enough.

Comes in: items, one at a time, from any thread. Goes out: lists, first in first out. ``Batcher`` is the queue between
the load threads and the engine; ``batched`` puts the same rule in front of any function from lists to a list. The rule
itself (``Policy``) is pure and takes the time as an argument.
"""

import functools
import inspect
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from whisperbatch.errors import UsageError, WhisperbatchError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Policy:
    """When a batch is due: ``max_batch_size`` items, or ``max_wait_s`` seconds after its first item came."""

    max_batch_size: int
    max_wait_s: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.max_batch_size < 1 or self.max_wait_s < 0:
            raise UsageError("a batch holds 1 item or more and waits for 0 seconds or more")

    def due_at(self, n_items: int, first_came_s: float, *, idle: bool, ended: bool) -> float:
        """The time from which the batch may go out; -inf for at once, inf for not before something changes.

        Args:
            n_items: How many items wait.
            first_came_s: When the first of them came; of no meaning when none waits.
            idle: Whether the consumer has nothing to do; a busy one takes what there is and never waits.
            ended: Whether no more items will come.
        """
        if n_items == 0:
            return -math.inf if ended or not idle else math.inf
        if n_items >= self.max_batch_size or ended or not idle:
            return -math.inf
        return first_came_s + self.max_wait_s


@dataclass(slots=True)
class Stats:
    """What has gone out: number of batches, their sizes, and how long the first item of each had waited, in seconds."""

    batches: int = 0
    sizes: list[int] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)


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
        self._weight = 0.0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> bool:
        """Add an item, waiting while the queue is full; False when the queue was aborted or closed."""
        weight = self._weight_of(item)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._items or self._fits(weight))
            if self._closed:
                return False
            self._items.append((item, self._clock()))
            self._weight += weight
            self._changed.notify_all()
            return True

    def take(self, limit: int, *, idle: bool) -> list[T]:
        """The next batch, of at most ``limit`` items and never more than a full one.

        An idle consumer waits until a batch is due; an empty list tells it that no more will come. A busy one gets at
        once what there is.
        """
        with self._changed:
            while True:
                first_s = self._items[0][1] if self._items else 0.0
                wait_s = self.policy.due_at(len(self._items), first_s, idle=idle, ended=self._closed) - self._clock()
                if wait_s <= 0:
                    return self._give(limit)
                self._changed.wait(None if wait_s == math.inf else min(wait_s, threading.TIMEOUT_MAX))

    def discard(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take out and give back the queued items that ``unwanted`` picks."""
        with self._changed:
            gone = [entry for entry in self._items if unwanted(entry[0])]
            self._items = deque(entry for entry in self._items if not unwanted(entry[0]))
            self._weight = sum(self._weight_of(item) for item, _ in self._items)
            self._changed.notify_all()
            return [item for item, _ in gone]

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
        return len(self._items) < self._max_items and self._weight + weight <= self._max_weight

    def _give(self, limit: int) -> list[T]:
        n = min(limit, self.policy.max_batch_size, len(self._items))
        if n <= 0:
            return []
        self.stats.batches += 1
        self.stats.sizes.append(n)
        self.stats.waits_s.append(self._clock() - self._items[0][1])
        batch = [self._items.popleft()[0] for _ in range(n)]
        self._weight = self._weight - sum(map(self._weight_of, batch)) if self._items else 0.0
        self._changed.notify_all()
        return batch


class BatchLengthError(WhisperbatchError):
    """A batched function gave back more or fewer results than it got items."""


def run_split(function: Callable[[list[Any]], Sequence[Any]], items: list[Any]) -> list[Any]:
    """One result an item; a batch that raises is split until the culprit stands alone with its exception."""
    try:
        return _checked(function(items), len(items))
    except Exception as err:
        if len(items) == 1:
            return [err]
        half = len(items) // 2
        return run_split(function, items[:half]) + run_split(function, items[half:])


def _run_whole(function: Callable[[list[Any]], Sequence[Any]], items: list[Any]) -> list[Any]:
    """One result an item; an exception goes to all of them."""
    try:
        return _checked(function(items), len(items))
    except Exception as err:
        return [err] * len(items)


def _checked(results: Sequence[Any], n_items: int) -> list[Any]:
    if not isinstance(results, Sequence) or isinstance(results, str | bytes):
        raise BatchLengthError(f"a batched function must return a list, not {type(results).__name__}")
    if len(results) != n_items:
        raise BatchLengthError(f"the batched function returned {len(results)} results for {n_items} items")
    return list(results)


@dataclass(frozen=True, slots=True)
class _Call:
    arguments: tuple[Any, ...]
    future: "Future[Any]"


class BatchedFunction:
    """A function from lists to a list, called with one item at a time from any thread.

    Attributes:
        stats: Batches so far, their sizes, their waits.
    """

    def __init__(
        self, function: Callable[..., Sequence[Any]], max_batch_size: int, wait_ms: float, split_on_error: bool
    ) -> None:
        """Keep the function; its thread starts with the first call."""
        functools.update_wrapper(self, function)
        self._function = function
        self._signature = inspect.signature(function)
        self._run = run_split if split_on_error else _run_whole
        self._queue: Batcher[_Call] = Batcher(max_batch_size, wait_ms / 1000, max_items=2**62)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.stats = self._queue.stats

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The result for one item; raises what the function raised for it.

        Raises:
            RuntimeError: The batcher is closed, or the call comes from inside its own batch.
        """
        return self.submit(*args, **kwargs).result()

    def submit(self, *args: Any, **kwargs: Any) -> "Future[Any]":
        """A future for one item's result."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if threading.current_thread() is self._thread:
            raise RuntimeError("a batched function cannot call itself for one item from inside its own batch")
        call = _Call(tuple(bound.arguments.values()), Future())
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="whisperbatch-batched", daemon=True)
                self._thread.start()
            if not self._queue.put(call):
                raise RuntimeError("this batched function is closed")
        return call.future

    def close(self) -> None:
        """Answer what is queued, then end the thread; later calls raise RuntimeError."""
        with self._lock:
            self._queue.close()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _work(self) -> None:
        while calls := self._queue.take(self._queue.policy.max_batch_size, idle=True):
            wanted = [call for call in calls if call.future.set_running_or_notify_cancel()]
            if not wanted:
                continue
            try:
                results = self._run(self._on_columns, wanted)
            except BaseException as err:  # the interpreter ends, or worse: still no caller may hang
                results = [err] * len(wanted)
            for call, result in zip(wanted, results, strict=True):
                _resolve(call.future, result)

    def _on_columns(self, calls: list[_Call]) -> Sequence[Any]:
        """Call the function with one list a parameter."""
        return self._function(*(list(column) for column in zip(*(call.arguments for call in calls), strict=True)))


def _resolve(future: "Future[Any]", result: Any) -> None:
    try:
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
    except InvalidStateError:  # the caller has settled it meanwhile
        pass


class _BatchedMethod:
    """What ``batched`` leaves in a module or class: itself when called, one queue an instance when a method."""

    def __init__(self, function: Callable[..., Sequence[Any]], make: Callable[[Any], BatchedFunction]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._make = make
        self._plain: BatchedFunction | None = None
        self._name = function.__name__
        self._lock = threading.Lock()
        self._instances: weakref.WeakKeyDictionary[Any, BatchedFunction] = weakref.WeakKeyDictionary()

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        with self._lock:
            found = self._instances.get(instance)
            if found is None:
                found = self._instances[instance] = self._make(_weak_method(self._function, instance))
                weakref.finalize(instance, found._queue.close)
            return found

    @property
    def _own(self) -> BatchedFunction:
        with self._lock:
            if self._plain is None:
                self._plain = self._make(self._function)
            return self._plain

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._own(*args, **kwargs)

    def submit(self, *args: Any, **kwargs: Any) -> "Future[Any]":
        """A future for one item's result."""
        return self._own.submit(*args, **kwargs)

    @property
    def stats(self) -> Stats:
        """Batches so far, their sizes, their waits."""
        return self._own.stats

    def close(self) -> None:
        """Answer what is queued; later calls raise RuntimeError."""
        self._own.close()


def _weak_method(function: Callable[..., Sequence[Any]], instance: Any) -> Callable[..., Sequence[Any]]:
    """The bound method without a hold on its instance, so that the queue does not keep it alive."""
    reference = weakref.ref(instance)
    parameters = list(inspect.signature(function).parameters.values())[1:]

    @functools.wraps(function)
    def call(*columns: Any) -> Sequence[Any]:
        alive = reference()
        if alive is None:
            raise RuntimeError("the object of this batched method is gone")
        return function(alive, *columns)

    del call.__wrapped__  # its signature would show the instance
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call


def batched(
    max_batch_size: int = 64, wait_ms: float = 1000.0, split_on_error: bool = False
) -> Callable[[Callable[..., Sequence[Any]]], Any]:
    """A decorator that lets a function from lists to a list be called with one item, from any thread.

    Calls that come together run together: a batch goes out when ``max_batch_size`` calls wait or when the first has
    waited ``wait_ms``, whichever is first. Each parameter becomes a list. In a class each instance has its own queue.
    The decorated function has ``submit`` (a Future), ``stats`` and ``close``.

    Args:
        max_batch_size: Most calls in one batch.
        wait_ms: Milliseconds that the first call of a batch may wait for others.
        split_on_error: Split a batch that raised until the culprit stands alone; else all of its calls raise.

    An Exception instance in the returned list is raised for that item alone.
    """
    Policy(max_batch_size, wait_ms / 1000)  # check the values where they are written

    def make(function: Callable[..., Sequence[Any]]) -> BatchedFunction:
        return BatchedFunction(function, max_batch_size, wait_ms, split_on_error)

    return lambda function: _BatchedMethod(function, make)
