"""What an output's form says: its format, its shape, the replacement rules and the speakers that it was made with.

Comes in: options, and outputs that the journal knows. Goes out: forms, and whether outputs have the one asked for. A
form is the format with a part for each thing it depends on: ``srt#1f2e3d4c#r5a6b7c8d#s:9e0f1a2b``. Used by the planner.
"""

from whisperbatch.journal import Output
from whisperbatch.options import RunOptions, form
from whisperbatch.outputs.paths import rules_of
from whisperbatch.pipeline.outputs_on_disk import is_as_left
from whisperbatch.pipeline.speaker_marks import SpeakerMarks, mark_of, without_mark
from whisperbatch.records import AudioFile, Transcript

RULES = "#r"


class OutputForms:
    """The forms that a run's files ask for; any thread may call it."""

    def __init__(self, options: RunOptions, speakers: SpeakerMarks) -> None:
        """Ask for what the options do."""
        self._options, self._speakers = options.output, speakers

    def of(self, audio: AudioFile, name: str, transcript: Transcript) -> str:
        """The form of an output in a format, made from a transcript."""
        return self._asked(audio, name) + mark_of(transcript)

    def has(self, audio: AudioFile, output: Output) -> bool:
        """Whether an output has the form that is asked for."""
        is_made = without_mark(output.format) == self._asked(audio, output.name)
        return is_made and self._speakers.fit(output.format, audio)

    def fit(self, audio: AudioFile, output: Output) -> bool:
        """Whether an output has the form that is asked for, or was corrected by hand and so is kept as it is."""
        return self.has(audio, output) or not is_as_left(output)

    def has_other_rules(self, audio: AudioFile, output: Output) -> bool:
        """Whether an output was made with other replacement rules than are asked for."""
        _, mark, named = without_mark(output.format).partition(RULES)
        return mark + named != self._rules_part(audio)

    def _asked(self, audio: AudioFile, name: str) -> str:
        return form(name, self._options) + self._rules_part(audio)

    def _rules_part(self, audio: AudioFile) -> str:
        """The part of a form that names the replacement rules."""
        rules = rules_of(audio, self._options)
        return f"{RULES}{rules.digest[:8]}" if rules.digest else ""
