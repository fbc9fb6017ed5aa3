"""Text to token ids and back, and the ids that have a meaning of their own.

Takes a checkpoint, gives a ``WhisperTokenizer``. Ids are read from the model's generation settings; what those lack is
found as openai-whisper finds it (whisper/tokenizer.py, MIT).
"""

from collections.abc import Iterable, Sequence

from whisperbatch.engine.model.weights import Checkpoint
from whisperbatch.errors import ModelError
from whisperbatch.records import ClipSettings

MARKS = "<< >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪".split()
SYMBOLS = list('"#()*+/:;<=>@[\\]^_`{|}~「」『』')
NOTES = frozenset("♩♪♫♬♭♮♯")
PREVIOUS, NO_SPEECH = "<|startofprev|>", ("<|nospeech|>", "<|nocaptions|>")


class WhisperTokenizer:
    """The tokenizer of one model; any thread may call it.

    Attributes:
        start: ``<|startoftranscript|>``.
        end: ``<|endoftext|>``; ids from there on are not text.
        previous: ``<|startofprev|>``, before a prompt.
        no_speech: ``<|nospeech|>``.
        no_timestamps: ``<|notimestamps|>``.
        timestamp_begin: ``<|0.00|>``; ids from there on are times, 0.02 s apart.
        languages: Id by language code; empty for English-only models.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Read the ids; ModelError when the model can't tell times."""
        settings = checkpoint.generation
        self._tokenizer, self._abilities = checkpoint.tokenizer, checkpoint.abilities
        if settings.get("no_timestamps_token_id") is None:
            raise ModelError(f"the model {checkpoint.found.name} has no timestamps in its generation settings")
        self.start, self.end = settings["decoder_start_token_id"], settings["eos_token_id"]
        if isinstance(self.end, list):
            self.end = self.end[0]
        self.no_timestamps = settings["no_timestamps_token_id"]
        self.timestamp_begin = self.no_timestamps + 1
        self.previous = self._id(PREVIOUS)
        self.no_speech = next((i for i in map(self._id, NO_SPEECH) if i is not None), self.no_timestamps - 1)
        self.languages = checkpoint.languages
        self._tasks = dict(settings.get("task_to_id") or {}) if checkpoint.is_multilingual else {}
        self._suppressed = settings.get("suppress_tokens")
        self._suppressed_first = settings.get("begin_suppress_tokens")

    def _id(self, text: str) -> int | None:
        found: int | None = self._tokenizer.token_to_id(text)
        return found

    def refusal(self, settings: ClipSettings) -> str | None:
        """Why the model can't do what a clip asks for; None when it can."""
        return self._abilities.refusal(settings)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, none of them special."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of ids; those that are not text are left out."""
        text: str = self._tokenizer.decode([t for t in tokens if t < self.end], skip_special_tokens=False)
        return text

    def decode_all(self, tokens: Iterable[int]) -> str:
        """The text of ids with the names of special ones, times left out, as openai-whisper judges it.

        Trap: a warm sample may be full of language tokens; left out, a loop of them would pass for good text.
        """
        text: str = self._tokenizer.decode([t for t in tokens if t < self.timestamp_begin], skip_special_tokens=False)
        return text

    def opening(self, language: str | None, task: str, *, timed: bool) -> list[int]:
        """What stands before the sampled tokens: start, language and task where the model has several, no times."""
        tokens = [self.start]
        if self.languages:
            tokens += [self.languages[language or "en"], self._tasks[task]]
        return tokens if timed else [*tokens, self.no_timestamps]

    def suppressed(self, asked: Sequence[int]) -> list[int]:
        """Ids that are never given; -1 among ``asked`` stands for the model's own list."""
        ids = {token for token in asked if token >= 0}
        if -1 in asked:
            ids.update(self._suppressed if self._suppressed else self._unspoken())
        tasks = map(self._id, ("<|transcribe|>", "<|translate|>"))  # English-only models have them too
        silent = (self.start, self.previous, self.no_speech, self._id("<|startoflm|>"), *tasks)
        return sorted(ids.union(token for token in silent if token is not None))

    def suppressed_first(self) -> list[int]:
        """Ids that no text begins with: a blank, and its end where the model says so."""
        if self._suppressed_first is not None:
            return list(self._suppressed_first)
        return [*self.encode(" "), self.end]

    def _unspoken(self) -> set[int]:
        """Symbols that annotate speech and are not spoken, such as music notes; openai-whisper's list and rule."""
        found = {self.encode(" -")[0], self.encode(" '")[0]}
        for symbol in [*SYMBOLS, *MARKS, *NOTES]:
            for tokens in (self.encode(symbol), self.encode(" " + symbol)):
                if len(tokens) == 1 or symbol in NOTES:
                    found.add(tokens[0])
        return found
