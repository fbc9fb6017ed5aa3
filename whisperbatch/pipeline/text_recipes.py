"""How a file's text is made: model, weights and settings, for each of what files ask for."""

import threading
from collections.abc import Callable

from whisperbatch.journal import Entry, TextRecipe
from whisperbatch.options import RunOptions
from whisperbatch.pipeline.speaker_marks import mark_in
from whisperbatch.pipeline.text_settings import DEFAULTS, settings_of
from whisperbatch.records import AudioFile, FileOptions, Transcript

MAX_RECIPES = 1_000  # kept in mind, for lists that ask for something else with each file
WORDS = "word_timestamps"


class TextRecipes:
    """The recipes of one run's files; any thread may call it."""

    def __init__(self, options: RunOptions, revision: Callable[[], str | None]) -> None:
        """Ask with the first file which weights the model's name stands for; None: that shows once it is open."""
        self._options, self._revision = options, revision
        self._known_revision: str | None = None
        self._asked: dict[FileOptions, TextRecipe] = {}
        self._lock = threading.Lock()

    def of(self, audio: AudioFile) -> TextRecipe:
        """How a file's text would be made now."""
        with self._lock:
            if audio.own_options not in self._asked:
                self._asked[audio.own_options] = self._made(audio)
            return self._asked[audio.own_options]

    def of_transcript(self, transcript: Transcript) -> TextRecipe:
        """How a transcript was made."""
        return TextRecipe.of(transcript.model, transcript.revision, transcript.settings, DEFAULTS)

    def fit_transcript(self, audio: AudioFile, transcript: Transcript) -> bool:
        """Whether a transcript's text is the one that a file asks for."""
        return self._fit(audio, self.of_transcript(transcript), has_speakers=bool(transcript.speaker_settings))

    def fit_entry(self, audio: AudioFile, entry: Entry) -> bool:
        """Whether the journal's text is the one that a file asks for."""
        has_speakers = any(mark_in(output.format) for output in entry.outputs)
        return entry.recipe is not None and self._fit(audio, entry.recipe, has_speakers=has_speakers)

    def candidates(self, audio: AudioFile) -> tuple[TextRecipe, ...]:
        """Every recipe that may fit: as asked, and with and without word times."""
        asked = self.of(audio)
        return asked, asked.without(WORDS), asked.having(WORDS, True)

    def _fit(self, audio: AudioFile, made: TextRecipe, *, has_speakers: bool) -> bool:
        """Whether a text that was made so is the one asked for.

        Word times that only speakers want may be missing; those that a text with speakers has may not be asked for.
        """
        asked = self.of(audio)
        if asked.agrees(made) or (self._options.words_for_speakers and asked.without(WORDS).agrees(made)):
            return True
        return has_speakers and asked.agrees(made.without(WORDS))

    def _made(self, audio: AudioFile) -> TextRecipe:
        if not self._asked:
            self._known_revision = self._revision()
        elif len(self._asked) >= MAX_RECIPES:
            self._asked.clear()
        return TextRecipe.of(
            self._options.engine.model, self._known_revision, settings_of(self._options, audio), DEFAULTS
        )
