"""Decides what to do with each file, and records what became of it: the journal's answer first, then the disk's.

``facts`` gathers what is known of a file, ``decision`` decides, and the name is reserved here. Without a journal the
disk alone answers.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

from whisperbatch.errors import WhisperbatchError
from whisperbatch.journal import Entry, Journal, Key, Output, Recording, State
from whisperbatch.options import RunOptions
from whisperbatch.outputs.namer import Namer, check_access, no_name, remove_stale
from whisperbatch.outputs.paths import absolute, folder_of
from whisperbatch.pipeline import earlier_transcripts
from whisperbatch.pipeline.decision import Decision, Wishes, decide_from_disk, decide_from_journal, with_name
from whisperbatch.pipeline.facts import Facts
from whisperbatch.pipeline.file_digest import FileDigest, sample_of
from whisperbatch.pipeline.open_files import Job
from whisperbatch.pipeline.output_forms import OutputForms
from whisperbatch.pipeline.outputs_on_disk import as_kept, as_left, digest
from whisperbatch.pipeline.speaker_marks import SpeakerMarks
from whisperbatch.pipeline.text_recipes import TextRecipes
from whisperbatch.records import Transcript
from whisperbatch.transcripts import Assembly
from whisperbatch.writers.content import Content


class Planner:
    """Decisions and bookkeeping of one run; any thread may call it."""

    def __init__(
        self,
        options: RunOptions,
        namer: Namer,
        journal: Journal | None,
        revision: Callable[[], str | None] = lambda: None,
        *,
        is_dry: bool = False,
    ) -> None:
        """Keep the options.

        Args:
            options: What the run wants.
            namer: Names of its outputs.
            journal: What earlier runs did; None for a run without one.
            revision: Returns which weights the model's name stands for, None where only the open model knows; called
                once, with the first file.
            is_dry: Claim nothing and record nothing.
        """
        self._options, self._namer, self.journal, self._is_dry = options, namer, journal, is_dry
        self._recipes, self._speakers = TextRecipes(options, revision), SpeakerMarks(options)
        self._forms = OutputForms(options, self._speakers)
        self.is_over: Callable[[], bool] = lambda: False  # True when reading of recordings should stop
        self._lock = threading.Lock()
        self._cleaned: set[Path] = set()
        redo_since: float | None = None
        if journal is not None and options.journal.redo:
            redo_since = time.time() if is_dry else journal.redo_since(options.journal.redo_scope)
        self._wishes = Wishes(options.output.overwrite, options.journal.retry_failed, redo_since)
        self._facts = Facts(options, namer, journal, self._recipes, self._speakers, self._wishes, is_dry=is_dry)

    def decide(self, job: Job) -> Decision:
        """Return what is to be done; when it is work, the file is this run's from now on.

        Raises:
            WriteError: No name is free, or the folder is closed.
        """
        self._refresh(job)
        self._clean(folder_of(job.audio, self._options.output))
        decision = self._reserved(job, None, None) if self.journal is None else self._claimed(job, self.journal)
        if not (decision.is_settled or decision.is_claimed_by_other_run or self._is_dry):
            self.recording(job)  # as it is before it is loaded
        return decision

    def _claimed(self, job: Job, journal: Journal) -> Decision:
        """The decision about a file that is claimed for this run unless there is nothing to do."""
        key = self._key(job)
        entry = journal.look(key)
        if self._is_dry:
            if entry is not None and journal.is_claimed(entry):
                return Decision(is_claimed_by_other_run=True)
            known = None if entry is None else self._from_journal(job, entry)
            return self.known_in_other_folder(job, self._reserved(job, entry, known))
        decision = None if entry is None else self._from_journal(job, entry)
        if decision is not None and decision.is_settled:
            return decision
        claim = journal.claim(key)
        if not claim.is_ours:
            return Decision(is_claimed_by_other_run=True)
        job.entry = claim.entry
        if entry is None or entry.changed != claim.entry.changed:  # another run has ended it meanwhile
            decision = self._from_journal(job, claim.entry)
        decision = self.known_in_other_folder(job, self._reserved(job, claim.entry, decision))
        if decision.adopted is not None:
            self._adopt(job, decision.adopted, decision.outputs)
        if decision.is_settled:
            self._give_up(claim.entry)
        return decision

    def _reserved(self, job: Job, entry: Entry | None, known: Decision | None) -> Decision:
        """The decision, its name reserved; ``known`` is the journal's answer, read again when the name is taken."""
        while True:
            decision = known
            if decision is None:
                decision = self._from_disk(job)
            elif decision.reuse is not None and decision.base is None:
                decision = with_name(decision, self._from_disk(job))
            if decision.base is None:
                return decision
            if not decision.is_settled:
                check_access(folder_of(job.audio, self._options.output))
            if self._namer.reserve(job.audio, decision.base, decision.kept):
                return decision
            known = None if entry is None else self._from_journal(job, entry)

    def _from_journal(self, job: Job, entry: Entry) -> Decision | None:
        known = self._facts.known(job, entry, self.recording)
        return None if known is None else decide_from_journal(known, self._wishes)

    def _from_disk(self, job: Job) -> Decision:
        if not self._options.output.write:
            return Decision()
        decision = decide_from_disk(self._facts.names(job), self._wishes)
        if decision is None:
            raise no_name(job.audio)
        return decision

    def _adopt(self, job: Job, transcript: Transcript, outputs: tuple[Path, ...]) -> None:
        """Let the journal know outputs that a transcript on disk proves."""
        self.intend(job, transcript, {})
        self.done(job, transcript, {path.suffix[1:]: path for path in outputs}, outputs, 0.0)

    def recipe_key(self, job: Job) -> str:
        """What the file's text depends on beside the recording, as one text."""
        recipe = self._recipes.of(job.audio)
        return f"{recipe.revision or recipe.model} {recipe.settings}"

    def transcript_key(self, job: Job) -> str:
        """What the file's transcript depends on beside the recording, its speakers included, as one text."""
        return f"{self.recipe_key(job)} {self._speakers.requested(job.audio)}"

    def is_claimed_by_other_run(self, job: Job) -> bool:
        """Whether another run still has the file in hand."""
        if self.journal is None:
            return False
        entry = self.journal.look(self._key(job))
        return entry is not None and self.journal.is_claimed_by_other_run(entry)

    def intend(
        self, job: Job, transcript: Transcript, texts: Mapping[Path, tuple[str, Content]], new: Collection[Path] = ()
    ) -> None:
        """Note what is about to be written: format and content by path.

        Raises:
            TakenError: Another recording's output has appeared at a path in ``new``.
        """
        if self.journal is None or job.entry is None:
            return
        outputs = [
            Output(absolute(path), self._forms.of(job.audio, name, transcript), intended=digest(text))
            for path, (name, text) in texts.items()
        ]
        self.journal.intend(
            job.entry,
            self._recording_of(job, transcript),
            self._recipes.of_transcript(transcript),
            self._namer.base(job.audio),
            transcript.language,
            outputs,
            [absolute(path) for path in new],
        )

    def give_back(self, job: Job, paths: Collection[Path]) -> None:
        """Note that what was about to be written at the paths will not be."""
        if self.journal is not None and job.entry is not None:
            self.journal.give_back(job.entry, [absolute(path) for path in paths])

    def done(
        self, job: Job, transcript: Transcript, places: Mapping[str, Path], kept: Collection[Path], wall_s: float
    ) -> None:
        """Record that all of a file's outputs, by format, are on disk; ``kept`` are those that were there before."""
        if self.journal is None or job.entry is None:
            return
        options = self._options.output
        forms = {path: self._forms.of(job.audio, name, transcript) for name, path in places.items()}
        outputs = [
            as_kept(form, path, job.entry, transcript, options) if path in kept else as_left(form, path)
            for path, form in forms.items()
        ]
        self.journal.done(job.entry, outputs, transcript.duration_s, wall_s, job.hook)
        self._forget_name(job)

    def failed(self, job: Job, error: WhisperbatchError, *, is_permanent: bool) -> None:
        """Note why a file failed."""
        if self.journal is None or job.entry is None:
            return
        recipe, recording = self._recipes.of(job.audio), self.recording(job)
        self.journal.failed(job.entry, recording, recipe, error.message, is_permanent=is_permanent, hook=job.hook)

    def give_up(self, job: Job) -> None:
        """End the claim on a file with which nothing was done."""
        if self.journal is not None and job.entry is not None:
            self._give_up(job.entry)

    def finish(self) -> None:
        """Note that the run came to its end, uninterrupted."""
        if self.journal is not None and self._wishes.redo_since is not None:
            self.journal.redo_over(self._options.journal.redo_scope)

    def _give_up(self, entry: Entry) -> None:
        """End a claim with which nothing was done."""
        assert self.journal is not None
        known = self.journal.look(entry.key)
        if known is not None and known.state is State.NEW:
            self.journal.forget(known)
        elif known is not None and known.run is not None:
            self.journal.release(known)

    def _forget_name(self, job: Job) -> None:
        """Leave a name to the journal, which has it: a drop folder may be watched for a year."""
        if job.audio.is_watched:
            self._namer.forget(job.audio)

    def _refresh(self, job: Job) -> None:
        """Look at the recording again: it may have waited in the queue for hours."""
        try:
            status = job.audio.path.stat()
        except (OSError, ValueError):
            return
        if (status.st_size, status.st_mtime_ns) != (job.audio.size, job.audio.mtime_ns):
            job.audio = replace(job.audio, size=status.st_size, mtime_ns=status.st_mtime_ns)
            job.assembly, job.sample, job.content = Assembly(job.audio), None, None

    def recording(self, job: Job) -> Recording:
        """The recording as it was found, with a sample of its bytes."""
        if job.sample is None:
            job.sample = sample_of(job.audio.path)
        if job.content is None:
            job.content = FileDigest(job.audio, job.sample, self.is_over)
        return Recording(job.audio.size, job.audio.mtime_ns, job.sample)

    def _recording_of(self, job: Job, transcript: Transcript) -> Recording:
        """The recording with what is known of the bytes that the transcript was made of."""
        recording = self.recording(job)
        is_proven = job.content is not None and transcript.sha256 is not None and transcript.sha256 == job.sample
        content = job.content.known if is_proven and job.content is not None else None
        kept = None if job.is_to_load else job.entry  # it has its transcript from where it had it
        return replace(recording, content=content, twin=job.twin or (None if kept is None else kept.twin))

    def _key(self, job: Job) -> Key:
        return Key(absolute(job.audio.path), absolute(folder_of(job.audio, self._options.output)))

    def known_in_other_folder(self, job: Job, decision: Decision) -> Decision:
        """Return the decision; a file to be transcribed is made from JSON that is in another folder, or of a copy."""
        is_again = self._options.output.overwrite or self._wishes.redo_since is not None
        if not decision.is_work or is_again or self.journal is None:
            return decision
        key = self._key(job)

        def agrees(entry: Entry) -> bool:
            return self._recipes.fit_entry(job.audio, entry)

        found = earlier_transcripts.in_another_folder(
            self.journal, key, lambda entry: agrees(entry) and self._facts.is_same(job, entry, self.recording)
        )
        if found is None and self._options.journal.dedupe and self.journal.knows_size(job.audio.size):
            recording = self.recording(job)
            assert job.content is not None
            recipes = self._recipes.candidates(job.audio)
            found = earlier_transcripts.of_the_same_content(self.journal, key, recipes, agrees, recording, job.content)
        return decision if found is None else self._speakers.added(found.taken(decision), job.audio)

    def _clean(self, folder: Path) -> None:
        with self._lock:
            if folder in self._cleaned:
                return
            self._cleaned.add(folder)
        remove_stale(folder)
