"""Cut a stream of samples into clips of at most one window: packed with speech, or cut where it is quietest.

The clips, and the choice of those that vote on the language, do not depend on the size of the incoming blocks. Memory:
two windows and a few blocks per channel, and the clips of the first minutes until the voters among them are chosen.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np

from whisperbatch.audio.spool import Spool
from whisperbatch.audio.vad import Detector, Span, Spans, is_sound
from whisperbatch.options import SpeechOptions
from whisperbatch.records import N_SAMPLES, SAMPLE_RATE

N_SEARCH = 12 * SAMPLE_RATE  # without speech detection, the cut is in the last seconds of a full window
N_QUIET = SAMPLE_RATE // 4  # length of the stretches whose loudness is compared
N_HOP = SAMPLE_RATE // 50

# a longer pause between two spans of a clip is left out; shorter ones are context. Of 0, 0.5 and 2 s the middle one
# gave OpenAI's base the fewest errors in French poems, and no more elsewhere
MAX_GAP = SAMPLE_RATE // 2
MIN_FULL = 26 * SAMPLE_RATE  # a full clip is cut at its longest pause after this
MAX_SHORT = 6 * SAMPLE_RATE // 10  # the detector needs half a second to be sure
N_EARLY = 300 * SAMPLE_RATE  # only clips that start within this time after the first one vote on the language
MAX_VOTERS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A clip that does not know its file; all positions and lengths are in samples.

    Attributes:
        start: The position of its first sample in the file.
        samples: int16 (n_samples,), at most a window; or a spool with all of the file.
        speech: Ranges ``[first, last)`` with speech, in the clip.
        joins: As in ``Clip``: positions in the clip, and how much was left out up to there.
        channel: The channel, None when they were mixed.
    """

    start: int
    samples: np.ndarray | Spool
    speech: tuple[tuple[int, int], ...] = ()
    joins: tuple[tuple[int, int], ...] = ()
    channel: int | None = None

    @property
    def n_speech(self) -> int:
        """The number of samples with speech."""
        return sum(last - first for first, last in self.speech)


class Cutter(Protocol):
    """Cuts one channel's samples into clips; each call returns the clips that are ready."""

    def push(self, samples: np.ndarray) -> list[Cut]:
        """Take the next samples, int16 (n_samples,)."""
        ...

    def finish(self) -> list[Cut]:
        """End the stream."""
        ...


class QuietCutter:
    """Cuts without gaps, at the quietest place near the end of each full window."""

    def __init__(self, start: int = 0, channel: int | None = None) -> None:
        """Start at the sample ``start`` of the file."""
        self._start = start
        self._channel = channel
        self._window = np.empty(N_SAMPLES, np.int16)  # blocks have a few hundred samples: concatenating would be slow
        self._n_held = 0

    def push(self, samples: np.ndarray) -> list[Cut]:
        """Take the next samples; a full window is cut once more samples follow."""
        cuts, at = [], 0
        while at < len(samples):
            if self._n_held == N_SAMPLES:
                cuts.append(self._take(quietest(self._window)))
            taken = samples[at : at + N_SAMPLES - self._n_held]
            self._window[self._n_held : self._n_held + len(taken)] = taken
            at, self._n_held = at + len(taken), self._n_held + len(taken)
        return cuts

    def finish(self) -> list[Cut]:
        """Return the remaining clips."""
        return [self._take(self._n_held)] if self._n_held else []

    def _take(self, length: int) -> Cut:
        cut = Cut(self._start, self._window[:length].copy(), channel=self._channel)
        self._start, self._n_held = self._start + length, self._n_held - length
        self._window[: self._n_held] = self._window[length : length + self._n_held].copy()
        return cut


def quietest(window: np.ndarray) -> int:
    """Return where to cut a full window: the middle of the quietest quarter second near its end, the last of equals."""
    first = len(window) - N_SEARCH
    energy = np.concatenate([[0], np.cumsum(np.square(window[first:].astype(np.int64)))])
    starts = np.arange(0, N_SEARCH - N_QUIET + 1, N_HOP)
    loudness = energy[starts + N_QUIET] - energy[starts]
    latest = len(starts) - 1 - int(np.argmin(loudness[::-1]))
    return first + int(starts[latest]) + N_QUIET // 2


class SpeechCutter:
    """Packs whole spans of speech into clips, as many as fit into a window; leaves out longer pauses."""

    def __init__(
        self, options: SpeechOptions, start: int = 0, channel: int | None = None, detector: Detector | None = None
    ) -> None:
        """Start at the sample ``start`` of the file."""
        self._start = start
        self._detector = detector or Detector()
        self._spans = Spans(options)
        self._tape = _Tape()
        self._pack = _Pack(start, channel)

    def push(self, samples: np.ndarray) -> list[Cut]:
        """Take the next samples."""
        self._tape.append(samples)
        probabilities = self._detector.push(samples)
        return self._packed(self._spans.push(probabilities)) if len(probabilities) else []

    def finish(self) -> list[Cut]:
        """Return the remaining clips."""
        spans = self._spans.push(self._detector.finish()) + self._spans.finish(self._tape.end)
        cuts = self._packed(spans) + self._pack.take()
        return cuts or self._whole()

    def _whole(self) -> list[Cut]:
        """All of a recording that is too short for the detector, if it has any sound: a single word, a digit."""
        if not 0 < self._tape.end <= MAX_SHORT:
            return []
        samples = self._tape.read(0, self._tape.end)
        return [Cut(self._start, samples.copy(), channel=self._pack.channel)] if is_sound(samples) else []

    def _packed(self, spans: Sequence[Span]) -> list[Cut]:
        cuts = []
        for span in spans:
            cuts += self._pack.make_room(span)
            begin = self._pack.begin_of(span)
            self._pack.add(span, self._tape.read(begin, span.end))
        self._tape.drop(self._spans.needed - MAX_GAP)
        return cuts


