"""Batching by size or timeout: a batch is released when it is full or when its first item has waited long enough.

Takes items one at a time, from any thread; returns lists, first in, first out. Modules: queue (``Batcher``, the queue
between the load threads and the engine, and ``Policy``, its pure rule, which takes the time as an argument) and calls
(``batched``, which applies the same rule to any function from lists to a list).
"""

from whisperbatch.batcher.calls import BatchedFunction, BatchLengthError, batched, run_split
from whisperbatch.batcher.queue import Batcher, Policy, Stats

__all__ = ["BatchLengthError", "BatchedFunction", "Batcher", "Policy", "Stats", "batched", "run_split"]
