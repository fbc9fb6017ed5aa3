"""Decode any media file to a stream of 16 kHz mono int16 blocks: the samples that ffmpeg gives openai-whisper.

PyAV includes FFmpeg's libraries; librosa (libsndfile) reads what they cannot. Only regular local files are opened, and
nothing that a file points to.
"""

import errno
import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from inspect import signature
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np

from whisperbatch.audio import riff
from whisperbatch.audio.damage import Damage
from whisperbatch.audio.frames import RATES, FrameReader, header_duration_s, is_sound
from whisperbatch.audio.mixdown import Mixdown, frame_of, graph, through
from whisperbatch.audio.open_file import RAW, is_ds2, is_list, is_prose, is_text, next_recording, opened
from whisperbatch.audio.tracks import Track, of_stream, wanted
from whisperbatch.errors import LoadError
from whisperbatch.records import SAMPLE_RATE

av.logging.set_level(None)  # we report what matters in our own messages

# demuxers that open other files, devices or the network; FFmpeg's names
POINTING = frozenset(
    "hls applehttp concat dash imf image2 mlv rtsp sdp rtp sap lavfi tty webm_dash_manifest vobsub avisynth "
    "vapoursynth alsa oss pulse jack sndio openal fbdev kmsgrab video4linux2 v4l2 x11grab avfoundation dshow gdigrab "
    "vfwcap".split()
)
READING = ",".join(sorted(name for name in av.formats_available if not POINTING & set(name.split(","))))
# FFmpeg gets open files, so it needs no protocol: even a list that slipped through could not open anything
GUARDS = {"format_whitelist": READING, "protocol_whitelist": "none"}


def _is_sound(codec: str) -> bool:
    try:
        return av.codec.Codec(codec, "r").type == "audio"
    except ValueError:  # it can only be written
        return False


# else a file is probed by decoding its pictures, and a small one may expand to gigabytes
AUDIO_ONLY = {"codec_whitelist": ",".join(sorted(filter(_is_sound, av.codec.codecs_available)))}

# for tags that are not UTF-8; PyAV 19 replaces them itself and has no such argument
STRAY_BYTES: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}

N_BLOCK = 1 << 19  # samples, over all channels, that libsndfile reads at once
DITHER = 2  # of 32,768; a recording that peaks no higher is silence
VERY_QUIET_DB = -40.0  # of full scale; a lower peak is reported
MAX_SPLIT = 32  # channels that can be kept separate; each needs its share of memory
MIN_BIT_RATE = 64  # a header that promises more audio for its bytes is wrong; an hour of silence has twice that

UNREADABLE = "is not a readable audio or video file"
UNDECODABLE = "contains audio, but none of it can be decoded"
DICTATION = "is a DS2 dictation, which cannot be decoded; export it as DSS, WAV or MP3"
POINTS = "is a playlist or a list of files, not a recording"


class _RefusedError(LoadError):
    """The file is refused before or while it is read; the second decoder is not tried."""


