"""What each thread of a run does: find, load, decode, write.

Each stage ends when what feeds it has ended, or when the run is aborted. A stage touches files only through the board.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from whisperbatch.audio.pool import LoadWorker
from whisperbatch.batcher import Batcher
from whisperbatch.engine import Engine, EngineFacts
from whisperbatch.errors import FileError, LoadError, RunError, WhisperbatchError, WriteError
from whisperbatch.options import RunOptions
from whisperbatch.pipeline.board import Board, Job
from whisperbatch.pipeline.failing import WENT_AWAY, Alone, FailureLimit, Mounts, Retry, lasts, retry_of, unexpected
from whisperbatch.pipeline.kept import ClipKeeper
from whisperbatch.pipeline.planner import Decision, Planner
from whisperbatch.pipeline.settings import clip_settings, settings_of
from whisperbatch.pipeline.waiting import WaitingRoom
from whisperbatch.records import AudioFile, Clip, ClipFailed, ClipText, Event, Outcome, Segments, Status, Transcript
from whisperbatch.writers import render_all
from whisperbatch.writers.beside import Namer, write_all
from whisperbatch.writers.places import formats_of

INTERRUPTED = "interrupted"
RENDERED = "made from its JSON"
MAX_FILES_AHEAD = 10_000  # found and not yet loaded; a record each, so that totals are known early
MAX_BATCHES_AHEAD = 4  # loaded and not yet decoded


class Stages:
    """The queues of one run and the work between them; each method runs in threads of its own."""

    def __init__(self, options: RunOptions, board: Board, namer: Namer, planner: Planner) -> None:
        """Make the queues."""
        n_clips = max(64, MAX_BATCHES_AHEAD * options.batch.max_batch_size)
        self.options = options
        self.board = board
        self.namer = namer
        self.planner = planner
        self.keeper = ClipKeeper(planner.journal, planner.making_told)
        self.files: Batcher[Job] = Batcher(1, 0.0, max_items=MAX_FILES_AHEAD)
        self.waiting = WaitingRoom(
            self.files.put,
            self.files.close,
            lambda job: board.find(job.file_id) is None or not planner.is_elsewhere(job),
        )
        self.clips: Batcher[Clip] = Batcher(
            options.batch.max_batch_size,
            options.batch.max_wait_s,
            max_items=n_clips,
            max_weight=n_clips * 30.0,
            weight=lambda clip: clip.duration_s,
        )
        self.whole: Batcher[Job] = Batcher(1, 0.0, max_items=MAX_FILES_AHEAD)
        self.mounts, self._alone = Mounts(), Alone()
        self._ended = threading.Event()
        self._limit = FailureLimit(options.failures)
        self._loaders = options.load.resolved_workers
        self._loaders_lock = threading.Lock()
        self._engine_wanted, self._engine_ready = threading.Event(), threading.Event()
        self._no_drain = threading.Event()  # cleared while a stop waits for the last words of loaders
        self._no_drain.set()
        self._needs_engine = False
        self._facts: EngineFacts | None = None
        self._cancelled: set[int] = set()

    def abort(self) -> None:
        """Wake every stage; what is queued is dropped."""
        for queued in (self.files, self.clips, self.whole):
            queued.abort()
        self.waiting.abort()
        for waited_for in (self._ended, self._no_drain, self._engine_wanted, self._engine_ready):
            waited_for.set()

    def want_engine(self) -> None:
        """Have the engine opened now."""
        self._needs_engine = True
        self._engine_wanted.set()

    def drain(self) -> None:
        """Take nothing more in; what the engine holds is finished and written."""
        self.files.abort()
        self.waiting.abort()
        self._ended.set()
        self._no_drain.clear()
        self.clips.abort()
        self._engine_wanted.set()

    def drained(self) -> None:
        """No file that is open now needs its loader any more."""
        self._no_drain.set()

    def find(self, source: Iterable[AudioFile]) -> None:
        """Open each file that the source gives."""
        for audio in source:
            job = self.board.open(audio)
            if job is None:
                return
            self.board.emit(Event("queued", audio.path))
            if audio.asks.fault is not None:
                self.board.fail(job, LoadError(audio.asks.fault))
                self._limit.count()
                continue
            self.waiting.expect()
            self.mounts.seen(audio)
            if not self.files.put(job):
                return
        self.board.end_of_source()
        self.waiting.end_of_source()

    def load(self, worker: LoadWorker) -> None:
        """Load files with one worker, clip by clip, until no more come."""
        while jobs := self.files.take(1, idle=True):
            (job,) = jobs
            job.started_s = time.monotonic()
            self._load_with_retries(job, worker)
        with self._loaders_lock:
            self._loaders -= 1
            if self._loaders == 0:
                self.clips.close()
                self._engine_wanted.set()

    def decode(self, open_engine: Callable[[], Engine]) -> None:
        """Feed the engine until no more clips come; the engine is left empty and open.

        It is not opened before a file has to be transcribed: when all is done already, no model is loaded.
        """
        self._engine_wanted.wait()
        if not self._needs_engine:
            self.whole.close()
            return
        engine = open_engine()
        self._facts = engine.facts
        self._engine_ready.set()
        held: set[int] = set()
        try:
            while True:
                limit = engine.capacity
                clips = self.clips.take(limit, idle=engine.idle) if limit else []
                self._pass_on_cancellations(engine, held)
                clips = [clip for clip in clips if self.board.find(clip.file_id) is not None]
                if clips:
                    held.update(clip.file_id for clip in clips)
                    self._announce_batch(clips)
                    engine.admit(clips)
                    self._count_in(clips)
                elif engine.idle and self.clips.finished:
                    break
                for result in engine.step():
                    self._deliver(result)
                self.keeper.flush()
        finally:
            for file_id in held:
                engine.cancel(file_id)
        self._no_drain.wait()
        self.whole.close()

    def write(self) -> None:
        """Put whole transcripts on disk until no more come."""
        while jobs := self.whole.take(1, idle=True):
            (job,) = jobs
            if not self.board.claim(job):
                continue
            for n_tries in itertools.count(1):
                error = self._error_of(lambda job=job: self._write_one(job), WriteError, "while writing")
                retry = error and retry_of(error, job.audio.path, n_tries, self.options.failures.retries)
                if error is None or retry is None or self._ended.wait(retry.pause_s):
                    break
            if error is not None:
                self._fail(job, error)

    def _load_with_retries(self, job: Job, worker: LoadWorker) -> None:
        """Load a file; what may pass is tried again, and a folder that went away is waited for."""
        error = self._error_of(lambda: self._settle(job), LoadError, "while looking at what is done")
        if error is not None:
            self._fail(job, error)
        n_tries, retry = 0, Retry(0.0)
        while job.is_to_load:
            with self._alone.hold(alone=retry.alone):
                error = self._error_of(lambda job=job: self._load_one(job, worker), LoadError, "while loading")
            if error is None:
                return
            n_tries += not self._waited_for(job)
            again = retry_of(error, job.audio.path, n_tries, self.options.failures.retries) if n_tries else Retry(0.0)
            if again is None or self._ended.wait(again.pause_s):
                self._fail(job, error)
                return
            retry, fresh = again, self.board.again(job)
            self._withdraw(job)
            if fresh is None:
                return
            job = fresh
            job.is_to_load = True

    def _waited_for(self, job: Job) -> bool:
        """Whether the file's folder was away and is there again; RunError when it does not come back."""
        return self.mounts.wait_for(
            job.audio, self._ended, lambda folder: self.board.emit(Event("notice", folder, {"text": WENT_AWAY}))
        )

    def _error_of(self, work: Callable[[], None], kind: type[WhisperbatchError], when: str) -> WhisperbatchError | None:
        """What went wrong with a file; what ends the run is raised."""
        try:
            work()
        except RunError:
            raise
        except WhisperbatchError as err:
            return err
        except Exception as err:
            return unexpected(kind, when, err)
        return None

    def _fail(self, job: Job, error: WhisperbatchError) -> None:
        """Resolve a file as failed, and cancel it in every room."""
        if self.board.fail(job, error):
            self.planner.failed(job, error, is_permanent=lasts(error, job.audio.path))
            self._withdraw(job)
            self._limit.count()

    def _withdraw(self, job: Job) -> None:
        """Take a file's clips back from every room."""
        self.keeper.forget(job)
        self.clips.discard(lambda clip: clip.file_id == job.file_id)
        self._cancelled.add(job.file_id)

    def _decide(self, job: Job) -> Decision | None:
        """What is to be done for a file; None when another run has it, or this one has ended it."""
        is_put_aside = False
        try:
            if self.board.find(job.file_id) is None:
                return None
            decision = self.planner.decide(job)
            is_put_aside = decision.is_elsewhere
            if is_put_aside:
                self.waiting.add(job)
            return None if is_put_aside else decision
        finally:
            if not is_put_aside:
                self.waiting.settled()

    def _settle(self, job: Job) -> None:
        """Find out what is to be done for a file, and do it if it is not to be loaded."""
        decision = self._decide(job)
        job.is_to_load = decision is not None and not self._is_settled(job, decision)

    def _load_one(self, job: Job, worker: LoadWorker) -> None:
        self.want_engine()
        self.board.emit(Event("loading", job.audio.path))
        for item in worker.load(job.file_id, job.audio.path, clip_settings(self.options, job.audio)):
            if isinstance(item, Clip):
                job.expect(item)
                if (known := self.keeper.recall(job, item)) is not None:
                    job.in_engine()
                    self._deliver(known)
                elif not self.clips.put(item) or self.board.find(job.file_id) is None:
                    self.board.resolve(job, Outcome(job.audio.path, Status.INTERRUPTED, reason=INTERRUPTED))
                    self._withdraw(job)
                    return
            else:
                self.board.emit(
                    Event("loaded", job.audio.path, {"duration_s": item.duration_s, "n_clips": item.n_clips})
                )
                if job.loaded(item) and not self.whole.put(job):
                    self.board.resolve(job, Outcome(job.audio.path, Status.INTERRUPTED, reason=INTERRUPTED))

    def _is_settled(self, job: Job, decision: Decision) -> bool:
        """Whether the journal or what is on disk settles the file: it is whole, or only other formats are missing."""
        if decision.skip is not None:
            outputs = decision.outputs
            self.board.resolve(job, Outcome(job.audio.path, Status.SKIPPED, outputs=outputs, reason=decision.skip))
            return True
        if decision.failed is not None:
            self.board.fail(job, FileError(decision.failed))
            return True
        job.kept = decision.outputs
        if decision.reuse is None:
            return False
        if self.board.claim(job):
            self._put_on_disk(job, decision.reuse, reason=RENDERED)
        return True

    def _announce_batch(self, clips: list[Clip]) -> None:
        data = {
            "n_clips": len(clips),
            "n_files": len({clip.file_id for clip in clips}),
            "audio_s": sum(clip.duration_s for clip in clips),
        }
        self.board.emit(Event("batch", None, data))

    def _count_in(self, clips: list[Clip]) -> None:
        for clip in clips:
            if (job := self.board.find(clip.file_id)) is not None:
                job.in_engine()

    def _pass_on_cancellations(self, engine: Engine, held: set[int]) -> None:
        """Take from the engine what nobody waits for: files that failed, were interrupted, or are done with."""
        while self._cancelled:
            engine.cancel(self._cancelled.pop())
        for file_id in [one for one in held if self.board.find(one) is None]:
            engine.cancel(file_id)
            held.discard(file_id)

    def _deliver(self, result: Segments | ClipText | ClipFailed) -> None:
        job = self.board.find(result.file_id)
        if job is None:
            return
        if isinstance(result, ClipFailed):
            self._fail(job, result.error)
            return
        is_text = isinstance(result, ClipText)
        with job.lock:
            was_told = is_text and result.index in job.decoded_s
            decoded_s = job.assembly.add(result) if is_text else result.decoded_s
            new_s = job.progress(result.index, decoded_s)
            is_whole = is_text and job.assembly.complete
        if is_text:
            self.keeper.note(job, result)
        segments = [] if was_told else job.assembly.told(result.index, result.segments)
        self.board.emit(Event("progress", job.audio.path, {"audio_s": new_s, "segments": segments}))
        if is_whole:
            self.whole.put(job)

    def _write_one(self, job: Job) -> None:
        self._engine_ready.wait()
        if self._facts is None:  # the model could not be had, which this file without clips did not need to know
            self.board.resolve(job, Outcome(job.audio.path, Status.INTERRUPTED, reason=INTERRUPTED))
            return
        transcript = job.assembly.build(
            model=self._facts.model,
            revision=self._facts.revision,
            settings=settings_of(self.options, job.audio),
            sha256=job.sample,
            channel_names=self.options.load.channel_names,
        )
        self.keeper.forget(job)
        self._put_on_disk(job, transcript)

    def _require_folder(self, job: Job) -> None:
        """Wait for a folder that is away: writing beside its recordings must not make it anew, on another device."""
        if self.options.output.output_dir is None and job.audio.asks.output is None:
            self._waited_for(job)
            if not job.audio.path.parent.is_dir():
                raise WriteError("its folder has gone, and the transcript with it; use --output-dir to write elsewhere")

    def _put_on_disk(self, job: Job, transcript: Transcript, reason: str = "") -> None:
        outputs: tuple[Path, ...] = ()
        wall_s = time.monotonic() - job.started_s
        if self.options.output.write:
            formats = formats_of(job.audio, self.options.output)
            texts = render_all(transcript, formats, self.options.output.subtitles)
            places = self.namer.outputs(job.audio, transcript.language)
            self._require_folder(job)
            chosen = {path: (name, texts[name]) for name, path in places.items() if path not in job.kept}
            self.planner.intend(job, transcript, chosen)
            write_all({path: text for path, (_, text) in chosen.items()})
            self.planner.done(job, places, transcript.duration_s, wall_s)
            outputs = tuple(places.values())
        self.board.resolve(
            job,
            Outcome(
                job.audio.path,
                Status.DONE,
                transcript=transcript,
                outputs=outputs,
                reason=reason,
                audio_s=transcript.duration_s,
                wall_s=wall_s,
            ),
        )
