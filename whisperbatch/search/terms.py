"""Search queries: parse words, "quoted phrases" and prefixes*, write them for FTS5, and find them in a text.

FTS5's tokenizer unicode61 splits words at spaces and punctuation. Scripts written without spaces (Chinese, Japanese,
Thai) or with endings joined to words (Korean) are split into characters first, so that any run of characters is found
as a phrase.
"""

import functools
import re
import unicodedata
from dataclasses import dataclass

from whisperbatch.errors import UsageError

TOKENIZER = "unicode61 remove_diacritics 2 categories 'L* N* Co M*'"
MAX_TERMS = 100  # FTS5 allows 256 levels of AND
# Thai and Lao, Burmese, Jamo, Khmer, kana, han, Hangul
_ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_TERM = re.compile(r'"([^"]*)"(\*?)|([^\s"]+)')
_ACCENTS = re.compile("[\u0300-\u036f]+")


@dataclass(frozen=True, slots=True)
class Term:
    """Consecutive words; with ``is_prefix`` the last one may be longer."""

    words: tuple[str, ...]
    is_prefix: bool


@dataclass(frozen=True, slots=True)
class Query:
    """Terms that must all occur in one segment."""

    terms: tuple[Term, ...]

    @property
    def expression(self) -> str:
        """The query for FTS5; every word is quoted, so nothing that a user types acts as an operator."""
        return " AND ".join(f'"{" ".join(term.words)}"{" *" if term.is_prefix else ""}' for term in self.terms)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where a text contains a term, as character ranges in order and without overlap."""
        tokens = [(match.start(), match.end(), _folded(match[0])) for match in _token().finditer(text)]
        found: set[int] = set()
        for term in self.terms:
            wanted, n = [_folded(word) for word in term.words], len(term.words)
            for at in range(len(tokens) - n + 1):
                here = [token for _, _, token in tokens[at : at + n]]
                if here[:-1] == wanted[:-1] and _fits(here[-1], wanted[-1], term.is_prefix):
                    found.update(range(at, at + n))
        return _joined([tokens[at][:2] for at in sorted(found)], text)


def parse(text: str) -> Query:
    """Parse a query as a user types it.

    Raises:
        UsageError: It has no words, or too many.
    """
    terms = []
    for phrase, star, word in _TERM.findall(plain(text)):
        words = tuple(match[0] for match in _token().finditer(phrase or word))
        if words:
            terms.append(Term(words, bool(star) or word.endswith("*")))
    if not terms:
        raise UsageError(f"there is no word to search for in '{text}'")
    if len(terms) > MAX_TERMS:
        raise UsageError(f"too many words: the limit is {MAX_TERMS}")
    return Query(tuple(terms))


def plain(text: str) -> str:
    """Return the text in NFKC, the form that is compared; lone surrogates become question marks."""
    if text.isascii():
        return text.replace("\0", " ")
    whole = text.encode("utf-8", "replace").decode()  # JSON may have unpaired surrogates
    return unicodedata.normalize("NFKC", whole).replace("\0", " ")


def spaced(text: str) -> str:
    """Return the text for the index: words, and characters of scripts without spaces, separated by spaces.

    Everything else is left out, since SQLite's table of letters is older than Python's.
    """
    normal = plain(text)
    return normal if normal.isascii() else " ".join(_token().findall(normal))


@functools.cache
def _marks() -> str:
    """Combining marks of the Basic Multilingual Plane, for a character class."""
    return "".join(chr(n) for n in range(0x300, 0x10000) if unicodedata.category(chr(n))[0] == "M")


@functools.cache
def _token() -> re.Pattern[str]:
    return re.compile(rf"[{_ALONE}][{_marks()}]*|(?:(?![{_ALONE}])[^\W_]|[{_marks()}])+")


def _folded(word: str) -> str:
    """Remove accents and case from a word, nearly as unicode61 does."""
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", word)).lower()


def _fits(word: str, wanted: str, is_prefix: bool) -> bool:
    return word.startswith(wanted) if is_prefix else word == wanted


def _joined(spans: list[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Merge spans that have only spaces between them."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and not text[joined[-1][1] : start].strip():
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
