"""Marks in the journal that record the speaker settings with which an output was made.

Pure, except that it lists the reference clips. A mark follows the format: ``srt#s:1f2e3d4c`` was made with speakers,
``srt#s!1f2e3d4c`` without, because they could not be found. The journal compares marks, so that text is not decoded
again only to add speakers.
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
    """Return the settings that affect speakers, as plain JSON values; empty if speakers are off."""
    if not options.enabled:
        return {}
    values: dict[str, Any] = {"min_speakers": options.min_speakers, "max_speakers": options.max_speakers}
    if options.model is not None:
        values["model"] = options.model
    if options.names is not None:
        values["names"] = _digest_of_folder(options.names)
    return values


def mark_of(transcript: Transcript) -> str:
    """Return the mark of outputs made from a transcript; empty if no speakers were requested for it."""
    if not transcript.speaker_settings:
        return ""
    return MARK + (FAILED if transcript.speakers is None else FOUND) + _short(transcript.speaker_settings)


class SpeakerMarks:
    """Checks that outputs and transcripts have the requested speakers; any thread may call it."""

    def __init__(self, options: RunOptions) -> None:
        """Take the requested speakers from the options."""
        self._options = options

    def requested(self, audio: AudioFile) -> dict[str, Any]:
        """Return the settings for a file's speakers; empty if speakers are off."""
        return settings_of_speakers(speakers_of(self._options, audio))

    def fit(self, form: str, audio: AudioFile) -> bool:
        """Whether an output of that form has the speakers requested for a file; True if none are requested.

        Speakers that could not be found are tried again only if the run retries failures.
        """
        wanted, (_, _, mark) = self.requested(audio), form.partition(MARK)
        known = (FOUND,) if self._options.journal.retry_failed else (FOUND, FAILED)
        return not wanted or mark in [kind + _short(wanted) for kind in known]

    def lacking(self, transcript: Transcript, audio: AudioFile) -> bool:
        """Whether a transcript lacks the speakers requested for a file."""
        return not self.fit(mark_of(transcript), audio)

    def added(self, decision: Decision, audio: AudioFile) -> Decision:
        """Return the decision, changed to load the recording if only the speakers of its transcript are missing."""
        if decision.reuse is None or not self.lacking(decision.reuse, audio):
            return decision
        return replace(decision, adds_speakers=True, why=SPEAKERS)


def mark_in(form: str) -> str:
    """Return the mark in an output's form; empty if there is none."""
    return "".join(form.partition(MARK)[1:])


def without_mark(form: str) -> str:
    """Return a form without its mark."""
    return form.partition(MARK)[0]


def _short(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:8]


@functools.cache  # it is needed for each file
def _digest_of_folder(folder: Path) -> str:
    """Return a digest of the reference clips, by name and size."""
    found = []
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            with suppress(OSError):  # a broken link
                found.append((str(path.relative_to(folder)), path.stat().st_size))
    return hashlib.sha256(repr(sorted(found)).encode(errors="replace")).hexdigest()[:16]
