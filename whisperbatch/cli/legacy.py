"""Translates openai-whisper's command lines into ours; a pure function over arguments.

The flags are those of openai-whisper 20250625 (whisper/transcribe.py, MIT).
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from whisperbatch.cli import params

COMMANDS = ("transcribe", "watch", "convert", "review", "search", "bench", "status", "forget", "fetch", "info", "help")
ROOT_OPTIONS = ("--help", "-h", "--version", "--install-completion", "--show-completion")
RENAMED = {"--output-format": "--format", "--initial-prompt": "--prompt"}
NO_MEANING = frozenset({"--threads"})
DECLARED = params.names()
SPEAKERS = re.compile(r"auto|off|\d+(-\d+)?", re.IGNORECASE)  # values of --speakers; without one, auto is meant
NONE_IS_RESET = frozenset(("--max-line-width", "--max-line-count", "--max-words-per-line", "--language"))


class Line(NamedTuple):
    """A translated command line.

    Attributes:
        arguments: Arguments in our spelling.
        notices: A sentence for each argument that has no effect here.
        reset: Options that the command line reset to "not given", as ``--overwrite False`` does; no setting may turn
            them on.
    """

    arguments: list[str]
    notices: list[str]
    reset: frozenset[str] = frozenset()


def translate(argv: list[str]) -> Line:
    """Translate a command line."""
    out: list[str] = []
    notices: list[str] = []
    reset: set[str] = set()
    rest = list(_with_command(argv))
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return Line([*out, argument, *rest], notices, frozenset(reset))
        if not argument.startswith("--"):
            out.append(argument)
            continue
        flag, equals, value = argument.partition("=")
        flag = flag.replace("_", "-")
        flag = RENAMED.get(flag, flag)
        if flag in NO_MEANING:
            if not equals and rest and not _is_flag(rest[0]):
                rest.pop(0)
            notices.append(f"{flag} has no effect in whisperbatch and is ignored")
        elif flag == "--fp16":
            value = value if equals else rest.pop(0) if rest else "True"
            out += ["--compute-type", "float32"] if value == "False" else []
            reset |= {"compute_type"} if value == "True" else set()
        elif DECLARED.get(flag) is not None and (value or (rest and rest[0])) in ("True", "False"):
            wanted = flag if (value or rest.pop(0)) == "True" else DECLARED[flag]
            out += [wanted] if wanted else []
            reset |= set() if wanted else {_name(flag)}
        elif flag == "--speakers" and not equals and not SPEAKERS.fullmatch((rest or [""])[0]):
            out.append("--speakers=auto")
        elif flag in NONE_IS_RESET and (value or (rest and rest[0])) == "None":
            value = value or rest.pop(0)
            reset.add(_name(flag))
        else:
            out.append(flag + equals + value)
    return Line(out, notices, frozenset(reset))


def _name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def _is_flag(argument: str) -> bool:
    """Return True for an option; ``-1`` is a value (``--suppress_tokens -1``)."""
    return argument.startswith("-") and not argument[1:2].isdigit()


def _with_command(argv: list[str]) -> list[str]:
    """Put ``transcribe`` in front if the line starts with a recording or an option, as openai-whisper's lines do."""
    if not argv or argv[0] in (*COMMANDS, *ROOT_OPTIONS):
        return argv
    first = argv[0]
    if first.startswith("-") or os.path.exists(first) or Path(first).suffix:  # noqa: PTH110  (never raises)
        return ["transcribe", *argv]
    return argv
