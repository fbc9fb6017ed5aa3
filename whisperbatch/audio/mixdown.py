"""Mix several channels to one: ffmpeg's mix or, wherever that loses the sound, the loudest channel.

For each second in which the channels cancel each other out (a cable with swapped wires inverts one channel), all
channels of the decoded frames are replaced by the loudest one. The filter graphs that mix and resample are built here
too.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.filter import Graph

from whisperbatch.records import SAMPLE_RATE

BAND = 8_000  # Hz; sound up to half of this is compared, where speech is, with the low end (hum) weakened
CANCELLED = 0.06  # of the energy of a mix of unrelated channels: below it, two are 94 % alike and opposite
MIXABLE = 0.2  # from here on they are mixed again
SILENT = 1e-10  # mean square, for a full scale of 1; a third of a 16-bit step
MAX_HELD_S = 10.0  # a longer frame is passed on unchanged
N_PLANES = 8  # Trap: PyAV miscounts the planes of eight channels and more that are not interleaved
LOW = frozenset({"LFE", "LFE2"})  # rumble, which ffmpeg leaves out on purpose
FULL = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "flt": 1.0, "dbl": 1.0}  # full scale of ffmpeg's formats


class Choice:
    """Decides, second by second, whether one channel replaces the mix; pure."""

    def __init__(self, weights: np.ndarray, lows: frozenset[int] = frozenset()) -> None:
        """Take the mix's weights, float (n_channels,), and the low-frequency channels, which are never taken."""
        self._weights = weights.astype(np.float32)
        # sound that the mix drops because its channel has no position (the fourth of six) counts as lost, too
        expected = np.where(weights < 0.1 / len(weights), 1 / len(weights), weights)
        self._expected = np.square(expected)
        self._candidates = np.array([number not in lows for number in range(len(weights))])
        self._taken: int | None = None

    def take(self, planes: np.ndarray, rate: int, full: float = 1.0) -> tuple[int | None, bool]:
        """Return the channel to take, None for the mix, and whether there is any sound to judge by.

        Args:
            planes: The next samples, (n_channels, n_samples), integers or floats.
            rate: Their sample rate in Hz.
            full: Their full scale.
        """
        with np.errstate(all="ignore"):  # damaged floats may hold anything
            band = _band(planes, rate)
            energies = np.where(self._candidates, np.einsum("cs,cs->c", band, band), 0.0)  # (n_channels,)
            loudest = int(np.argmax(energies >= 0.8 * energies.max()))  # the first of about equal ones
            if not energies[loudest] > SILENT * full**2 * band.shape[1]:
                return self._taken, False
            mix = self._weights @ band
            share = mix @ mix / (self._expected @ energies)
            if share < (CANCELLED if self._taken is None else MIXABLE):
                if self._taken is None or energies[loudest] > 4 * energies[self._taken]:
                    self._taken = loudest
            else:
                self._taken = None
        return self._taken, True


