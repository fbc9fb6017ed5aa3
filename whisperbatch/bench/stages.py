"""Where the time of a whole run goes: recordings in, transcripts out, in a folder that is thrown away after.

The engine's stages are its stopwatch's, which waits for a GPU after each, so that a run on one is slower than it would
be; idle is when it waited for clips. Writing happens beside the engine's work, so its seconds are no part of the run's.
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
        wall_s: From the first recording to the last transcript.
        audio_s: Of audio in it.
        engine: Seconds by stage of the engine; ``host`` is what it does between them.
        idle_s: In which the engine had nothing to do.
        write_s: That writing all transcripts once takes.
        n_failed: Recordings that failed.
        speakers_s: In which speakers were looked for, beside the engine; None when they were not.
    """

    wall_s: float
    audio_s: float
    engine: dict[str, float]
    idle_s: float
    write_s: float
    n_failed: int
    speakers_s: float | None = None


class _Timed:
    """An engine, and when it worked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.busy_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def admit(self, clips: Sequence[Clip]) -> None:
        self._timed(self._engine.admit, clips)

    def step(self) -> Any:
        return self._timed(self._engine.step)

    def _timed(self, work: Any, *given: Any) -> Any:
        began_s = time.perf_counter()
        try:
            return work(*given)
        finally:
            self.busy_s += time.perf_counter() - began_s


class _TimedDiarizer:
    """A diarizer, and how long it worked."""

    def __init__(self, diarizer: Diarizer) -> None:
        self._diarizer = diarizer
        self.busy_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._diarizer, name)

    def add(self, *given: Any) -> None:
        self._timed(self._diarizer.add, *given)

    def finish(self, *given: Any) -> Diarization:
        found: Diarization = self._timed(self._diarizer.finish, *given)
        return found

    def _timed(self, work: Any, *given: Any) -> Any:
        began_s = time.perf_counter()
        try:
            return work(*given)
        finally:
            self.busy_s += time.perf_counter() - began_s


def profile(engine: Engine, paths: Sequence[Path], options: RunOptions, diarizer: Diarizer | None = None) -> Profile:
    """The profile of a run over the recordings with an engine that is open and idle; ``diarizer`` finds speakers."""
    listening = None if diarizer is None else _TimedDiarizer(diarizer)
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
                open_diarizer=None if listening is None else lambda: listening,
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
            None if listening is None else listening.busy_s,
        )


def _write_s(outcomes: Sequence[Any], options: RunOptions, namer: Namer) -> float:
    began_s = time.perf_counter()
    for outcome in outcomes:
        if outcome.transcript is not None:
            audio = AudioFile(outcome.path)
            places = namer.outputs(audio, outcome.transcript.language)
            output, title = options.output, next(iter(places.values())).stem
            texts = render_all(outcome.transcript, tuple(places), output.subtitles, output.documents, title)
            write_all({path: texts[name] for name, path in places.items()})
    return time.perf_counter() - began_s
