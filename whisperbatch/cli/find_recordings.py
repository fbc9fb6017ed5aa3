"""Finds the recording of a transcript: beside it, in folders that the user names, or where the journal last saw it."""

import functools
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from whisperbatch.cli import failures
from whisperbatch.errors import RunError, UsageError
from whisperbatch.journal import Journal, default_path
from whisperbatch.options import READABLE
from whisperbatch.outputs.paths import absolute
from whisperbatch.records import Transcript
from whisperbatch.sources.folders import below
from whisperbatch.sources.media import is_media

CORRECTED = ".corrected"  # the review page saves NAME.corrected.json


class Recordings:
    """Finds the recordings of transcripts; a context manager for one thread, which closes the journal."""

    def __init__(self, folders: Sequence[Path], journal: Path | None = None) -> None:
        """Scan the folders and open the journal, if there is one.

        Raises:
            UsageError: One of the folders does not exist.
        """
        for folder in folders:
            if not os.path.isdir(folder):  # noqa: PTH112  (Path.is_dir raises on names too long)
                raise UsageError(f"there is no folder {folder}")
        self._folders = folders
        self._in = functools.lru_cache(maxsize=64)(_by_name_in)
        self._moved = _by_name(audio.path for folder in folders for audio in below(folder))
        self._journal: Journal | None = None
        place = journal or default_path()
        try:
            self._journal = Journal(place) if place.exists() else None
        except RunError as err:
            failures.say(str(err))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()

    def of(self, file: Path, transcript: Transcript, root: Path | None) -> Path | None:
        """Return the recording of the transcript in ``file``, or None; ``root`` is None for a file that was named."""
        beside = self._in(file.parent)
        return (
            _best(beside, file, transcript)
            or self._in_folders(file, transcript, root)
            or _sole(self._moved, file, transcript)
            or self._known(file)
        )

    def _in_folders(self, file: Path, transcript: Transcript, root: Path | None) -> Path | None:
        """Return the recording at the same relative path below one of the folders."""
        inside = file.parent.relative_to(root) if root is not None else Path()
        for folder in self._folders:
            if (found := _best(self._in(folder / inside), file, transcript)) is not None:
                return found
        return None

    def _known(self, file: Path) -> Path | None:
        """Return the recording whose output the file is, according to the journal, if that recording still exists."""
        if self._journal is None:
            return None
        try:
            places = (file.with_name(f"{stem_of(file)}.json"), file)
            owners = (self._journal.owner(absolute(place)) for place in places)
            recording = next((owner for owner in owners if owner is not None), None)
        except RunError as err:  # the journal is unusable from now on
            failures.say(str(err))
            self._journal = None
            return None
        is_there = recording is not None and os.path.isfile(recording)  # noqa: PTH113  (never raises)
        return recording if is_there else None


def stem_of(file: Path) -> str:
    """Return the name of a transcript without its extension and without the review page's ``.corrected``."""
    return file.stem.removesuffix(CORRECTED)


def has_better(file: Path) -> bool:
    """Return True if a richer transcript of the same recording is beside this one and should be read instead.

    JSON is the richest: the other formats are rendered from it.
    """
    form, stem = file.suffix.lower()[1:], stem_of(file)
    better = READABLE[: READABLE.index(form)] if form in READABLE else ()
    names = [f"{stem}.{one}" for one in better] + [f"{stem}{CORRECTED}.json"] * bool(better)
    return any(os.path.isfile(file.with_name(name)) for name in names)  # noqa: PTH113  (never raises)


def is_corrected(file: Path) -> bool:
    """Return True if the review page saved this transcript."""
    return file.name.endswith(f"{CORRECTED}.json")


def _best(known: dict[str, list[Path]], file: Path, transcript: Transcript) -> Path | None:
    """Return the recording of that name; the full name wins over the stem, then a matching size wins."""
    stem, found = _found(known, file, transcript)

    def rank(recording: Path) -> tuple[bool, bool, bytes]:
        return recording.name != stem, _size(recording) != transcript.size, os.fsencode(recording)

    return min(found, key=rank, default=None)


def _sole(known: dict[str, list[Path]], file: Path, transcript: Transcript) -> Path | None:
    """Return the only recording of that name, or the only one that also has the size; else None, to avoid a mix-up."""
    _, found = _found(known, file, transcript)
    of_size = [recording for recording in found if _size(recording) == transcript.size]
    chosen = found if len(found) == 1 else of_size
    return chosen[0] if len(chosen) == 1 else None


def _found(known: dict[str, list[Path]], file: Path, transcript: Transcript) -> tuple[str, list[Path]]:
    """Return the name that a transcript's recording should have, and the recordings of that name."""
    stem = stem_of(file)
    if stem not in known:  # the run may have had --name "{stem}.{language}"
        stem = stem.removesuffix(f".{transcript.language}")
    return stem, known.get(stem, [])


def _by_name_in(folder: Path) -> dict[str, list[Path]]:
    files: list[Path] = []
    with suppress(OSError):
        files = [file for file in folder.iterdir() if is_media(file.name)]
    return _by_name(files)


def _by_name(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Return recordings by name with and without the extension."""
    found: dict[str, list[Path]] = {}
    for file in files:
        for name in (file.name, file.stem):
            found.setdefault(name, []).append(file)
    return found


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None
