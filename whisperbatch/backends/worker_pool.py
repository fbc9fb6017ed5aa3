"""A worker pool: who has room takes the next file, who dies is replaced, and what it had is told of as lost.

Comes in: files, from the threads of a run. Goes out: tidings. Each worker has a thread here that listens to it. What a
worker is (a process, an actor) is told by ``Hire``.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from whisperbatch.backends.messages import (
    Drain,
    FolderNotVisible,
    FromWorker,
    Over,
    PoolWorkerDiedError,
    Ready,
    Rest,
    ToWorker,
    Warm,
)
from whisperbatch.errors import ModelError, RunError, UsageError, WhisperbatchError
from whisperbatch.pipeline import Ended, Order, Tiding, WorkerEvent, WorkerLost

MAX_IN_VAIN = 3  # deaths in a row of a worker that never came to ask for a file
END_S = 10.0  # for a worker's thread to end once it was killed


class WorkerHandle(Protocol):
    """A worker, seen from here."""

    def send(self, message: ToWorker) -> None:
        """Hand it a message; nothing happens when it is gone."""
        ...

    def hear(self) -> Iterator[FromWorker]:
        """What it tells; ends after ``Over``. PoolWorkerDiedError when it dies."""
        ...

    def kill(self) -> None:
        """End it, from any thread."""
        ...


Hire = Callable[[str], WorkerHandle]


@dataclass(eq=False)
class _Place:
    """A worker's place, which a successor takes when it dies; guarded by the pool's lock."""

    name: str
    hired: WorkerHandle | None = None
    held: dict[int, Order] = field(default_factory=dict)
    reserved: int | None = None  # for a file that is to be alone
    is_up: bool = False  # it has asked for a file; one that waits for a node has not
    wants: bool = False
    has_rested: bool = True  # since it last had a file
    is_blind: bool = False  # it cannot see the recordings, so no other is hired for it
    is_left: bool = False  # its run was let go while it had files, and it is being ended
    n_in_vain: int = 0
    thread: threading.Thread | None = None

    def clear(self) -> None:
        """Have nobody, and nothing of whoever was here."""
        self.hired, self.held, self.reserved, self.has_rested = None, {}, None, True
        self.wants = self.is_up = self.is_left = False

    @property
    def is_alone(self) -> bool:
        """Whether it has a file that is to be alone."""
        return any(order.is_alone for order in self.held.values())


class WorkerPool:
    """Workers and who has what; see ``pipeline.WorkerPool``. It outlives a run, so that models stay loaded."""

    def __init__(self, hire: Hire, names: Sequence[str]) -> None:
        """Hire nobody yet; ``names`` says what each place is called."""
        self._hire, self._names = hire, list(names)
        self._places = [_Place(name) for name in names]
        self._is_at_work = self._is_draining = self._is_resting = self._is_warm = self._is_closed = False
        self._tidings: queue.SimpleQueue[Tiding | WhisperbatchError | None] = queue.SimpleQueue()
        self._changed = threading.Condition()

    @property
    def n_hands(self) -> int:
        """One file a worker may wait to be taken."""
        return len(self._places)

    def open(self) -> None:
        """Begin a run."""
        with self._changed:
            self._tidings = queue.SimpleQueue()
            self._is_at_work, self._is_draining, self._is_resting = True, False, False
            self._places = self._places or [_Place(name) for name in self._names]

    def add(self, name: str) -> None:
        """Make another place, for a worker that can join now."""
        with self._changed:
            place = _Place(name)
            self._names.append(name)
            self._places.append(place)
            if any(other.thread is not None for other in self._places):
                self._start(place)

    def warm(self) -> None:
        """Have the workers open their models."""
        with self._changed:
            self._is_warm = True
            self._start_all()

    def hand(self, order: Order) -> bool:
        """Wait until a worker takes the file; False when none will."""
        with self._changed:
            if not self._can_work:
                return False
            self._is_resting = False
            self._start_all()
            place: _Place | None = None
            while self._can_work and (place := self._taker(order)) is None:
                self._changed.wait()
            if not self._can_work or place is None:
                return False
            place.wants, place.has_rested, place.reserved = False, False, None
            place.held[order.number] = order
            hired = place.hired
        assert hired is not None
        hired.send(order)
        return True

    def rest(self) -> None:
        """Have workers that wait for a file finish what they have."""
        with self._changed:
            self._is_resting = True
            idle = [place for place in self._places if place.wants and not place.has_rested]
            for place in idle:
                self._have_rest(place)

    def tidings(self) -> Iterator[Tiding]:
        """What happens, until the pool is let go; an error that ends the run is raised."""
        told = self._tidings
        while (one := told.get()) is not None:
            if isinstance(one, WhisperbatchError):
                raise one
            yield one

    def drain(self) -> None:
        """Take nothing more, and have the workers end what they have begun."""
        with self._changed:
            self._is_draining = True
            for place in self._places:
                if place.hired is not None:
                    place.hired.send(Drain())
            self._changed.notify_all()

    def let_go(self) -> None:
        """End the run; a worker that still has files is ended, since nobody waits for them."""
        with self._changed:
            self._is_at_work = False
            busy = [place for place in self._places if place.held and place.hired is not None]
            killed = [place.hired for place in busy if place.hired is not None]
            for place in busy:  # what it still tells is of no run: the next one has other files by these numbers
                place.held, place.wants, place.is_up, place.is_left = {}, False, False, True
            self._tidings.put(None)
            self._changed.notify_all()
        for hired in killed:
            hired.kill()

    def close(self) -> None:
        """End the workers."""
        with self._changed:
            self._is_at_work, self._is_closed = False, True
            places = list(self._places)
            self._changed.notify_all()
        for place in places:
            if place.hired is not None:
                place.hired.kill()
        for place in places:
            if place.thread is not None:
                place.thread.join(END_S)

    @property
    def _can_work(self) -> bool:
        return self._is_at_work and not self._is_draining and not self._is_closed

    def _taker(self, order: Order) -> _Place | None:
        """The worker that takes a file, of those with room the one with the fewest; under the lock."""
        if order.is_alone:
            return self._taker_alone(order)
        free = [place for place in self._places if place.wants and place.reserved is None and not place.is_alone]
        return min(free, key=lambda place: len(place.held), default=None)

    def _taker_alone(self, order: Order) -> _Place | None:
        """The worker that is kept free for a file, once it has nothing else."""
        kept = next((place for place in self._places if place.reserved == order.number), None)
        if kept is None:
            candidates = [p for p in self._places if p.is_up and p.reserved is None and not p.is_alone]
            kept = min(candidates, key=lambda place: len(place.held), default=None)
        if kept is None:
            return None
        kept.reserved = order.number
        if kept.wants and kept.held and not kept.has_rested:
            self._have_rest(kept)  # so that what it has goes out at once
        return kept if kept.wants and not kept.held else None

    def _have_rest(self, place: _Place) -> None:
        """Answer a worker that wants a file: not now. It asks again when it has finished; under the lock."""
        place.wants, place.has_rested = False, True
        if place.hired is not None:
            place.hired.send(Rest())

    def _start_all(self) -> None:
        for place in self._places:
            self._start(place)

    def _start(self, place: _Place) -> None:
        if not self._is_closed and place.thread is None:
            place.thread = threading.Thread(
                target=self._guarded, args=(place,), name=f"whisperbatch-{place.name}", daemon=True
            )
            place.thread.start()

    def _guarded(self, place: _Place) -> None:
        """Top of a thread: what ends it unforeseen ends the run."""
        try:
            self._keep(place)
            return
        except WhisperbatchError as err:
            error = err
        except Exception as err:
            error = RunError(f"the thread of {place.name} failed: {type(err).__name__}: {err}")
            error.__cause__ = err
        with self._changed:  # a later run may fill the place again
            place.thread = None
            place.clear()
            self._tidings.put(error)
            self._changed.notify_all()

    def _keep(self, place: _Place) -> None:
        """Keep a place filled for as long as the pool works."""
        while True:
            hired = self._hire(place.name)
            with self._changed:
                place.hired = hired
                is_warm = self._is_warm
                if self._is_closed or self._is_draining:
                    hired.kill()
            if is_warm:
                hired.send(Warm())
            why = "it ended"
            try:
                for message in hired.hear():
                    why = self._on(place, message) or why
            except PoolWorkerDiedError as err:
                why = str(err)
            finally:
                hired.kill()
            if not self._vacate(place, why):
                return

    def _on(self, place: _Place, message: FromWorker) -> str | None:
        """Take in what a worker tells; why it is over, when it is."""
        match message:
            case Ready():
                with self._changed:
                    if place.is_left:
                        return None
                    place.wants, place.is_up, place.n_in_vain = True, True, 0
                    if self._is_resting and not place.has_rested:
                        self._have_rest(place)
                    self._changed.notify_all()
            case FolderNotVisible(folder):
                place.is_blind = True
                raise PoolWorkerDiedError(f"{place.name} does not see {folder}; mount it there at the same place")
            case Over(error) if isinstance(error, UsageError | ModelError):
                raise error
            case Over(error):
                return None if error is None else error.message
            case Ended(number):
                with self._changed:
                    if place.held.pop(number, None) is not None:
                        self._tidings.put(message)
                    self._changed.notify_all()
            case _:
                with self._changed:
                    if message.number is None or message.number in place.held:
                        self._tidings.put(message)
        return None

    def _vacate(self, place: _Place, why: str) -> bool:
        """Tell of what a worker had that is gone; whether another is to take its place."""
        with self._changed:
            lost = list(place.held)
            place.clear()
            place.n_in_vain += 1
            is_given_up = place.is_blind or place.n_in_vain >= MAX_IN_VAIN
            if is_given_up:
                self._places.remove(place)
            goes_on = self._can_work and not is_given_up
            if not goes_on:
                place.thread = None
            for number in lost:
                self._tidings.put(WorkerLost(number, why, is_to_blame=not place.is_blind))
            self._changed.notify_all()
        if is_given_up and not self._places:
            raise RunError(f"nothing can be transcribed: {why}")
        if is_given_up:
            self._tidings.put(WorkerEvent(None, "notice", {"text": f"{place.name} is given up: {why}"}))
        return goes_on
