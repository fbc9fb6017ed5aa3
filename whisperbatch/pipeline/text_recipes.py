"""The recipes of texts: the model, weights and settings with which each file's text is made."""

import threading
from collections.abc import Callable

from whisperbatch.journal import Entry, TextRecipe
from whisperbatch.options import RunOptions
from whisperbatch.pipeline.speaker_marks import mark_in
from whisperbatch.pipeline.text_settings import DEFAULTS, settings_of
from whisperbatch.records import AudioFile, FileOptions, Transcript

MAX_RECIPES = 1_000  # cached, for lists with different options for each file
WORDS = "word_timestamps"


class TextRecipes:
    """The recipes of one run's files; any thread may call it."""

    def __init__(self, options: RunOptions, revision: Callable[[], str | None]) -> None:
        """Call ``revision`` with the first file; it returns None if only the open model knows its weights."""
        self._options, self._revision = options, revision
        self._known_revision: str | None = None
        self._recipes: dict[FileOptions, TextRecipe] = {}
        self._lock = threading.Lock()

    def of(self, audio: AudioFile) -> TextRecipe:
        """Return the recipe of a file's text in this run."""
        with self._lock:
            if audio.options not in self._recipes:
                self._recipes[audio.options] = self._make(audio)
            return self._recipes[audio.options]

    def of_transcript(self, transcript: Transcript) -> TextRecipe:
        """Return the recipe of a transcript."""
        return TextRecipe.of(transcript.model, transcript.revision, transcript.settings, DEFAULTS)

    def fit_transcript(self, audio: AudioFile, transcript: Transcript) -> bool:
        """Whether a transcript's text is the one requested for a file."""
        return self._fit(audio, self.of_transcript(transcript), has_speakers=bool(transcript.speaker_settings))

    def fit_entry(self, audio: AudioFile, entry: Entry) -> bool:
        """Whether the text in the journal is the one requested for a file."""
        has_speakers = any(mark_in(output.format) for output in entry.outputs)
        return entry.recipe is not None and self._fit(audio, entry.recipe, has_speakers=has_speakers)

    def candidates(self, audio: AudioFile) -> tuple[TextRecipe, ...]:
        """Return every recipe that may fit: the requested one, and it with and without word times."""
        wanted = self.of(audio)
        return wanted, wanted.without(WORDS), wanted.having(WORDS, True)

    def _fit(self, audio: AudioFile, made: TextRecipe, *, has_speakers: bool) -> bool:
        """Whether a text with the recipe ``made`` is the requested one.

        It may lack word times that only speakers need, and a text with speakers may have word times beyond the request.
        """
        wanted = self.of(audio)
        if wanted.agrees(made) or (self._options.words_for_speakers and wanted.without(WORDS).agrees(made)):
            return True
        return has_speakers and wanted.agrees(made.without(WORDS))

    def _make(self, audio: AudioFile) -> TextRecipe:
        if not self._recipes:
            self._known_revision = self._revision()
        elif len(self._recipes) >= MAX_RECIPES:
            self._recipes.clear()
        return TextRecipe.of(
            self._options.engine.model, self._known_revision, settings_of(self._options, audio), DEFAULTS
        )
