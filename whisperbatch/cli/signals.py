"""What signals do to a run: the first Ctrl-C or SIGTERM drains it, the second leaves at once, a hang-up is survived."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from whisperbatch.cli.failures import say
from whisperbatch.report import EXIT_INTERRUPTED

STOPPING = "Stopping after the files in progress. Press Ctrl-C again to stop now."
CONTINUE = "run the same command to continue"
SHOW_CURSOR = b"\x1b[?25h"  # a live view hides it


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets."""
    stop = threading.Event()

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            leave_at_once()
        stop.set()
        # from a thread of its own, since this one may be in the middle of a line
        threading.Thread(target=say, args=(STOPPING,), daemon=True).start()

    handlers: dict[signal.Signals, Callable[[int, object], None]] = {signal.SIGINT: handle, signal.SIGTERM: handle}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = _survivor()
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_at_once() -> None:
    """End the process without unwinding, which would wait for the step that the model is in.

    Journal and outputs are true at every instant, and load processes end with the pipes to them.
    """
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, SHOW_CURSOR)
        os.write(2, f"interrupted; {CONTINUE}\n".encode())
    os._exit(EXIT_INTERRUPTED)


def _survivor() -> Callable[[int, object], None]:
    """A handler for a terminal that goes away: what is said from then on goes nowhere, and the run goes on."""
    terminals = [number for number in (0, 1, 2) if _is_terminal(number)]  # one that has gone would not say so any more

    def survive(number: int, frame: object) -> None:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for terminal in terminals:
            os.dup2(nowhere, terminal)
        os.close(nowhere)

    return survive


def _is_terminal(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:
        return False
