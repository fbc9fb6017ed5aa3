"""Settings from WHISPERBATCH_* variables and a TOML file: the command line wins, then the environment, then the file.

Both become defaults of the command before its own options are parsed.
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
NO_OPTIONS = frozenset(("config", "full"))  # variables that are not options; the tests use the second


def apply(ctx: typer.Context, given: Path | None, known: Iterable[str]) -> None:
    """Set the command's defaults from the settings file and the environment.

    Options that the command line reset to "not given" (``ctx.obj``) keep that state.

    Args:
        ctx: The command's context.
        given: The settings file; None takes the one in WHISPERBATCH_CONFIG, if any.
        known: The names of all commands' options.

    Raises:
        UsageError: The file cannot be read or is not valid, or a value is not.
    """
    names = {name.lstrip("-").replace("-", "_") for name in known} - NO_SETTINGS
    path = given or (Path(os.environ[CONFIG]).expanduser() if os.environ.get(CONFIG) else None)
    params = {param.name: param for param in ctx.command.params if param.name in names - (ctx.obj or set())}
    defaults: dict[str, Any] = {}
    if path is not None:
        for key, value in _read(path, names).items():
            if key in params:
                defaults[key] = _converted(ctx, params[key], value, f"{path}: {key}")
    for name, text in _environment(os.environ, names).items():
        if name in params:
            defaults[name] = _converted(ctx, params[name], text, PREFIX + name.upper())
    ctx.default_map = {**(ctx.default_map or {}), **defaults}


def unknown_variables(environment: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """Return a notice for each variable with our prefix that does not name an option."""
    names = {name.lstrip("-").replace("-", "_") for name in known} - NO_SETTINGS
    notices = []
    for variable in sorted(environment):
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name not in names | NO_OPTIONS:
            notices.append(f"{variable} is ignored: there is no such option{_meant(name, names, PREFIX, str.upper)}")
    return notices


def _environment(environment: Mapping[str, str], names: set[str]) -> dict[str, str]:
    """Return the values of variables by option name; an empty variable counts as not set."""
    return {name: text for name in names if (text := environment.get(PREFIX + name.upper(), ""))}


def _read(path: Path, names: set[str]) -> dict[str, Any]:
    """Return the values in a settings file by option name."""
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise UsageError(f"the settings in {path} cannot be read: {err.strerror}") from err
    except ValueError as err:  # not TOML, or not UTF-8
        raise UsageError(f"the settings in {path} are not valid TOML: {err}") from err
    settings = {}
    for key, value in read.items():
        name = key.replace("-", "_")
        if name not in names:
            raise UsageError(f"{path}: unknown setting '{key}'{_meant(name, names, '', str)}")
        settings[name] = value
    return settings


def _converted(ctx: typer.Context, param: Any, value: Any, where: str) -> Any:
    """Return the value as the option takes it; UsageError names ``where`` an invalid value comes from."""
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
        value = os.path.expanduser(value)  # noqa: PTH111  (no shell has expanded it)
    try:
        param.process_value(ctx, value)
    except (typer.BadParameter, ValueError) as err:
        reason = str(getattr(err, "message", err)).removeprefix("Value error, ")  # added by some versions of Typer
        raise UsageError(f"{where}: {reason}") from err
    return value


def _meant(name: str, names: set[str], prefix: str, spelled: Any) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f" (did you mean {prefix}{spelled(near[0])}?)" if near else ""
