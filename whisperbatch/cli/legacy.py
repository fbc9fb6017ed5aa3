"""Command lines written for openai-whisper, in our spelling. Pure: arguments in, arguments and notices out.

The flags are those of openai-whisper 20250625 (whisper/transcribe.py, MIT).
"""

import os
from pathlib import Path

from whisperbatch.cli import params

COMMANDS = ("transcribe", "watch", "convert", "review", "bench", "status", "forget", "fetch", "info", "help")
ROOT_OPTIONS = ("--help", "-h", "--version", "--install-completion", "--show-completion")
RENAMED = {"--output-format": "--format", "--initial-prompt": "--prompt"}
NO_MEANING = frozenset({"--threads"})
DECLARED = params.names()
NONE_IS_UNASKED = frozenset(("--max-line-width", "--max-line-count", "--max-words-per-line", "--language"))


def translate(argv: list[str]) -> tuple[list[str], list[str]]:
    """The arguments in our spelling, and a sentence for each that has no effect here."""
    out: list[str] = []
    notices: list[str] = []
    rest = list(_with_command(argv))
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return [*out, argument, *rest], notices
        if not argument.startswith("--"):
            out.append(argument)
            continue
        flag, equals, value = argument.partition("=")
        flag = flag.replace("_", "-")
        flag = RENAMED.get(flag, flag)
        if flag in NO_MEANING:
            if not equals and rest and not _is_flag(rest[0]):
                rest.pop(0)
            notices.append(f"{flag} has no meaning here and is ignored")
        elif flag == "--fp16":
            value = value if equals else rest.pop(0) if rest else "True"
            out += ["--compute-type", "float32"] if value == "False" else []
        elif DECLARED.get(flag) is not None and (value or (rest and rest[0])) in ("True", "False"):
            wanted = flag if (value or rest.pop(0)) == "True" else DECLARED[flag]
            out += [wanted] if wanted else []
        elif flag in NONE_IS_UNASKED and (value or (rest and rest[0])) == "None":
            value = value or rest.pop(0)
        else:
            out.append(flag + equals + value)
    return out, notices


def _is_flag(argument: str) -> bool:
    """Whether an argument starts an option; ``-1`` is a value (``--suppress_tokens -1``)."""
    return argument.startswith("-") and not argument[1:2].isdigit()


def _with_command(argv: list[str]) -> list[str]:
    """``transcribe`` put in front when the line starts with a recording or an option of it, as openai-whisper's do."""
    if not argv or argv[0] in (*COMMANDS, *ROOT_OPTIONS):
        return argv
    first = argv[0]
    if first.startswith("-") or os.path.exists(first) or Path(first).suffix:  # noqa: PTH110  (raises never)
        return ["transcribe", *argv]
    return argv
