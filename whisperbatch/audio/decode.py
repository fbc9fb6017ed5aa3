"""Any media file to 16 kHz mono int16 samples, as a stream of blocks: the samples ffmpeg gives openai-whisper.

Comes in: a path. Goes out: blocks, and what was damaged. PyAV carries FFmpeg's libraries;
librosa (libsndfile) reads what they can't. Only regular local files are opened, and nothing that a file points to.
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
from whisperbatch.audio.frames import RATES, Decoding, is_sound, told_s
from whisperbatch.audio.mixdown import Mixdown, frame_of, graph, through
from whisperbatch.audio.open_file import RAW, is_ds2, is_list, is_prose, is_text, next_recording, opened
from whisperbatch.audio.tracks import Track, of_stream, wanted
from whisperbatch.errors import LoadError
from whisperbatch.records import SAMPLE_RATE

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
STRAY_BYTES: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}

N_BLOCK = 1 << 19  # samples of all channels that libsndfile reads at once
DITHER = 2  # of 32,768; what peaks no higher is silence
VERY_QUIET_DB = -40.0  # of full scale; a peak of less is told
MAX_SPLIT = 32  # channels kept apart; each needs its share of memory
MIN_BIT_RATE = 64  # a header that promises so much audio of so few bytes lies; an hour of silence has twice that

UNREADABLE = "is not audio or video that can be read"
UNDECODABLE = "holds audio, but nothing of it can be decoded"
DICTATION = "is a DS2 dictation, which cannot be decoded here; export it as DSS, WAV or MP3"
POINTS = "is a playlist or a list of files, not a recording"


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
        self._harm = Damage()
        self._notices: list[str] = []
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
        quiet = [f"very quiet: peak at {peak_db:.0f} dBFS"] if peak_db < VERY_QUIET_DB else []
        return [*self._notices, *self._mixdown.notices, *quiet]

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
            source, self._notices = riff.whole(file)
            try:
                yield from self._counted(self._by_pyav(file, source))
            except _RefusedError:
                raise
            except LoadError as err:
                error = err
            if self.n_samples == 0 and (error is not None or self._harm):
                self._harm = Damage()
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
        """The first loader; ``source`` has the file's sound, and is the file itself but for some WAVE files."""
        offset: int | None = 0
        while offset is not None:
            try:
                container = self._container(source, offset)
                stream = self._stream(container)
            except LoadError:
                if offset == 0:
                    raise
                self._harm.broke_off = True
                return
            with container:
                length_s = told_s(container, stream)
                self._check_length(length_s if container.size * 8 > length_s * MIN_BIT_RATE else 0.0)
                ogg = container.format.name == "ogg"
                decoding = Decoding(container, stream, self._harm, self._max_s)
                yield from self._resampled(decoding.frames())
                decoding.judge_end(file)
                self._notices += [told for told in decoding.notices if told not in self._notices]
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
            with suppress(av.FFmpegError, ValueError):
                if raw := self._raw(file, options | LISTENING):
                    return raw
            if is_ds2(file):
                raise LoadError(DICTATION, self.path) from err
            # a format that is not on the list gives this, but so do some damaged recordings
            pointing = is_list(file) or (isinstance(err, av.error.ArgumentError) and is_text(file))
            raise LoadError(POINTS if pointing else UNREADABLE, self.path) from err
        except (OSError, OverflowError) as err:
            if not isinstance(err, OSError) or err.errno in (None, errno.EINVAL):  # misled to where no file can be read
                raise LoadError(UNREADABLE, self.path) from err
            raise LoadError(f"cannot be read: {err.strerror}", self.path) from err

    def _raw(self, file: BinaryIO, options: dict[str, str]) -> Any:
        """The container of a format that only the file's name tells of, or None."""
        name, more = RAW.get(self.path.suffix.lower(), (None, {}))
        if name is None or is_prose(file):
            return None
        file.seek(0)
        return av.open(file, format=name, options=options | more, **STRAY_BYTES)

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
            if not is_sound(frame):
                self._harm.n_parts += 1
                continue
            try:
                if here != kind:
                    yield from through(mixing, None)
                    mixing, kind = None, None
                    self._layout = self._layout or frame.layout.name
                    mixing, kind = graph(frame, self._layout), here
                frame.pts = None  # silence stands in all gaps by now
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
