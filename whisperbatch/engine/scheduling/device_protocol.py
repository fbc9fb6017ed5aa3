"""Protocols that the policy needs of a device; ``runner`` and ``decode_batch`` implement them. No torch."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from whisperbatch.engine import Work
from whisperbatch.engine.scheduling.quality import Decoded
from whisperbatch.engine.scheduling.request import SampledTokens, Window
from whisperbatch.engine.scheduling.slots import Slots


class DecodeBatch(Protocol):
    """Windows that are decoded side by side, one per slot, as in ``engine/device/decode_batch``."""

    slots: Slots[Any]

    def discard(self, unwanted: Callable[[Window], bool]) -> list[Window]:
        """Free the slots of windows that ``unwanted`` picks; return these windows."""
        ...


BatchT = TypeVar("BatchT", bound=DecodeBatch)


class Device(Protocol[BatchT]):
    """Runs windows, as ``engine/device/runner`` does; any call may raise."""

    n_slots: int
    name: str
    n_together: int  # windows worth waiting for, to encode them in one pass, while others are being decoded

    @property
    def work(self) -> Work:
        """What the device has done so far."""
        ...

    @property
    def batches(self) -> Sequence[BatchT]:
        """All decode batches; the first is that of the first temperature."""
        ...

    def batch_for(self, window: Window) -> BatchT:
        """Return the decode batch for a window's next try."""
        ...

    def resize(self, n_slots: int) -> None:
        """Replace the batches by empty ones, the first with ``n_slots`` slots."""
        ...

    def encode(self, windows: Sequence[Window]) -> None:
        """Set each window's ``audio_features``."""
        ...

    def insert(self, batch: BatchT, windows: Sequence[Window]) -> list[int]:
        """Put encoded windows into free slots; return the slots."""
        ...

    def detect_languages(self, batch: BatchT, slots: Sequence[int]) -> list[dict[str, float]]:
        """Return the probability of each language for each slot."""
        ...

    def begin(self, batch: BatchT, entries: Sequence[tuple[int, Window]]) -> None:
        """Begin the next try of windows, each given with its slot."""
        ...

    def step(self, batch: BatchT) -> list[tuple[int, Window, SampledTokens]]:
        """Decode one more token in a batch; return slot, window and tokens of each window that ended."""
        ...

    def read(self, window: Window, sampled: SampledTokens) -> Decoded:
        """Return sampled tokens as text with its log-probability and other figures."""
        ...

    def align(self, windows: Sequence[Window]) -> None:
        """Set each window's ``timings``: the times of its ``align_tokens``."""
        ...

    def is_out_of_memory(self, err: Exception) -> bool:
        """Return True if an error means too little memory, so that fewer slots may help."""
        ...

    def measure_stages(self, wanted: bool) -> None:
        """Switch the timing of stages in ``work`` on or off."""
        ...

    def close(self) -> None:
        """Free the device."""
        ...
