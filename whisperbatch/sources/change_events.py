"""What tells that something may have changed in drop folders: the system, or a look at intervals.

The only home of watchfiles. A folder that went away and came back is another one to the system, which goes on listening
to the one that has gone: so each is looked at now and then, and listened to anew.
"""

import os
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import watchfiles

from whisperbatch.sources.folders import Notice

N_MS_LOOK = 200  # the longest time in which nobody looks at ``stop`` while nothing happens
N_MS_STEP = 100  # changes that come within so long of each other are told of together
POLL_S = 2.0  # between two looks through the folders when nobody tells of changes
POLL_REST = 99  # times as long as a look took, until the next: a large tree costs a hundredth of a core
SAME_S = 2.0  # between two looks at whether the folders are still the same


class ChangeEvents:
    """Listens to folders; for one thread."""

    def __init__(self, places: Sequence[Path], poll: bool, stop: threading.Event, tell: Notice) -> None:
        """Listen with the first ``wait``; ``tell`` hears when that cannot be."""
        self._places = places
        self._poll = poll
        self._stop = stop
        self._tell = tell
        self._closed = threading.Event()
        self._pause_s = POLL_S
        self._same_at_s = time.monotonic() + SAME_S
        self._begin()

    def wait(self) -> bool | None:
        """Whether something may have changed, a few times a second; None once ``stop`` is set."""
        told = next(self._changes, None)
        if told is None:
            return None
        if not self._are_same(told):
            self._changes.close()
            self._begin()
            return True
        return bool(told)

    def looked(self, took_s: float) -> None:
        """Note how long a look through the folders took."""
        self._pause_s = max(POLL_S, POLL_REST * took_s)

    def close(self) -> None:
        """Listen no more."""
        self._closed.set()
        self._changes.close()

    def _begin(self) -> None:
        self._known = [_identity(place) for place in self._places]
        self._changes = self._listen([place for place in self._places if os.path.isdir(place)])  # noqa: PTH112

    def _are_same(self, told: object) -> bool:
        """Whether the folders listened to are still those that have the names."""
        gone = {change[1] for change in told if change[0] is watchfiles.Change.deleted} if isinstance(told, set) else ()
        if any(str(place) in gone or os.path.abspath(place) in gone for place in self._places):  # noqa: PTH100
            return False
        if time.monotonic() < self._same_at_s:
            return True
        self._same_at_s = time.monotonic() + SAME_S
        return self._known == [_identity(place) for place in self._places]

    def _listen(self, there: list[Path]) -> Generator[object, None, None]:
        """Something true whenever something may have changed, else something false; ends on a stop."""
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
            except FileNotFoundError:  # it went this very moment; it is listened to when it is back
                pass
            except (OSError, RuntimeError) as err:  # too many folders for the system's limit, say
                reason = str(err).strip().partition("\n")[0]
                self._tell(f"changes cannot be listened for ({reason}); the folders are looked through instead", None)
                self._poll = True
        looked_s = time.monotonic()
        while not self._stop.wait(N_MS_LOOK / 1000):
            is_due = self._poll and time.monotonic() - looked_s >= self._pause_s
            looked_s = time.monotonic() if is_due else looked_s
            yield is_due


class _Either:
    """An event that is set when either of two is; all that watchfiles asks of its stop event."""

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
