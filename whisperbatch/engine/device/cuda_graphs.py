"""Passes of the model that CUDA records once and then replays, a launch instead of a thousand.

Comes in: a pass as a function of tensors that stay where they are. Goes out: what it gives, replayed where that is
known to be right. The rules here are tested on the CPU with a
recorder that only pretends, ``Recorder`` itself only where a GPU is.

Safe by construction: a pass runs eagerly the first time that its key is met; then it is recorded, and what two replays
give, at two steps, is held against the eager pass at the same step. Two, because a recording that froze an input is
right the first time. Whatever raises or differs ends recording for good, is told once, and the eager pass goes on.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import torch
from torch import Tensor

Work = Callable[[], Sequence[Tensor]]
Told = Callable[[str], None]
MOST = 64  # recordings of a lane; a pass of large-v3 is about a thousand kernels, each with a node in every recording
N_CHECKS = 2  # replays that are held against the eager pass
N_SIZES = 8  # of a lane: passes are padded to so many sizes, so that at most an eighth of the slots is padding


class Recording(Protocol):
    """A recorded pass."""

    outputs: Sequence[Tensor]

    def replay(self) -> None:
        """Run it again on what its inputs hold now; ``outputs`` then hold what it gives."""
        ...


class Recorder:
    """Records passes on one CUDA device; owned by the engine's thread.

    All recordings share a pool of memory. That is right in any order of replays, since none leaves anything there:
    each writes all that it reads, and copies what it gives to tensors outside of the pool.

    Attributes:
        is_on: Whether it still records; once something went wrong it never does again.
    """

    def __init__(self, device: torch.device, on_notice: Told) -> None:
        """Record nothing yet; ``on_notice`` is told once if it has to give up."""
        self.is_on, self._device, self._on_notice = True, device, on_notice
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def give_up(self, reason: str) -> None:
        """Record no more, and say so."""
        if self.is_on:
            self.is_on = False
            self._on_notice(f"CUDA graphs are off for this run, which makes it slower and changes no text: {reason}")

    def record(self, work: Work) -> Recording:
        """The pass, recorded; it has run once more to warm up, since libraries allocate when a stream first sees them.

        Trap: where ``torch.cuda.graph`` fails it leaves its own stream the current one.
        """
        before = torch.cuda.current_stream(self._device)
        try:
            with torch.cuda.device(self._device):
                return self._record(work, before)
        finally:
            torch.cuda.set_stream(before)

    def _record(self, work: Work, before: torch.cuda.Stream) -> Recording:
        self._stream.wait_stream(before)
        with torch.cuda.stream(self._stream):
            shapes = [(made.shape, made.dtype) for made in work()]
        before.wait_stream(self._stream)
        outputs = [torch.empty(shape, dtype=dtype, device=self._device) for shape, dtype in shapes]
        graph = torch.cuda.CUDAGraph()
        # thread_local: what other threads do with CUDA must not spoil the recording
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            for output, made in zip(outputs, work(), strict=True):
                output.copy_(made)
        return _CudaRecording(graph, outputs)


class _CudaRecording:
    """A CUDA graph and the tensors that it writes to."""

    def __init__(self, graph: torch.cuda.CUDAGraph, outputs: Sequence[Tensor]) -> None:
        self._graph, self.outputs = graph, outputs

    def replay(self) -> None:
        self._graph.replay()


class CudaGraphs:
    """The recorded passes of one lane; owned by the engine's thread."""

    def __init__(self, recorder: Recorder, n_slots: int, agree: Callable[[Sequence[Tensor], Sequence[Tensor]], bool]):
        """Record nothing yet; ``agree`` says whether two passes gave the same."""
        self._recorder, self._n_slots, self._agree = recorder, n_slots, agree
        self._has_room = True  # on the device
        self._met: set[Hashable] = set()
        self._recordings: dict[Hashable, Recording] = {}
        self._n_checked: dict[Hashable, int] = {}

    @property
    def is_on(self) -> bool:
        """Whether passes are recorded and replayed."""
        return self._recorder.is_on and self._has_room

    def padded(self, n_used: int) -> int:
        """How many slots a pass takes that so many are used of."""
        if not self.is_on:
            return n_used
        each = -(-self._n_slots // N_SIZES)
        return min(-(-n_used // each) * each, self._n_slots)

    def run(self, key: Hashable, work: Work) -> Sequence[Tensor]:
        """What ``work`` gives; valid until the next run.

        Args:
            key: Of all that the pass depends on besides what its tensors hold.
            work: Reads and writes tensors that stay where they are, asks the host nothing, and gives the same when it
                is done twice.
        """
        if not self.is_on:
            return work()
        if key not in self._recordings:
            if key not in self._met or len(self._recordings) == MOST:
                self._met.add(key)
                return work()
            made = work()
            if self._record(key, work):
                self._check(key, made)
            return made
        if self._n_checked[key] < N_CHECKS:
            made = work()
            self._check(key, made)
            return made
        self._recordings[key].replay()
        return self._recordings[key].outputs

    def close(self) -> None:
        """Give the recordings' memory back."""
        self._recordings.clear()
        self._met.clear()

    def _record(self, key: Hashable, work: Work) -> bool:
        """Whether the pass is recorded."""
        try:
            self._recordings[key] = self._recorder.record(work)
        except torch.OutOfMemoryError:  # a smaller lane may have room for it
            self._has_room = False
            self.close()
            return False
        except RuntimeError as err:  # torch's own are
            self.close()
            self._recorder.give_up(str(err).strip().partition("\n")[0])
            return False
        self._n_checked[key] = 0
        return True

    def _check(self, key: Hashable, made: Sequence[Tensor]) -> None:
        """Replay a pass at the step at which it gave ``made``, and give up where that differs."""
        try:
            self._recordings[key].replay()
            is_same = self._agree(made, self._recordings[key].outputs)
        except RuntimeError as err:
            self.close()
            self._recorder.give_up(str(err).strip().partition("\n")[0])
            return
        self._n_checked[key] += 1
        if not is_same:
            self.close()
            self._recorder.give_up("a recorded pass gave another result than the same pass run afresh")
