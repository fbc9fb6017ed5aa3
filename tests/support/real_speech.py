"""Real weights and real recordings for tests and benchmarks; both lie outside the repository.

``WHISPERBATCH_REAL`` names a folder with ``hf-base``, ``ct2-base``, ``hf-tiny.en`` and ``ct2-tiny.en`` (OpenAI's
weights for transformers and for CTranslate2), else ``~/.cache/real-whisper`` is looked at; ``WHISPERBATCH_SPEECH`` one
with ``manifest.tsv`` and the recordings that it lists, else ``shared/speech`` beside the repository.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = ("base", "tiny.en")

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")  # read before tests get one of their own


@dataclass(frozen=True)
class Spoken:
    """A real recording.

    Attributes:
        name: Its path below the folder of recordings.
        path: Where it is.
        language: Whisper's code, several joined by ``+``, or ``-`` where nobody speaks.
        seconds: Its length.
        kind: ``read``, ``conversation``, ``multichannel``, ``mixed`` or ``nospeech``.
        reference: What is said in it; empty where nobody wrote that down.
    """

    name: str
    path: Path
    language: str
    seconds: float
    kind: str
    reference: str


def weights() -> Path:
    """The folder of real weights."""
    return Path(os.environ.get("WHISPERBATCH_REAL") or CACHE / "real-whisper")


def speech() -> Path:
    """The folder of real recordings."""
    return Path(os.environ.get("WHISPERBATCH_SPEECH") or REPOSITORY.parent / "shared" / "speech")


def recordings() -> list[Spoken]:
    """All real recordings, in the order of the manifest."""
    with (speech() / "manifest.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        Spoken(
            row["path"],
            speech() / row["path"],
            row["language"],
            float(row["seconds"]),
            row["kind"],
            "" if row["reference"] in (None, "-") else row["reference"],
        )
        for row in rows
    ]


def missing() -> str | None:
    """Why tests on real weights cannot run here; None where they can."""
    for model in MODELS:
        for kind in ("hf", "ct2"):
            if not (weights() / f"{kind}-{model}" / "config.json").is_file():
                return f"no real weights: {weights()} has no {kind}-{model}; WHISPERBATCH_REAL names their folder"
    if not (speech() / "manifest.tsv").is_file():
        return f"no real recordings: {speech()} has no manifest.tsv; WHISPERBATCH_SPEECH names their folder"
    return None
