"""How many windows to hold at once, when nobody says: what fits, and where more of them no longer help. No torch.

Comes in: bytes that are free and that a slot takes, and a way to time a step. Goes out: a number of slots, and on how
many engines abreast they are best shared out.
"""

import time
from collections.abc import Callable

MOST = 256  # slots; no device known to us gains from more
ON_CPU = 16  # slots where they fit; a step is bound by its windows there: more bring a tenth or two (base, AVX512-BF16)
FLOOR = 8  # slots that are taken wherever they fit: a batch too small costs far more than one too large
MIN_GAIN = 1.1  # twice the slots are worth it when they bring this much more throughput
NEAR_BEST = 0.97  # of the best throughput seen: fewer slots that reach it are preferred
BUDGET_S = 1.0  # for all trials: nobody waits long for the first text
RECORDING_BUDGET_S = 4.0  # where each trial records its step first, as on CUDA; 1.7 s for all of large-v3 on an H200
SHORT_STEP_S = 0.1  # a longer one, as of the small model, is made of products that are worth sharing out
SLOTS_ABREAST = (
    32  # of each engine, where memory is no matter: two took 146 to 149 ms a window, 153 to 169 with 16 each
)
BYTES_ABREAST = (
    768 << 20
)  # that the slots of each may take, beyond ``FLOOR``: of base two with 12 are as fast as with 32
MOST_ABREAST = 4  # two were measured: whole commands, two cores, the tiny shape, 1.27 times as fast as with one
N_STEPS = 3  # of a trial, of which the fastest counts: other work on the machine only ever slows one down


def fitting(free_bytes: float | None, bytes_per_slot: int) -> int:
    """The largest power of two of slots that fits, at least 1; ``MOST`` where memory is not known."""
    n = MOST if free_bytes is None else int(free_bytes // max(1, bytes_per_slot))
    return 1 << (max(1, min(n, MOST)).bit_length() - 1)


def choose(
    most: int,
    seconds_of: Callable[[int], float | None],
    *,
    budget_s: float = BUDGET_S,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Slots at the knee of throughput: from ``FLOOR`` on twice as many, until they bring too little twice running.

    Args:
        most: How many fit.
        seconds_of: The seconds of one step at so many slots; None when there is no memory for them after all.
        budget_s: No further trial begins that would end later, if it takes twice as long as the one before.
        clock: Monotonic seconds.
    """
    n = min(most, FLOOR)
    while (step_s := seconds_of(n)) is None:
        if n == 1:
            return 1
        n //= 2
    began_s = last_s = clock()
    throughput, n_misses, took_s = {n: n / step_s}, 0, 0.0
    while 2 * n <= most and n_misses < 2 and last_s - began_s + 2 * took_s < budget_s:
        n *= 2
        if (step_s := seconds_of(n)) is None:
            break
        n_misses = 0 if n / step_s > MIN_GAIN * max(throughput.values()) else n_misses + 1
        throughput[n] = n / step_s
        took_s, last_s = clock() - last_s, clock()
    best = max(throughput.values())
    return min(n for n, value in throughput.items() if value >= NEAR_BEST * best)


def abreast(n_slots: int, step_s: float, n_cores: int, most: int, bytes_per_slot: int = 1) -> tuple[int, int]:
    """How many engines side by side, and how many slots each has; one, where a step keeps all cores busy by itself.

    Trials of one engine often end for lack of time before slots stop helping; then each gets what was measured to help.
    It is no trial: other work on the machine, as that of load processes that start, is enough to turn its result over.

    Args:
        n_slots: What one engine would have.
        step_s: The seconds of its step on all cores.
        n_cores: No more engines than that.
        most: How many slots fit.
        bytes_per_slot: What each takes.
    """
    n_engines = 1
    while 2 * n_engines <= min(n_cores, MOST_ABREAST) and 2 * n_engines * FLOOR <= most and step_s < SHORT_STEP_S:
        n_engines *= 2
    if n_engines == 1:
        return 1, n_slots
    n_wanted = min(max(n_slots, SLOTS_ABREAST), max(FLOOR, BYTES_ABREAST // bytes_per_slot))
    return n_engines, min(n_wanted, most // n_engines)
