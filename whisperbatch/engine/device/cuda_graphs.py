"""Record passes of the model as CUDA graphs and replay them: one launch instead of a thousand.

Takes a pass as a function of tensors that stay in place, returns its results, from a replay once that is known to be
right. The logic here is tested on the CPU with a fake recorder, ``Recorder`` itself only with a GPU.

Safety: a pass runs eagerly the first time its key is seen. Then it is recorded, and the results of two replays, at two
steps, are compared with the eager pass at the same step. Two, because a recording that froze an input is right the
first time. Any error or difference turns recording off for good, which is reported once, and eager passes continue.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import torch
from torch import Tensor

Pass = Callable[[], Sequence[Tensor]]
OnNotice = Callable[[str], None]
MAX_RECORDINGS = 64  # per batch; a pass of large-v3 is about a thousand kernels, each a node in every recording
N_CHECKS = 2  # replays that are compared with the eager pass
N_SIZES = 8  # per batch: passes are padded to one of these sizes, so that at most an eighth of the slots is padding


class Recording(Protocol):
    """A recorded pass."""

    outputs: Sequence[Tensor]

    def replay(self) -> None:
        """Run the pass again on the current contents of its inputs; ``outputs`` then hold the results."""
        ...


class Recorder:
    """Records passes on one CUDA device; owned by the engine's thread.

    All recordings share a memory pool. They may be replayed in any order, since none relies on what another left there:
    each writes everything that it reads, and copies its results to tensors outside of the pool.

    Attributes:
        is_on: True while it records; False for good once something has gone wrong.
    """

    def __init__(self, device: torch.device, on_notice: OnNotice) -> None:
        """Record nothing yet; ``on_notice`` is called once if recording is turned off."""
        self.is_on, self._device, self._on_notice = True, device, on_notice
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def turn_off(self, reason: str) -> None:
        """Stop recording for good, and report it."""
        if self.is_on:
            self.is_on = False
            self._on_notice(f"CUDA graphs are off for this run, which is slower but does not change the text: {reason}")

    def record(self, run_pass: Pass) -> Recording:
        """Record a pass, after running it once to warm up, since libraries allocate memory at first use on a stream.

        Trap: if ``torch.cuda.graph`` fails, its own stream stays the current one.
        """
        before = torch.cuda.current_stream(self._device)
        try:
            with torch.cuda.device(self._device):
                return self._record(run_pass, before)
        finally:
            torch.cuda.set_stream(before)

    def _record(self, run_pass: Pass, before: torch.cuda.Stream) -> Recording:
        self._stream.wait_stream(before)
        with torch.cuda.stream(self._stream):
            shapes = [(result.shape, result.dtype) for result in run_pass()]
        before.wait_stream(self._stream)
        outputs = [torch.empty(shape, dtype=dtype, device=self._device) for shape, dtype in shapes]
        graph = torch.cuda.CUDAGraph()
        # thread_local: CUDA calls by other threads must not spoil the recording
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            for output, result in zip(outputs, run_pass(), strict=True):
                output.copy_(result)
        return _CudaRecording(graph, outputs)


class _CudaRecording:
    """A CUDA graph and the tensors that it writes to."""

    def __init__(self, graph: torch.cuda.CUDAGraph, outputs: Sequence[Tensor]) -> None:
        self._graph, self.outputs = graph, outputs

    def replay(self) -> None:
        self._graph.replay()


class CudaGraphs:
    """The recorded passes of one decode batch, or of the encoder; owned by the engine's thread."""

    def __init__(self, recorder: Recorder, n_slots: int, agree: Callable[[Sequence[Tensor], Sequence[Tensor]], bool]):
        """Record nothing yet; ``agree`` compares the results of two passes."""
        self._recorder, self._n_slots, self._agree = recorder, n_slots, agree
        self._has_memory = True  # on the device
        self._seen: set[Hashable] = set()
        self._recordings: dict[Hashable, Recording] = {}
        self._n_checked: dict[Hashable, int] = {}

    @property
    def is_on(self) -> bool:
        """True if passes are recorded and replayed."""
        return self._recorder.is_on and self._has_memory

    def padded(self, n_used: int) -> int:
        """The padded number of slots for ``n_used`` used ones."""
        if not self.is_on:
            return n_used
        each = -(-self._n_slots // N_SIZES)
        return min(-(-n_used // each) * each, self._n_slots)

    def run(self, key: Hashable, run_pass: Pass) -> Sequence[Tensor]:
        """The results of ``run_pass``, valid until the next run.

        Args:
            key: Identifies everything that the pass depends on besides its tensors' contents.
            run_pass: Reads and writes tensors that stay in place, needs nothing from the host, and gives the same
                results if run twice.
        """
        if not self.is_on:
            return run_pass()
        if key not in self._recordings:
            if key not in self._seen or len(self._recordings) == MAX_RECORDINGS:
                self._seen.add(key)
                return run_pass()
            eager = run_pass()
            if self._record(key, run_pass):
                self._check(key, eager)
            return eager
        if self._n_checked[key] < N_CHECKS:
            eager = run_pass()
            self._check(key, eager)
            return eager
        self._recordings[key].replay()
        return self._recordings[key].outputs

    def close(self) -> None:
        """Free the recordings' memory."""
        self._recordings.clear()
        self._seen.clear()

    def _record(self, key: Hashable, run_pass: Pass) -> bool:
        """Record a pass; return True if that succeeded."""
        try:
            self._recordings[key] = self._recorder.record(run_pass)
        except torch.OutOfMemoryError:  # a smaller batch may fit
            self._has_memory = False
            self.close()
            return False
        except RuntimeError as err:  # includes torch's own errors
            self.close()
            self._recorder.turn_off(str(err).strip().partition("\n")[0])
            return False
        self._n_checked[key] = 0
        return True

    def _check(self, key: Hashable, eager: Sequence[Tensor]) -> None:
        """Replay a pass at the step at which it gave ``eager``, and turn recording off if the results differ."""
        try:
            self._recordings[key].replay()
            is_same = self._agree(eager, self._recordings[key].outputs)
        except RuntimeError as err:
            self.close()
            self._recorder.turn_off(str(err).strip().partition("\n")[0])
            return
        self._n_checked[key] += 1
        if not is_same:
            self.close()
            self._recorder.turn_off("a recorded pass gave a different result than the same pass run eagerly")
