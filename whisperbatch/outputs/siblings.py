"""Which recordings lie beside a recording, since those of one stem use their full names."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from whisperbatch.outputs.paths import folded

MAX_LISTINGS = 256  # folders kept in mind


@dataclass(frozen=True, slots=True)
class _Listing:
    """A folder's names, and how many recordings have each stem and each whole name, folded."""

    names: frozenset[str]
    stems: Counter[str]
    wholes: Counter[str]


class Siblings:
    """Which recordings lie in the folders that inputs come from; the Namer's, under its lock.

    What it says is the same whichever recording asks first.
    """

    def __init__(self, suffixes: frozenset[str]) -> None:
        """Take the suffixes of recordings."""
        self._suffixes = suffixes
        self._listings: dict[Path, _Listing] = {}

    def share_stem(self, path: Path) -> bool:
        """Whether another recording in the folder takes the same name, so that both use their full ones.

        Trap: beside ``talk.wav`` and ``talk.mp3``, which use full names, ``talk.wav.mp3`` must not be ``talk.wav``.
        """
        listing = self._listing(path)
        stem = folded(path.stem)
        itself = int(self._counts(path, listing))
        return listing.stems[stem] > itself or (listing.wholes[stem] > 0 and self._is_full(stem, listing))

    def share_whole(self, path: Path) -> bool:
        """Whether another recording's whole name differs from this one's in case or composition only."""
        listing = self._listing(path)
        return listing.wholes[folded(path.name)] > int(self._counts(path, listing))

    def _is_full(self, whole: str, listing: _Listing) -> bool:
        """Whether a recording of that folded name uses its full name."""
        stem = folded(Path(whole).stem)
        return listing.stems[stem] > 1 or (listing.wholes[stem] > 0 and self._is_full(stem, listing))

    def _counts(self, path: Path, listing: _Listing) -> bool:
        return path.name in listing.names and self._is_media(path.name)

    def _listing(self, path: Path) -> _Listing:
        known = self._listings.get(path.parent)
        if known is None or path.name not in known.names:  # it came after the folder was listed
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
    """All names in a folder, and those of files; none when it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            there = list(entries)
    except OSError:
        return frozenset(), []
    return frozenset(entry.name for entry in there), [entry.name for entry in there if _is_file(entry)]


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads in a circle
        return False
