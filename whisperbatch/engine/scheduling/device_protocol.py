"""What the engine's policy asks of a device and its lanes; ``runner`` and ``decode_batch`` have it. No torch."""

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


LaneT = TypeVar("LaneT", bound=DecodeBatch)


class Device(Protocol[LaneT]):
    """What runs windows, as ``engine/device/runner`` does; any call may raise."""

    n_slots: int
    name: str
    n_together: int  # windows that are worth waiting for before they are encoded, where others run meanwhile

    @property
    def work(self) -> Work:
        """What it has done so far."""
        ...

    @property
    def lanes(self) -> Sequence[LaneT]:
        """All lanes."""
        ...

    def lane_of(self, window: Window) -> LaneT:
        """Where a window's next try runs."""
        ...

    def resize(self, n_slots: int) -> None:
        """Make the lanes anew, empty."""
        ...

    def encode(self, windows: Sequence[Window]) -> None:
        """Set each window's ``audio``."""
        ...

    def enter(self, lane: LaneT, windows: Sequence[Window]) -> list[int]:
        """Seat windows; their slots."""
        ...

    def guess(self, lane: LaneT, slots: Sequence[int]) -> list[dict[str, float]]:
        """The probability of each language in each slot."""
        ...

    def begin(self, lane: LaneT, seated: Sequence[tuple[int, Window]]) -> None:
        """Begin the next try of seated windows."""
        ...

    def step(self, lane: LaneT) -> list[tuple[int, Window, SampledTokens]]:
        """One token more in a lane; what ended."""
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
