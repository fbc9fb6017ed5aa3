#!/usr/bin/env bash
# FFmpeg's mix to one channel is louder in float than in 16 bits
#
# Expected: the sample format of the output decides precision and nothing else. PyAV's AudioResampler takes format and
#   layout as two separate arguments, and FFmpeg's documentation of its resampler names no link between them.
# What happens: with an integer output the weights of the mix are scaled down until they add up to 1. With a float
#   output they are not, so the same stereo recording comes out 1.41 times (3 dB) louder as mono "flt" than as mono
#   "s16", and a 5.1 recording 3.4 times (10.7 dB) louder. Samples then exceed 1.0, and whoever multiplies them into
#   16 bits wraps every peak round to the other sign, which crackles. Nothing warns of it.
# Versions: av 18.1.0 (its wheel holds libswresample 6.3); av 14.0.1 (libswresample 5.3) does the same.
# For batch transcription: two tools that both "decode with FFmpeg to 16 kHz mono" hand different levels to speech
#   detection and to any check for clipping. Ask for "s16", or set rematrix_maxval=1 on FFmpeg's aresample filter (the
#   last line of the output shows that it works), or mix the channels yourself.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6 || exit 2

venv/bin/python - <<'PYTHON'
import sys
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph

RATE = 16000
PEAK = 0.8
TONE = PEAK * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)


def recording(layout, n_channels):
    """One second in which every channel holds the same tone, as 16-bit samples."""
    samples = np.round(np.tile(TONE, (n_channels, 1)) * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(samples, format="s16p", layout=layout)
    frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
    return frame


def mono(frame, sample_format):
    """The recording as one channel, full scale being 1.0."""
    resampler = av.AudioResampler(format=sample_format, layout="mono", rate=RATE)
    frames = resampler.resample(frame) + resampler.resample(None)
    samples = np.concatenate([part.to_ndarray().ravel() for part in frames])
    return samples / 32768 if sample_format == "s16" else samples


def limited(frame):
    """The recording as one float channel, by a filter that is told to keep the sum of the weights at 1."""
    graph = Graph()
    source = graph.add_abuffer(sample_rate=RATE, format="s16p", layout=frame.layout.name, time_base=frame.time_base)
    resample = graph.add("aresample", "rematrix_maxval=1:out_chlayout=mono:out_sample_fmt=flt")
    sink = graph.add("abuffersink")
    source.link_to(resample)
    resample.link_to(sink)
    graph.configure()
    graph.push(frame)
    return graph.pull().to_ndarray().ravel()


print("av", av.__version__, "with libswresample", ".".join(map(str, av.library_versions["libswresample"])))
ratios = {}
for layout, n_channels in (("stereo", 2), ("5.1", 6)):
    peaks = {name: float(np.abs(mono(recording(layout, n_channels), name)).max()) for name in ("s16", "flt")}
    ratios[layout] = peaks["flt"] / peaks["s16"]
    print(f"{layout}: channels peak at {PEAK}, mono s16 at {peaks['s16']:.3f}, mono flt at {peaks['flt']:.3f}")

louder = mono(recording("stereo", 2), "flt")
wrapped = (louder * 32767).astype(np.int32).astype(np.int16)
n_wrapped = int((wrapped * louder < 0).sum())
print(f"stereo: {n_wrapped} of {len(louder)} float samples change sign when they are multiplied into 16 bits")
cured = float(np.abs(limited(recording("stereo", 2))).max())
print(f"stereo: with rematrix_maxval=1, mono flt peaks at {cured:.3f}")

as_described = abs(ratios["stereo"] - 2**0.5) < 0.01 and ratios["5.1"] > 3 and n_wrapped and abs(cured - PEAK) < 0.01
print("as described" if as_described else "CHANGED: the level no longer depends on the sample format as described")
sys.exit(0 if as_described else 1)
PYTHON
