"""Where an engine's time goes, stage by stage. No torch. Off it costs a comparison a stage."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

_NOTHING = nullcontext()


class Stopwatch:
    """Seconds by stage; owned by the engine's thread.

    Attributes:
        seconds: Of each stage so far; stages never overlap.
    """

    def __init__(self, wait: Callable[[], None] = lambda: None) -> None:
        """Off; ``wait`` waits for a device that works on its own, so that a stage's time is its own."""
        self.is_on = False
        self.seconds: dict[str, float] = {}
        self._wait = wait

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Time what is done inside, if it is on."""
        return self._timed(name) if self.is_on else _NOTHING

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began_s = time.perf_counter()
        try:
            yield
            self._wait()
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began_s
