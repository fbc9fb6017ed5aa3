"""Find recordings in files, folders and patterns, in a stable order, each once."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from whisperbatch.errors import UsageError
from whisperbatch.records import AudioFile, FileOptions
from whisperbatch.sources.media import audio_file, is_media, is_user_folder

Notice = Callable[[str, Path | None], None]
Wanted = Callable[[str], bool]  # takes a file's name


def from_paths(paths: Sequence[str | Path], is_wanted: Wanted = is_media) -> Iterator[AudioFile]:
    """Yield the recordings that the paths name: files, folders and all below them, patterns the shell did not expand.

    ``is_wanted`` selects files in folders by name: recordings, or transcripts when those are searched for. A named file
    is taken whatever its extension; a file reached twice counts once. A file that a pattern matches is treated like a
    named one: its output keeps its place below the current folder. An unreadable folder yields a file that fails.

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
    """Yield the file itself, or the recordings in a folder and all below it, sorted, except those left out.

    Folders in ``but`` are not entered, by whatever name they are reached.
    """
    if not os.path.isdir(path):  # noqa: PTH112  (Path.is_dir raises on names too long and folders not to be entered)
        yield audio_file(path)
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
        folders[:] = sorted(n for n in folders if is_user_folder(n) and not is_left_out(Path(folder, n)))
        for name in sorted(names):
            file = Path(folder) / name
            if is_wanted(name) and not is_left_out(file) and os.path.isfile(file):  # noqa: PTH113  (as above)
                yield audio_file(file, path)


def all_below(path: Path, is_wanted: Wanted = is_media) -> Iterator[AudioFile]:
    """Like ``below``, but yield an unreadable folder too, as a file that fails: its content is not transcribed."""
    closed: list[AudioFile] = []

    def failed(text: str, folder: Path | None) -> None:
        closed.append(AudioFile(folder or path, options=FileOptions(fault=text)))

    yield from below(path, failed, is_wanted=is_wanted)
    yield from closed


def once(files: Iterable[AudioFile]) -> Iterator[AudioFile]:
    """Yield each file only once, however its path is spelled and through whichever link it is reached."""
    seen: set[object] = set()
    for audio in files:
        if (key := _identity(audio.path)) not in seen:
            seen.add(key)
            yield audio


def _expand(path: Path, is_wanted: Wanted) -> list[tuple[Path, bool]]:
    """The path itself, or its matches as a pattern; with each, whether it was matched."""
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
    chosen = set(wanted or matches)  # if no match has a known extension, the pattern means all of them
    # a matched folder is walked completely, so matches below it would be found twice
    return [(match, True) for match in matches if match in chosen and chosen.isdisjoint(match.parents)]


def _matches(pattern: Path) -> list[Path]:
    """The matches of a pattern; ``**`` is any depth of folders, none hidden and none behind a link.

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
    """An identity that all paths to a file share; hard links count as separate files, each with its own name."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return os.path.normpath(path)
    is_hard_linked = status.st_nlink > 1 and not os.path.isdir(path)  # noqa: PTH112
    if is_hard_linked or status.st_ino == 0:  # some file systems have no file numbers
        return os.path.realpath(path)
    return status.st_dev, status.st_ino
