"""Measure an engine's time by stage. No torch. While off it costs one comparison per stage."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

_NOTHING = nullcontext()


class Stopwatch:
    """Seconds by stage; owned by the engine's thread.

    Attributes:
        seconds: Seconds of each stage so far; stages never overlap.
    """

    def __init__(self, wait: Callable[[], None] = lambda: None) -> None:
        """Start switched off; ``wait`` waits for an asynchronous device, so that its work counts in the right stage."""
        self.is_on = False
        self.seconds: dict[str, float] = {}
        self._wait = wait

    def stage(self, name: str) -> AbstractContextManager[None]:
        """A context manager that times what runs inside it while the stopwatch is on."""
        return self._timed(name) if self.is_on else _NOTHING

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began_s = time.perf_counter()
        try:
            yield
            self._wait()
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began_s
