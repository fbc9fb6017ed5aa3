"""The stages of a run whose model is in this process: load, decode, write.

Each stage ends when the stage before it has ended, or when the run is aborted. A stage changes jobs only through
``FileFlow`` and ``OpenFiles``.
"""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from whisperbatch.audio.worker_client import LoadWorker
from whisperbatch.batcher import Batcher
from whisperbatch.engine import Engine, EngineFacts
from whisperbatch.errors import LoadError
from whisperbatch.pipeline.clip_cache import ClipCache
from whisperbatch.pipeline.clip_retries import ClipRetries
from whisperbatch.pipeline.file_flow import INTERRUPTED, FileFlow
from whisperbatch.pipeline.find_speakers import SpeakerFinder
from whisperbatch.pipeline.open_files import Job, batch_event
from whisperbatch.pipeline.retry_policy import ExclusiveLoading, Retry
from whisperbatch.pipeline.text_settings import clip_settings, settings_of
from whisperbatch.records import WINDOW_S, Clip, ClipFailed, ClipText, Event, Segments, Transcript

MAX_BATCHES_AHEAD, MIN_CLIPS_AHEAD = 4, 64  # clips loaded and not yet decoded
UNKNOWN_BATCH_SIZE = 16  # until the engine has chosen one
GRACE_S, GRACE_LOOK_S = 5.0, 0.05  # for the loader's FileLoaded of a file whose clips are all in the engine
N_WRITERS = 4  # they mostly wait for the disk
TRY_LOOK_S = 0.05  # between an idle engine's checks for new clips and for retries
VOTES_LOOK_S = 0.005  # the same, when all its clips wait for language votes of later clips: loading needs the processor


