"""Clips to text; the only room with torch and transformers, which are imported by the leaves that need them.

An engine (``Engine`` below) is owned by one thread. ``open_engine`` makes the one that the options ask for.

Leaves, in the order data takes: names (of models), caches (what is on this machine), checkpoint (which model is meant,
and how to get it), download (how far one is), formats (a package: what people have
weights in), shapes (models of random weights), weights (tensors, settings, tokenizer), mel (the filter bank), devices
(where, and in which numbers), health (what stands in their way), memory (how much is free), spelling (text and ids),
build (all of it put together), sizing (how many windows at once), continuous (the engine: who runs, what becomes of
faults), abreast (several on the cores of a CPU), protocols (what it asks of a device), requests (what a clip and a file
have in common), hotwords (those that fit before a window), clip_request and
sequential (one clip's decode state), votes (a file's language), language_choice (a
window's), language_runs (where it changes), scheduler (who runs next), runner (what runs on the device), features
(log-mel), encoder, flash (its attention, compiled for the CPU), decoder (one pass on static caches), heard (keys and
values of the audio), said (those of the text), kernels (attention on them, compiled too), fused and triton_kernels (the
same on CUDA), assembly (how that is written and compiled), linear and quantized (products), lane (windows side by
side), slots and seats (who sits where), rules (what may not be sampled), choices (what may come next), graphs (passes
that CUDA replays), beams, noise (how it is sampled), fallback (is this text good enough), segments (tokens to timed
text), align and warping (when each token was said), words (tokens to words), pauses (segments that run over one),
inventions (text made up in silence), coverage (speech without text), stopwatch (where the time goes), fake (the same
contract, no weights).

Glossary of axes: n_windows; n_slots windows that a lane holds; n_group rows of a window, its beams or candidates;
n_rows = n_slots * n_group; n_mels; n_frames 3000 (10 ms each); n_audio 1500 (20 ms each); n_tokens; n_context 448,
tokens that a row can hold; n_vocab; d_model = n_heads * d_head.
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
    """What a transcript says about its making: the model's name, its revision or digest; and where it runs."""

    model: str
    revision: str | None = None
    device: str = "cpu"
    compute_type: str = "float32"


@dataclass(frozen=True, slots=True)
class Work:
    """What an engine has done since it was opened.

    Attributes:
        n_windows: That the encoder saw.
        n_tokens: Of the texts that were judged, ends counted.
        stages: Seconds by stage, while ``measure_stages`` was on; stages never overlap.
        peak_bytes: Most memory of the device that was in use; None where that is the machine's.
    """

    n_windows: int = 0
    n_tokens: int = 0
    stages: Mapping[str, float] = field(default_factory=dict)
    peak_bytes: int | None = None


class Engine(Protocol):
    """What the pipeline asks of an engine.

    Every clip that was admitted and not cancelled comes out of ``step`` exactly once, as ClipText or ClipFailed.
    """

    facts: EngineFacts

    @property
    def device_name(self) -> str:
        """The device in words."""
        ...

    @property
    def work(self) -> Work:
        """What it has done so far."""
        ...

    @property
    def capacity(self) -> int:
        """How many clips it would take now; 0 while it has enough to do."""
        ...

    @property
    def idle(self) -> bool:
        """Whether it holds no clip."""
        ...

    def rouse(self) -> bool:
        """Whether a step would do something now; not while all that it holds waits for votes of clips to come."""
        ...

    def admit(self, clips: Sequence[Clip]) -> None:
        """Take clips, at most ``capacity`` of them."""
        ...

    def cancel(self, file_id: int) -> None:
        """Forget a file's clips; nothing more comes out for them."""
        ...

    def step(self) -> list[Segments | ClipText | ClipFailed]:
        """Work for a while; what has been heard and what is finished."""
        ...

    def resize(self, n_slots: int) -> None:
        """Hold so many clips at once from now on; asked only when idle."""
        ...

    def measure_stages(self, wanted: bool) -> None:
        """Whether ``work`` tells stages from now on; on a GPU that costs some speed."""
        ...

    def close(self) -> None:
        """Free the device; nothing may be called afterwards."""
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
    """The engine that ``options`` ask for, its model loaded.

    Args:
        options: Model, device, compute type.
        settings: What clips will ask of it; refused here when the model can't do it.
        max_batch_size: Most clips in one batch; None for as many as fit and help.
        demo: Folder of the bundled demo model.
        on_notice: Called with a sentence that the user should read.
        decode: How text is searched for; None is openai-whisper's way.

    Raises:
        UsageError: The model can't do what ``settings`` ask.
        ModelError: The model cannot be had or loaded.
    """
    _calm_threads()
    from whisperbatch.engine.build import build

    return build(options, decode or DecodeOptions(), settings, n_slots=max_batch_size, demo=demo, on_notice=on_notice)


def _calm_threads() -> None:
    """Let the threads of torch wait for each other shortly, then sleep; OpenMP reads this when torch is first imported.

    Measured on two cores, steps of 16 windows of the tiny shape: threads that never spin are 13 % slower on a quiet
    machine; OpenMP's own choice is 20 % faster than this there, and two to eight times slower beside any other work.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
