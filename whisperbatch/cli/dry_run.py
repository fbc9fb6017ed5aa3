"""``--dry-run``: prints what a run would do with each recording, and totals."""

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from whisperbatch import demo, pipeline
from whisperbatch.audio.durations import header_durations_s
from whisperbatch.cli.failures import say, shown
from whisperbatch.errors import WhisperbatchError
from whisperbatch.journal import Journal, default_path
from whisperbatch.options import RunOptions
from whisperbatch.outputs.namer import Namer
from whisperbatch.pipeline.copy_jobs import CopyJobs
from whisperbatch.pipeline.decision import Decision
from whisperbatch.pipeline.open_files import Job
from whisperbatch.pipeline.text_settings import fault_of
from whisperbatch.records import AudioFile
from whisperbatch.sources import MEDIA_SUFFIXES
from whisperbatch.transcripts import Assembly

TRANSCRIBE, WRITE, SKIP, FAIL = "to transcribe", "to write from JSON", "skipped", "failed"
SAME = "to write from the transcript of the same recording"
MAX_HEADERS = 10_000  # headers to read for durations; a list may name millions of files


@dataclass(slots=True)
class _Plan:
    """The decisions of a run so far: counts, and recordings to transcribe."""

    planner: pipeline.Planner
    namer: Namer
    options: RunOptions
    copies: CopyJobs | None
    firsts: dict[int, AudioFile | None] = field(default_factory=dict)  # by size; None once it is in ``copies``
    counts: Counter[str] = field(default_factory=Counter)
    n_bytes: int = 0
    paths: list[Path] = field(default_factory=list)

    def of(self, audio: AudioFile) -> str:
        """Return a sentence: what a run would do with a recording, and why."""
        try:
            kind, sentence = self._decided(audio)
        except WhisperbatchError as err:
            kind, sentence = FAIL, f"failed: {err.message}"
        self.counts[kind] += 1
        if kind == TRANSCRIBE:
            self.n_bytes += audio.size
            if len(self.paths) < MAX_HEADERS:
                self.paths.append(audio.path)
        return sentence

    def _decided(self, audio: AudioFile) -> tuple[str, str]:
        if (fault := fault_of(self.options, audio)) is not None:
            return FAIL, f"failed: {fault}"
        job = Job(0, audio, Assembly(audio))
        decision = self._placed(job, self.planner.decide(job))
        if decision.is_claimed_by_other_run:
            return SKIP, "skipped: another run is working on it"
        if decision.is_settled:
            return (SKIP, f"skipped: {decision.skip}") if decision.skip else (FAIL, f"failed: {decision.failed}")
        reuse, twin = decision.reuse, decision.twin
        language = reuse.language if reuse else audio.options.language or self.options.clip.language or ""
        outputs = {
            name: path for name, path in self.namer.outputs(job.audio, language).items() if path not in decision.outputs
        }
        verb = f"would write {', '.join(outputs)} from JSON" if reuse else "would transcribe"
        if decision.adds_speakers:
            verb = "would find the speakers and write them"
        elif twin is not None:
            verb = f"would write {', '.join(outputs)} from the transcript of {twin}"
        why = f" ({decision.why})" if decision.why else ""
        sentence = f"{verb} to {', '.join(str(path) for path in outputs.values())}{why}"
        return SAME if twin is not None and not decision.adds_speakers else WRITE if reuse else TRANSCRIBE, sentence

    def _placed(self, job: Job, decision: Decision) -> Decision:
        """Return the decision: of copies only the first is transcribed. A file of a unique size is not read."""
        if self.copies is None or not decision.is_work:
            return decision
        first = self.firsts.setdefault(job.audio.size, job.audio)
        if first is job.audio:
            return decision
        if first is not None:
            self.copies.place(Job(0, first, Assembly(first)), Decision())
            self.firsts[job.audio.size] = None
        return self.copies.place(job, decision)

    def totals(self) -> str:
        """Return the number of recordings by what would be done."""
        parts = []
        for kind in (TRANSCRIBE, WRITE, SAME, SKIP, FAIL):
            if self.counts[kind]:
                parts.append(f"{self.counts[kind]} {kind}" + (f" ({self._size()})" if kind == TRANSCRIBE else ""))
        return ", ".join(parts)

    def _size(self) -> str:
        """Return hours, as far as headers give durations, and bytes."""
        lengths = header_durations_s(self.paths)
        known = [length for length in lengths if length is not None]
        size = _spelled(self.n_bytes)
        if not known:
            return size
        least = "" if len(known) == self.counts[TRANSCRIBE] else "at least "
        return f"{least}{sum(known) / 3600:.2f} hours of audio, {size}"


def print_plan(source: Iterable[AudioFile], options: RunOptions) -> int:
    """Print what would be done with each recording and why; return the number of recordings."""
    namer, place = Namer(options.output, MEDIA_SUFFIXES), options.journal.journal or default_path()
    with ExitStack() as last:
        is_kept = options.journal.use_journal and place.exists()
        book = last.enter_context(Journal(place)) if is_kept else None
        planner = pipeline.Planner(
            options, namer, book, lambda: pipeline.revision_of(options.engine, demo.FOLDER), is_dry=True
        )
        plan = _Plan(planner, namer, options, CopyJobs(options, planner) if options.journal.dedupe else None)
        for audio in source:
            print(f"{shown(audio.path)}: {shown(plan.of(audio))}")
    n_files = plan.counts.total()
    if n_files:
        say(plan.totals())
    return n_files


def _spelled(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"
