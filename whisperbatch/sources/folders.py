"""Files, folders and patterns to recordings, in a stable order, each once.

Who calls: the API and the CLI; ``listed`` for each line.
"""

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from whisperbatch.errors import UsageError
from whisperbatch.records import AudioFile
from whisperbatch.sources.media import found, is_media

Notice = Callable[[str, Path | None], None]


def from_paths(paths: Sequence[str | Path], *, on_notice: Notice | None = None) -> Iterator[AudioFile]:
    """The recordings that the paths name: files, folders with all below them, patterns the shell did not expand.

    A named file is taken whatever its extension; a file reached twice counts once. ``on_notice`` hears of folders that
    cannot be read.

    Raises:
        UsageError: At once, when a path does not exist and no file matches it as a pattern.
    """
    places = [place for path in paths for place in _expand(Path(path))]

    def files() -> Iterator[AudioFile]:
        seen: set[tuple[int, int]] = set()
        for place in places:
            for audio in below(place, on_notice):
                if (key := _identity(audio.path)) not in seen:
                    seen.add(key)
                    yield audio

    return files()


def below(path: Path, on_notice: Notice | None = None) -> Iterator[AudioFile]:
    """The file itself, or the recordings in a folder and all below it, sorted."""
    if not path.is_dir():
        yield found(path)
        return
    visited: set[tuple[int, int]] = set()

    def failed(error: OSError) -> None:
        if on_notice is not None:
            on_notice(f"this folder cannot be read: {error.strerror}", Path(error.filename))

    for folder, folders, names in os.walk(path, onerror=failed, followlinks=True):
        here = _identity(Path(folder))
        if here in visited:  # a link that leads back up
            folders.clear()
            continue
        visited.add(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder) / name
            if is_media(name) and file.is_file():
                yield found(file, path)


def _expand(path: Path) -> list[Path]:
    if os.path.lexists(path):
        return [path]
    text = str(path)
    if glob.has_magic(text):
        matches = sorted(Path(match) for match in glob.glob(text, recursive=True))  # noqa: PTH207  (keeps the spelling)
        # a pattern's folders are not entered, as a shell's pattern names them too: they are walked like named ones
        files = [match for match in matches if match.is_dir() or is_media(match.name) or path.suffix == match.suffix]
        if files:
            return [match for match in files if not _has_parent_in(match, files)]
        raise UsageError(f"no file matches {text}")
    raise UsageError(f"there is no file or folder {text}")


def _has_parent_in(path: Path, others: list[Path]) -> bool:
    """Whether one of ``path``'s folders is matched too, so that walking it finds the file again."""
    return any(parent in set(others) for parent in path.parents)


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return 0, hash(os.fspath(path))
    return status.st_dev, status.st_ino
