"""Drop folders: what lies there, then what arrives, once it has stood still.

watchfiles says that something changed; a rescan every ``rescan_s`` is the net below it. Network folders tell nothing of
what others do there: ``poll`` looks every few seconds. ``SettleTracker`` is pure and takes the time as an argument. Who
calls: the CLI.
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
from whisperbatch.sources.media import is_under_way
from whisperbatch.sources.sidecars import Sidecars

REST = 9  # times as long as a look took, until the next: a flood of changes in a large tree costs a tenth of a core
PATIENCE_S = 30.0  # so long may a file stand still that should be longer, before somebody is told
GONE, BACK = "this folder is gone; it is looked for again", "this folder is back"
OTHER_DEVICE = "this folder is on another file system than before; has it been unmounted?"
WAITED_FOR = (
    "this file says that it is longer than it is; it is taken when the rest has come"
    " (whisperbatch transcribe takes it as it is)"
)
LEFT_CUT = "this file says that it is longer than it is and was left out (whisperbatch transcribe takes it as it is)"
CLOSED = "no permission to read this file; it is taken once there is"
LEFT_CLOSED = "no permission to read this file; it was left out"
LEFT_EMPTY = "this file is empty and was left out"


@dataclass(slots=True)
class _Seen:
    audio: AudioFile
    since_s: float  # when its size, its mtime or a sidecar of it last changed, by our clock
    grows: bool = False  # it stood still, and yet more of it is to come
    is_closed: bool = False  # or nobody may read it yet


class SettleTracker:
    """Which files have stood still long enough; each state of a file comes out once."""

    def __init__(
        self,
        settle_s: float,
        grows: Callable[[AudioFile], bool] = lambda audio: False,
        is_closed: Callable[[AudioFile], bool] = lambda audio: False,
    ) -> None:
        """Know nothing yet.

        ``grows`` tells of a file that stood still whether more is to come all the same, ``is_closed`` whether nobody
        may read it, as of an upload that gets its mode last: that shows in neither size nor mtime.
        """
        self._settle_s = settle_s
        self._grows, self._is_closed = grows, is_closed
        self._moving: dict[Path, _Seen] = {}
        self._given: dict[Path, tuple[int, int, FileOptions]] = {}

    def look(self, files: Sequence[AudioFile], now_s: float, *, is_whole: bool = True) -> list[AudioFile]:
        """The files among those that lie there now which are ready, in their order.

        A file is ready when size, mtime and what it asks for are as they were ``settle_s`` ago. One that has gone is
        forgotten, unless the look was not whole: a network folder that is away for a minute brings back the same files.
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
        """When the next file may be ready, if it stands still; None when none is on its way."""
        waiting = [seen.since_s for seen in self._moving.values() if seen.audio.size > 0 and not seen.grows]
        return min(waiting) + self._settle_s if waiting else None

    @property
    def n_moving(self) -> int:
        """How many files have not stood still yet; those that wait for somebody to go on writing do not count."""
        return sum(seen.audio.size > 0 and not seen.grows for seen in self._moving.values())

    @property
    def empty(self) -> list[Path]:
        """Files that lie there and have no content yet."""
        return [seen.audio.path for seen in self._moving.values() if seen.audio.size == 0]

    def cut(self, until_s: float) -> list[tuple[Path, bool]]:
        """Files that have stood still since before ``until_s`` and are waited for; with each whether it is closed.

        Those that are not should be longer than they are.
        """
        waiting = [(path, seen) for path, seen in self._moving.items() if seen.grows and seen.since_s <= until_s]
        return [(path, seen.is_closed) for path, seen in waiting]


