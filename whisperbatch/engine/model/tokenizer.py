"""The tokenizer of a model: text to token ids and back, and its special tokens.

Ids are read from the model's generation settings; missing ones are found as in openai-whisper (whisper/tokenizer.py,
MIT).
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
        end: ``<|endoftext|>``; this and larger ids are not text.
        previous: ``<|startofprev|>``, before a prompt.
        no_speech: ``<|nospeech|>``.
        no_timestamps: ``<|notimestamps|>``.
        timestamp_begin: ``<|0.00|>``; this and larger ids are times, 0.02 s apart.
        languages: Id by language code; empty for English-only models.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Read the ids; ModelError if the model has no timestamps."""
        settings = checkpoint.generation
        self._tokenizer, self._capabilities = checkpoint.tokenizer, checkpoint.capabilities
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
        """The reason why the model cannot decode with these settings; None if it can."""
        return self._capabilities.refusal(settings)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, none of them special."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of ids, without special tokens and times."""
        text: str = self._tokenizer.decode([t for t in tokens if t < self.end], skip_special_tokens=False)
        return text

    def decode_all(self, tokens: Iterable[int]) -> str:
        """The text of ids with special tokens but without times, on which openai-whisper computes its quality figures.

        Trap: a sample at a high temperature may be full of language tokens; without them a loop would look like text.
        """
        text: str = self._tokenizer.decode([t for t in tokens if t < self.timestamp_begin], skip_special_tokens=False)
        return text

    def opening(self, language: str | None, task: str, *, timed: bool) -> list[int]:
        """The tokens before the sampled ones: start, language and task if the model has several, ``no_timestamps``."""
        tokens = [self.start]
        if self.languages:
            tokens += [self.languages[language or "en"], self._tasks[task]]
        return tokens if timed else [*tokens, self.no_timestamps]

    def suppressed(self, requested: Sequence[int]) -> list[int]:
        """Ids that are never sampled: special tokens and those requested, with -1 for the model's own list."""
        ids = {token for token in requested if token >= 0}
        if -1 in requested:
            ids.update(self._suppressed if self._suppressed else self._non_speech_tokens())
        tasks = map(self._id, ("<|transcribe|>", "<|translate|>"))  # English-only models have them too
        special = (self.start, self.previous, self.no_speech, self._id("<|startoflm|>"), *tasks)
        return sorted(ids.union(token for token in special if token is not None))

    def suppressed_first(self) -> list[int]:
        """Ids that no text begins with: a blank and the end of text, or the model's own list."""
        if self._suppressed_first is not None:
            return list(self._suppressed_first)
        return [*self.encode(" "), self.end]

    def _non_speech_tokens(self) -> set[int]:
        """Ids of symbols that annotate speech and are not spoken, such as music notes, by openai-whisper's rule."""
        found = {self.encode(" -")[0], self.encode(" '")[0]}
        for symbol in [*SYMBOLS, *MARKS, *NOTES]:
            for tokens in (self.encode(symbol), self.encode(" " + symbol)):
                if len(tokens) == 1 or symbol in NOTES:
                    found.add(tokens[0])
        return found
