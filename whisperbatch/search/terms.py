"""What is looked for: words, "phrases in quotes" and beginnings* as an expression for FTS5, and where a text has them.

FTS5's tokenizer unicode61 finds words by the blanks and punctuation between them. Scripts that are written without
blanks (Chinese, Japanese, Thai) or that hang endings on words (Korean) are taken apart into characters before, so that
any run of them is found as a phrase.
"""

import functools
import re
import unicodedata
from dataclasses import dataclass

from whisperbatch.errors import UsageError

TOKENIZER = "unicode61 remove_diacritics 2 categories 'L* N* Co M*'"
MAX_TERMS = 100  # FTS5 takes 256 levels of AND
# Thai and Lao, Burmese, Jamo, Khmer, kana, han, Hangul
_ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_TERM = re.compile(r'"([^"]*)"(\*?)|([^\s"]+)')
_ACCENTS = re.compile("[\u0300-\u036f]+")


@dataclass(frozen=True, slots=True)
class Term:
    """Words that stand side by side; with ``is_prefix`` the last may go on."""

    words: tuple[str, ...]
    is_prefix: bool


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: all terms, in one segment."""

    terms: tuple[Term, ...]

    @property
    def expression(self) -> str:
        """The same for FTS5, which sees only words in quotation marks: nothing that is typed is an operator."""
        return " AND ".join(f'"{" ".join(term.words)}"{" *" if term.is_prefix else ""}' for term in self.terms)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where a text has a term, as ranges of its characters, in order and without overlap."""
        tokens = [(match.start(), match.end(), _folded(match[0])) for match in _token().finditer(text)]
        found: set[int] = set()
        for term in self.terms:
            wanted, n = [_folded(word) for word in term.words], len(term.words)
            for at in range(len(tokens) - n + 1):
                here = [token for _, _, token in tokens[at : at + n]]
                if here[:-1] == wanted[:-1] and _fits(here[-1], wanted[-1], term.is_prefix):
                    found.update(range(at, at + n))
        return _joined([tokens[at][:2] for at in sorted(found)], text)


def parse(given: str) -> Query:
    """The query that somebody typed.

    Raises:
        UsageError: It has no word, or too many.
    """
    terms = []
    for phrase, star, word in _TERM.findall(plain(given)):
        words = tuple(match[0] for match in _token().finditer(phrase or word))
        if words:
            terms.append(Term(words, bool(star) or word.endswith("*")))
    if not terms:
        raise UsageError(f"there is no word to look for in '{given}'")
    if len(terms) > MAX_TERMS:
        raise UsageError(f"too many words: search looks for {MAX_TERMS} at most")
    return Query(tuple(terms))


def plain(text: str) -> str:
    """The text in the form that is compared; what is not a character becomes a question mark."""
    if text.isascii():
        return text.replace("\0", " ")
    whole = text.encode("utf-8", "replace").decode()  # JSON may hold half of a character
    return unicodedata.normalize("NFKC", whole).replace("\0", " ")


def spaced(text: str) -> str:
    """The text as it is indexed: words, and characters of scripts without blanks, with blanks between them.

    What is not a word is left out, since SQLite's table of letters is older than Python's.
    """
    made = plain(text)
    return made if made.isascii() else " ".join(_token().findall(made))


@functools.cache
def _marks() -> str:
    """Combining marks of the Basic Multilingual Plane, for a class of a pattern."""
    return "".join(chr(n) for n in range(0x300, 0x10000) if unicodedata.category(chr(n))[0] == "M")


@functools.cache
def _token() -> re.Pattern[str]:
    return re.compile(rf"[{_ALONE}][{_marks()}]*|(?:(?![{_ALONE}])[^\W_]|[{_marks()}])+")


def _folded(word: str) -> str:
    """A word without its accents and capitals, nearly as unicode61 has it."""
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", word)).lower()


def _fits(word: str, wanted: str, is_prefix: bool) -> bool:
    return word.startswith(wanted) if is_prefix else word == wanted


def _joined(spans: list[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """The spans, those with nothing but blanks between them as one."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and not text[joined[-1][1] : start].strip():
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
