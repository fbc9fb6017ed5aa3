"""Find recordings in the same folder with the same stem, since their outputs must use the full file names."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from whisperbatch.outputs.paths import folded

MAX_LISTINGS = 256  # cached folders


@dataclass(frozen=True, slots=True)
class _Listing:
    """A folder's names, and the number of recordings for each stem and each whole name, folded."""

    names: frozenset[str]
    stems: Counter[str]
    wholes: Counter[str]


class Siblings:
    """Recordings in the folders of the inputs; owned by the Namer, under its lock.

    Its answers do not depend on the order of the calls.
    """

    def __init__(self, suffixes: frozenset[str]) -> None:
        """Create an empty cache; ``suffixes`` are those of recordings."""
        self._suffixes = suffixes
        self._listings: dict[Path, _Listing] = {}

    def share_stem(self, path: Path) -> bool:
        """Return whether another recording in the folder would take the same name, so both use their full names.

        Trap: beside ``talk.wav`` and ``talk.mp3``, which use full names, ``talk.wav.mp3`` must not be ``talk.wav``.
        """
        listing = self._listing(path)
        stem = folded(path.stem)
        itself = int(self._counts(path, listing))
        return listing.stems[stem] > itself or (listing.wholes[stem] > 0 and self._is_full(stem, listing))

    def share_whole(self, path: Path) -> bool:
        """Return whether another recording's whole name differs only in case or Unicode composition."""
        listing = self._listing(path)
        return listing.wholes[folded(path.name)] > int(self._counts(path, listing))

    def _is_full(self, whole: str, listing: _Listing) -> bool:
        """True if a recording with that folded name uses its full name."""
        stem = folded(Path(whole).stem)
        return listing.stems[stem] > 1 or (listing.wholes[stem] > 0 and self._is_full(stem, listing))

    def _counts(self, path: Path, listing: _Listing) -> bool:
        return path.name in listing.names and self._is_media(path.name)

    def _listing(self, path: Path) -> _Listing:
        known = self._listings.get(path.parent)
        if known is None or path.name not in known.names:  # it appeared after the folder was listed
            if len(self._listings) >= MAX_LISTINGS:
                self._listings.clear()
            names, files = names_in(path.parent)
            media = [name for name in files if self._is_media(name)]
            known = _Listing(names, Counter(folded(Path(name).stem) for name in media), Counter(map(folded, media)))
            self._listings[path.parent] = known
        return known

    def _is_media(self, name: str) -> bool:
        return not name.startswith((".", "~")) and Path(name).suffix.lower() in self._suffixes


def names_in(folder: Path) -> tuple[frozenset[str], list[str]]:
    """Return all names in a folder, and those of files; empty if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            there = list(entries)
    except OSError:
        return frozenset(), []
    return frozenset(entry.name for entry in there), [entry.name for entry in there if _is_file(entry)]


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a circular link
        return False