class _Tape:
    """The last samples of a stream, by their position in it."""

    def __init__(self) -> None:
        self._held = np.empty(2 * N_SAMPLES, np.int16)
        self._first = 0  # position of the first one held
        self.end = 0  # position of the next one to come

    def append(self, samples: np.ndarray) -> None:
        n_held = self.end - self._first
        if n_held + len(samples) > len(self._held):
            grown = np.empty(max(len(self._held), 2 * (n_held + len(samples))), np.int16)
            grown[:n_held] = self._held[:n_held]
            self._held = grown
        self._held[n_held : n_held + len(samples)] = samples
        self.end += len(samples)

    def read(self, start: int, end: int) -> np.ndarray:
        assert self._first <= start <= end <= self.end
        return self._held[start - self._first : end - self._first]

    def drop(self, before: int) -> None:
        """Forget the samples before a position."""
        n_gone = min(before, self.end) - self._first
        if n_gone > 0:
            n_held = self.end - self._first - n_gone
            self._held[:n_held] = self._held[n_gone : n_gone + n_held].copy()
            self._first += n_gone


class _Pack:
    """The clip that is being filled; spans have positions in their stream, which begins at ``start`` in the file."""

    _length: int  # samples
    _end: int  # the end of the last span

    def __init__(self, start: int, channel: int | None) -> None:
        self._offset = start
        self.channel = channel
        self._clear()

    def has_room(self, span: Span) -> bool:
        return self._length + span.end - self.begin_of(span) <= N_SAMPLES

    def begin_of(self, span: Span) -> int:
        """Where the samples that the span adds begin: right after the last span when the pause between is short."""
        return self._end if self._length and span.start - self._end <= MAX_GAP else span.start

    def add(self, span: Span, samples: np.ndarray) -> None:
        self._parts.append((span, samples.copy()))
        self._length, self._end = self._length + len(samples), span.end

    def take(self) -> list[Cut]:
        """Return the clip, if there is one, and start the next."""
        return self._take(len(self._parts))

    def make_room(self, span: Span) -> list[Cut]:
        """Return the clips that must be completed so that ``span`` fits, cut at the longest pause near the end.

        A sentence is likely to end there; a sentence cut in two is transcribed worse, and its end twice.
        """
        if self.has_room(span):
            return []
        cuts = self._take(self._last_before_a_pause(span))
        return cuts if self.has_room(span) else cuts + self.take()

    def _last_before_a_pause(self, coming: Span) -> int:
        """The number of spans before the longest pause after ``MIN_FULL``, the latest of equals."""
        spans, length, pauses = [*(span for span, _ in self._parts), coming], 0, {}
        for n, ((span, samples), following) in enumerate(zip(self._parts, spans[1:], strict=True), 1):
            length += len(samples)
            if length >= MIN_FULL:
                pauses[n] = following.first - span.last
        return max(reversed(pauses), key=lambda n: pauses[n], default=len(self._parts))

    def _take(self, n_spans: int) -> list[Cut]:
        """Make a clip of the first spans; the others stay."""
        taken, left = self._parts[:n_spans], self._parts[n_spans:]
        self._clear()
        for span, samples in left:
            self.add(span, samples[self.begin_of(span) - span.end :])
        return [self._joined(taken)] if taken else []

    def _joined(self, parts: Sequence[tuple[Span, np.ndarray]]) -> Cut:
        start = parts[0][0].end - len(parts[0][1])
        length, end, speech, joins = 0, start, [], []
        for span, samples in parts:
            begin = span.end - len(samples)
            if begin > end:
                joins.append((length, begin - start - length))
            shift = begin - length
            speech.append((span.first - shift, span.last - shift))
            length, end = length + len(samples), span.end
        samples = np.concatenate([samples for _, samples in parts])
        return Cut(self._offset + start, samples, tuple(speech), tuple(joins), self.channel)

    def _clear(self) -> None:
        self._length = self._end = 0
        self._parts: list[tuple[Span, np.ndarray]] = []


