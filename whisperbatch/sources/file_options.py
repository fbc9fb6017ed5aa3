"""What one file own_options for in place of the run's options: a line of JSON in a list; the values of a sidecar.

``{"path": "talk.wav", "language": "de", "task": "transcribe", "prompt": "Names", "hotwords": "Aase", "replace":
"names.txt", "output": "out", "format": "srt", "speakers": 2}``; only the path is needed, null is as good as left out.
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
from whisperbatch.wording import Rules

KEYS = ("path", "language", "task", "prompt", "hotwords", "replace", "output", "format", "speakers")
PlaceOf = Callable[[str], Path]  # where a file of rules lies that is named; UsageError when it may not be read


def is_asked(line: bytes) -> bool:
    """Whether a line is JSON and no path; a file whose name begins with a brace is still a file."""
    return line.lstrip().startswith(b"{") and not os.path.lexists(os.fsdecode(line))


def read_asked(line: bytes, rules_base: Path | None = None) -> tuple[Path, FileOptions]:
    """The path and what it own_options for; UsageError when the line makes no sense.

    ``rules_base`` is the folder that files of rules count from; None means the current one.
    """
    try:
        told = json.loads(line)
    except json.JSONDecodeError as err:
        raise UsageError(f"not valid JSON at column {err.colno}") from err
    except (ValueError, RecursionError) as err:
        raise UsageError("not valid JSON") from err
    require(isinstance(told, dict) and isinstance(told.get("path"), str), 'expected a JSON object with a "path"')
    unknown = [key for key in told if key not in KEYS]
    require(not unknown, f"unknown key '{', '.join(unknown)}'; known are {', '.join(KEYS)}")
    require(_is_path(told["path"]), '"path" is not a valid path')
    output = _string(told.get("output"), "output")
    require(output is None or _is_path(output), '"output" is not a valid path')
    own_options = asks_of(told, "format", lambda name: Path(rules_base or "", name))
    return Path(told["path"]), FileOptions(**own_options, output=None if output is None else Path(output))


def asks_of(told: dict[str, Any], formats_key: str, place_of: PlaceOf) -> dict[str, Any]:
    """Fields of FileAsks out of plain values by key; UsageError names the first that makes no sense."""
    return {
        "language": _language(told.get("language")),
        "task": _task(told.get("task")),
        "prompt": _string(told.get("prompt"), "prompt"),
        "hotwords": _hotwords(told.get("hotwords")),
        "replace": _rules(told.get("replace"), place_of),
        "formats": _formats(told.get(formats_key), formats_key),
        "speakers": _speakers(told.get("speakers")),
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
    """Hotwords, which may come as a list of terms."""
    if not isinstance(given, list):
        return _string(given, "hotwords")
    require(all(isinstance(one, str) for one in given), '"hotwords" must be a string or a list of strings')
    return _string(", ".join(given), "hotwords")


def _rules(given: Any, place_of: PlaceOf) -> Rules | None:
    """The replacement rules in the files that are named; an empty list means none."""
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
    """The fewest and the most speakers, None where that is open."""
    is_one = isinstance(given, str) or (isinstance(given, int) and not isinstance(given, bool))
    numbers = parse_speakers(given) if is_one else None
    is_known = given is None or numbers is not None
    require(is_known, '"speakers" must be a number, a range such as "2-4", or "auto"')
    return None if numbers is None else (SpeakerOptions(True, *numbers).min_speakers, numbers[1])  # which checks them


def _is_path(text: str) -> bool:
    """Whether the system could have such a path."""
    try:
        return b"\0" not in os.fsencode(text) and text != ""
    except ValueError:  # half a character
        return False


def _is_text(text: str) -> bool:
    try:
        return bool(text.encode()) or not text
    except ValueError:
        return False
