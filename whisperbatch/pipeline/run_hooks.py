"""Run hooks for recordings that are done or failed, after the journal has recorded the hook as due.

Hooks run in threads of their own; a hook that fails causes a notice. With a journal each runs at least once: hooks that
a run leaves due are run by the next one that has the same command, or that processes the same recording.
"""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from whisperbatch.batcher import Batcher
from whisperbatch.errors import FileError, WriteError
from whisperbatch.hooks import RunningHooks, call_of, run
from whisperbatch.journal import MAX_TRIES, DueHook, Journal
from whisperbatch.options import FORMATS, RunOptions, form
from whisperbatch.outputs.paths import absolute, folder_of, rules_of
from whisperbatch.pipeline.open_files import Job
from whisperbatch.records import Event, Outcome, Status

MAX_WAITING = 10_000  # hooks; above that the next outcome waits for room
LOOK_S = 0.2  # between checks for a stop
N_ID = 32  # hexadecimal digits
KINDS = {Status.DONE: "done", Status.FAILED: "failed"}


class Hooks:
    """The hooks of one run; ``note`` is for any thread, the rest for the one that iterates the outcomes."""

    def __init__(self, options: RunOptions, journal: Journal | None, emit: Callable[[Event], None]) -> None:
        """Run nothing yet; ``emit`` gets a notice for each hook that fails."""
        self._options, self._journal, self._emit = options, journal, emit
        given = {"done": options.hooks.on_done, "failed": options.hooks.on_failed}
        self._commands = {kind: command for kind, command in given.items() if command}
        self._waiting: Batcher[DueHook] = Batcher(1, 0.0, max_items=MAX_WAITING)
        self._running = RunningHooks()
        self._is_late = threading.Event()  # set when no more hooks are started
        self._n_working = 0
        self._has_ended = threading.Event()  # set when all threads have
        self._lock = threading.Lock()
        self._n_left = 0

    def threads(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield the functions to run in threads, with their names."""
        self._n_working = n_threads = self._options.hooks.hook_jobs if self._commands else 0
        for index in range(n_threads):
            yield f"hook-{index}", self._work

    def note(self, job: Job, outcome: Outcome) -> None:
        """Prepare the hook of a recording, for the journal and for ``ended``."""
        kind = KINDS.get(outcome.status)
        if kind is not None and kind in self._commands:
            payload = _payload(outcome)
            mark = _mark(job, outcome, self._options)
            job.hook = DueHook(mark, kind, self._commands[kind], {"id": mark, "hook": f"on-{kind}", **payload})

    def left_due(self, job: Job) -> list[DueHook]:
        """Return hooks of the recording that earlier runs left; call this before it is moved."""
        if self._journal is None or not self._commands:
            return []
        try:
            folder = absolute(folder_of(job.audio, self._options.output))
        except WriteError:
            return []
        return self._journal.hooks.take_of(absolute(job.audio.path), folder, self._commands)

    def ended(self, job: Job, outcome: Outcome, old: list[DueHook]) -> None:
        """Queue the recording's hooks: those left due, then its own."""
        if job.hook is None and not job.is_failed_before:
            self.note(job, outcome)
        own = [job.hook] if job.hook is not None and job.hook.kind == KINDS.get(outcome.status) else []
        for due in (*old, *own):
            self._waiting.put(replace(due, path=outcome.moved_to or due.path))

    def finish(self, stop: threading.Event, *, is_hurried: bool) -> None:
        """Wait until all have run; once the run is stopped, at most as long as one hook may take."""
        self._waiting.close()
        last_s = None
        while self._n_working and not self._has_ended.wait(LOOK_S):
            if last_s is None and (is_hurried or stop.is_set()):
                last_s = time.monotonic() + self._options.hooks.hook_timeout_s
            if last_s is not None and time.monotonic() >= last_s:
                self._drop()
        self._report_left()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Start no more hooks and wait for running ones; on an interrupt, kill them."""
        self._waiting.close()
        self._drop()
        if kind is not None and issubclass(kind, KeyboardInterrupt | SystemExit):
            self._running.kill()
        if self._n_working:
            self._has_ended.wait(self._options.hooks.hook_timeout_s)

    def _drop(self) -> None:
        self._is_late.set()
        self._n_left += len(self._waiting.abort())

    def _report_left(self) -> None:
        if self._n_left:
            later = "the next run catches up" if self._journal is not None else "without a journal no later run does"
            left = "1 hook was" if self._n_left == 1 else f"{self._n_left} hooks were"
            self._emit(Event("notice", None, {"text": f"{left} not run before the end; {later}"}))

    def _work(self) -> None:
        """Run hooks one at a time until no more come, first those that earlier runs left."""
        try:
            while (due := self._next_old()) is not None:
                self._run(due)
            while taken := self._waiting.take(1, idle=True):
                self._run(taken[0])
        finally:
            with self._lock:
                self._n_working -= 1
                if not self._n_working:
                    self._has_ended.set()

    def _next_old(self) -> DueHook | None:
        if self._journal is None or self._is_late.is_set():
            return None
        return self._journal.hooks.take(self._commands)

    def _run(self, due: DueHook) -> None:
        """Run a hook with this run's command, and record how it ended."""
        payload = dict(due.payload)
        if due.path is not None and (place := os.fspath(absolute(due.path))) != payload["path"]:
            payload["moved_to"] = place
        try:
            fault = run(call_of(self._commands[due.kind], payload), self._options.hooks.hook_timeout_s, self._running)
        except FileError as err:
            fault = err.message
        if fault is not None:
            self._report(due, payload, fault)
        elif self._journal is not None:
            self._journal.hooks.succeeded(due.mark)

    def _report(self, due: DueHook, payload: Mapping[str, Any], fault: str) -> None:
        n_tries = self._journal.hooks.failed(due.mark) if self._journal is not None else 0
        again = "not tried again"
        if n_tries:
            again = "the next run tries it again" if n_tries < MAX_TRIES else f"given up after {n_tries} tries"
        text = f"--on-{due.kind} failed, {fault}; {again}"
        data = {"text": text, "hook": f"on-{due.kind}", "id": due.mark, "reason": fault}
        self._emit(Event("notice", Path(payload["path"]), data))


def _payload(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as plain values with absolute paths: a later run may have another working directory."""
    payload = outcome.as_dict()
    payload["path"] = os.fspath(absolute(outcome.path))
    payload["outputs"] = [os.fspath(absolute(path)) for path in outcome.outputs]
    if outcome.moved_to is not None:
        payload["moved_to"] = os.fspath(absolute(outcome.moved_to))
    return payload


def _mark(job: Job, outcome: Outcome, options: RunOptions) -> str:
    """Return an id that stays the same when a hook is repeated: a hash of recording, outputs and settings."""
    transcript = outcome.transcript
    parts = [
        outcome.status.value,
        os.fsencode(absolute(job.audio.path)).hex(),
        job.sample or [job.audio.size, job.audio.mtime_ns],
        sorted(os.fsencode(absolute(path)).hex() for path in outcome.outputs),
        [form(name, options.output) for name in FORMATS],
        rules_of(job.audio, options.output).digest,
        [transcript.model, transcript.revision, transcript.settings] if transcript is not None else outcome.reason,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:N_ID]
