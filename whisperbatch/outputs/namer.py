"""Names of outputs: which ones a recording may have, and who has reserved which.

A name that was reserved for a recording stays its own for the run. Nothing here reads a transcript, and no lock is held
while the disk is looked at.
"""

import os
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from whisperbatch.errors import RunError, WriteError
from whisperbatch.options import OutputOptions
from whisperbatch.outputs.atomic import reason, remove_stale, temporary_beside, write_all
from whisperbatch.outputs.move_file import is_copy
from whisperbatch.outputs.paths import (
    UNDETERMINED,
    absolute,
    archived,
    file_name,
    folded,
    folder_of,
    numbered,
    places_of,
    short_hash,
)
from whisperbatch.outputs.siblings import Siblings
from whisperbatch.records import AudioFile
from whisperbatch.writers import FORMATS

__all__ = ["Name", "Namer", "check_access", "check_writable", "no_name", "remove_stale", "write_all"]


@dataclass(frozen=True, slots=True)
class Name:
    """A stem that a recording's outputs may have.

    Attributes:
        base: The stem.
        is_shared: Other recordings beside it would take the same stem, so that only one that has it from before may.
        is_numbered: A number distinguishes the recording from others of its name that were moved away before.
    """

    base: str
    is_shared: bool = False
    is_numbered: bool = False


@dataclass(frozen=True, slots=True)
class _Reserved:
    """What a recording has reserved.

    Attributes:
        base: The stem.
        version: The recording's size and mtime.
        kept: Files that were there before under this name and may be replaced.
        languages: Those whose paths are chosen.
    """

    base: str
    version: tuple[int, int]
    kept: frozenset[Path] = frozenset()
    languages: tuple[str, ...] = ()


