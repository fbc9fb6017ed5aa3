"""Drop folders: what lies there, then what arrives, once it has stood still.

watchfiles says that something changed; a rescan every ``rescan_s`` is the net below it (network folders tell nothing).
``Settling`` is pure and takes the time as an argument. Who calls: the CLI.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import watchfiles

from whisperbatch.errors import UsageError
from whisperbatch.options import WatchOptions
from whisperbatch.records import AudioFile
from whisperbatch.sources.folders import Notice, below

N_MS_LOOK = 200  # the longest time in which nobody looks at ``stop`` while nothing happens


@dataclass(slots=True)
class _Seen:
    audio: AudioFile
    since_s: float  # when its size or mtime last changed, by our clock


class Settling:
    """Which files have stood still long enough; each state of a file comes out once."""

    def __init__(self, settle_s: float) -> None:
        """Know nothing yet."""
        self._settle_s = settle_s
        self._moving: dict[Path, _Seen] = {}
        self._given: dict[Path, tuple[int, int]] = {}

    def look(self, files: Sequence[AudioFile], now_s: float) -> list[AudioFile]:
        """The files among those that lie there now which are ready, in their order.

        A file is ready when size and mtime are as they were ``settle_s`` ago. One that has gone is forgotten.
        """
        ready, moving = [], {}
        for audio in files:
            state = (audio.size, audio.mtime_ns)
            if self._given.get(audio.path) == state:
                continue
            seen = self._moving.get(audio.path)
            if seen is None or (seen.audio.size, seen.audio.mtime_ns) != state:
                seen = _Seen(audio, now_s)
            if now_s - seen.since_s >= self._settle_s and audio.size > 0:
                ready.append(audio)
                self._given[audio.path] = state
            else:
                moving[audio.path] = seen
        here = {audio.path for audio in files}
        self._given = {path: state for path, state in self._given.items() if path in here}
        self._moving = moving
        return ready

    def next_due_s(self) -> float | None:
        """When the next file may be ready, if it stands still; None when none is on its way."""
        waiting = [seen.since_s for seen in self._moving.values() if seen.audio.size > 0]
        return min(waiting) + self._settle_s if waiting else None

    @property
    def n_moving(self) -> int:
        """How many files have not stood still yet; empty ones, which somebody is about to fill, do not count."""
        return sum(seen.audio.size > 0 for seen in self._moving.values())


def watch(
    folders: Sequence[str | Path],
    options: WatchOptions,
    stop: threading.Event,
    *,
    on_notice: Notice | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[AudioFile]:
    """Recordings in the folders and all below them, for ever, or until quiet, or until ``stop`` is set.

    Raises:
        UsageError: At once, when a folder is not there.
    """
    places = [Path(folder) for folder in folders]
    for place in places:
        if not place.is_dir():
            raise UsageError(f"there is no folder {place} to watch")
    return _watch(places, options, stop, on_notice, clock)


def _watch(
    places: list[Path],
    options: WatchOptions,
    stop: threading.Event,
    on_notice: Notice | None,
    clock: Callable[[], float],
) -> Iterator[AudioFile]:
    settling, quiet_since_s, scan_at_s = Settling(options.settle_s), clock(), clock()
    done = threading.Event()
    changes = watchfiles.watch(
        *places,
        watch_filter=None,
        stop_event=_Either(stop, done),
        rust_timeout=N_MS_LOOK,
        yield_on_timeout=True,
        raise_interrupt=False,
        ignore_permission_denied=True,
    )
    try:
        changed: object = True  # what lies there already
        while not stop.is_set():
            due_s = settling.next_due_s()
            if changed or clock() >= scan_at_s or (due_s is not None and clock() >= due_s):
                scan_at_s = clock() + options.rescan_s
                for audio in settling.look([a for place in places for a in below(place, on_notice)], clock()):
                    yield audio
                    quiet_since_s = clock()
            if settling.n_moving:
                quiet_since_s = clock()
            if options.until_idle_s is not None and clock() - quiet_since_s >= options.until_idle_s:
                return
            changed = next(changes, None)
            if changed is None:
                return
    finally:
        done.set()
        changes.close()


class _Either:
    """An event that is set when either of two is; all that watchfiles asks of its stop event."""

    def __init__(self, one: threading.Event, other: threading.Event) -> None:
        self._events = one, other

    def is_set(self) -> bool:
        return any(event.is_set() for event in self._events)
