"""Wraps text for a terminal of any width, between words only: names, paths and commands to copy stay whole."""

import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator

MAX_COLUMNS = 100
_NAMES = 28  # width of the column of names; narrower if the text would get less than three fifths of the line
_ROW = re.compile(r"( +)(\S+(?: \S+)*) {2,}(\S.*)")


def columns() -> int:
    """Return the width of a line: the terminal's, at most ``MAX_COLUMNS``."""
    return min(MAX_COLUMNS, shutil.get_terminal_size().columns)


def filled(text: str, indent: str = "", hanging: str | None = None) -> str:
    """Return a paragraph wrapped to the terminal; ``hanging`` is the indent of all lines but the first."""
    return textwrap.fill(
        text,
        columns(),
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_on_hyphens=False,  # it would break the names of options
        break_long_words=False,
    )


def rows(pairs: Iterable[tuple[str, str]], indent: str = "  ", start: int | None = None) -> str:
    """Return names and their texts as two columns; the text of a name that does not fit starts below it.

    The texts start at column ``start`` if that leaves them at least three fifths of the line, else further left.
    """
    at = min(start or _NAMES, columns() * 2 // 5)
    return "\n".join(line for name, text in pairs for line in _row(indent + name, text, " " * at))


def _row(name: str, text: str, margin: str) -> Iterator[str]:
    indent = name[: len(name) - len(name.lstrip())]
    is_fitting = max(map(len, text.split()), default=0) <= columns() - len(margin)
    if not text:
        yield filled(name.lstrip(), indent)
    elif len(name) + 2 <= len(margin) and is_fitting:
        yield filled(text, name.ljust(len(margin)), margin)
    else:
        yield filled(name.lstrip(), indent)
        yield filled(text, margin if is_fitting else indent + "    ")  # a path longer than the column


def fitted(block: str) -> str:
    """Return an indented block unchanged if it fits; otherwise wrap its table or its commands."""
    lines = block.split("\n")
    if max(map(len, lines)) <= columns():
        return block
    first = _ROW.fullmatch(lines[0])
    return "\n".join(map(_command, lines)) if first is None else _table(lines, first.start(3))


def _table(lines: list[str], start: int) -> str:
    """Wrap a table of two columns whose texts start at column ``start`` and may span several lines."""
    pairs: list[tuple[str, str]] = []
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    for line in lines:
        name, text = line[:start].strip(), line[start:].strip()
        if name or not pairs:
            pairs.append((name, text))
        else:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]} {text}")
    return rows(pairs, indent, start)


def _command(line: str) -> str:
    """Wrap a command with backslashes, so that it can be copied into a shell."""
    indent = line[: len(line) - len(line.lstrip())]
    parts = textwrap.wrap(
        line.strip(),
        columns() - len(indent) - 4,
        subsequent_indent="  ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return " \\\n".join(indent + part for part in parts)