def watch(
    folders: Sequence[str | Path],
    options: WatchOptions,
    stop: threading.Event,
    *,
    on_notice: Notice | None = None,
    is_cut: Callable[[Path], bool] = lambda path: False,
    sidecars: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[AudioFile]:
    """Recordings in the folders and all below them, for ever, or until quiet, or until ``stop`` is set.

    ``is_cut`` tells whether a file is shorter than its own container says: it then counts as growing. With ``sidecars``
    a file asks for what those say, and comes again when they say something else.

    Raises:
        UsageError: At once, when a folder is not there.
    """
    places = [Path(folder) for folder in folders]
    for place in places:
        if not os.path.isdir(place):  # noqa: PTH112  (Path.is_dir raises on names too long and folders not to be entered)
            raise UsageError(f"there is no folder {place} to watch")
    looker = _Looker(places, on_notice, options.leave_out, Sidecars() if sidecars else None)
    return _watch(
        looker, SettleTracker(options.settle_s, lambda audio: _grows(audio, is_cut), _is_closed), options, stop, clock
    )


def _watch(
    looker: "_Looker",
    settling: SettleTracker,
    options: WatchOptions,
    stop: threading.Event,
    clock: Callable[[], float],
) -> Iterator[AudioFile]:
    ears = ChangeEvents(looker.places, options.poll, stop, looker.tell)
    try:
        ears.wait()  # listen before the first look, so that nothing arrives between the two
        changed, not_before_s, rescan_at_s, quiet_since_s = True, clock(), clock(), clock()
        while not stop.is_set():
            now_s, due_s = clock(), settling.next_due_s()
            is_over = options.until_idle_s is not None and now_s - quiet_since_s >= options.until_idle_s
            is_wanted = changed or is_over or now_s >= rescan_at_s or (due_s is not None and now_s >= due_s)
            if is_wanted and now_s >= not_before_s:
                ready = settling.look(looker.look(), clock(), is_whole=looker.is_whole)
                changed, rescan_at_s = False, clock() + options.rescan_s
                ears.looked(clock() - now_s)
                not_before_s = clock() + REST * (clock() - now_s)
                for audio in ready:
                    if stop.is_set():
                        return
                    yield audio
                for path, is_closed in settling.cut(now_s - PATIENCE_S - options.settle_s):
                    looker.tell(CLOSED if is_closed else WAITED_FOR, path)
                if ready or settling.n_moving:
                    quiet_since_s = clock()
                elif is_over:
                    return
            told = ears.wait()
            if told is None:
                return
            changed = changed or told
    finally:
        ears.close()
        for path in settling.empty:
            looker.tell(LEFT_EMPTY, path)
        for path, is_closed in settling.cut(float("inf")):
            looker.tell(LEFT_CLOSED if is_closed else LEFT_CUT, path)


def _is_closed(audio: AudioFile) -> bool:
    """Whether a file may not be read."""
    try:
        audio.path.open("rb").close()
    except OSError as err:  # of anything else whoever loads it will say what is wrong
        return isinstance(err, PermissionError)
    return False


def _grows(audio: AudioFile, is_cut: Callable[[Path], bool]) -> bool:
    """Whether a file that seems to stand still does not.

    Opening it makes network file systems ask the server, whose answer they otherwise keep for seconds.
    """
    try:
        with audio.path.open("rb", buffering=0) as stream:
            status = os.fstat(stream.fileno())
    except OSError:  # whoever loads it will say what is wrong
        return False
    return (status.st_size, status.st_mtime_ns) != (audio.size, audio.mtime_ns) or is_cut(audio.path)


class _Looker:
    """Looks through the folders; tells once of each that cannot be read, not at every look, and when one is back."""

    def __init__(
        self,
        places: list[Path],
        on_notice: Notice | None,
        leave_out: Sequence[Path] = (),
        sidecars: Sidecars | None = None,
    ) -> None:
        self._sidecars = sidecars
        self.is_whole = True  # whether the last look saw all there is
        self.places = places
        self._leave_out = {os.path.abspath(path) for path in leave_out}  # noqa: PTH100  (resolve follows links)
        self._but = tuple(leave_out)  # by whatever name; those above also where one is made during a look
        self._on_notice = on_notice
        self._told: set[tuple[str, Path | None]] = set()
        self._devices: dict[Path, int] = {}

    def look(self) -> list[AudioFile]:
        """The recordings that lie there now."""
        self.is_whole = True
        files: list[AudioFile] = []
        for place in self.places:
            if (trouble := self._trouble(place)) is not None:
                self._unreadable(trouble, place)
            else:
                self._is_back(place)
            if trouble != GONE:
                files += below(place, self._unreadable, self._is_left_out, self._but)
        if self._sidecars is not None:
            self._sidecars.look_again()
            files = [self._sidecars.applied(audio) for audio in files]
        return [replace(audio, is_watched=True) for audio in files]

    def tell(self, text: str, path: Path | None) -> None:
        """Tell it, once."""
        if self._on_notice is not None and (text, path) not in self._told:
            self._told.add((text, path))
            self._on_notice(text, path)

    def _trouble(self, place: Path) -> str | None:
        """What is wrong with a watched folder; None when nothing is."""
        try:
            device = place.stat().st_dev
        except OSError:
            return GONE
        if not os.path.isdir(place):  # noqa: PTH112  (never raises)
            return GONE
        return OTHER_DEVICE if device != self._devices.setdefault(place, device) else None

    def _is_back(self, place: Path) -> None:
        was_away = [one for one in ((GONE, place), (OTHER_DEVICE, place)) if one in self._told]
        if was_away:
            self._told.difference_update(was_away)
            if self._on_notice is not None:
                self._on_notice(BACK, place)

    def _unreadable(self, text: str, path: Path | None) -> None:
        self.is_whole = False
        self.tell(text, path)

    def _is_left_out(self, path: Path) -> bool:
        return is_under_way(path.name) or (
            bool(self._leave_out) and os.path.abspath(path) in self._leave_out  # noqa: PTH100
        )
