"""Options of speaker diarization: the number of speakers, the model that tells voices apart, and speaker names."""

import re
from dataclasses import dataclass
from pathlib import Path

from whisperbatch.errors import UsageError
from whisperbatch.options.checks import require, require_text

MAX_SPEAKERS = 50  # no recording has more voices


@dataclass(frozen=True, slots=True)
class SpeakerOptions:
    """How to find the speakers of a recording.

    Attributes:
        enabled: Find speakers.
        min_speakers: The fewest speakers in a recording; None sets no limit.
        max_speakers: The most speakers in a recording; None sets no limit. If both are equal, the number is exact.
        model: A folder or file of weights, or a hub id; None is the default model.
        names: A folder of reference clips with one file or one subfolder for each name.
    """

    enabled: bool = False
    min_speakers: int | None = None
    max_speakers: int | None = None
    model: str | None = None
    names: Path | None = None

    def __post_init__(self) -> None:
        """Check that the options fit together."""
        for number in (self.min_speakers, self.max_speakers):
            require(
                number is None or 1 <= number <= MAX_SPEAKERS,
                f"the number of speakers must be between 1 and {MAX_SPEAKERS}",
            )
        if self.min_speakers is not None and self.max_speakers is not None:
            require(
                self.min_speakers <= self.max_speakers,
                f"`speakers` cannot be at least {self.min_speakers} and at most {self.max_speakers}",
            )
        require_text(self.model, "`speaker_model`")
        require(self.model is None or bool(self.model.strip()), "`speaker_model` must not be empty")


def speaker_options(
    speakers: str | int | bool | None, names: str | Path | None = None, model: str | None = None
) -> SpeakerOptions:
    """Return the options for the given number of speakers (see ``parse_speakers``), names folder and model.

    Raises:
        UsageError: They are not valid or do not fit together.
    """
    numbers = parse_speakers(speakers)
    for name, value in (("speaker_names", names), ("speaker_model", model)):
        require(value is None or speakers is not None, f"`{name}` needs `speakers`, as in `speakers=auto`")
    if numbers is None:
        return SpeakerOptions()
    folder = None if names is None else Path(names)
    require(folder is None or folder.is_dir(), f"`speaker_names` {folder} is not a folder")
    return SpeakerOptions(True, *numbers, model, folder)


def parse_speakers(given: str | int | bool | None) -> tuple[int | None, int | None] | None:
    """Parse ``auto``, ``2`` or ``2-4`` into the fewest and the most speakers; None means ``off``.

    Raises:
        UsageError: It is none of these.
    """
    wanted = "auto" if given is True else str(given).strip().lower()
    if given is None or given is False or wanted == "off":
        return None
    if wanted == "auto":
        return None, None
    found = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", wanted, re.ASCII)
    if found is None:
        raise UsageError(f"`speakers` '{given}' is not a number; give 2, a range such as 2-4, auto or off")
    return int(found[1]), int(found[2] or found[1])
