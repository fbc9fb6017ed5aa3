"""Clips to text; the only room with torch and transformers, which are imported by the leaves that need them.

An engine (``Engine`` below) is owned by one thread. ``open_engine`` makes the one that the options ask for.

Leaves: checkpoint (weights, tokenizer, generation settings; the hub's cache), devices (where, and in which numbers),
generate (the engine on transformers' ``generate``), segments (tokens to timed text), fallback (is this text good
enough), fake (the same contract, no weights).

Glossary of axes: n_rows windows that run together, n_mels, n_frames 3000 (10 ms each), n_audio 1500 (20 ms each),
n_tokens, n_vocab.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from whisperbatch.options import EngineOptions
from whisperbatch.records import Clip, ClipFailed, ClipSettings, ClipText


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What a transcript says about its making: the model's name, its revision or digest; and where it runs."""

    model: str
    revision: str | None = None
    device: str = "cpu"
    compute_type: str = "float32"


class Engine(Protocol):
    """What the pipeline asks of an engine.

    Every clip that was admitted and not cancelled comes out of ``step`` exactly once, as ClipText or ClipFailed.
    """

    facts: EngineFacts

    @property
    def capacity(self) -> int:
        """How many clips it would take now; 0 while it has enough to do."""
        ...

    @property
    def idle(self) -> bool:
        """Whether it holds no clip."""
        ...

    def admit(self, clips: Sequence[Clip]) -> None:
        """Take clips, at most ``capacity`` of them."""
        ...

    def cancel(self, file_id: int) -> None:
        """Forget a file's clips; nothing more comes out for them."""
        ...

    def step(self) -> list[ClipText | ClipFailed]:
        """Work for a while; what has been finished."""
        ...

    def close(self) -> None:
        """Free the device; nothing may be called afterwards."""
        ...


def open_engine(
    options: EngineOptions,
    settings: ClipSettings,
    *,
    max_batch_size: int,
    demo: Path,
    on_notice: Callable[[str], None],
) -> Engine:
    """The engine that ``options`` ask for, its model loaded.

    Args:
        options: Model, device, compute type.
        settings: What clips will ask of it; refused here when the model can't do it.
        max_batch_size: Most clips in one batch.
        demo: Folder of the bundled demo model.
        on_notice: Called with a sentence that the user should read.

    Raises:
        UsageError: The model can't do what ``settings`` ask.
        ModelError: The model cannot be had or loaded.
    """
    # threads that spin while they wait cost a busy CPU a factor of two to eight; read when torch is first imported
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from whisperbatch.engine.generate import GenerateEngine

    return GenerateEngine(options, settings, max_batch_size=max_batch_size, demo=demo, on_notice=on_notice)
