"""Replacement rules as values: ``options`` reads them from files, ``replacements`` applies them to transcripts."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rule:
    """A replacement rule: a regular expression of the package ``regex``, and what replaces each match.

    Attributes:
        pattern: The expression, in that package's version 1 syntax.
        right: The replacement in parts: text, and numbers of groups.
        ignores_case: Whether letters match by their full case folding.
        language: Whisper's code of the only language that the rule is for; None means all.
        words: Words, case folded, without which nothing can match; empty when they are not known.
        where: The rule's file and line, for messages.
    """

    pattern: str
    right: tuple[str | int, ...]
    ignores_case: bool = False
    language: str | None = None
    words: tuple[str, ...] = field(default=(), compare=False)
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Rules:
    """Replacement rules in the order in which they apply; equal digests mean the same replacements.

    Attributes:
        digest: The digest of the rules, whichever files they come from; empty when there are none.
        rules: The rules.
    """

    digest: str = ""
    rules: tuple[Rule, ...] = field(default=(), compare=False)
