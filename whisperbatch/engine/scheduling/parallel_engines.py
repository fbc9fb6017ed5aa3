"""Run several engines on the cores of one machine, each in its own thread, behind the contract of one engine.

A step of a small model is many short matrix products: threads that share one wait for each other more than they work,
and whatever runs on one thread leaves the other cores idle. So each engine has its own cores and slots. They share the
model's weights, the votes on a file's language, and the reserve: a clip goes to the engine that first has room. No
torch.

An engine in a step belongs to its thread, the others to the owner: a request to an engine in a step is carried out when
the step ends.
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
    """Engines that run in parallel, with the contract of one; owned by one thread."""

    def __init__(self, engines: Sequence[ContinuousEngine[Any]], share_cores: Callable[[int], None]) -> None:
        """Take engines that share their votes and hold no clips.

        Args:
            engines: One per thread.
            share_cores: Called in a thread before it works, with the number of threads that work.
        """
        self.facts = engines[0].facts
        self._engines, self._share_cores = list(engines), share_cores
        self._threads = {engine: ThreadPoolExecutor(1, f"engine-{n}") for n, engine in enumerate(engines)}
        self._running: dict[Future[list[Result]], ContinuousEngine[Any]] = {}
        self._reserve: deque[Clip] = deque()
        self._cancelled: dict[ContinuousEngine[Any], set[int]] = {}  # files to drop, by engines in a step
        self._out: list[Result] = []

    @property
    def device_name(self) -> str:
        """A description of the device."""
        return self._engines[0].device_name

    @property
    def work(self) -> Work:
        """What all engines have done; the seconds per stage are the average of the engines."""
        works, stages = [engine.work for engine in self._engines], dict[str, float]()
        for work in works:
            for stage, seconds in work.stages.items():
                stages[stage] = stages.get(stage, 0.0) + seconds / len(works)
        return Work(sum(work.n_windows for work in works), sum(work.n_tokens for work in works), stages)

    @property
    def capacity(self) -> int:
        """The number of clips it would take now: room in the engines that are not in a step, and a reserve."""
        room = sum(engine.room for engine in self._free())
        n_spare = 0 if self.idle else max(1, sum(engine.device.n_slots for engine in self._engines) // 4)
        return max(0, room + n_spare - len(self._reserve))

    @property
    def idle(self) -> bool:
        """True if no engine holds a clip."""
        return not (self._running or self._reserve or self._out) and all(engine.idle for engine in self._engines)

    def can_step(self) -> bool:
        """Release windows whose language vote is decided; return True if a step would do something then."""
        free = [engine.can_step() for engine in self._free()]
        return bool(self._running or self._reserve or self._out) or any(free)

    def admit(self, clips: Sequence[Clip]) -> None:
        """Take clips."""
        self._reserve += clips

    def cancel(self, file_id: int) -> None:
        """Drop a file's clips; ``step`` returns nothing more for them."""
        self._reserve = deque(clip for clip in self._reserve if clip.file_id != file_id)
        for engine in self._free():
            engine.cancel(file_id)
        for engine in self._running.values():
            self._cancelled.setdefault(engine, set()).add(file_id)
        self._out = [result for result in self._out if result.file_id != file_id]

    def step(self) -> list[Result]:
        """Run every engine that has something to do until one of them ends its step; return new results."""
        self._deal()
        ready = [engine for engine in self._free() if engine.can_step()]
        n_working = len(ready) + len(self._running)
        for engine in ready:
            self._running[self._threads[engine].submit(self._step, engine, n_working)] = engine
        self._collect(wait(self._running, return_when=FIRST_COMPLETED).done if self._running else ())
        out, self._out = self._out, []
        return out

    def resize(self, n_slots: int) -> None:
        """Hold up to ``n_slots`` windows at once, shared evenly among the engines; each holds at least one."""
        for n, engine in enumerate(self._engines):
            engine.resize(max(1, (n_slots + n) // len(self._engines)))

    def measure_stages(self, wanted: bool) -> None:
        """Switch the timing of stages in ``work`` on or off."""
        for engine in self._engines:
            engine.measure_stages(wanted)

    def close(self) -> None:
        """Free the device once all steps have ended."""
        for thread in self._threads.values():
            thread.shutdown()
        for engine in self._engines:
            engine.close()

    def _deal(self) -> None:
        """Give clips of the reserve to engines with room, each to the one with the most."""
        room = {engine: engine.room for engine in self._free()}
        for _ in range(min(len(self._reserve), sum(room.values()))):
            freest = max(room, key=lambda engine: room[engine])
            freest.admit([self._reserve.popleft()])  # in order: a file's first clips decide its language
            room[freest] -= 1

    def _step(self, engine: ContinuousEngine[Any], n_working: int) -> list[Result]:
        self._share_cores(n_working)
        return engine.step()

    def _free(self) -> list[ContinuousEngine[Any]]:
        running = set(self._running.values())
        return [engine for engine in self._engines if engine not in running]

    def _collect(self, done: Iterable[Future[list[Result]]]) -> None:
        """Collect the results of engines whose step has ended."""
        for future in done:
            engine = self._running.pop(future)
            dropped = self._cancelled.pop(engine, set())
            for file_id in dropped:
                engine.cancel(file_id)
            self._out += [result for result in future.result() if result.file_id not in dropped]
