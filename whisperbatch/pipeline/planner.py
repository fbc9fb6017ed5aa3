"""What is to be done for a file, and what became of it: the journal's answer first, then what lies on disk.

Comes in: jobs, one by one, and how they went. Goes out: a Decision each. Without a journal the disk alone answers.
"""

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

from whisperbatch.errors import WhisperbatchError
from whisperbatch.journal import Entry, Journal, Key, Output, Recording, State
from whisperbatch.options import RunOptions
from whisperbatch.outputs.namer import ALREADY, Namer, remove_stale
from whisperbatch.outputs.paths import absolute, file_name, folder_of, formats_of
from whisperbatch.pipeline import earlier_transcripts
from whisperbatch.pipeline.decision import Decision
from whisperbatch.pipeline.file_digest import FileDigest, sample_of
from whisperbatch.pipeline.open_files import Job
from whisperbatch.pipeline.output_forms import OutputForms
from whisperbatch.pipeline.outputs_on_disk import (
    as_kept,
    as_left,
    digest,
    is_as_left,
    is_intended,
    is_made_from,
    ours,
    transcript_among,
)
from whisperbatch.pipeline.speaker_marks import SPEAKERS, SpeakerMarks
from whisperbatch.pipeline.text_recipes import TextRecipes
from whisperbatch.records import AudioFile, Transcript
from whisperbatch.transcripts import Assembly
from whisperbatch.writers.content import Content

MISSING, OTHER_RULES = "an output is missing", "other replacement rules are asked for"
TRANSCRIBED_AGAIN = "other replacement rules are asked for and there is no JSON to apply them to; transcribing again"
FAILED_BEFORE = "failed before: {error} (--retry-failed tries again)"