class LocalStages:
    """The queues of one run and the stages between them; ``load`` and ``decode`` run in threads of their own."""

    def __init__(
        self,
        flow: FileFlow,
        open_engine: Callable[[], Engine],
        clip_cache: ClipCache,
        speaker_finder: SpeakerFinder | None = None,
    ) -> None:
        """Make the queues; ``open_engine`` is called once, in the engine's thread, when a file must be loaded.

        Without ``speaker_finder`` no speakers are found.
        """
        options = flow.options
        batch_size = options.batch.max_batch_size or UNKNOWN_BATCH_SIZE
        n_clips = max(MIN_CLIPS_AHEAD, MAX_BATCHES_AHEAD * batch_size)
        self.flow, self.open_files, self.options = flow, flow.open_files, options
        flow.withdraw = self._withdraw
        self.clip_cache = clip_cache
        self._speaker_finder = speaker_finder
        self.clips: Batcher[Clip] = Batcher(
            batch_size,
            options.batch.max_wait_s,
            max_items=n_clips,
            max_weight=n_clips * WINDOW_S,
            weight=lambda clip: clip.duration_s,
        )
        timeout_s = options.failures.load_timeout_s
        timeout = {} if timeout_s is None else {"timeout_s": timeout_s}
        self._workers = [LoadWorker(options.load, options.speech, **timeout) for _ in range(options.n_load_workers)]
        self._open_engine = open_engine
        self._exclusive_loading = ExclusiveLoading()
        self._clip_retries = ClipRetries(options.failures.retries)
        self._loaders = len(self._workers)
        self._loaders_lock = threading.Lock()
        self._engine_wanted, self._engine_ready = threading.Event(), threading.Event()
        self._no_drain = threading.Event()  # cleared while a stop waits for FileLoaded of loaders
        self._no_drain.set()
        self._needs_engine = False
        self._facts: EngineFacts | None = None
        self._cancelled: set[int] = set()

    def threads(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield the functions to run in threads, with their names."""
        self._workers[0].warm()  # the others start with their first file: a single short file should not wait for them
        for index, worker in enumerate(self._workers):
            yield f"load-{index}", partial(self.load, worker)
        yield "engine", self.decode
        if self._speaker_finder is not None:
            yield from self._speaker_finder.threads()
        for index in range(N_WRITERS):
            yield f"writer-{index}", lambda: self.flow.write(self._transcript)

    def abort(self) -> None:
        """Wake every stage and drop the queues."""
        self.clips.abort()
        if self._speaker_finder is not None:
            self._speaker_finder.abort()
        for event in (self._no_drain, self._engine_wanted, self._engine_ready):
            event.set()

    def close(self) -> None:
        """End the load processes."""
        for worker in self._workers:
            worker.close()

    def want_engine(self) -> None:
        """Open the engine now; UsageError if speakers are requested and their weights are missing."""
        if self._speaker_finder is not None:
            self._speaker_finder.open()
        self._needs_engine = True
        self._engine_wanted.set()

    def drain(self, is_over: threading.Event) -> None:
        """Finish files that are in the engine, and interrupt the others; ``is_over`` cuts this short."""
        self._no_drain.clear()
        self.clips.abort()
        self._engine_wanted.set()
        self.open_files.interrupt(INTERRUPTED, spare=lambda job: job.is_in_engine)
        until_s = time.monotonic() + GRACE_S
        while self.open_files.has_unfinished() and time.monotonic() < until_s and not is_over.wait(GRACE_LOOK_S):
            pass
        self.open_files.interrupt(INTERRUPTED, spare=lambda job: job.may_finish)
        self.close()
        self._no_drain.set()

    def load(self, worker: LoadWorker) -> None:
        """Load files with one load worker, clip by clip, until no more come."""
        while jobs := self.flow.files.take(1, idle=True):
            (job,) = jobs
            job.started_s = time.monotonic()
            self._load_with_retries(job, worker)
        with self._loaders_lock:
            self._loaders -= 1
            if self._loaders == 0:
                self.clips.close()
                self._engine_wanted.set()

    def decode(self) -> None:
        """Feed the engine until no more clips come; the engine is left empty and open.

        It is opened only when a file must be transcribed: if everything is done already, no model is loaded.
        """
        self._engine_wanted.wait()
        if not self._needs_engine:
            self._end_complete()
            return
        engine = self._open_engine()
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
                again, clips = (
                    [c for c in some if self.open_files.find(c.file_id) is not None] for some in (again, clips)
                )
                if again or clips:
                    held.update(clip.file_id for clip in clips)
                    self.open_files.emit(batch_event(again + clips, len(self.clips)))
                    engine.admit(again + clips)
                    self._clip_retries.admitted(again + clips)
                    self._count_in_engine(clips)
                elif engine.idle and self.clips.finished and not self._clip_retries.is_waiting:
                    break
                for result in engine.step():
                    if isinstance(result, ClipText):
                        self._clip_retries.ended(result.file_id, result.index)
                    self._deliver(result)
                self.clip_cache.flush()
        finally:
            for file_id in held:
                engine.cancel(file_id)
        self._no_drain.wait()
        self._end_complete()

    def _end_complete(self) -> None:
        """Expect no more texts; the speaker finder continues with those that it has."""
        if self._speaker_finder is not None:
            self._speaker_finder.close()
        else:
            self.flow.complete.close()

    def _put_complete(self, job: Job) -> bool:
        """Pass on a file whose text is complete; return False if the run takes no more."""
        if self._speaker_finder is not None:
            self._speaker_finder.end(job)
            return True
        return self.flow.complete.put(job)

    def _load_with_retries(self, job: Job, worker: LoadWorker) -> None:
        """Load a file; retries after errors that may pass, and waits for a folder that went away."""
        if not self.flow.prepare(job):
            return
        if self._speaker_finder is not None:
            job.reuse = job.reuse or self.clip_cache.reused(job)
            self._speaker_finder.open()
        n_clip_retries, retry = 0, Retry(0.0)
        while job.is_to_load:
            with self._exclusive_loading.hold(alone=retry.alone):
                error = self.flow.error_of(job, lambda job: self._load_one(job, worker), LoadError, "while loading")
            if error is None:
                return
            n_clip_retries += not self.flow.waited_for_folder(job)
            again = self.flow.retry(error, job, n_clip_retries)
            if again is None:
                self.flow.fail(job, error)
                return
            if self.flow.stopping.wait(again.pause_s):  # the error might pass; a later run tries again
                self.flow.interrupt(job)
                self._withdraw(job)
                return
            retry, fresh = again, self.open_files.reopen(job)
            self._withdraw(job)
            if fresh is None:
                return
            job = fresh
            job.is_to_load = True

    def _withdraw(self, job: Job) -> None:
        """Cancel a file's clips in every stage."""
        self.clip_cache.forget(job)
        if self._speaker_finder is not None:
            self._speaker_finder.forget(job)
        self.clips.discard(lambda clip: clip.file_id == job.file_id)
        self._cancelled.add(job.file_id)

    def _load_one(self, job: Job, worker: LoadWorker) -> None:
        if job.reuse is None:
            self.want_engine()
        self.open_files.emit(Event("loading", job.audio.path))
        for item in worker.load(job.file_id, job.audio.path, clip_settings(self.options, job.audio)):
            if isinstance(item, Clip):
                job.expect(item)
                if not self._pass_on(job, item) or self.open_files.find(job.file_id) is None:
                    self.flow.interrupt(job)
                    self._withdraw(job)
                    return
            else:
                content = self.flow.content_of(job)
                data: dict[str, Any] = {"duration_s": item.duration_s, "n_clips": item.n_clips}
                data["n_waiting"] = len(self.clips)
                if self.flow.is_pool_worker:
                    data["content"] = content
                self.open_files.emit(Event("loaded", job.audio.path, data))
                is_complete = job.loaded(item) or job.reuse is not None
                if is_complete and not self._put_complete(job):
                    self.flow.interrupt(job)

    def _pass_on(self, job: Job, clip: Clip) -> bool:
        """Pass a clip to the speaker finder and, unless its text is known, to the engine; False if the run ends."""
        if job.reuse is not None:
            job.count_in_engine()
        elif (known := self.clip_cache.recall(job, clip)) is not None:
            job.count_in_engine()
            self._deliver(known)
        elif not self.clips.put(clip):
            return False
        return self._speaker_finder is None or self._speaker_finder.take(job, clip)

    def _next(self, engine: Engine) -> tuple[list[Clip], list[Clip]]:
        """Return clips for the engine: retries and new ones; an idle engine waits for either."""
        limit = engine.capacity
        again = self._clip_retries.due(limit, at_once=self.flow.stopping.is_set())
        waits = bool(again) or self._clip_retries.is_waiting
        clips = self.clips.take(limit - len(again), idle=engine.idle and not waits) if limit > len(again) else []
        if not (again or clips):
            if waits and engine.idle:
                self.flow.stopping.wait(TRY_LOOK_S)
            elif not (engine.idle or engine.can_step()):
                self.flow.stopping.wait(VOTES_LOOK_S)
        return again, clips

    def _count_in_engine(self, clips: list[Clip]) -> None:
        for clip in clips:
            if (job := self.open_files.find(clip.file_id)) is not None:
                job.count_in_engine()

    def _pass_on_cancellations(self, engine: Engine, held: set[int]) -> None:
        """Cancel in the engine files that failed, were interrupted, or have otherwise ended."""
        while self._cancelled:
            engine.cancel(self._cancelled.pop())
        for file_id in [one for one in held if self.open_files.find(one) is None]:
            engine.cancel(file_id)
            held.discard(file_id)
            self._clip_retries.forget(file_id)

    def _deliver(self, result: Segments | ClipText | ClipFailed) -> None:
        job = self.open_files.find(result.file_id)
        if job is None:
            return
        if isinstance(result, ClipFailed):
            if not self._clip_retries.schedule(result, job.audio.path):
                self.flow.fail(job, result.error)
            return
        is_text = isinstance(result, ClipText)
        with job.lock:
            was_reported = is_text and result.index in job.decoded_s
            decoded_s = job.assembly.add(result) if isinstance(result, ClipText) else result.decoded_s
            new_s = job.progress(result.index, decoded_s)
            is_complete = is_text and job.assembly.complete
        if isinstance(result, ClipText):
            self.clip_cache.add(job, result)
        segments = [] if was_reported else job.assembly.in_file_time(result.index, result.segments)
        self.open_files.emit(Event("progress", job.audio.path, {"audio_s": new_s, "segments": segments}))
        if is_complete:
            self._put_complete(job)

    def _transcript(self, job: Job) -> Transcript | None:
        """Return a complete file's transcript, with speakers if requested; None if there is no model."""
        text = job.reuse or self._text(job)
        return text if text is None or self._speaker_finder is None else self._speaker_finder.named(job, text)

    def _text(self, job: Job) -> Transcript | None:
        """Return a complete file's text; None if no model was opened, since no clip of it needed one."""
        self._engine_ready.wait()
        if self._facts is None:
            return None
        self.clip_cache.forget(job)
        return job.assembly.build(
            model=self._facts.model,
            revision=self._facts.revision,
            settings=settings_of(self.options, job.audio),
            sha256=job.sample,
            channel_names=self.options.load.channel_names,
        )
