"""rich's live display without copies of it left behind. Imports rich, so only a live view may import this leaf."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

from rich.console import Console
from rich.live import Live

REFRESH_S = 0.2


class OneAtATime(Console):
    """A console on which a thread draws to the end before another begins.

    rich asks how tall the frame on the screen is, draws, and only then writes: a frame that another thread writes in
    between makes the first thread go up too few lines, and the old frame stays above what it wrote.
    """

    def __init__(self, **traits: Any) -> None:
        """As rich's."""
        self._drawing = threading.RLock()
        super().__init__(**traits)

    def __enter__(self) -> Self:
        """Begin to draw; what is drawn is written at the end."""
        self._drawing.acquire()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Write what was drawn."""
        try:
            super().__exit__(*error)
        finally:
            self._drawing.release()


@contextmanager
def live(view: Any, console: OneAtATime) -> Iterator[None]:
    """Draw the view several times a second, below all that is printed meanwhile; it is gone at the end."""
    # rich's own thread would take its two locks in the other order, and wait for ever for one that prints
    drawn, ended = Live(view, console=console, auto_refresh=False, transient=True), threading.Event()

    def work() -> None:
        with suppress(OSError):  # a terminal that has gone
            while not ended.wait(REFRESH_S):
                with console:
                    drawn.refresh()

    with console:
        drawn.start()
    threading.Thread(target=work, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        with console:
            drawn.stop()
