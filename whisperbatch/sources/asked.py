"""A line of JSON in a list: a path and what that file asks for beside the run's options.

``{"path": "talk.wav", "language": "de", "task": "transcribe", "prompt": "Names", "output": "out", "format": "srt",
"speakers": 2}``; only the path is needed, null is as good as left out. Who calls: ``listed``.
"""

import json
import os
from pathlib import Path
from typing import Any

from whisperbatch.errors import UsageError
from whisperbatch.languages import parse_language
from whisperbatch.options import TASKS, SpeakerOptions, parse_formats, parse_speakers, require
from whisperbatch.records import FileAsks

KEYS = ("path", "language", "task", "prompt", "output", "format", "speakers")
TEXTS = KEYS[:5]


def is_asked(line: bytes) -> bool:
    """Whether a line is JSON and no path; a file whose name begins with a brace is still a file."""
    return line.lstrip().startswith(b"{") and not os.path.lexists(os.fsdecode(line))


def read_asked(line: bytes) -> tuple[Path, FileAsks]:
    """The path and what it asks for; UsageError when the line makes no sense."""
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
    return Path(told["path"]), _asks(told)


def _asks(told: dict[str, Any]) -> FileAsks:
    formats = told.get("format")
    given = [formats] if isinstance(formats, str) else formats
    is_list = given is None or (isinstance(given, list) and all(isinstance(one, str) for one in given))
    require(is_list, '"format" must be a name, names with commas, or a list of names')
    for key in TEXTS:
        require(told.get(key) is None or isinstance(told[key], str), f'"{key}" must be a string')
    require(told.get("output") is None or _is_path(told["output"]), '"output" is not a valid path')
    require(_is_text(told.get("prompt") or ""), '"prompt" is not valid Unicode (unpaired surrogate)')
    task = told.get("task")
    require(task in (None, *TASKS), f"unknown task '{task}'; choose from {', '.join(TASKS)}")
    return FileAsks(
        language=None if told.get("language") is None else parse_language(told["language"]),
        task=task,
        prompt=told.get("prompt"),
        output=None if told.get("output") is None else Path(told["output"]),
        formats=None if given is None else parse_formats(given),
        speakers=_speakers(told.get("speakers")),
    )


def _speakers(given: Any) -> tuple[int | None, int | None] | None:
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
