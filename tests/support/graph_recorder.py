"""A recorder of passes without CUDA: what it records is the function, and a replay runs that again on its tensors."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from whisperbatch.engine.device.cuda_graphs import Pass, Recorder, Recording


class Replayed:
    """A pass that is run again, into the same outputs."""

    def __init__(self, run_pass: Pass) -> None:
        self._work = run_pass
        self.outputs: Sequence[Tensor] = [made.clone() for made in run_pass()]
        self.n_replays = 0

    def replay(self) -> None:
        self.n_replays += 1
        for output, made in zip(self.outputs, self._work(), strict=True):
            output.copy_(made)


class Pretending(Recorder):
    """Records on a CPU; ``kind`` makes the recordings."""

    def __init__(self, kind: Callable[[Pass], Recording] = Replayed) -> None:
        self.is_on, self._on_notice, self._kind = True, lambda text: self.told.append(text), kind
        self.told: list[str] = []
        self.recordings: list[Recording] = []

    def record(self, run_pass: Pass) -> Recording:
        made = self._kind(run_pass)
        self.recordings.append(made)
        return made

    @property
    def n_replays(self) -> int:
        """Of all recordings."""
        return sum(one.n_replays for one in self.recordings)


class Wrong(Replayed):
    """A recording that gives something else."""

    def replay(self) -> None:
        super().replay()
        for output in self.outputs:
            output += 1


class Frozen(Replayed):
    """A recording that took its inputs' values for ever."""

    def replay(self) -> None:
        self.n_replays += 1


def unable(err: Exception) -> Callable[[Pass], Recording]:
    """A device that can't record."""

    def record(run_pass: Pass) -> Recording:
        run_pass()
        raise err

    return record


OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory")
