"""Where a recording's transcripts go and what they are called.

Comes in: options and, one by one, recordings. Goes out: a Plan (is anything to do?) and the outputs' paths. A name that
was given to a recording stays its own for the run.
"""

import os
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from whisperbatch.errors import FileError, RunError, WriteError
from whisperbatch.files import read_regular
from whisperbatch.languages import LANGUAGES
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
    formats_of,
    numbered,
    rules_of,
    short_hash,
)
from whisperbatch.outputs.provenance import is_as_made, is_from, is_shaped_otherwise
from whisperbatch.outputs.siblings import Siblings, names_in
from whisperbatch.records import AudioFile, Transcript
from whisperbatch.writers import FORMATS, read_json

__all__ = ["Namer", "OutputPlan", "check_writable", "remove_stale", "write_all"]

ALREADY = "already transcribed"
ALL_THERE = "all its outputs are there already"

MAX_JSON = 1 << 28  # bytes; no transcript is larger, data sets are
_CODES = (*LANGUAGES, UNDETERMINED)


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """What is to be done for a recording.

    Attributes:
        skip: Why nothing is; None otherwise.
        outputs: What lies there already.
        reuse: The transcript, when only formats are missing that can be made from it.
        found: The transcript that lies there when nothing is to be done.
        stale: What lies there in another form than is wanted now, and may be replaced.
    """

    skip: str | None = None
    outputs: tuple[Path, ...] = ()
    reuse: Transcript | None = None
    found: Transcript | None = field(default=None, compare=False)
    stale: tuple[Path, ...] = field(default=(), compare=False)


@dataclass(slots=True)
class _Given:
    """The name that a recording has, what of it was there before, and the languages whose places are decided."""

    base: str
    kept: frozenset[Path]
    version: tuple[int, int]  # the recording's size and mtime
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """A transcript of the recording on disk, which outputs lie beside it, and whether another's file does.

    ``stale`` are those in another form than is wanted now (shape, replacement rules), which may be replaced.
    """

    transcript: Transcript
    there: tuple[Path, ...]
    stale: tuple[Path, ...]
    is_blocked: bool


def is_same_size(audio: AudioFile, transcript: Transcript, path: Path) -> bool:
    """Whether a transcript at ``path`` may be the recording's, by the size that it tells."""
    return transcript.size is not None and transcript.size == audio.size


