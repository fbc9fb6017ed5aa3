"""Who speaks: how many speakers to expect, which model tells their voices apart, and how they are named."""

from dataclasses import dataclass
from pathlib import Path

from whisperbatch.options.checks import require, require_text

MAX_SPEAKERS = 50  # more voices than one recording holds


@dataclass(frozen=True, slots=True)
class SpeakerOptions:
    """How the speakers of a recording are found.

    Attributes:
        enabled: Whether they are.
        min_speakers: The fewest that a recording has; None leaves it open.
        max_speakers: The most; None leaves it open. The same number twice means exactly that many.
        model: A folder or file of weights, or a hub id; None is the default model.
        names: A folder of reference clips: one file or one sub-folder a name.
    """

    enabled: bool = False
    min_speakers: int | None = None
    max_speakers: int | None = None
    model: str | None = None
    names: Path | None = None

    def __post_init__(self) -> None:
        """Check that the parts go together."""
        for number in (self.min_speakers, self.max_speakers):
            require(
                number is None or 1 <= number <= MAX_SPEAKERS,
                f"the number of speakers must be between 1 and {MAX_SPEAKERS}",
            )
        if self.min_speakers is not None and self.max_speakers is not None:
            require(
                self.min_speakers <= self.max_speakers,
                f"at least {self.min_speakers} and at most {self.max_speakers} speakers exclude each other",
            )
        require_text(self.model, "the speaker model's name")
        require(self.model is None or bool(self.model.strip()), "the speaker model's name is empty")
