"""What each thread of a run does: find, load, decode, write.

Each stage ends when what feeds it has ended, or when the run is aborted. A stage touches files only through the board.
"""

import threading
import time
from collections.abc import Callable, Iterable

from whisperbatch.audio.pool import LoadWorker
from whisperbatch.batcher import Batcher
from whisperbatch.engine import Engine, EngineFacts
from whisperbatch.errors import FileError, LoadError, RunError, WhisperbatchError, WriteError
from whisperbatch.options import RunOptions
from whisperbatch.pipeline.board import Board, Job, batch_event
from whisperbatch.pipeline.failing import WENT_AWAY, Alone, FailureLimit, Mounts, Retry, lasts, retry_of, unexpected
from whisperbatch.pipeline.kept import ClipKeeper
from whisperbatch.pipeline.planner import Decision, Planner
from whisperbatch.pipeline.second_tries import SecondTries
from whisperbatch.pipeline.settings import clip_settings, settings_of
from whisperbatch.pipeline.stale import CHANGED, stale
from whisperbatch.pipeline.waiting import WaitingRoom
from whisperbatch.pipeline.writing import Writing
from whisperbatch.records import WINDOW_S, AudioFile, Clip, ClipFailed, ClipText, Event, Outcome, Segments, Status
from whisperbatch.writers.beside import Namer

INTERRUPTED = "interrupted"
RENDERED = "made from its JSON"
MAX_FILES_AHEAD = 10_000  # found and not yet loaded; a record each, so that totals are known early
MAX_BATCHES_AHEAD, MIN_CLIPS_AHEAD = 4, 64  # loaded and not yet decoded
UNKNOWN_BATCH_SIZE = 16  # until the engine has chosen
TRY_LOOK_S = 0.05  # how often an idle engine looks for new clips and for those that are tried again


