"""Several engines on the cores of one machine, each in a thread of its own; to its owner they are one.

A step of a small model is many short products: shared out among threads, these wait for each other more than they work,
and what is not shared out leaves all cores but one idle. So each engine has cores of its own, and slots of its own; the
model's weights and the votes on a file's language are common, and so is the reserve: a clip waits for no engine in
particular, and goes where room is first. Comes in: clips. Goes out: what any of the engines tells. No torch.

An engine that is in a step belongs to its thread, the others to the owner: what is asked of one in a step is done when
it comes back.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from whisperbatch.engine import Work
from whisperbatch.engine.scheduling.continuous_batching import ContinuousEngine
from whisperbatch.records import Clip, ClipFailed, ClipText, Segments

Result = Segments | ClipText | ClipFailed


class ParallelEngines:
    """Engines side by side, with the contract of one; owned by one thread."""

    def __init__(self, engines: Sequence[ContinuousEngine[Any]], share_cores: Callable[[int], None]) -> None:
        """Take engines that vote together and hold nothing.

        Args:
            engines: One a thread.
            share_cores: Called in a thread before it works, with the number of threads that work.
        """
        self.facts = engines[0].facts
        self._engines, self._share_cores = list(engines), share_cores
        self._threads = {engine: ThreadPoolExecutor(1, f"engine-{n}") for n, engine in enumerate(engines)}
        self._running: dict[Future[list[Result]], ContinuousEngine[Any]] = {}
        self._reserve: deque[Clip] = deque()
        self._cancelled: dict[ContinuousEngine[Any], set[int]] = {}  # files to forget, by engines in a step
        self._out: list[Result] = []

    @property
    def device_name(self) -> str:
        """The device in words."""
        return self._engines[0].device_name

    @property
    def work(self) -> Work:
        """What all have done; the seconds of stages are those of one of them, on average."""
        works, stages = [engine.work for engine in self._engines], dict[str, float]()
        for work in works:
            for stage, seconds in work.stages.items():
                stages[stage] = stages.get(stage, 0.0) + seconds / len(works)
        return Work(sum(work.n_windows for work in works), sum(work.n_tokens for work in works), stages)

    @property
    def capacity(self) -> int:
        """Clips that it would take now: what the engines that are not in a step have room for, and a reserve."""
        room = sum(engine.room for engine in self._free())
        n_spare = 0 if self.idle else max(1, sum(engine.device.n_slots for engine in self._engines) // 4)
        return max(0, room + n_spare - len(self._reserve))

    @property
    def idle(self) -> bool:
        """Whether none holds a clip."""
        return not (self._running or self._reserve or self._out) and all(engine.idle for engine in self._engines)

    def rouse(self) -> bool:
        """Whether a step would do something now, what waited for votes that are in released."""
        free = [engine.rouse() for engine in self._free()]
        return bool(self._running or self._reserve or self._out) or any(free)

    def admit(self, clips: Sequence[Clip]) -> None:
        """Take clips."""
        self._reserve += clips

    def cancel(self, file_id: int) -> None:
        """Forget a file's clips; nothing more comes out for them."""
        self._reserve = deque(clip for clip in self._reserve if clip.file_id != file_id)
        for engine in self._free():
            engine.cancel(file_id)
        for engine in self._running.values():
            self._cancelled.setdefault(engine, set()).add(file_id)
        self._out = [result for result in self._out if result.file_id != file_id]

    def step(self) -> list[Result]:
        """Let all that have something to do work until one of them comes back; what is new."""
        self._deal()
        ready = [engine for engine in self._free() if engine.rouse()]
        n_working = len(ready) + len(self._running)
        for engine in ready:
            self._running[self._threads[engine].submit(self._step, engine, n_working)] = engine
        self._collect(wait(self._running, return_when=FIRST_COMPLETED).done if self._running else ())
        out, self._out = self._out, []
        return out

    def resize(self, n_slots: int) -> None:
        """Hold so many windows at once, shared out evenly; with fewer than there are engines each holds one."""
        for n, engine in enumerate(self._engines):
            engine.resize(max(1, (n_slots + n) // len(self._engines)))

    def measure_stages(self, wanted: bool) -> None:
        """Whether ``work`` tells stages from now on."""
        for engine in self._engines:
            engine.measure_stages(wanted)

    def close(self) -> None:
        """Free the device, once all have come back."""
        for thread in self._threads.values():
            thread.shutdown()
        for engine in self._engines:
            engine.close()

    def _deal(self) -> None:
        """Hand clips of the reserve to engines that have room, each where most is left."""
        room = {engine: engine.room for engine in self._free()}
        for _ in range(min(len(self._reserve), sum(room.values()))):
            freest = max(room, key=lambda engine: room[engine])
            freest.admit([self._reserve.popleft()])  # in order: a file's first clips decide on its language
            room[freest] -= 1

    def _step(self, engine: ContinuousEngine[Any], n_working: int) -> list[Result]:
        self._share_cores(n_working)
        return engine.step()

    def _free(self) -> list[ContinuousEngine[Any]]:
        running = set(self._running.values())
        return [engine for engine in self._engines if engine not in running]

    def _collect(self, done: Iterable[Future[list[Result]]]) -> None:
        """Take back engines whose step is over."""
        for future in done:
            engine = self._running.pop(future)
            forgotten = self._cancelled.pop(engine, set())
            for file_id in forgotten:
                engine.cancel(file_id)
            self._out += [result for result in future.result() if result.file_id not in forgotten]
