"""The facts that a decision about a file rests on: what the journal has of it, and what is on disk under its names."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from whisperbatch.journal import Entry, Journal, Output, Recording, State
from whisperbatch.options import RunOptions
from whisperbatch.outputs.existing import ExistingOutputs, OutputSet
from whisperbatch.outputs.namer import Name, Namer
from whisperbatch.outputs.paths import absolute, file_name, folder_of, formats_of
from whisperbatch.pipeline.decision import Known, NameFacts, Wishes
from whisperbatch.pipeline.file_digest import sample_of
from whisperbatch.pipeline.open_files import Job
from whisperbatch.pipeline.output_forms import OutputForms
from whisperbatch.pipeline.outputs_on_disk import is_as_left, is_intended, is_made_from, ours, transcript_among
from whisperbatch.pipeline.speaker_marks import SpeakerMarks
from whisperbatch.pipeline.text_recipes import TextRecipes
from whisperbatch.records import AudioFile, Transcript


class Facts:
    """Gathers the facts about one run's files; any thread may call it, and nothing is held meanwhile."""

    def __init__(
        self,
        options: RunOptions,
        namer: Namer,
        journal: Journal | None,
        recipes: TextRecipes,
        speakers: SpeakerMarks,
        wishes: Wishes,
        *,
        is_dry: bool = False,
    ) -> None:
        """Look where the options say; ``namer`` knows which names other files of the run have."""
        self._options, self._namer, self._journal = options, namer, journal
        self._recipes, self._speakers, self._wishes, self._is_dry = recipes, speakers, wishes, is_dry
        self._forms = OutputForms(options, speakers)
        self._existing = ExistingOutputs(options.output)

    def known(self, job: Job, entry: Entry, recording: Callable[[Job], Recording]) -> Known | None:
        """Return what holds of a journal's entry; None when it has neither a name nor a failure, so decides nothing.

        Args:
            job: The file.
            entry: What the journal has of it.
            recording: Reads the sample of a file's bytes, if nobody has read it yet.
        """
        if entry.base is None and entry.state is not State.FAILED:
            return None
        is_same = self.is_same(job, entry, recording)
        known = Known(entry, is_same, self._recipes.fit_entry(job.audio, entry))
        if entry.base is None:
            return known
        if is_same and known.has_same_settings and not self._wishes.repeats(entry):
            if entry.state is State.DONE:
                known = self._done(job, known)
            elif entry.state is State.WRITING:
                known = self._interrupted(job, known)
        if known.is_complete:
            return known
        transcript = known.transcript
        return replace(
            known,
            can_have_name=self._namer.can_have(job.audio, entry.base),
            ours=self._spelled(job.audio, ours(entry)),
            lacks_speakers=transcript is not None and self._speakers.lacking(transcript, job.audio),
        )

    def names(self, job: Job) -> Iterator[NameFacts]:
        """Yield the names that a file may have; each is looked up on disk only when it is needed."""
        audio = job.audio
        if self._namer.known_base(audio) is not None:
            self._existing.list_again(audio)
        for name in self._namer.names(audio):
            if self._namer.can_have(audio, name.base):
                yield self._name(audio, name)
            else:
                yield NameFacts(name.base, is_taken=True, is_numbered=name.is_numbered)

    def is_same(self, job: Job, entry: Entry, recording: Callable[[Job], Recording]) -> bool:
        """Return whether a file is the recording that the journal knows; a new mtime alone is noted there."""
        if entry.size != job.audio.size:
            return False
        if entry.mtime_ns == job.audio.mtime_ns:
            return True
        found = recording(job)
        if entry.sample is None or entry.sample != found.sample:
            return False
        if self._journal is not None and not self._is_dry:
            self._journal.touch(entry, found)
        return True

    def _done(self, job: Job, known: Known) -> Known:
        """What is there of a file that was done; its JSON is read only when something is missing."""
        left = [output for output in known.entry.outputs if os.path.lexists(output.path)]
        there = [output for output in left if self._forms.fit(job.audio, output)]
        wanted = self._wanted(job.audio, known.entry)
        if {output.path for output in there}.issuperset(wanted):
            return replace(known, is_complete=True, there=tuple(wanted))
        return replace(
            known,
            there=self._spelled(job.audio, there),
            has_other_rules=any(self._forms.has_other_rules(job.audio, one) for one in left if one not in there),
            transcript=transcript_among(left),
        )

    def _interrupted(self, job: Job, known: Known) -> Known:
        """What is there of a file whose run ended while it wrote."""
        written = [output for output in known.entry.outputs if output.intended and is_intended(output)]
        transcript = transcript_among(written) or self._rendered_before(job, known.entry)
        there = [output for output in written if self._forms.has(job.audio, output)]
        return replace(known, there=self._spelled(job.audio, there), transcript=transcript)

    def _rendered_before(self, job: Job, entry: Entry) -> Transcript | None:
        """The transcript that an interrupted run was about to render anew, if it is still the one that is wanted."""
        transcript = transcript_among([output for output in entry.outputs if is_as_left(output)])
        if transcript is None or self._wishes.redo_since is not None:
            return None
        return transcript if self._is_of(job.audio, transcript, entry.key.path) else None

    def _name(self, audio: AudioFile, name: Name) -> NameFacts:
        """What is on disk under one name."""
        facts = NameFacts(name.base, is_shared=name.is_shared, is_numbered=name.is_numbered)
        found = self._found(audio, name.base)
        if found is None:
            complete = () if self._namer.has_changed(audio) else self._existing.complete_without_json(audio, name.base)
            return replace(facts, complete=complete, is_free=self._existing.is_free(audio, name.base))
        lacks = self._speakers.lacking(found.transcript, audio)
        is_again = lacks or self._wishes.redo_since is not None
        candidates = (*found.there, *found.stale) if is_again and not self._wishes.overwrite else ()
        proven = tuple(one for one in candidates if is_made_from(one, found.transcript, self._options.output))
        is_free = self._existing.is_free(audio, name.base)
        return replace(facts, found=found, proven=proven, lacks_speakers=lacks, is_free=is_free)

    def _found(self, audio: AudioFile, base: str) -> OutputSet | None:
        """The recording's own transcript under a name, with the outputs beside it."""
        for language, path, transcript in self._existing.transcripts(audio, base):
            if self._is_of(audio, transcript, path):
                return self._existing.outputs_of(audio, base, language, path, transcript)
        return None

    def _is_of(self, audio: AudioFile, transcript: Transcript, path: Path) -> bool:
        """Whether a transcript on disk is of this recording, made as is wanted now, and nobody else's."""
        if transcript.size is None or transcript.size != audio.size:
            return False
        if self._options.output.overwrite:
            return True
        if transcript.sha256 is not None and transcript.sha256 != sample_of(audio.path):
            return False
        if not self._recipes.fit_transcript(audio, transcript):
            return False
        if self._options.output.move_done is not None and transcript.sha256 is not None:
            return True  # it was moved away, and the same has been brought again
        owner = self._journal.owner(absolute(path)) if self._journal is not None else None
        return owner in (None, absolute(audio.path))

    def _wanted(self, audio: AudioFile, entry: Entry) -> list[Path]:
        """The absolute paths of the formats that are wanted."""
        assert entry.base is not None
        template, language = self._options.output.name, entry.language or ""
        names = (file_name(template, entry.base, language, name) for name in formats_of(audio, self._options.output))
        return [entry.key.folder / name for name in names]

    def _spelled(self, audio: AudioFile, outputs: Iterable[Output]) -> tuple[Path, ...]:
        """The outputs' paths as the run spells them."""
        folder = folder_of(audio, self._options.output)
        return tuple(folder / output.path.name for output in outputs)
