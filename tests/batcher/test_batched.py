"""The public decorator: every call gets its own answer or its own error, and none hangs."""

import gc
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field

import pytest

import whisperbatch
from whisperbatch.batcher import BatchLengthError, batched
from whisperbatch.errors import UsageError


def test_it_is_public():
    assert whisperbatch.batched is batched


def test_ten_thousand_calls_from_many_threads():
    @batched(max_batch_size=64, wait_ms=1)
    def square(numbers: list[int]) -> list[int]:
        return [n * n for n in numbers]

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(square, range(10_000), timeout=120)) == [n * n for n in range(10_000)]
    assert square.stats.items == 10_000
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
    thread = scaler.scale._queue._thread
    gone = weakref.ref(scaler)
    del scaler
    gc.collect()
    thread.join(30)  # it may just have answered, and still hold the call
    assert not thread.is_alive()
    assert gone() is None


@dataclass(frozen=True)
class Equal:
    name: str
    seen: list[int] = field(default_factory=list, compare=False)

    @batched(max_batch_size=4, wait_ms=0)
    def note(self, numbers: list[int]) -> list[int]:
        self.seen.extend(numbers)
        return numbers


@dataclass
class WithoutHash:
    factor: int

    @batched(max_batch_size=4, wait_ms=0)
    def scale(self, numbers: list[int]) -> list[int]:
        return [self.factor * n for n in numbers]


def test_equal_instances_are_still_two_and_need_no_hash():
    one, other = Equal("x"), Equal("x")
    assert one == other
    one.note(1)
    other.note(2)
    assert (one.seen, other.seen) == ([1], [2])
    assert WithoutHash(3).scale(2) == 6


def test_an_instance_lives_until_its_calls_are_answered():
    assert Scaler(2).scale(4) == 8
    futures = [Scaler(n).scale.submit(10) for n in range(20)]
    gc.collect()
    assert [f.result(60) for f in futures] == [10 * n for n in range(20)]


def test_an_instance_that_cannot_be_held_weakly_is_told():
    class Slotted:
        __slots__ = ()

        @batched()
        def scale(self, numbers: list[int]) -> list[int]:
            return numbers

    with pytest.raises(UsageError, match="add '__weakref__'"):
        Slotted().scale(1)


def test_a_function_that_is_dropped_ends_its_thread():
    @batched(max_batch_size=1, wait_ms=0)
    def same(numbers: list[int]) -> list[int]:
        return numbers

    same(1)
    thread = same._queue._thread
    del same
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()


def test_parameters_by_name_only():
    @batched(max_batch_size=2, wait_ms=10_000)
    def scaled(numbers: list[int], *, by: list[int] = 1) -> list[int]:  # type: ignore[assignment]
        assert isinstance(by, list)
        return [n * b for n, b in zip(numbers, by, strict=True)]

    futures = [scaled.submit(3, by=2), scaled.submit(5)]
    assert [f.result(60) for f in futures] == [6, 5]
    scaled.close()


@pytest.mark.parametrize("source", ["lambda *numbers: numbers", "lambda **numbers: numbers", "lambda: []"])
def test_functions_that_do_not_name_their_parameters_are_refused(source: str):
    with pytest.raises(UsageError, match="must have named parameters"):
        batched()(eval(source))


@pytest.mark.parametrize(("size", "wait"), [(0, 1), (4, -1)])
def test_values_that_make_no_sense_are_told_where_they_are_written(size: int, wait: float):
    with pytest.raises(UsageError):
        batched(size, wait)


def test_what_is_queued_at_the_end_of_the_interpreter_is_answered():
    code = (
        "from whisperbatch import batched\n"
        "@batched(max_batch_size=9, wait_ms=60_000)\n"
        "def double(numbers):\n    return [2 * n for n in numbers]\n"
        "class K:\n"
        "    @batched(max_batch_size=9, wait_ms=60_000)\n"
        "    def triple(self, numbers):\n        return [3 * n for n in numbers]\n"
        "k = K()\n"
        "for future in (double.submit(21), k.triple.submit(3)):\n"
        "    future.add_done_callback(lambda f: print(f.result(), flush=True))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == ["42", "9"]
    assert done.stderr == ""


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
