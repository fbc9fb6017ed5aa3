"""The engine: decode windows of many clips side by side, and replace each window by the next as it ends.

Takes clips; returns segments as windows finish, and a ClipText or ClipFailed for every clip. This module decides what
runs and handles errors; ``runner`` does the arithmetic, and a ``DecodeRequest`` knows what its clip needs next.

A window is queued, encoded, put into a slot, its language detected (it is parked until its file has voted), decoded at
one temperature after another, aligned if word times are wanted, and finished. Windows that raise are tried again in
halves; only the clip of the window at fault fails. Out of memory, the engine halves the slots and queues all windows.
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

MAX_STEPS = 16  # decoder steps after which the caller gets control back, whether or not a window ended
MAX_STEP_S = 0.5  # likewise, for large models on slow devices: a stop should not wait for long
ENCODE_BATCH = 8  # windows per pass of the encoder
ALIGN_SHARE = 4  # words are aligned once the windows that wait are a quarter of the windows that run


class ContinuousEngine(Generic[BatchT]):
    """Continuous batching over a fixed number of slots; owned by one thread."""

    def __init__(
        self,
        device: Device[BatchT],
        tokenizer: Tokenizer,
        options: DecodeOptions,
        facts: EngineFacts,
        on_notice: Callable[[str], None],
        votes: LanguageVotes | None = None,
        crowding: Crowding | None = None,
    ) -> None:
        """Hold no clips; ``on_notice`` gets messages for users; parallel engines share ``votes`` and ``crowding``."""
        self.facts, self.device = facts, device
        self._tokenizer, self._on_notice = tokenizer, on_notice
        self._options = options = options if tokenizer.languages else replace(options, multilingual=False)
        self._judges = {faithful: Judge(options, faithful=faithful) for faithful in (False, True)}
        self._crowding = crowding or Crowding(on_notice)
        self._scheduler = Scheduler()
        self._languages = LanguageChoice(votes or LanguageVotes(), per_window=options.multilingual)
        self._requests: list[DecodeRequest] = []
        self._quarantine: deque[list[Window]] = deque()  # groups with a window that made a step fail
        self._aligning: list[Window] = []  # decoded, and waiting for word times
        self._n_admitted, self._is_alone = 0, False  # alone: a group of the quarantine is running
        self._out: list[Segments | ClipText | ClipFailed] = []

    @property
    def device_name(self) -> str:
        """A description of the device."""
        return self.device.name

    @property
    def work(self) -> Work:
        """What the device has done so far."""
        return self.device.work

    @property
    def capacity(self) -> int:
        """The number of clips it would take now: a whole batch when idle, later as many as end, and a small reserve."""
        if self.idle:
            return self.device.n_slots
        n_slots = sum(len(batch.slots) for batch in self.device.batches)
        n_spare = max(1, self.device.n_slots // 4)
        return max(0, n_slots + n_spare - (len(self._requests) - self._scheduler.n_parked - len(self._aligning)))

    @property
    def room(self) -> int:
        """The number of clips that could begin at once: free slots that no window waits for."""
        return max(0, self.device.batches[0].slots.n_free - self._scheduler.n_ready)

    @property
    def idle(self) -> bool:
        """True if it holds no clip."""
        return not self._requests and not self._out

    def can_step(self) -> bool:
        """Release windows whose language vote is decided; return True if a step would do something then."""
        for file_id in self._scheduler.parked:
            self._release(file_id)
        return bool(self._out or self._n_used or self._aligning or self._quarantine or self._scheduler.n_ready)

    def admit(self, clips: Sequence[Clip]) -> None:
        """Take clips."""
        for clip in clips:
            kind = FileRequest if clip.settings.long_form == "sequential" else ClipRequest
            judge = self._judges[kind is FileRequest]
            if self._tokenizer.languages:
                self._languages.expect(clip)
            try:
                if (reason := self._tokenizer.refusal(clip.settings)) is not None:
                    raise RefusedError(reason)
                request = kind(clip, self._n_admitted, self._tokenizer, self._options, judge)
            except Exception as err:
                self._out.append(failure_of(clip, err, lacks_memory=self.device.is_out_of_memory(err)))
                self._retire(clip)
                continue
            if not self._tokenizer.languages:
                request.language = request.language or "en"
            self._n_admitted += 1
            self._crowding.note(clip.settings.hotwords or "", request.n_left_out)
            self._requests.append(request)
            self._continue(request)

    def cancel(self, file_id: int) -> None:
        """Drop a file's clips."""

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
        """Fill slots; if no window waits for a free one, decode some steps or until a window ends; return results."""
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
        """Hold up to ``n_slots`` windows at once, fewer if there is no memory for them."""
        assert self.idle
        self._resize(n_slots)

    def measure_stages(self, wanted: bool) -> None:
        """Switch the timing of the device's stages on or off."""
        self.device.measure_stages(wanted)

    def close(self) -> None:
        """Drop all clips and free the device."""
        self._requests.clear()
        self.device.close()

    @property
    def _n_used(self) -> int:
        return sum(batch.slots.n_used for batch in self.device.batches)

    def _fill(self) -> bool:
        """Fill free slots, or run one group of the quarantine alone; return True when no window waits for a free slot.

        Only one group is inserted per call, since parallel engines may wait for votes that came with it.
        """
        if self._n_used and (self._is_alone or self._quarantine):
            return True
        self._is_alone = bool(self._quarantine)
        if self._is_alone:
            for window in self._quarantine.popleft():
                self._start(self.device.batch_for(window), [window])
            return True
        n_more = 0
        for batch in self.device.batches:
            if batch.slots.n_free and (windows := self._next(batch)):
                self._start(batch, windows)
                n_more += min(batch.slots.n_free, self._scheduler.n_ready)
        return n_more == 0

    def _next(self, batch: BatchT) -> list[Window]:
        if self._scheduler.waits(batch.slots, self.device.n_together):
            return []
        n = min(ENCODE_BATCH, batch.slots.n_free)
        return self._scheduler.take(n, lambda window: self.device.batch_for(window) is batch)

    def _start(self, batch: BatchT, windows: Sequence[Window]) -> None:
        """Encode windows that need it, detect their languages and begin; those without a free slot are queued again."""
        self._scheduler.add(*windows[batch.slots.n_free :])
        windows = windows[: batch.slots.n_free]
        self._isolate([w for w in windows if w.audio_features is None], self.device.encode)
        encoded = [w for w in windows if w.audio_features is not None and w.request in self._requests]
        self._isolate(encoded, lambda some: self._begin(batch, some))

    def _begin(self, batch: BatchT, windows: Sequence[Window]) -> None:
        if batch not in self.device.batches:  # replaced, since memory ran out meanwhile
            self._scheduler.add(*windows)
            return
        entries = list(zip(self.device.insert(batch, windows), windows, strict=True))
        self._find_languages(batch, entries)
        known = [(slot, w) for slot, w in entries if w.request.language is not None and not w.is_probe]
        if known:
            self.device.begin(batch, known)
        # nothing may raise from here on: windows that are parked or queued must not be split and inserted again
        for slot, window in entries:
            if window.is_probe or window.request.is_probing:
                batch.slots.clear(slot)
                self._continue(window.request)
            elif window.request.language is None:
                batch.slots.clear(slot)
                self._scheduler.park(window)
        for _, window in entries:
            self._release(window.request.clip.file_id)

    def _find_languages(self, batch: BatchT, entries: Sequence[tuple[int, Window]]) -> None:
        """Detect the languages that are not known; a clip that votes gets its file's once all have voted."""
        unknown = [(slot, window) for slot, window in entries if window.request.language is None]
        if not unknown:
            return
        found = self.device.detect_languages(batch, [slot for slot, _ in unknown])
        for (_, window), probs in zip(unknown, found, strict=True):
            self._languages.record(window, probs)
        for _, window in unknown:
            self._languages.apply_decision(window.request)

    def _release(self, file_id: int) -> None:
        """Queue the windows that waited for a file's language, if it is decided or no voter is left."""
        if not self._languages.is_open(file_id):
            for window in self._scheduler.unpark(file_id):
                self._queue(window)

    def _queue(self, window: Window) -> None:
        """Queue a window, or the one that replaces it in a file of several languages."""
        try:
            ready = self._languages.resolve(window)
        except Exception as err:
            self._fail(window.request, err)
        else:
            self._scheduler.add(ready)

    def _advance(self, batch: BatchT) -> None:
        """Run one step of a batch; if it raises, put its windows in quarantine, in halves."""
        try:
            ended = self.device.step(batch)
        except Exception as err:
            self._quarantine.extendleft(reversed(self._halves(batch.discard(lambda window: True), err)))
            return
        for slot, window, sampled in ended:
            self._isolate([window], partial(self._end, batch, slot, sampled))
            if batch not in self.device.batches:  # replaced, since memory ran out: all its windows are queued again
                break

    def _end(self, batch: BatchT, slot: int, sampled: SampledTokens, windows: Sequence[Window]) -> None:
        """Judge a window's result: try again, or finish the window and continue its clip."""
        (window,) = windows
        request = window.request
        window.tried.append(self.device.read(window, sampled))
        following = self._languages.replacement_for(window) or (window if request.needs_retry(window) else None)
        if following is window and self.device.batch_for(window) is batch:
            self.device.begin(batch, [(slot, window)])
            return
        if following is not None:
            batch.slots.clear(slot)
            self._scheduler.add(following)
            return
        batch.slots.clear(slot)
        if self._call(window, request.needs_alignment):
            self._aligning.append(window)
        else:
            self._finish([window])

    def _call(self, window: Window, method: Callable[[Window], Any]) -> Any:
        try:
            return method(window)
        except Exception:
            window.tried.pop()  # if memory ran out it is decoded again, at the same temperature
            raise

    def _align_some(self) -> None:
        """Align the windows that wait for word times, once they are many compared with those that run."""
        windows = self._aligning
        if windows and len(windows) * ALIGN_SHARE >= self._n_used:
            self._aligning = []
            self._align(windows)

    def _align(self, windows: Sequence[Window]) -> None:
        """Find the word times of windows, in halves where that fails, and finish them."""
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
        for some in again:  # outside the handler, whose traceback holds tensors that the device has no room for
            self._align(some)

    def _finish(self, windows: Sequence[Window]) -> None:
        """Emit a window's segments and continue its clip."""
        (window,) = windows
        self._emit(window)
        self._continue(window.request)

    def _emit(self, window: Window) -> None:
        """Output a window's segments."""
        request = window.request
        new = self._call(window, request.finish)
        window.audio_features = None
        end_s = min(window.start_s + window.duration_s, request.seek / 100)
        self._out.append(Segments(request.clip.file_id, request.clip.index, new, end_s))

    def _continue(self, request: DecodeRequest) -> None:
        """Queue a clip's next window, or output its text."""
        try:
            window = request.next_window() or request.result()
        except Exception as err:
            self._fail(request, err)
            return
        if isinstance(window, ClipText):
            self._out.append(window)
            self._requests.remove(request)
            self._retire(request.clip)
            return
        if self._languages.waits(request):
            self._scheduler.park(window)
        else:
            self._queue(window)

    def _isolate(self, windows: Sequence[Window], work: Callable[[Sequence[Window]], None]) -> None:
        """Do the work; if it raises, split the windows until the one at fault is alone, and fail its clip."""
        if not windows:
            return
        halves: list[list[Window]] = []
        try:
            work(windows)
        except Exception as err:
            for batch in self.device.batches:
                batch.discard(lambda window: window in windows)
            halves = self._halves(windows, err)
        for half in halves:
            self._isolate(half, work)

    def _halves(self, windows: Sequence[Window], err: Exception) -> list[list[Window]]:
        """Return the groups to try again after an error: none if all are queued again, or a window alone failed."""
        if self.device.is_out_of_memory(err) and self._shrink(err):
            self._scheduler.add(*windows)
            return []
        if len(windows) == 1:
            self._fail(windows[0].request, err)
            return []
        half = len(windows) // 2
        return [list(windows[:half]), list(windows[half:])]

    def _shrink(self, err: Exception) -> bool:
        """Halve the slots and queue all running windows again; return False if there is only one slot."""
        traceback.clear_frames(err.__traceback__)  # the frames hold tensors that the device has no room for
        n_slots = self.device.n_slots // 2
        if n_slots == 0:
            return False
        for batch in self.device.batches:
            self._scheduler.add(*batch.discard(lambda window: True))
        self._resize(n_slots)
        self._on_notice(f"the device is out of memory: continuing with {self.device.n_slots} windows at once")
        return True

    def _resize(self, n_slots: int) -> None:
        """Replace the batches by empty ones, with ever fewer slots while there is no memory for them."""
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
            self._retire(request.clip)

    def _retire(self, clip: Clip) -> None:
        """Withdraw an ended clip's vote, and release windows that waited for it."""
        self._languages.withdraw(clip)
        self._release(clip.file_id)
