"""Drop folders: yield the recordings in them, then those that arrive, each once it has stopped changing.

watchfiles reports that something changed; a rescan every ``rescan_s`` catches what it misses. Network file systems do
not report what other machines do: with ``poll`` the folders are scanned every few seconds. ``SettleTracker`` is pure
and takes the time as an argument.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whisperbatch.errors import UsageError
from whisperbatch.options import WatchOptions
from whisperbatch.records import AudioFile, FileOptions
from whisperbatch.sources.change_events import ChangeEvents
from whisperbatch.sources.folders import Notice, below
from whisperbatch.sources.incomplete import is_cut_short, is_under_way
from whisperbatch.sources.sidecars import Sidecars

REST = (
    9  # pause after a scan, as a multiple of its duration: a flood of changes in a large tree takes a tenth of a core
)
PATIENCE_S = 30.0  # how long an incomplete file may stay unchanged before a notice
GONE, BACK = "this folder is gone; waiting for it to come back", "this folder is back"
OTHER_DEVICE = "this folder is now on another file system; has it been unmounted?"
WAITED_FOR = (
    "incomplete: its header promises more data than it has; waiting for the rest"
    " (whisperbatch transcribe takes it as it is)"
)
LEFT_CUT = "incomplete: its header promises more data than it has; skipped (whisperbatch transcribe takes it as it is)"
CLOSED = "no permission to read this file; waiting for it"
LEFT_CLOSED = "no permission to read this file; skipped"
LEFT_EMPTY = "this file is empty; skipped"


@dataclass(slots=True)
class _Seen:
    audio: AudioFile
    since_s: float  # when its size, its mtime or a sidecar of it last changed, by our clock
    grows: bool = False  # it has stopped changing, but is incomplete
    is_closed: bool = False  # it has stopped changing, but we may not read it yet


class SettleTracker:
    """Finds the files that have stopped changing for long enough; returns each state of a file once."""

    def __init__(
        self,
        settle_s: float,
        grows: Callable[[AudioFile], bool] = lambda audio: False,
        is_closed: Callable[[AudioFile], bool] = lambda audio: False,
    ) -> None:
        """Start without any file.

        Args:
            settle_s: How long a file must stay unchanged.
            grows: Whether an unchanged file is still incomplete.
            is_closed: Whether we may not read it, such as an upload whose mode is set last: neither size nor mtime
                changes then.
        """
        self._settle_s = settle_s
        self._grows, self._is_closed = grows, is_closed
        self._moving: dict[Path, _Seen] = {}
        self._given: dict[Path, tuple[int, int, FileOptions]] = {}

    def look(self, files: Sequence[AudioFile], now_s: float, *, is_whole: bool = True) -> list[AudioFile]:
        """Return those of the present files that are ready, in order.

        A file is ready when its size, mtime and options are as they were ``settle_s`` ago. A file that has gone is
        forgotten, unless the scan was incomplete: a network folder that is away for a minute comes back with the same
        files.
        """
        ready, moving = [], {}
        for audio in files:
            state = (audio.size, audio.mtime_ns, audio.options)
            if self._given.get(audio.path) == state:
                continue
            seen = self._moving.get(audio.path)
            if seen is None or (seen.audio.size, seen.audio.mtime_ns, seen.audio.options) != state:
                seen = _Seen(audio, now_s)
            is_still = now_s - seen.since_s >= self._settle_s and audio.size > 0
            if is_still and (seen.is_closed or not seen.grows):
                seen.is_closed = self._is_closed(audio)
                seen.grows = seen.is_closed or self._grows(audio)
            if is_still and not seen.grows:
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
        """Return when the next file may be ready, if it does not change; None when no file is changing."""
        waiting = [seen.since_s for seen in self._moving.values() if seen.audio.size > 0 and not seen.grows]
        return min(waiting) + self._settle_s if waiting else None

    @property
    def n_moving(self) -> int:
        """The number of files that are still changing; unchanged but incomplete ones do not count."""
        return sum(seen.audio.size > 0 and not seen.grows for seen in self._moving.values())

    @property
    def empty(self) -> list[Path]:
        """The files that are empty so far."""
        return [seen.audio.path for seen in self._moving.values() if seen.audio.size == 0]

    def cut(self, until_s: float) -> list[tuple[Path, bool]]:
        """Return the files that are not ready though unchanged since ``until_s`` or before.

        With each, whether it is closed to us; the others are incomplete.
        """
        waiting = [(path, seen) for path, seen in self._moving.items() if seen.grows and seen.since_s <= until_s]
        return [(path, seen.is_closed) for path, seen in waiting]


def watch(
    folders: Sequence[str | Path],
    options: WatchOptions,
    stop: threading.Event,
    *,
    on_notice: Notice | None = None,
    is_cut: Callable[[Path], bool] = is_cut_short,
    sidecars: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[AudioFile]:
    """Yield the recordings in the folders and all below them, for ever, or until idle, or until ``stop`` is set.

    ``is_cut`` returns whether a file is shorter than its container says: it then counts as growing. With ``sidecars``
    a file gets its sidecars' options, and is yielded again when they change.

    Raises:
        UsageError: At once, when a folder does not exist.
    """
    places = [Path(folder) for folder in folders]
    for place in places:
        if not os.path.isdir(place):  # noqa: PTH112  (Path.is_dir raises on names too long and folders not to be entered)
            raise UsageError(f"there is no folder {place} to watch")
    scanner = _FolderScanner(places, on_notice, options.leave_out, Sidecars() if sidecars else None)
    return _watch(
        scanner, SettleTracker(options.settle_s, lambda audio: _grows(audio, is_cut), _is_closed), options, stop, clock
    )


def _watch(
    scanner: "_FolderScanner",
    tracker: SettleTracker,
    options: WatchOptions,
    stop: threading.Event,
    clock: Callable[[], float],
) -> Iterator[AudioFile]:
    events = ChangeEvents(scanner.places, options.poll, stop, scanner.notify)
    try:
        events.wait()  # start watching before the first scan, so that nothing arrives unseen between the two
        changed, not_before_s, rescan_at_s, quiet_since_s = True, clock(), clock(), clock()
        while not stop.is_set():
            now_s, due_s = clock(), tracker.next_due_s()
            is_over = options.until_idle_s is not None and now_s - quiet_since_s >= options.until_idle_s
            is_wanted = changed or is_over or now_s >= rescan_at_s or (due_s is not None and now_s >= due_s)
            if is_wanted and now_s >= not_before_s:
                ready = tracker.look(scanner.scan(), clock(), is_whole=scanner.is_whole)
                changed, rescan_at_s = False, clock() + options.rescan_s
                events.scanned(clock() - now_s)
                not_before_s = clock() + REST * (clock() - now_s)
                for audio in ready:
                    if stop.is_set():
                        return
                    yield audio
                for path, is_closed in tracker.cut(now_s - PATIENCE_S - options.settle_s):
                    scanner.notify(CLOSED if is_closed else WAITED_FOR, path)
                if ready or tracker.n_moving:
                    quiet_since_s = clock()
                elif is_over:
                    return
            has_event = events.wait()
            if has_event is None:
                return
            changed = changed or has_event
    finally:
        events.close()
        for path in tracker.empty:
            scanner.notify(LEFT_EMPTY, path)
        for path, is_closed in tracker.cut(float("inf")):
            scanner.notify(LEFT_CLOSED if is_closed else LEFT_CUT, path)


def _is_closed(audio: AudioFile) -> bool:
    """True if we have no permission to read the file."""
    try:
        audio.path.open("rb").close()
    except OSError as err:  # the load worker reports anything else
        return isinstance(err, PermissionError)
    return False


def _grows(audio: AudioFile, is_cut: Callable[[Path], bool]) -> bool:
    """True if a seemingly unchanged file is still growing or incomplete.

    Opening it makes network file systems query the server, whose answers they otherwise cache for seconds.
    """
    try:
        with audio.path.open("rb", buffering=0) as stream:
            status = os.fstat(stream.fileno())
    except OSError:  # the load worker will report it
        return False
    return (status.st_size, status.st_mtime_ns) != (audio.size, audio.mtime_ns) or is_cut(audio.path)


class _FolderScanner:
    """Scans the folders; sends one notice about each that cannot be read, not one a scan, and one when it is back."""

    def __init__(
        self,
        places: list[Path],
        on_notice: Notice | None,
        leave_out: Sequence[Path] = (),
        sidecars: Sidecars | None = None,
    ) -> None:
        self._sidecars = sidecars
        self.is_whole = True  # whether the last scan saw everything
        self.places = places
        self._leave_out = {os.path.abspath(path) for path in leave_out}  # noqa: PTH100  (resolve follows links)
        self._but = tuple(leave_out)  # by any name; the set above also covers a folder that is made during a scan
        self._on_notice = on_notice
        self._sent: set[tuple[str, Path | None]] = set()
        self._devices: dict[Path, int] = {}

    def scan(self) -> list[AudioFile]:
        """Return the recordings that are there now."""
        self.is_whole = True
        files: list[AudioFile] = []
        for place in self.places:
            if (trouble := self._trouble(place)) is not None:
                self._unreadable(trouble, place)
            else:
                self._note_back(place)
            if trouble != GONE:
                files += below(place, self._unreadable, self._is_left_out, self._but)
        if self._sidecars is not None:
            self._sidecars.look_again()
            files = [self._sidecars.applied(audio) for audio in files]
        return [replace(audio, is_watched=True) for audio in files]

    def notify(self, text: str, path: Path | None) -> None:
        """Send a notice, unless it was sent before."""
        if self._on_notice is not None and (text, path) not in self._sent:
            self._sent.add((text, path))
            self._on_notice(text, path)

    def _trouble(self, place: Path) -> str | None:
        """Return what is wrong with a watched folder; None when nothing is."""
        try:
            device = place.stat().st_dev
        except OSError:
            return GONE
        if not os.path.isdir(place):  # noqa: PTH112  (never raises)
            return GONE
        return OTHER_DEVICE if device != self._devices.setdefault(place, device) else None

    def _note_back(self, place: Path) -> None:
        was_away = [one for one in ((GONE, place), (OTHER_DEVICE, place)) if one in self._sent]
        if was_away:
            self._sent.difference_update(was_away)
            if self._on_notice is not None:
                self._on_notice(BACK, place)

    def _unreadable(self, text: str, path: Path | None) -> None:
        self.is_whole = False
        self.notify(text, path)

    def _is_left_out(self, path: Path) -> bool:
        return is_under_way(path.name) or (
            bool(self._leave_out) and os.path.abspath(path) in self._leave_out  # noqa: PTH100
        )
