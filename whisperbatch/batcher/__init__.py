"""Size-or-timeout batching: a batch goes out when it is full or when its first item has waited long enough.

Comes in: items, one at a time, from any thread. Goes out: lists, first in first out. Leaves: queue (``Batcher``, the
queue between the load threads and the engine, and its rule, ``Policy``, which is pure and takes the time as an
argument) and calls (``batched``, which puts the same rule in front of any function from lists to a list).
"""

from whisperbatch.batcher.calls import BatchedFunction, BatchLengthError, batched, run_split
from whisperbatch.batcher.queue import Batcher, Policy, Stats

__all__ = ["BatchLengthError", "BatchedFunction", "Batcher", "Policy", "Stats", "batched", "run_split"]
