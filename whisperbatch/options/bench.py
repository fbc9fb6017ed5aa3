"""What is measured, and how often."""

import re
from dataclasses import dataclass

from whisperbatch.errors import UsageError
from whisperbatch.options.checks import require


def parse_counts(given: str, flag: str) -> tuple[int, ...]:
    """Whole numbers from 1 on out of a list with commas, each once, in order; UsageError on anything else."""
    parts = [part.strip() for part in given.split(",") if part.strip()]
    require(bool(parts) and all(part.isdecimal() and int(part) > 0 for part in parts), f"{flag} '{given}' is no list")
    return tuple(sorted({int(part) for part in parts}))


def parse_rate(given: str) -> float:
    """Arrivals a second out of ``5/s``, ``300/min`` or ``5``; UsageError on anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:/\s*(s|min|h))?", given.strip())
    if found is None or float(found[1]) <= 0:
        raise UsageError(f"--arrivals '{given}' is no rate such as 5/s or 300/min")
    return float(found[1]) / {"s": 1, "min": 60, "h": 3600}[found[2] or "s"]


def parse_waits(given: str) -> tuple[float, ...]:
    """Seconds out of a list with commas, each once, in order; UsageError on anything else."""
    try:
        found = sorted({float(part) for part in given.split(",") if part.strip()})
    except ValueError as err:
        raise UsageError(f"--max-waits '{given}' is no list of seconds such as 0,0.5,1") from err
    require(bool(found) and found[0] >= 0 and found[-1] < float("inf"), f"--max-waits '{given}' is no list of seconds")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """A measurement.

    Attributes:
        batch_sizes: To be compared; empty means 1, 2, 4, ... until memory ends or more no longer help.
        rounds: Of each, in turn; the median counts.
        tokens_per_window: Force so many, whatever is heard; None decodes what is said.
        arrivals: Clips a second that come by themselves (Poisson), or None.
        n_arrivals: How many of them come.
        max_waits: Seconds that the first of a batch waits, to be compared under ``arrivals``.
        load_workers: To be compared; empty measures none.
        price_per_hour: Of the machine, in any currency; None tells no cost.
        profile: Tell where the time of a whole run goes.
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
        require(self.rounds >= 1, "--rounds must be 1 or more")
        n_tokens = self.tokens_per_window
        require(n_tokens is None or 1 <= n_tokens <= 224, "--tokens-per-window must be from 1 to 224")
        require(self.price_per_hour is None or self.price_per_hour > 0, "--price-per-hour must be above 0")
        require(self.n_arrivals >= 1, "--n-arrivals must be 1 or more")
