"""rich's live display without leftover frames. Imports rich, so only the live view may import this module."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

from rich.console import Console
from rich.live import Live

REFRESH_S = 0.2


class OneAtATime(Console):
    """A console on which one thread finishes drawing before another begins.

    Reason: rich reads the height of the frame on the screen, draws, and only then writes. A frame that another thread
    writes in between makes the first thread move up too few lines, and the old frame stays on the screen.
    """

    def __init__(self, **traits: Any) -> None:
        """Take rich's arguments."""
        self._drawing = threading.RLock()
        super().__init__(**traits)

    def __enter__(self) -> Self:
        """Begin to draw; the drawing is written at the end."""
        self._drawing.acquire()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Write the drawing."""
        try:
            super().__exit__(*error)
        finally:
            self._drawing.release()


@contextmanager
def live(view: Any, console: OneAtATime) -> Iterator[None]:
    """Draw the view several times a second, below everything printed meanwhile; erase it at the end."""
    # rich's own refresh thread takes its two locks in the other order and can deadlock with a thread that prints
    display, ended = Live(view, console=console, auto_refresh=False, transient=True), threading.Event()

    def work() -> None:
        with suppress(OSError):  # the terminal may have closed
            while not ended.wait(REFRESH_S):
                with console:
                    display.refresh()

    with console:
        display.start()
    threading.Thread(target=work, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        with console:
            display.stop()