class Namer:
    """Names for one run's outputs; any thread may call it."""

    def __init__(
        self,
        options: OutputOptions,
        media_suffixes: frozenset[str],
        is_from: Callable[[AudioFile, Transcript, Path], bool] = is_same_size,
    ) -> None:
        """Keep the options.

        Args:
            options: Where outputs go.
            media_suffixes: Which neighbours are recordings.
            is_from: Whether a transcript that lies at a path is this recording's; it is called under the Namer's lock.
        """
        self._options = options
        self.is_from = is_from
        self._has_language = options.name.format(stem="stem", language="\0") != options.name.format(
            stem="stem", language=""
        )
        self._lock = threading.Lock()
        self._neighbours = Siblings(media_suffixes)
        self._owners: dict[str, str] = {}  # an output's path without suffix, folded -> who has it
        self._given: dict[str, _Given] = {}  # by who has it
        self._inputs: set[str] = set()  # recordings whose names could be an output's, folded
        self._old: dict[Path, frozenset[str]] = {}  # an output folder's names before this run wrote to it
        self._cleaned: set[Path] = set()

    def plan(self, audio: AudioFile) -> OutputPlan:
        """What is to be done; the name is decided with it. WriteError when none is free or the folder is closed."""
        with self._lock:
            return self._plan(audio)

    def outputs(self, audio: AudioFile, language: str) -> dict[str, Path]:
        """Where each format goes, by the format's name; WriteError when others' files have all the names."""
        with self._lock:
            who = self._who(audio)
            if who not in self._given:
                self._plan(audio)
            if language not in self._given[who].languages:
                self._settle(audio, language)
            return self._places(audio, self._given[who].base, language)

    def new(self, audio: AudioFile, paths: Collection[Path]) -> frozenset[Path]:
        """Those of the places that were given to a recording at which nothing lay."""
        with self._lock:
            kept = self._given[self._who(audio)].kept
            return frozenset() if self._options.overwrite else frozenset(paths) - kept

    def settle_anew(self, audio: AudioFile, language: str) -> None:
        """Decide the places for a language again: somebody else's file has come to lie at one."""
        with self._lock:
            given = self._given[self._who(audio)]
            given.languages = tuple(one for one in given.languages if one != language)

    def keep(self, audio: AudioFile, base: str, ours: Collection[Path]) -> bool:
        """Whether a recording may have the name that the journal knows; ``ours`` may then be replaced.

        Raises:
            WriteError: The folder is closed.
        """
        with self._lock:
            folder = folder_of(audio, self._options)
            self._prepare(audio, folder)
            if not self._may_have(audio, base, UNDETERMINED):
                return False
            self._check_access(folder)
            self._give(audio, base, tuple(ours))
            return True

    def base(self, audio: AudioFile) -> str:
        """The stem that a recording's outputs were given."""
        with self._lock:
            return self._given[self._who(audio)].base

    def known_base(self, audio: AudioFile) -> str | None:
        """The stem that a recording's outputs were given; None when nobody asked for one."""
        with self._lock:
            given = self._given.get(self._who(audio))
            return None if given is None else given.base

    def forget(self, audio: AudioFile) -> None:
        """Hold nothing of a recording that has gone; what lies on disk tells which names are taken."""
        with self._lock:
            given = self._given.pop(self._who(audio), None)
            if given is not None:
                self._owners.pop(self._slot(audio, given.base), None)
            self._inputs.discard(folded(str(absolute(audio.path))))

    def _plan(self, audio: AudioFile) -> OutputPlan:
        folder = folder_of(audio, self._options)
        self._prepare(audio, folder)
        free: str | None = None
        reuse: Transcript | None = None
        for base, must_be_known in self._candidates(audio):
            if free is not None and self._is_number(audio, base):
                break
            if not self._may_have(audio, base, UNDETERMINED):
                continue
            found = self._find(audio, folder, base)
            if found is not None and (self._options.overwrite or not found.is_blocked):
                return self._take_up(audio, base, found)
            if found is not None:
                reuse = reuse or found.transcript
            elif not must_be_known and (there := self._text_only(audio, folder, base)):
                self._give(audio, base, there)
                return OutputPlan(skip=ALL_THERE, outputs=there)
            if free is None and not must_be_known and self._is_free(audio, folder, base):
                free = base
                if self._options.overwrite:
                    break
        if free is None:
            raise _no_name(audio)
        self._check_access(folder)
        self._give(audio, free, ())
        return OutputPlan(reuse=reuse)

    def _take_up(self, audio: AudioFile, base: str, found: _Found) -> OutputPlan:
        """The plan for a recording whose own transcript was found: skip it, complete the set, or do it again."""
        if not self._options.overwrite and len(found.there) == len(formats_of(audio, self._options)):
            self._give(audio, base, found.there)
            return OutputPlan(skip=ALREADY, outputs=found.there, found=found.transcript)
        self._check_access(folder_of(audio, self._options))
        if self._options.overwrite:
            self._give(audio, base, ())
            return OutputPlan()
        self._give(audio, base, found.there + found.stale)
        return OutputPlan(outputs=found.there, reuse=found.transcript, stale=found.stale)

    def _prepare(self, audio: AudioFile, folder: Path) -> None:
        """Clear away what dead runs left, once a folder, and remember an input that could be taken for an output."""
        if folder not in self._cleaned:
            remove_stale(folder)
            self._cleaned.add(folder)
        if self._who(audio) in self._given:  # it comes again: what this run wrote counts as there
            self._old.pop(folder, None)
        if audio.path.suffix[1:].lower() in FORMATS:
            self._inputs.add(folded(str(absolute(audio.path))))

    def _check_access(self, folder: Path) -> None:
        if folder.is_dir() and not os.access(folder, os.W_OK) and folder.is_dir():  # it may come or go in between
            refusal = PermissionError(13, "")
            raise WriteError(f"the transcript cannot be written: {reason(refusal)}", folder)

    def _candidates(self, audio: AudioFile) -> Iterator[tuple[str, bool]]:
        """Names in the order of preference, and whether each is only for a recording that has it from before."""
        given = self._given.get(self._who(audio))
        if given is not None:
            yield given.base, False
        yield audio.path.stem, self._neighbours.share_stem(audio.path)
        yield audio.path.name, self._neighbours.share_whole(audio.path)
        if self._options.move_done is not None:
            yield from ((base, False) for base in numbered(audio))
        yield f"{audio.path.name}.{short_hash(str(absolute(audio.path)))}", False

    def _is_number(self, audio: AudioFile, base: str) -> bool:
        return self._options.move_done is not None and base not in (audio.path.stem, audio.path.name)

    def _who(self, audio: AudioFile) -> str:
        return f"{folder_of(audio, self._options)}\0{absolute(audio.path)}"

    def _slot(self, audio: AudioFile, base: str) -> str:
        name = file_name(self._options.name, base, UNDETERMINED, "")
        return f"{folder_of(audio, self._options)}/{folded(name)}"

    def _give(self, audio: AudioFile, base: str, kept: tuple[Path, ...]) -> None:
        who = self._who(audio)  # a run may name very many recordings
        self._owners[self._slot(audio, base)] = who
        self._given[who] = _Given(base, frozenset(kept), (audio.size, audio.mtime_ns))

    def _settle(self, audio: AudioFile, language: str) -> None:
        """Decide the places for a language, now that it is known; another name when someone else's files lie there."""
        given = self._given[self._who(audio)]
        for base, must_be_known in self._candidates(audio):
            if must_be_known and base != given.base:
                continue
            places = self._places(audio, base, language)
            if not self._may_have(audio, base, language):
                continue
            if self._options.overwrite or all(p in given.kept or not os.path.lexists(p) for p in places.values()):
                if base != given.base:
                    self._give(audio, base, ())
                self._given[self._who(audio)].languages += (language,)
                return
        raise _no_name(audio)

    def _may_have(self, audio: AudioFile, base: str, language: str) -> bool:
        """Whether the name belongs to no other recording of the run, and no output of it is a recording itself.

        Nor may another recording lie under it where this one is to be moved.
        """
        if self._options.move_done is not None:
            place = archived(audio, self._options, base)
            if os.path.lexists(place) and not is_copy(place, audio.path):
                return False
        if self._owners.get(self._slot(audio, base), self._who(audio)) != self._who(audio):
            return False
        return not any(self._is_input(path, audio) for path in self._places(audio, base, language).values())

    def _is_input(self, path: Path, audio: AudioFile) -> bool:
        if folded(str(absolute(path))) in self._inputs:
            return True
        try:
            return path.samefile(audio.path)  # through links too
        except (OSError, ValueError):
            return False

    def _find(self, audio: AudioFile, folder: Path, base: str) -> _Found | None:
        """The recording's own transcript under that name; None when there is none."""
        for language in self._languages(folder, base, "json"):
            file = self._path(folder, base, language, "json")
            try:
                if file.stat().st_size > MAX_JSON:
                    continue
                transcript = read_json(read_regular(file))
            except (OSError, FileError):
                continue
            if not self.is_from(audio, transcript, file):
                continue
            places = self._places(audio, base, language)
            taken = {name: path for name, path in places.items() if os.path.lexists(path)}
            options = self._options
            has_other_rules = transcript.replacements != rules_of(audio, options).digest
            stale = tuple(
                p
                for name, p in taken.items()
                if is_shaped_otherwise(p, name, transcript, options)
                or (has_other_rules and is_as_made(p, name, transcript, options))
            )
            ours = tuple(
                path
                for name, path in taken.items()
                if path not in stale and is_from(path, name, file, transcript, options)
            )
            return _Found(transcript, ours, stale, is_blocked=len(ours) + len(stale) < len(taken))
        return None

    def _text_only(self, audio: AudioFile, folder: Path, base: str) -> tuple[Path, ...]:
        """All outputs, when no JSON is wanted that could tell whose they are and all are there; else nothing.

        Reason: without this, a second run with ``--format srt`` would do everything again under other names.
        """
        if self._options.overwrite or "json" in formats_of(audio, self._options):
            return ()
        given = self._given.get(self._who(audio))
        if given is not None and given.version != (audio.size, audio.mtime_ns):  # a new recording of that name
            return ()
        for language in self._languages(folder, base, formats_of(audio, self._options)[0]):
            paths = tuple(self._path(folder, base, language, name) for name in formats_of(audio, self._options))
            if all(path.is_file() for path in paths):
                return paths
        return ()

    def _is_free(self, audio: AudioFile, folder: Path, base: str) -> bool:
        """Whether nothing has one of the names; with {language} that shows when the language is known."""
        if self._options.overwrite or self._has_language:
            return True
        return not any(os.path.lexists(self._path(folder, base, "", name)) for name in formats_of(audio, self._options))

    def _languages(self, folder: Path, base: str, suffix: str) -> Iterator[str]:
        """The languages in which an output of that name and format was there before."""
        if not self._has_language:
            yield ""
            return
        if folder not in self._old:
            self._old[folder], _ = names_in(folder)
        old = self._old[folder]
        yield from (code for code in _CODES if file_name(self._options.name, base, code, suffix) in old)

    def _places(self, audio: AudioFile, base: str, language: str) -> dict[str, Path]:
        """Where each format of a recording goes under a name."""
        folder = folder_of(audio, self._options)
        return {name: self._path(folder, base, language, name) for name in formats_of(audio, self._options)}

    def _path(self, folder: Path, base: str, language: str, name: str) -> Path:
        return folder / file_name(self._options.name, base, language, name)


def check_writable(options: OutputOptions) -> None:
    """Nothing, or RunError when a folder that things go to cannot be made or written to."""
    _check_folder(options.output_dir if options.write else None, "the output folder", "--output-dir")
    _check_folder(options.move_done, "the folder for what is done", "--move-done")
    _check_folder(options.move_failed, "the folder for what failed", "--move-failed")


def _check_folder(folder: Path | None, what: str, flag: str) -> None:
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = temporary_beside(folder / "probe")
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as err:
        told = "a file has that name" if isinstance(err, FileExistsError | NotADirectoryError) else err.strerror
        raise RunError(f"{what} cannot be written to ({told}); choose another {flag}", folder) from err


def _no_name(audio: AudioFile) -> WriteError:
    told = "other files have all the names its transcripts could take; use --overwrite to replace them"
    return WriteError(told, audio.path)