def _band(planes: np.ndarray, rate: int) -> np.ndarray:
    """float32 (n_channels, n_kept): roughly the band of speech, at a rate of about ``BAND``."""
    n_channels, n_samples = planes.shape
    step = max(1, min(rate // BAND, n_samples))
    parts = planes[:, : n_samples // step * step].astype(np.float32, order="C").reshape(n_channels, -1, step)
    return np.diff(parts @ np.full(step, 1 / step, np.float32), axis=1)  # a product is faster than a mean


@dataclass(slots=True)
class _Tally:
    """How long a single channel was taken, which channels, and whether other sound was mixed."""

    taken_s: float = 0.0
    is_mixed: bool = False  # some sound was mixed
    n_channels: int = 0
    channels: frozenset[int] = frozenset()


class Mixdown:
    """Mixes one recording, in one pass."""

    def __init__(self) -> None:
        """Start without any frames."""
        self._tally = _Tally()
        self._choices: dict[tuple[str, int], Choice | None] = {}

    @property
    def notices(self) -> list[str]:
        """A sentence when a single channel was taken anywhere; else nothing."""
        tally = self._tally
        if not tally.channels:
            return []
        if tally.n_channels == 2:
            lost = "left and right cancel each other out"
            side = ("left", "right")[min(tally.channels)]
            name = "the louder one" if len(tally.channels) > 1 else f"the {side} channel"
        else:
            lost = f"the mix of its {tally.n_channels} channels is nearly silent"
            name = "the loudest one" if len(tally.channels) > 1 else f"channel {min(tally.channels) + 1}"
        if tally.is_mixed:
            return [f"in {tally.taken_s:.1f} s, {lost}; {name} was taken there"]
        return [f"{lost}; {name} was taken"]

    def frames(self, frames: Iterable[Any]) -> Iterator[Any]:
        """Yield the frames, about a second late, with one channel in all channels where the mix would lose sound."""
        held: list[Any] = []
        n_held, kind = 0, None
        for frame in frames:
            here = (frame.format.name, frame.layout.name, frame.sample_rate)
            if held and here != kind:
                yield from self._judged(held)
                held, n_held = [], 0
            if frame.layout.nb_channels == 1 or frame.samples > MAX_HELD_S * frame.sample_rate:
                yield from self._judged(held)
                held, n_held = [], 0
                yield frame
                continue
            held.append(frame)
            n_held, kind = n_held + frame.samples, here
            if n_held >= frame.sample_rate:
                yield from self._judged(held)
                held, n_held = [], 0
        yield from self._judged(held)

    def wave(self, wave: np.ndarray, rate: int) -> np.ndarray:
        """Mix about a second of float (n_channels, n_samples) to (1, n_samples): the mean, or one channel."""
        n_channels = len(wave)
        choice = self._choices.setdefault(("", n_channels), Choice(np.full(n_channels, 1 / n_channels)))
        assert choice is not None
        taken = self._taken(choice, wave, rate) if n_channels > 1 else None
        return wave.mean(axis=0, keepdims=True) if taken is None else wave[taken : taken + 1]

    def _judged(self, held: list[Any]) -> list[Any]:
        """Frames of one format, with one channel in all channels where that is better."""
        choice = self._choice(held[0]) if held else None
        if choice is None:
            return held
        planes = [_planes(frame) for frame in held]
        joined = np.concatenate(planes, axis=1)
        taken = self._taken(choice, joined, held[0].sample_rate, FULL[_samples_of(held[0])])
        return held if taken is None else [_of_one(frame, own[taken]) for frame, own in zip(held, planes, strict=True)]

    def _choice(self, frame: Any) -> Choice | None:
        """The Choice for frames of this format; None where PyAV cannot read it or ffmpeg cannot mix it."""
        kind = (frame.layout.name, frame.layout.nb_channels)
        is_miscounted = not frame.format.is_packed and frame.layout.nb_channels >= N_PLANES
        if is_miscounted or _samples_of(frame) not in FULL:
            return None
        if kind not in self._choices:
            self._choices[kind] = None
            with suppress(av.FFmpegError, ValueError):
                lows = frozenset(at for at, channel in enumerate(frame.layout.channels) if channel.name in LOW)
                self._choices[kind] = Choice(weights_of(*kind), lows)
        return self._choices[kind]

    def _taken(self, choice: Choice, planes: np.ndarray, rate: int, full: float = 1.0) -> int | None:
        taken, is_sound = choice.take(planes, rate, full)
        tally = self._tally
        if taken is not None:
            tally.taken_s += planes.shape[1] / rate
            tally.n_channels = max(tally.n_channels, len(planes))
            tally.channels |= {taken}
        elif is_sound:
            tally.is_mixed = True
        return taken


def _samples_of(frame: Any) -> str:
    """The name of a frame's sample format, without the mark of channels that are not interleaved."""
    name: str = frame.format.name
    return name.removesuffix("p")


def _planes(frame: Any) -> np.ndarray:
    """A frame's samples as (n_channels, n_samples)."""
    samples: np.ndarray = frame.to_ndarray()
    return samples.reshape(frame.samples, -1).T if frame.format.is_packed else samples


def _of_one(frame: Any, samples: np.ndarray) -> Any:
    """A frame of the same format, time and length, with (n_samples,) in all channels."""
    n_channels = frame.layout.nb_channels
    rows = np.repeat(samples[None], n_channels, axis=0)
    data = np.ascontiguousarray(rows.T.reshape(1, -1) if frame.format.is_packed else rows)
    made = av.AudioFrame.from_ndarray(data, format=frame.format.name, layout=frame.layout.name)
    made.sample_rate, made.pts = frame.sample_rate, frame.pts
    if frame.time_base is not None:
        made.time_base = frame.time_base
    return made


def weights_of(layout: str, n_channels: int) -> np.ndarray:
    """Return the weight of each channel in ffmpeg's mix, float (n_channels,).

    Raises:
        av.FFmpegError: It cannot mix them.
        ValueError: PyAV does not know the layout.
    """
    probe = frame_of(np.eye(n_channels) / 2, SAMPLE_RATE, layout)
    mixing = graph(probe, "mono")
    mixed = [*through(mixing, probe), *through(mixing, None)]
    return np.concatenate(mixed) / 16384


def graph(frame: Any, layout: str) -> Graph:
    """Return the filter graph that ffmpeg uses for ``-ac 1 -ar 16000 -f s16le``, or for another layout."""
    made = Graph()
    with suppress(AttributeError):  # else it starts an idle thread per core; older PyAV has no such setting
        made.threads = 1
    source = made.add(
        "abuffer",
        sample_rate=str(frame.sample_rate),
        sample_fmt=frame.format.name,
        channel_layout=frame.layout.name,
        time_base=f"1/{frame.sample_rate}",
    )
    # Trap: PyAV miscounts the planes of eight channels and more, so they stay interleaved
    wanted = made.add("aformat", sample_rates=str(SAMPLE_RATE), sample_fmts="s16", channel_layouts=layout)
    source.link_to(wanted)
    wanted.link_to(made.add("abuffersink"))
    made.configure()
    return made


def through(graph: Graph | None, frame: Any) -> Iterator[np.ndarray]:
    """Push a frame, or None at the end, and yield the output: int16 (n_samples,) or (n_channels, n_samples)."""
    if graph is not None:
        graph.push(frame)
    while graph is not None:
        try:
            out = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):  # needs more input; has ended
            return
        assert isinstance(out, av.AudioFrame)
        if out.samples:
            samples = np.ascontiguousarray(out.to_ndarray().reshape(out.samples, -1).T)
            yield samples if len(samples) > 1 else samples[0]


def frame_of(wave: np.ndarray, rate: int, layout: str | None = None) -> Any:
    """Return a frame of float (n_channels, n_samples)."""
    layout = layout or {1: "mono", 2: "stereo"}.get(len(wave), f"{len(wave)} channels")
    # Trap: PyAV miscounts the planes of more than eight channels
    data = np.ascontiguousarray(wave.T.reshape(1, -1), np.float32)
    frame = av.AudioFrame.from_ndarray(data, format="flt", layout=layout)
    frame.sample_rate = rate
    return frame
