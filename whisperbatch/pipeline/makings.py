"""What the text of each file of a run is to be made with, and whether a text was made so; used by the planner."""

import threading
from collections.abc import Callable

from whisperbatch.journal import Making
from whisperbatch.options import RunOptions
from whisperbatch.pipeline.settings import DEFAULTS, settings_of
from whisperbatch.records import AudioFile, FileAsks, Transcript

MAX_KEPT = 1_000  # for lists that ask for something else with each file
WORDS = "word_timestamps"


class Makings:
    """The makings of one run; any thread may call it."""

    def __init__(self, options: RunOptions, revision: Callable[[], str | None]) -> None:
        """Ask for the revision with the first file only."""
        self._options, self._revision = options, revision
        self._known_revision: str | None = None
        self._asked: dict[FileAsks, Making] = {}
        self._lock = threading.Lock()

    def asked(self, audio: AudioFile) -> Making:
        """What a file's text is to be made with."""
        with self._lock:
            if audio.asks not in self._asked:
                self._asked[audio.asks] = self._new(audio)
            return self._asked[audio.asks]

    def made(self, transcript: Transcript) -> Making:
        """What a transcript was made with."""
        return Making.of(transcript.model, transcript.revision, transcript.settings, DEFAULTS)

    def agree(self, audio: AudioFile, made: Making, *, has_speakers: bool) -> bool:
        """Whether a text that was made so is the one asked for.

        Word times that only speakers want may be missing; those that a text with speakers has may not be asked for.
        """
        asked = self.asked(audio)
        if asked.agrees(made) or (self._options.words_for_speakers and asked.without(WORDS).agrees(made)):
            return True
        return has_speakers and asked.agrees(made.without(WORDS))

    def _new(self, audio: AudioFile) -> Making:
        if not self._asked:
            self._known_revision = self._revision()
        elif len(self._asked) >= MAX_KEPT:
            self._asked.clear()
        return Making.of(self._options.engine.model, self._known_revision, settings_of(self._options, audio), DEFAULTS)
