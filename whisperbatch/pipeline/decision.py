"""What is to be done for a file. Who calls: the planner, which decides; the desk and the CLI's dry run, which hear."""

from dataclasses import dataclass
from pathlib import Path

from whisperbatch.records import Transcript


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done for a file.

    Attributes:
        skip: Why nothing is; None otherwise.
        failed: Why it fails again without being tried; None otherwise.
        is_elsewhere: Another run has it in hand.
        outputs: What lies there already, and stays.
        reuse: The transcript, when it need not be made.
        adds_speakers: The recording is loaded to find who speaks; the text is ``reuse``.
        why: Why it is done although the journal knows it; empty for a new one.
    """

    skip: str | None = None
    failed: str | None = None
    is_elsewhere: bool = False
    outputs: tuple[Path, ...] = ()
    reuse: Transcript | None = None
    adds_speakers: bool = False
    why: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to be done."""
        return self.skip is not None or self.failed is not None
