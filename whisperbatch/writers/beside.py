"""Where a recording's transcripts go and what they are called.

Comes in: options and, one by one, recordings. Goes out: a Plan (is anything to do?) and the outputs' paths. A name that
was given to a recording stays its own for the run. Who calls: the pipeline's threads and the CLI's dry run.
"""

import hashlib
import os
import threading
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from whisperbatch.errors import RunError, WriteError
from whisperbatch.options import OutputOptions
from whisperbatch.records import AudioFile, Transcript
from whisperbatch.writers import json_
from whisperbatch.writers.atomic import reason, remove_stale, write_all

__all__ = ["Namer", "Plan", "check_writable", "write_all"]

MAX_NAME = 255  # bytes, on the file systems people use
N_HASH = 8
UNDETERMINED = "und"  # ISO 639-2's code, for a name with {language} when nothing was heard


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for a recording.

    Attributes:
        skip: Why nothing is; None otherwise.
        outputs: What lies there already.
        reuse: The transcript, when only formats are missing that can be made from it.
    """

    skip: str | None = None
    outputs: tuple[Path, ...] = ()
    reuse: Transcript | None = None


class Namer:
    """Names for one run's outputs; any thread may call it."""

    def __init__(self, options: OutputOptions, media_suffixes: frozenset[str]) -> None:
        """Keep the options; ``media_suffixes`` tell which neighbours are recordings."""
        self._options = options
        self._suffixes = media_suffixes
        self._lock = threading.Lock()
        self._owners: dict[tuple[Path, str], Path] = {}  # (folder, folded base) -> recording
        self._bases: dict[Path, str] = {}
        self._listings: dict[Path, dict[str, int]] = {}
        self._names: dict[Path, set[str]] = {}
        self._cleaned: set[Path] = set()

    def plan(self, audio: AudioFile) -> Plan:
        """What is to be done, with the name decided; WriteError when no name is free or nothing can be written."""
        folder = self.folder(audio)
        with self._lock:
            self._prepare(folder)
            free: str | None = None
            for base in self._candidates(audio, folder):
                if self._owners.get((folder, _folded(base)), audio.path) != audio.path:
                    continue
                plan = None if self._options.overwrite else self._look(audio, folder, base)
                if plan is not None:
                    self._give(audio, folder, base)
                    return plan
                if free is None and (self._options.overwrite or not self._in_the_way(folder, base)):
                    free = base
            if free is None:
                raise WriteError("other files have all the names its outputs could take; use --overwrite", audio.path)
            self._give(audio, folder, free)
            return Plan()

    def outputs(self, audio: AudioFile, language: str) -> dict[str, Path]:
        """Where each format goes, by the format's name."""
        folder = self.folder(audio)
        with self._lock:
            known = audio.path in self._bases
        if not known:
            self.plan(audio)
        with self._lock:
            base = self._bases[audio.path]
        return {name: self._path(folder, base, language or UNDETERMINED, name) for name in self._options.formats}

    def folder(self, audio: AudioFile) -> Path:
        """The folder of a recording's outputs."""
        if self._options.output_dir is None:
            return audio.path.parent
        if audio.root is not None:
            inside = Path(os.path.relpath(audio.path, audio.root)).parent
            return self._options.output_dir / inside
        whole = Path(os.path.abspath(audio.path))  # noqa: PTH100  (resolve would follow links)
        base = Path(os.path.abspath(self._options.relative_to or Path.cwd()))  # noqa: PTH100
        if whole.is_relative_to(base):
            return self._options.output_dir / whole.relative_to(base).parent
        return self._options.output_dir.joinpath(*whole.parent.parts[1:])

    def _prepare(self, folder: Path) -> None:
        """Once a folder: clear away what dead runs left, and see that it can be written to."""
        if folder in self._cleaned or not folder.is_dir():
            return
        remove_stale(folder)
        if not os.access(folder, os.W_OK):
            raise WriteError(reason(PermissionError(13, "")), folder)
        self._cleaned.add(folder)

    def _candidates(self, audio: AudioFile, folder: Path) -> Iterator[str]:
        """Names in the order of preference: the one already given, the stem, the full name, that and a hash."""
        if (given := self._bases.get(audio.path)) is not None:
            yield given
            return
        if not self._shares_stem(audio.path):
            yield audio.path.stem
        yield audio.path.name
        yield f"{audio.path.name}.{_hash(os.path.abspath(audio.path))}"  # noqa: PTH100

    def _shares_stem(self, path: Path) -> bool:
        """Whether another recording in the same folder would take the same name."""
        folder = path.parent
        if path.name not in self._names.get(folder, ()):
            self._list(folder)
        n_here = self._listings[folder].get(_folded(path.stem), 0)
        is_counted = path.name in self._names[folder] and path.suffix.lower() in self._suffixes
        return n_here - is_counted > 0

    def _list(self, folder: Path) -> None:
        try:
            names = {entry.name for entry in folder.iterdir()}
        except OSError:
            names = set()
        stems: dict[str, int] = {}
        for name in names:
            if Path(name).suffix.lower() in self._suffixes and not name.startswith("."):
                stem = _folded(Path(name).stem)
                stems[stem] = stems.get(stem, 0) + 1
        self._names[folder], self._listings[folder] = names, stems

    def _give(self, audio: AudioFile, folder: Path, base: str) -> None:
        self._owners[folder, _folded(base)] = audio.path
        self._bases[audio.path] = base

    def _look(self, audio: AudioFile, folder: Path, base: str) -> Plan | None:
        """The plan when transcripts of this very recording lie there; None when not."""
        for language, file in self._own_json(folder, base):
            try:
                data = file.read_bytes()
                transcript = json_.read(data) if json_.is_ours(data) else None
            except (OSError, json_.FileError):
                continue
            if transcript is None or (transcript.size is not None and transcript.size != audio.size):
                continue
            places = [self._path(folder, base, language, name) for name in self._options.formats]
            there = tuple(path for path in places if path.exists())
            if len(there) == len(places):
                return Plan(skip="already transcribed", outputs=there)
            return Plan(outputs=there, reuse=transcript)
        if "json" not in self._options.formats and "{language}" not in self._options.name:
            places = [self._path(folder, base, "", name) for name in self._options.formats]
            if all(path.exists() for path in places):
                return Plan(skip="all its outputs are there already", outputs=tuple(places))
        return None

    def _own_json(self, folder: Path, base: str) -> Iterator[tuple[str, Path]]:
        """(language, path) of JSON files that may be ours."""
        if "{language}" not in self._options.name:
            yield "", self._path(folder, base, "", "json")
            return
        before, _, after = self._options.name.format(stem=base, language="\0").partition("\0")
        try:
            names = sorted(entry.name for entry in folder.iterdir())
        except OSError:
            return
        end = f"{after}.json"
        for name in names:
            language = name[len(before) : len(name) - len(end)]
            if name.startswith(before) and name.endswith(end) and language.isalpha():
                yield language, folder / name

    def _in_the_way(self, folder: Path, base: str) -> bool:
        """Whether some file has one of the names; with {language} that shows only when the language is known."""
        if "{language}" in self._options.name:
            return False
        return any(os.path.lexists(self._path(folder, base, "", name)) for name in self._options.formats)

    def _path(self, folder: Path, base: str, language: str, name: str) -> Path:
        whole = f"{self._options.name.format(stem=base, language=language)}.{name}"
        if len(os.fsencode(whole)) <= MAX_NAME:
            return folder / whole
        end = f"~{_hash(whole)}.{name}"
        kept = whole.removesuffix(f".{name}")
        while len(os.fsencode(kept)) + len(end) > MAX_NAME:
            kept = kept[:-1]
        return folder / (kept + end)


def check_writable(options: OutputOptions) -> None:
    """Nothing, or RunError when the output folder cannot be made or written to."""
    if options.output_dir is None or not options.write:
        return
    try:
        options.output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise RunError(f"the output folder {options.output_dir} cannot be made: {err.strerror}") from err
    if not os.access(options.output_dir, os.W_OK):
        raise RunError(f"the output folder {options.output_dir} cannot be written to; choose another --output-dir")


def _folded(name: str) -> str:
    """A name as a file system that ignores case and composition sees it."""
    return unicodedata.normalize("NFC", name).casefold()


def _hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:N_HASH]
