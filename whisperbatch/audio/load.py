"""Any media file to 16 kHz mono int16 samples, as a stream of blocks: the samples ffmpeg gives openai-whisper.

Comes in: a path. Goes out: blocks, and what was damaged. Who calls: ``audio/worker``. PyAV carries FFmpeg's libraries;
librosa (libsndfile) reads what they can't. Only regular local files are opened, and nothing that a file points to.
"""

import errno
import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np

from whisperbatch.audio.mixdown import Mixdown, frame_of, graph, through
from whisperbatch.audio.opening import is_list, is_text, next_recording, opened, promised_by_riff
from whisperbatch.audio.tracks import Track, of_stream, wanted
from whisperbatch.errors import LoadError
from whisperbatch.records import DAMAGED, SAMPLE_RATE

av.logging.set_level(None)  # what matters is told in our own sentences

# demuxers that open other files, devices or the network; FFmpeg's names
POINTING = frozenset(
    "hls applehttp concat dash imf image2 mlv rtsp sdp rtp sap lavfi tty webm_dash_manifest vobsub avisynth "
    "vapoursynth alsa oss pulse jack sndio openal fbdev kmsgrab video4linux2 v4l2 x11grab avfoundation dshow gdigrab "
    "vfwcap".split()
)
READING = ",".join(sorted(name for name in av.formats_available if not POINTING & set(name.split(","))))
# files are handed over open, so no protocol is needed: a list that slipped through could still open nothing
GUARDS = {"format_whitelist": READING, "protocol_whitelist": "none"}


def _is_sound(codec: str) -> bool:
    try:
        return av.codec.Codec(codec, "r").type == "audio"
    except ValueError:  # it can be written only
        return False


# else a file is probed by decoding its pictures, and a small one may unfold to gigabytes
LISTENING = {"codec_whitelist": ",".join(sorted(filter(_is_sound, av.codec.codecs_available)))}

# of tags that are not UTF-8; PyAV 19 replaces them by itself and takes no such argument
STRAY_BYTES = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}

MAX_JITTER_S = 0.003  # between frames of a parser that lost its way and found it again
MAX_GAP_S = 0.1  # between frames of any other; time stamps of cheap recorders are coarse
MAX_SHORTFALL_S = 0.5  # a header that promises more is believed
RATES = range(1_000, 3_000_000)  # Hz that a sound may have; others make hours of a few bytes, or filters of gigabytes
MAX_FRAME_S = 600.0  # no codec has such frames
N_BLOCK = 1 << 19  # samples of all channels that libsndfile reads at once
DITHER = 2  # of 32,768; what peaks no higher is silence
VERY_QUIET_DB = -40.0  # of full scale; a peak of less is told
MAX_SPLIT = 32  # channels kept apart; each needs its share of memory
MIN_BIT_RATE = 64  # a header that promises so much audio of so few bytes lies; an hour of silence has twice that
TELLING = frozenset("wav w64 flac aiff mov matroska ogg caf".split())  # containers whose header tells the length

UNREADABLE = "is not audio or video that can be read"
UNDECODABLE = "holds audio, but nothing of it can be decoded"
POINTS = "is a playlist or a list of files, not a recording"


@dataclass(slots=True)
class Harm:
    """What was found damaged in a file; false when nothing was."""

    n_parts: int = 0
    gap_s: float = 0.0
    broke_off: bool = False
    end_s: float = 0.0
    promised_s: float = 0.0

    def __bool__(self) -> bool:
        """Whether anything was."""
        return bool(self.n_parts or self.gap_s or self.broke_off)

    @property
    def sentence(self) -> str | None:
        """What to tell, or None."""
        told = []
        if self.n_parts:
            were = "parts were" if self.n_parts > 1 else "part was"
            told.append(f"{self.n_parts} {were} left out that could not be decoded")
        if self.gap_s:
            told.append(f"{self.gap_s:.1f} s are missing in the middle")
        if self.broke_off:
            of = f" of {self.promised_s:.1f}" if self.promised_s > self.end_s else ""
            told.append(f"it breaks off after {self.end_s:.1f}{of} s")
        return DAMAGED + ", ".join(told) if told else None


