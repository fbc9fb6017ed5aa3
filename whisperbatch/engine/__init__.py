"""Turn clips into text; the only package besides ``speakers`` and ``demo`` that imports torch.

An engine (``Engine`` below) is owned by one thread. ``open_engine`` makes the one that the options ask for.

``Engine`` below is the contract; one thread owns an engine. ``open_engine`` opens the one that the options describe.
Modules import torch and transformers only where they need them.

build (puts an engine together), placement (device and compute type, memory, threads), fake (the same contract without a
model); scheduling (which windows are decoded when, and what becomes of their tokens; no torch), model (finding, loading
and running a checkpoint), device (decode batches and what runs on the device), kernels (attention that is compiled for
the CPU or CUDA; torch can do all of it, more slowly).

Axes of tensors: n_windows; n_slots, windows that a decode batch holds; n_group, rows per window, one for each beam or
candidate; n_rows = n_slots * n_group; n_mels; n_frames 3000 (10 ms each); n_audio 1500 (20 ms each); n_tokens;
n_context 448, tokens that a row can hold; n_vocab; d_model = n_heads * d_head.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from whisperbatch.options import DecodeOptions, EngineOptions
from whisperbatch.records import Clip, ClipFailed, ClipSettings, ClipText, Segments


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """The model's name and its revision or digest, which transcripts record, and where the model runs."""

    model: str
    revision: str | None = None
    device: str = "cpu"
    compute_type: str = "float32"


@dataclass(frozen=True, slots=True)
class Work:
    """What an engine has done since it was opened.

    Attributes:
        n_windows: Windows that the encoder processed.
        n_tokens: Tokens decoded, counting the end of each text and tries that were rejected.
        stages: Seconds per stage while ``measure_stages`` was on; stages never overlap.
        peak_bytes: Peak memory in use on the device; None where the device has no memory of its own.
    """

    n_windows: int = 0
    n_tokens: int = 0
    stages: Mapping[str, float] = field(default_factory=dict)
    peak_bytes: int | None = None


class Engine(Protocol):
    """What the pipeline needs from an engine.

    ``step`` returns every clip that was admitted and not cancelled exactly once, as ClipText or ClipFailed.
    """

    facts: EngineFacts

    @property
    def device_name(self) -> str:
        """A description of the device."""
        ...

    @property
    def work(self) -> Work:
        """What the engine has done so far."""
        ...

    @property
    def capacity(self) -> int:
        """The number of clips that it would take now; 0 while it has enough to do."""
        ...

    @property
    def idle(self) -> bool:
        """True if it holds no clip."""
        ...

    def can_step(self) -> bool:
        """Return True if a step would do something now, False while everything waits for votes of clips to come."""
        ...

    def admit(self, clips: Sequence[Clip]) -> None:
        """Take clips, at most ``capacity`` of them."""
        ...

    def cancel(self, file_id: int) -> None:
        """Drop a file's clips; ``step`` returns nothing more for them."""
        ...

    def step(self) -> list[Segments | ClipText | ClipFailed]:
        """Work for a while; return new segments and finished clips."""
        ...

    def resize(self, n_slots: int) -> None:
        """Hold up to ``n_slots`` clips at once from now on; call it only when idle."""
        ...

    def measure_stages(self, wanted: bool) -> None:
        """Switch the timing of stages in ``work`` on or off; on a GPU it costs some speed."""
        ...

    def close(self) -> None:
        """Free the device; call nothing afterwards."""
        ...


def open_engine(
    options: EngineOptions,
    settings: ClipSettings,
    *,
    max_batch_size: int | None,
    demo: Path,
    on_notice: Callable[[str], None],
    decode: DecodeOptions | None = None,
) -> Engine:
    """Load the model that ``options`` name and return an engine for it.

    Args:
        options: Model, device, compute type.
        settings: What clips will need; rejected here if the model can't do it.
        max_batch_size: Most clips in one batch; None for as many as fit in memory and raise the speed.
        demo: The folder of the bundled demo model.
        on_notice: Called with each sentence that the user should read.
        decode: How to search for text; None for openai-whisper's defaults.

    Raises:
        UsageError: The model can't do what ``settings`` require.
        ModelError: The model can't be found, fetched or loaded.
    """
    _calm_threads()
    from whisperbatch.engine.build import build

    return build(options, decode or DecodeOptions(), settings, n_slots=max_batch_size, demo=demo, on_notice=on_notice)


def _calm_threads() -> None:
    """Have torch's threads spin briefly for each other, then sleep; OpenMP reads this when torch is first imported.

    Measured on two cores, steps of 16 windows of the tiny shape: threads that never spin are 13 % slower on a quiet
    machine; OpenMP's own choice is 20 % faster than this there, and two to eight times slower next to any other work.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
