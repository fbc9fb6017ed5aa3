"""Find outputs of earlier runs: transcripts under a recording's names, and the files made from them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from whisperbatch.errors import FileError
from whisperbatch.files import read_regular
from whisperbatch.languages import LANGUAGES
from whisperbatch.options import OutputOptions
from whisperbatch.outputs.paths import (
    UNDETERMINED,
    file_name,
    folder_of,
    formats_of,
    has_language,
    places_of,
    rules_of,
)
from whisperbatch.outputs.provenance import is_as_made, is_from, is_shaped_otherwise
from whisperbatch.outputs.siblings import names_in
from whisperbatch.records import AudioFile, Transcript
from whisperbatch.writers import read_json

MAX_JSON = 1 << 28  # bytes; transcripts are smaller, data sets may be larger
_CODES = (*LANGUAGES, UNDETERMINED)


@dataclass(frozen=True, slots=True)
class OutputSet:
    """A transcript on disk and the outputs beside it.

    Attributes:
        transcript: Contents of the JSON.
        there: Outputs that were made from it, in the form that is wanted now.
        stale: Outputs in another form (shape, replacement rules), which may be replaced.
        is_complete: Every output that is wanted is among ``there``.
        is_blocked: Another file is where an output would go.
    """

    transcript: Transcript
    there: tuple[Path, ...] = ()
    stale: tuple[Path, ...] = ()
    is_complete: bool = False
    is_blocked: bool = False


class ExistingOutputs:
    """Looks for outputs of earlier runs; any thread may call it."""

    def __init__(self, options: OutputOptions) -> None:
        """Look for the outputs that the options name."""
        self._options = options
        self._listings: dict[Path, frozenset[str]] = {}  # a folder's names before this run wrote to it

    def list_again(self, audio: AudioFile) -> None:
        """List a recording's folder again, with this run's own files, since the recording has come a second time."""
        self._listings.pop(folder_of(audio, self._options), None)

    def transcripts(self, audio: AudioFile, base: str) -> Iterator[tuple[str, Path, Transcript]]:
        """Yield language, path and transcript of each JSON file under a name; it may be another recording's."""
        folder = folder_of(audio, self._options)
        for language in self._languages(folder, base, "json"):
            path = folder / file_name(self._options.name, base, language, "json")
            try:
                if path.stat().st_size <= MAX_JSON:
                    yield language, path, read_json(read_regular(path))
            except (OSError, FileError):
                continue

    def outputs_of(self, audio: AudioFile, base: str, language: str, path: Path, transcript: Transcript) -> OutputSet:
        """Return the outputs that go with a transcript of the recording.

        Args:
            audio: The recording.
            base: The stem under which the transcript is stored.
            language: The language in its name.
            path: Its JSON file.
            transcript: Contents of that file.
        """
        options = self._options
        taken = {name: one for name, one in places_of(audio, options, base, language).items() if os.path.lexists(one)}
        has_other_rules = transcript.replacements != rules_of(audio, options).digest
        stale = tuple(
            one
            for name, one in taken.items()
            if is_shaped_otherwise(one, name, transcript, options)
            or (has_other_rules and is_as_made(one, name, transcript, options))
        )
        there = tuple(
            one for name, one in taken.items() if one not in stale and is_from(one, name, path, transcript, options)
        )
        return OutputSet(
            transcript,
            there,
            stale,
            is_complete=len(there) == len(formats_of(audio, options)),
            is_blocked=len(there) + len(stale) < len(taken),
        )

    def complete_without_json(self, audio: AudioFile, base: str) -> tuple[Path, ...]:
        """Return all outputs if they exist and no JSON is wanted that could prove their origin, else nothing.

        Without this, a second run with ``--format srt`` would do everything again under other names.
        """
        formats = formats_of(audio, self._options)
        if self._options.overwrite or "json" in formats:
            return ()
        for language in self._languages(folder_of(audio, self._options), base, formats[0]):
            paths = tuple(places_of(audio, self._options, base, language).values())
            if all(path.is_file() for path in paths):
                return paths
        return ()

    def is_free(self, audio: AudioFile, base: str) -> bool:
        """Return whether no file has one of the names; with {language} only the language will show that."""
        if self._options.overwrite or has_language(self._options.name):
            return True
        return not any(os.path.lexists(path) for path in places_of(audio, self._options, base, "").values())

    def _languages(self, folder: Path, base: str, suffix: str) -> Iterator[str]:
        """Yield the languages in whose names an output of that format existed before the run."""
        if not has_language(self._options.name):
            yield ""
            return
        names = self._listings.get(folder)
        if names is None:
            names = self._listings[folder] = names_in(folder)[0]
        yield from (code for code in _CODES if file_name(self._options.name, base, code, suffix) in names)
