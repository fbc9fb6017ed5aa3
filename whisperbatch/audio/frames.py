"""A stream of an opened container to frames: decoded, with silence where nothing was recorded; what is wrong with it.

Comes in: PyAV's container and stream. Goes out: PyAV's frames, without gaps. Holes are filled as ``timeline`` says.
"""

import collections
import itertools
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np
from av.stream import Disposition

from whisperbatch.audio import amr
from whisperbatch.audio.damage import Damage
from whisperbatch.audio.open_file import id3_size, promised_by_riff
from whisperbatch.audio.timeline import Before, Clock, Timeline

MAX_SHORTFALL_S = 0.5  # a header that promises more is believed
TELLING = frozenset("wav w64 flac aiff mov matroska ogg caf".split())  # containers whose header tells the length
LISTING = frozenset("matroska flv".split())  # a packet follows right after another, when there is but one stream
MAX_BETWEEN = 256  # bytes between two packets of those: headers of clusters and blocks
BYTEWISE = frozenset("mp3 ac3 eac3 dts".split())  # a lost stretch is one packet, and time goes by its bytes
MIN_RECKONED_S = 1.0  # of sound, from which the bytes of a second are known
INDEXED = frozenset("mov avi".split())  # their index tells where a film begins
N_REORDERED = 16  # packets of a film after which none is earlier
N_SCAN = 2_000  # packets that are read to find those
TAGS = (b"ID3", b"TAG", b"APETAGEX")  # that stand between the parts of joined MP3 files, and are no sound
N_SILENT = 1 << 19  # samples of all channels that a frame of silence has at most
PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
RATES = range(1_000, 3_000_000)  # Hz that a sound may have; others make hours of a few bytes, or filters of gigabytes
MAX_FRAME_S = 600.0  # no codec has such frames


def told_s(container: Any, stream: Any) -> float:
    """Seconds that the header tells of; 0.0 where FFmpeg reckons them from the size, which may be far off."""
    if not TELLING & set(container.format.name.split(",")):
        return 0.0
    return float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / av.time_base


def is_sound(frame: Any) -> bool:
    """Whether a decoded frame is of a rate and length that a sound may have."""
    return frame.sample_rate in RATES and frame.samples <= MAX_FRAME_S * frame.sample_rate


