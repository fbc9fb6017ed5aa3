#!/usr/bin/env bash
# pydub reads a float WAV with an extensible header as integers, which makes noise of speech
#
# Expected: pydub's README says that it opens WAV files in pure Python. A WAV with an extensible header names its true
#   coding in a subformat, which may be 32-bit float (Microsoft, Multiple Channel Audio Data and WAVE Files).
# What happens: pydub looks only at the outer code of the header, takes every extensible WAV for integers, and reads the
#   bits of each float as an integer. Words become a dense buzz, some 13 dB louder than the recording and little like
#   it; pauses stay silent, so the length and a glance at the waveform seem right. It raises no error, and does not turn
#   to FFmpeg. 8-bit mu-law in such a header suffers likewise; 24-bit integers are read well.
# Versions: pydub 0.25.1, the newest since March 2021. Distorted float files were reported in August 2020 (issue 509).
# For batch transcription: libsndfile writes such headers for float RF64, its format for recordings over 4 GB, among
#   others. What pydub makes of them is fed to the model as if it were speech, and the model gets the blame. Read such
#   files with soundfile or PyAV.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    pydub==0.25.1 "audioop-lts==0.2.2; python_version >= '3.13'" soundfile==0.14.0 numpy==2.4.6 || exit 2

venv/bin/python -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import soundfile
from pydub import AudioSegment

RATE = 16000
TIME_S = np.arange(RATE * 4) / RATE
BUZZ = sum(np.sin(2 * np.pi * 150 * n * TIME_S + n * n) / n for n in range(1, 20))
SYLLABLES = np.clip(np.sin(2 * np.pi * 0.5 * TIME_S), 0, 1)
VOICE = 0.5 * BUZZ * SYLLABLES / np.abs(BUZZ).max()


def as_read(path):
    """(seconds, gain in dB, correlation with the recording) of what pydub reads."""
    segment = AudioSegment.from_file(path, format="wav")
    samples = np.array(segment.get_array_of_samples()) / 2.0 ** (8 * segment.sample_width - 1)
    gain = 20 * np.log10(samples.std() / VOICE.std())
    return segment.duration_seconds, float(gain), float(np.corrcoef(samples, VOICE)[0, 1])


print("pydub", version("pydub"), "soundfile", soundfile.__version__)
alike = {}
for kind, subtype in (("WAVEX", "PCM_24"), ("WAVEX", "FLOAT"), ("RF64", "FLOAT"), ("WAVEX", "ULAW")):
    soundfile.write("voice.wav", VOICE, RATE, format=kind, subtype=subtype)
    seconds, gain, correlation = as_read("voice.wav")
    by_soundfile = np.corrcoef(soundfile.read("voice.wav")[0], VOICE)[0, 1]
    alike[kind, subtype] = correlation, by_soundfile
    print(f"    {kind} {subtype}: {seconds:.1f} s, {gain:+.1f} dB; correlation with the recording {correlation:.2f}")
    print(f"        read by soundfile, {by_soundfile:.2f}")

floats = (alike["WAVEX", "FLOAT"][0], alike["RF64", "FLOAT"][0])
integers_are_right = alike["WAVEX", "PCM_24"][0] > 0.99
as_described = max(floats) < 0.8 and integers_are_right and min(right for _, right in alike.values()) > 0.99
print("as described" if as_described else "CHANGED: such files are read otherwise now")
sys.exit(0 if as_described else 1)
PYTHON
