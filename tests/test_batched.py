"""The public decorator: every call gets its own answer or its own error, and none hangs."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for

import pytest

import whisperbatch
from whisperbatch.batcher import BatchLengthError, batched


def test_it_is_public():
    assert whisperbatch.batched is batched


def test_ten_thousand_calls_from_many_threads():
    @batched(max_batch_size=64, wait_ms=1)
    def square(numbers: list[int]) -> list[int]:
        return [n * n for n in numbers]

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(square, range(10_000), timeout=120)) == [n * n for n in range(10_000)]
    assert sum(square.stats.sizes) == 10_000
    assert max(square.stats.sizes) <= 64
    assert square.stats.batches < 10_000
    square.close()


def test_calls_keep_their_order():
    seen: list[int] = []

    @batched(max_batch_size=7, wait_ms=1)
    def note(numbers: list[int]) -> list[int]:
        seen.extend(numbers)
        return numbers

    futures = [note.submit(n) for n in range(1000)]
    assert [f.result(timeout=60) for f in futures] == list(range(1000))
    assert seen == list(range(1000))
    note.close()


def test_each_parameter_becomes_a_list_and_defaults_hold():
    @batched(max_batch_size=4, wait_ms=1)
    def add(a: list[int], b: list[int] = 5) -> list[int]:  # type: ignore[assignment]
        assert isinstance(a, list)
        assert isinstance(b, list)
        return [x + y for x, y in zip(a, b, strict=True)]

    assert (add(1, 2), add(b=3, a=1), add(1)) == (3, 4, 6)
    with pytest.raises(TypeError):
        add(1, 2, 3)
    add.close()


def test_an_exception_in_the_list_is_that_items_own():
    @batched(max_batch_size=3, wait_ms=10_000)
    def invert(numbers: list[float]) -> list[float | Exception]:
        return [1 / n if n else ZeroDivisionError("zero") for n in numbers]

    futures = [invert.submit(n) for n in (2.0, 0.0, 4.0)]
    assert futures[0].result(60) == 0.5
    assert futures[2].result(60) == 0.25
    with pytest.raises(ZeroDivisionError):
        futures[1].result(60)
    invert.close()


@pytest.mark.parametrize("split", [False, True])
def test_an_exception_that_is_raised_goes_to_all_or_to_the_culprit(split: bool):
    @batched(max_batch_size=4, wait_ms=10_000, split_on_error=split)
    def refuse_three(numbers: list[int]) -> list[int]:
        if 3 in numbers:
            raise ValueError("three")
        return numbers

    futures = [refuse_three.submit(n) for n in range(1, 5)]
    wait_for(futures, timeout=60)
    failed = [n for n, f in enumerate(futures, 1) if f.exception() is not None]
    assert failed == ([3] if split else [1, 2, 3, 4])
    refuse_three.close()


@pytest.mark.parametrize("answer", [[1], [1, 2, 3], None, "ab"])
def test_a_wrong_answer_is_an_error_of_every_call(answer: object):
    @batched(max_batch_size=2, wait_ms=10_000)
    def wrong(numbers: list[int]) -> object:
        return answer

    futures = [wrong.submit(n) for n in range(2)]
    for future in futures:
        with pytest.raises(BatchLengthError):
            future.result(60)
    wrong.close()


class Scaler:
    def __init__(self, factor: int) -> None:
        self.factor = factor
        self.batches: list[list[int]] = []

    @batched(max_batch_size=8, wait_ms=1)
    def scale(self, numbers: list[int]) -> list[int]:
        self.batches.append(numbers)
        return [n * self.factor for n in numbers]


def test_two_instances_have_a_queue_each():
    two, ten = Scaler(2), Scaler(10)
    with ThreadPoolExecutor(8) as pool:
        twos = pool.map(two.scale, range(500))
        tens = pool.map(ten.scale, range(500))
        assert list(twos) == [2 * n for n in range(500)]
        assert list(tens) == [10 * n for n in range(500)]
    assert sorted(n for batch in two.batches for n in batch) == list(range(500))
    assert two.scale.stats is not ten.scale.stats
    two.scale.close()
    assert ten.scale(3) == 30


def test_an_instance_can_be_collected_and_its_thread_ends():
    scaler = Scaler(2)
    assert scaler.scale(4) == 8
    thread = scaler.scale._thread
    gone = weakref.ref(scaler)
    del scaler
    gc.collect()
    assert gone() is None
    thread.join(30)
    assert not thread.is_alive()


def test_closing_in_the_middle_answers_what_is_queued_and_refuses_the_rest():
    entered, go_on = threading.Event(), threading.Event()

    @batched(max_batch_size=4, wait_ms=0)
    def slow(numbers: list[int]) -> list[int]:
        entered.set()
        assert go_on.wait(60)
        return numbers

    futures = [slow.submit(n) for n in range(100)]
    assert entered.wait(60)
    closing = threading.Thread(target=slow.close)
    closing.start()
    go_on.set()
    closing.join(60)
    assert not closing.is_alive()
    assert [f.result(60) for f in futures] == list(range(100))
    with pytest.raises(RuntimeError, match="closed"):
        slow(1)


def test_a_cancelled_call_is_left_out():
    entered, go_on = threading.Event(), threading.Event()
    seen: list[int] = []

    @batched(max_batch_size=1, wait_ms=0)
    def slow(numbers: list[int]) -> list[int]:
        seen.extend(numbers)
        entered.set()
        assert go_on.wait(60)
        return numbers

    first, second, third = (slow.submit(n) for n in range(3))
    assert entered.wait(60)
    assert second.cancel()
    go_on.set()
    assert (first.result(60), third.result(60)) == (0, 2)
    assert seen == [0, 2]
    slow.close()


def test_calling_itself_from_inside_is_an_error_and_no_deadlock():
    @batched(max_batch_size=2, wait_ms=0)
    def recurse(numbers: list[int]) -> list[int]:
        return [recurse(n) for n in numbers]

    with pytest.raises(RuntimeError, match="inside its own batch"):
        recurse(1)
    recurse.close()


def test_even_a_system_exit_reaches_the_caller():
    @batched(max_batch_size=2, wait_ms=0)
    def leave(numbers: list[int]) -> list[int]:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        leave(1)
    leave.close()


def test_it_keeps_name_and_docstring():
    @batched()
    def documented(numbers: list[int]) -> list[int]:
        """Say so."""
        return numbers

    assert (documented.__name__, documented.__doc__) == ("documented", "Say so.")
