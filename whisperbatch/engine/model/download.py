"""How far a download is: bytes as the hub's client counts them, and a line for people every so often.

Nothing is drawn here; the client's own bars are kept from drawing, since they would run through the view of a run.
"""

import time
from collections.abc import Callable
from typing import Any

from huggingface_hub.utils import tqdm as hub_bar

LINE_S = 10.0


def counting(on_bytes: Callable[[int], None]) -> type[hub_bar]:
    """A bar for the hub's client that draws nothing; ``on_bytes`` hears of what has come since."""

    class Counting(hub_bar):
        """Counts bytes; the client makes other bars too, of files and of what crossed the network compressed."""

        def __init__(self, *given: Any, **named: Any) -> None:
            """Draw nothing."""
            self._counts = named.get("unit") == "B" and "transfer" not in (named.get("name") or "")
            super().__init__(*given, **(named | {"disable": True}))  # type: ignore[no-untyped-call]  # untyped there

        def update(self, n: float | None = 1) -> bool | None:
            """Pass on what has come."""
            if self._counts and n:
                on_bytes(int(n))
            return super().update(n)

    return Counting


class Pace:
    """A line every ``LINE_S`` seconds: how much of a download is there, how fast, how long the rest takes."""

    def __init__(
        self, what: str, n_bytes: int, on_line: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start the clock; ``n_bytes`` are to come."""
        self._what, self._n_bytes, self._on_line, self._clock = what, n_bytes, on_line, clock
        self._began_s = self._told_s = clock()
        self._n_here = 0

    def add(self, n_bytes: int) -> None:
        """Count what has come; from any of the client's threads, of which one may tell a line twice at worst."""
        self._n_here += n_bytes
        now_s = self._clock()
        if now_s - self._told_s < LINE_S:
            return
        self._told_s = now_s
        speed = self._n_here / (now_s - self._began_s)
        left_s = max(0, self._n_bytes - self._n_here) / speed
        self._on_line(
            f"fetching {self._what}: {self._n_here / max(1, self._n_bytes):.0%} of {spelled(self._n_bytes)}, "
            f"{spelled(speed)} a second, {left_s / 60:.0f} minutes left"
        )


def spelled(n_bytes: float) -> str:
    """A number of bytes in words."""
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"
