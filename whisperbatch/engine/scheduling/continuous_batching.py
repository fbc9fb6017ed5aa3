"""The engine: windows of many clips side by side, each replaced by the next as it ends.

Comes in: clips. Goes out: segments as they are settled, and a ClipText or ClipFailed for every clip. This leaf decides
who runs and what becomes of faults; ``runner`` does the arithmetic, a ``DecodeRequest`` knows what its clip needs next.

A window's way: ready, encoded, seated in a slot, its language guessed (and parked until its file has voted), decoded at
one temperature after the other, aligned where word times are asked for, settled. What raises is tried again in halves;
only the culprit's clip fails. Out of memory halves the slots, and what ran runs again.
"""

import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Generic

from whisperbatch.engine import EngineFacts, Work
from whisperbatch.engine.scheduling.clip_request import ClipRequest
from whisperbatch.engine.scheduling.device_protocol import BatchT, Device
from whisperbatch.engine.scheduling.file_request import FileRequest
from whisperbatch.engine.scheduling.hotwords import Crowding
from whisperbatch.engine.scheduling.language_choice import LanguageChoice
from whisperbatch.engine.scheduling.language_vote import LanguageVotes
from whisperbatch.engine.scheduling.quality import Judge
from whisperbatch.engine.scheduling.request import DecodeRequest, SampledTokens, Tokenizer, Window, failure_of
from whisperbatch.engine.scheduling.scheduler import Scheduler
from whisperbatch.errors import RefusedError
from whisperbatch.options import DecodeOptions
from whisperbatch.records import Clip, ClipFailed, ClipText, Segments

MAX_STEPS = 16  # decoder steps after which the pipeline is heard, whether or not a window ended
MAX_STEP_S = 0.5  # likewise, for large models on slow devices: a stop should not wait for long
ENCODE_BATCH = 8  # windows in a pass of the encoder
ALIGN_SHARE = 4  # one in so many of the windows that run; when as many wait for their words' times, they get them


