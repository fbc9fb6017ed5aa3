"""Command lines written for openai-whisper, in our spelling. Pure: arguments in, arguments and notices out.

The flags are those of openai-whisper 20250625 (whisper/transcribe.py, MIT).
"""

from pathlib import Path

COMMANDS = ("transcribe", "watch", "convert", "status", "forget", "fetch", "info")
RENAMED = {"--output-format": "--format", "--initial-prompt": "--prompt"}
NO_MEANING = frozenset({"--threads"})
NOT_YET = frozenset(
    """
    --temperature --best-of --beam-size --patience --length-penalty --suppress-tokens --carry-initial-prompt
    --condition-on-previous-text --temperature-increment-on-fallback --compression-ratio-threshold
    --logprob-threshold --no-speech-threshold --word-timestamps --prepend-punctuations --append-punctuations
    --highlight-words --max-line-width --max-line-count --max-words-per-line --hallucination-silence-threshold
    --clip-timestamps
    """.split()
)
OUR_FLAGS = frozenset(
    """
    --offline --overwrite --dry-run --stdout --quiet --verbose --null --no-journal --redo --retry-failed --fail-fast
    """.split()
)


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
        if flag in NO_MEANING | NOT_YET:
            if not equals and rest and not _is_flag(rest[0]):
                rest.pop(0)
            why = "has no meaning here" if flag in NO_MEANING else "is not supported yet"
            notices.append(f"{flag} {why} and is ignored")
        elif flag == "--fp16":
            value = value if equals else rest.pop(0) if rest else "True"
            out += ["--compute-type", "float32"] if value == "False" else []
        elif flag in OUR_FLAGS and (value or (rest and rest[0])) in ("True", "False"):
            value = value or rest.pop(0)
            out += [flag] if value == "True" else []
        else:
            out.append(flag + equals + value)
    return out, notices


def _is_flag(argument: str) -> bool:
    """Whether an argument starts an option; ``-1`` is a value (``--suppress_tokens -1``)."""
    return argument.startswith("-") and not argument[1:2].isdigit()


def _with_command(argv: list[str]) -> list[str]:
    """``transcribe`` put in front when the line starts with a recording or an option of it, as openai-whisper's do."""
    if not argv or argv[0] in (*COMMANDS, "--help", "-h", "--version"):
        return argv
    first = argv[0]
    if first.startswith("-") or Path(first).exists() or Path(first).suffix:
        return ["transcribe", *argv]
    return argv