class Reader:
    """Reads the samples of one file once, for one thread."""

    def __init__(self, path: Path, *, split: bool = False, max_s: float = math.inf, track: str | None = None) -> None:
        """Store the path; ``blocks`` opens it.

        Args:
            path: The file.
            split: Whether channels are kept separate.
            max_s: A longer recording is refused.
            track: Which audio track, as in ``LoadOptions.track``; ``all`` means the first here.
        """
        self.path = path
        self.n_samples = 0  # read so far
        self.n_channels = 1  # kept separate
        self.tracks: list[Track] = []  # known once the file is open
        # the requested tracks, the first of which is read; until the file is open, as if it had only one
        self.candidates = [Track(int(track) if track and track.isdigit() else 1)]
        self._wanted_track = track
        self._split = split
        self._layout = "" if split else "mono"  # "": that of the first frame
        self._max_s = max_s
        self._damage = Damage()
        self._notices: list[str] = []
        self._mixdown = Mixdown()
        self._peak = 0  # of the samples so far

    @property
    def track(self) -> Track:
        """The track that is read."""
        return self.candidates[0]

    @property
    def notices(self) -> list[str]:
        """Sentences about things that are not damage, once the blocks have been read."""
        peak_db = 20 * math.log10(self._peak / 32768) if self._peak > DITHER else 0.0
        quiet = [f"very quiet: peak at {peak_db:.0f} dBFS"] if peak_db < VERY_QUIET_DB else []
        return [*self._notices, *self._mixdown.notices, *quiet]

    @property
    def damage(self) -> str | None:
        """A sentence about the damage, once the blocks have been read; None when everything was decoded."""
        return self._damage.sentence

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield blocks of int16 (n_samples,), 16 kHz mono, of a fraction of a second; split: (n_channels, n_samples).

        Raises:
            LoadError: Nothing of the file can be decoded, or it is too long.
        """
        with opened(self.path) as file:
            error = None
            source, self._notices = riff.all_sound(file)
            try:
                yield from self._counted(self._by_pyav(file, source))
            except _RefusedError:
                raise
            except LoadError as err:
                error = err
            if self.n_samples == 0 and (error is not None or self._damage):
                self._damage = Damage()
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

    def _by_pyav(self, file: BinaryIO, source: BinaryIO) -> Iterator[np.ndarray]:
        """Decode by FFmpeg; ``source`` has the file's sound, and is the file itself except for some WAVE files."""
        offset: int | None = 0
        while offset is not None:
            try:
                container = self._container(source, offset)
                stream = self._stream(container)
            except LoadError:
                if offset == 0:
                    raise
                self._damage.broke_off = True
                return
            with container:
                length_s = header_duration_s(container, stream)
                self._check_length(length_s if container.size * 8 > length_s * MIN_BIT_RATE else 0.0)
                ogg = container.format.name == "ogg"
                reader = FrameReader(container, stream, self._damage, self._max_s)
                yield from self._resampled(reader.frames())
                reader.judge_end(file)
                self._notices += [notice for notice in reader.notices if notice not in self._notices]
            # FFmpeg's Ogg demuxer gives up where a recording with other channels is appended
            after = max(reader.last_byte, offset) + 1
            offset = next_recording(file, after) if reader.failed and ogg else None
            self._damage.broke_off = self._damage.broke_off and offset is None

    def _container(self, file: BinaryIO, offset: int) -> Any:
        file.seek(0)
        options = GUARDS | ({"skip_initial_bytes": str(offset)} if offset else {})
        try:
            return av.open(file, options=options | AUDIO_ONLY, **STRAY_BYTES)
        except (av.FFmpegError, ValueError) as err:
            with suppress(av.FFmpegError, ValueError):
                if raw := self._raw(file, options | AUDIO_ONLY):
                    return raw
            if is_ds2(file):
                raise LoadError(DICTATION, self.path) from err
            # a format that is not whitelisted gives this error, but so do some damaged recordings
            pointing = is_list(file) or (isinstance(err, av.error.ArgumentError) and is_text(file))
            raise LoadError(POINTS if pointing else UNREADABLE, self.path) from err
        except (OSError, OverflowError) as err:
            if not isinstance(err, OSError) or err.errno in (None, errno.EINVAL):  # misled to an impossible position
                raise LoadError(UNREADABLE, self.path) from err
            raise LoadError(f"cannot be read: {err.strerror}", self.path) from err

    def _raw(self, file: BinaryIO, options: dict[str, str]) -> Any:
        """The container of a format that only the file's extension identifies, or None."""
        name, more = RAW.get(self.path.suffix.lower(), (None, {}))
        if name is None or is_prose(file):
            return None
        file.seek(0)
        return av.open(file, format=name, options=options | more, **STRAY_BYTES)

    def _stream(self, container: Any) -> Any:
        """The stream of the requested track."""
        streams = list(container.streams.audio)
        if not streams:
            raise LoadError("contains no audio", self.path)
        chosen = streams[self._choose([of_stream(number, stream) for number, stream in enumerate(streams, 1)]) - 1]
        self._check_kind(chosen.codec_context.sample_rate or RATES[0], chosen.codec_context.channels)
        for stream in container.streams:
            if stream is not chosen:
                with suppress(AttributeError):  # pictures need not be read; older PyAV has no discard
                    stream.discard = av.stream.Discard.all
        return chosen

    def _choose(self, tracks: list[Track]) -> int:
        """The number of the requested track."""
        candidates = wanted(tracks, self._wanted_track, self.path)
        if not self.tracks:  # else this is an appended recording
            self.tracks, self.candidates = tracks, candidates
        return candidates[0].number

    def _check_kind(self, rate: int, n_channels: int) -> None:
        if rate not in RATES:
            raise LoadError(f"has a sample rate of {rate} Hz, which is not plausible", self.path)
        if self._split and n_channels > MAX_SPLIT:
            message = f"has {n_channels} channels, but at most {MAX_SPLIT} can be kept separate; use --channels mix"
            raise _RefusedError(message, self.path)

    def _resampled(self, frames: Iterable[Any]) -> Iterator[np.ndarray]:
        """Convert frames of any kind to blocks; a recording may change rate and channels midway."""
        mixing, kind = None, None
        for frame in frames if self._split else self._mixdown.frames(frames):
            here = (frame.format.name, frame.layout.name, frame.sample_rate)
            if not is_sound(frame):
                self._damage.n_parts += 1
                continue
            try:
                if here != kind:
                    yield from through(mixing, None)
                    mixing, kind = None, None
                    self._layout = self._layout or frame.layout.name
                    mixing, kind = graph(frame, self._layout), here
                frame.pts = None  # all gaps have been filled with silence
                yield from through(mixing, frame)
            except (av.FFmpegError, ValueError):  # channels that cannot be mixed
                self._damage.n_parts += 1
        with suppress(av.FFmpegError):
            yield from through(mixing, None)

    def _by_librosa(self, file: BinaryIO, error: LoadError) -> Iterator[np.ndarray]:
        """Decode by libsndfile what FFmpeg cannot read; raise ``error`` when that fails too."""
        import soundfile

        file.seek(0)
        n_samples = 0
        try:
            with soundfile.SoundFile(file) as sound:
                import librosa  # slow to import, so only for what libsndfile can read

                self._choose([Track(1, n_channels=sound.channels)])
                rate = sound.samplerate
                self._check_kind(rate, sound.channels)
                length = max(1, min(rate, N_BLOCK // sound.channels))
                how = {"block_length": 1, "frame_length": length, "hop_length": length, "mono": False}
                if "sr" in signature(librosa.stream).parameters:  # since 1.0, which will resample by default
                    how["sr"] = None
                waves = librosa.stream(sound, **how)
                for block in self._resampled(self._frame(wave, rate) for wave in waves):
                    n_samples += block.shape[-1]
                    yield block
        except (soundfile.SoundFileError, ValueError, OverflowError, OSError) as err:
            if n_samples == 0:
                raise error from err
            self._damage.broke_off, self._damage.end_s = True, n_samples / SAMPLE_RATE
        if n_samples == 0:
            raise error

    def _frame(self, wave: np.ndarray, rate: int) -> Any:
        wave = np.nan_to_num(np.atleast_2d(wave), posinf=0.0, neginf=0.0)  # (n_channels, n_samples)
        return frame_of(wave if self._split else self._mixdown.wave(wave, rate), rate)
