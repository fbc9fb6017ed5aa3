"""What was found damaged in a recording, and the sentence that says so; pure."""

from dataclasses import dataclass

from whisperbatch.records import DAMAGED


@dataclass(slots=True)
class Damage:
    """What was found damaged in a file; false when nothing was."""

    n_parts: int = 0
    gap_s: float = 0.0
    broke_off: bool = False
    end_s: float = 0.0
    promised_s: float = 0.0

    def __bool__(self) -> bool:
        """Whether anything was."""
        return bool(self.n_parts or self.gap_s or self.broke_off)

    @property
    def sentence(self) -> str | None:
        """What to report, or None."""
        told = []
        if self.n_parts:
            were = "parts were" if self.n_parts > 1 else "part was"
            told.append(f"{self.n_parts} {were} left out that could not be decoded")
        if self.gap_s:
            told.append(f"{self.gap_s:.1f} s are missing in the middle")
        if self.broke_off:
            of = f" of {self.promised_s:.1f}" if self.promised_s > self.end_s else ""
            told.append(f"it breaks off after {self.end_s:.1f}{of} s")
        return DAMAGED + ", ".join(told) if told else None
