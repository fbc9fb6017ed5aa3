"""Parse the options of one file, which replace the run's: a JSON line of a list, or the values of a sidecar.

``{"path": "talk.wav", "language": "de", "task": "transcribe", "prompt": "Names", "hotwords": "Aase", "replace":
"names.txt", "output": "out", "format": "srt", "speakers": 2}``; only the path is required, null means not given.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whisperbatch.errors import UsageError
from whisperbatch.languages import parse_language
from whisperbatch.options import TASKS, SpeakerOptions, parse_formats, parse_speakers, read_rules, require
from whisperbatch.records import FileOptions
from whisperbatch.replacement_rules import Rules

KEYS = ("path", "language", "task", "prompt", "hotwords", "replace", "output", "format", "speakers")
PlaceOf = Callable[[str], Path]  # the path of a named file of rules; UsageError when it may not be read


def is_json_line(line: bytes) -> bool:
    """True if a line is JSON and not a path; a file whose name begins with a brace is still a file."""
    return line.lstrip().startswith(b"{") and not os.path.lexists(os.fsdecode(line))


def parse_json_line(line: bytes, rules_base: Path | None = None) -> tuple[Path, FileOptions]:
    """Return the path and options of a JSON line; UsageError when it is invalid.

    Paths of files of rules are relative to ``rules_base``; None means the current folder.
    """
    try:
        values = json.loads(line)
    except json.JSONDecodeError as err:
        raise UsageError(f"not valid JSON at column {err.colno}") from err
    except (ValueError, RecursionError) as err:
        raise UsageError("not valid JSON") from err
    require(isinstance(values, dict) and isinstance(values.get("path"), str), 'expected a JSON object with a "path"')
    unknown = [key for key in values if key not in KEYS]
    require(not unknown, f"unknown key '{', '.join(unknown)}'; known are {', '.join(KEYS)}")
    require(_is_path(values["path"]), '"path" is not a valid path')
    output = _string(values.get("output"), "output")
    require(output is None or _is_path(output), '"output" is not a valid path')
    options = parse_options(values, "format", lambda name: Path(rules_base or "", name))
    return Path(values["path"]), FileOptions(**options, output=None if output is None else Path(output))


def parse_options(values: dict[str, Any], formats_key: str, place_of: PlaceOf) -> dict[str, Any]:
    """Return fields of FileOptions for plain values by key; UsageError names the first invalid one."""
    return {
        "language": _language(values.get("language")),
        "task": _task(values.get("task")),
        "prompt": _string(values.get("prompt"), "prompt"),
        "hotwords": _hotwords(values.get("hotwords")),
        "replace": _rules(values.get("replace"), place_of),
        "formats": _formats(values.get(formats_key), formats_key),
        "speakers": _speakers(values.get("speakers")),
    }


def _language(given: Any) -> str | None:
    named = _string(given, "language")
    return None if named is None else parse_language(named)


def _task(given: Any) -> str | None:
    require(given is None or isinstance(given, str), '"task" must be a string')
    require(given in (None, *TASKS), f"unknown task '{given}'; choose from {', '.join(TASKS)}")
    task: str | None = given
    return task


def _hotwords(given: Any) -> str | None:
    """The hotwords, given as a string or a list of terms."""
    if not isinstance(given, list):
        return _string(given, "hotwords")
    require(all(isinstance(one, str) for one in given), '"hotwords" must be a string or a list of strings')
    return _string(", ".join(given), "hotwords")


def _rules(given: Any, place_of: PlaceOf) -> Rules | None:
    """The replacement rules in the named files; an empty list means none."""
    names = [given] if isinstance(given, str) else given
    if names is None:
        return None
    is_list = isinstance(names, list) and all(isinstance(one, str) for one in names)
    require(is_list, '"replace" must be the name of a file or a list of names')
    require(all(_is_path(name) for name in names), '"replace" is not a valid path')
    return read_rules([place_of(name) for name in names])


def _formats(given: Any, key: str) -> tuple[str, ...] | None:
    names = [given] if isinstance(given, str) else given
    if names is None:
        return None
    is_list = isinstance(names, list) and all(isinstance(one, str) for one in names)
    require(is_list, f'"{key}" must be a name, names with commas, or a list of names')
    return parse_formats(names)


def _string(given: Any, key: str) -> str | None:
    require(given is None or isinstance(given, str), f'"{key}" must be a string')
    require(given is None or _is_text(given), f'"{key}" is not valid Unicode (unpaired surrogate)')
    text: str | None = given
    return text


def _speakers(given: Any) -> tuple[int | None, int | None] | None:
    """The fewest and the most speakers; None where that is open."""
    is_one = isinstance(given, str) or (isinstance(given, int) and not isinstance(given, bool))
    numbers = parse_speakers(given) if is_one else None
    is_known = given is None or numbers is not None
    require(is_known, '"speakers" must be a number, a range such as "2-4", or "auto"')
    return (
        None if numbers is None else (SpeakerOptions(True, *numbers).min_speakers, numbers[1])
    )  # SpeakerOptions checks them


def _is_path(text: str) -> bool:
    """True if the system could have such a path."""
    try:
        return b"\0" not in os.fsencode(text) and text != ""
    except ValueError:  # an unpaired surrogate
        return False


def _is_text(text: str) -> bool:
    try:
        return bool(text.encode()) or not text
    except ValueError:
        return False
