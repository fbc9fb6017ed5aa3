"""Change events of drop folders: from the operating system, or by looking through the folders at intervals.

The only module that imports watchfiles. When a folder is removed and made again, the system keeps watching the removed
one: so the identity of each folder is checked now and then, and watching starts anew when it has changed.
"""

import os
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import watchfiles

from whisperbatch.sources.folders import Notice

N_MS_LOOK = 200  # the longest time between two checks of ``stop`` while nothing happens
N_MS_STEP = 100  # changes closer together than this are reported together
POLL_S = 2.0  # between two scans of the folders when the system reports no changes
POLL_REST = 99  # pause after a scan, as a multiple of its duration: a large tree costs a hundredth of a core
SAME_S = 2.0  # between two checks that the folders are still the same


class ChangeEvents:
    """Waits for changes in folders; for one thread."""

    def __init__(self, places: Sequence[Path], poll: bool, stop: threading.Event, on_notice: Notice) -> None:
        """Start watching with the first ``wait``; ``on_notice`` is called when the system cannot watch."""
        self._places = places
        self._poll = poll
        self._stop = stop
        self._on_notice = on_notice
        self._closed = threading.Event()
        self._pause_s = POLL_S
        self._same_at_s = time.monotonic() + SAME_S
        self._begin()

    def wait(self) -> bool | None:
        """Return whether something may have changed, a few times a second; None once ``stop`` is set."""
        change = next(self._changes, None)
        if change is None:
            return None
        if not self._are_same(change):
            self._changes.close()
            self._begin()
            return True
        return bool(change)

    def scanned(self, took_s: float) -> None:
        """Note how long a scan of the folders took."""
        self._pause_s = max(POLL_S, POLL_REST * took_s)

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        self._changes.close()

    def _begin(self) -> None:
        self._known = [_identity(place) for place in self._places]
        self._changes = self._watch([place for place in self._places if os.path.isdir(place)])  # noqa: PTH112

    def _are_same(self, changes: object) -> bool:
        """True if the watched folders are still those at their paths."""
        changes = changes if isinstance(changes, set) else set()
        gone = {change[1] for change in changes if change[0] is watchfiles.Change.deleted}
        if any(str(place) in gone or os.path.abspath(place) in gone for place in self._places):  # noqa: PTH100
            return False
        if time.monotonic() < self._same_at_s:
            return True
        self._same_at_s = time.monotonic() + SAME_S
        return self._known == [_identity(place) for place in self._places]

    def _watch(self, there: list[Path]) -> Generator[object, None, None]:
        """Yield something true whenever something may have changed, else something false; end on a stop."""
        if there and not self._poll:
            try:
                yield from watchfiles.watch(
                    *there,
                    watch_filter=None,
                    stop_event=_Either(self._stop, self._closed),
                    step=N_MS_STEP,
                    rust_timeout=N_MS_LOOK,
                    yield_on_timeout=True,
                    raise_interrupt=False,
                    ignore_permission_denied=True,
                )
                return
            except FileNotFoundError:  # a folder vanished this very moment; it is watched when it is back
                pass
            except (OSError, RuntimeError) as err:  # for example too many folders for the system's limit
                reason = str(err).strip().partition("\n")[0]
                self._on_notice(f"cannot watch for changes ({reason}); scanning the folders at intervals instead", None)
                self._poll = True
        looked_s = time.monotonic()
        while not self._stop.wait(N_MS_LOOK / 1000):
            is_due = self._poll and time.monotonic() - looked_s >= self._pause_s
            looked_s = time.monotonic() if is_due else looked_s
            yield is_due


class _Either:
    """An event that is set when either of two is; ``is_set`` is all that watchfiles needs of its stop event."""

    def __init__(self, one: threading.Event, other: threading.Event) -> None:
        self._events = one, other

    def is_set(self) -> bool:
        return any(event.is_set() for event in self._events)


def _identity(place: Path) -> tuple[int, int] | None:
    try:
        status = place.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
