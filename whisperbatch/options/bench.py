"""Options of ``bench``: what it measures, and how often."""

import re
from dataclasses import dataclass

from whisperbatch.errors import UsageError
from whisperbatch.options.checks import require


def parse_counts(given: str, name: str) -> tuple[int, ...]:
    """Parse whole numbers from 1 up separated by commas; return them sorted, each once, or raise UsageError."""
    parts = [part.strip() for part in given.split(",") if part.strip()]
    is_list = bool(parts) and all(part.isdecimal() and int(part) > 0 for part in parts)
    require(is_list, f"`{name}` '{given}' is not a list of whole numbers such as 1,2,4")
    return tuple(sorted({int(part) for part in parts}))


def parse_rate(given: str) -> float:
    """Parse ``5/s``, ``300/min`` or ``5`` into arrivals per second; may raise UsageError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:/\s*(s|min|h))?", given.strip())
    if found is None or float(found[1]) <= 0:
        raise UsageError(f"`arrivals` '{given}' is not a rate such as 5/s or 300/min")
    return float(found[1]) / {"s": 1, "min": 60, "h": 3600}[found[2] or "s"]


def parse_waits(given: str) -> tuple[float, ...]:
    """Parse seconds separated by commas; return them sorted, each once, or raise UsageError."""
    fault = f"`max_waits` '{given}' is not a list of seconds such as 0,0.5,1"
    try:
        found = sorted({float(part) for part in given.split(",") if part.strip()})
    except ValueError as err:
        raise UsageError(fault) from err
    require(bool(found) and found[0] >= 0 and found[-1] < float("inf"), fault)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What to measure.

    Attributes:
        batch_sizes: Batch sizes to compare; empty means 1, 2, 4, ... until memory runs out or speed stops rising.
        rounds: Rounds of each measurement, taken in turn; the median is reported.
        tokens_per_window: Force this many tokens per window; None decodes normally.
        arrivals: Mean rate of arriving clips per second (Poisson process); None does not measure latency.
        n_arrivals: The number of arriving clips.
        max_waits: Batch waiting times to compare under ``arrivals``, in seconds.
        load_workers: Numbers of load workers to compare; empty does not measure loading.
        price_per_hour: Price of the machine per hour, in any currency; None reports no cost.
        profile: Report where the time of a whole run goes.
    """

    batch_sizes: tuple[int, ...] = ()
    rounds: int = 3
    tokens_per_window: int | None = None
    arrivals: float | None = None
    n_arrivals: int = 60
    max_waits: tuple[float, ...] = (0.0, 0.1, 0.5, 1.0, 2.0)
    load_workers: tuple[int, ...] = (1, 2, 4)
    price_per_hour: float | None = None
    profile: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.rounds >= 1, "`rounds` must be 1 or more")
        n_tokens = self.tokens_per_window
        require(n_tokens is None or 1 <= n_tokens <= 224, "`tokens_per_window` must be from 1 to 224")
        require(self.price_per_hour is None or self.price_per_hour > 0, "`price_per_hour` must be above 0")
        require(self.n_arrivals >= 1, "`n_arrivals` must be 1 or more")
