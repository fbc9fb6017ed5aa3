"""``batched``, a decorator that lets a function from lists to a list be called with one item at a time."""

import atexit
import functools
import inspect
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from whisperbatch.batcher.queue import Batcher, Policy, Stats
from whisperbatch.errors import UsageError, WhisperbatchError

R = TypeVar("R")


class BatchLengthError(WhisperbatchError):
    """A batched function returned more or fewer results than it was given items."""


def run_split(function: Callable[[list[Any]], Sequence[Any]], items: list[Any], *, split: bool = True) -> list[Any]:
    """Call the function and return one result per item; split a batch that raises until only the culprit fails.

    A failed item's result is its exception. With ``split`` False all items of the batch get the exception.
    """
    try:
        return _checked(function(items), len(items))
    except Exception as err:
        if not split or len(items) <= 1:
            return [err] * len(items)
        half = len(items) // 2
        return run_split(function, items[:half]) + run_split(function, items[half:])


def _checked(results: Sequence[Any], n_items: int) -> list[Any]:
    if not isinstance(results, Sequence) or isinstance(results, str | bytes):
        raise BatchLengthError(f"a batched function must return a list, not {type(results).__name__}")
    if len(results) != n_items:
        raise BatchLengthError(f"the batched function returned {len(results)} results for {n_items} items")
    return list(results)


@dataclass(frozen=True, slots=True)
class _Call:
    head: tuple[Any, ...]  # empty, or the instance, which stays alive until the call has its result
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    future: "Future[Any]"