class Decoding:
    """One pass over a stream: its frames, and what is wrong with them."""

    def __init__(self, container: Any, stream: Any, harm: Damage, max_s: float) -> None:
        """Note in ``damage`` what is damaged; nothing is later than ``max_s``."""
        self._container = container
        self._stream = stream
        self._harm = harm
        self._kinds = frozenset(container.format.name.split(","))
        length_s = (container.duration or 0) / av.time_base
        self._amr = amr.KINDS.get(stream.codec_context.name)
        self._n_gone = 0
        self._before = Before.NOTHING
        self._moved_s = 0.0  # that time stamps are too early
        self._first_byte = 0  # of the first packet
        self._end_byte = 0  # of the last packet
        self._tag_end = 0  # of the last tag
        self._is_over = False  # all of it has been read
        self.failed = False  # the container could not be read on
        self.last_byte = 0  # where the last packet lies
        self._waiting: list[Any] = []  # packets that were read to find out where the pictures begin
        self._timeline = Timeline(Clock.of(self._kinds, self._start_s(), length_s, max_s))

    @property
    def notices(self) -> list[str]:
        """Sentences about its time stamps."""
        return self._timeline.notices

    def frames(self) -> Iterator[Any]:
        """Decoded frames, and frames of silence; what will not decode is silence and noted."""
        for packet in self._packets():
            if packet.pos and packet.pos < self._tag_end:
                continue
            try:
                frames = packet.decode() if self._amr is None else self._decoded_amr(self._amr, packet)
            except (av.FFmpegError, ValueError):
                self._lose(packet)
                continue
            for frame in frames:
                if not frame.sample_rate:
                    self._lose()
                    continue
                time_s = frame.time
                if time_s is not None:
                    time_s += self._moved_s
                if is_sound(frame):
                    n_silent = self._timeline.silence(time_s, frame.samples, frame.sample_rate, self._before)
                    if n_silent:
                        yield from self._silence(frame, n_silent)
                # a parser that has lost its way says nothing, but gives frames without time stamps
                self._before = Before.ASTRAY if time_s is None else Before.NOTHING
                yield frame

    def judge_end(self, file: BinaryIO) -> None:
        """Note whether it came to its end, as far as the container tells how long it should be."""
        harm = self._harm
        harm.n_parts += self._n_gone
        harm.gap_s += self._timeline.missing_s
        harm.end_s += self._timeline.end_s
        promised_s = self._promised_s(file)
        if self.failed or promised_s > harm.end_s + max(MAX_SHORTFALL_S, 0.005 * promised_s):
            harm.broke_off, harm.promised_s = True, promised_s

    def _packets(self) -> Iterator[Any]:
        is_listing = bool(self._kinds & LISTING) and len(self._container.streams) == 1
        for packet in itertools.chain(self._waiting, self._demuxed([self._stream])):
            if is_listing and packet.pos:
                self._look_between(packet)
            self.last_byte = packet.pos or self.last_byte
            self._first_byte = self._first_byte or self.last_byte
            yield packet

    def _demuxed(self, streams: list[Any]) -> Iterator[Any]:
        """Packets from where the container stands, until its end or a failure."""
        packets = None if self.failed or self._is_over else self._container.demux(streams)
        while packets is not None:
            try:
                packet = next(packets)
            except StopIteration:
                self._is_over = True
                return
            except IndexError:  # of a stream that began midway, which PyAV does not know
                packets = self._container.demux(streams)
                continue
            except (av.FFmpegError, OSError, OverflowError):
                self.failed = True
                return
            yield packet

    def _start_s(self) -> float | None:
        """Where the first of the streams of sound and film begins; None when none tells."""
        streams = [stream for stream in self._container.streams if _is_timed(stream)]
        films = [stream for stream in streams if stream.type == "video"]
        if films and not self._kinds & INDEXED:
            streams = [stream for stream in streams if stream.type == "audio"]
        else:
            films = []
        starts = [stream.start_time * stream.time_base for stream in streams if stream.start_time is not None]
        starts += self._first_pictures(films)
        return float(min(starts)) if starts else None

    def _first_pictures(self, films: list[Any]) -> list[Fraction]:
        """Times of the first packets of films; without their decoders FFmpeg finds no reliable start."""
        if not films:
            return []
        _set_discard(films, "default")
        counts: collections.Counter[int] = collections.Counter()
        times: list[Fraction] = []
        for n_read, packet in enumerate(self._demuxed([self._stream, *films]), 1):
            counts[packet.stream.index] += 1
            if packet.stream.index == self._stream.index:
                self._waiting.append(packet)
            elif packet.pts is not None:
                times.append(packet.pts * packet.time_base)
            is_enough = n_read >= N_SCAN or all(counts[film.index] >= N_REORDERED for film in films)
            if is_enough and packet.size:  # at the end empty ones come, and all of them are wanted
                break
        _set_discard(films, "all")
        return times

    def _look_between(self, packet: Any) -> None:
        if 0 < self._end_byte < packet.pos - MAX_BETWEEN and self._before is Before.NOTHING:
            self._before = Before.SKIPPED
        self._end_byte = packet.pos + packet.size

    def _lose(self, packet: Any = None) -> None:
        """Note what could not be decoded, unless it is a tag."""
        data, pos = (b"", 0) if packet is None else (bytes(packet), packet.pos or 0)
        if data.startswith(TAGS):
            self._before = Before.TAG
            at = data.find(TAGS[0])
            self._tag_end = pos + at + id3_size(data[at:]) if at >= 0 else 0
            return
        self._n_gone += 1
        self._before = Before.UNDECODED
        if self._kinds & BYTEWISE and packet is not None and packet.duration:
            self._reckon(len(data), pos, float(packet.duration * packet.time_base))

    def _reckon(self, n_bytes: int, pos: int, told_s: float) -> None:
        """Move what comes on, where the lost part has bytes for more time than its parser took it for."""
        so_far_s = self._timeline.end_s
        if so_far_s > MIN_RECKONED_S and pos > self._first_byte:
            lost_s = n_bytes * so_far_s / (pos - self._first_byte)
            self._moved_s += lost_s - told_s if lost_s > 2 * told_s else 0.0

    def _silence(self, frame: Any, n_silent: int) -> Iterator[Any]:
        """Frames of silence of the kind of the one that they come before."""
        self._n_gone += self._before is Before.ASTRAY
        n_most = max(1, min(frame.sample_rate, N_SILENT // max(1, frame.layout.nb_channels)))
        while n_silent > 0:
            yield _silent(frame.format.name, frame.layout, frame.sample_rate, min(n_silent, n_most))
            n_silent -= n_most

    def _decoded_amr(self, kind: amr.Kind, packet: Any) -> list[Any]:
        """The frames of an AMR packet, those of a pause as silence: FFmpeg takes them for damage."""
        data = bytes(packet)
        parts = list(amr.frames(kind, data))
        if not any(amr.is_pause(kind, part) for part in parts):
            return list(packet.decode())
        context, frames = self._stream.codec_context, []
        for i, part in enumerate(parts):
            if amr.is_pause(kind, part):
                made = [_silent(context.format.name, context.layout, kind.rate, round(amr.FRAME_S * kind.rate))]
            else:
                made = self._decoded_part(part)
            at_s = None if packet.pts is None else float(packet.pts * packet.time_base) + i * amr.FRAME_S
            frames += [_stamped(frame, at_s) for frame in made]
        return frames

    def _decoded_part(self, part: bytes) -> list[Any]:
        try:
            return list(self._stream.codec_context.decode(av.Packet(part)))
        except (av.FFmpegError, ValueError):
            self._n_gone += 1
            return []

    def _promised_s(self, file: BinaryIO) -> float:
        """Seconds of audio that the file's header tells of; 0.0 where it tells nothing that can be relied on."""
        kinds, stream = self._kinds, self._stream
        length_s = float(stream.duration * stream.time_base) if stream.duration else 0.0
        if kinds & {"flac", "aiff"}:
            return length_s
        if "mp3" in kinds:  # without a count of frames in its first one, FFmpeg reckons from the size
            reckoned_s = self._container.size * 8 / (stream.bit_rate or 1)
            return length_s if abs(length_s - reckoned_s) > 0.02 * reckoned_s else 0.0
        if "mov" in kinds:  # edits may shorten what is played
            return length_s if self._n_gone or self.failed else 0.0
        if "matroska" in kinds and len(self._container.streams) == 1:  # else it is the longest stream's length
            return ((self._container.duration or 0) - max(0, self._container.start_time or 0)) / av.time_base
        return promised_by_riff(file) * 8 / (stream.bit_rate or np.inf) if "wav" in kinds else 0.0


def _is_timed(stream: Any) -> bool:
    """Whether a stream is one of sound or film, and not a picture on the cover."""
    return stream.type in ("audio", "video") and not stream.disposition & PICTURES


def _set_discard(streams: list[Any], name: str) -> None:
    for stream in streams:
        with suppress(AttributeError):  # older PyAV can't say so
            stream.discard = av.stream.Discard[name]


def _silent(form: str, layout: Any, rate: int, n_samples: int) -> Any:
    # trap: PyAV miscounts the planes of eight channels and more, and would write beyond them
    form = form.removesuffix("p") if layout.nb_channels >= 8 else form
    frame = av.AudioFrame(form, layout, n_samples)
    for plane in frame.planes:
        plane.update(bytes([0x80 if form.startswith("u8") else 0]) * plane.buffer_size)
    frame.sample_rate = rate
    return frame


def _stamped(frame: Any, at_s: float | None) -> Any:
    frame.time_base = Fraction(1, frame.sample_rate)
    frame.pts = None if at_s is None else round(at_s * frame.sample_rate)
    return frame
