"""Who speaks: how many speakers to expect, which model tells their voices apart, and how they are named."""

import re
from dataclasses import dataclass
from pathlib import Path

from whisperbatch.errors import UsageError
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


def speaker_options(
    speakers: str | int | bool | None, names: str | Path | None = None, model: str | None = None
) -> SpeakerOptions:
    """The options out of what a user gives: how many, as ``parse_speakers`` takes it, a folder and a model.

    Raises:
        UsageError: They make no sense.
    """
    numbers = parse_speakers(speakers)
    for flag, value in (("--speaker-names", names), ("--speaker-model", model)):
        require(value is None or speakers is not None, f"{flag} needs --speakers, as in --speakers auto")
    if numbers is None:
        return SpeakerOptions()
    folder = None if names is None else Path(names)
    require(folder is None or folder.is_dir(), f"--speaker-names {folder} is not a folder")
    return SpeakerOptions(True, *numbers, model, folder)


def parse_speakers(given: str | int | bool | None) -> tuple[int | None, int | None] | None:
    """The fewest and the most speakers out of ``auto``, ``2`` or ``2-4``; None when nobody is to be looked for (off).

    Raises:
        UsageError: It is none of these.
    """
    asked = "auto" if given is True else str(given).strip().lower()
    if given is None or given is False or asked == "off":
        return None
    if asked == "auto":
        return None, None
    found = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", asked, re.ASCII)
    if found is None:
        raise UsageError(f"--speakers '{given}' is not a number; give 2, a range such as 2-4, auto or off")
    return int(found[1]), int(found[2] or found[1])
