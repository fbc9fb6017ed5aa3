#!/usr/bin/env bash
# pyloudnorm normalises a quiet recording to infinity and a silent one to NaN
#
# Expected: the package's README shows loudness normalisation in two lines, integrated_loudness and then
#   normalize.loudness, for any recording; a quiet one should come out louder, and a silent one silent.
# What happens: ITU-R BS.1770 leaves out blocks below -70 LUFS, and a recording that has none above is measured as
#   -inf. The gain to the target is then infinite, and every sample of a quiet recording becomes inf or -inf, while
#   digital silence becomes NaN. There is a warning at most ("possible clipped samples"), never an error.
# Versions: pyloudnorm 0.2.0; 0.1.1 does the same. The measure of -inf was reported in February 2023 (issue 52).
# For batch transcription: whoever normalises a folder to help its quiet files destroys just the quietest ones and the
#   empty channels, and whatever computes with such samples later gives NaN in turn. Check math.isfinite(loudness)
#   before normalising, or scale by the peak.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyloudnorm==0.2.0 numpy==2.4.6 scipy==1.17.1 || exit 2

venv/bin/python - <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import numpy as np
import pyloudnorm

RATE = 16000
TIME_S = np.arange(RATE * 5) / RATE
VOICE = np.sin(2 * np.pi * 300 * TIME_S) * (1 + np.sin(2 * np.pi * 4 * TIME_S)) / 2
RECORDINGS = {"peak at -20 dBFS": VOICE * 0.1, "peak at -70 dBFS": VOICE * 10**-3.5, "silence": VOICE * 0}

warnings.simplefilter("ignore")
print("pyloudnorm", version("pyloudnorm"))
kinds = {}
for name, samples in RECORDINGS.items():
    loudness = pyloudnorm.Meter(RATE).integrated_loudness(samples)
    normalised = pyloudnorm.normalize.loudness(samples, loudness, -23.0)
    n_bad = int((~np.isfinite(normalised)).sum())
    kinds[name] = (np.isfinite(loudness), n_bad / len(samples))
    print(f"    {name}: {loudness:.1f} LUFS; {n_bad} of {len(samples)} samples are inf or NaN after normalising")

as_described = kinds["peak at -20 dBFS"] == (True, 0) and all(
    not kinds[name][0] and kinds[name][1] > 0.9 for name in ("peak at -70 dBFS", "silence")
)
print("as described" if as_described else "CHANGED: quiet recordings are normalised otherwise now")
sys.exit(0 if as_described else 1)
PYTHON
