"""Runs in this process with the fake engine and the fake diarizer, over tones that stand for speakers."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sounds import write_wav
from whisperbatch import pipeline
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.journal import Journal
from whisperbatch.options import (
    BatchOptions,
    EngineOptions,
    LoadOptions,
    OutputOptions,
    RunOptions,
    SpeakerOptions,
    SpeechOptions,
)
from whisperbatch.outputs.namer import Namer
from whisperbatch.records import (
    SAMPLE_RATE,
    AudioFile,
    Clip,
    ClipText,
    Event,
    Outcome,
    Segment,
    Transcript,
    Word,
)
from whisperbatch.sources import MEDIA_SUFFIXES, from_paths
from whisperbatch.speakers.fake import FakeDiarizer
from whisperbatch.writers import read_json

LOW, MIDDLE, HIGH = 100.0, 300.0, 900.0  # three speakers to the fake


WORD_S = 0.5


def tones(*parts: tuple[float, float]) -> np.ndarray:
    """int16 (n_samples,): tones of ``(hz, seconds)``, one after another."""
    waves = [
        8000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE) for hz, seconds in parts
    ]
    return np.concatenate(waves).astype(np.int16)


class WordEngine(FakeEngine):
    """Hears a word every half second, where it is told to give word times."""

    has_words = True

    def _hear(self, clip: Clip) -> ClipText:
        result = super()._hear(clip)
        if not isinstance(result, ClipText):
            return result
        n = max(1, round(clip.duration_s / WORD_S))
        words = tuple(Word(f" w{k}", k * WORD_S, (k + 1) * WORD_S, 0.9) for k in range(n))
        text = "".join(word.word for word in words)
        segment = Segment(0.0, clip.duration_s, text, (1, 2), words=words if self.has_words else None)
        return replace(result, segments=(segment,))


PLAIN = RunOptions(
    engine=EngineOptions("fake"),
    load=LoadOptions(1),
    speech=SpeechOptions(vad=False),
    batch=BatchOptions(4, 0.0),
    output=OutputOptions(formats=("txt", "json", "rttm")),
)


BASE = replace(PLAIN, speakers=SpeakerOptions(enabled=True))


class Run:
    """Runs over files, each with an engine and a diarizer of its own."""

    def __init__(self, options: RunOptions = BASE, journal: Path | None = None) -> None:
        self.options, self.journal = options, journal
        self.events: list[Event] = []
        self.engines: list[FakeEngine] = []
        self.diarizers: list[FakeDiarizer] = []
        self.stop = threading.Event()

    def __call__(
        self,
        source: Sequence[Path | AudioFile],
        *,
        engine: Callable[[], FakeEngine] = WordEngine,
        diarizer: Callable[[], FakeDiarizer] = FakeDiarizer,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> list[Outcome]:
        def opened(into: list, make: Callable) -> Callable:
            return lambda: into.append(make()) or into[-1]

        def note(event: Event) -> None:
            self.events.append(event)
            on_event(event)

        files = [one if isinstance(one, AudioFile) else next(iter(from_paths([one]))) for one in source]
        book = None if self.journal is None else Journal(self.journal)
        try:
            return list(
                pipeline.run(
                    files,
                    self.options,
                    open_engine=opened(self.engines, engine),
                    open_diarizer=opened(self.diarizers, diarizer) if self.options.speakers.enabled else None,
                    namer=Namer(self.options.output, MEDIA_SUFFIXES),
                    on_event=note,
                    stop=self.stop,
                    journal=book,
                    revision=lambda: "0",
                )
            )
        finally:
            if book is not None:
                book.close()

    @property
    def notices(self) -> list[str]:
        return [event.data["text"] for event in self.events if event.kind == "notice"]


def labels(transcript: Transcript) -> list[str]:
    return [f"{one.speaker}:{len(one.words or ())}" for one in transcript.segments]


def written(audio: Path) -> Transcript:
    return read_json(audio.with_suffix(".json").read_bytes())


class Broken(FakeDiarizer):
    """Fails at the end of each file."""

    def finish(self, file_id: int, options: SpeakerOptions):
        raise ValueError("no voices today")


def write_talk(folder: Path) -> Path:
    """A recording of two speakers in three turns."""
    return write_wav(folder / "audio" / "talk.wav", tones((HIGH, 2), (LOW, 3), (HIGH, 1)))
