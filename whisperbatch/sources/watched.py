"""Drop folders: what lies there, then what arrives, once it has stood still.

watchfiles says that something changed; a rescan every ``rescan_s`` is the net below it (network folders tell nothing).
``Settling`` is pure and takes the time as an argument. Who calls: the CLI.
"""

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import watchfiles

from whisperbatch.errors import UsageError
from whisperbatch.options import WatchOptions
from whisperbatch.records import AudioFile
from whisperbatch.sources.folders import Notice, below

N_MS_LOOK = 200  # the longest time in which nobody looks at ``stop`` while nothing happens
REST = 9  # times as long as a look took, until the next: a flood of changes in a large tree costs a tenth of a core


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

    def look(self, files: Sequence[AudioFile], now_s: float, *, is_whole: bool = True) -> list[AudioFile]:
        """The files among those that lie there now which are ready, in their order.

        A file is ready when size and mtime are as they were ``settle_s`` ago. One that has gone is forgotten,
        unless the look was not whole: a network folder that is away for a minute brings back the same files.
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
        if is_whole:
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

    @property
    def empty(self) -> list[Path]:
        """Files that lie there and have no content yet."""
        return [seen.audio.path for seen in self._moving.values() if seen.audio.size == 0]


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
    settling, looker, done = Settling(options.settle_s), _Looker(places, on_notice), threading.Event()
    changes = _changes(places, stop, done, looker.tell)
    try:
        next(changes, None)  # listen before the first look, so that nothing arrives between the two
        changed, not_before_s, rescan_at_s, quiet_since_s = True, clock(), clock(), clock()
        while not stop.is_set():
            now_s, due_s = clock(), settling.next_due_s()
            is_over = options.until_idle_s is not None and now_s - quiet_since_s >= options.until_idle_s
            is_wanted = changed or is_over or now_s >= rescan_at_s or (due_s is not None and now_s >= due_s)
            if is_wanted and now_s >= not_before_s:
                ready = settling.look(looker.look(), clock(), is_whole=looker.is_whole)
                changed, rescan_at_s = False, clock() + options.rescan_s
                not_before_s = clock() + REST * (clock() - now_s)
                for audio in ready:
                    if stop.is_set():
                        return
                    yield audio
                if ready or settling.n_moving:
                    quiet_since_s = clock()
                elif is_over:
                    return
            told = next(changes, None)
            if told is None:
                return
            changed = changed or bool(told)
    finally:
        done.set()
        changes.close()
        for path in settling.empty:
            looker.tell("this file is empty and was left out", path)


def _changes(
    places: list[Path], stop: threading.Event, done: threading.Event, tell: Notice
) -> Generator[object, None, None]:
    """Something true whenever something may have changed, something false a few times a second; ends on a stop."""
    try:
        yield from watchfiles.watch(
            *places,
            watch_filter=None,
            stop_event=_Either(stop, done),
            rust_timeout=N_MS_LOOK,
            yield_on_timeout=True,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        return
    except (OSError, RuntimeError) as err:  # too many folders for the system's limit, say
        reason = str(err).strip().partition("\n")[0]
        tell(f"changes cannot be listened for ({reason}); the folders are looked through at intervals", None)
    while not stop.wait(N_MS_LOOK / 1000):
        yield False


class _Looker:
    """Looks through the folders; tells once of each that cannot be read, not at every look."""

    def __init__(self, places: list[Path], on_notice: Notice | None) -> None:
        self.is_whole = True  # whether the last look saw all there is
        self._places = places
        self._on_notice = on_notice
        self._told: set[tuple[str, Path | None]] = set()

    def look(self) -> list[AudioFile]:
        """The recordings that lie there now."""
        self.is_whole = True
        files: list[AudioFile] = []
        for place in self._places:
            if os.path.isdir(place):  # noqa: PTH112  (never raises)
                files += below(place, self._unreadable)
            else:
                self._unreadable("this folder is gone; it is looked for again", place)
        return files

    def tell(self, text: str, path: Path | None) -> None:
        """Tell it, once."""
        if self._on_notice is not None and (text, path) not in self._told:
            self._told.add((text, path))
            self._on_notice(text, path)

    def _unreadable(self, text: str, path: Path | None) -> None:
        self.is_whole = False
        self.tell(text, path)


class _Either:
    """An event that is set when either of two is; all that watchfiles asks of its stop event."""

    def __init__(self, one: threading.Event, other: threading.Event) -> None:
        self._events = one, other

    def is_set(self) -> bool:
        return any(event.is_set() for event in self._events)