class Namer:
    """Names for one run's outputs; any thread may call it."""

    def __init__(self, options: OutputOptions, media_suffixes: frozenset[str]) -> None:
        """Keep the options; ``media_suffixes`` are the extensions of recordings."""
        self._options = options
        self._siblings = Siblings(media_suffixes)
        self._lock = threading.Lock()  # for the three below
        self._owners: dict[str, str] = {}  # an output's path without suffix, folded -> the recording that has it
        self._reserved: dict[str, _Reserved] = {}  # by recording
        self._inputs: set[str] = set()  # recordings whose names could be an output's, folded

    def names(self, audio: AudioFile) -> Iterator[Name]:
        """The stems that a recording may have, the preferred one first."""
        base = self.known_base(audio)
        if base is not None:
            yield Name(base, is_numbered=self._is_number(audio, base))
        stem, whole = audio.path.stem, audio.path.name
        yield Name(stem, self._siblings.share_stem(audio.path))
        yield Name(whole, self._siblings.share_whole(audio.path))
        if self._options.move_done is not None:
            yield from (Name(one, is_numbered=True) for one in numbered(audio))
        last = f"{whole}.{short_hash(str(absolute(audio.path)))}"
        yield Name(last, is_numbered=self._is_number(audio, last))

    def can_have(self, audio: AudioFile, base: str, language: str = UNDETERMINED) -> bool:
        """Return whether a stem belongs to no other recording of the run and none of its paths is a recording.

        Nor may another recording be where this one would be moved to.
        """
        if self._options.move_done is not None:
            place = archived(audio, self._options, base)
            if os.path.lexists(place) and not is_copy(place, audio.path):
                return False
        paths = places_of(audio, self._options, base, language).values()
        with self._lock:
            if audio.path.suffix[1:].lower() in FORMATS:
                self._inputs.add(folded(str(absolute(audio.path))))
            if self._owner(audio, base) not in (None, _key(audio, self._options)):
                return False
            if any(folded(str(absolute(path))) in self._inputs for path in paths):
                return False
        return not any(_is_same_file(path, audio.path) for path in paths)

    def reserve(self, audio: AudioFile, base: str, kept: Collection[Path] = ()) -> bool:
        """Reserve a stem for a recording; False when another recording of the run has just taken it.

        Args:
            audio: The recording.
            base: One of its ``names``, which it ``can_have``.
            kept: Files that are there under this name and that may be replaced.
        """
        return self._reserve(audio, _Reserved(base, _version(audio), frozenset(kept)))

    def outputs(self, audio: AudioFile, language: str) -> dict[str, Path]:
        """Return the path of each format; WriteError when the files of others have all the names."""
        reserved = self._of(audio)
        if reserved is None or language not in reserved.languages:
            reserved = self._choose(audio, language, reserved)
        return places_of(audio, self._options, reserved.base, language)

    def new(self, audio: AudioFile, paths: Collection[Path]) -> frozenset[Path]:
        """Return those of a recording's paths at which nothing may be yet."""
        reserved = self._of(audio)
        assert reserved is not None
        return frozenset() if self._options.overwrite else frozenset(paths) - reserved.kept

    def choose_again(self, audio: AudioFile, language: str) -> None:
        """Let the next ``outputs`` choose again: somebody else has put a file at one of the paths."""
        with self._lock:
            reserved = self._reserved[_key(audio, self._options)]
            left = tuple(one for one in reserved.languages if one != language)
            self._reserved[_key(audio, self._options)] = replace(reserved, languages=left)

    def base(self, audio: AudioFile) -> str:
        """Return the stem that is reserved for a recording."""
        base = self.known_base(audio)
        assert base is not None
        return base

    def known_base(self, audio: AudioFile) -> str | None:
        """Return the stem that is reserved for a recording, None when none is."""
        reserved = self._of(audio)
        return None if reserved is None else reserved.base

    def has_changed(self, audio: AudioFile) -> bool:
        """Return whether a recording is another one than when its name was reserved."""
        reserved = self._of(audio)
        return reserved is not None and reserved.version != _version(audio)

    def forget(self, audio: AudioFile) -> None:
        """Hold nothing of a recording that is gone; the files on disk show which names are taken."""
        with self._lock:
            reserved = self._reserved.pop(_key(audio, self._options), None)
            if reserved is not None:
                self._owners.pop(self._slot(audio, reserved.base), None)
            self._inputs.discard(folded(str(absolute(audio.path))))

    def _choose(self, audio: AudioFile, language: str, reserved: _Reserved | None) -> _Reserved:
        """Choose the paths for a language, now that it is known: under another stem when other files are there."""
        for name in self.names(audio):
            is_its_own = reserved is not None and name.base == reserved.base
            if (name.is_shared and not is_its_own) or not self.can_have(audio, name.base, language):
                continue
            chosen = reserved if reserved is not None and is_its_own else _Reserved(name.base, _version(audio))
            paths = places_of(audio, self._options, name.base, language).values()
            if self._options.overwrite or all(path in chosen.kept or not os.path.lexists(path) for path in paths):
                chosen = replace(chosen, languages=(*chosen.languages, language))
                if self._reserve(audio, chosen):
                    return chosen
        raise no_name(audio)

    def _reserve(self, audio: AudioFile, wanted: _Reserved) -> bool:
        key = _key(audio, self._options)
        with self._lock:
            if self._owner(audio, wanted.base) not in (None, key):
                return False
            self._owners[self._slot(audio, wanted.base)] = key
            self._reserved[key] = wanted
            return True

    def _of(self, audio: AudioFile) -> _Reserved | None:
        with self._lock:
            return self._reserved.get(_key(audio, self._options))

    def _owner(self, audio: AudioFile, base: str) -> str | None:
        return self._owners.get(self._slot(audio, base))

    def _slot(self, audio: AudioFile, base: str) -> str:
        name = file_name(self._options.name, base, UNDETERMINED, "")
        return f"{folder_of(audio, self._options)}/{folded(name)}"

    def _is_number(self, audio: AudioFile, base: str) -> bool:
        return self._options.move_done is not None and base not in (audio.path.stem, audio.path.name)


def check_access(folder: Path) -> None:
    """Do nothing, or raise WriteError when nothing can be written into a folder that is there."""
    if folder.is_dir() and not os.access(folder, os.W_OK) and folder.is_dir():  # it may come or go in between
        refusal = PermissionError(13, "")
        raise WriteError(f"the transcript cannot be written: {reason(refusal)}", folder)


def check_writable(options: OutputOptions) -> None:
    """Do nothing, or raise RunError when a folder that outputs or recordings go to cannot be made or written to."""
    _check_folder(options.output_dir if options.write else None, "the output folder", "--output-dir")
    _check_folder(options.move_done, "the folder for what is done", "--move-done")
    _check_folder(options.move_failed, "the folder for what failed", "--move-failed")


def no_name(audio: AudioFile) -> WriteError:
    """Return the error for a recording whose every name is taken."""
    text = "other files have all the names its transcripts could take; use --overwrite to replace them"
    return WriteError(text, audio.path)


def _check_folder(folder: Path | None, what: str, flag: str) -> None:
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = temporary_beside(folder / "probe")
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as err:
        why = "a file has that name" if isinstance(err, FileExistsError | NotADirectoryError) else err.strerror
        raise RunError(f"{what} cannot be written to ({why}); choose another {flag}", folder) from err


def _key(audio: AudioFile, options: OutputOptions) -> str:
    return f"{folder_of(audio, options)}\0{absolute(audio.path)}"


def _version(audio: AudioFile) -> tuple[int, int]:
    return audio.size, audio.mtime_ns


def _is_same_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)  # through links too
    except (OSError, ValueError):
        return False
