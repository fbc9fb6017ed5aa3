"""Settings that lie beside recordings: ``talk.whisperbatch.toml`` for ``talk.mp3``, ``whisperbatch.toml`` for a folder.

Comes in: recordings as sources find them. Goes out: the same with what they ask for. Key by key a line of JSON comes
first, then the recording's own sidecar, then those of its folder and of each folder above it, up to the folder that was
named. Whoever may put a recording there may put a sidecar beside it: it names no file outside that folder, and one that
makes no sense fails the recordings that it is for.
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
from whisperbatch.sources.file_options import asks_of

NAME = "whisperbatch.toml"
KEYS = ("language", "task", "prompt", "hotwords", "replace", "formats", "speakers")
UNKNOWN = "unknown key '{}'; known are {} (a file for --config needs another name)"
MAX_BYTES = 64_000
MAX_KEPT = 10_000  # sidecars whose content is kept in mind
_NOTHING = FileOptions()


def with_sidecars(files: Iterable[AudioFile], wanted: bool) -> Iterator[AudioFile]:
    """The files with what their sidecars ask for, each read as it comes; as they are when that is not ``wanted``."""
    sidecars = Sidecars()
    for audio in files:
        yield sidecars.applied(audio) if wanted else audio


class Sidecars:
    """The sidecars of some folders; for one thread."""

    def __init__(self) -> None:
        """Know none yet."""
        self._contents: dict[Path, tuple[tuple[int, ...], dict[str, Any] | str]] = {}
        self._folders: dict[tuple[Path, Path], FileOptions] = {}

    def look_again(self) -> None:
        """Forget what folders ask for, which is otherwise looked up once."""
        self._folders.clear()

    def applied(self, audio: AudioFile) -> AudioFile:
        """The recording with what its sidecars ask for where its own line in a list does not."""
        if audio.options.fault is not None:
            return audio
        folder = audio.path.parent
        root = folder if audio.root is None else audio.root
        own = self._asked(folder / f"{audio.path.stem}.{NAME}", root)
        found = _merged(audio.options, _merged(own, self._of_folder(folder, root)))
        return audio if found == audio.options else replace(audio, options=found)

    def _of_folder(self, folder: Path, root: Path) -> FileOptions:
        """What the files in a folder ask for, by its sidecar and those of the folders above it up to ``root``."""
        way = [folder, *folder.parents] if root in folder.parents else [folder]
        asked = _NOTHING
        for one in reversed(way[: way.index(root) + 1 if root in way else 1]):
            if (one, root) not in self._folders:
                if len(self._folders) >= MAX_KEPT:
                    self._folders.clear()
                self._folders[one, root] = _merged(self._asked(one / NAME, root), asked)
            asked = self._folders[one, root]
        return asked

    def _asked(self, sidecar: Path, root: Path) -> FileOptions:
        """What a sidecar asks for; nothing when there is none, a fault when it makes no sense."""
        try:
            content = self._content(sidecar)
            if isinstance(content, str):
                raise UsageError(content)
            return FileOptions(**_values(content, sidecar, root)) if content else _NOTHING
        except UsageError as err:
            return FileOptions(fault=f"{sidecar}: {err.message}")

    def _content(self, sidecar: Path) -> dict[str, Any] | str:
        """A sidecar's keys and values, or what is wrong with it; empty when there is none."""
        try:
            status = os.stat(sidecar)  # noqa: PTH116  (raises on fewer names than Path.stat)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as err:  # a name may be too long with our ending
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
        told = tomllib.loads(text)
    except OSError as err:
        return f"cannot be read: {err.strerror or err}"
    except UnicodeDecodeError:
        return "this is not UTF-8 text"
    except (ValueError, RecursionError) as err:
        return f"this is not valid TOML: {str(err).partition(chr(10))[0]}"
    unknown = [key for key in told if key not in KEYS]
    return UNKNOWN.format(unknown[0], ", ".join(KEYS)) if unknown else told


def _values(told: dict[str, Any], sidecar: Path, root: Path) -> dict[str, Any]:
    """Fields of FileAsks; UsageError names the key whose value makes no sense."""
    found: dict[str, Any] = {}
    for key, value in told.items():
        try:
            found[key] = asks_of({key: value}, "formats", lambda name: _below(name, sidecar, root))[key]
        except UsageError as err:
            named = "" if f'"{key}"' in err.message else f'"{key}": '
            raise UsageError(f"{named}{err.message}") from err
    return found


def _below(name: str, sidecar: Path, root: Path) -> Path:
    """The file of that name, counted from the sidecar's folder; UsageError unless it is in ``root``, links followed."""
    try:
        top, place = root.resolve(), (sidecar.parent / name).resolve()
    except (OSError, RuntimeError) as err:  # links in a circle
        raise UsageError(f"{name} cannot be read: {err}") from err
    is_below = not Path(name).is_absolute() and place.is_relative_to(top)
    require(is_below, f"{name} does not lie in {root}, the folder that was named")
    return place


def _merged(first: FileOptions, then: FileOptions) -> FileOptions:
    """What either asks for, ``first`` before ``then``."""
    if then == _NOTHING:
        return first
    pairs = {field.name: (getattr(first, field.name), getattr(then, field.name)) for field in fields(FileOptions)}
    return FileOptions(**{name: one if one is not None else other for name, (one, other) in pairs.items()})
