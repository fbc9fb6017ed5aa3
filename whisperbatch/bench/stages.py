"""Measure how long each stage of a whole run takes, with outputs in a temporary folder.

The engine's stopwatch waits for a GPU after each stage, so a profiled run on a GPU is slower than a normal one. Idle is
the time when the engine waited for clips. Writing overlaps with the engine's work, so its seconds are not part of the
run's.
"""

import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from whisperbatch import pipeline
from whisperbatch.engine import Engine
from whisperbatch.options import RunOptions
from whisperbatch.outputs.namer import Namer, write_all
from whisperbatch.records import AudioFile, Clip, Status
from whisperbatch.speakers import Diarization, Diarizer
from whisperbatch.writers import render_all


@dataclass(frozen=True, slots=True)
class Profile:
    """Seconds of a run.

    Attributes:
        wall_s: Time from the first recording to the last transcript.
        audio_s: Duration of the audio.
        engine: Seconds by stage of the engine; ``host`` is its time between stages.
        idle_s: Time when the engine had nothing to do.
        write_s: Time to write all transcripts once.
        n_failed: Recordings that failed.
        speakers_s: Time to find speakers, in parallel with the engine; None if not requested.
    """

    wall_s: float
    audio_s: float
    engine: dict[str, float]
    idle_s: float
    write_s: float
    n_failed: int
    speakers_s: float | None = None


class _Timed:
    """An engine that counts its busy time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.busy_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def admit(self, clips: Sequence[Clip]) -> None:
        self._timed(self._engine.admit, clips)

    def step(self) -> Any:
        return self._timed(self._engine.step)

    def _timed(self, work: Any, *arguments: Any) -> Any:
        began_s = time.perf_counter()
        try:
            return work(*arguments)
        finally:
            self.busy_s += time.perf_counter() - began_s


class _TimedDiarizer:
    """A diarizer that counts its busy time."""

    def __init__(self, diarizer: Diarizer) -> None:
        self._diarizer = diarizer
        self.busy_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._diarizer, name)

    def add(self, *arguments: Any) -> None:
        self._timed(self._diarizer.add, *arguments)

    def finish(self, *arguments: Any) -> Diarization:
        found: Diarization = self._timed(self._diarizer.finish, *arguments)
        return found

    def _timed(self, work: Any, *arguments: Any) -> Any:
        began_s = time.perf_counter()
        try:
            return work(*arguments)
        finally:
            self.busy_s += time.perf_counter() - began_s


def profile(engine: Engine, paths: Sequence[Path], options: RunOptions, diarizer: Diarizer | None = None) -> Profile:
    """Profile a run over the recordings, with an open, idle engine and optionally a diarizer."""
    timed_diarizer = None if diarizer is None else _TimedDiarizer(diarizer)
    with tempfile.TemporaryDirectory(prefix="whisperbatch-bench-") as folder:
        output = replace(options.output, output_dir=Path(folder), overwrite=True)
        options = replace(options, output=output, journal=replace(options.journal, use_journal=False, journal=None))
        timed, before, namer = _Timed(engine), engine.work, Namer(output, frozenset())
        began_s = time.perf_counter()
        outcomes = list(
            pipeline.run(
                [AudioFile(path) for path in paths],
                options,
                open_engine=lambda: timed,
                namer=namer,
                on_event=lambda event: None,
                stop=threading.Event(),
                open_diarizer=None if timed_diarizer is None else lambda: timed_diarizer,
            )
        )
        wall_s, after = time.perf_counter() - began_s, engine.work
        stages = {name: seconds - before.stages.get(name, 0.0) for name, seconds in after.stages.items()}
        stages["host"] = max(0.0, timed.busy_s - sum(stages.values()))
        return Profile(
            wall_s,
            sum(outcome.audio_s for outcome in outcomes),
            stages,
            max(0.0, wall_s - timed.busy_s),
            _write_s(outcomes, options, namer),
            sum(outcome.status is Status.FAILED for outcome in outcomes),
            None if timed_diarizer is None else timed_diarizer.busy_s,
        )


def _write_s(outcomes: Sequence[Any], options: RunOptions, namer: Namer) -> float:
    began_s = time.perf_counter()
    for outcome in outcomes:
        if outcome.transcript is not None:
            audio = AudioFile(outcome.path)
            paths_by_format = namer.outputs(audio, outcome.transcript.language)
            output, title = options.output, next(iter(paths_by_format.values())).stem
            texts = render_all(outcome.transcript, tuple(paths_by_format), output.subtitles, output.documents, title)
            write_all({path: texts[name] for name, path in paths_by_format.items()})
    return time.perf_counter() - began_s
