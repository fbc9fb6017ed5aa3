"""Decode a stream of an opened container to PyAV's frames without gaps, and find what is damaged in it.

Holes are filled with silence as ``timeline`` decides.
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

MAX_SHORTFALL_S = 0.5  # a shortfall of more than this against the header is damage
HAS_DURATION = frozenset("wav w64 flac aiff mov matroska ogg caf".split())  # containers with a duration in the header
CONTIGUOUS = frozenset("matroska flv".split())  # packets follow each other directly, when there is only one stream
MAX_BETWEEN = 256  # bytes between two packets of those: headers of clusters and blocks
BYTEWISE = frozenset("mp3 ac3 eac3 dts".split())  # a lost stretch is one packet, and its bytes give its duration
MIN_KNOWN_S = 1.0  # of sound, before the bytes per second are known
INDEXED = frozenset("mov avi".split())  # their index gives the start of the video
N_REORDERED = 16  # video packets after which none has an earlier time
N_SCAN = 2_000  # packets that are read to find those
TAGS = (b"ID3", b"TAG", b"APETAGEX")  # between the parts of joined MP3 files; not sound
N_SILENT = 1 << 19  # most samples, over all channels, in a frame of silence
PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
RATES = range(1_000, 3_000_000)  # plausible Hz; others turn a few bytes into hours, or make filters of gigabytes
MAX_FRAME_S = 600.0  # no codec has frames this long


def header_duration_s(container: Any, stream: Any) -> float:
    """Return the seconds that the header gives; 0.0 where FFmpeg estimates them from the size, often far off."""
    if not HAS_DURATION & set(container.format.name.split(",")):
        return 0.0
    return float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / av.time_base


def is_sound(frame: Any) -> bool:
    """True if a decoded frame has a plausible sample rate and length."""
    return frame.sample_rate in RATES and frame.samples <= MAX_FRAME_S * frame.sample_rate


class FrameReader:
    """Reads a stream once: its frames, and what is damaged."""

    def __init__(self, container: Any, stream: Any, damage: Damage, max_s: float) -> None:
        """Record damage in ``damage``; no frame is later than ``max_s``."""
        self._container = container
        self._stream = stream
        self._damage = damage
        self._kinds = frozenset(container.format.name.split(","))
        length_s = (container.duration or 0) / av.time_base
        self._amr = amr.KINDS.get(stream.codec_context.name)
        self._n_lost = 0  # parts that could not be decoded
        self._before = Before.NOTHING
        self._moved_s = 0.0  # how much too early the time stamps are
        self._first_byte = 0  # position of the first packet
        self._end_byte = 0  # end of the last packet
        self._tag_end = 0  # end of the last tag
        self._is_over = False  # everything has been read
        self.failed = False  # the container could not be read further
        self.last_byte = 0  # position of the last packet
        self._waiting: list[Any] = []  # packets that were read to find the start of the video
        self._timeline = Timeline(Clock.of(self._kinds, self._start_s(), length_s, max_s))

    @property
    def notices(self) -> list[str]:
        """Sentences about its time stamps."""
        return self._timeline.notices

    def frames(self) -> Iterator[Any]:
        """Yield decoded frames, and frames of silence for gaps and for what cannot be decoded, which is recorded."""
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
                # a parser that has lost its way reports nothing, but gives frames without time stamps
                self._before = Before.ASTRAY if time_s is None else Before.NOTHING
                yield frame

    def judge_end(self, file: BinaryIO) -> None:
        """Record the damage, and whether the stream ends too early, as far as the container gives its length."""
        damage = self._damage
        damage.n_parts += self._n_lost
        damage.gap_s += self._timeline.missing_s
        damage.end_s += self._timeline.end_s
        promised_s = self._promised_s(file)
        if self.failed or promised_s > damage.end_s + max(MAX_SHORTFALL_S, 0.005 * promised_s):
            damage.broke_off, damage.promised_s = True, promised_s

    def _packets(self) -> Iterator[Any]:
        is_contiguous = bool(self._kinds & CONTIGUOUS) and len(self._container.streams) == 1
        for packet in itertools.chain(self._waiting, self._demuxed([self._stream])):
            if is_contiguous and packet.pos:
                self._look_between(packet)
            self.last_byte = packet.pos or self.last_byte
            self._first_byte = self._first_byte or self.last_byte
            yield packet

    def _demuxed(self, streams: list[Any]) -> Iterator[Any]:
        """Packets from the container's current position, until its end or a failure."""
        packets = None if self.failed or self._is_over else self._container.demux(streams)
        while packets is not None:
            try:
                packet = next(packets)
            except StopIteration:
                self._is_over = True
                return
            except IndexError:  # a stream that began midway, unknown to PyAV
                packets = self._container.demux(streams)
                continue
            except (av.FFmpegError, OSError, OverflowError):
                self.failed = True
                return
            yield packet

    def _start_s(self) -> float | None:
        """Where the first of the audio and video streams begins; None when not known."""
        streams = [stream for stream in self._container.streams if _is_timed(stream)]
        videos = [stream for stream in streams if stream.type == "video"]
        if videos and not self._kinds & INDEXED:
            streams = [stream for stream in streams if stream.type == "audio"]
        else:
            videos = []
        starts = [stream.start_time * stream.time_base for stream in streams if stream.start_time is not None]
        starts += self._video_times(videos)
        return float(min(starts)) if starts else None

    def _video_times(self, videos: list[Any]) -> list[Fraction]:
        """Times of the first packets of videos; without their decoders FFmpeg finds no reliable start."""
        if not videos:
            return []
        _set_discard(videos, "default")
        counts: collections.Counter[int] = collections.Counter()
        times: list[Fraction] = []
        for n_read, packet in enumerate(self._demuxed([self._stream, *videos]), 1):
            counts[packet.stream.index] += 1
            if packet.stream.index == self._stream.index:
                self._waiting.append(packet)
            elif packet.pts is not None:
                times.append(packet.pts * packet.time_base)
            is_enough = n_read >= N_SCAN or all(counts[video.index] >= N_REORDERED for video in videos)
            if is_enough and packet.size:  # empty packets come at the end, and all of them are needed
                break
        _set_discard(videos, "all")
        return times

    def _look_between(self, packet: Any) -> None:
        if 0 < self._end_byte < packet.pos - MAX_BETWEEN and self._before is Before.NOTHING:
            self._before = Before.SKIPPED
        self._end_byte = packet.pos + packet.size

    def _lose(self, packet: Any = None) -> None:
        """Record what could not be decoded, unless it is a tag."""
        data, pos = (b"", 0) if packet is None else (bytes(packet), packet.pos or 0)
        if data.startswith(TAGS):
            self._before = Before.TAG
            at = data.find(TAGS[0])
            self._tag_end = pos + at + id3_size(data[at:]) if at >= 0 else 0
            return
        self._n_lost += 1
        self._before = Before.UNDECODED
        if self._kinds & BYTEWISE and packet is not None and packet.duration:
            self._correct_times(len(data), pos, float(packet.duration * packet.time_base))

    def _correct_times(self, n_bytes: int, pos: int, parser_s: float) -> None:
        """Move all later frames, where the lost part has bytes for more time than its parser assumed."""
        so_far_s = self._timeline.end_s
        if so_far_s > MIN_KNOWN_S and pos > self._first_byte:
            lost_s = n_bytes * so_far_s / (pos - self._first_byte)
            self._moved_s += lost_s - parser_s if lost_s > 2 * parser_s else 0.0

    def _silence(self, frame: Any, n_silent: int) -> Iterator[Any]:
        """Frames of silence, in the format of the frame that follows."""
        self._n_lost += self._before is Before.ASTRAY
        n_most = max(1, min(frame.sample_rate, N_SILENT // max(1, frame.layout.nb_channels)))
        while n_silent > 0:
            yield _silent(frame.format.name, frame.layout, frame.sample_rate, min(n_silent, n_most))
            n_silent -= n_most

    def _decoded_amr(self, kind: amr.Kind, packet: Any) -> list[Any]:
        """The frames of an AMR packet, pauses as silence: FFmpeg takes them for damage."""
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
            self._n_lost += 1
            return []

    def _promised_s(self, file: BinaryIO) -> float:
        """Seconds of audio that the file's header gives; 0.0 where that is not reliable."""
        kinds, stream = self._kinds, self._stream
        length_s = float(stream.duration * stream.time_base) if stream.duration else 0.0
        if kinds & {"flac", "aiff"}:
            return length_s
        if "mp3" in kinds:  # without a frame count in the first frame, FFmpeg estimates from the size
            estimate_s = self._container.size * 8 / (stream.bit_rate or 1)
            return length_s if abs(length_s - estimate_s) > 0.02 * estimate_s else 0.0
        if "mov" in kinds:  # edits may shorten what is played
            return length_s if self._n_lost or self.failed else 0.0
        if "matroska" in kinds and len(self._container.streams) == 1:  # else it is the longest stream's length
            return ((self._container.duration or 0) - max(0, self._container.start_time or 0)) / av.time_base
        return promised_by_riff(file) * 8 / (stream.bit_rate or np.inf) if "wav" in kinds else 0.0


def _is_timed(stream: Any) -> bool:
    """True if a stream is audio or video, and not a cover picture."""
    return stream.type in ("audio", "video") and not stream.disposition & PICTURES


def _set_discard(streams: list[Any], name: str) -> None:
    for stream in streams:
        with suppress(AttributeError):  # older PyAV has no discard
            stream.discard = av.stream.Discard[name]


def _silent(form: str, layout: Any, rate: int, n_samples: int) -> Any:
    # Trap: PyAV miscounts the planes of eight channels and more, and would write beyond them
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
