"""Small whole recordings of every container and codec that can be made here; others damage them."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import soundfile

SECONDS = 2.0

# name, codec, rate, layout, options of the container
ENCODED = [
    ("pcm.wav", "pcm_s16le", 16_000, "mono", {}),
    ("pcm8.wav", "pcm_u8", 8_000, "mono", {}),
    ("pcm24.wav", "pcm_s24le", 48_000, "stereo", {}),
    ("float.wav", "pcm_f32le", 44_100, "stereo", {}),
    ("alaw.wav", "pcm_alaw", 8_000, "mono", {}),
    ("mulaw.wav", "pcm_mulaw", 8_000, "mono", {}),
    ("adpcm_ms.wav", "adpcm_ms", 22_050, "mono", {}),
    ("adpcm_ima.wav", "adpcm_ima_wav", 22_050, "mono", {}),
    ("rf64.wav", "pcm_s16le", 16_000, "mono", {"rf64": "always"}),
    ("x.w64", "pcm_s16le", 16_000, "mono", {}),
    ("x.mp3", "libmp3lame", 44_100, "stereo", {}),
    ("x.mp2", "mp2", 44_100, "mono", {}),
    ("x.flac", "flac", 44_100, "stereo", {}),
    ("x.opus", "libopus", 48_000, "mono", {}),
    ("x.aac", "aac", 44_100, "stereo", {}),
    ("x.m4a", "aac", 44_100, "stereo", {}),
    ("fast.m4a", "aac", 44_100, "mono", {"movflags": "faststart"}),
    ("frag.mp4", "aac", 44_100, "mono", {"movflags": "frag_keyframe+empty_moov"}),
    ("alac.m4a", "alac", 44_100, "stereo", {}),
    ("x.mov", "pcm_s16le", 44_100, "mono", {}),
    ("x.3gp", "libopencore_amrnb", 8_000, "mono", {}),
    ("x.amr", "libopencore_amrnb", 8_000, "mono", {}),
    ("x.mka", "libopus", 48_000, "stereo", {}),
    ("pcm.mkv", "pcm_s16le", 44_100, "mono", {}),
    ("x.webm", "libopus", 48_000, "mono", {}),
    ("x.aiff", "pcm_s16be", 44_100, "stereo", {}),
    ("x.au", "pcm_s16be", 16_000, "mono", {}),
    ("x.caf", "pcm_s16be", 44_100, "mono", {}),
    ("alac.caf", "alac", 44_100, "mono", {}),
    ("x.wma", "wmav2", 44_100, "stereo", {}),
    ("x.asf", "wmav1", 22_050, "mono", {}),
    ("x.ac3", "ac3", 48_000, "5.1", {}),
    ("x.eac3", "eac3", 48_000, "stereo", {}),
    ("mp2.ts", "mp2", 48_000, "stereo", {}),
    ("aac.ts", "aac", 48_000, "mono", {}),
    ("x.mpg", "mp2", 48_000, "stereo", {}),
    ("x.avi", "pcm_s16le", 44_100, "mono", {}),
    ("x.flv", "libmp3lame", 44_100, "mono", {}),
    ("x.tta", "tta", 44_100, "stereo", {}),
    ("x.wv", "wavpack", 44_100, "stereo", {}),
    ("x.voc", "pcm_u8", 11_025, "mono", {}),
    ("x.nut", "pcm_s16le", 16_000, "mono", {}),
    ("x.latm", "aac", 44_100, "mono", {}),
]  # fmt: skip
BY_LIBSNDFILE = [
    ("vorbis.ogg", "OGG", "VORBIS"),
    ("x.mat", "MAT5", "PCM_16"),
    ("x.mat4", "MAT4", "PCM_16"),
    ("x.paf", "PAF", "PCM_16"),
    ("x.pvf", "PVF", "PCM_16"),
    ("x.sds", "SDS", "PCM_16"),
    ("x.avr", "AVR", "PCM_16"),
    ("x.svx", "SVX", "PCM_16"),
    ("x.htk", "HTK", "PCM_16"),
    ("x.nist", "NIST", "PCM_16"),
    ("x.ircam", "IRCAM", "PCM_16"),
    ("gsm.wav", "WAV", "GSM610"),
]
WITH_PICTURES = [("film.mp4", "aac"), ("film.mkv", "libopus"), ("film.avi", "libmp3lame"), ("film.ts", "mp2")]


def sound(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """float32 (n_samples, channels): tones and noise with pauses; seeded."""
    rng = np.random.default_rng(0)
    at = np.arange(int(seconds * rate))[:, None] / rate
    tones = sum(np.sin(2 * np.pi * hertz * at + rng.uniform(0, 6, channels)) for hertz in (150, 420, 1900))
    wave = (tones + 0.3 * rng.standard_normal((len(at), channels))) * (np.sin(2 * np.pi * 1.3 * at) > -0.3) * 0.1
    return wave.astype(np.float32)


def encode(
    path: Path, samples: np.ndarray, rate: int, codec: str, layout: str, options: dict[str, str] | None = None
) -> Path:
    """Write float32 (n_samples, channels) with PyAV."""
    with av.open(str(path), "w", options=options or {}) as container:
        _put_sound(container, container.add_stream(codec, rate=rate, layout=layout), samples)
    return path


def film(path: Path, codec: str) -> Path:
    """A recording with pictures beside its sound."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=5)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        tones = container.add_stream(codec, rate=48_000, layout="stereo")
        for number in range(int(SECONDS * 5)):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number * 20, np.uint8), format="rgb24")
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        _put_sound(container, tones, sound(SECONDS, 48_000, 2))
    return path


def _put_sound(container: av.container.OutputContainer, stream: av.AudioStream, samples: np.ndarray) -> None:
    rate, layout = stream.rate, stream.layout.name
    if stream.codec_context.name.startswith("wma"):  # its encoders want one
        stream.bit_rate = 48_000
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
    frame.sample_rate = rate
    for out in av.AudioResampler(stream.format, layout, rate).resample(frame):
        container.mux(stream.encode(out))
    container.mux(stream.encode(None))


def seeds(folder: Path) -> Iterator[Path]:
    """Whole recordings in ``folder``; a kind that the FFmpeg at hand cannot make is left out."""
    for name, codec, rate, layout, options in ENCODED:
        channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
        try:
            yield encode(folder / name, sound(SECONDS, rate, channels), rate, codec, layout, options)
        except (av.FFmpegError, ValueError):
            (folder / name).unlink(missing_ok=True)
    for name, container, subtype in BY_LIBSNDFILE:
        soundfile.write(folder / name, sound(SECONDS, 16_000)[:, 0], 16_000, format=container, subtype=subtype)
        yield folder / name
    for name, codec in WITH_PICTURES:
        yield film(folder / name, codec)
