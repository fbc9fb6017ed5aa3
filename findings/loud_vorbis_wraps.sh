#!/usr/bin/env bash
# libsndfile turns loud peaks of Ogg Vorbis and Opus upside down when 16-bit samples are asked for
#
# Expected: a value beyond full scale becomes full scale. soundfile asks libsndfile for that on each file that it opens
#   (the command SFC_SET_CLIPPING), and MP3, read in the same way, does saturate.
# What happens: lossy codecs overshoot, so a recording that was normalised or clipped before it was encoded decodes to
#   samples beyond 1.0. Read as float32 they are right. Read as int16, each of them wraps round to the opposite sign,
#   a jump of the whole range. The decoders for Vorbis and Opus ignore the command, and nothing warns of it.
# Versions: soundfile 0.14.0 (its wheel holds libsndfile 1.2.2); 0.12.1 does the same. Reported to libsndfile in January
#   2017 (issue 194, open).
# For batch transcription: loud voice messages and podcasts in Ogg, read as int16 because models and detectors of
#   speech want 16 bits, are full of clicks that are not in the recording. Read float32, then clip and scale yourself.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6 || exit 2

venv/bin/python - <<'PYTHON'
import sys

import numpy as np
import soundfile

RATE = 16000
TIME_S = np.arange(RATE * 3) / RATE
VOICE = sum(np.sin(2 * np.pi * 150 * n * TIME_S + n * n) / n for n in range(1, 20))
LOUD = np.clip(VOICE * (1 + np.sin(2 * np.pi * 4 * TIME_S)), -0.999, 0.999).astype(np.float32)


def flipped(path):
    """(peak as float, samples beyond full scale, those of them whose sign is wrong as int16)."""
    right, _rate = soundfile.read(path, dtype="float32")
    short, _rate = soundfile.read(path, dtype="int16")
    over = np.abs(right) > 1
    return float(np.abs(right).max()), int(over.sum()), int((over & (short * right < 0)).sum())


print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__)
share = {}
for suffix, subtype in (("ogg", "VORBIS"), ("ogg", "OPUS"), ("mp3", "MPEG_LAYER_III")):
    soundfile.write(f"loud.{suffix}", LOUD, RATE, subtype=subtype)
    peak, n_over, n_flipped = flipped(f"loud.{suffix}")
    share[subtype] = n_flipped / max(n_over, 1)
    print(f"    {subtype}: peak {peak:.2f}; of {n_over} samples beyond 1.0, {n_flipped} change sign as int16")

as_described = share["VORBIS"] > 0.9 and share["OPUS"] > 0.9 and share["MPEG_LAYER_III"] == 0
print("as described" if as_described else "CHANGED: peaks no longer wrap as described")
sys.exit(0 if as_described else 1)
PYTHON