class ContinuousEngine(Generic[BatchT]):
    """Continuous batching over a fixed number of slots; owned by one thread."""

    def __init__(
        self,
        device: Device[BatchT],
        speller: Tokenizer,
        options: DecodeOptions,
        facts: EngineFacts,
        on_notice: Callable[[str], None],
        votes: LanguageVotes | None = None,
        crowding: Crowding | None = None,
    ) -> None:
        """Hold nothing yet; ``on_notice`` hears what the user should read; engines beside share the last two."""
        self.facts, self.device = facts, device
        self._speller, self._on_notice = speller, on_notice
        self._options = options = options if speller.languages else replace(options, multilingual=False)
        self._judges = {faithful: Judge(options, faithful=faithful) for faithful in (False, True)}
        self._crowding = crowding or Crowding(on_notice)
        self._scheduler = Scheduler()
        self._languages = LanguageChoice(votes or LanguageVotes(), each_by_itself=options.multilingual)
        self._requests: list[DecodeRequest] = []
        self._quarantine: deque[list[Window]] = deque()  # groups that hold the culprit of a fault
        self._aligning: list[Window] = []  # decoded, and waiting for their words' times
        self._n_admitted, self._is_alone = 0, False  # alone: a group of the quarantine is running
        self._out: list[Segments | ClipText | ClipFailed] = []

    @property
    def device_name(self) -> str:
        """The device in words."""
        return self.device.name

    @property
    def work(self) -> Work:
        """What the device has done."""
        return self.device.work

    @property
    def capacity(self) -> int:
        """Clips that it would take now: a whole batch when idle, later as many as end, and a few in reserve."""
        if self.idle:
            return self.device.n_slots
        n_slots = sum(len(batch.slots) for batch in self.device.batches)
        n_spare = max(1, self.device.n_slots // 4)
        return max(0, n_slots + n_spare - (len(self._requests) - self._scheduler.n_parked - len(self._aligning)))

    @property
    def room(self) -> int:
        """Clips that could begin at once: free slots that nobody waits for."""
        return max(0, self.device.batches[0].slots.n_free - self._scheduler.n_ready)

    @property
    def idle(self) -> bool:
        """Whether it holds no clip."""
        return not self._requests and not self._out

    def rouse(self) -> bool:
        """Release what waited for votes that are in; whether a step would do something then."""
        for file_id in self._scheduler.parked:
            self._release(file_id)
        return bool(self._out or self._n_used or self._aligning or self._quarantine or self._scheduler.n_ready)

    def admit(self, clips: Sequence[Clip]) -> None:
        """Take clips."""
        for clip in clips:
            kind = FileRequest if clip.settings.long_form == "sequential" else ClipRequest
            judge = self._judges[kind is FileRequest]
            if self._speller.languages:
                self._languages.expect(clip)
            try:
                if (told := self._speller.refusal(clip.settings)) is not None:
                    raise RefusedError(told)
                request = kind(clip, self._n_admitted, self._speller, self._options, judge)
            except Exception as err:
                self._out.append(failure_of(clip, err, lacks_memory=self.device.is_out_of_memory(err)))
                self._bury(clip)
                continue
            if not self._speller.languages:
                request.language = request.language or "en"
            self._n_admitted += 1
            self._crowding.note(clip.settings.hotwords or "", request.n_left_out)
            self._requests.append(request)
            self._go_on(request)

    def cancel(self, file_id: int) -> None:
        """Forget a file's clips."""

        def is_gone(window: Window) -> bool:
            return window.request.clip.file_id == file_id

        self._scheduler.discard(is_gone)
        for batch in self.device.batches:
            batch.discard(is_gone)
        self._aligning = [window for window in self._aligning if not is_gone(window)]
        self._quarantine = deque([w for w in group if not is_gone(w)] for group in self._quarantine)
        self._requests = [request for request in self._requests if request.clip.file_id != file_id]
        self._out = [result for result in self._out if result.file_id != file_id]
        self._languages.forget(file_id)

    def step(self) -> list[Segments | ClipText | ClipFailed]:
        """Work until a slot is free, or for some steps; or seat some windows, when more are waiting; what is new."""
        self._align_some()
        is_full = self._fill()
        n_used, began_s = self._n_used, time.monotonic()
        for _ in range(MAX_STEPS if is_full else 0):
            if self._out or not n_used or self._n_used < n_used or time.monotonic() - began_s > MAX_STEP_S:
                break
            for batch in self.device.batches:
                self._advance(batch)
        out, self._out = self._out, []
        return out

    def resize(self, n_slots: int) -> None:
        """Hold so many windows at once, fewer if there is no memory for them."""
        assert self.idle
        self._resize(n_slots)

    def measure_stages(self, wanted: bool) -> None:
        """Time the device's stages, or no longer."""
        self.device.measure_stages(wanted)

    def close(self) -> None:
        """Drop what it holds, and free the device."""
        self._requests.clear()
        self.device.close()

    @property
    def _n_used(self) -> int:
        return sum(batch.slots.n_used for batch in self.device.batches)

    def _fill(self) -> bool:
        """Seat some windows where there is room, a fault's suspects alone; whether no more are waiting for it.

        Between two groups the owner is heard, as engines beside may wait for votes that came with the first.
        """
        if self._n_used and (self._is_alone or self._quarantine):
            return True
        self._is_alone = bool(self._quarantine)
        if self._is_alone:
            for window in self._quarantine.popleft():
                self._seat(self.device.batch_for(window), [window])
            return True
        n_more = 0
        for batch in self.device.batches:
            if batch.slots.n_free and (windows := self._next(batch)):
                self._seat(batch, windows)
                n_more += min(batch.slots.n_free, self._scheduler.n_ready)
        return n_more == 0

    def _next(self, batch: BatchT) -> list[Window]:
        if self._scheduler.waits(batch.slots, self.device.n_together):
            return []
        n = min(ENCODE_BATCH, batch.slots.n_free)
        return self._scheduler.take(n, lambda window: self.device.batch_for(window) is batch)

    def _seat(self, batch: BatchT, windows: Sequence[Window]) -> None:
        """Encode windows where that is still to be done, find their languages, begin; without room they wait."""
        self._scheduler.add(*windows[batch.slots.n_free :])
        windows = windows[: batch.slots.n_free]
        self._isolate([w for w in windows if w.audio_features is None], self.device.encode)
        encoded = [w for w in windows if w.audio_features is not None and w.request in self._requests]
        self._isolate(encoded, lambda some: self._begin(batch, some))

    def _begin(self, batch: BatchT, windows: Sequence[Window]) -> None:
        if batch not in self.device.batches:  # out of memory since they were taken: the batch is gone
            self._scheduler.add(*windows)
            return
        seated = list(zip(self.device.insert(batch, windows), windows, strict=True))
        self._find_languages(batch, seated)
        known = [(slot, w) for slot, w in seated if w.request.language is not None and not w.is_probe]
        if known:
            self.device.begin(batch, known)
        # nothing raises from here on: what is parked or queued now must not be split and come here once more
        for slot, window in seated:
            if window.is_probe or window.request.looks_closer:
                batch.slots.clear(slot)
                self._go_on(window.request)
            elif window.request.language is None:
                batch.slots.clear(slot)
                self._scheduler.park(window)
        for _, window in seated:
            self._release(window.request.clip.file_id)

    def _find_languages(self, batch: BatchT, seated: Sequence[tuple[int, Window]]) -> None:
        """Guess the languages that are not known; a clip that votes gets its file's, once all have voted."""
        unknown = [(slot, window) for slot, window in seated if window.request.language is None]
        if not unknown:
            return
        found = self.device.detect_languages(batch, [slot for slot, _ in unknown])
        for (_, window), probs in zip(unknown, found, strict=True):
            self._languages.hear(window, probs)
        for _, window in unknown:
            self._languages.settle(window.request)

    def _release(self, file_id: int) -> None:
        """Let the windows run that waited for a file's language, if it is decided, or if nobody can vote any more."""
        if not self._languages.is_open(file_id):
            for window in self._scheduler.unpark(file_id):
                self._queue(window)

    def _queue(self, window: Window) -> None:
        """Let a window run, or what its file's languages ask for in its place."""
        try:
            ready = self._languages.window_for(window)
        except Exception as err:
            self._fail(window.request, err)
        else:
            self._scheduler.add(ready)

    def _advance(self, batch: BatchT) -> None:
        """One step of a batch; what raises is put in quarantine, in halves."""
        try:
            ended = self.device.step(batch)
        except Exception as err:
            windows = batch.discard(lambda window: True)
            if self.device.is_out_of_memory(err) and self._shrink(err):
                self._scheduler.add(*windows)
            elif len(windows) == 1:
                self._fail(windows[0].request, err)
            else:
                half = len(windows) // 2
                self._quarantine.extendleft([windows[half:], windows[:half]])
            return
        for slot, window, sampled in ended:
            self._isolate([window], partial(self._end, batch, slot, sampled))
            if batch not in self.device.batches:  # out of memory: all that was seated is queued again
                break

    def _end(self, batch: BatchT, slot: int, sampled: SampledTokens, windows: Sequence[Window]) -> None:
        """Judge what was decoded of a window: try again, or settle it and go on with its clip."""
        (window,) = windows
        request = window.request
        window.tried.append(self.device.read(window, sampled))
        following = self._languages.instead_of(window) or (window if request.wants_more(window) else None)
        if following is window and self.device.batch_for(window) is batch:
            self.device.begin(batch, [(slot, window)])
            return
        if following is not None:
            batch.slots.clear(slot)
            self._scheduler.add(following)
            return
        batch.slots.clear(slot)
        if self._asked(window, request.to_align):
            self._aligning.append(window)
        else:
            self._finish([window])

    def _asked(self, window: Window, ask: Callable[[Window], Any]) -> Any:
        try:
            return ask(window)
        except Exception:
            window.tried.pop()  # for lack of memory it is decoded again, and not at the next temperature
            raise

    def _align_some(self) -> None:
        """Find the words' times of windows that wait for them, if they are many beside those that run."""
        windows = self._aligning
        if windows and len(windows) * ALIGN_SHARE >= self._n_used:
            self._aligning = []
            self._align(windows)

    def _align(self, windows: Sequence[Window]) -> None:
        """Find the words' times of windows, in halves where that fails, and settle them."""
        again: list[Sequence[Window]] = []
        try:
            self.device.align(windows)
        except Exception as err:
            half = len(windows) // 2
            if half:
                again = [windows[:half], windows[half:]]
            elif self.device.is_out_of_memory(err) and self._shrink(err):
                again = [windows]
            else:
                self._fail(windows[0].request, err)
        else:
            for window in windows:
                self._isolate([window], self._finish)
        for some in again:  # out of the handler, which holds what the device has no room for
            self._align(some)

    def _finish(self, windows: Sequence[Window]) -> None:
        """Settle a window and go on with its clip."""
        (window,) = windows
        self._settle(window)
        self._go_on(window.request)

    def _settle(self, window: Window) -> None:
        """Give out a window's segments."""
        request = window.request
        new = self._asked(window, request.settle)
        window.audio_features = None
        end_s = min(window.start_s + window.duration_s, request.seek / 100)
        self._out.append(Segments(request.clip.file_id, request.clip.index, new, end_s))

    def _go_on(self, request: DecodeRequest) -> None:
        """Queue a clip's next window, or give out its text."""
        try:
            window = request.next() or request.text()
        except Exception as err:
            self._fail(request, err)
            return
        if isinstance(window, ClipText):
            self._out.append(window)
            self._requests.remove(request)
            self._bury(request.clip)
            return
        if self._languages.waits(request):
            self._scheduler.park(window)
        else:
            self._queue(window)

    def _isolate(self, windows: Sequence[Window], work: Callable[[Sequence[Window]], None]) -> None:
        """Do the work; what raises is split until the culprit stands alone, and fails its clip."""
        if not windows:
            return
        try:
            work(windows)
        except Exception as err:
            for batch in self.device.batches:
                batch.discard(lambda window: window in windows)
            if self.device.is_out_of_memory(err) and self._shrink(err):
                self._scheduler.add(*windows)
            elif len(windows) == 1:
                self._fail(windows[0].request, err)
            else:
                half = len(windows) // 2
                self._isolate(windows[:half], work)
                self._isolate(windows[half:], work)

    def _shrink(self, err: Exception) -> bool:
        """Whether there were slots to give up; what ran in the others is queued again."""
        traceback.clear_frames(err.__traceback__)  # they hold what the device has no room for
        n_slots = self.device.n_slots // 2
        if n_slots == 0:
            return False
        for batch in self.device.batches:
            self._scheduler.add(*batch.discard(lambda window: True))
        self._resize(n_slots)
        self._on_notice(f"the device is out of memory: going on with {self.device.n_slots} windows at once")
        return True

    def _resize(self, n_slots: int) -> None:
        """Make the batches anew, with fewer slots still while there is no memory even for these."""
        try:
            self.device.resize(n_slots)
        except Exception as err:
            if n_slots == 1 or not self.device.is_out_of_memory(err):
                raise
            self._resize(n_slots // 2)

    def _fail(self, request: DecodeRequest, err: Exception) -> None:
        if request in self._requests:
            self._requests.remove(request)
            self._out.append(failure_of(request.clip, err, lacks_memory=self.device.is_out_of_memory(err)))
            self._bury(request.clip)

    def _bury(self, clip: Clip) -> None:
        """A clip that has ended votes no more."""
        self._languages.bury(clip)
        self._release(clip.file_id)