class WholeCutter:
    """Makes one clip of all of the file, in a spool; its speech is reported, but nothing is cut."""

    def __init__(self, spool: Spool, options: SpeechOptions, channel: int | None = None) -> None:
        """Write to ``spool``."""
        self._spool = spool
        self._channel = channel
        self._detector = Detector() if options.vad else None
        self._spans = Spans(options, None)
        self._speech: list[tuple[int, int]] = []

    def push(self, samples: np.ndarray) -> list[Cut]:
        """Take the next samples."""
        self._spool.write(samples)
        if self._detector is not None:
            self._note(self._spans.push(self._detector.push(samples)))
        return []

    def finish(self) -> list[Cut]:
        """Return the clip, unless there was no sample."""
        if self._detector is not None:
            self._note(self._spans.push(self._detector.finish()))
            self._note(self._spans.finish(len(self._spool)))
        self._spool.close()
        return [Cut(0, self._spool, tuple(self._speech), channel=self._channel)] if len(self._spool) else []

    def _note(self, spans: Iterable[Span]) -> None:
        self._speech += [(span.first, span.last) for span in spans]


class StretchCutter:
    """Cuts certain stretches only, each as if it were a file of its own."""

    def __init__(self, stretches: Sequence[tuple[int, float]], make: Callable[[int], Cutter]) -> None:
        """Take stretches ``[start, end)`` in order; ``make`` returns a cutter for what begins at a given sample."""
        self._stretches = list(stretches)
        self._make = make
        self._at = 0
        self._cutter: Cutter | None = None

    def push(self, samples: np.ndarray) -> list[Cut]:
        """Take the next samples."""
        cuts, first = [], self._at
        self._at += len(samples)
        while self._stretches and self._stretches[0][0] < self._at:
            start, end = self._stretches[0]
            inside = samples[max(0, start - first) : int(min(end, self._at)) - first]
            if self._cutter is None:
                self._cutter = self._make(start)
            cuts += self._cutter.push(inside)
            if end > self._at:
                break
            cuts += self._next()
        return cuts

    def finish(self) -> list[Cut]:
        """Return the remaining clips of the current stretch."""
        return self._next() if self._cutter is not None else []

    def _next(self) -> list[Cut]:
        assert self._cutter is not None
        cuts, self._cutter = self._cutter.finish(), None
        del self._stretches[0]
        return cuts


def stretches_of(times_s: Sequence[float]) -> list[tuple[int, float]]:
    """Convert seconds, alternately start and end, to ranges in samples; the last may have no end."""
    places = [round(time_s * SAMPLE_RATE) for time_s in times_s]
    ends = [*map(float, places[1::2]), np.inf]
    return [(start, end) for start, end in zip(places[::2], ends, strict=False) if start < end]


def cut(blocks: Iterable[np.ndarray], make: Callable[[int | None], Cutter]) -> Iterator[Cut]:
    """Cut blocks of samples and yield each clip as soon as it is ready.

    Args:
        blocks: int16 (n_samples,), or (n_channels, n_samples) of channels that are kept separate.
        make: Returns the cutter for a channel; its argument is None when there is only one.
    """
    cutters: list[Cutter] = []
    for block in _gathered(blocks):
        if not cutters:
            cutters = [make(number if len(block) > 1 else None) for number in range(len(block))]
        for cutter, samples in zip(cutters, block, strict=True):
            yield from cutter.push(samples)
    yield from chain.from_iterable(cutter.finish() for cutter in cutters)


def _gathered(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Blocks as (n_channels, n_samples) of a second or more, since each block has a cost; the last may be shorter."""
    held: list[np.ndarray] = []
    n_held = 0
    for block in blocks:
        held.append(np.atleast_2d(block))
        n_held += block.shape[-1]
        if n_held >= SAMPLE_RATE:
            yield np.concatenate(held, axis=1)
            held, n_held = [], 0
    if n_held:
        yield np.concatenate(held, axis=1)


def numbered(cuts: Iterable[Cut], elects: bool) -> Iterator[tuple[int, Cut, tuple[int, int] | None]]:
    """Yield each clip with its number and its vote; with ``elects``, clips of the first minutes vote and come first.

    The other clips of these minutes are held back until the voters are known.
    """
    coming = enumerate(cuts)
    early: list[tuple[int, Cut]] = []
    late: list[tuple[int, Cut]] = []
    for index, one in coming if elects else ():
        if early and one.start >= early[0][1].start + N_EARLY:  # speech may begin late
            late.append((index, one))
            break
        early.append((index, one))
    strongest = sorted(early, key=lambda pair: _strength(pair[1]), reverse=True)[:MAX_VOTERS]
    places = {index: place for place, (index, _) in enumerate(sorted(strongest, key=lambda pair: pair[0]))}
    for index, one in early:
        if index in places:
            yield index, one, (places[index], len(places))
    early = [(index, one) for index, one in early if index not in places]
    del strongest
    while early:  # popped, so that each clip is freed once yielded
        yield *early.pop(0), None
    for index, one in chain(late, coming):
        yield index, one, None


def _strength(one: Cut) -> tuple[int, int]:
    """How useful a clip is for detecting the language: by speech or, without speech detection, by loudness."""
    assert isinstance(one.samples, np.ndarray)
    return one.n_speech, 0 if one.speech else int(np.abs(one.samples.astype(np.int32)).sum())
