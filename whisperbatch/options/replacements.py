r"""Replacement rules from files: ``wrong -> right`` and ``/regular expression/flags -> right``, one rule a line.

Regular expressions are those of the package ``regex``, which can stop one that runs for minutes. ``[de]`` on a line of
its own limits the rules below it to a language, ``[all]`` ends that; blank lines and lines that begin with # are
ignored.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from whisperbatch.errors import UsageError
from whisperbatch.files import read_bounded
from whisperbatch.languages import parse_language
from whisperbatch.options.checks import require
from whisperbatch.replacement_rules import Rule, Rules

MAX_BYTES = 1_000_000  # size of a file; a glossary of 10,000 names takes a third of that
MAX_RULES = 10_000
MAX_LINE = 1_000  # characters
N_DIGEST = 16
ARROW = "->"
ALL = "all"

BLANKLESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"  # in sets of ``regex``
_EDGE = rf"[\w--[{BLANKLESS}]]"  # a word is not whole if one of these comes before or after it
_SECTION = re.compile(r"\[([^\]]*)\]")
_EXPRESSION = re.compile(r"/((?:\\.|[^/\\])+)/(\w*)\s*->(.*)")
_GROUP = re.compile(r"\\(\d{1,2}|.|$)")


def read_rules(paths: Iterable[Path]) -> Rules:
    """Read the rules of all files, in order.

    Raises:
        UsageError: A file cannot be read, or one of its lines is not valid; the message names file and line.
    """
    rules: list[Rule] = []
    for path in paths:
        rules += _of_file(path)
        require(len(rules) <= MAX_RULES, f"{path}: there are more than {MAX_RULES} replacement rules")
    return Rules(_digest(rules), tuple(rules)) if rules else Rules()


def replacements(given: Rules | str | Path | Iterable[str | Path] | None) -> Rules | None:
    """Return the rules that a Python caller gives as rules, a file name or several file names; None stays None."""
    if given is None or isinstance(given, Rules):
        return given
    return read_rules([Path(given)] if isinstance(given, str | Path) else [Path(one) for one in given])


def _of_file(path: Path) -> tuple[Rule, ...]:
    try:
        status = path.stat()
        return _parsed(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    except OSError as err:
        raise UsageError(f"the replacement rules in {path} cannot be read: {err.strerror or err}") from err
    except ValueError as err:  # a NUL in the file name
        raise UsageError(f"the replacement rules in {str(path)!r} cannot be read: {err}") from err


@lru_cache(64)  # a list may name the same file on each of its lines
def _parsed(path: Path, state: tuple[int, ...]) -> tuple[Rule, ...]:
    return tuple(parse_rules(read_bounded(path, MAX_BYTES), path))


def parse_rules(data: bytes, path: Path) -> Iterator[Rule]:
    """Yield the rules in a file's bytes; UsageError names the file and line that is not valid."""
    language: str | None = None
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            text = _checked(line)
            if not text or text.startswith("#"):
                continue
            if section := _SECTION.fullmatch(text):
                language = None if section[1].strip().casefold() == ALL else parse_language(section[1])
                continue
            found = _rule(text)
        except UsageError as err:
            raise UsageError(f"{path}, line {number}: {err.message}") from err
        where = f"{path.name}, line {number}"
        yield Rule(found.pattern, found.right, found.ignores_case, language, found.words, where)


def _checked(line: bytes) -> str:
    try:
        text = line.decode().strip()
    except UnicodeDecodeError as err:
        raise UsageError("this is not UTF-8 text") from err
    require(len(text) <= MAX_LINE, f"the line is longer than {MAX_LINE} characters")
    controls = [c for c in text if unicodedata.category(c) in ("Cc", "Zl", "Zp") and c != "\t"]
    require(not controls, "the line contains a control character")
    return text


@dataclass(frozen=True, slots=True)
class _Found:
    pattern: str
    right: tuple[str | int, ...]
    ignores_case: bool
    words: tuple[str, ...] = ()


def _rule(text: str) -> _Found:
    if text.startswith("/"):
        return _expression(text)
    wrong, arrow, right = (part.strip() for part in text.partition(ARROW))
    require(bool(arrow), "expected a rule such as: wrong -> right")
    require(bool(wrong), "there is nothing before ->")
    import regex

    words = unicodedata.normalize("NFC", wrong).split()
    spelled = r"\s+".join(regex.escape(word, special_only=False) for word in words)
    before = "" if _is_blankless(words[0][0]) else f"(?<!{_EDGE})"
    after = "" if _is_blankless(words[-1][-1]) else f"(?!{_EDGE})"
    folded = tuple(word.casefold() for word in words)
    return _Found(f"{before}{spelled}{after}", (right,) if right else (), True, folded)


def _expression(text: str) -> _Found:
    found = _EXPRESSION.fullmatch(text)
    if found is None:
        raise UsageError("expected a rule such as: /wrong/ -> right, or /wrong/i -> right")
    pattern, flags, right = found[1].replace(r"\/", "/"), found[2], found[3].strip()
    require(flags in ("", "i"), f"unknown flag '{flags}'; the only flag is i, which ignores case")
    return _Found(pattern, _parts(right, _n_groups(pattern, flags)), flags == "i")


def _n_groups(pattern: str, flags: str) -> int:
    """Return the number of groups in an expression; raise UsageError if it is not valid."""
    import regex

    try:
        return int(regex.compile(pattern, regex.VERSION1 | (regex.IGNORECASE if flags else 0)).groups)
    except (regex.error, ValueError, OverflowError, RecursionError, KeyError) as err:
        raise UsageError(f"the regular expression is not valid: {str(err).partition(chr(10))[0]}") from err


def _parts(right: str, n_groups: int) -> tuple[str | int, ...]:
    r"""Split a replacement into text and group numbers (``\1``); ``\0`` is the whole match, ``\\`` a backslash."""
    parts: list[str | int] = []
    at = 0
    for found in _GROUP.finditer(right):
        parts.append(right[at : found.start()])
        at = found.end()
        if found[1].isdecimal():
            require(int(found[1]) <= n_groups, f"there is no group {found[1]} in the regular expression")
            parts.append(int(found[1]))
        else:
            require(found[1] == "\\", f"'{found[0]}' means nothing on the right; write \\\\ for a backslash")
            parts.append("\\")
    parts.append(right[at:])
    return tuple(part for part in parts if part != "")


def _is_blankless(character: str) -> bool:
    import regex

    return regex.match(f"[{BLANKLESS}]", character) is not None


def _digest(rules: Iterable[Rule]) -> str:
    values = [(rule.pattern, rule.right, rule.ignores_case, rule.language) for rule in rules]
    return hashlib.sha256(repr(values).encode(errors="replace")).hexdigest()[:N_DIGEST]
