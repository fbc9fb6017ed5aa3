"""With which settings speakers were looked for, and the mark that an output made so has in the journal.

Pure but for a look at the reference clips. A mark stands behind the format: ``srt#s:1f2e3d4c`` was made with speakers,
``srt#s!1f2e3d4c`` although they could not be found. The journal compares marks, so that text is not decoded again for
the sake of speakers.
"""

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from whisperbatch.options import RunOptions, SpeakerOptions
from whisperbatch.pipeline.decision import SPEAKERS, Decision
from whisperbatch.pipeline.text_settings import speakers_of
from whisperbatch.records import AudioFile, Transcript

MARK = "#s"
FOUND, FAILED = ":", "!"


def settings_of_speakers(options: SpeakerOptions) -> dict[str, Any]:
    """Those that matter to who speaks, as plain JSON values; empty when nobody is looked for."""
    if not options.enabled:
        return {}
    told: dict[str, Any] = {"min_speakers": options.min_speakers, "max_speakers": options.max_speakers}
    if options.model is not None:
        told["model"] = options.model
    if options.names is not None:
        told["names"] = _digest_of_folder(options.names)
    return told


def mark_of(transcript: Transcript) -> str:
    """The mark of what is made from a transcript; empty when nobody looked for its speakers."""
    if not transcript.speaker_settings:
        return ""
    return MARK + (FAILED if transcript.speakers is None else FOUND) + _short(transcript.speaker_settings)


class SpeakerMarks:
    """Whether outputs and transcripts have the speakers that a run asks for; any thread may call it."""

    def __init__(self, options: RunOptions) -> None:
        """Ask for what the options do."""
        self._options = options

    def asked(self, audio: AudioFile) -> dict[str, Any]:
        """With which settings a file's speakers are to be found; empty when they are not."""
        return settings_of_speakers(speakers_of(self._options, audio))

    def fit(self, form: str, audio: AudioFile) -> bool:
        """Whether an output of that form has the speakers that a file asks for; where none are, any will do.

        Those that could not be found are looked for again only when the run retries what failed.
        """
        asked, (_, _, mark) = self.asked(audio), form.partition(MARK)
        known = (FOUND,) if self._options.journal.retry_failed else (FOUND, FAILED)
        return not asked or mark in [kind + _short(asked) for kind in known]

    def lacking(self, transcript: Transcript, audio: AudioFile) -> bool:
        """Whether a transcript has not the speakers that a file asks for."""
        return not self.fit(mark_of(transcript), audio)

    def added(self, decision: Decision, audio: AudioFile) -> Decision:
        """The decision; the recording is loaded where only the speakers of its transcript are missing."""
        if decision.reuse is None or not self.lacking(decision.reuse, audio):
            return decision
        return replace(decision, adds_speakers=True, why=SPEAKERS)


def mark_in(form: str) -> str:
    """The mark in an output's form, empty when it has none."""
    return "".join(form.partition(MARK)[1:])


def without_mark(form: str) -> str:
    """A form's other parts."""
    return form.partition(MARK)[0]


def _short(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:8]


@functools.cache  # it is asked for with each file
def _digest_of_folder(folder: Path) -> str:
    """What tells reference clips from others: their names and sizes."""
    found = []
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            with suppress(OSError):  # a link that leads nowhere
                found.append((str(path.relative_to(folder)), path.stat().st_size))
    return hashlib.sha256(repr(sorted(found)).encode(errors="replace")).hexdigest()[:16]