class Stages:
    """The queues of one run and the work between them; each method runs in threads of its own."""

    def __init__(self, options: RunOptions, board: Board, namer: Namer, planner: Planner) -> None:
        """Make the queues."""
        batch_size = options.batch.max_batch_size or UNKNOWN_BATCH_SIZE
        n_clips = max(MIN_CLIPS_AHEAD, MAX_BATCHES_AHEAD * batch_size)
        self.options = options
        self.board = board
        self.namer = namer
        self.planner = planner
        self.keeper = ClipKeeper(planner.journal, planner.making_told)
        self.files: Batcher[Job] = Batcher(1, 0.0, max_items=MAX_FILES_AHEAD)
        self.waiting = WaitingRoom(
            self.files.put,
            self.files.close,
            lambda job: board.find(job.file_id) is None or not (board.older(job) or planner.is_elsewhere(job)),
        )
        self.clips: Batcher[Clip] = Batcher(
            batch_size,
            options.batch.max_wait_s,
            max_items=n_clips,
            max_weight=n_clips * WINDOW_S,
            weight=lambda clip: clip.duration_s,
        )
        self.whole: Batcher[Job] = Batcher(1, 0.0, max_items=MAX_FILES_AHEAD)
        self.mounts, self._alone = Mounts(), Alone()
        self._ended = threading.Event()
        self.writing = Writing(options.output, board, namer, planner, self._waited_for)
        self._limit = FailureLimit(options.failures)
        self._tries = SecondTries(options.failures.retries)
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
        for event in (self._ended, self._no_drain, self._engine_wanted, self._engine_ready):
            event.set()

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
            self._overtake(job)
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
        if self.options.batch.max_batch_size is None:
            n_clips = max(MIN_CLIPS_AHEAD, MAX_BATCHES_AHEAD * engine.capacity)
            self.clips.resize(engine.capacity, max_items=n_clips, max_weight=n_clips * WINDOW_S)
        self._engine_ready.set()
        held: set[int] = set()
        try:
            while True:
                again, clips = self._next(engine)
                self._pass_on_cancellations(engine, held)
                again, clips = ([c for c in some if self.board.find(c.file_id) is not None] for some in (again, clips))
                if again or clips:
                    held.update(clip.file_id for clip in clips)
                    self.board.emit(batch_event(again + clips))
                    engine.admit(again + clips)
                    self._tries.admitted(again + clips)
                    self._count_in(clips)
                elif engine.idle and self.clips.finished and not self._tries.waits:
                    break
                for result in engine.step():
                    if isinstance(result, ClipText):
                        self._tries.ended(result.file_id, result.index)
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
            n_tries = 0
            while error := self._error_of(job, self._write_one, WriteError, "while writing"):
                n_tries += not self.writing.lost_its_folder(job)
                retry = self._retry(error, job, n_tries)
                if retry is None or self._ended.wait(retry.pause_s):
                    self._fail(job, error)
                    break

    def _load_with_retries(self, job: Job, worker: LoadWorker) -> None:
        """Load a file; what may pass is tried again, and a folder that went away is waited for."""
        error = self._error_of(job, self._settle, LoadError, "while looking at what is done")
        if error is not None:
            self._fail(job, error)
        n_tries, retry = 0, Retry(0.0)
        while job.is_to_load:
            with self._alone.hold(alone=retry.alone):
                error = self._error_of(job, lambda job: self._load_one(job, worker), LoadError, "while loading")
            if error is None:
                return
            n_tries += not self._waited_for(job)
            again = self._retry(error, job, n_tries)
            if again is None or self._ended.wait(again.pause_s):
                self._fail(job, error)
                return
            retry, fresh = again, self.board.again(job)
            self._withdraw(job)
            if fresh is None:
                return
            job = fresh
            job.is_to_load = True

    def _retry(self, error: WhisperbatchError, job: Job, n_tries: int) -> Retry | None:
        """How a file is tried again; at once when it only lacked its folder so far."""
        return retry_of(error, job.audio.path, n_tries, self.options.failures.retries) if n_tries else Retry(0.0)

    def _waited_for(self, job: Job) -> bool:
        """Whether the file's folder was away and is there again; RunError when it does not come back."""
        return self.mounts.wait_for(
            job.audio, self._ended, lambda folder: self.board.emit(Event("notice", folder, {"text": WENT_AWAY}))
        )

    def _error_of(
        self, job: Job, work: Callable[[Job], None], kind: type[WhisperbatchError], when: str
    ) -> WhisperbatchError | None:
        """What went wrong with a file; what ends the run is raised."""
        try:
            work(job)
        except RunError:
            raise
        except WhisperbatchError as err:
            return err
        except Exception as err:
            return unexpected(kind, when, err)
        return None

    def _fail(self, job: Job, error: WhisperbatchError) -> None:
        """Resolve a file as failed, and cancel it in every room."""
        if (reason := stale(job, self.mounts)) is not None:
            self._leave(job, reason)
        elif self.board.fail(job, error):
            self.planner.failed(job, error, is_permanent=lasts(error, job.audio.path))
            self._withdraw(job)
            self._limit.count()

    def _overtake(self, job: Job) -> None:
        """Give up what is under way for older contents of a watched file; what is being written is waited for."""
        for old in self.board.older(job) if job.audio.is_watched else ():
            if self.board.claim(old):
                self._leave(old, CHANGED)

    def _leave(self, job: Job, reason: str) -> None:
        """End a file that is not what it was when it was found."""
        if self.board.resolve(job, Outcome(job.audio.path, Status.SKIPPED, reason=reason, audio_s=job.duration_s)):
            self.planner.give_up(job)
            self._withdraw(job)

    def _withdraw(self, job: Job) -> None:
        """Take a file's clips back from every room."""
        self.keeper.forget(job)
        self.clips.discard(lambda clip: clip.file_id == job.file_id)
        self._cancelled.add(job.file_id)

    def _decide(self, job: Job) -> Decision | None:
        """What is to be done for a file; None when it waits for another run or its older contents, or has ended."""
        is_put_aside = False
        try:
            if self.board.find(job.file_id) is None:
                return None
            if (reason := stale(job, self.mounts)) is not None:
                self._leave(job, reason)
                return None
            is_put_aside = bool(self.board.older(job))
            decision = None if is_put_aside else self.planner.decide(job)
            is_put_aside = decision is None or decision.is_elsewhere
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
            self.writing.put(job, decision.reuse, reason=RENDERED)
        return True

    def _next(self, engine: Engine) -> tuple[list[Clip], list[Clip]]:
        """Clips for the engine: those that are tried again, and new ones; an idle engine waits for either."""
        limit = engine.capacity
        again = self._tries.due(limit, at_once=self._ended.is_set())
        waits = bool(again) or self._tries.waits
        clips = self.clips.take(limit - len(again), idle=engine.idle and not waits) if limit > len(again) else []
        if waits and engine.idle and not (again or clips):
            self._ended.wait(TRY_LOOK_S)
        return again, clips

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
            self._tries.forget(file_id)

    def _deliver(self, result: Segments | ClipText | ClipFailed) -> None:
        job = self.board.find(result.file_id)
        if job is None:
            return
        if isinstance(result, ClipFailed):
            if not self._tries.takes(result, job.audio.path):
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
        if stale(job, self.mounts) == CHANGED:
            self._leave(job, CHANGED)
            return
        transcript = job.assembly.build(
            model=self._facts.model,
            revision=self._facts.revision,
            settings=settings_of(self.options, job.audio),
            sha256=job.sample,
            channel_names=self.options.load.channel_names,
        )
        self.keeper.forget(job)
        self.writing.put(job, transcript)
