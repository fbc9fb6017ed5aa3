"""Damage found in a recording, and the sentence that reports it; pure."""

from dataclasses import dataclass

from whisperbatch.records import DAMAGED


@dataclass(slots=True)
class Damage:
    """Damage found in a file; false when there is none.

    Attributes:
        n_parts: Parts that could not be decoded.
        gap_s: Seconds missing in the middle.
        broke_off: Whether the file ends too early.
        end_s: The time where it ends.
        promised_s: Its length by the header; 0.0 when not known.
    """

    n_parts: int = 0
    gap_s: float = 0.0
    broke_off: bool = False
    end_s: float = 0.0
    promised_s: float = 0.0

    def __bool__(self) -> bool:
        """True if anything was damaged."""
        return bool(self.n_parts or self.gap_s or self.broke_off)

    @property
    def sentence(self) -> str | None:
        """The sentence to report, or None."""
        faults = []
        if self.n_parts:
            parts = "parts" if self.n_parts > 1 else "part"
            faults.append(f"{self.n_parts} {parts} could not be decoded")
        if self.gap_s:
            faults.append(f"{self.gap_s:.1f} s are missing in the middle")
        if self.broke_off:
            of = f" of {self.promised_s:.1f}" if self.promised_s > self.end_s else ""
            faults.append(f"it breaks off after {self.end_s:.1f}{of} s")
        return DAMAGED + ", ".join(faults) if faults else None
