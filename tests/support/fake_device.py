"""A device without a model, for the engine's policy: windows last, and say, what they are told to."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from whisperbatch.engine import EngineFacts
from whisperbatch.engine.scheduling.continuous_batching import ContinuousEngine
from whisperbatch.engine.scheduling.quality import Decoded
from whisperbatch.engine.scheduling.request import SampledTokens, Window
from whisperbatch.engine.scheduling.slots import Slots
from whisperbatch.engine.scheduling.words import Timings
from whisperbatch.options import DecodeOptions
from whisperbatch.records import SAMPLE_RATE, Clip, ClipFailed, ClipSettings, ClipText, Segments

BEGIN = 1000  # <|0.00|>


class FakeOutOfMemoryError(Exception):
    """The device has too little memory."""


class BrokenContractError(BaseException):
    """The engine asked what it may not ask; no Exception, which it would take for a fault of a clip."""


def must(condition: bool, what: str) -> None:
    if not condition:
        raise BrokenContractError(what)


LONG, LETTERS = 500, 700  # tokens from there on are a long word each, or a word of so many letters more


class FakeSpeller:
    """A word a token."""

    end = timestamp_begin = BEGIN

    def __init__(self, languages: Iterable[str] = ("en", "de")) -> None:
        self.languages = {code: number for number, code in enumerate(languages)}

    def refusal(self, settings: ClipSettings) -> str | None:
        return "it was not trained to translate" if settings.task == "translate" else None

    def encode(self, text: str) -> list[int]:
        return [len(word) for word in text.split()]

    def decode(self, tokens: Iterable[int]) -> str:
        return "".join(map(self._word, (token for token in tokens if token < BEGIN)))

    def _word(self, token: int) -> str:
        if token >= LETTERS:
            return " " + "w" * (token - LETTERS)
        return f" {token}" + ("w" * 300 if token >= LONG else "")


@dataclass
class SlotState:
    """A window in a slot; ``left`` is None until it begins."""

    window: Window
    left: int | None = None


class FakeBatch:
    """Slots, and nothing else."""

    def __init__(self, n_slots: int) -> None:
        self.slots: Slots[SlotState] = Slots(n_slots)

    def discard(self, unwanted: Callable[[Window], bool]) -> list[Window]:
        return [seat.window for seat in self.slots.discard(lambda seat: unwanted(seat.window))]


def said(window: Window) -> tuple[int, ...]:
    """A text that uses the window up: its clip's number between two times."""
    return (BEGIN, window.request.clip.index, BEGIN + min(1500, window.n_frames // 2))


def good(window: Window) -> Decoded:
    return Decoded(said(window), " good", 0.2 * len(window.tried), -0.1, 0.0)


def bad(window: Window) -> Decoded:
    return Decoded(said(window), " bad", 0.2 * len(window.tried), -3.0, 0.0)


@dataclass
class FakeDevice:
    """Runs windows by the book that the tests write.

    Attributes:
        n_slots: Of the first batch; a second one for retries has a quarter, unless ``n_batches`` is 1.
        length: Steps that a window's try takes.
        verdict: What is decoded of it.
        language: Of a window's clip, with certainty.
        fault: Called with each place and its windows, may raise.
        n_together: Windows that are worth waiting for.
    """

    n_slots: int = 4
    n_batches: int = 1
    length: Callable[[Window], int] = lambda window: 3
    verdict: Callable[[Window], Decoded] = good
    language: Callable[[Window], str] = lambda window: "en"
    fault: Callable[[str, Sequence[Window]], None] = lambda place, windows: None
    n_together: int = 1
    n_encoded: int = 0
    n_steps: int = 0
    busy: list[float] = field(default_factory=list)
    encoded: list[Window] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)  # how many were encoded at once
    begun: list[Window] = field(default_factory=list)
    ended: list[Window] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    aligned: list[list[Window]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.resize(self.n_slots)

    def resize(self, n_slots: int) -> None:
        self.n_slots = n_slots
        self.sizes.append(n_slots)
        self.batches = [FakeBatch(n_slots), FakeBatch(max(1, n_slots // 4))][: self.n_batches]

    def batch_for(self, window: Window) -> FakeBatch:
        return self.batches[-1 if window.tried else 0]

    def encode(self, windows: Sequence[Window]) -> None:
        self.fault("encode", windows)
        self.n_encoded += len(windows)
        self.groups.append(len(windows))
        for window in windows:
            must(window.audio_features is None, "encoded twice")
            window.audio_features = "heard"
            self.encoded.append(window)

    def insert(self, batch: FakeBatch, windows: Sequence[Window]) -> list[int]:
        must(batch in self.batches, "a batch that is gone")
        self.fault("insert", windows)
        must(all(window.audio_features for window in windows), "seated before it was encoded")
        seated = [seat.window for one in self.batches for _, seat in one.slots]
        must(not any(window in seated for window in windows), "seated twice")
        return [batch.slots.put(SlotState(window)) for window in windows]

    def detect_languages(self, batch: FakeBatch, slots: Sequence[int]) -> list[dict[str, float]]:
        seats = dict(batch.slots)
        self.fault("detect_languages", [seats[slot].window for slot in slots])
        return [self.language_probs(seats[slot].window) for slot in slots]

    def language_probs(self, window: Window) -> dict[str, float]:
        return {code: 0.9 if code == self.language(window) else 0.1 for code in ("en", "de")}

    def begin(self, batch: FakeBatch, seated: Sequence[tuple[int, Window]]) -> None:
        seats = dict(batch.slots)
        must(all(seats[slot].window is window for slot, window in seated), "another's slot")
        must(all(window.request.language for _, window in seated), "begun before its language was known")
        self.fault("begin", [window for _, window in seated])
        for slot, window in seated:
            seats[slot].left = self.length(window)
            self.begun.append(window)

    def step(self, batch: FakeBatch) -> list[tuple[int, Window, SampledTokens]]:
        seats = list(batch.slots)
        self.fault("step", [seat.window for _, seat in seats])
        must(all(seat.left for _, seat in seats), "stepped before it began")
        if batch is self.batches[0]:
            self.n_steps += 1
            self.busy.append(len(seats) / len(batch.slots))
        for _, seat in seats:
            seat.left -= 1
        found = [(slot, seat.window, SampledTokens((), 0.0)) for slot, seat in seats if seat.left == 0]
        for _, window, _ in found:
            if not (window.tried or window.prompt):
                window.language_probs = self.language_probs(window)
        self.ended += [window for _, window, _ in found]
        return found

    def read(self, window: Window, sampled: SampledTokens) -> Decoded:
        self.fault("read", [window])
        return self.verdict(window)

    def align(self, windows: Sequence[Window]) -> None:
        self.fault("align", windows)
        for window in windows:
            assert window.audio_features, "aligned without what was heard"
            n_tokens = len(window.align_tokens)
            window.timings = Timings([0.5 * k for k in range(n_tokens + 1)], [0.9] * n_tokens)
        self.aligned.append(list(windows))

    def is_out_of_memory(self, err: Exception) -> bool:
        return isinstance(err, FakeOutOfMemoryError)

    def close(self) -> None:
        self.batches = []


def make(device: FakeDevice, options: DecodeOptions | None = None, **speller: Iterable[str]) -> ContinuousEngine:
    return ContinuousEngine(device, FakeSpeller(**speller), options or DecodeOptions(), EngineFacts("fake"), print)


def clip(
    file_id: int,
    index: int = 0,
    seconds: float = 2.0,
    vote: tuple[int, int] | None = None,
    speech: tuple[tuple[float, float], ...] = (),
    joins: tuple[tuple[float, float], ...] = (),
    **settings: object,
) -> Clip:
    samples = np.zeros(round(seconds * SAMPLE_RATE), np.int16)
    return Clip(file_id, index, 0.0, samples, ClipSettings(**settings), vote=vote, speech=speech, joins=joins)


def run(
    engine: ContinuousEngine, clips: Iterable[Clip] = (), max_steps: int = 100_000
) -> dict[tuple[int, int], ClipText | ClipFailed]:
    """The answers to clips, each given once; the engine is empty afterwards."""
    left, found = list(clips), {}
    for _ in range(max_steps):
        n = engine.capacity
        engine.admit(left[:n])
        left = left[n:]
        for result in engine.step():
            if not isinstance(result, Segments):
                assert (result.file_id, result.index) not in found, "answered twice"
                found[result.file_id, result.index] = result
        if not left and engine.idle:
            break
    else:
        raise AssertionError(f"it stands still with {len(left)} clips to come and {len(engine._requests)} inside")
    assert_empty(engine)
    return found


def assert_empty(engine: ContinuousEngine) -> None:
    """No slot is taken, nobody waits anywhere."""
    assert engine.idle
    assert [batch.slots.n_used for batch in engine.device.batches] == [0] * len(engine.device.batches)
    assert engine._scheduler.n_parked == 0
    assert not engine._scheduler.take(1, lambda window: True)
    assert not any(engine._quarantine)
    assert engine.capacity == engine.device.n_slots
