"""Choose how many windows to decode at once: as many as fit in memory and raise the throughput. No torch.

Takes the free memory, the memory per slot and a way to time a step; returns a number of slots, and how many engines in
parallel should share them.
"""

import time
from collections.abc import Callable

MAX_SLOTS = 256  # slots; no known device gains from more
CPU_SLOTS = 16  # slots if they fit; more raise throughput by a tenth or two (base, AVX512-BF16)
MIN_SLOTS = 8  # slots that are used if they fit: too small a batch costs far more than too large a one
MIN_GAIN = 1.1  # doubling the slots is worthwhile if it raises throughput by this factor
NEAR_BEST = 0.97  # the fewest slots that reach this share of the best throughput are chosen
BUDGET_S = 1.0  # for all trials, so that the first text does not take long
RECORDING_BUDGET_S = 4.0  # if each trial first records its step, as on CUDA; all of large-v3's took 1.7 s on an H200
SHORT_STEP_S = 0.1  # a longer step, as of the small model, uses several cores well by itself
# if memory is not limited: two engines took 146 to 149 ms per window, with 16 slots each 153 to 169
SLOTS_PER_ENGINE = 32
# memory of an engine's slots beyond ``MIN_SLOTS``: two engines of base are as fast with 12 slots each as with 32
BYTES_PER_ENGINE = 768 << 20
MAX_ENGINES = 4  # two were measured to be 1.27 times as fast as one (whole commands, two cores, tiny shape)
N_STEPS = 3  # per trial, of which the fastest counts: other work on the machine only slows steps down


def slots_that_fit(free_bytes: float | None, bytes_per_slot: int) -> int:
    """The largest power of two of slots that fits in memory, at least 1; ``MAX_SLOTS`` if free memory is unknown."""
    n = MAX_SLOTS if free_bytes is None else int(free_bytes // max(1, bytes_per_slot))
    return 1 << (max(1, min(n, MAX_SLOTS)).bit_length() - 1)


def choose(
    n_fit: int,
    seconds_of: Callable[[int], float | None],
    *,
    budget_s: float = BUDGET_S,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Choose the number of slots: double it from ``MIN_SLOTS`` on until two doublings in a row gain too little.

    Args:
        n_fit: The number of slots that fit in memory.
        seconds_of: Returns the seconds of one step with a number of slots; None if memory runs out after all.
        budget_s: No further trial starts if, at twice the previous one's time, it would end later than this.
        clock: Monotonic seconds.
    """
    n = min(n_fit, MIN_SLOTS)
    while (step_s := seconds_of(n)) is None:
        if n == 1:
            return 1
        n //= 2
    began_s = last_s = clock()
    throughput, n_misses, took_s = {n: n / step_s}, 0, 0.0
    while 2 * n <= n_fit and n_misses < 2 and last_s - began_s + 2 * took_s < budget_s:
        n *= 2
        if (step_s := seconds_of(n)) is None:
            break
        n_misses = 0 if n / step_s > MIN_GAIN * max(throughput.values()) else n_misses + 1
        throughput[n] = n / step_s
        took_s, last_s = clock() - last_s, clock()
    best = max(throughput.values())
    return min(n for n, value in throughput.items() if value >= NEAR_BEST * best)


def share(n_slots: int, step_s: float, n_cores: int, n_fit: int, bytes_per_slot: int = 1) -> tuple[int, int]:
    """How many engines should run in parallel, and the slots of each; one engine if its step keeps all cores busy.

    Trials of one engine often run out of time before more slots stop helping; then each engine gets a number that was
    measured to help. This is not tried out here: other work on the machine, such as load workers that start, would be
    enough to reverse the result.

    Args:
        n_slots: The number of slots chosen for one engine.
        step_s: The seconds of its step on all cores.
        n_cores: The largest number of engines.
        n_fit: The number of slots that fit in memory.
        bytes_per_slot: The memory of a slot.
    """
    n_engines = 1
    while 2 * n_engines <= min(n_cores, MAX_ENGINES) and 2 * n_engines * MIN_SLOTS <= n_fit and step_s < SHORT_STEP_S:
        n_engines *= 2
    if n_engines == 1:
        return 1, n_slots
    n_wanted = min(max(n_slots, SLOTS_PER_ENGINE), max(MIN_SLOTS, BYTES_PER_ENGINE // bytes_per_slot))
    return n_engines, min(n_wanted, n_fit // n_engines)
