"""Find where a clip changes from one language to another. Policy only: no torch.

Cuts a clip's speech into pieces and joins them, by their language probabilities, to runs of one language each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from whisperbatch.engine.scheduling.coverage import Span

MIN_PIECE_S = 3.0  # of speech; on less, a model confuses languages
SURE = 0.8  # from this share among the file's languages a piece decides its own language


@dataclass(frozen=True, slots=True)
class LanguageRun:
    """A stretch of a clip in one language; times in seconds of the clip, ``probability`` that of the language."""

    start_s: float
    end_s: float
    language: str
    probability: float


def pieces(speech: Sequence[Span]) -> list[Span]:
    """Join spans of speech to pieces of at least ``MIN_PIECE_S``; the remainder joins the last piece."""
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


def share(probs: Mapping[str, float], languages: Sequence[str]) -> tuple[str, float]:
    """Return the most probable of some languages and its share of their total probability."""
    best = max(languages, key=lambda code: probs[code])
    total = sum(probs[code] for code in languages)
    return best, probs[best] / total if total else 1 / len(languages)


def runs(
    parts: Sequence[Span], probs: Sequence[Mapping[str, float]], languages: Sequence[str], end_s: float
) -> list[LanguageRun]:
    """Return the language runs of a clip, from its start to its end; they meet in the middle of a pause.

    A piece of uncertain language takes that of the piece before; the first ones take that of the first certain one.

    Args:
        parts: The clip's pieces, at least one.
        probs: The probability of each language, per piece.
        languages: The file's languages.
        end_s: Where the clip ends.
    """
    shares = [share(one, languages) for one in probs]
    certain = [code if probability >= SURE else None for code, probability in shares]
    sums = {code: sum(one[code] for one in probs) for code in languages}
    current = next((code for code in certain if code), max(languages, key=lambda code: sums[code]))
    found: list[LanguageRun] = []
    for number, ((start_s, _), code, one) in enumerate(zip(parts, certain, probs, strict=True)):
        current = code or current
        if found and found[-1].language == current:
            continue
        at_s = (parts[number - 1][1] + start_s) / 2 if number else 0.0
        if found:
            found[-1] = LanguageRun(found[-1].start_s, at_s, found[-1].language, found[-1].probability)
        found.append(LanguageRun(at_s, end_s, current, one[current]))
    return found
