"""Read sidecars, settings files beside recordings.

``talk.whisperbatch.toml`` is for ``talk.mp3``, ``whisperbatch.toml`` for its folder. For each key, the JSON line of a
list takes precedence, then the recording's own sidecar, then that of its folder, then those of the folders above it, up
to the folder argument. Since anybody who may add a recording may add a sidecar, a sidecar may not name files outside
that folder; an invalid one fails the recordings that it applies to.
"""

import os
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from whisperbatch.errors import UsageError
from whisperbatch.files import read_bounded
from whisperbatch.options import require
from whisperbatch.records import AudioFile, FileOptions
from whisperbatch.sources.file_options import parse_options

NAME = "whisperbatch.toml"
KEYS = ("language", "task", "prompt", "hotwords", "replace", "formats", "speakers")
UNKNOWN = "unknown key '{}'; known are {} (a file for --config needs another name)"
MAX_BYTES = 64_000
MAX_KEPT = 10_000  # sidecars whose content is cached
_NOTHING = FileOptions()


def with_sidecars(files: Iterable[AudioFile], wanted: bool) -> Iterator[AudioFile]:
    """Yield the files with their sidecars' options, read as each file comes; unchanged when not ``wanted``."""
    sidecars = Sidecars()
    for audio in files:
        yield sidecars.applied(audio) if wanted else audio


class Sidecars:
    """The sidecars of some folders; for one thread."""

    def __init__(self) -> None:
        """Start with an empty cache."""
        self._contents: dict[Path, tuple[tuple[int, ...], dict[str, Any] | str]] = {}
        self._folders: dict[tuple[Path, Path], FileOptions] = {}

    def look_again(self) -> None:
        """Forget the options of folders, which are otherwise read only once."""
        self._folders.clear()

    def applied(self, audio: AudioFile) -> AudioFile:
        """Return the recording with its sidecars' options added to those of its own line in a list."""
        if audio.options.fault is not None:
            return audio
        folder = audio.path.parent
        root = folder if audio.root is None else audio.root
        own = self._options(folder / f"{audio.path.stem}.{NAME}", root)
        merged = _merged(audio.options, _merged(own, self._folder_options(folder, root)))
        return audio if merged == audio.options else replace(audio, options=merged)

    def _folder_options(self, folder: Path, root: Path) -> FileOptions:
        """The options for files in a folder, from its sidecar and those of the folders above it up to ``root``."""
        ancestors = [folder, *folder.parents] if root in folder.parents else [folder]
        options = _NOTHING
        for one in reversed(ancestors[: ancestors.index(root) + 1 if root in ancestors else 1]):
            if (one, root) not in self._folders:
                if len(self._folders) >= MAX_KEPT:
                    self._folders.clear()
                self._folders[one, root] = _merged(self._options(one / NAME, root), options)
            options = self._folders[one, root]
        return options

    def _options(self, sidecar: Path, root: Path) -> FileOptions:
        """The options in a sidecar; none when it does not exist, a fault when it is invalid."""
        try:
            content = self._content(sidecar)
            if isinstance(content, str):
                raise UsageError(content)
            return FileOptions(**_parsed(content, sidecar, root)) if content else _NOTHING
        except UsageError as err:
            return FileOptions(fault=f"{sidecar}: {err.message}")

    def _content(self, sidecar: Path) -> dict[str, Any] | str:
        """A sidecar's keys and values, or what is wrong with it; empty when there is none."""
        try:
            status = os.stat(sidecar)  # noqa: PTH116  (raises on fewer names than Path.stat)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as err:  # a name may be too long with our suffix
            return {} if not os.path.lexists(sidecar) else f"cannot be read: {getattr(err, 'strerror', err)}"
        state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._contents.get(sidecar)
        if known is None or known[0] != state:
            if len(self._contents) >= MAX_KEPT:
                self._contents.clear()
            known = self._contents[sidecar] = (state, _read(sidecar))
        return known[1]


def _read(sidecar: Path) -> dict[str, Any] | str:
    try:
        text = read_bounded(sidecar, MAX_BYTES).decode()
        values = tomllib.loads(text)
    except OSError as err:
        return f"cannot be read: {err.strerror or err}"
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    except (ValueError, RecursionError) as err:
        return f"is not valid TOML: {str(err).partition(chr(10))[0]}"
    unknown = [key for key in values if key not in KEYS]
    return UNKNOWN.format(unknown[0], ", ".join(KEYS)) if unknown else values


def _parsed(values: dict[str, Any], sidecar: Path, root: Path) -> dict[str, Any]:
    """The fields of FileOptions; UsageError names the key whose value is invalid."""
    parsed: dict[str, Any] = {}
    for key, value in values.items():
        try:
            parsed[key] = parse_options({key: value}, "formats", lambda name: _below(name, sidecar, root))[key]
        except UsageError as err:
            named = "" if f'"{key}"' in err.message else f'"{key}": '
            raise UsageError(f"{named}{err.message}") from err
    return parsed


def _below(name: str, sidecar: Path, root: Path) -> Path:
    """The named file, relative to the sidecar's folder; UsageError unless it is in ``root`` after following links."""
    try:
        top, place = root.resolve(), (sidecar.parent / name).resolve()
    except (OSError, RuntimeError) as err:  # links in a circle
        raise UsageError(f"{name} cannot be read: {err}") from err
    is_below = not Path(name).is_absolute() and place.is_relative_to(top)
    require(is_below, f"{name} is outside {root}, the folder that was named")
    return place


def _merged(first: FileOptions, then: FileOptions) -> FileOptions:
    """The options of both; those of ``first`` take precedence."""
    if then == _NOTHING:
        return first
    pairs = {field.name: (getattr(first, field.name), getattr(then, field.name)) for field in fields(FileOptions)}
    return FileOptions(**{name: one if one is not None else other for name, (one, other) in pairs.items()})
