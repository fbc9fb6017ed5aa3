"""Throughput against batch size, waiting and load workers; where the time goes; what it costs.

Comes in: recordings, or none; options. Goes out: a ``Report`` of plain figures. Leaves: material (what is decoded),
throughput (the engine alone, by batch size), arrivals (latency while clips come by themselves), loading (load workers),
stages (where a whole run's time goes), plot (the graph).

Every figure is measured here and now; a median says how far its rounds lay apart. With random weights or forced tokens
the report says so: such figures are of speed alone.
"""

from whisperbatch.bench.arrivals import ArrivalRow
from whisperbatch.bench.loading import LoadRow
from whisperbatch.bench.measure import Report, measure
from whisperbatch.bench.throughput import BatchRow

__all__ = ["ArrivalRow", "BatchRow", "LoadRow", "Report", "measure"]
