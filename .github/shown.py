"""What a picture shows has to be what was said: compares shown text with sample_audio/references.tsv.

``terminal.py`` and ``review.py`` call ``check`` before they save; tests/end_to_end/test_pictures.py checks the files.
"""

import csv
import re
from pathlib import Path

REFERENCES = Path(__file__).resolve().parent.parent / "sample_audio" / "references.tsv"


def references() -> dict[str, str]:
    """What is said in each sample recording, by its file name."""
    with REFERENCES.open(encoding="utf-8", newline="") as file:
        return {row["file"]: row["text"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}


def check(name: str, text: str) -> None:
    """Raise ValueError unless the text is the reference of that recording, or its beginning up to a word's end."""
    said, shown = references()[Path(name).name].split(), text.split()
    if not shown or shown != said[: len(shown)]:
        raise ValueError(f"the picture would show of {name}: {text!r}; what is said: {' '.join(said)!r}")


def cue_text(lines: str) -> str:
    """The words of SRT cues, without their numbers and times."""
    times = r"^\d+\n\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}$"
    return " ".join(re.sub(times, "", lines, flags=re.M).split())