class Planner:
    """Decisions and bookkeeping of one run; any thread may call it.

    ``weights_revision`` says which weights the model's name stands for; None where only the open model knows.
    """

    def __init__(
        self,
        options: RunOptions,
        namer: Namer,
        journal: Journal | None,
        revision: Callable[[], str | None] = lambda: None,
        *,
        is_dry: bool = False,
    ) -> None:
        """Ask for the revision with the first file only; ``is_dry`` claims nothing and notes nothing."""
        self._options = options
        self._namer = namer
        self.journal = journal
        self._makings = TextRecipes(options, revision)
        self._speakers = SpeakerMarks(options)
        self._forms = OutputForms(options, self._speakers)
        self._is_dry = is_dry
        self.is_over: Callable[[], bool] = lambda: False  # whether reading of recordings is to be broken off
        self._lock = threading.Lock()
        self._cleaned: set[Path] = set()
        self._redo_since: float | None = None
        if journal is not None and options.journal.redo:
            self._redo_since = time.time() if is_dry else journal.redo_since(options.journal.redo_scope)
        namer.is_from = self._is_from

    def decide(self, job: Job) -> Decision:
        """What is to be done; when it is work, the file is this run's from now on.

        Raises:
            WriteError: No name is free, or the folder is closed.
        """
        self._refresh(job)
        decision = self._from_disk(job, None) if self.journal is None else self._decide(job, self.journal)
        if not (decision.is_settled or decision.is_claimed_by_other_run or self._is_dry):
            self.recording(job)  # as it is before it is loaded
        return decision

    def _decide(self, job: Job, journal: Journal) -> Decision:
        key = self._key(job)
        entry = journal.look(key)
        if self._is_dry and entry is not None and journal.is_claimed(entry):
            return Decision(is_claimed_by_other_run=True)
        decision = self._from_journal(job, entry) if entry is not None else None
        if (decision is not None and decision.is_settled) or self._is_dry:
            return self._from_other_folder(job, key, decision or self._from_disk(job, entry))
        claim = journal.claim(key)
        if not claim.is_ours:
            return Decision(is_claimed_by_other_run=True)
        job.entry = claim.entry
        if entry is None or entry.changed != claim.entry.changed:  # another run has ended it meanwhile
            decision = self._from_journal(job, claim.entry)
        decision = self._from_other_folder(job, key, decision or self._from_disk(job, claim.entry))
        if decision.is_settled:
            self._give_up(claim.entry)
        return decision

    def making_told(self, job: Job) -> str:
        """What the file's text depends on beside the recording, as one text."""
        making = self._makings.of(job.audio)
        return f"{making.revision or making.model} {making.settings}"

    def transcript_told(self, job: Job) -> str:
        """What the file's transcript depends on beside the recording, its speakers included, as one text."""
        return f"{self.making_told(job)} {self._speakers.requested(job.audio)}"

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
            TakenError: Another recording's output has come to lie at a path in ``new``.
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
            self._makings.of_transcript(transcript),
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
        """Note that all of a file's outputs, by format, lie on disk; ``clip_cache`` are those that lay there before."""
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
        making, recording = self._makings.of(job.audio), self.recording(job)
        self.journal.failed(job.entry, recording, making, error.message, is_permanent=is_permanent, hook=job.hook)

    def give_up(self, job: Job) -> None:
        """End the claim on a file with which nothing was done."""
        if self.journal is not None and job.entry is not None:
            self._give_up(job.entry)

    def finish(self) -> None:
        """Note that the run came to its end, uninterrupted."""
        if self.journal is not None and self._redo_since is not None:
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

    def _from_journal(self, job: Job, entry: Entry) -> Decision | None:
        """The journal's answer; None when it has none and the disk is to be asked."""
        is_same, agrees = self._is_same(job, entry), self._makings.fit_entry(job.audio, entry)
        if entry.base is None and entry.state is not State.FAILED:
            return None
        if entry.state is State.FAILED and is_same and agrees and entry.is_permanent and not self._is_repeat(entry):
            return Decision(failed=FAILED_BEFORE.format(error=entry.error))
        if entry.base is None:
            return None
        why = self._why(entry, is_same, agrees)
        if not why and entry.state is State.DONE:
            return self._settled(job, entry)
        if not why and entry.state is State.WRITING and not self._options.output.overwrite:
            return self._resumed(job, entry)
        return self._again(job, entry, why or (entry.error and f"failed before: {entry.error}") or "was interrupted")

    def _is_repeat(self, entry: Entry) -> bool:
        """Whether what was done or failed before is asked for again."""
        journal = self._options.journal
        is_old = self._redo_since is not None and entry.changed < self._redo_since
        retries = journal.retry_failed and entry.state is State.FAILED
        return self._options.output.overwrite or is_old or retries

    def _why(self, entry: Entry, is_same: bool, agrees: bool) -> str:
        """Why a known file is done again; empty when there is no reason."""
        if self._options.output.overwrite:
            return "--overwrite"
        if not is_same:
            return "the recording has changed"
        if not agrees:
            return "other settings"
        return "--redo" if self._is_repeat(entry) and entry.state is not State.FAILED else ""

    def _settled(self, job: Job, entry: Entry) -> Decision | None:
        """The file is done: skip it, or make what is missing, from its JSON if there is one."""
        left = [output for output in entry.outputs if os.path.lexists(output.path)]
        there = tuple(output for output in left if self._forms.fit(job.audio, output))
        wanted = self._wanted(job.audio, entry)
        known = {output.path for output in there}
        if known.issuperset(wanted):
            self._clean(entry.key.folder)
            return Decision(skip=ALREADY, outputs=tuple(wanted))
        transcript = transcript_among(left)
        is_other = any(self._forms.has_other_rules(job.audio, output) for output in left if output not in there)
        return self._continued(job, entry, there, transcript, OTHER_RULES if is_other else MISSING)

    def _resumed(self, job: Job, entry: Entry) -> Decision | None:
        """A run was ended while it wrote the file: what it wrote stays, and the rest is made from its JSON."""
        written = tuple(output for output in entry.outputs if output.intended and is_intended(output))
        transcript = transcript_among(written) or self._rendered_before(job, entry)
        if transcript is None:
            return self._again(job, entry, "was interrupted")
        there = tuple(output for output in written if self._forms.has(job.audio, output))
        return self._continued(job, entry, there, transcript)

    def _rendered_before(self, job: Job, entry: Entry) -> Transcript | None:
        """The transcript that a run was about to render anew when it was ended, if it is still what is asked for."""
        transcript = transcript_among([output for output in entry.outputs if is_as_left(output)])
        if transcript is None or self._redo_since is not None:
            return None
        return transcript if self._is_from(job.audio, transcript, entry.key.path) else None

    def _continued(
        self, job: Job, entry: Entry, there: tuple[Output, ...], transcript: Transcript | None, lacks: str = MISSING
    ) -> Decision | None:
        """What is there stays, the rest is made."""
        assert entry.base is not None
        paths = self._spelled(job.audio, there)
        is_ours = self._namer.keep(job.audio, entry.base, (*paths, *self._spelled(job.audio, ours(entry))))
        source = "it is made from the JSON" if transcript else "and there is no JSON to make it from"
        if is_ours:
            notice = TRANSCRIBED_AGAIN if lacks == OTHER_RULES and transcript is None else ""
            why = f"{lacks}, {source}"
            made = Decision(outputs=paths, reuse=transcript, why=why, notice=notice, content=entry.content)
        else:
            made = Decision(reuse=transcript, content=entry.content)
        return self._speakers.added(made, job.audio) if is_ours or transcript else None

    def _again(self, job: Job, entry: Entry, why: str) -> Decision | None:
        """Do a known file again, under its name, in place of what we wrote and nobody has changed since."""
        assert entry.base is not None
        is_free = self._namer.keep(job.audio, entry.base, self._spelled(job.audio, ours(entry)))
        return Decision(why=why) if is_free else None

    def _spelled(self, audio: AudioFile, outputs: tuple[Output, ...]) -> tuple[Path, ...]:
        """The outputs' paths as the Namer spells them."""
        folder = folder_of(audio, self._options.output)
        return tuple(folder / output.path.name for output in outputs)

    def _wanted(self, audio: AudioFile, entry: Entry) -> list[Path]:
        """Where the formats that are asked for lie, from the root."""
        assert entry.base is not None
        template = self._options.output.name
        names = (
            file_name(template, entry.base, entry.language or "", name)
            for name in formats_of(audio, self._options.output)
        )
        return [entry.key.folder / name for name in names]

    def _from_disk(self, job: Job, entry: Entry | None) -> Decision:
        """What the files on disk say; a transcript that our JSON proves is adopted."""
        if not self._options.output.write:
            return Decision()
        plan = self._namer.plan(job.audio)
        text, is_again = plan.found or plan.reuse, self._redo_since is not None
        if text is not None and (is_again or self._speakers.lacking(text, job.audio)):
            there = (*plan.outputs, *plan.stale)
            proven = [path for path in there if is_made_from(path, text, self._options.output)]
            self._namer.keep(job.audio, self._namer.base(job.audio), proven)
            return Decision(why="--redo") if is_again else Decision(reuse=text, adds_speakers=True, why=SPEAKERS)
        if plan.found is not None and entry is not None and job.entry is not None:
            places = {path.suffix[1:]: path for path in plan.outputs}
            self.intend(job, plan.found, {})
            self.done(job, plan.found, places, plan.outputs, 0.0)
        return Decision(plan.skip, outputs=plan.outputs, reuse=plan.reuse)

    def known_in_other_folder(self, job: Job, decision: Decision) -> Decision:
        """The decision; what is to be transcribed is made from JSON that the journal knows by now."""
        return self._from_other_folder(job, self._key(job), decision)

    def _key(self, job: Job) -> Key:
        return Key(absolute(job.audio.path), absolute(folder_of(job.audio, self._options.output)))

    def _from_other_folder(self, job: Job, key: Key, decision: Decision) -> Decision:
        """The decision; what is to be transcribed is made from JSON that we left in another folder or for a copy."""
        is_again = self._options.output.overwrite or self._redo_since is not None
        if not decision.is_work or is_again or self.journal is None:
            return decision

        def agrees(entry: Entry) -> bool:
            return self._makings.fit_entry(job.audio, entry)

        found = earlier_transcripts.in_another_folder(
            self.journal, key, lambda entry: agrees(entry) and self._is_same(job, entry)
        )
        if found is None and self._options.journal.dedupe and self.journal.knows_size(job.audio.size):
            recording = self.recording(job)
            assert job.content is not None
            makings = self._makings.candidates(job.audio)
            found = earlier_transcripts.of_the_same_content(self.journal, key, makings, agrees, recording, job.content)
        return decision if found is None else self._speakers.added(found.taken(decision), job.audio)

    def _is_from(self, audio: AudioFile, transcript: Transcript, path: Path) -> bool:
        """Whether a transcript on disk is of this recording, made as is asked for now, and nobody else's."""
        if transcript.size is None or transcript.size != audio.size:
            return False
        if self._options.output.overwrite:
            return True
        if transcript.sha256 is not None and transcript.sha256 != sample_of(audio.path):
            return False
        if not self._makings.fit_transcript(audio, transcript):
            return False
        if self._options.output.move_done is not None and transcript.sha256 is not None:
            return True  # it was moved away, and the same has been brought again
        owner = self.journal.owner(absolute(path)) if self.journal is not None else None
        return owner in (None, absolute(audio.path))

    def _is_same(self, job: Job, entry: Entry) -> bool:
        """Whether the recording is the one that the journal knows."""
        if entry.size != job.audio.size:
            return False
        if entry.mtime_ns == job.audio.mtime_ns:
            return True
        recording = self.recording(job)
        if entry.sample is None or entry.sample != recording.sample:
            return False
        if self.journal is not None and not self._is_dry:
            self.journal.touch(entry, recording)
        return True

    def _clean(self, folder: Path) -> None:
        with self._lock:
            if folder in self._cleaned:
                return
            self._cleaned.add(folder)
        remove_stale(folder)
