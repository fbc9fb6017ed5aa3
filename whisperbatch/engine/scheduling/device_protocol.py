"""What the engine's policy asks of a device and its batches; ``runner`` and ``decode_batch`` have it. No torch."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from whisperbatch.engine import Work
from whisperbatch.engine.scheduling.quality import Decoded
from whisperbatch.engine.scheduling.request import SampledTokens, Window
from whisperbatch.engine.scheduling.slots import Slots


class DecodeBatch(Protocol):
    """Slots for windows, as ``engine/device/decode_batch`` has them."""

    slots: Slots[Any]

    def discard(self, unwanted: Callable[[Window], bool]) -> list[Window]:
        """Free the slots of windows that ``unwanted`` picks; those."""
        ...


BatchT = TypeVar("BatchT", bound=DecodeBatch)


class Device(Protocol[BatchT]):
    """What runs windows, as ``engine/device/runner`` does; any call may raise."""

    n_slots: int
    name: str
    n_together: int  # windows that are worth waiting for before they are encoded, where others run meanwhile

    @property
    def work(self) -> Work:
        """What it has done so far."""
        ...

    @property
    def batches(self) -> Sequence[BatchT]:
        """All batches."""
        ...

    def batch_for(self, window: Window) -> BatchT:
        """Where a window's next try runs."""
        ...

    def resize(self, n_slots: int) -> None:
        """Make the batches anew, empty."""
        ...

    def encode(self, windows: Sequence[Window]) -> None:
        """Set each window's ``audio``."""
        ...

    def insert(self, batch: BatchT, windows: Sequence[Window]) -> list[int]:
        """Seat windows; their slots."""
        ...

    def detect_languages(self, batch: BatchT, slots: Sequence[int]) -> list[dict[str, float]]:
        """The probability of each language in each slot."""
        ...

    def begin(self, batch: BatchT, seated: Sequence[tuple[int, Window]]) -> None:
        """Begin the next try of seated windows."""
        ...

    def step(self, batch: BatchT) -> list[tuple[int, Window, SampledTokens]]:
        """One token more in a batch; what ended."""
        ...

    def read(self, window: Window, sampled: SampledTokens) -> Decoded:
        """Sampled tokens as text with its figures."""
        ...

    def align(self, windows: Sequence[Window]) -> None:
        """Set each window's ``timings``."""
        ...

    def is_out_of_memory(self, err: Exception) -> bool:
        """Whether fewer slots may help."""
        ...

    def measure_stages(self, wanted: bool) -> None:
        """Whether ``work`` tells stages from now on."""
        ...

    def close(self) -> None:
        """Free the device."""
        ...