class _CallQueue:
    """The queue of a function or an instance, and the thread that empties it, started by the first call."""

    def __init__(self, function: Callable[..., Sequence[Any]], size: int, wait_ms: float, split: bool) -> None:
        self.function = function
        self.batcher: Batcher[_Call] = Batcher(size, wait_ms / 1000, max_items=2**62)
        self._signature = inspect.signature(function)
        self._split = split
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(self, head: tuple[Any, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> "Future[Any]":
        bound = self._signature.bind(*head, *args, **kwargs)
        bound.apply_defaults()
        if threading.current_thread() is self._thread:
            raise RuntimeError("a batched function cannot call itself for one item from inside its own batch")
        call = _Call(head, bound.args[len(head) :], bound.kwargs, Future())
        with self._lock:
            if not self.batcher.put(call):
                raise RuntimeError("this batched function is closed")
            if self._thread is None or not self._thread.is_alive():  # a fork leaves the thread behind
                self._thread = threading.Thread(target=self._work, name="whisperbatch-batched", daemon=True)
                self._thread.start()
                _queues.add(self)
        return call.future

    def close(self) -> None:
        with self._lock:
            self.batcher.close()
            thread = self._thread
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join()

    def _work(self) -> None:
        while calls := self.batcher.take(self.batcher.policy.max_batch_size, idle=True):
            self._answer(calls)
            del calls  # else this thread would keep the last calls' instance alive while it waits

    def _answer(self, calls: list[_Call]) -> None:
        wanted = [call for call in calls if call.future.set_running_or_notify_cancel()]
        try:
            results = run_split(self._on_columns, wanted, split=self._split) if wanted else []
        except BaseException as err:  # for example SystemExit: even then no caller may hang
            results = [err] * len(wanted)
        for call, result in zip(wanted, results, strict=True):
            _resolve(call.future, result)

    def _on_columns(self, calls: list[_Call]) -> Sequence[Any]:
        columns = (list(column) for column in zip(*(call.args for call in calls), strict=True))
        named = {name: [call.kwargs[name] for call in calls] for name in calls[0].kwargs}
        return self.function(*calls[0].head, *columns, **named)


_queues: "weakref.WeakSet[_CallQueue]" = weakref.WeakSet()


@atexit.register
def _finish_queued() -> None:  # what is queued when the interpreter ends
    for queue in list(_queues):
        queue.close()


def _resolve(future: "Future[Any]", result: Any) -> None:
    settle = future.set_exception if isinstance(result, BaseException) else future.set_result
    with suppress(InvalidStateError):  # the caller has settled it meanwhile
        settle(result)


class BatchedFunction(Generic[R]):
    """A function from lists to a list, called with one item at a time from any thread."""

    def __init__(self, queue: _CallQueue, head: tuple[Any, ...] = ()) -> None:
        """Call through ``queue``, on the instance in ``head`` if there is one."""
        functools.update_wrapper(self, queue.function)
        self._queue, self._head = queue, head

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        """Return the result for one item; raise what the function raised for it.

        Raises:
            RuntimeError: The batcher is closed, or the call comes from inside its own batch.
        """
        return self.submit(*args, **kwargs).result()

    def submit(self, *args: Any, **kwargs: Any) -> "Future[R]":
        """Return a future for one item's result."""
        return self._queue.submit(self._head, args, kwargs)

    @property
    def stats(self) -> Stats:
        """The batches so far, their sizes and waits."""
        return self._queue.batcher.stats

    def close(self) -> None:
        """Answer what is queued, then end the thread; later calls raise RuntimeError."""
        self._queue.close()


class _Decorated(BatchedFunction[R]):
    """What ``batched`` puts into a module or class: a callable; in a class, each instance has its own queue."""

    def __init__(self, make: Callable[[], _CallQueue]) -> None:
        super().__init__(make())
        self._make = make
        self._lock = threading.Lock()
        self._queues: dict[int, _CallQueue] = {}  # by id: instances may be equal, or have no hash
        _close_when_collected(self, self._queue, self._queues)

    def __get__(self, instance: object | None, owner: type | None = None) -> BatchedFunction[R]:
        if instance is None:
            return self
        with self._lock:
            queue = self._queues.get(id(instance))
            if queue is None:
                queue = self._make()
                _close_when_collected(instance, queue, self._queues)
                self._queues[id(instance)] = queue
        return BatchedFunction(queue, (instance,))


def _close_when_collected(owner: object, queue: _CallQueue, queues: dict[int, _CallQueue]) -> None:
    def close(key: int = id(owner)) -> None:  # takes no lock of ours, since the collector may call it anywhere
        queues.pop(key, None)
        queue.batcher.close()

    try:
        weakref.finalize(owner, close).atexit = False  # _finish_queued then answers what is queued
    except TypeError as err:
        kind = type(owner).__name__
        raise UsageError(f"{kind} has a batched method: add '__weakref__' to its __slots__") from err


def batched(
    max_batch_size: int = 64, wait_ms: float = 1000.0, split_on_error: bool = False
) -> Callable[[Callable[..., Sequence[R | Exception]]], BatchedFunction[R]]:
    """Return a decorator that lets a function from lists to a list be called with one item, from any thread.

    Calls that come together run together: a batch is released when ``max_batch_size`` calls wait or when the first has
    waited ``wait_ms``, whichever comes first. Each parameter becomes a list; arguments may be positional or named, and
    where a call leaves one out, the list has its default. In a class, each instance has its own queue. The decorated
    function has ``submit`` (returns a Future), ``stats`` and ``close``; calls that are queued when the interpreter ends
    still get their results.

        @batched(max_batch_size=32, wait_ms=20)
        def embed(texts: list[str]) -> list[Vector]: ...

        vector = embed("one text")  # from any number of threads

    Args:
        max_batch_size: Most calls in one batch.
        wait_ms: Milliseconds that the first call of a batch may wait for others.
        split_on_error: Split a batch that raised until only the culprit fails; else all of its calls raise.

    An Exception instance in the returned list is raised for that item alone.
    """
    Policy(max_batch_size, wait_ms / 1000)  # check the values where they are written

    def decorate(function: Callable[..., Sequence[R | Exception]]) -> BatchedFunction[R]:
        kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
        if not kinds or kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
            raise UsageError("a batched function must have named parameters, one list each, not *args or **kwargs")
        return _Decorated(lambda: _CallQueue(function, max_batch_size, wait_ms, split_on_error))

    return decorate
