"""Signals: the first Ctrl-C or SIGTERM drains the run, the second quits at once; a hang-up is ignored."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from whisperbatch.cli.failures import say
from whisperbatch.report import EXIT_INTERRUPTED

STOPPING = "Stopping after the files in progress. Press Ctrl-C again to stop now."
CONTINUE = "run the same command to continue"
SHOW_CURSOR = b"\x1b[?25h"  # the live view hides it


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C or SIGTERM sets."""
    stop = threading.Event()

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            quit_at_once()
        stop.set()
        # in a separate thread, since this one may be in the middle of writing a line
        threading.Thread(target=say, args=(STOPPING,), daemon=True).start()

    handlers: dict[signal.Signals, Callable[[int, object], None]] = {signal.SIGINT: handle, signal.SIGTERM: handle}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = _hang_up_handler()
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def quit_at_once() -> None:
    """End the process without unwinding, which would wait for the model's current step.

    Journal and outputs are consistent at every moment, and load workers end when their pipes close.
    """
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, SHOW_CURSOR)
        os.write(2, f"interrupted; {CONTINUE}\n".encode())
    os._exit(EXIT_INTERRUPTED)


def _hang_up_handler() -> Callable[[int, object], None]:
    """Return a handler for a terminal that closes: output is discarded from then on, and the run goes on."""
    terminals = [
        number for number in (0, 1, 2) if _is_terminal(number)
    ]  # a closed one no longer reports that it is a terminal

    def discard_output(number: int, frame: object) -> None:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for terminal in terminals:
            os.dup2(nowhere, terminal)
        os.close(nowhere)

    return discard_output


def _is_terminal(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:
        return False