class _RefusedError(LoadError):
    """Refused before or while it is read; no second loader is tried."""


class Reader:
    """The samples of one file, for one thread and one pass."""

    def __init__(self, path: Path, *, split: bool = False, max_s: float = math.inf, track: str | None = None) -> None:
        """Keep the path; ``blocks`` opens it.

        Args:
            path: The file.
            split: Whether channels are kept apart.
            max_s: A longer recording is refused.
            track: Which audio track, as ``LoadOptions.track`` has it; of ``all`` it is the first.
        """
        self.path = path
        self.n_samples = 0  # that were read
        self.n_channels = 1  # that were kept apart
        self.tracks: list[Track] = []  # known once the file is open
        # those that are asked for, of which the first is read; until the file is open, as if it were the only one
        self.candidates = [Track(int(track) if track and track.isdigit() else 1)]
        self._asked = track
        self._split = split
        self._layout = "" if split else "mono"  # "": that of the first frame
        self._max_s = max_s
        self._harm = Harm()
        self._mixdown = Mixdown()
        self._peak = 0  # of the samples so far

    @property
    def track(self) -> Track:
        """The one that is read."""
        return self.candidates[0]

    @property
    def notices(self) -> list[str]:
        """Sentences about a whole recording, once the blocks have been read."""
        peak_db = 20 * math.log10(self._peak / 32768) if self._peak > DITHER else 0.0
        return self._mixdown.notices + ([f"very quiet: peak at {peak_db:.0f} dBFS"] if peak_db < VERY_QUIET_DB else [])

    @property
    def damage(self) -> str | None:
        """One sentence once the blocks have been read; None when all of it decoded."""
        return self._harm.sentence

    def blocks(self) -> Iterator[np.ndarray]:
        """Blocks of int16 (n_samples,), 16 kHz mono, each a fraction of a second or so; split: (n_channels, n_samples).

        Raises:
            LoadError: Nothing of the file can be read, or it is too long.
        """
        with opened(self.path) as file:
            error = None
            try:
                yield from self._counted(self._by_pyav(file))
            except _RefusedError:
                raise
            except LoadError as err:
                error = err
            if self.n_samples == 0 and (error is not None or self._harm):
                self._harm = Harm()
                yield from self._counted(self._by_librosa(file, error or LoadError(UNDECODABLE, self.path)))

    def _counted(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.n_samples += block.shape[-1]
            self.n_channels = block.size // block.shape[-1]
            self._peak = max(self._peak, int(block.max()), -int(block.min()))
            self._check_length(self.n_samples / SAMPLE_RATE)
            yield block

    def _check_length(self, length_s: float) -> None:
        if length_s > self._max_s:
            raise _RefusedError(f"is longer than {self._max_s / 3600:.4g} hours; --max-duration allows more", self.path)

    def _by_pyav(self, file: BinaryIO) -> Iterator[np.ndarray]:
        offset: int | None = 0
        while offset is not None:
            try:
                container = self._container(file, offset)
                stream = self._stream(container)
            except LoadError:
                if offset == 0:
                    raise
                self._harm.broke_off = True
                return
            with container:
                told_s = _told_s(container, stream)
                self._check_length(told_s if container.size * 8 > told_s * MIN_BIT_RATE else 0.0)
                ogg = container.format.name == "ogg"
                decoding = _Decoding(container, stream, self._harm)
                yield from self._resampled(decoding.frames())
                decoding.judge_end(file)
            # FFmpeg's Ogg demuxer gives up where a recording with other channels is joined on
            after = max(decoding.last_byte, offset) + 1
            offset = next_recording(file, after) if decoding.failed and ogg else None
            self._harm.broke_off = self._harm.broke_off and offset is None

    def _container(self, file: BinaryIO, offset: int) -> Any:
        file.seek(0)
        options = GUARDS | ({"skip_initial_bytes": str(offset)} if offset else {})
        try:
            return av.open(file, options=options | LISTENING, **STRAY_BYTES)
        except (av.FFmpegError, ValueError) as err:
            # a format that is not on the list gives this, but so do some damaged recordings
            pointing = is_list(file) or (isinstance(err, av.error.ArgumentError) and is_text(file))
            raise LoadError(POINTS if pointing else UNREADABLE, self.path) from err
        except (OSError, OverflowError) as err:
            is_misled = getattr(err, "errno", None) in (None, errno.EINVAL)  # to a place where no file can be read
            raise LoadError(UNREADABLE if is_misled else f"cannot be read: {err.strerror}", self.path) from err

    def _stream(self, container: Any) -> Any:
        """The stream of the track that is asked for."""
        streams = list(container.streams.audio)
        if not streams:
            raise LoadError("holds no audio", self.path)
        chosen = streams[self._choose([of_stream(number, stream) for number, stream in enumerate(streams, 1)]) - 1]
        self._check_kind(chosen.codec_context.sample_rate or RATES[0], chosen.codec_context.channels)
        for stream in container.streams:
            if stream is not chosen:
                with suppress(AttributeError):  # pictures need not be read; older PyAV can't say so
                    stream.discard = av.stream.Discard.all
        return chosen

    def _choose(self, tracks: list[Track]) -> int:
        """The number of the track that is asked for."""
        candidates = wanted(tracks, self._asked, self.path)
        if not self.tracks:  # else it is a recording that is joined on
            self.tracks, self.candidates = tracks, candidates
        return candidates[0].number

    def _check_kind(self, rate: int, n_channels: int) -> None:
        if rate not in RATES:
            raise LoadError(f"has a sample rate of {rate} Hz, which no sound has", self.path)
        if self._split and n_channels > MAX_SPLIT:
            told = f"has {n_channels} channels, and at most {MAX_SPLIT} can be kept apart; --channels mix mixes them"
            raise _RefusedError(told, self.path)

    def _resampled(self, frames: Iterable[Any]) -> Iterator[np.ndarray]:
        """Frames of any kind as blocks; a recording may change rate and channels midway."""
        mixing, kind = None, None
        for frame in frames if self._split else self._mixdown.frames(frames):
            here = (frame.format.name, frame.layout.name, frame.sample_rate)
            if frame.sample_rate not in RATES or frame.samples > MAX_FRAME_S * frame.sample_rate:
                self._harm.n_parts += 1
                continue
            try:
                if here != kind:
                    yield from through(mixing, None)
                    mixing, kind = None, None
                    self._layout = self._layout or frame.layout.name
                    mixing, kind = graph(frame, self._layout), here
                frame.pts = None  # a gap in the time stamps is no silence, as for ffmpeg's s16le output
                yield from through(mixing, frame)
            except (av.FFmpegError, ValueError):  # channels that cannot be mixed
                self._harm.n_parts += 1
        with suppress(av.FFmpegError):
            yield from through(mixing, None)

    def _by_librosa(self, file: BinaryIO, error: LoadError) -> Iterator[np.ndarray]:
        """The second loader: what libsndfile reads and FFmpeg doesn't; ``error`` when that neither."""
        import soundfile

        file.seek(0)
        n_samples = 0
        try:
            with soundfile.SoundFile(file) as sound:
                import librosa  # takes seconds, so only for what libsndfile knows

                self._choose([Track(1, n_channels=sound.channels)])
                rate = sound.samplerate
                self._check_kind(rate, sound.channels)
                length = max(1, min(rate, N_BLOCK // sound.channels))
                how = {"block_length": 1, "frame_length": length, "hop_length": length, "mono": False}
                if "sr" in signature(librosa.stream).parameters:  # since 1.0, which is about to resample by default
                    how["sr"] = None
                waves = librosa.stream(sound, **how)
                for block in self._resampled(self._frame(wave, rate) for wave in waves):
                    n_samples += block.shape[-1]
                    yield block
        except (soundfile.SoundFileError, ValueError, OverflowError, OSError) as err:
            if n_samples == 0:
                raise error from err
            self._harm.broke_off, self._harm.end_s = True, n_samples / SAMPLE_RATE
        if n_samples == 0:
            raise error

    def _frame(self, wave: np.ndarray, rate: int) -> Any:
        wave = np.nan_to_num(np.atleast_2d(wave), posinf=0.0, neginf=0.0)  # (n_channels, n_samples)
        return frame_of(wave if self._split else self._mixdown.wave(wave, rate), rate)


class _Decoding:
    """One pass over a stream: its frames, and what is wrong with them."""

    def __init__(self, container: Any, stream: Any, harm: Harm) -> None:
        self._container = container
        self._stream = stream
        self._harm = harm
        self._first_s: float | None = None
        self._due_s = 0.0  # where the next frame should begin
        self._n_gone = 0
        self.failed = False  # the container could not be read on
        self.last_byte = 0  # where the last packet lies

    def frames(self) -> Iterator[Any]:
        """Decoded frames; what will not decode is left out and noted."""
        untimed = False
        for packet in self._packets():
            try:
                frames = packet.decode()
            except (av.FFmpegError, ValueError):
                self._n_gone += 1
                continue
            for frame in frames:
                if not frame.sample_rate:
                    self._n_gone += 1
                    continue
                begin_s = frame.time if frame.time is not None else self._due_s
                if self._first_s is None:
                    self._first_s = self._due_s = begin_s
                self._note_gap(begin_s - self._due_s, untimed)
                # a parser that has lost its way says nothing, but gives frames without time stamps
                untimed = frame.time is None
                self._due_s = begin_s + frame.samples / frame.sample_rate
                yield frame

    def judge_end(self, file: BinaryIO) -> None:
        """Note whether it came to its end, as far as the container tells how long it should be."""
        harm, begin_s = self._harm, self._first_s or 0.0
        harm.n_parts += self._n_gone
        harm.end_s += self._due_s - begin_s
        promised_s = self._promised_s(file)
        if self.failed or promised_s > harm.end_s + max(MAX_SHORTFALL_S, 0.005 * promised_s):
            harm.broke_off, harm.promised_s = True, promised_s

    def _packets(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except IndexError:  # of a stream that began midway, which PyAV does not know
                packets = self._container.demux(self._stream)
                continue
            except (av.FFmpegError, OSError, OverflowError):
                self.failed = True
                return
            self.last_byte = packet.pos or self.last_byte
            yield packet

    def _note_gap(self, gap_s: float, untimed: bool) -> None:
        if untimed and gap_s > MAX_JITTER_S:
            self._n_gone += 1
        elif gap_s > MAX_GAP_S:
            self._harm.gap_s += gap_s

    def _promised_s(self, file: BinaryIO) -> float:
        """Seconds of audio that the file's header tells of; 0.0 where it tells nothing that can be relied on."""
        kinds, stream = set(self._container.format.name.split(",")), self._stream
        length_s = float(stream.duration * stream.time_base) if stream.duration else 0.0
        if kinds & {"flac", "aiff"}:
            return length_s
        if "mp3" in kinds:  # without a count of frames in its first one, FFmpeg reckons from the size
            reckoned_s = self._container.size * 8 / (stream.bit_rate or 1)
            return length_s if abs(length_s - reckoned_s) > 0.02 * reckoned_s else 0.0
        if "mov" in kinds:  # edits may shorten what is played
            return length_s if self._n_gone or self.failed else 0.0
        if "matroska" in kinds and len(self._container.streams) == 1:  # else it is the longest stream's length
            return (self._container.duration or 0) / av.time_base
        return promised_by_riff(file) * 8 / (stream.bit_rate or np.inf) if "wav" in kinds else 0.0


def _told_s(container: Any, stream: Any) -> float:
    """Seconds that the header tells of; 0.0 where FFmpeg reckons them from the size, which may be far off."""
    if not TELLING & set(container.format.name.split(",")):
        return 0.0
    return float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / av.time_base
