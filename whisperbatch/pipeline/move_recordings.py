"""Move recordings that are done or failed to their folders, after the journal knows how they ended.

A recording that has changed since it was read stays: its new content is not done.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from whisperbatch.errors import WriteError
from whisperbatch.journal import Journal, Key
from whisperbatch.options import OutputOptions
from whisperbatch.outputs.move_file import move_to
from whisperbatch.outputs.namer import Namer
from whisperbatch.outputs.paths import absolute, archived, folder_of, mirrored
from whisperbatch.pipeline.open_files import Job
from whisperbatch.records import Outcome, Status


class Mover:
    """Moves recordings, one at a time; ``notice`` is called for those that cannot be moved."""

    def __init__(
        self, options: OutputOptions, namer: Namer, journal: Journal | None, notice: Callable[[Path, str], None]
    ) -> None:
        """Move nothing yet."""
        self._options, self._namer, self._journal, self._notice = options, namer, journal, notice

    def move(self, job: Job, outcome: Outcome) -> Outcome:
        """Move the recording if it is due; return the outcome, with the new path if there is one."""
        target, read = self._target(job, outcome), _as_read(job)
        if target is None or read is None:
            return outcome
        key = self._key(job)
        try:
            place = move_to(job.audio.path, target, read)
        except WriteError as err:
            self._notice(job.audio.path, f"{err.message}; it stays here, and the next run moves it")
            return outcome
        if key is not None:
            if self._journal is not None:
                self._journal.moved(key, self._key_at(key, place, outcome))
            self._namer.forget(job.audio)
        return replace(outcome, moved_to=place)

    def _target(self, job: Job, outcome: Outcome) -> Path | None:
        """Return the recording's target; None if it stays."""
        options = self._options
        is_done = outcome.status is Status.DONE or (outcome.status is Status.SKIPPED and bool(outcome.outputs))
        if is_done and options.move_done is not None:
            return archived(job.audio, options, self._base(job))
        if outcome.status is Status.FAILED and options.move_failed is not None and job.audio.options.fault is None:
            return mirrored(job.audio, options.move_failed, options) / job.audio.path.name
        return None

    def _base(self, job: Job) -> str:
        """Return the stem of the recording's outputs; its own stem if nothing was written."""
        key = self._key(job)
        entry = None if self._journal is None or key is None else self._journal.look(key)
        return (entry and entry.base) or self._namer.known_base(job.audio) or job.audio.path.stem

    def _key(self, job: Job) -> Key | None:
        """Return the recording's journal key; None if it requests a folder that is not allowed."""
        try:
            return Key(absolute(job.audio.path), absolute(folder_of(job.audio, self._options)))
        except WriteError:
            return None

    def _key_at(self, key: Key, place: Path, outcome: Outcome) -> Key:
        """Return the moved recording's journal key; a failed file's outputs then go beside it or to the same folder."""
        is_beside = outcome.status is Status.FAILED and self._options.output_dir is None
        return Key(absolute(place), absolute(place.parent) if is_beside else key.folder)


def _as_read(job: Job) -> os.stat_result | None:
    """Return the recording's own status, not a link target's, if it is unchanged since it was read; else None."""
    try:
        own, status = job.audio.path.lstat(), job.audio.path.stat()
    except (OSError, ValueError):
        return None
    return own if (status.st_size, status.st_mtime_ns) == (job.audio.size, job.audio.mtime_ns) else None
