"""The forms of outputs: format, shape, replacement rules and speakers that an output was made with.

A form is the format with a part for each thing that it depends on: ``srt#1f2e3d4c#r5a6b7c8d#s:9e0f1a2b``. The journal
keeps the form of each output; this module checks whether it is the requested one.
"""

from whisperbatch.journal import Output
from whisperbatch.options import RunOptions, form
from whisperbatch.outputs.paths import rules_of
from whisperbatch.pipeline.outputs_on_disk import is_as_left
from whisperbatch.pipeline.speaker_marks import SpeakerMarks, mark_of, without_mark
from whisperbatch.records import AudioFile, Transcript

RULES = "#r"


class OutputForms:
    """The requested forms of a run's outputs; any thread may call it."""

    def __init__(self, options: RunOptions, speakers: SpeakerMarks) -> None:
        """Take the requested forms from the options."""
        self._options, self._speakers = options.output, speakers

    def of(self, audio: AudioFile, name: str, transcript: Transcript) -> str:
        """Return the form of an output in format ``name``, made from a transcript."""
        return self._requested(audio, name) + mark_of(transcript)

    def has(self, audio: AudioFile, output: Output) -> bool:
        """Whether an output has the requested form."""
        is_made = without_mark(output.format) == self._requested(audio, output.name)
        return is_made and self._speakers.fit(output.format, audio)

    def fit(self, audio: AudioFile, output: Output) -> bool:
        """Whether an output has the requested form, or was corrected by hand and so is kept."""
        return self.has(audio, output) or not is_as_left(output)

    def has_other_rules(self, audio: AudioFile, output: Output) -> bool:
        """Whether an output was made with other replacement rules than the requested ones."""
        _, mark, named = without_mark(output.format).partition(RULES)
        return mark + named != self._rules_part(audio)

    def _requested(self, audio: AudioFile, name: str) -> str:
        return form(name, self._options) + self._rules_part(audio)

    def _rules_part(self, audio: AudioFile) -> str:
        """Return the part of a form that names the replacement rules."""
        rules = rules_of(audio, self._options)
        return f"{RULES}{rules.digest[:8]}" if rules.digest else ""
