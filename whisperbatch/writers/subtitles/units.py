"""Join words that a break must not separate: ``long`` and ``-term``, ``3`` and ``.14159``.

Whisper's words begin with a space where the text has one; a word without a space continues the word before. Scripts
written without spaces may be broken between words, but not before a closing mark nor after an opening one.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from whisperbatch.records import Word

_SPACELESS = (  # first and last code points of scripts written without spaces, and of their marks
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x312F),  # radicals, CJK marks, kana, bopomofo
    (0x31A0, 0x9FFF),  # more kana and bopomofo, Han
    (0xA000, 0xA4CF),  # Yi
    (0xA980, 0xA9DF),  # Javanese
    (0xF900, 0xFAFF),  # Han
    (0xFF01, 0xFF9F),  # full-width forms, half-width kana
    (0x20000, 0x3FFFF),  # Han
)
_NEVER_FIRST = frozenset(
    "ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ℃°" + "ะาำฯ" + "ະາຳ"
)  # Thai and Lao vowels follow their consonant
_NEVER_LAST = frozenset("เแโใไ" + "ເແໂໃໄ")  # vowels that precede their consonant


@dataclass(frozen=True, slots=True)
class Unit(Word):
    """Several words as one, from the start of the first to the end of the last; ``parts`` are the words."""

    parts: tuple[Word, ...] = ()

    def shown(self) -> tuple[Word, ...]:
        """Return the parts; the first begins as the unit now does (at the start of a line, say, without a space)."""
        first, *others = self.parts
        n_others = sum(len(part.word) for part in others)
        return (replace(first, word=self.word[: len(self.word) - n_others]), *others)


def units(groups: Sequence[Sequence[Word]], across: bool) -> list[list[Word]]:
    """Join words that belong together into units.

    Args:
        groups: Words, one group per segment.
        across: Let a segment's first word join the last word of the segment before. Has no effect if no segment begins
            with a space, since then the tool stripped them.
    """
    across = across and any(group[0].word[:1].isspace() for group in groups[1:] if group)
    joined: list[list[Word]] = []
    last: list[Word] = []  # the group that ends with the word before
    for group in groups:
        joined.append([])
        last = last if across else joined[-1]
        for word in group:
            if last and last[-1].speaker == word.speaker and not may_break(last[-1].word, word.word):
                last[-1] = _joined(last[-1], word)
            else:
                joined[-1].append(word)
                last = joined[-1]
    return joined


def at_line_start(word: Word) -> str:
    """Return the word's text without the spaces around it; a unit keeps those at its end, as in openai-whisper."""
    return word.word.lstrip() if isinstance(word, Unit) else word.word.strip()


def last_start_s(word: Word) -> float:
    """Return the start of the word, or of a unit's last part."""
    return word.parts[-1].start_s if isinstance(word, Unit) else word.start_s


def may_break(before: str, after: str) -> bool:
    """Return whether a line or a cue may end between two consecutive words."""
    if not before or before[-1].isspace() or after[:1].isspace():
        return True
    if not after:
        return False
    last, first = before[-1], after[0]
    kind = unicodedata.category(first)
    if first in _NEVER_FIRST or kind[0] == "M" or kind in ("Cf", "Lm", "Pc", "Pd", "Pe", "Pf", "Po"):
        return False
    if last in _NEVER_LAST or unicodedata.category(last) in ("Cf", "Pi", "Ps", "Sc"):
        return False
    return _is_spaceless(last) or _is_spaceless(first)


def _joined(word: Word, after: Word) -> Unit:
    parts = word.parts if isinstance(word, Unit) else (word,)
    text, probability = word.word + after.word, min(word.probability, after.probability)
    return Unit(text, word.start_s, max(word.end_s, after.end_s), probability, word.speaker, parts=(*parts, after))


def _is_spaceless(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _SPACELESS)
