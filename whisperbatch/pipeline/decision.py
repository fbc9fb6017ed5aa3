"""What is to be done for a file."""

from dataclasses import dataclass
from pathlib import Path

from whisperbatch.records import Transcript

RENDERED = "made from its JSON"
SPEAKERS_ADDED = "speakers were added to its transcript"
TAKEN = "made from the transcript of {path}"
OF_ANOTHER = "it has the same content as {path}"


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
        twin: The recording of the same content whose transcript is taken; None when it is the file's own.
        content: Digest of all the bytes that ``reuse`` was made of; None when not known.
        is_copy: It waits for ``twin``, which is being transcribed.
        notice: What the user should read about it; empty for nothing.
    """

    skip: str | None = None
    failed: str | None = None
    is_claimed_by_other_run: bool = False
    outputs: tuple[Path, ...] = ()
    reuse: Transcript | None = None
    adds_speakers: bool = False
    why: str = ""
    twin: Path | None = None
    content: str | None = None
    is_copy: bool = False
    notice: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to be done."""
        return self.skip is not None or self.failed is not None

    @property
    def is_work(self) -> bool:
        """Whether the file is to be transcribed, by this run and as far as is known so far."""
        return not (self.is_settled or self.is_claimed_by_other_run or self.is_copy) and self.reuse is None

    @property
    def reason(self) -> str:
        """Where the transcript comes from that is taken, for the outcome."""
        return RENDERED if self.twin is None else TAKEN.format(path=self.twin)
