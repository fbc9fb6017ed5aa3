#!/usr/bin/env bash
# A pause without packets vanishes when decoded frames are joined, and every later time is early
#
# Expected: Matroska and WebM give each block of sound a time of its own, and PyAV passes it on as frame.pts. So the
#   samples of a recording that lasts 30 s should last 30 s, with silence where the recorder sent nothing (a muted
#   microphone, lost packets), and with silence before sound that begins later than the picture.
# What happens: the decoder returns frames only for packets that exist. Whoever concatenates their samples closes the
#   gaps, and so does faster-whisper's decode_audio, which sets each frame's time to None before it resamples. Both lose
#   9 s of the first recording below and 5 s of the second, with no warning.
# Versions: faster-whisper 1.2.1 with av 18.1.0. Reported to faster-whisper in April 2023 (its issue 128, closed).
# For batch transcription: subtitles of such a recording run ahead of the picture from the first pause on, by the sum
#   of all pauses so far. Compare the last frame's pts with the number of samples, and fill each gap with zeros.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    faster-whisper==1.2.1 ctranslate2==4.6.2 av==18.1.0 numpy==2.4.6 || exit 2

venv/bin/python - <<'PYTHON'
import sys
from fractions import Fraction

import av
import faster_whisper
import numpy as np
from faster_whisper.audio import decode_audio

RATE = 48000
SECONDS = 30


def sound():
    """Frames of 20 ms: a low tone up to 10 s, silence, a high tone from 20 s on."""
    time_s = np.arange(RATE * SECONDS) / RATE
    pitch = np.where(time_s < 10, 440, 880)
    loud = (time_s < 10) | (time_s >= 20)
    samples = (0.3 * loud * np.sin(2 * np.pi * pitch * time_s)).astype(np.float32)
    for first in range(0, len(samples), 960):
        frame = av.AudioFrame.from_ndarray(samples[None, first : first + 960], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), first
        yield frame


def record(path, muted, pictures):
    """Writes the sound as Opus, leaves out the packets whose second is in `muted`, and adds pictures if wanted."""
    with av.open(path, "w", format="webm") as out:
        audio = out.add_stream("libopus", rate=RATE, layout="mono")
        video = out.add_stream("libvpx", rate=1, width=32, height=32, pix_fmt="yuv420p") if pictures else None
        packets = [packet for frame in [*sound(), None] for packet in audio.encode(frame)]
        if video:
            grey = [av.VideoFrame(32, 32, "yuv420p") for _ in range(SECONDS)]
            for index, frame in enumerate(grey):
                frame.pts, frame.time_base = index, Fraction(1, 1)
            packets += [packet for frame in [*grey, None] for packet in video.encode(frame)]
        for packet in sorted(packets, key=lambda packet: packet.pts * packet.time_base):
            time_s = packet.pts * packet.time_base
            if packet.stream is video or not muted[0] <= time_s < muted[1]:
                out.mux(packet)


def measure(path):
    """Seconds: end of the last frame, length of joined frames, of decode_audio's samples, start of the high tone."""
    with av.open(path) as recording:
        frames = list(recording.decode(audio=0))
    end_s = float(frames[-1].pts * frames[-1].time_base) + frames[-1].samples / frames[-1].sample_rate
    joined_s = sum(frame.samples / frame.sample_rate for frame in frames)
    samples = decode_audio(path)
    steps = samples[: len(samples) // 1600 * 1600].reshape(-1, 1600)
    pitch = np.abs(np.fft.rfft(steps * np.hanning(1600))).argmax(1) * 10
    high_s = float(np.argmax((pitch > 800) & (np.abs(steps).max(1) > 0.1)) / 10)
    return end_s, joined_s, len(samples) / 16000, high_s


print("faster-whisper", faster_whisper.__version__, "av", av.__version__)
lost = {}
recordings = {"muted from 10.5 s to 19.5 s": ((10.5, 19.5), False), "sound begins at 5 s": ((0, 5), True)}
for name, (muted, pictures) in recordings.items():
    record("recording.webm", muted, pictures)
    end_s, joined_s, samples_s, high_s = measure("recording.webm")
    lost[name] = (end_s - joined_s, end_s - samples_s, 20 - high_s)
    print(f"{name}: the last frame ends at {end_s:.2f} s")
    print(f"    joined the frames last {joined_s:.2f} s, and decode_audio gives {samples_s:.2f} s")
    print(f"    the tone that was recorded at 20 s is at {high_s:.1f} s of faster-whisper's samples")

close = [np.allclose(found, wanted, atol=0.15) for found, wanted in zip(lost.values(), (9, 5), strict=True)]
print("as described" if all(close) else "CHANGED: the gaps are kept now, or closed otherwise than described")
sys.exit(0 if all(close) else 1)
PYTHON
