"""Where a clip changes from one language to another. Policy only: no torch.

Comes in: a clip's speech, and how probable each language is in pieces of it. Goes out: runs, a language each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from whisperbatch.engine.scheduling.coverage import Span

MIN_PIECE_S = 3.0  # of speech; in less of it a model takes one language for another
SURE = 0.8  # the share among a file's languages from which a piece has one of its own


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of a clip in one language, in seconds of the clip; ``probability`` is that of the language."""

    start_s: float
    end_s: float
    language: str
    probability: float


def pieces(speech: Sequence[Span]) -> list[Span]:
    """Spans of speech put together until they hold ``MIN_PIECE_S`` of it; what is left joins the last."""
    found: list[Span] = []
    begin_s, spoken_s = None, 0.0
    for start_s, end_s in speech:
        begin_s = start_s if begin_s is None else begin_s
        spoken_s += end_s - start_s
        if spoken_s >= MIN_PIECE_S:
            found.append((begin_s, end_s))
            begin_s, spoken_s = None, 0.0
    if begin_s is not None:
        found[-1:] = [(found[-1][0] if found else begin_s, speech[-1][1])]
    return found


def share(chances: Mapping[str, float], languages: Sequence[str]) -> tuple[str, float]:
    """The most probable of some languages, and its share of their probability."""
    best = max(languages, key=lambda code: chances[code])
    total = sum(chances[code] for code in languages)
    return best, chances[best] / total if total else 1 / len(languages)


def runs(
    parts: Sequence[Span], chances: Sequence[Mapping[str, float]], languages: Sequence[str], end_s: float
) -> list[Run]:
    """The runs of a clip, from its start to its end; they meet in the middle of a pause.

    A piece that is not sure of its language has that of the piece before, the first ones that of the first sure one.

    Args:
        parts: The clip's pieces, at least one.
        chances: Of each piece, the probability of each language.
        languages: Those of the file.
        end_s: Where the clip ends.
    """
    shares = [share(one, languages) for one in chances]
    told = [code if probability >= SURE else None for code, probability in shares]
    sums = {code: sum(one[code] for one in chances) for code in languages}
    spoken = next((code for code in told if code), max(languages, key=lambda code: sums[code]))
    found: list[Run] = []
    for number, ((start_s, _), code, one) in enumerate(zip(parts, told, chances, strict=True)):
        spoken = code or spoken
        if found and found[-1].language == spoken:
            continue
        at_s = (parts[number - 1][1] + start_s) / 2 if number else 0.0
        if found:
            found[-1] = Run(found[-1].start_s, at_s, found[-1].language, found[-1].probability)
        found.append(Run(at_s, end_s, spoken, one[spoken]))
    return found
