"""Which recording a transcript is of: beside it, in folders that the user names, or where the journal saw it.

Comes in: a transcript's file. Goes out: the recording's path, None where none is found.
"""

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

CORRECTED = ".corrected"  # what the review page puts before .json in the name of what it saves


class Recordings:
    """The recordings of transcripts; owned by one thread, and a context that closes the journal."""

    def __init__(self, folders: Sequence[Path], journal: Path | None = None) -> None:
        """Look through the folders and open the journal, if there is one.

        Raises:
            UsageError: A folder is none.
        """
        for folder in folders:
            if not os.path.isdir(folder):  # noqa: PTH112  (Path.is_dir raises on names too long)
                raise UsageError(f"there is no folder {folder}")
        self._folders = folders
        self._moved = _by_name(audio.path for folder in folders for audio in below(folder))
        self._journal: Journal | None = None
        place = journal or default_path()
        try:
            self._journal = Journal(place) if place.exists() else None
        except RunError as err:
            failures.say(str(err))

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()

    def of(self, file: Path, transcript: Transcript, root: Path | None) -> Path | None:
        """The recording of the transcript in a file, which was found below ``root`` or named (None)."""
        beside = _by_name_in(file.parent)
        return (
            _best(beside, file, transcript)
            or self._at_its_place(file, transcript, root)
            or _sole(self._moved, file, transcript)
            or self._known(file)
        )

    def _at_its_place(self, file: Path, transcript: Transcript, root: Path | None) -> Path | None:
        """The recording that has the place in a folder which the transcript has below its root."""
        inside = file.parent.relative_to(root) if root is not None else Path()
        for folder in self._folders:
            if (found := _best(_by_name_in(folder / inside), file, transcript)) is not None:
                return found
        return None

    def _known(self, file: Path) -> Path | None:
        """The recording that the journal knows a file to be an output of, if it is still there."""
        if self._journal is None:
            return None
        try:
            places = (file.with_name(f"{stem_of(file)}.json"), file)
            owners = (self._journal.owner(absolute(place)) for place in places)
            recording = next((owner for owner in owners if owner is not None), None)
        except RunError as err:  # it has failed for good
            failures.say(str(err))
            self._journal = None
            return None
        is_there = recording is not None and os.path.isfile(recording)  # noqa: PTH113  (never raises)
        return recording if is_there else None


def stem_of(file: Path) -> str:
    """The name of a transcript without its extension, and without what the page adds to corrected ones."""
    return file.stem.removesuffix(CORRECTED)


def has_better(file: Path) -> bool:
    """True when a richer transcript of the same recording is beside this one, and is read in its place.

    JSON is the richest: the others beside it were rendered from it.
    """
    form, stem = file.suffix.lower()[1:], stem_of(file)
    better = READABLE[: READABLE.index(form)] if form in READABLE else ()
    names = [f"{stem}.{one}" for one in better] + [f"{stem}{CORRECTED}.json"] * bool(better)
    return any(os.path.isfile(file.with_name(name)) for name in names)  # noqa: PTH113  (never raises)


def is_corrected(file: Path) -> bool:
    """Whether a transcript is what the review page saved."""
    return file.name.endswith(f"{CORRECTED}.json")


def _best(known: dict[str, list[Path]], file: Path, transcript: Transcript) -> Path | None:
    """The one of the name, whole name before stem and then the one of the size."""
    stem, found = _found(known, file, transcript)

    def rank(recording: Path) -> tuple[bool, bool, bytes]:
        return recording.name != stem, _size(recording) != transcript.size, os.fsencode(recording)

    return min(found, key=rank, default=None)


def _sole(known: dict[str, list[Path]], file: Path, transcript: Transcript) -> Path | None:
    """The only one of the name, or the only one of several that has the size: others' would be somebody else's."""
    _, found = _found(known, file, transcript)
    of_size = [recording for recording in found if _size(recording) == transcript.size]
    chosen = found if len(found) == 1 else of_size
    return chosen[0] if len(chosen) == 1 else None


def _found(known: dict[str, list[Path]], file: Path, transcript: Transcript) -> tuple[str, list[Path]]:
    """The name by which a transcript's recording is known, and those that have it."""
    stem = stem_of(file)
    if stem not in known:  # it may have been named by --name "{stem}.{language}"
        stem = stem.removesuffix(f".{transcript.language}")
    return stem, known.get(stem, [])


@functools.lru_cache(maxsize=64)
def _by_name_in(folder: Path) -> dict[str, list[Path]]:
    files: list[Path] = []
    with suppress(OSError):
        files = [file for file in folder.iterdir() if is_media(file.name)]
    return _by_name(files)


def _by_name(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Recordings by their names with and without the extension."""
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
