"""Copies among the jobs of a run: a copy of a file that is being transcribed waits, and gets the same transcript."""

from dataclasses import replace

from whisperbatch.options import RunOptions
from whisperbatch.outputs.paths import absolute, formats_of
from whisperbatch.pipeline.copies import Copies, Mark
from whisperbatch.pipeline.decision import OF_ANOTHER, Decision
from whisperbatch.pipeline.open_files import Job
from whisperbatch.pipeline.planner import Planner
from whisperbatch.records import Transcript


class CopyJobs:
    """The copies among one run's files; any thread may call it."""

    def __init__(self, options: RunOptions, planner: Planner) -> None:
        """Start empty."""
        self._options, self._planner = options, planner
        self._copies: Copies[Job] = Copies()

    def place(self, job: Job, decision: Decision) -> Decision:
        """Change a decision to transcribe if there is a copy: wait for it, or use its transcript."""
        if not decision.is_work or job.skips_dedupe or not job.audio.size:
            return decision
        sample = self._planner.recording(job).sample
        if sample is None or job.content is None:
            return decision
        path = absolute(job.audio.path)
        mark = Mark(job.audio.size, path.suffix.lower(), sample, self._planner.transcript_key(job))
        place = self._copies.place(job, path, mark, job.content.compute)
        if place.waits:
            return replace(decision, is_copy=True, twin=place.group.path)
        if place.transcript is None:
            job.group = place.group
            return self._planner.known_in_other_folder(job, decision) if place.is_late else decision
        twin = place.group.path
        why = OF_ANOTHER.format(path=twin)
        return replace(decision, reuse=place.transcript, twin=twin, why=why, content=job.content.known)

    def take_waiting(self, job: Job, transcript: Transcript, *, is_written: bool) -> list[Job]:
        """Return the copies that waited for a file whose transcript is there now.

        Later copies find the transcript in its JSON through the journal; if there is none, it is kept here.
        """
        if job.group is None:
            return []
        group, job.group = job.group, None
        output, has_journal = self._options.output, self._planner.journal is not None
        is_again = output.overwrite or self._options.journal.redo
        is_found_again = is_written and has_journal and "json" in formats_of(job.audio, output) and not is_again
        return self._copies.done(group, None if is_found_again else transcript)

    def release_waiting(self, job: Job) -> list[Job]:
        """Return the copies that waited for a file that gets no transcript."""
        if job.group is None:
            return []
        group, job.group = job.group, None
        return self._copies.failed(group)
