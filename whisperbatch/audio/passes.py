"""Cut one file into clips, in a pass for each audio track that has to be read.

Most files need one pass; more are needed when the first track has no speech, and for ``all`` tracks. The clips of all
passes come as one stream; after it, damage and notices about the file are known.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from whisperbatch.audio import clips, tracks
from whisperbatch.audio.decode import Reader
from whisperbatch.errors import LoadError, SpoolError
from whisperbatch.options import ALL_TRACKS, LoadOptions
from whisperbatch.records import DAMAGED

Maker = Callable[[int | None], clips.Cutter]
Watch = Callable[[Iterator[np.ndarray]], Iterator[np.ndarray]]
DEFAULT_NAMES = LoadOptions().channel_names


class TrackPasses:
    """Makes the passes over one file, for one thread."""

    def __init__(self, path: Path, load: LoadOptions, make: Maker, watched: Watch) -> None:
        """Read nothing yet.

        Args:
            path: The file.
            load: How to load it.
            make: Returns the cutter for a channel; its argument is None when there is only one.
            watched: Wraps the blocks of each pass on their way to the cutters.
        """
        self._path, self._load, self._make, self._watched = path, load, make, watched
        self._first = self._reader(load.track)
        self._taken: list[Reader] = []  # readers of the tracks that the clips come from
        self._silent: list[tracks.Track] = []
        self._lost: list[str] = []  # sentences about tracks that could not be read
        self._n_channels = 0  # of the earlier passes

    def cuts(self, *, falls_back: bool) -> Iterator[clips.Cut]:
        """Yield the clips; with ``falls_back``, those of the first track with speech, if there is one.

        Raises:
            LoadError: Nothing of the file can be read, or a requested track does not exist.
        """
        first = self._first
        if self._load.track == ALL_TRACKS:
            yield from self._of_all(first)
        elif falls_back:
            yield from self._with_speech(first)
        else:
            self._taken = [first]
            yield from self._through(first)

    @property
    def n_samples(self) -> int:
        """The length of the longest track that was taken."""
        return max((reader.n_samples for reader in self._taken), default=0)

    @property
    def damage(self) -> str | None:
        """One sentence about all damage, or None."""
        damaged = [(reader, reader.damage.removeprefix(DAMAGED)) for reader in self._taken if reader.damage]
        several = len(self._taken) > 1
        sentences = [f"track {one.track.number}: {damage}" if several else damage for one, damage in damaged]
        return DAMAGED + "; ".join(sentences + self._lost) if sentences or self._lost else None

    @property
    def notices(self) -> list[str]:
        """Sentences about the tracks and channels that were taken."""
        if len(self._taken) < 2:
            own = [notice for reader in self._taken for notice in reader.notices]
        else:
            own = [f"track {one.track.number}: {notice}" for one in self._taken for notice in one.notices]
        taken, is_chosen = [reader.track for reader in self._taken], self._load.track is not None
        return tracks.notices(self._first.tracks, taken, self._silent, is_chosen=is_chosen) + own

    @property
    def channel_names(self) -> list[str]:
        """The names of the clips' channels when they are several tracks; else empty."""
        if len(self._taken) < 2:
            return []
        own, given = tracks.names([reader.track for reader in self._taken]), self._load.channel_names
        if self._load.channels == "mix" and given != DEFAULT_NAMES and len(given) >= len(own):
            own = list(given)[: len(own)]
        return [name for name, reader in zip(own, self._taken, strict=True) for name in self._sides(name, reader)]

    def _sides(self, track: str, reader: Reader) -> list[str]:
        """The names of a track's channels; one, unless they are kept separate."""
        if reader.n_channels < 2:
            return [track]
        given = self._load.channel_names
        return [
            f"{track} {given[number] if number < len(given) else f'CH{number + 1}'}"
            for number in range(reader.n_channels)
        ]

    @property
    def is_of_one_language(self) -> bool:
        """True if the clips may vote on one language for the file; known once the first clip has come."""
        tagged = {one.language for one in self._first.candidates if one.language}
        return self._load.track != ALL_TRACKS or len(tagged) < 2

    def _of_all(self, first: Reader) -> Iterator[clips.Cut]:
        """The clips of every track; an unreadable track is damage, unless all are unreadable."""
        errors: list[LoadError] = []
        for reader in self._in_turn(first):
            self._n_channels = sum(one.n_channels for one in self._taken)
            try:
                yield from self._through(reader, is_one_of_many=reader is not first)
            except LoadError as err:
                errors.append(self._lose(reader, err))
            else:
                self._taken.append(reader)
        if not self._taken:
            raise errors[0]

    def _with_speech(self, first: Reader) -> Iterator[clips.Cut]:
        """The clips of the first track with speech; else those of the first track, which have none."""
        errors: list[LoadError] = []
        blank: list[clips.Cut] = []  # whole recordings in which no speech was found
        for reader in self._in_turn(first):
            held: list[clips.Cut] = []
            has_speech = False
            try:
                for cut in self._through(reader):
                    held.append(cut)
                    has_speech = has_speech or bool(cut.speech) or isinstance(cut.samples, np.ndarray)
                    while has_speech and held:
                        yield held.pop(0)
            except LoadError as err:
                errors.append(self._lose(reader, err))
                continue
            if has_speech:
                self._taken = [reader]
                return
            self._silent.append(reader.track)
            self._taken, blank = self._taken or [reader], blank or held
        if not self._taken:
            raise errors[0]
        yield from blank

    def _lose(self, reader: Reader, error: LoadError) -> LoadError:
        """Record that a track gave nothing; one that fails midway, for example as too long, fails the file."""
        if reader.n_samples or isinstance(error, SpoolError):
            raise error
        self._lost.append(f"track {reader.track.number} {error.message}")
        return error

    def _in_turn(self, first: Reader) -> Iterator[Reader]:
        yield first
        for one in first.candidates[1:]:
            yield self._reader(str(one.number))

    def _through(self, reader: Reader, *, is_one_of_many: bool = False) -> Iterator[clips.Cut]:
        """The clips of one pass."""

        def make(channel: int | None) -> clips.Cutter:
            is_alone = self._load.track != ALL_TRACKS or len(reader.candidates) < 2
            return self._make(channel if is_alone and not is_one_of_many else self._n_channels + (channel or 0))

        yield from clips.cut(self._watched(reader.blocks()), make)

    def _reader(self, track: str | None) -> Reader:
        split = self._load.channels == "split"
        return Reader(self._path, split=split, max_s=self._load.max_duration_s, track=track)
