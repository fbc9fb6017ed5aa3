"""Commands that run when a recording or the run has ended.

A command is a list of arguments, the program first. ``{path}`` and its like are filled in later, each within its own
argument, so that no name can become two arguments or a command of its own.
"""

import re
import shlex
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from whisperbatch.errors import UsageError
from whisperbatch.options.checks import require
from whisperbatch.options.output import FORMATS

PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")  # {{path}} stands for {path} itself
OF_FILE = ("path", "language", "status", "id", "error")
OF_RUN = ("status", "exit_code", "done", "failed", "skipped", "interrupted")
DAY_S = 86_400.0
MAX_JOBS = 64


@dataclass(frozen=True, slots=True)
class HookOptions:
    """Commands to run, each as a list of arguments; an empty one runs nothing.

    Attributes:
        on_done: For each recording that is done, when its outputs are on disk.
        on_failed: For each recording that failed.
        on_end: Once, when the run has ended.
        hook_timeout_s: Seconds after which a command and its children are killed.
        hook_jobs: How many commands run at once, at most.
    """

    on_done: tuple[str, ...] = ()
    on_failed: tuple[str, ...] = ()
    on_end: tuple[str, ...] = ()
    hook_timeout_s: float = 60.0
    hook_jobs: int = 2

    def __post_init__(self) -> None:
        """Check the numbers, the programs and the placeholders."""
        require(0 < self.hook_timeout_s <= DAY_S, "--hook-timeout must be above 0 seconds and within a day")
        require(1 <= self.hook_jobs <= MAX_JOBS, f"--hook-jobs must be 1 to {MAX_JOBS}")
        for flag, command, known in (
            ("--on-done", self.on_done, (*OF_FILE, *FORMATS)),
            ("--on-failed", self.on_failed, OF_FILE),
            ("--on-end", self.on_end, OF_RUN),
        ):
            if command:
                _check(flag, command, known)

    def check_formats(self, written: Collection[str]) -> None:
        """Nothing, or UsageError when a placeholder names a format that the run does not write."""
        for name in placeholders(self.on_done):
            if name in FORMATS and name not in written:
                instead = f"add --format {name}" if written else "--stdout writes no files"
                raise UsageError(f"--on-done names {{{name}}}, which this run does not write; {instead}")


def parse_hook(given: str | Sequence[str] | None, flag: str) -> tuple[str, ...]:
    """The arguments of a command: split once as a shell would, or as they are when they come as a list."""
    if given is None:
        return ()
    if not isinstance(given, str):
        return tuple(given)
    try:
        parts = tuple(shlex.split(given))
    except ValueError as err:
        raise UsageError(f"{flag} has a quotation mark without its partner: {given}") from err
    require(bool(parts), f"{flag} is empty; give a command, as in {flag} 'notify-send {{path}}'")
    return parts


def placeholders(command: Sequence[str]) -> list[str]:
    """The names in braces in a command's arguments, in order."""
    return [name for part in command for _, name in PLACEHOLDER.findall(part) if name]


def _check(flag: str, command: Sequence[str], known: Sequence[str]) -> None:
    require(all(isinstance(part, str) and "\0" not in part for part in command), f"{flag} must be text without NUL")
    require(not placeholders(command[:1]), f"{flag} must begin with a program, not with a placeholder")
    for name in placeholders(command):
        if name not in known:
            near = get_close_matches(name, known, 1)
            meant = f"did you mean {{{near[0]}}}?" if near else f"it can use {', '.join(f'{{{one}}}' for one in known)}"
            raise UsageError(f"{flag} has no {{{name}}}; {meant} ({{{{{name}}}}} stands for the text itself)")
    require(
        shutil.which(command[0]) is not None,
        f"{flag}: the program '{command[0]}' was not found; check the spelling or give its full path",
    )
