"""Write a file's outputs, with a journal entry before and after."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from whisperbatch.errors import TakenError, WriteError
from whisperbatch.options import OutputOptions
from whisperbatch.outputs.namer import Namer, write_all
from whisperbatch.outputs.paths import rules_of
from whisperbatch.pipeline.open_files import Job, OpenFiles
from whisperbatch.pipeline.outputs_on_disk import edited
from whisperbatch.pipeline.planner import Planner
from whisperbatch.records import Event, Outcome, Status, Transcript
from whisperbatch.replacements import corrected
from whisperbatch.writers import Content, render

MAX_NAMES = 8  # tried for a file while other runs take names
GONE = "its folder has gone, and the transcript with it; use --output-dir to write elsewhere"


class OutputWriter:
    """Writes the outputs of claimed jobs; any thread may call it."""

    def __init__(
        self,
        options: OutputOptions,
        open_files: OpenFiles,
        namer: Namer,
        planner: Planner,
        waited_for_folder: Callable[[Job], bool],
        note: Callable[[Job, Outcome], None],
    ) -> None:
        """Write nothing yet.

        ``waited_for_folder`` waits for a file's folder and returns whether it was away; ``note`` gets the outcome
        before the journal records that the file is done.
        """
        self._options, self._open_files, self._namer, self._planner = options, open_files, namer, planner
        self._waited_for_folder, self._note = waited_for_folder, note

    def put(self, job: Job, transcript: Transcript, reason: str = "") -> None:
        """Write a file's outputs and resolve it as done.

        Raises:
            WriteError: The outputs could not be written; none is half written.
        """
        transcript = corrected(transcript, rules_of(job.audio, self._options))
        wall_s = time.monotonic() - job.started_s
        audio_s = transcript.duration_s
        outcome = Outcome(job.audio.path, Status.DONE, transcript, reason=reason, audio_s=audio_s, wall_s=wall_s)
        if self._options.write:
            outcome = self._write(job, transcript, outcome)
        self._open_files.resolve(job, outcome)

    def lost_its_folder(self, job: Job) -> bool:
        """Whether a file must be written again, since the folder of its outputs was away for a while."""
        return self._is_beside(job) and self._waited_for_folder(job)

    def _write(self, job: Job, transcript: Transcript, outcome: Outcome) -> Outcome:
        """Write the outputs; return the outcome with their paths."""
        for n_left in reversed(range(MAX_NAMES)):
            places = self._namer.outputs(job.audio, transcript.language)
            if self._is_beside(job):
                self._require_folder(job)
            chosen = self._rendered(transcript, {n: path for n, path in places.items() if path not in job.kept_outputs})
            try:
                self._place(job, transcript, chosen)
                break
            except TakenError:  # for example by another run, for a recording of the same name
                self._planner.give_back(job, chosen)
                self._namer.choose_again(job.audio, transcript.language)
                if not n_left:
                    raise
        self._report_edited(job, list(places.values()))
        outcome = replace(outcome, outputs=tuple(places.values()))
        self._note(job, outcome)
        self._planner.done(job, transcript, places, job.kept_outputs, outcome.wall_s)
        return outcome

    def _rendered(self, transcript: Transcript, places: Mapping[str, Path]) -> dict[Path, tuple[str, Content]]:
        """Return format and content by path; a document's title is its name."""
        options = self._options
        return {
            path: (name, render(transcript, name, options.subtitles, options.documents, path.stem))
            for name, path in places.items()
        }

    def _report_edited(self, job: Job, places: Sequence[Path]) -> None:
        """Emit a notice that names edited outputs, which are why the new ones have another name."""
        if job.entry is None or job.entry.base in (None, self._namer.base(job.audio)):
            return
        kept = [str(path) for path in edited(job.entry)]
        if kept:
            text = f"{', '.join(kept)} {'was' if len(kept) == 1 else 'were'} edited and kept"
            made = ", ".join(str(path) for path in places)
            self._open_files.emit(Event("notice", job.audio.path, {"text": f"{text}; the new transcript is {made}"}))

    def _place(self, job: Job, transcript: Transcript, chosen: Mapping[Path, tuple[str, Content]]) -> None:
        new = self._namer.new(job.audio, chosen)
        self._planner.intend(job, transcript, chosen, new)
        texts = {path: text for path, (_, text) in chosen.items()}
        write_all(texts, makes_folders=not self._is_beside(job), new=new)

    def _is_beside(self, job: Job) -> bool:
        folder = self._options.output_dir or self._options.move_done or job.audio.options.output
        return folder is None

    def _require_folder(self, job: Job) -> None:
        """Wait for a folder that is away: writing beside recordings must not create it again, on another device."""
        self._waited_for_folder(job)
        if not job.audio.path.parent.is_dir():
            raise WriteError(GONE)
