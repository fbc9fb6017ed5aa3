"""Benchmarks: throughput by batch size, waiting time and load workers; time by stage; cost.

Modules: measure (runs all parts, returns a ``Report``), material (the clips to decode), throughput (the engine alone,
by batch size), arrivals (latency while clips arrive one by one), loading (load workers), stages (time of a whole run
by stage), plot (the graph).

Every figure is measured on this machine, now; a median comes with the spread of its rounds. The report says if weights
were random or tokens forced: such figures are about speed only.
"""

from whisperbatch.bench.arrivals import ArrivalRow
from whisperbatch.bench.loading import LoadRow
from whisperbatch.bench.measure import Report, measure
from whisperbatch.bench.throughput import BatchRow

__all__ = ["ArrivalRow", "BatchRow", "LoadRow", "Report", "measure"]
