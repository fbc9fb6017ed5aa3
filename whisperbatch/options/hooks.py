"""Options of hooks: commands that run when a recording or the whole run has ended.

A command is a list of arguments, the program first. Placeholders such as ``{path}`` are filled in later, each within
its own argument, so that a file name can become neither two arguments nor a command.
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
    """Commands to run, each as a list of arguments; an empty list runs nothing.

    Attributes:
        on_done: Command to run for each recording that is done, once its outputs are on disk.
        on_failed: Command to run for each recording that failed.
        on_end: Command to run once, when the run has ended.
        hook_timeout_s: Seconds after which a command and its children are killed.
        hook_jobs: The most commands to run at once.
    """

    on_done: tuple[str, ...] = ()
    on_failed: tuple[str, ...] = ()
    on_end: tuple[str, ...] = ()
    hook_timeout_s: float = 60.0
    hook_jobs: int = 2

    def __post_init__(self) -> None:
        """Check the numbers, the programs and the placeholders."""
        require(0 < self.hook_timeout_s <= DAY_S, "`hook_timeout` must be above 0 seconds and within a day")
        require(1 <= self.hook_jobs <= MAX_JOBS, f"`hook_jobs` must be 1 to {MAX_JOBS}")
        for name, command, known in (
            ("on_done", self.on_done, (*OF_FILE, *FORMATS)),
            ("on_failed", self.on_failed, OF_FILE),
            ("on_end", self.on_end, OF_RUN),
        ):
            if command:
                _check(f"`{name}`", command, known)

    def check_formats(self, written: Collection[str]) -> None:
        """Raise UsageError if a placeholder names a format that the run does not write."""
        for name in placeholders(self.on_done):
            if name in FORMATS and name not in written:
                instead = f"add `formats={name}`" if written else "`write=False` writes no files"
                raise UsageError(f"`on_done` uses {{{name}}}, but this run does not write {name}; {instead}")


def parse_hook(given: str | Sequence[str] | None, name: str) -> tuple[str, ...]:
    """Return the arguments of a command: a string is split as a shell would, a sequence is taken as it is.

    Args:
        given: The command, or None for no command.
        name: The option's Python name, for errors.

    Raises:
        UsageError: The string is empty or lacks a closing quotation mark.
    """
    if given is None:
        return ()
    if not isinstance(given, str):
        return tuple(given)
    try:
        parts = tuple(shlex.split(given))
    except ValueError as err:
        raise UsageError(f"`{name}` has an unmatched quotation mark: {given}") from err
    require(bool(parts), f"`{name}` is empty; give a command, as in 'notify-send {{path}}'")
    return parts


def placeholders(command: Sequence[str]) -> list[str]:
    """Return the names in braces in a command's arguments, in order."""
    return [name for part in command for _, name in PLACEHOLDER.findall(part) if name]


def _check(option: str, command: Sequence[str], known: Sequence[str]) -> None:
    require(all(isinstance(part, str) and "\0" not in part for part in command), f"{option} must be text without NUL")
    require(not placeholders(command[:1]), f"{option} must begin with a program, not with a placeholder")
    for name in placeholders(command):
        if name not in known:
            near = get_close_matches(name, known, 1)
            all_known = ", ".join(f"{{{one}}}" for one in known)
            hint = f"did you mean {{{near[0]}}}?" if near else f"it can use {all_known}"
            raise UsageError(f"{option} does not know {{{name}}}; {hint} (write {{{{{name}}}}} for literal braces)")
    require(
        shutil.which(command[0]) is not None,
        f"{option}: the program '{command[0]}' was not found; check the spelling or give its full path",
    )
