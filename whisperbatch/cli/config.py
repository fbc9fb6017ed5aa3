"""Settings from WHISPERBATCH_* variables and a TOML file: the command line wins, then the environment, then the file.

Both become defaults of the command that is run, before its own options are read.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

import typer

from whisperbatch.errors import UsageError

PREFIX = "WHISPERBATCH_"
CONFIG = f"{PREFIX}CONFIG"
NO_SETTINGS = frozenset(("config", "version", "help", "help_all", "json", "dry_run"))
NO_OPTIONS = frozenset(("config", "full"))  # variables of ours all the same; the second is the tests'


def apply(ctx: typer.Context, given: Path | None, known: Iterable[str]) -> None:
    """Set the command's defaults; ``known`` are the names of all commands' options.

    What the command line says shall be as if unasked (``ctx.obj``) stays so.

    Raises:
        UsageError: The file cannot be read or makes no sense, or a value does not.
    """
    names = {name.lstrip("-").replace("-", "_") for name in known} - NO_SETTINGS
    named = given or (Path(os.environ[CONFIG]).expanduser() if os.environ.get(CONFIG) else None)
    params = {param.name: param for param in ctx.command.params if param.name in names - (ctx.obj or set())}
    defaults: dict[str, Any] = {}
    if named is not None:
        for key, value in _read(named, names).items():
            if key in params:
                defaults[key] = _fitting(ctx, params[key], value, f"{named}: {key}")
    for name, text in _environment(os.environ, names).items():
        if name in params:
            defaults[name] = _fitting(ctx, params[name], text, PREFIX + name.upper())
    ctx.default_map = {**(ctx.default_map or {}), **defaults}


def strangers(environment: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """A sentence for each variable with our prefix that names no option."""
    names = {name.lstrip("-").replace("-", "_") for name in known} - NO_SETTINGS
    told = []
    for variable in sorted(environment):
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name not in names | NO_OPTIONS:
            told.append(f"{variable} names no option and is ignored{_meant(name, names, PREFIX, str.upper)}")
    return told


def _environment(environment: Mapping[str, str], names: set[str]) -> dict[str, str]:
    """Values by the option's name; an empty one is none."""
    return {name: text for name in names if (text := environment.get(PREFIX + name.upper(), ""))}


def _read(path: Path, names: set[str]) -> dict[str, Any]:
    """The file's values by the option's name."""
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise UsageError(f"the settings in {path} cannot be read: {err.strerror}") from err
    except ValueError as err:  # TOML's own, and that of text which is not UTF-8
        raise UsageError(f"the settings in {path} are no TOML: {err}") from err
    settings = {}
    for key, value in told.items():
        name = key.replace("-", "_")
        if name not in names:
            raise UsageError(f"{path}: unknown setting '{key}'{_meant(name, names, '', str)}")
        settings[name] = value
    return settings


def _fitting(ctx: typer.Context, param: Any, value: Any, where: str) -> Any:
    """The value as the option takes it; UsageError, with the place that it comes from, when it makes no sense."""
    is_flag, is_many = getattr(param, "is_flag", False), getattr(param, "multiple", False)
    if isinstance(value, dict | date | time) or (isinstance(value, bool) and not is_flag):
        raise UsageError(f"{where} cannot be {'a table' if isinstance(value, dict) else value}")
    if is_flag and not isinstance(value, bool | str):
        raise UsageError(f"{where} must be true or false")
    if isinstance(value, list):
        value = [str(one) for one in value] if is_many else ",".join(map(str, value))
    elif not is_flag:
        value = [str(value)] if is_many else str(value)
    if isinstance(value, str) and value.startswith("~/"):
        value = os.path.expanduser(value)  # noqa: PTH111  (no shell has seen it)
    try:
        param.process_value(ctx, value)
    except (typer.BadParameter, ValueError) as err:
        told = str(getattr(err, "message", err)).removeprefix("Value error, ")  # as some versions of Typer begin
        raise UsageError(f"{where}: {told}") from err
    return value


def _meant(name: str, names: set[str], prefix: str, spelled: Any) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f" (is {prefix}{spelled(near[0])} meant?)" if near else ""
