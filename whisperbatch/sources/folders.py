"""Files, folders and patterns to recordings, in a stable order, each once."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from whisperbatch.errors import UsageError
from whisperbatch.records import AudioFile, FileOptions
from whisperbatch.sources.media import found, is_for_people, is_media

Notice = Callable[[str, Path | None], None]
Wanted = Callable[[str], bool]  # by a file's name


def from_paths(paths: Sequence[str | Path], is_wanted: Wanted = is_media) -> Iterator[AudioFile]:
    """The recordings that the paths name: files, folders with all below them, patterns the shell did not expand.

    ``is_wanted`` says which files in folders count: recordings, unless transcripts are looked for. A named file is
    taken whatever its extension; a file reached twice counts once. What a pattern matches counts as listed: it keeps
    its place below the current folder. A folder that cannot be read comes out as a file that fails.

    Raises:
        UsageError: At once, when a path does not exist and no file matches it as a pattern.
    """
    places = [place for path in paths for place in _expand(Path(path), is_wanted)]

    def files() -> Iterator[AudioFile]:
        for place, is_matched in places:
            for audio in all_below(place, is_wanted):
                yield replace(audio, root=None) if is_matched else audio

    return once(files())


def below(
    path: Path,
    on_notice: Notice | None = None,
    is_left_out: Callable[[Path], bool] = lambda path: False,
    but: Iterable[Path] = (),
    is_wanted: Wanted = is_media,
) -> Iterator[AudioFile]:
    """The file itself, or the recordings in a folder and all below it, sorted, without what is to be left out.

    Folders in ``but`` are not entered, by whatever name they are reached.
    """
    if not os.path.isdir(path):  # noqa: PTH112  (Path.is_dir raises on names too long and folders not to be entered)
        yield found(path)
        return
    visited: set[object] = {_identity(folder) for folder in but if os.path.isdir(folder)}  # noqa: PTH112

    def failed(error: OSError) -> None:
        if on_notice is not None:
            on_notice(f"this folder cannot be read: {error.strerror}", Path(error.filename))

    for folder, folders, names in os.walk(path, onerror=failed, followlinks=True):
        here = _identity(Path(folder))
        if here in visited:  # a link that leads back up
            folders.clear()
            continue
        visited.add(here)
        folders[:] = sorted(n for n in folders if is_for_people(n) and not is_left_out(Path(folder, n)))
        for name in sorted(names):
            file = Path(folder) / name
            if is_wanted(name) and not is_left_out(file) and os.path.isfile(file):  # noqa: PTH113  (as above)
                yield found(file, path)


def all_below(path: Path, is_wanted: Wanted = is_media) -> Iterator[AudioFile]:
    """As ``below``; a folder that cannot be read comes out too, and fails: what is in it is not done."""
    closed: list[AudioFile] = []

    def failed(text: str, folder: Path | None) -> None:
        closed.append(AudioFile(folder or path, options=FileOptions(fault=text)))

    yield from below(path, failed, is_wanted=is_wanted)
    yield from closed


def once(files: Iterable[AudioFile]) -> Iterator[AudioFile]:
    """Each file when it first comes, however its path is spelled and through whichever link it is reached."""
    seen: set[object] = set()
    for audio in files:
        if (key := _identity(audio.path)) not in seen:
            seen.add(key)
            yield audio


def _expand(path: Path, is_wanted: Wanted) -> list[tuple[Path, bool]]:
    """The path itself, or what it matches as a pattern; with each, whether it was matched."""
    if os.path.lexists(path):
        return [(path, False)]
    text = str(path)
    if not glob.has_magic(text):
        raise UsageError(f"there is no file or folder {text}")
    matches = sorted(set(_matches(path)))
    wanted = [
        match
        for match in matches
        if os.path.isdir(match)  # noqa: PTH112
        or is_wanted(match.name)
        or (path.suffix and path.suffix == match.suffix)
    ]
    if not matches:
        raise UsageError(f"no file matches {text}")
    chosen = set(wanted or matches)  # a pattern that matches nothing with a known extension is taken at its word
    # a matched folder is walked whole, and so finds again what is matched below it
    return [(match, True) for match in matches if match in chosen and chosen.isdisjoint(match.parents)]


def _matches(pattern: Path) -> list[Path]:
    """What a pattern names; ``**`` is any depth of folders, none hidden and none behind a link.

    ``glob`` itself follows links below ``**``: two that lead back up keep it busy for ever.
    """
    parts = pattern.parts
    if "**" not in parts:
        return [Path(match) for match in glob.glob(str(pattern))]  # noqa: PTH207  (keeps the spelling)
    at = parts.index("**")
    start, rest = Path(*parts[:at]), parts[at + 1 :]
    starts = _matches(start) if glob.has_magic(str(start)) else [start]
    if not rest:
        return [one for one in starts if os.path.isdir(one)]  # noqa: PTH112
    found_here: list[Path] = []
    for one in starts:
        for folder, folders, _ in os.walk(one):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            found_here += _matches(Path(glob.escape(folder), *rest))
    return found_here


def _identity(path: Path) -> object:
    """What two ways to the same file have in common; hard links are files of their own, each with its own name."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return os.path.normpath(path)
    is_hard_linked = status.st_nlink > 1 and not os.path.isdir(path)  # noqa: PTH112
    if is_hard_linked or status.st_ino == 0:  # some file systems number nothing
        return os.path.realpath(path)
    return status.st_dev, status.st_ino
