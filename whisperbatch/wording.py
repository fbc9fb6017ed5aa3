"""Replacement rules as values: what ``options`` reads from files and ``replacements`` applies to transcripts."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rule:
    """A replacement rule: what stands in for each match of a regular expression of the package ``regex``.

    Attributes:
        pattern: The expression, in that package's version 1 syntax.
        right: The replacement in parts: text, and numbers of groups.
        ignores_case: Whether letters match by their full case folding.
        language: Whisper's code of the only language that it is for; None means all.
        words: Words, case folded, without which nothing matches; empty where that is not known.
        where: Which line of which file it is, for messages.
    """

    pattern: str
    right: tuple[str | int, ...]
    ignores_case: bool = False
    language: str | None = None
    words: tuple[str, ...] = field(default=(), compare=False)
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Rules:
    """Replacement rules in the order in which they apply; two with the same digest replace the same.

    Attributes:
        digest: Of the rules, wherever they were written; empty when there are none.
        rules: The rules.
    """

    digest: str = ""
    rules: tuple[Rule, ...] = field(default=(), compare=False)
