"""Report a download's progress: count bytes through the hub's client, and write a line every few seconds.

Draws nothing, and keeps the client from drawing its own progress bars, which would disturb a run's screen.
"""

import time
from collections.abc import Callable
from typing import Any

LINE_S = 10.0


def counting_bar(on_bytes: Callable[[int], None]) -> Any:
    """A progress bar class for the hub's client that draws nothing and calls ``on_bytes`` with newly arrived bytes."""
    from huggingface_hub.utils import tqdm as hub_bar

    class Counting(hub_bar):
        """Counts bytes; ignores the client's other bars, of files and of compressed network traffic."""

        def __init__(self, *given: Any, **named: Any) -> None:
            """Disable drawing."""
            self._counts = named.get("unit") == "B" and "transfer" not in (named.get("name") or "")
            super().__init__(*given, **(named | {"disable": True}))  # type: ignore[no-untyped-call]  # untyped there

        def update(self, n: float | None = 1) -> bool | None:
            """Report the bytes that have arrived."""
            if self._counts and n:
                on_bytes(int(n))
            return super().update(n)

    return Counting


class DownloadProgress:
    """Writes a line every ``LINE_S`` seconds: how much has arrived, how fast, and how long the rest takes."""

    def __init__(
        self, what: str, n_bytes: int, on_line: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start the clock for a download of ``n_bytes``."""
        self._what, self._n_bytes, self._on_line, self._clock = what, n_bytes, on_line, clock
        self._began_s = self._line_s = clock()
        self._n_here = 0

    def add(self, n_bytes: int) -> None:
        """Count arrived bytes; any of the client's threads may call it, and at worst a line is written twice."""
        self._n_here += n_bytes
        now_s = self._clock()
        if now_s - self._line_s < LINE_S:
            return
        self._line_s = now_s
        speed = self._n_here / (now_s - self._began_s)
        left_s = max(0, self._n_bytes - self._n_here) / speed
        self._on_line(
            f"fetching {self._what}: {self._n_here / max(1, self._n_bytes):.0%} of {format_bytes(self._n_bytes)}, "
            f"{format_bytes(speed)} a second, {left_s / 60:.0f} minutes left"
        )


def format_bytes(n_bytes: float) -> str:
    """A number of bytes in MB or GB."""
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"
