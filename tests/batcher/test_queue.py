"""The size-or-timeout rule on a fake clock, and the queue with real threads (which assert no upper times)."""

import math
import threading
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperbatch.batcher import Batcher, Policy, Stats, run_split
from whisperbatch.batcher.queue import N_KEPT
from whisperbatch.errors import UsageError

T = TypeVar("T")


class Clock:
    """A clock that stands still until it is set; ``looked`` is set whenever somebody looks at it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looked = threading.Event()

    def __call__(self) -> float:
        self.looked.set()
        return self.now


def in_thread(work: Callable[[], T]) -> Callable[[], T]:
    """Start ``work`` in a thread; calling the result waits for what it gives."""
    box: list[T] = []
    thread = threading.Thread(target=lambda: box.append(work()), daemon=True)
    thread.start()

    def result() -> T:
        thread.join(30)
        assert not thread.is_alive(), "it hangs"
        return box[0]

    return result


POLICY = Policy(max_batch_size=4, max_wait_s=1.0)


def test_a_full_batch_goes_at_once_and_a_lone_item_after_max_wait():
    assert POLICY.due_at(4, 10.0, idle=True, ended=False) == -math.inf
    assert POLICY.due_at(1, 10.0, idle=True, ended=False) == 11.0
    assert POLICY.due_at(3, 10.0, idle=True, ended=False) == 11.0


def test_a_busy_consumer_never_waits_and_the_end_of_input_waits_for_nobody():
    assert POLICY.due_at(1, 10.0, idle=False, ended=False) == -math.inf
    assert POLICY.due_at(0, 0.0, idle=False, ended=False) == -math.inf
    assert POLICY.due_at(1, 10.0, idle=True, ended=True) == -math.inf
    assert POLICY.due_at(0, 0.0, idle=True, ended=True) == -math.inf
    assert POLICY.due_at(0, 0.0, idle=True, ended=False) == math.inf


@pytest.mark.parametrize(("size", "wait"), [(0, 1.0), (4, -0.1)])
def test_a_rule_that_makes_no_sense_is_refused(size: int, wait: float):
    with pytest.raises(UsageError):
        Policy(size, wait)


@given(
    arrivals=st.lists(st.floats(0, 3), max_size=30),
    size=st.integers(1, 6),
    wait=st.floats(0, 2),
    work=st.floats(0, 2),
)
def test_batches_are_those_of_the_rule(arrivals: list[float], size: int, wait: float, work: float):
    """Drive the policy over arrivals in time, with a consumer that works ``work`` a batch; check each batch."""
    policy, times = Policy(size, wait), []
    now = 0.0
    for gap in arrivals:
        now += gap
        times.append(now)
    now, queue, batches, left = 0.0, [], [], list(times)
    while left or queue:
        queue += [t for t in left if t <= now]
        left = [t for t in left if t > now]
        due = policy.due_at(len(queue), queue[0] if queue else 0.0, idle=True, ended=not left)
        if due <= now:
            batches.append((now, queue[:size], bool(left)))
            queue = queue[size:]
            now += work
        else:
            now = min([due, *left[:1]])
    assert [t for _, batch, _ in batches for t in batch] == times
    free_at = 0.0
    for at, batch, more_come in batches:
        assert 1 <= len(batch) <= size
        filled_at = max(free_at, batch[-1])
        if len(batch) < size and more_come:
            assert at >= batch[0] + wait
        assert at <= max(filled_at, batch[0] + wait)
        free_at = at + work


def test_a_lone_late_item_goes_out_after_max_wait_and_not_before():
    clock = Clock()
    batcher: Batcher[str] = Batcher(4, 5.0, max_items=10, clock=clock)
    batcher.put("late")
    taking = in_thread(lambda: batcher.take(4, idle=True))
    assert clock.looked.wait(30)
    clock.now = 4.9
    clock.looked.clear()
    batcher.discard(lambda item: False)  # wakes the taker, which must look at the clock and wait on
    assert clock.looked.wait(30)
    assert len(batcher) == 1  # asks for the lock, which the taker gives up when it waits on
    clock.now = 5.0
    batcher.discard(lambda item: False)
    assert taking() == ["late"]
    assert batcher.stats.waits_s == [5.0]


def test_a_batch_fills_while_the_consumer_is_busy():
    batcher: Batcher[int] = Batcher(4, 100.0, max_items=10)
    for item in range(6):
        batcher.put(item)
    assert batcher.take(4, idle=False) == [0, 1, 2, 3]
    assert batcher.take(4, idle=False) == [4, 5]
    assert batcher.take(4, idle=False) == []


def test_a_limit_below_the_batch_size_leaves_the_rest_in_order():
    batcher: Batcher[int] = Batcher(4, 0.0, max_items=10)
    for item in range(5):
        batcher.put(item)
    assert batcher.take(2, idle=True) == [0, 1]
    assert batcher.take(9, idle=True) == [2, 3, 4]
    assert batcher.stats.sizes == [2, 3]


def test_a_batch_that_can_grow_no_more_goes_at_once():
    assert POLICY.due_at(2, 10.0, idle=True, ended=False, full=True) == -math.inf
    clock = Clock()  # stands still: what waits for time waits for ever
    batcher: Batcher[int] = Batcher(4, 100.0, max_items=3, clock=clock)
    batcher.put(1)
    batcher.put(2)
    assert in_thread(lambda: batcher.take(2, idle=True))() == [1, 2]  # the consumer has room for no more
    for item in range(3):
        batcher.put(item)
    taking = in_thread(lambda: batcher.take(4, idle=True))
    putting = in_thread(lambda: batcher.put(3))  # the queue has room for no more
    assert taking() == [0, 1, 2]
    assert putting() is True


def test_a_producer_goes_on_when_nobody_wants_its_item_any_more():
    batcher: Batcher[str] = Batcher(4, 100.0, max_items=1)
    batcher.put("a")
    cancelled = threading.Event()
    asked = threading.Event()

    def is_cancelled() -> bool:
        asked.set()
        return cancelled.is_set()

    putting = in_thread(lambda: batcher.put("b", is_cancelled))
    assert asked.wait(30)
    cancelled.set()
    batcher.discard(lambda item: False)
    assert putting() is False
    assert batcher.take(4, idle=False) == ["a"]
    assert batcher.put("c", lambda: False) is True


def test_a_large_item_is_not_overtaken_for_ever():
    batcher: Batcher[float] = Batcher(1, 0.0, max_items=9, max_weight=10.0, weight=float)
    batcher.put(4.0)
    asked = threading.Event()
    large = in_thread(lambda: batcher.put(50.0, lambda: asked.set() is not None))
    assert asked.wait(30)
    batcher.discard(lambda item: False)  # asks for the lock, which the producer of the large one gives up by waiting
    small = in_thread(lambda: batcher.put(5.0))  # would fit beside the first
    out = [batcher.take(1, idle=True)[0] for _ in range(3)]
    assert (large(), small()) == (True, True)
    assert out == [4.0, 50.0, 5.0]


def test_the_stats_of_a_long_watch_stay_small():
    stats = Stats()
    for n in range(3 * N_KEPT):
        stats.add(2, float(n))
    assert (stats.batches, stats.items) == (3 * N_KEPT, 6 * N_KEPT)
    assert N_KEPT <= len(stats.sizes) == len(stats.waits_s) < 2 * N_KEPT
    assert stats.waits_s[-1] == 3 * N_KEPT - 1


def test_closing_drains():
    batcher: Batcher[int] = Batcher(4, 100.0, max_items=10)
    batcher.put(1)
    taking = in_thread(lambda: [batcher.take(4, idle=True), batcher.take(4, idle=True)])
    batcher.close()
    assert taking() == [[1], []]
    assert batcher.finished
    assert batcher.put(2) is False


@pytest.mark.parametrize(("max_items", "max_weight"), [(2, math.inf), (10, 5.0)])
def test_a_full_queue_makes_the_producer_wait(max_items: int, max_weight: float):
    batcher: Batcher[int] = Batcher(1, 0.0, max_items=max_items, max_weight=max_weight, weight=lambda item: 2.5)
    assert batcher.put(1)
    assert batcher.put(2)
    went_in = threading.Event()
    putting = in_thread(lambda: (batcher.put(3), went_in.set()))
    assert not went_in.wait(0.2)
    assert batcher.take(1, idle=True) == [1]
    putting()
    assert len(batcher) == 2


def test_an_item_above_the_bound_passes_alone():
    batcher: Batcher[float] = Batcher(4, 0.0, max_items=10, max_weight=30.0, weight=float)
    assert batcher.put(500.0)
    went_in = threading.Event()
    putting = in_thread(lambda: (batcher.put(1.0), went_in.set()))
    assert not went_in.wait(0.2)
    assert batcher.take(4, idle=True) == [500.0]
    putting()


def test_abort_wakes_everyone_and_gives_back_what_was_queued():
    batcher: Batcher[int] = Batcher(4, 100.0, max_items=1)
    batcher.put(1)
    putting = in_thread(lambda: batcher.put(2))
    assert batcher.abort() == [1]
    assert putting() is False
    assert batcher.take(4, idle=True) == []
    waiting: Batcher[int] = Batcher(4, 100.0, max_items=1)
    taking = in_thread(lambda: waiting.take(4, idle=True))
    waiting.abort()
    assert taking() == []


def test_discard_makes_room():
    batcher: Batcher[int] = Batcher(4, 100.0, max_items=2)
    batcher.put(1)
    batcher.put(2)
    putting = in_thread(lambda: batcher.put(3))
    assert batcher.discard(lambda item: item == 1) == [1]
    assert putting() is True
    assert batcher.take(4, idle=False) == [2, 3]


@settings(deadline=None, max_examples=25)
@given(n=st.integers(0, 200), size=st.integers(1, 17), n_threads=st.integers(1, 4))
def test_every_item_comes_out_once_and_in_order_of_its_producer(n: int, size: int, n_threads: int):
    batcher: Batcher[tuple[int, int]] = Batcher(size, 0.001, max_items=7)
    producers = [in_thread(lambda who=who: [batcher.put((who, i)) for i in range(n)]) for who in range(n_threads)]
    closing = in_thread(lambda: ([wait() for wait in producers], batcher.close()))
    out: list[tuple[int, int]] = []
    while batch := batcher.take(size, idle=True):
        out += batch
    closing()
    for who in range(n_threads):
        assert [i for w, i in out if w == who] == list(range(n))


def test_run_split_isolates_the_culprits():
    calls: list[list[int]] = []

    def double(items: list[int]) -> list[int]:
        calls.append(items)
        if 3 in items or 6 in items:
            raise ValueError("no threes or sixes")
        return [2 * item for item in items]

    results = run_split(double, list(range(8)))
    assert [r if isinstance(r, int) else type(r) for r in results] == [0, 2, 4, ValueError, 8, 10, ValueError, 14]
    assert len(calls) < 2 * 8


def test_another_size_and_other_bounds_count_at_once():
    batcher: Batcher[int] = Batcher(2, 100.0, max_items=2)
    batcher.put(1)
    batcher.put(2)
    putting = in_thread(lambda: batcher.put(3))
    batcher.resize(3, max_items=8)
    assert putting() is True
    assert in_thread(lambda: batcher.take(8, idle=True))() == [1, 2, 3]
